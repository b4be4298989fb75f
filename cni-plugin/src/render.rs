// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the runtime reads on standard output.

use std::net::IpAddr;

use serde::Serialize;

use crate::{
    rpc::{Attached, Route},
    spec::{CniVersion, Dns, Error, ErrorCode, Mac},
};

/// Index of the container's end in `interfaces`. Chained plugins rely on the order: the host's end
/// first and without a sandbox, the container's end second.
const CONTAINER: u8 = 1;

/// The result of a successful ADD in the shape of `version`.
pub(crate) fn result(
    version: CniVersion,
    attached: &Attached,
    ifname: &str,
    netns: &str,
    dns: &Dns,
) -> String {
    let interfaces = [
        Interface { name: &attached.host_interface, mac: attached.host_mac, sandbox: None },
        Interface { name: ifname, mac: attached.mac, sandbox: Some(netns) },
    ];
    let ip = |a: &crate::rpc::Address| {
        let (family, len) = if a.ip.is_ipv4() { ("4", 32) } else { ("6", 128) };
        Ip {
            version: (version < CniVersion::V1_0_0).then_some(family),
            address: format!("{}/{len}", a.ip),
            gateway: a.gateway,
            interface: CONTAINER,
        }
    };
    to_json(&ResultView {
        cni_version: version.as_str(),
        interfaces,
        ips: attached.addresses.iter().map(ip).collect(),
        routes: &attached.routes,
        dns,
    })
}

/// An error; without an understood version it is reported in the newest.
pub(crate) fn error(version: Option<CniVersion>, error: &Error) -> String {
    to_json(&ErrorView {
        cni_version: version.unwrap_or(CniVersion::NEWEST).as_str(),
        code: error.code,
        msg: &error.msg,
        details: &error.details,
    })
}

/// The answer to VERSION.
pub(crate) fn versions(asked: Option<CniVersion>) -> String {
    to_json(&VersionsView {
        cni_version: asked.unwrap_or(CniVersion::NEWEST).as_str(),
        supported_versions: CniVersion::SUPPORTED.map(CniVersion::as_str),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultView<'a> {
    cni_version: &'static str,
    interfaces: [Interface<'a>; 2],
    ips: Vec<Ip>,
    routes: &'a [Route],
    dns: &'a Dns,
}

#[derive(Serialize)]
struct Interface<'a> {
    name: &'a str,
    mac: Mac,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<&'a str>,
}

#[derive(Serialize)]
struct Ip {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    address: String,
    gateway: IpAddr,
    interface: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorView<'a> {
    cni_version: &'static str,
    code: ErrorCode,
    msg: &'a str,
    details: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionsView {
    cni_version: &'static str,
    supported_versions: [&'static str; 3],
}

fn to_json(view: &impl Serialize) -> String {
    // Only a map with keys that are not text cannot be written, and there is no map here.
    serde_json::to_string(view).unwrap_or_default()
}

#[cfg(test)]
mod tests;
