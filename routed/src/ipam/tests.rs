// SPDX-License-Identifier: MIT OR Apache-2.0

use proptest::prelude::*;

use super::*;

fn id(n: u32) -> WorkloadId {
    WorkloadId::try_new(&format!("c{n}"), "eth0").unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn block(pool: &str, prefix: &str) -> Block {
    Block { pool: pool.to_owned(), prefix: prefix.parse().unwrap(), enabled: true }
}

fn ipam(blocks: &[Block]) -> Ipam {
    let mut ipam = Ipam::new(COOL_DOWN);
    ipam.set_blocks(blocks, &BTreeSet::new());
    ipam
}

fn any(ipam: &mut Ipam, n: u32, now: Instant) -> Result<Allocation, IpamError> {
    ipam.allocate(&id(n), None, &[], now)
}

fn fixed(ipam: &mut Ipam, n: u32, address: &str, now: Instant) -> Result<Allocation, IpamError> {
    let families = Families { v4: false, v6: false };
    ipam.allocate(&id(n), Some(families), &[ip(address)], now)
}

fn v4(text: &str) -> Allocation {
    Allocation { v4: Some(text.parse().unwrap()), v6: None }
}

#[test]
fn every_address_of_a_block_is_handed_out_in_order() {
    let mut ipam = ipam(&[block("p", "10.0.0.0/30")]);
    let now = Instant::now();
    for (n, address) in (0..).zip(["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"]) {
        assert_eq!(any(&mut ipam, n, now), Ok(v4(address)));
    }
    let error = any(&mut ipam, 9, now).unwrap_err();
    assert_eq!(error.to_string(), "pool p exhausted 4/4 (0 cooling)");
}

#[test]
fn the_smallest_blocks_work() {
    let now = Instant::now();
    let mut ipam = ipam(&[block("a", "10.0.0.7/32"), block("b", "10.0.1.0/31")]);
    assert_eq!(any(&mut ipam, 0, now), Ok(v4("10.0.0.7")));
    assert_eq!(any(&mut ipam, 1, now), Ok(v4("10.0.1.0")));
    assert_eq!(any(&mut ipam, 2, now), Ok(v4("10.0.1.1")));
    let error = any(&mut ipam, 3, now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pool a exhausted 1/1 (0 cooling), pool b exhausted 2/2 (0 cooling)"
    );
    let mut ipam = super::tests::ipam(&[block("a", "fd00::7/128"), block("b", "fd00::10/127")]);
    for (n, address) in (0..).zip(["fd00::7", "fd00::10", "fd00::11"]) {
        assert_eq!(any(&mut ipam, n, now).unwrap().v6.unwrap().to_string(), address);
    }
}

#[test]
fn an_exhausted_pool_says_how_many_addresses_only_rest() {
    let mut ipam = ipam(&[block("rack1-v4", "10.64.1.0/26")]);
    let now = Instant::now();
    for n in 0..64 {
        any(&mut ipam, n, now).unwrap();
    }
    ipam.release(ip("10.64.1.5"), now);
    ipam.release(ip("10.64.1.9"), now);
    let error = any(&mut ipam, 99, now).unwrap_err();
    assert_eq!(error.to_string(), "pool rack1-v4 exhausted 64/64 (2 cooling)");
    assert!(!error.is_temporary());
}

#[test]
fn a_returned_address_rests_and_comes_last() {
    let mut ipam = ipam(&[block("p", "10.0.0.0/31")]);
    let start = Instant::now();
    any(&mut ipam, 0, start).unwrap();
    ipam.release(ip("10.0.0.0"), start);
    assert_eq!(any(&mut ipam, 1, start), Ok(v4("10.0.0.1")), "the fresh one goes first");
    let nearly = start + COOL_DOWN - Duration::from_millis(1);
    assert!(any(&mut ipam, 2, nearly).is_err());
    assert_eq!(any(&mut ipam, 2, start + COOL_DOWN), Ok(v4("10.0.0.0")));
}

#[test]
fn returned_addresses_are_reused_in_the_order_they_came_back() {
    let mut ipam = ipam(&[block("p", "10.0.0.0/30")]);
    let start = Instant::now();
    for n in 0..4 {
        any(&mut ipam, n, start).unwrap();
    }
    for address in ["10.0.0.2", "10.0.0.0", "10.0.0.3"] {
        ipam.release(ip(address), start);
    }
    let later = start + COOL_DOWN;
    for (n, address) in (5..).zip(["10.0.0.2", "10.0.0.0", "10.0.0.3"]) {
        assert_eq!(any(&mut ipam, n, later), Ok(v4(address)));
    }
}

#[test]
fn both_families_are_handed_out_or_none() {
    let mut ipam = ipam(&[block("a", "10.0.0.0/30"), block("b", "fd00::/128")]);
    let now = Instant::now();
    let first = any(&mut ipam, 0, now).unwrap();
    assert_eq!((first.v4.is_some(), first.v6.is_some()), (true, true));
    let before = ipam.usage(now);
    let error = any(&mut ipam, 1, now).unwrap_err();
    assert_eq!(error.to_string(), "pool b exhausted 1/1 (0 cooling)");
    assert_eq!(ipam.usage(now), before);
}

#[test]
fn only_the_families_asked_for_are_handed_out() {
    let mut ipam = ipam(&[block("a", "10.0.0.0/30"), block("b", "fd00::/126")]);
    let now = Instant::now();
    let only_v6 = Families { v4: false, v6: true };
    let allocation = ipam.allocate(&id(0), Some(only_v6), &[], now).unwrap();
    assert_eq!(
        allocation,
        Allocation { v4: None, v6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0)) }
    );
    let mut ipam = super::tests::ipam(&[block("a", "10.0.0.0/30")]);
    let error = ipam.allocate(&id(0), Some(only_v6), &[], now).unwrap_err();
    assert_eq!(error, IpamError::NoBlock(Family::Ipv6Unicast));
}

#[test]
fn a_fixed_address_is_handed_out_if_it_is_ours_and_free() {
    let mut ipam = ipam(&[block("p", "10.0.0.0/30")]);
    ipam.set_blocks(&[block("p", "10.0.0.0/30")], &[ip("10.0.0.1")].into());
    let now = Instant::now();
    assert_eq!(fixed(&mut ipam, 0, "10.0.0.2", now), Ok(v4("10.0.0.2")));
    let held = fixed(&mut ipam, 1, "10.0.0.2", now).unwrap_err();
    assert_eq!(held.to_string(), "address 10.0.0.2 is in use by c0/eth0");
    let foreign = fixed(&mut ipam, 1, "10.0.0.4", now).unwrap_err();
    assert_eq!(foreign, IpamError::Outside(ip("10.0.0.4")));
    assert_eq!(fixed(&mut ipam, 1, "10.0.0.1", now), Err(IpamError::Reserved(ip("10.0.0.1"))));
    ipam.release(ip("10.0.0.2"), now);
    let resting = fixed(&mut ipam, 1, "10.0.0.2", now).unwrap_err();
    assert_eq!(resting, IpamError::Cooling { address: ip("10.0.0.2"), seconds: 30 });
    assert!(resting.is_temporary());
    assert_eq!(fixed(&mut ipam, 1, "10.0.0.2", now + COOL_DOWN), Ok(v4("10.0.0.2")));
    let two = ipam.allocate(&id(3), None, &[ip("10.0.0.0"), ip("10.0.0.3")], now).unwrap_err();
    assert_eq!(two, IpamError::TwoOfOneFamily(Family::Ipv4Unicast));
}

#[test]
fn a_fixed_address_of_one_family_leaves_the_other_to_the_pool() {
    let mut ipam = ipam(&[block("a", "10.0.0.0/30"), block("b", "fd00::/126")]);
    let now = Instant::now();
    let allocation = ipam.allocate(&id(0), None, &[ip("10.0.0.3")], now).unwrap();
    assert_eq!(allocation.v4.unwrap().to_string(), "10.0.0.3");
    assert!(allocation.v6.is_some());
}

#[test]
fn a_disabled_block_keeps_its_workloads_and_takes_no_new_ones() {
    let now = Instant::now();
    let mut ipam = ipam(&[block("p", "10.0.0.0/30")]);
    any(&mut ipam, 0, now).unwrap();
    ipam.set_blocks(&[Block { enabled: false, ..block("p", "10.0.0.0/30") }], &BTreeSet::new());
    assert_eq!(any(&mut ipam, 1, now), Err(IpamError::NoBlocks));
    assert_eq!(ipam.owner(ip("10.0.0.0")), Some(&id(0)));
    let outside = fixed(&mut ipam, 1, "10.0.0.2", now);
    assert_eq!(outside, Err(IpamError::Outside(ip("10.0.0.2"))));
}

#[test]
fn an_address_outlives_its_block_and_comes_back_with_it() {
    let now = Instant::now();
    let mut ipam = ipam(&[block("p", "10.0.0.0/31")]);
    any(&mut ipam, 0, now).unwrap();
    ipam.set_blocks(&[], &BTreeSet::new());
    assert_eq!(ipam.owner(ip("10.0.0.0")), Some(&id(0)));
    ipam.set_blocks(&[block("p", "10.0.0.0/31")], &BTreeSet::new());
    assert_eq!(any(&mut ipam, 1, now), Ok(v4("10.0.0.1")));
    assert!(any(&mut ipam, 2, now).is_err());
}

#[test]
fn an_adopted_address_is_held_by_one_workload() {
    let now = Instant::now();
    let mut ipam = ipam(&[block("p", "10.0.0.0/30")]);
    assert_eq!(ipam.adopt(&id(0), ip("10.0.0.0")), Ok(()));
    assert_eq!(ipam.adopt(&id(0), ip("10.0.0.0")), Ok(()), "twice is once");
    assert_eq!(ipam.adopt(&id(7), ip("192.0.2.1")), Ok(()), "outside every block too");
    let held = IpamError::InUse { address: ip("10.0.0.0"), owner: id(0) };
    assert_eq!(ipam.adopt(&id(1), ip("10.0.0.0")), Err(held));
    assert_eq!(any(&mut ipam, 2, now), Ok(v4("10.0.0.1")));
}

#[test]
fn usage_adds_up() {
    let now = Instant::now();
    let mut ipam = ipam(&[]);
    ipam.set_blocks(&[block("p", "10.0.0.0/29")], &[ip("10.0.0.0"), ip("192.0.2.1")].into());
    for n in 0..3 {
        any(&mut ipam, n, now).unwrap();
    }
    ipam.release(ip("10.0.0.1"), now);
    let usage = BlockUsage {
        pool: "p".to_owned(),
        prefix: "10.0.0.0/29".parse().unwrap(),
        total: 8,
        in_use: 2,
        reserved: 1,
        cooling: 1,
        free: 4,
    };
    assert_eq!(ipam.usage(now), [usage]);
}

/// What may happen to an allocator.
#[derive(Clone, Debug)]
enum Op {
    Allocate { v4: bool, v6: bool, fixed: Option<usize> },
    Release(usize),
    Wait(u64),
    Blocks { enabled: [bool; 3] },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any_bool(), any_bool(), proptest::option::weighted(0.3, 0..20usize))
            .prop_map(|(v4, v6, fixed)| Op::Allocate { v4, v6, fixed }),
        3 => (0..20usize).prop_map(Op::Release),
        2 => (0..20u64).prop_map(Op::Wait),
        1 => [any_bool(), any_bool(), any_bool()].prop_map(|enabled| Op::Blocks { enabled }),
    ]
}

fn any_bool() -> impl Strategy<Value = bool> {
    proptest::bool::ANY
}

/// The slowest allocator that could be right: one list of every address with its fate.
struct Naive {
    /// (address, block, holder, when it was returned), fresh ones ascending, then by return.
    all: Vec<(IpAddr, usize, Option<u32>, Option<Instant>)>,
    enabled: [bool; 3],
}

impl Naive {
    fn free(&self, at: usize, now: Instant) -> bool {
        let (_, block, holder, returned) = self.all[at];
        self.enabled[block]
            && holder.is_none()
            && returned.is_none_or(|returned| now >= returned + COOL_DOWN)
    }

    fn pick(&self, v4: bool, now: Instant) -> Option<IpAddr> {
        (0..3).find_map(|block| {
            let mut of_block = (0..self.all.len())
                .filter(|at| self.all[*at].1 == block && self.all[*at].0.is_ipv4() == v4);
            of_block.find(|at| self.free(*at, now)).map(|at| self.all[at].0)
        })
    }

    fn hold(&mut self, address: IpAddr, holder: u32) {
        self.all.iter_mut().find(|entry| entry.0 == address).unwrap().2 = Some(holder);
    }

    fn release(&mut self, address: IpAddr, now: Instant) {
        let at = self.all.iter().position(|entry| entry.0 == address).unwrap();
        let (address, block, _, _) = self.all.remove(at);
        self.all.push((address, block, None, Some(now)));
    }

    fn expect(
        &self,
        v4: bool,
        v6: bool,
        fixed: Option<IpAddr>,
        now: Instant,
    ) -> Option<Vec<IpAddr>> {
        let mut got = Vec::new();
        for (family_v4, wanted) in [(true, v4), (false, v6)] {
            match fixed.filter(|a| a.is_ipv4() == family_v4) {
                Some(address) => {
                    let at = self.all.iter().position(|entry| entry.0 == address)?;
                    got.push(self.free(at, now).then_some(address)?);
                }
                None if wanted => got.push(self.pick(family_v4, now)?),
                None => {}
            }
        }
        Some(got)
    }
}

proptest! {
    #[test]
    fn the_allocator_does_what_the_naive_one_does(ops in proptest::collection::vec(op(), 1..120)) {
        let prefixes = ["10.0.0.0/29", "10.0.1.0/31", "fd00::/126"];
        let with = |enabled: [bool; 3]| -> Vec<Block> {
            (0..3).map(|n| Block { enabled: enabled[n], ..block("p", prefixes[n]) }).collect()
        };
        let mut tested = Ipam::new(COOL_DOWN);
        tested.set_blocks(&with([true; 3]), &BTreeSet::new());
        let mut naive = Naive { all: Vec::new(), enabled: [true; 3] };
        for (n, prefix) in prefixes.iter().enumerate() {
            let prefix: Prefix = prefix.parse().unwrap();
            naive.all.extend(addresses(prefix).map(|a| (a, n, None, None)));
        }
        let every: Vec<IpAddr> = naive.all.iter().map(|entry| entry.0).collect();
        let mut now = Instant::now();
        for (n, op) in (0u32..).zip(ops) {
            match op {
                Op::Allocate { v4, v6, fixed } => {
                    let fixed = fixed.and_then(|n| every.get(n).copied());
                    let expected = naive.expect(v4, v6, fixed, now);
                    let families = Families { v4, v6 };
                    let got = tested.allocate(&id(n), Some(families), fixed.as_slice(), now);
                    let got = got.ok().map(|a| {
                        a.v4.map(IpAddr::V4).into_iter().chain(a.v6.map(IpAddr::V6)).collect::<Vec<_>>()
                    });
                    prop_assert_eq!(&got, &expected);
                    for address in got.unwrap_or_default() {
                        naive.hold(address, n);
                    }
                }
                Op::Release(at) => {
                    let held: Vec<_> =
                        naive.all.iter().filter(|e| e.2.is_some()).map(|e| e.0).collect();
                    if let Some(address) = held.get(at) {
                        tested.release(*address, now);
                        naive.release(*address, now);
                    }
                }
                Op::Wait(seconds) => now += Duration::from_secs(seconds),
                Op::Blocks { enabled } => {
                    tested.set_blocks(&with(enabled), &BTreeSet::new());
                    naive.enabled = enabled;
                }
            }
            for (address, _, holder, _) in &naive.all {
                prop_assert_eq!(tested.owner(*address).cloned(), holder.map(id));
            }
            for usage in tested.usage(now) {
                let sum = usage.in_use + usage.reserved + usage.cooling + usage.free;
                prop_assert_eq!(sum, usage.total);
            }
        }
    }
}
