// SPDX-License-Identifier: MIT OR Apache-2.0
//! `CNI_ARGS`: `KEY=VALUE` pairs separated by semicolons, in any order.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    address::{Mac, parse_ip, parse_mac},
    error::{Error, ErrorCode, shorten},
    id::check_label,
};

/// What `CNI_ARGS` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CniArgs {
    /// `IP=`, one address or several separated by commas.
    pub ips: Vec<IpAddr>,
    /// `MAC=`
    pub mac: Option<Mac>,
    /// `LABELS=key:value`, several separated by commas; a key ends at its first colon.
    pub labels: BTreeMap<String, String>,
    /// `K8S_POD_NAMESPACE=`
    pub namespace: Option<String>,
    /// `K8S_POD_NAME=`
    pub name: Option<String>,
}

impl CniArgs {
    /// Reads the value of `CNI_ARGS`. Keys that begin with `K8S_` are always accepted; other
    /// unknown keys only beside `IgnoreUnknown=1` or `IgnoreUnknown=true`.
    ///
    /// # Errors
    /// Code 4, naming the key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut args = Self::default();
        let mut ignore_unknown = false;
        let mut unknown = Vec::new();
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(invalid(pair, "expected KEY=VALUE"));
            };
            match key {
                "IgnoreUnknown" => ignore_unknown = parse_bool(value)?,
                "IP" => args.ips = parse_list(value, parse_ip).map_err(|e| invalid("IP", &e))?,
                "MAC" => args.mac = Some(parse_mac(value).map_err(|e| invalid("MAC", &e))?),
                "LABELS" => args.labels = parse_labels(value)?,
                "K8S_POD_NAMESPACE" => args.namespace = non_empty(value),
                "K8S_POD_NAME" => args.name = non_empty(value),
                other if other.starts_with("K8S_") => {}
                other => unknown.push(shorten(other)),
            }
        }
        if unknown.is_empty() || ignore_unknown {
            return Ok(args);
        }
        let msg = format!("unknown key in CNI_ARGS: {}", unknown.join(", "));
        Err(Error::new(ErrorCode::INVALID_ENVIRONMENT, msg)
            .with_details("IgnoreUnknown=1 among them would skip it"))
    }
}

fn parse_bool(value: &str) -> Result<bool, Error> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(invalid("IgnoreUnknown", "expected 1, 0, true or false")),
    }
}

fn parse_list<T>(value: &str, one: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.split(',').filter(|part| !part.is_empty()).map(one).collect()
}

fn parse_labels(value: &str) -> Result<BTreeMap<String, String>, Error> {
    let label = |part: &str| {
        let (key, value) = part.split_once(':').ok_or("expected key:value")?;
        check_label(key, value).map_err(|e| e.rule.to_owned())?;
        Ok((key.to_owned(), value.to_owned()))
    };
    let labels = parse_list(value, label).map_err(|e| invalid("LABELS", &e))?;
    Ok(labels.into_iter().collect())
}

fn non_empty(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn invalid(key: &str, why: &str) -> Error {
    let msg = format!("invalid CNI_ARGS: {}: {why}", shorten(key));
    Error::new(ErrorCode::INVALID_ENVIRONMENT, msg)
}
