// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: one file per noun. Standard output carries data only, everything else goes to standard error.
//!
//! Exit codes: 0 ok · 1 negative answer · 2 usage · 3 daemon not reachable · 4 no such object · 5 permission denied ·
//! 6 timeout · 70 bug.

mod bfd;
mod bgp;
mod bug;
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

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::server::api::ErrorBody;

use context::{CliError, Globals};

const AFTER_HELP: &str = "\
Examples:
  routed status
  routed bgp peers -o json

Exit codes: 0 ok, 1 negative answer, 2 usage, 3 daemon not reachable, 4 no such object,
            5 permission denied, 6 timeout, 70 bug";

/// BGP direct-routing container network: node daemon and command line.
#[derive(Debug, Parser)]
#[command(name = "routed", version, infer_subcommands = true, after_help = AFTER_HELP)]
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
    /// Run the process that watches the paths to peers (BFD)
    Bfd(bfd::BfdArgs),
    /// State of this node on one screen
    Status(status::StatusArgs),
    /// BGP sessions and paths
    // `b` is what everybody types, and it meant this before there was `bfd`.
    #[command(
        subcommand,
        alias = "b",
        after_help = "Examples:\n  routed bgp peers\n  routed bgp routes 10.64.2.0/26\n  routed bgp why 10.64.2.0/26"
    )]
    Bgp(bgp::BgpVerb),
    /// Kernel routes of this node
    Routes(routes::RoutesArgs),
    /// Workloads of this node
    Workloads(workloads::WorkloadsArgs),
    /// Addresses and blocks
    #[command(
        subcommand,
        after_help = "Examples:\n  routed ipam show\n  routed ipam show --ip 10.64.1.5"
    )]
    Ipam(ipam::IpamVerb),
    /// Network policies
    #[command(
        subcommand,
        after_help = "Examples:\n  routed policy list\n  routed policy show default-deny"
    )]
    Policy(policy::PolicyVerb),
    /// Check a configuration tree without touching anything
    Validate(validate::ValidateArgs),
    /// Versions of this program and of the daemon
    #[command(after_help = "Examples:\n  routed version\n  routed version -o json")]
    Version,
    /// Two racks on this machine, in network namespaces
    Demo(crate::demo::Args),
}

/// Parses the command line and runs one command.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    // Known before the parser may refuse the rest.
    let json = asks_for_json(&words);
    let outcome = bug::caught(|| match Cli::try_parse_from(&words) {
        Ok(cli) => dispatch(cli),
        Err(error) if error.use_stderr() => Err(CliError::Usage(Box::new(error))),
        Err(help) => {
            // A reader that went away has seen enough.
            let _gone = help.print();
            Ok(0)
        }
    });
    match outcome {
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
        Noun::Run(args) => run::run(globals, &args),
        Noun::Bfd(args) => bfd::run(&args).map_err(CliError::from),
        Noun::Status(args) => status::run(globals, &args),
        Noun::Bgp(verb) => bgp::run(globals, &verb),
        Noun::Routes(args) => routes::run(globals, &args),
        Noun::Workloads(args) => workloads::run(globals, &args),
        Noun::Ipam(verb) => ipam::run(globals, &verb),
        Noun::Policy(verb) => policy::run(globals, &verb),
        Noun::Validate(args) => validate::run(globals, &args),
        Noun::Version => version::run(globals),
        Noun::Demo(args) => demo::run(globals, &args),
    }
}

/// Whether errors shall be JSON: `-j`, `-o json` and their other spellings.
fn asks_for_json<W: AsRef<OsStr>>(words: &[W]) -> bool {
    let words: Vec<&str> = words.iter().filter_map(|word| word.as_ref().to_str()).collect();
    let alone = |word: &&str| matches!(*word, "-j" | "-ojson" | "-o=json" | "--output=json");
    let pair = |pair: &[&str]| matches!(pair, ["-o" | "--output", "json"]);
    words.iter().any(alone) || words.windows(2).any(pair)
}

/// Prints to standard error, as JSON where JSON was asked for.
fn print_error(error: &CliError, json: bool) {
    let detail = error.detail();
    if json {
        let body = ErrorBody { error: detail };
        return output::complain(&serde_json::to_string(&body).unwrap_or_default());
    }
    if let CliError::Usage(error) = error {
        let _gone = error.print();
        return;
    }
    output::complain(&format!("error: {}", detail.message));
    for place in &detail.details {
        output::complain(&output::location(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json_however_it_was_spelled() {
        for words in ["-j", "-o json", "-ojson", "--output json", "--output=json"] {
            let words: Vec<&str> = words.split(' ').collect();
            assert!(asks_for_json(&words), "{words:?}");
        }
        assert!(!asks_for_json(&["bgp", "routes", "-o", "table", "json"]));
    }
}
