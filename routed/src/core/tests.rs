// SPDX-License-Identifier: MIT OR Apache-2.0

mod attach;
mod fabric;
mod fault;
mod property;
mod world;
