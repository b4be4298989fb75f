// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed demo`.

use super::context::{CliError, Globals};

pub(super) fn run(globals: &Globals, args: &crate::demo::Args) -> Result<u8, CliError> {
    globals
        .refuse_json("the demo prints no JSON; ask its nodes: routed --socket … -o json status")?;
    Ok(u8::from(!crate::demo::run(args)?))
}
