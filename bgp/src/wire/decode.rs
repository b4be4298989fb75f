// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decoding of UPDATE messages: collect, validate, build (RFC 4271 §6.3 as revised by RFC 7606).

use super::collect::{Collected, Faults};
use super::ctx::CodecCtx;
use super::error::UpdateError;
use super::routes::Routes;
use super::update::{DecodedUpdate, UpdateView};
use super::values::Builder;

impl<'a> UpdateView<'a> {
    /// Validates the message and says what it means.
    ///
    /// # Errors
    /// If the session must be reset. Errors that RFC 7606 repairs are in
    /// [`DecodedUpdate::outcome`].
    pub fn decode(&self, ctx: &CodecCtx) -> Result<DecodedUpdate<'a>, UpdateError> {
        let mut faults = Faults::default();
        let list = Collected::new(self, &mut faults)?;
        let routes = Routes::read(self, &list, ctx)?;
        list.check_flags(&mut faults);
        let attrs = Builder { list: &list, ctx, faults: &mut faults }.build();
        routes.check_mandatory(self, &list, &mut faults);
        routes.check_next_hops(&attrs, &list, &mut faults);
        if let Some(error) = faults.withdraw
            && !routes.any_reach
            && list.has_more_than_unreach
        {
            return Err(UpdateError::NothingToWithdraw(error));
        }
        Ok(routes.finish(attrs, faults))
    }
}
