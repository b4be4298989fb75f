// SPDX-License-Identifier: MIT OR Apache-2.0
//! One execution of the plugin.
use std::process::ExitCode;

/// Runs the plugin on the environment, standard input and standard output of this process.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
