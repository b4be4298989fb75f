// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: one file per noun. Standard output carries data only, everything else goes to standard error.
//!
//! Exit codes: 0 ok · 1 negative answer · 2 usage · 3 daemon not reachable · 4 no such object · 5 permission denied ·
//! 6 timeout · 70 bug.

mod bgp;
mod context;
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

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::server::api::ErrorBody;

use context::{CliError, Globals};

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

/// Parses the command line and runs one command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.globals.is_json();
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            print_error(&error, json);
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

/// Prints to standard error, as JSON where JSON was asked for.
fn print_error(error: &CliError, json: bool) {
    let detail = error.detail();
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
