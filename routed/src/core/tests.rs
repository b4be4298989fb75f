// SPDX-License-Identifier: MIT OR Apache-2.0

mod property;
mod scenario;
mod world;
