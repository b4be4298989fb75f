// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address allocation from the blocks of this node.
//!
//! The state is a function of the workload records: an address is in use because a record holds
//! it, everything else of a block is free. Only two things are remembered beside that, both in
//! memory and both lost without harm: the order in which addresses came back (the one that rested
//! longest is handed out first) and how long a returned one must rest.
//!
//! Every address of a block is usable, the first and the last too: workloads have host routes, a
//! block is no subnet. Blocks of /31 and /32 (/127, /128) are blocks like others.
//!
//! Invariant: an address is in at most one of *in use*, *reserved*, *queued*, and a queued one
//! lies in exactly one block.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use bgp::types::{Family, Prefix};

use crate::model::{Block, Families, WorkloadId};

/// How long a returned address rests before another workload may get it.
pub const COOL_DOWN: Duration = Duration::from_secs(30);

/// How full a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockUsage {
    /// Name of the pool.
    pub pool: String,
    /// The block.
    pub prefix: Prefix,
    /// Number of addresses.
    pub total: u32,
    /// Held by workloads, also by those whose objects are still being removed.
    pub in_use: u32,
    /// Never handed out: addresses of the node itself.
    pub reserved: u32,
    /// Returned, but still resting.
    pub cooling: u32,
    /// Ready to be handed out.
    pub free: u32,
}

/// Addresses handed out together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// IPv4 address, if asked for.
    pub v4: Option<Ipv4Addr>,
    /// IPv6 address, if asked for.
    pub v6: Option<Ipv6Addr>,
}

/// Why no address was handed out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// Nothing is free in any enabled block of the family.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Exhausted(Vec<ExhaustedPool>),
    /// The node has no enabled block of the family.
    #[error("no {} block on this node takes new workloads", word(*.0))]
    NoBlock(Family),
    /// The node has no enabled block at all.
    #[error("no block on this node takes new workloads")]
    NoBlocks,
    /// The address asked for is not one of this node.
    #[error("address {0} is in no block of this node that takes new workloads")]
    Outside(IpAddr),
    /// The address asked for belongs to the node itself.
    #[error("address {0} is reserved for the node")]
    Reserved(IpAddr),
    /// The address is held by another workload.
    #[error("address {address} is in use by {owner}")]
    InUse {
        /// The address.
        address: IpAddr,
        /// Who holds it.
        owner: WorkloadId,
    },
    /// The address asked for was returned a moment ago.
    #[error("address {address} was in use until a moment ago, free in {seconds} s")]
    Cooling {
        /// The address.
        address: IpAddr,
        /// How long it still rests, rounded up.
        seconds: u64,
    },
    /// Two addresses of one family were asked for.
    #[error("more than one {} address asked for", word(*.0))]
    TwoOfOneFamily(Family),
}

impl IpamError {
    /// Whether the same request may succeed a moment later without anybody acting.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Cooling { .. })
    }
}

/// A pool whose blocks on this node have no free address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExhaustedPool {
    /// Name of the pool.
    pub pool: String,
    /// Number of addresses of its enabled blocks.
    pub total: u32,
    /// How many of them only rest.
    pub cooling: u32,
    /// These blocks.
    pub blocks: Vec<Prefix>,
}

impl fmt::Display for ExhaustedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, total, cooling, .. } = self;
        write!(f, "pool {pool} exhausted {total}/{total} ({cooling} cooling)")
    }
}

/// The allocator.
#[derive(Clone, Debug)]
pub struct Ipam {
    cool_down: Duration,
    blocks: Vec<BlockState>,
    in_use: BTreeMap<IpAddr, WorkloadId>,
    /// When a returned address has rested enough.
    cooling: BTreeMap<IpAddr, Instant>,
}

#[derive(Clone, Debug)]
struct BlockState {
    block: Block,
    /// Addresses to hand out, the one that rested longest first.
    queue: VecDeque<IpAddr>,
    reserved: BTreeSet<IpAddr>,
}

impl Ipam {
    /// An allocator without blocks.
    pub fn new(cool_down: Duration) -> Self {
        Self { cool_down, blocks: Vec::new(), in_use: BTreeMap::new(), cooling: BTreeMap::new() }
    }

    /// Replaces the blocks and the reserved addresses; what is in use stays in use.
    ///
    /// The blocks must not overlap. Costs one step per address of all blocks.
    pub fn set_blocks(&mut self, blocks: &[Block], reserved: &BTreeSet<IpAddr>) {
        let before = std::mem::take(&mut self.blocks);
        for block in blocks {
            let prefix = block.prefix;
            let reserved: BTreeSet<_> =
                reserved.iter().filter(|a| prefix.contains_addr(**a)).copied().collect();
            let mut rest: BTreeSet<_> = addresses(prefix)
                .filter(|a| !self.in_use.contains_key(a) && !reserved.contains(a))
                .collect();
            let kept = before.iter().flat_map(|old| &old.queue).copied();
            let mut queue: VecDeque<_> = kept.filter(|a| rest.remove(a)).collect();
            queue.extend(rest);
            self.blocks.push(BlockState { block: block.clone(), queue, reserved });
        }
    }

    /// Takes over an address from a workload's record, whether or not it lies in a block.
    ///
    /// # Errors
    /// Another workload holds it.
    pub fn adopt(&mut self, owner: &WorkloadId, address: IpAddr) -> Result<(), IpamError> {
        if let Some(holder) = self.in_use.get(&address) {
            if holder == owner {
                return Ok(());
            }
            return Err(IpamError::InUse { address, owner: holder.clone() });
        }
        self.take(owner, address);
        Ok(())
    }

    /// Hands out the addresses a workload asks for: all of them or none.
    ///
    /// `families` `None` means every family with an enabled block. Each of `wanted` is a request
    /// for exactly this address.
    ///
    /// # Errors
    /// Names the address or the pools that stand in the way; nothing has changed then.
    pub fn allocate(
        &mut self,
        owner: &WorkloadId,
        families: Option<Families>,
        wanted: &[IpAddr],
        now: Instant,
    ) -> Result<Allocation, IpamError> {
        let fixed = |family| {
            let mut of_family = wanted.iter().filter(move |a| family_of(**a) == family).copied();
            match (of_family.next(), of_family.next()) {
                (_, Some(_)) => Err(IpamError::TwoOfOneFamily(family)),
                (address, None) => Ok(address),
            }
        };
        let (fixed_v4, fixed_v6) = (fixed(Family::Ipv4Unicast)?, fixed(Family::Ipv6Unicast)?);
        let families = match families {
            Some(families) => families,
            None => self.families().ok_or(IpamError::NoBlocks)?,
        };
        let v4 = self.pick(families.v4, Family::Ipv4Unicast, fixed_v4, now)?;
        let v6 = self.pick(families.v6, Family::Ipv6Unicast, fixed_v6, now)?;
        let mut allocation = Allocation::default();
        for address in [v4, v6].into_iter().flatten() {
            self.take(owner, address);
            match address {
                IpAddr::V4(address) => allocation.v4 = Some(address),
                IpAddr::V6(address) => allocation.v6 = Some(address),
            }
        }
        Ok(allocation)
    }

    /// Takes an address back; from now on it rests.
    pub fn release(&mut self, address: IpAddr, now: Instant) {
        if self.in_use.remove(&address).is_none() {
            return;
        }
        self.cooling.retain(|_, until| *until > now);
        self.cooling.insert(address, now + self.cool_down);
        if let Some(state) = self.block_mut(address)
            && !state.reserved.contains(&address)
        {
            state.queue.push_back(address);
        }
    }

    /// Takes an address back that nobody ever used: it is the next to be handed out.
    pub fn cancel(&mut self, address: IpAddr) {
        if self.in_use.remove(&address).is_some()
            && let Some(state) = self.block_mut(address)
            && !state.reserved.contains(&address)
        {
            state.queue.push_front(address);
        }
    }

    /// The block an address lies in.
    pub fn block_of(&self, address: IpAddr) -> Option<&Block> {
        self.blocks.iter().map(|s| &s.block).find(|b| b.prefix.contains_addr(address))
    }

    /// Who holds an address.
    pub fn owner(&self, address: IpAddr) -> Option<&WorkloadId> {
        self.in_use.get(&address)
    }

    /// How full each block is, in configured order.
    pub fn usage(&self, now: Instant) -> Vec<BlockUsage> {
        self.blocks.iter().map(|state| self.usage_of(state, now)).collect()
    }

    fn usage_of(&self, state: &BlockState, now: Instant) -> BlockUsage {
        let cooling = state.queue.iter().filter(|a| self.is_cooling(**a, now)).count();
        let in_block = |address: &&IpAddr| state.block.prefix.contains_addr(**address);
        BlockUsage {
            pool: state.block.pool.clone(),
            prefix: state.block.prefix,
            total: count(addresses(state.block.prefix).count()),
            in_use: count(self.in_use.keys().filter(in_block).count()),
            reserved: count(state.reserved.len()),
            cooling: count(cooling),
            free: count(state.queue.len() - cooling),
        }
    }

    /// Families with an enabled block; `None` without any.
    fn families(&self) -> Option<Families> {
        let has = |family| self.enabled(family).next().is_some();
        let families = Families { v4: has(Family::Ipv4Unicast), v6: has(Family::Ipv6Unicast) };
        (families.v4 || families.v6).then_some(families)
    }

    fn enabled(&self, family: Family) -> impl Iterator<Item = &BlockState> {
        self.blocks.iter().filter(move |s| s.block.enabled && s.block.prefix.family() == family)
    }

    /// The address to hand out, without taking it yet.
    fn pick(
        &self,
        wanted: bool,
        family: Family,
        fixed: Option<IpAddr>,
        now: Instant,
    ) -> Result<Option<IpAddr>, IpamError> {
        match fixed {
            Some(address) => self.check_fixed(address, now).map(|()| Some(address)),
            None if wanted => self.pick_any(family, now).map(Some),
            None => Ok(None),
        }
    }

    fn pick_any(&self, family: Family, now: Instant) -> Result<IpAddr, IpamError> {
        let mut queued = self.enabled(family).flat_map(|s| &s.queue).copied();
        if let Some(address) = queued.find(|a| !self.is_cooling(*a, now)) {
            return Ok(address);
        }
        let mut pools: Vec<ExhaustedPool> = Vec::new();
        for state in self.enabled(family) {
            let usage = self.usage_of(state, now);
            match pools.iter_mut().find(|p| p.pool == usage.pool) {
                Some(pool) => {
                    pool.total += usage.total;
                    pool.cooling += usage.cooling;
                    pool.blocks.push(usage.prefix);
                }
                None => pools.push(ExhaustedPool {
                    pool: usage.pool,
                    total: usage.total,
                    cooling: usage.cooling,
                    blocks: vec![usage.prefix],
                }),
            }
        }
        let error =
            if pools.is_empty() { IpamError::NoBlock(family) } else { IpamError::Exhausted(pools) };
        Err(error)
    }

    fn check_fixed(&self, address: IpAddr, now: Instant) -> Result<(), IpamError> {
        let block = self.blocks.iter().find(|s| s.block.prefix.contains_addr(address));
        let Some(state) = block.filter(|s| s.block.enabled) else {
            return Err(IpamError::Outside(address));
        };
        if state.reserved.contains(&address) {
            return Err(IpamError::Reserved(address));
        }
        if let Some(owner) = self.in_use.get(&address) {
            return Err(IpamError::InUse { address, owner: owner.clone() });
        }
        match self.cooling.get(&address) {
            Some(until) if *until > now => {
                let rest = *until - now;
                let seconds = rest.as_secs() + u64::from(rest.subsec_nanos() > 0);
                Err(IpamError::Cooling { address, seconds })
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, owner: &WorkloadId, address: IpAddr) {
        self.cooling.remove(&address);
        if let Some(state) = self.block_mut(address) {
            state.queue.retain(|a| *a != address);
        }
        self.in_use.insert(address, owner.clone());
    }

    fn block_mut(&mut self, address: IpAddr) -> Option<&mut BlockState> {
        self.blocks.iter_mut().find(|s| s.block.prefix.contains_addr(address))
    }

    fn is_cooling(&self, address: IpAddr, now: Instant) -> bool {
        self.cooling.get(&address).is_some_and(|until| *until > now)
    }
}

/// The family of an address.
fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ipv4Unicast } else { Family::Ipv6Unicast }
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "IPv4",
        Family::Ipv6Unicast => "IPv6",
    }
}

/// Every address of a prefix, ascending. Only for blocks, whose size is bounded by configuration.
fn addresses(prefix: Prefix) -> Box<dyn Iterator<Item = IpAddr>> {
    match prefix {
        Prefix::V4(p) => {
            let last = p.bits() | u32::MAX.checked_shr(p.prefix_len().into()).unwrap_or(0);
            Box::new((p.bits()..=last).map(|bits| Ipv4Addr::from(bits).into()))
        }
        Prefix::V6(p) => {
            let last = p.bits() | u128::MAX.checked_shr(p.prefix_len().into()).unwrap_or(0);
            Box::new((p.bits()..=last).map(|bits| Ipv6Addr::from(bits).into()))
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
