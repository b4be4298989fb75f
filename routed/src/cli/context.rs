// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every command has: its global options, the daemon to ask, and ways to fail.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use crate::model::count;
use crate::node::Panicked;
use crate::server::api::{ErrorDetail, ErrorLocation};
use crate::server::client::{self, ClientError};

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(super) struct Globals {
    /// Output format
    #[arg(short, long, value_enum, global = true, default_value = "table")]
    pub(super) output: Format,
    /// Short for --output json
    #[arg(short = 'j', global = true)]
    pub(super) json: bool,
    /// Leave out the heading line of tables
    #[arg(long, global = true)]
    pub(super) no_headers: bool,
    /// Admin socket of the daemon
    #[arg(long, global = true, env = "ROUTED_SOCKET", default_value = "/run/routed/routed.sock")]
    pub(super) socket: PathBuf,
    /// How long to wait for the daemon's answer
    #[arg(long, global = true, default_value = "5s", value_parser = parse_duration)]
    pub(super) timeout: Duration,
}

impl Globals {
    pub(super) fn is_json(&self) -> bool {
        self.json || self.output == Format::Json
    }

    /// For a command that speaks to people only.
    pub(super) fn refuse_json(&self, why: &str) -> Result<(), CliError> {
        if !self.is_json() {
            return Ok(());
        }
        let error = clap::Error::raw(ErrorKind::ArgumentConflict, format!("{why}\n"));
        Err(CliError::Usage(Box::new(error)))
    }

    /// Asks the daemon.
    pub(super) fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        client::get(&self.socket, path, self.timeout).map_err(CliError::Client)
    }
}

/// Values of `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
}

/// Why a command did not print what was asked for.
#[derive(Debug)]
pub(super) enum CliError {
    /// The daemon did not answer, or answered with an error.
    Client(ClientError),
    /// The question has no answer: no such object.
    NotFound(String),
    /// Something took too long.
    Timeout(String),
    /// A configuration that is wrong.
    Config(Vec<ErrorLocation>),
    /// The command line is wrong.
    Usage(Box<clap::Error>),
    /// We are wrong: something panicked.
    Bug(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<Panicked>() {
            Some(_) => Self::Bug(format!("{error:#}")),
            None => Self::Other(error),
        }
    }
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => match error {
                ClientError::Unreachable { .. } => 3,
                ClientError::PermissionDenied { .. } => 5,
                ClientError::Timeout { .. } => 6,
                ClientError::Api { status: 404, .. } => 4,
                // Only the words of the command line can have been bad.
                ClientError::Api { status: 400, .. } => 2,
                _ => 1,
            },
            Self::NotFound(_) => 4,
            Self::Timeout(_) => 6,
            Self::Usage(_) => 2,
            Self::Bug(_) => 70,
            Self::Config(_) | Self::Other(_) => 1,
        }
    }

    pub(super) fn detail(&self) -> ErrorDetail {
        let simple = |code: &str, message: String| ErrorDetail {
            code: code.to_owned(),
            message,
            details: Vec::new(),
        };
        match self {
            Self::Client(ClientError::Api { error, .. }) => error.clone(),
            Self::Client(error) => simple(error.code(), error.to_string()),
            Self::NotFound(message) => simple("notFound", message.clone()),
            Self::Timeout(message) => simple("timeout", message.clone()),
            Self::Config(details) => ErrorDetail {
                code: "configInvalid".to_owned(),
                message: count(details.len(), "problem", "problems"),
                details: details.clone(),
            },
            Self::Usage(error) => {
                let text = error.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                // What follows is for people at a terminal.
                let text = text.split("\n\nUsage:").next().unwrap_or(text);
                let text = text.split("\n\nFor more").next().unwrap_or(text);
                simple("usage", text.trim().to_owned())
            }
            Self::Bug(what) => {
                let version = env!("CARGO_PKG_VERSION");
                simple(
                    "bug",
                    format!("this is a bug in routed {version}, please report it: {what}"),
                )
            }
            Self::Other(error) => simple("failed", format!("{error:#}")),
        }
    }
}

/// `5s`, `500ms`, `2m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is not like 5s, 500ms or 2m"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => number
            .checked_mul(60)
            .map(Duration::from_secs)
            .ok_or_else(|| format!("{text:?} is too long")),
        _ => Err(format!("{text:?} is not like 5s, 500ms or 2m")),
    }
}

/// Percent-encodes a path or query value.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5h", "-1s", "s", "18446744073709551615m", "99999999999999999999s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
