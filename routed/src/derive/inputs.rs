// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was told to the core: configuration, workloads, observations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bgp::types::Prefix;
use policy::model::EndpointKey;
use reconcile::Revision;

use crate::config::Config;
use crate::model::{Block, LinkKey, NetnsId, Uplinks, Workload, WorkloadId};

/// Ground state of one node, with the indices by which a key finds what it depends on.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    config: Option<Arc<Config>>,
    uplinks: Option<Uplinks>,
    workloads: BTreeMap<WorkloadId, Live>,
    by_interface: BTreeMap<String, WorkloadId>,
    by_address: BTreeMap<IpAddr, WorkloadId>,
    by_slot: BTreeMap<(NetnsId, String), BTreeSet<WorkloadId>>,
    /// Since when each block is configured.
    block_since: BTreeMap<Prefix, Revision>,
    static_by_address: BTreeMap<IpAddr, EndpointKey>,
}

/// A workload and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its record, as on disk.
    pub record: Workload,
    /// What is wanted of it.
    pub phase: Phase,
    /// The revision at which the phase was entered: only reports of it or later count.
    pub since: Revision,
    /// The namespace a former link may still be in, while it is cleared away.
    pub former: Option<NetnsId>,
}

/// What is wanted of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Link, routes and endpoint are wanted.
    Wanted,
    /// Nothing is wanted until all of it is reported gone; then comes the next step.
    ///
    /// An attachment that is made anew passes through here, so that nothing of the old one (a
    /// route over the old interface of the same name) is taken for a part of the new one.
    Clearing(Next),
}

/// What follows once everything of a workload is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Attach it again, with the same addresses.
    Attach,
    /// Its link vanished: hold the addresses until somebody decides.
    Hold,
    /// It was detached: free the addresses, remove the record.
    Leave,
}

impl Live {
    /// Whether link, routes and endpoint are wanted.
    pub fn is_wanted(&self) -> bool {
        self.phase == Phase::Wanted
    }
}

impl Inputs {
    /// The configuration; `None` until one was good.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_deref()
    }

    /// The node's own interfaces; `None` until they were observed.
    pub fn uplinks(&self) -> Option<&Uplinks> {
        self.uplinks.as_ref()
    }

    /// All workloads, by id.
    pub fn workloads(&self) -> impl Iterator<Item = &Live> {
        self.workloads.values()
    }

    /// One workload.
    pub fn workload(&self, id: &WorkloadId) -> Option<&Live> {
        self.workloads.get(id)
    }

    /// The workload with this host interface.
    pub fn by_interface(&self, name: &str) -> Option<&Live> {
        self.workloads.get(self.by_interface.get(name)?)
    }

    /// The workload that holds this address.
    pub fn by_address(&self, address: IpAddr) -> Option<&Live> {
        self.workloads.get(self.by_address.get(&address)?)
    }

    /// The workloads that claim the same interface of the same namespace.
    pub fn by_slot(&self, netns: NetnsId, ifname: &str) -> impl Iterator<Item = &WorkloadId> {
        self.by_slot.get(&(netns, ifname.to_owned())).into_iter().flatten()
    }

    /// Host interfaces of all workloads.
    pub fn link_keys(&self) -> impl Iterator<Item = LinkKey> {
        self.by_interface.keys().map(|name| LinkKey(name.clone()))
    }

    /// Addresses of all workloads.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }

    /// Own blocks, in configured order.
    pub fn blocks(&self) -> &[Block] {
        self.config().map_or(&[], |config| &config.blocks)
    }

    /// The own block an address lies in.
    pub fn block_of(&self, address: IpAddr) -> Option<&Block> {
        self.blocks().iter().find(|block| block.prefix.contains_addr(address))
    }

    /// The own block with this prefix.
    pub fn block(&self, prefix: Prefix) -> Option<&Block> {
        self.blocks().iter().find(|block| block.prefix == prefix)
    }

    /// Since when a block is configured without a break.
    pub fn block_since(&self, prefix: Prefix) -> Option<Revision> {
        self.block_since.get(&prefix).copied()
    }

    /// The static endpoint that names an address.
    pub fn static_of(&self, address: IpAddr) -> Option<&EndpointKey> {
        self.static_by_address.get(&address)
    }

    /// Replaces the configuration.
    pub fn set_config(&mut self, config: Arc<Config>, revision: Revision) {
        let before = std::mem::take(&mut self.block_since);
        let since = |prefix| before.get(prefix).copied().unwrap_or(revision);
        self.block_since = config.blocks.iter().map(|b| (b.prefix, since(&b.prefix))).collect();
        // Ascending by key, so that of two files that name one address the last name counts.
        let statics = config.endpoints.iter();
        self.static_by_address = statics
            .flat_map(|(key, endpoint)| endpoint.addresses.iter().map(|a| (*a, key.clone())))
            .collect();
        self.config = Some(config);
    }

    /// Replaces the observation of the node's interfaces.
    pub fn set_uplinks(&mut self, uplinks: Uplinks) {
        self.uplinks = Some(uplinks);
    }

    /// Adds or replaces a workload.
    pub fn put_workload(&mut self, live: Live) {
        let id = live.record.id.clone();
        self.remove_workload(&id);
        self.by_interface.insert(live.record.host_interface.clone(), id.clone());
        self.by_address.extend(live.record.addresses().map(|address| (address, id.clone())));
        for slot in slots(&live) {
            self.by_slot.entry(slot).or_default().insert(id.clone());
        }
        self.workloads.insert(id, live);
    }

    /// Removes a workload.
    pub fn remove_workload(&mut self, id: &WorkloadId) -> Option<Live> {
        let live = self.workloads.remove(id)?;
        self.by_interface.remove(&live.record.host_interface);
        for address in live.record.addresses() {
            self.by_address.remove(&address);
        }
        for slot in slots(&live) {
            if let Some(ids) = self.by_slot.get_mut(&slot) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_slot.remove(&slot);
                }
            }
        }
        Some(live)
    }
}

fn slots(live: &Live) -> impl Iterator<Item = (NetnsId, String)> {
    let namespaces = [live.record.netns].into_iter().chain(live.former);
    namespaces.map(|netns| (netns, live.record.id.ifname().to_owned()))
}
