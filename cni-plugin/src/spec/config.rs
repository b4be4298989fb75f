// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network configuration on standard input.
//!
//! Each command decodes only what it needs, so that a DEL is not refused for a field that only ADD
//! reads. Unknown keys are ignored, because runtimes add their own.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    address::{Mac, parse_ip, parse_mac},
    error::{Error, ErrorCode},
    id::{check_label, check_name},
    version::CniVersion,
};

/// Longest network name, in bytes.
const MAX_NAME: usize = 200;
/// Longest path of a unix socket, in bytes.
const MAX_SOCKET: usize = 107;

/// What every command but VERSION needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseConfig {
    /// `cniVersion`
    pub version: CniVersion,
    /// `name`
    pub name: String,
    /// `socket`: where the daemon listens, if not at the default place.
    pub socket: Option<PathBuf>,
}

/// What ADD needs beside [`BaseConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddConfig {
    /// `labels`, overlaid with `args.cni.labels`.
    pub labels: BTreeMap<String, String>,
    /// `runtimeConfig.ips` if the capability is declared, else `args.cni.ips`.
    pub ips: Vec<IpAddr>,
    /// `runtimeConfig.mac` if the capability is declared.
    pub mac: Option<Mac>,
    /// `dns`, passed through.
    pub dns: Dns,
}

/// What CHECK needs beside [`BaseConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// Addresses in `prevResult`.
    pub ips: Vec<IpAddr>,
}

/// `dns` of the configuration and of the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<String>>,
    /// Local domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Search list, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<Vec<String>>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<String>>,
}

impl BaseConfig {
    /// Decodes and checks the configuration.
    ///
    /// # Errors
    /// Code 6 if it is not JSON, 1 for its version, 7 for anything else.
    pub fn parse(stdin: &[u8]) -> Result<Self, Error> {
        let text = utf8(stdin)?;
        // The version first and alone: another version may give other fields another shape.
        let raw: RawVersion = decode(text)?;
        let version = CniVersion::parse(raw.cni_version.as_deref())?;
        let raw: RawBase = decode(text)?;
        let name = raw.name.ok_or_else(|| invalid("name", "missing"))?;
        check_name("network name", &name, MAX_NAME).map_err(|e| invalid("name", e.rule))?;
        if let Some(path) = &raw.socket {
            if !path.is_absolute() {
                return Err(invalid("socket", "not an absolute path"));
            }
            if path.as_os_str().len() > MAX_SOCKET {
                return Err(invalid("socket", "path longer than 107 bytes"));
            }
        }
        Ok(Self { version, name, socket: raw.socket })
    }

    /// Reads the version alone; none if it is absent or not supported.
    ///
    /// # Errors
    /// Code 6 if the configuration is not JSON.
    pub fn version(stdin: &[u8]) -> Result<Option<CniVersion>, Error> {
        let raw: RawVersion = decode(utf8(stdin)?)?;
        Ok(CniVersion::parse(raw.cni_version.as_deref()).ok())
    }
}

impl AddConfig {
    /// Decodes and checks the configuration.
    ///
    /// # Errors
    /// Code 2 for a field that would have no effect, 7 for an invalid one.
    pub fn parse(stdin: &[u8]) -> Result<Self, Error> {
        let raw: RawAdd = decode(utf8(stdin)?)?;
        raw.refuse_unsupported()?;
        let mut labels = BTreeMap::new();
        for (key, value) in raw.labels.unwrap_or_default() {
            check_label(&key, &value).map_err(|e| invalid("labels", e.rule))?;
            labels.insert(key, value);
        }
        let args = raw.args.unwrap_or_default().cni.unwrap_or_default();
        for RawLabel { key, value } in args.labels.unwrap_or_default() {
            check_label(&key, &value).map_err(|e| invalid("args.cni.labels", e.rule))?;
            labels.insert(key, value);
        }
        let declared = raw.capabilities.unwrap_or_default();
        let runtime = raw.runtime_config.unwrap_or_default();
        let ips = runtime.ips.filter(|_| declared.ips.unwrap_or_default()).unwrap_or_default();
        let ips = match parse_ips("runtimeConfig.ips", &ips)? {
            none if none.is_empty() => parse_ips("args.cni.ips", &args.ips.unwrap_or_default())?,
            some => some,
        };
        let mac = runtime.mac.filter(|m| declared.mac.unwrap_or_default() && !m.is_empty());
        let mac = mac.map(|text| parse_mac(&text)).transpose();
        let mac = mac.map_err(|e| invalid("runtimeConfig.mac", &e))?;
        Ok(Self { labels, ips, mac, dns: raw.dns.unwrap_or_default() })
    }
}

impl CheckConfig {
    /// Decodes and checks the configuration.
    ///
    /// # Errors
    /// Code 7 without a usable `prevResult`.
    pub fn parse(stdin: &[u8]) -> Result<Self, Error> {
        let raw: RawCheck = decode(utf8(stdin)?)?;
        let previous = raw.prev_result.ok_or_else(|| invalid("prevResult", "missing"))?;
        let address = |ip: RawIp| parse_ip(&ip.address).map_err(|e| invalid("prevResult.ips", &e));
        let ips = previous.ips.unwrap_or_default().into_iter().map(address);
        Ok(Self { ips: ips.collect::<Result<_, _>>()? })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVersion {
    cni_version: Option<String>,
}

#[derive(Deserialize)]
struct RawBase {
    name: Option<String>,
    socket: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAdd {
    labels: Option<BTreeMap<String, String>>,
    args: Option<RawArgs>,
    capabilities: Option<RawCapabilities>,
    runtime_config: Option<RawRuntimeConfig>,
    dns: Option<Dns>,
    prev_result: Option<IgnoredAny>,
    ipam: Option<BTreeMap<String, IgnoredAny>>,
    ip_masq: Option<bool>,
    mtu: Option<u32>,
}

impl RawAdd {
    /// Refuses what users of other plugins may expect to work and what would be ignored here.
    fn refuse_unsupported(&self) -> Result<(), Error> {
        let unsupported = if self.ipam.as_ref().is_some_and(|ipam| !ipam.is_empty()) {
            "ipam: addresses come from the pools of the daemon"
        } else if self.ip_masq.unwrap_or_default() {
            "ipMasq: addresses are routed, not translated"
        } else if self.mtu.unwrap_or_default() != 0 {
            "mtu: set it in the NodeConfig of the daemon"
        } else if self.prev_result.is_some() {
            "prevResult: routed-cni must be the first plugin of its list"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorCode::UNSUPPORTED_FIELD, format!("unsupported field {unsupported}")))
    }
}

#[derive(Default, Deserialize)]
struct RawArgs {
    cni: Option<RawCniArgs>,
}

#[derive(Default, Deserialize)]
struct RawCniArgs {
    labels: Option<Vec<RawLabel>>,
    ips: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawLabel {
    key: String,
    value: String,
}

#[derive(Default, Deserialize)]
struct RawCapabilities {
    ips: Option<bool>,
    mac: Option<bool>,
}

#[derive(Default, Deserialize)]
struct RawRuntimeConfig {
    ips: Option<Vec<String>>,
    mac: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCheck {
    prev_result: Option<RawPrevResult>,
}

#[derive(Deserialize)]
struct RawPrevResult {
    ips: Option<Vec<RawIp>>,
}

#[derive(Deserialize)]
struct RawIp {
    address: String,
}

fn parse_ips(field: &str, texts: &[String]) -> Result<Vec<IpAddr>, Error> {
    texts.iter().map(|t| parse_ip(t)).collect::<Result<_, _>>().map_err(|e| invalid(field, &e))
}

fn utf8(stdin: &[u8]) -> Result<&str, Error> {
    str::from_utf8(stdin).map_err(|e| {
        Error::new(ErrorCode::DECODE, "network configuration is not UTF-8")
            .with_details(e.to_string())
    })
}

fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| {
        let (code, msg) = if e.is_data() {
            (ErrorCode::INVALID_CONFIG, "invalid network configuration")
        } else {
            (ErrorCode::DECODE, "network configuration is not JSON")
        };
        Error::new(code, msg).with_details(e.to_string())
    })
}

fn invalid(field: &str, why: &str) -> Error {
    let msg = format!("invalid network configuration: {field}: {why}");
    Error::new(ErrorCode::INVALID_CONFIG, msg)
}
