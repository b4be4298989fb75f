// SPDX-License-Identifier: MIT OR Apache-2.0
//! Network policy: Calico's language, selector indices and a compiler to nftables.
#![forbid(unsafe_code)]

mod index;
pub mod ir;
pub mod load;
pub mod model;
#[cfg(feature = "nft")]
pub mod nft;
