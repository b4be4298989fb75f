// SPDX-License-Identifier: MIT OR Apache-2.0
//! The binary a container runtime executes; everything is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    cni_plugin::main()
}
