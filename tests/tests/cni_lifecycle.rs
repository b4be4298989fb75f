// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of a workload as its runtime sees it: the real plugin, the real daemon, and what both leave in the kernel.
//!
//! What each side does alone is tested beside it (`cni-plugin/tests`, `routed/src/core/tests`); here stands what only
//! both together can show.

#[path = "cni_lifecycle/address.rs"]
mod address;
#[path = "cni_lifecycle/attach.rs"]
mod attach;
#[path = "cni_lifecycle/churn.rs"]
mod churn;
#[path = "cni_lifecycle/detach.rs"]
mod detach;
#[path = "cni_lifecycle/empty_table.rs"]
mod empty_table;
#[path = "cni_lifecycle/restart.rs"]
mod restart;
#[path = "cni_lifecycle/scene.rs"]
mod scene;
#[path = "cni_lifecycle/typo.rs"]
mod typo;
