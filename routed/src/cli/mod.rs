// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: one file per noun. Standard output carries data only, everything else goes to standard error.
//!
//! Exit codes: 0 ok · 1 negative answer · 2 usage · 3 daemon not reachable · 4 no such object · 5 permission denied ·
//! 6 timeout · 70 bug.

mod bgp;
mod demo;
mod ipam;
mod output;
mod policy;
mod routes;
mod run;
mod status;
mod validate;
mod version;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::server::api::{ErrorBody, ErrorDetail, ErrorLocation};
use crate::server::client::{self, ClientError};

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 negative answer, 2 usage, 3 daemon not reachable, 4 no such object,
            5 permission denied, 6 timeout, 70 bug";

/// BGP direct-routing container network: node daemon and command line.
#[derive(Debug, Parser)]
#[command(name = "routed", version, infer_subcommands = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    noun: Noun,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
struct Globals {
    /// Output format
    #[arg(short, long, value_enum, global = true, default_value = "table")]
    output: Format,
    /// Short for --output json
    #[arg(short = 'j', global = true)]
    json: bool,
    /// Leave out the heading line of tables
    #[arg(long, global = true)]
    no_headers: bool,
    /// Admin socket of the daemon
    #[arg(long, global = true, env = "ROUTED_SOCKET", default_value = "/run/routed/routed.sock")]
    socket: PathBuf,
    /// How long to wait for the daemon's answer
    #[arg(long, global = true, default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,
}

impl Globals {
    fn is_json(&self) -> bool {
        self.json || self.output == Format::Json
    }

    /// Asks the daemon.
    fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        client::get(&self.socket, path, self.timeout).map_err(CliError::Client)
    }
}

/// Values of `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Run the node daemon
    Run(run::RunArgs),
    /// State of this node on one screen
    Status(status::StatusArgs),
    /// BGP sessions and paths
    #[command(subcommand)]
    Bgp(bgp::BgpVerb),
    /// Kernel routes of this node
    Routes(routes::RoutesArgs),
    /// Workloads of this node
    Workloads(workloads::WorkloadsArgs),
    /// Addresses and blocks
    #[command(subcommand)]
    Ipam(ipam::IpamVerb),
    /// Network policies
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    /// Check a configuration tree without touching anything
    Validate(validate::ValidateArgs),
    /// Versions of this program and of the daemon
    Version,
    /// Two racks on this machine, in network namespaces
    Demo(crate::demo::Args),
}

/// Why a command did not print what was asked for.
#[derive(Debug)]
enum CliError {
    /// The daemon did not answer, or answered with an error.
    Client(ClientError),
    /// The question has no answer: no such object.
    NotFound(String),
    /// Something took too long.
    Timeout(String),
    /// A configuration that is wrong.
    Config(Vec<ErrorLocation>),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => match error {
                ClientError::Unreachable { .. } => 3,
                ClientError::PermissionDenied { .. } => 5,
                ClientError::Timeout { .. } => 6,
                ClientError::Api { status: 404, .. } => 4,
                _ => 1,
            },
            Self::NotFound(_) => 4,
            Self::Timeout(_) => 6,
            Self::Config(_) | Self::Other(_) => 1,
        }
    }

    fn detail(&self) -> ErrorDetail {
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
                message: format!("{} problems", details.len()),
                details: details.clone(),
            },
            Self::Other(error) => simple("failed", format!("{error:#}")),
        }
    }

    /// Prints to standard error, as JSON where JSON was asked for.
    fn print(&self, json: bool) {
        let detail = self.detail();
        if json {
            let body = ErrorBody { error: detail };
            eprintln!("{}", serde_json::to_string(&body).unwrap_or_default());
            return;
        }
        eprintln!("error: {}", detail.message);
        for place in &detail.details {
            eprintln!("{}", output::location(place));
        }
    }
}

/// Parses the command line and runs one command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.globals.is_json();
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.print(json);
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<u8, CliError> {
    let globals = &cli.globals;
    match cli.noun {
        Noun::Run(args) => run::run(&args).map_err(CliError::from),
        Noun::Status(args) => status::run(globals, &args),
        Noun::Bgp(verb) => bgp::run(globals, &verb),
        Noun::Routes(args) => routes::run(globals, &args),
        Noun::Workloads(args) => workloads::run(globals, &args),
        Noun::Ipam(verb) => ipam::run(globals, &verb),
        Noun::Policy(verb) => policy::run(globals, &verb),
        Noun::Validate(args) => validate::run(globals, &args),
        Noun::Version => version::run(globals),
        Noun::Demo(args) => demo::run(&args),
    }
}

/// `5s`, `500ms`, `2m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is not like 5s, 500ms or 2m"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("{text:?} is not like 5s, 500ms or 2m")),
    }
}

/// Percent-encodes a path or query value.
fn encode(text: &str) -> String {
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
