// SPDX-License-Identifier: MIT OR Apache-2.0
//! From inputs to wishes: what each lane shall hold, as pure functions of what is known.
//!
//! `X::derive(inputs, status, key)` gives the value of one key, or says that the key is not wanted.
//! There is no history in it: the same inputs and the same status give the same value, whatever
//! came before. So one function serves the update of one key and the rebuild of all ([`all`]), and
//! that both agree is a property that tests and the running daemon check.
//!
//! [`Inputs`] is what was told (configuration, records, observations); [`Status`] is what the
//! lanes reported back. Only [`gate`] looks at the status: the order between subsystems is there
//! and nowhere else.

pub mod address;
pub mod advert;
pub mod bfd;
mod desired;
pub mod endpoint;
pub mod gate;
mod inputs;
pub mod link;
pub mod route;
pub mod speaker;
mod status;

pub use desired::{Desired, all};
pub use inputs::{Inputs, Live, Next, Phase};
pub use status::{Held, KeyState, Status};

#[cfg(test)]
mod tests;
