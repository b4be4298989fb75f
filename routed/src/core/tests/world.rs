// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node in memory: the core, a disk, and lanes made of real mailboxes and drivers over a kernel
//! that is a few maps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::Originate;
use bgp::types::Prefix;
use policy::model::{EndpointKey, LocalEndpoint, Policy, PolicyId, RemoteEndpoint};
use reconcile::{
    Action, Completeness, Drift, Driver, DriverConfig, Failure, FailureKind, Mailbox, Outcome,
    Report, Revision,
};

use crate::config::{self, Config};
use crate::core::{
    Core, Event, Handover, Publish, Refusal, Reply, Settings, StatusReport, Table, Ticket,
};
use crate::model::{
    AttachAnswer, AttachRequest, DetachRequest, InterfaceAddress, LinkKey, LinkSpec, NetnsId,
    RouteKey, RouteKind, RouteSpec, Uplink, Uplinks, Workload, WorkloadId,
};
use crate::store::{Loaded, StoreError};

pub(super) fn id(n: usize) -> WorkloadId {
    WorkloadId::try_new(&format!("c{n}"), "eth0").unwrap()
}

pub(super) fn netns(n: u64) -> NetnsId {
    NetnsId { dev: 4, ino: n }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn add(n: usize, ns: u64) -> AttachRequest {
    AttachRequest {
        id: id(n),
        netns: netns(ns),
        namespace: None,
        name: None,
        labels: BTreeMap::new(),
        families: None,
        addresses: Vec::new(),
        mac: None,
        mtu: None,
        received: 0,
    }
}

pub(super) fn del(n: usize, ns: Option<u64>) -> DetachRequest {
    DetachRequest { id: id(n), netns: ns.map(netns) }
}

/// Blocks of this node, and more NodeConfig fields.
pub(super) fn config(blocks: &str, more: &str) -> Arc<Config> {
    config_with(blocks, more, "")
}

pub(super) fn config_with(blocks: &str, more: &str, documents: &str) -> Arc<Config> {
    let text = format!(
        "apiVersion: routed.dev/v1\nkind: NodeConfig\nmetadata: {{ name: n1 }}\n\
         spec: {{ asNumber: 64600, uplinks: [eth0], blocks: [{blocks}]{more} }}\n---\n\
         apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{ name: v4 }}\n\
         spec: {{ cidr: 10.0.0.0/8 }}\n---\n\
         apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{ name: v6 }}\n\
         spec: {{ cidr: \"fd00::/16\" }}\n{documents}"
    );
    let sources = [("all.yaml", text)].into_iter().collect();
    config::parse(sources, "n1").unwrap_or_else(|errors| panic!("{}", errors[0])).config
}

pub(super) fn uplinks(loopback: &[&str]) -> Uplinks {
    let address = |text: &str| InterfaceAddress {
        address: ip(text),
        prefix_len: if text.contains(':') { 128 } else { 32 },
        global: true,
        secondary: false,
    };
    let on_uplink = ["192.0.2.10", "2001:db8::10"];
    let eth0 = Uplink {
        name: "eth0".to_owned(),
        index: 2,
        up: true,
        mtu: 1400,
        addresses: on_uplink.map(address).to_vec(),
    };
    Uplinks {
        loopback: loopback.iter().map(|text| address(text)).collect(),
        interfaces: vec![eth0],
        local: loopback.iter().chain(&on_uplink).map(|text| ip(text)).collect(),
    }
}

/// One lane: what it holds, and the reports it has not delivered.
pub(super) struct Lane<K, V> {
    pub(super) mailbox: Mailbox<K, V>,
    driver: Driver<K, V>,
    pub(super) actual: BTreeMap<K, V>,
    pub(super) reports: VecDeque<Report<K>>,
    /// Keys whose put fails, and how.
    pub(super) broken: BTreeMap<K, FailureKind>,
    /// The lane does nothing.
    pub(super) stuck: bool,
    pub(super) writes: usize,
}

impl<K: Ord + Hash + Clone, V: PartialEq + Clone> Lane<K, V> {
    fn new() -> Self {
        Self {
            mailbox: Mailbox::new(),
            driver: Driver::new(DriverConfig::default()),
            actual: BTreeMap::new(),
            reports: VecDeque::new(),
            broken: BTreeMap::new(),
            stuck: false,
            writes: 0,
        }
    }

    /// A new process over the same kernel.
    fn restart(&mut self) {
        self.mailbox = Mailbox::new();
        self.driver = Driver::new(DriverConfig::default());
        self.reports.clear();
    }

    /// One action; false if there was none. `put` says what the kernel makes of a value.
    fn step(
        &mut self,
        now: Instant,
        mut put: impl FnMut(&K, &V) -> Result<(), FailureKind>,
    ) -> bool {
        if self.stuck {
            return false;
        }
        self.driver.on_changes(self.mailbox.take());
        let acted = match self.driver.next(now) {
            Action::Dump => {
                let found = self.actual.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                self.driver.on_dump(Ok(found), now);
                true
            }
            Action::Apply(batch) => {
                let mut outcomes = Vec::new();
                for (key, value) in batch.puts {
                    let broken = self.broken.get(&key).copied();
                    let done = broken.map_or_else(|| put(&key, &value), Err);
                    outcomes.push((key.clone(), outcome(done)));
                    if done.is_ok() {
                        self.writes += 1;
                        self.actual.insert(key, value);
                    }
                }
                for key in batch.deletes {
                    self.writes += 1;
                    self.actual.remove(&key);
                    outcomes.push((key, Outcome::Applied));
                }
                self.driver.on_outcomes(outcomes, now);
                true
            }
            Action::Idle(_) => false,
        };
        while let Some(report) = self.driver.poll_report() {
            self.reports.push_back(report);
        }
        acted
    }

    /// The kernel lost an object, and the lane heard of it.
    fn lose(&mut self, key: &K) {
        self.actual.remove(key);
        self.driver.on_drift(Drift::Key(key.clone()));
    }
}

fn outcome(done: Result<(), FailureKind>) -> Outcome {
    match done {
        Ok(()) => Outcome::Applied,
        Err(kind) => Outcome::Failed(Failure::new(kind, "injected")),
    }
}

/// Disk and mailboxes.
pub(super) struct Outlets {
    pub(super) disk: BTreeMap<WorkloadId, Workload>,
    pub(super) disk_fails: bool,
    pub(super) links: Lane<LinkKey, LinkSpec>,
    pub(super) routes: Lane<RouteKey, RouteSpec>,
    pub(super) endpoints: Lane<EndpointKey, LocalEndpoint>,
    pub(super) adverts: BTreeMap<Prefix, Originate>,
    pub(super) advert_reports: VecDeque<Report<Prefix>>,
    pub(super) remotes: BTreeMap<EndpointKey, RemoteEndpoint>,
    pub(super) policies: BTreeMap<PolicyId, Arc<Policy>>,
    pub(super) complete: BTreeSet<Table>,
}

impl Outlets {
    fn disk(&self) -> Result<(), StoreError> {
        let source = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
        let error = StoreError::Io { action: "write", path: "workloads".into(), source };
        if self.disk_fails { Err(error) } else { Ok(()) }
    }
}

impl Publish for Outlets {
    fn put_record(&mut self, record: &Workload) -> Result<(), StoreError> {
        self.disk()?;
        self.disk.insert(record.id.clone(), record.clone());
        Ok(())
    }

    fn remove_record(&mut self, id: &WorkloadId) -> Result<(), StoreError> {
        self.disk()?;
        self.disk.remove(id);
        Ok(())
    }

    fn link(&mut self, key: LinkKey, value: Option<LinkSpec>, revision: Revision) {
        if let Some(spec) = &value {
            assert!(self.disk.contains_key(&spec.id), "{} published without a record", spec.id);
        }
        self.links.mailbox.publish(key, value, revision);
    }

    fn route(&mut self, key: RouteKey, value: Option<RouteSpec>, revision: Revision) {
        self.routes.mailbox.publish(key, value, revision);
    }

    fn advert(&mut self, key: Prefix, value: Option<Originate>, revision: Revision) {
        let present = value.is_some();
        match value {
            Some(value) => self.adverts.insert(key, value),
            None => self.adverts.remove(&key),
        };
        self.advert_reports.push_back(Report { key, revision, outcome: Outcome::Applied, present });
    }

    fn endpoint(&mut self, key: EndpointKey, value: Option<LocalEndpoint>, revision: Revision) {
        self.endpoints.mailbox.publish(key, value, revision);
    }

    fn remote(&mut self, key: EndpointKey, value: Option<RemoteEndpoint>, _: Revision) {
        match value {
            Some(value) => self.remotes.insert(key, value),
            None => self.remotes.remove(&key),
        };
    }

    fn policy(&mut self, key: PolicyId, value: Option<Arc<Policy>>, _: Revision) {
        match value {
            Some(value) => self.policies.insert(key, value),
            None => self.policies.remove(&key),
        };
    }

    fn complete(&mut self, table: Table) {
        assert!(self.complete.insert(table), "{table:?} is complete twice");
        match table {
            Table::Links => self.links.mailbox.set_completeness(Completeness::Complete),
            Table::Routes => self.routes.mailbox.set_completeness(Completeness::Complete),
            Table::Endpoints => self.endpoints.mailbox.set_completeness(Completeness::Complete),
            Table::Adverts | Table::Remotes | Table::Policies => {}
        }
    }
}

/// A node in memory.
pub(super) struct World {
    pub(super) core: Core,
    pub(super) out: Outlets,
    pub(super) now: Instant,
    /// Descriptors on their way to the link lane, with the namespace they open.
    pub(super) handles: BTreeMap<WorkloadId, NetnsId>,
    pub(super) dead: BTreeSet<NetnsId>,
    pub(super) answers: BTreeMap<Ticket, Result<Reply, Refusal>>,
    pub(super) tickets: Ticket,
    config: Arc<Config>,
    uplinks: Uplinks,
}

/// The lanes whose actions the world schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Link,
    Route,
    Endpoint,
    Advert,
}

impl Which {
    pub(super) const ALL: [Self; 4] = [Self::Link, Self::Route, Self::Endpoint, Self::Advert];
}

impl World {
    /// A node with one IPv4 and one IPv6 block of eight addresses.
    pub(super) fn new() -> Self {
        Self::with(config("10.0.0.0/29, \"fd00::/125\"", ""))
    }

    pub(super) fn with(config: Arc<Config>) -> Self {
        let out = Outlets {
            disk: BTreeMap::new(),
            disk_fails: false,
            links: Lane::new(),
            routes: Lane::new(),
            endpoints: Lane::new(),
            adverts: BTreeMap::new(),
            advert_reports: VecDeque::new(),
            remotes: BTreeMap::new(),
            policies: BTreeMap::new(),
            complete: BTreeSet::new(),
        };
        let mut world = Self {
            core: Core::new(Settings::default(), Loaded::default()),
            out,
            now: Instant::now(),
            handles: BTreeMap::new(),
            dead: BTreeSet::new(),
            answers: BTreeMap::new(),
            tickets: 0,
            config,
            uplinks: uplinks(&["10.255.0.1", "fd00:ffff::1"]),
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.core.on_config(Arc::clone(&self.config), self.now);
        self.core.on_uplinks(self.uplinks.clone());
        self.flush();
    }

    /// The process dies and starts again; disk and kernel stay.
    pub(super) fn restart(&mut self) {
        let workloads = self.out.disk.values().cloned().collect();
        self.core = Core::new(Settings::default(), Loaded { workloads, quarantined: vec![] });
        self.out.links.restart();
        self.out.routes.restart();
        self.out.endpoints.restart();
        self.out.complete.clear();
        self.out.adverts.clear();
        self.out.advert_reports.clear();
        self.handles.clear();
        self.start();
    }

    pub(super) fn set_config(&mut self, config: Arc<Config>) {
        self.config = Arc::clone(&config);
        self.core.on_config(config, self.now);
        self.flush();
    }

    pub(super) fn set_uplinks(&mut self, uplinks: Uplinks) {
        self.uplinks = uplinks.clone();
        self.core.on_uplinks(uplinks);
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        self.core.flush(&mut self.out, self.now);
        assert_eq!(self.core.audit(), 0, "what is published is what the inputs say");
        while let Some(Event { ticket, reply }) = self.core.poll_event() {
            assert!(ticket <= self.tickets);
            let before = self.answers.insert(ticket, reply);
            assert_eq!(before, None, "answered twice");
        }
    }

    pub(super) fn attach(&mut self, request: &AttachRequest) -> Ticket {
        self.tickets += 1;
        let handover = self.core.attach(self.tickets, request, self.now);
        if handover == Handover::Needed && !self.dead.contains(&request.netns) {
            self.handles.insert(request.id.clone(), request.netns);
        }
        self.flush();
        self.tickets
    }

    pub(super) fn detach(&mut self, request: &DetachRequest) -> Ticket {
        self.tickets += 1;
        self.core.detach(self.tickets, request, self.now);
        self.flush();
        self.tickets
    }

    /// One action of a lane; false if it has nothing to do.
    pub(super) fn step(&mut self, which: Which) -> bool {
        let Outlets { links, routes, endpoints, .. } = &mut self.out;
        let now = self.now;
        match which {
            Which::Link => {
                let (handles, dead) = (&mut self.handles, &self.dead);
                let mut made = Vec::new();
                let acted = links.step(now, |key, spec| {
                    let open = handles.remove(&spec.id) == Some(spec.netns);
                    if !open || dead.contains(&spec.netns) {
                        return Err(FailureKind::Gone);
                    }
                    made.push(key.clone());
                    Ok(())
                });
                // A link that was made anew took the routes over the old one with it.
                for key in made {
                    self.flush_routes(&key);
                }
                acted
            }
            Which::Route => routes.step(now, |_, spec| match &spec.kind {
                RouteKind::Device { dev } if !links.actual.contains_key(&LinkKey(dev.clone())) => {
                    Err(FailureKind::Gone)
                }
                _ => Ok(()),
            }),
            Which::Endpoint => endpoints.step(now, |_, _| Ok(())),
            Which::Advert => false,
        }
    }

    fn flush_routes(&mut self, link: &LinkKey) {
        let over =
            |spec: &RouteSpec| matches!(&spec.kind, RouteKind::Device { dev } if *dev == link.0);
        let routes = &mut self.out.routes;
        let lost: Vec<_> =
            routes.actual.iter().filter(|(_, spec)| over(spec)).map(|(key, _)| *key).collect();
        for key in lost {
            routes.lose(&key);
        }
    }

    /// Delivers the oldest report of a lane; false if there is none.
    pub(super) fn deliver(&mut self, which: Which) -> bool {
        let report = match which {
            Which::Link => self.out.links.reports.pop_front().map(StatusReport::Link),
            Which::Route => self.out.routes.reports.pop_front().map(StatusReport::Route),
            Which::Endpoint => self.out.endpoints.reports.pop_front().map(StatusReport::Endpoint),
            Which::Advert => self.out.advert_reports.pop_front().map(StatusReport::Advert),
        };
        let Some(report) = report else { return false };
        self.core.on_report(report, self.now);
        self.flush();
        true
    }

    /// A container's namespace is deleted: its links vanish with their routes.
    pub(super) fn kill_netns(&mut self, netns: NetnsId) {
        self.dead.insert(netns);
        let links = &mut self.out.links;
        let lost: Vec<_> = links
            .actual
            .iter()
            .filter(|(_, spec)| spec.netns == netns)
            .map(|(key, _)| key.clone())
            .collect();
        for key in lost {
            self.out.links.lose(&key);
            self.flush_routes(&key);
        }
    }

    /// Lets the lanes work until nothing moves any more.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut moved = false;
            for which in Which::ALL {
                moved |= self.step(which);
                moved |= self.deliver(which);
            }
            if !moved {
                return;
            }
        }
        panic!("the node does not settle");
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.core.on_timeout(self.now);
        self.flush();
    }

    pub(super) fn attached(&mut self, n: usize, ns: u64) -> AttachAnswer {
        let ticket = self.attach(&add(n, ns));
        self.settle();
        match self.answers.get(&ticket) {
            Some(Ok(Reply::Attached(answer))) => answer.clone(),
            other => panic!("not attached: {other:?}"),
        }
    }

    pub(super) fn refusal(&self, ticket: Ticket) -> String {
        match self.answers.get(&ticket) {
            Some(Err(refusal)) => refusal.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(super) fn is_detached(&self, ticket: Ticket) -> bool {
        self.answers.get(&ticket) == Some(&Ok(Reply::Detached))
    }

    pub(super) fn state(&self, n: usize) -> Option<&'static str> {
        self.core.workload(&id(n)).map(|view| view.state.as_str())
    }

    pub(super) fn free(&self) -> Vec<u32> {
        self.core.ipam(self.now).iter().map(|block| block.free).collect()
    }

    /// Nothing of any workload is anywhere.
    pub(super) fn is_empty(&self) -> bool {
        let out = &self.out;
        out.disk.is_empty()
            && out.links.actual.is_empty()
            && out.endpoints.actual.is_empty()
            && out.routes.actual.values().all(|spec| spec.kind == RouteKind::Blackhole)
            && self.core.workloads().next().is_none()
    }
}
