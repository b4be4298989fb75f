// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links and routes reconciled, watched and reaped on one thread, as the daemon does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reconcile::{
    Batch, Completeness, Driver, DriverConfig, Failure, Hints, Mailbox, Outcome, Report, Revision,
    Target,
};
use routed::kernel::{Bell, Handover, LinkTarget, Monitor, MonitorOutputs, Reaper, RouteTarget};
use routed::model::{
    LinkKey, LinkSpec, PROTOCOL_LOCAL, RouteClass, RouteKey, RouteKind, RouteScope, RouteSpec,
    Uplinks,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::support::{Netns, eventually};

/// What a target was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) puts: Arc<AtomicUsize>,
    pub(crate) dumps: Arc<AtomicUsize>,
}

impl Counts {
    pub(crate) fn read(&self) -> (usize, usize) {
        (self.puts.load(Ordering::SeqCst), self.dumps.load(Ordering::SeqCst))
    }
}

struct Counted<T> {
    inner: T,
    counts: Counts,
}

impl<T: Target> Target for Counted<T> {
    type Key = T::Key;
    type Value = T::Value;

    fn dump(&mut self) -> Result<Vec<(T::Key, T::Value)>, Failure> {
        self.counts.dumps.fetch_add(1, Ordering::SeqCst);
        self.inner.dump()
    }

    fn apply(&mut self, batch: &Batch<T::Key, T::Value>) -> Vec<(T::Key, Outcome)> {
        self.counts.puts.fetch_add(batch.puts.len(), Ordering::SeqCst);
        self.inner.apply(batch)
    }
}

/// The lane's ends that the rest of the daemon holds.
#[derive(Clone)]
pub(crate) struct Ends {
    pub(crate) links: Mailbox<LinkKey, LinkSpec>,
    pub(crate) routes: Mailbox<RouteKey, RouteSpec>,
    pub(crate) link_status: Mailbox<LinkKey, Report<LinkKey>>,
    pub(crate) route_status: Mailbox<RouteKey, Report<RouteKey>>,
    pub(crate) handover: Handover,
    pub(crate) uplinks: watch::Receiver<Option<Uplinks>>,
    pub(crate) switches: Bell,
    pub(crate) link_counts: Counts,
    pub(crate) route_counts: Counts,
}

/// How a test wants its lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) uplinks: Vec<String>,
    pub(crate) small_buffer: bool,
}

/// Runs `work` beside a lane of `node`.
pub(crate) fn with_lane(node: &Netns, wish: &Wish, work: impl FnOnce(&Ends)) {
    let cancel = CancellationToken::new();
    let (link_hints, route_hints) = (Hints::new(), Hints::new());
    let (uplinks, seen) = watch::channel(None);
    let ends = Ends {
        links: Mailbox::new(),
        routes: Mailbox::new(),
        link_status: Mailbox::new(),
        route_status: Mailbox::new(),
        handover: Handover::new(link_hints.clone()),
        uplinks: seen,
        switches: Bell::new(),
        link_counts: Counts::default(),
        route_counts: Counts::default(),
    };
    let outputs = MonitorOutputs {
        links: link_hints,
        routes: route_hints,
        switches: ends.switches.clone(),
        uplinks,
    };
    std::thread::scope(|scope| {
        let (inside, stop) = (ends.clone(), cancel.clone());
        scope.spawn(move || node.enter(move || lane(&inside, outputs, wish, &stop)));
        // Also when the test fails: else the lane would run on and the scope wait for it.
        let _stop = cancel.drop_guard();
        eventually("the lane to start", || ends.uplinks.borrow().is_some());
        work(&ends);
    });
}

fn lane(ends: &Ends, outputs: MonitorOutputs, wish: &Wish, cancel: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bell = Bell::new();
    let (link_hints, route_hints) = (outputs.links.clone(), outputs.routes.clone());
    runtime.block_on(async {
        let links = LinkTarget::new(ends.handover.clone(), bell.clone(), route_hints.clone());
        let (links, routes) = (links.unwrap(), RouteTarget::new().unwrap());
        let reaper = Reaper::new(bell).unwrap();
        let ports = [links.port(), routes.port(), reaper.port()];
        let monitor = Monitor::new(wish.uplinks.clone(), &ports, outputs).unwrap();
        if wish.small_buffer {
            monitor.shrink_receive_buffer(4096).unwrap();
        }
        let links = reconcile::run(
            Driver::new(DriverConfig::default()),
            Counted { inner: links, counts: ends.link_counts.clone() },
            ends.links.clone(),
            link_hints,
            ends.link_status.clone(),
            cancel.clone(),
        );
        let routes = reconcile::run(
            Driver::new(DriverConfig::default()),
            Counted { inner: routes, counts: ends.route_counts.clone() },
            ends.routes.clone(),
            route_hints,
            ends.route_status.clone(),
            cancel.clone(),
        );
        let (_, _, monitor, ()) =
            tokio::join!(links, routes, monitor.run(cancel.clone()), reaper.run(cancel.clone()));
        monitor.unwrap();
    });
}

impl Ends {
    /// Publishes a workload's link, with handles, and once it is made its routes.
    pub(crate) fn attach(&self, netns: &Netns, spec: &LinkSpec) {
        self.handover.offer(&spec.key(), netns.handles());
        self.links.publish(spec.key(), Some(spec.clone()), Revision(1));
        let made = || self.link_status.take().entries.iter().any(|(key, _)| *key == spec.key());
        eventually("the link", made);
        for (key, route) in host_routes(spec) {
            self.routes.publish(key, Some(route), Revision(1));
        }
        self.links.set_completeness(Completeness::Complete);
        self.routes.set_completeness(Completeness::Complete);
    }

    /// Takes them back.
    pub(crate) fn detach(&self, spec: &LinkSpec) {
        self.links.publish(spec.key(), None, Revision(2));
        for (key, _) in host_routes(spec) {
            self.routes.publish(key, None, Revision(2));
        }
    }
}

/// The host routes of a workload.
pub(crate) fn host_routes(spec: &LinkSpec) -> Vec<(RouteKey, RouteSpec)> {
    let v4 = spec.v4.map(|v4| (std::net::IpAddr::V4(v4), RouteScope::Link));
    let v6 = spec.v6.map(|v6| (std::net::IpAddr::V6(v6), RouteScope::Universe));
    let route = |(address, scope)| {
        let key = RouteKey::local(bgp::types::Prefix::host(address));
        let spec = RouteSpec {
            protocol: PROTOCOL_LOCAL,
            kind: RouteKind::Device { dev: spec.host_interface.clone() },
            scope,
            prefer_src: None,
            class: RouteClass::Local,
        };
        (key, spec)
    };
    v4.into_iter().chain(v6).map(route).collect()
}
