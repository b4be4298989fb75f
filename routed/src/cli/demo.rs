// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed demo`.

use super::context::CliError;

pub(super) fn run(args: &crate::demo::Args) -> Result<u8, CliError> {
    let holds = crate::demo::run(args).map_err(CliError::Other)?;
    Ok(u8::from(!holds))
}
