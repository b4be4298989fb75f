// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `routed` program: everything is in the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    routed::cli::main()
}
