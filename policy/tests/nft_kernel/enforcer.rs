// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole lane against the kernel: mailboxes in, table and status out.

use std::{
    future::Future,
    os::fd::BorrowedFd,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use policy::{
    Endpoint, EndpointKey, Labels, LocalEndpoint, RemoteEndpoint,
    load::{Document, parse},
    nft::{Enforcer, EnforcerConfig, Inputs, Runtime, Target, Turn},
};
use reconcile::{Completeness, Mailbox, Outcome, Report, Revision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{Monitor, Namespace, eventually, listing, nft_load, output, run};

pub(crate) const POLICY: &str = r#"
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: api-in, namespace: shop }
spec:
  selector: app == "api"
  ingress:
  - { action: Allow, protocol: TCP, source: { selector: app == "web" }, destination: { ports: [80] } }
  - { action: Allow, protocol: UDP, source: { nets: [10.0.0.0/8] }, destination: { ports: [53, "1000:2000"] } }
"#;

/// Looks at sockets and the clock every millisecond.
struct Ticking;

impl Runtime for Ticking {
    async fn sleep_until(&self, time: Instant) {
        std::future::poll_fn(|_| ready(Instant::now() >= time)).await;
    }

    async fn readable(&self, socket: BorrowedFd<'_>) {
        std::future::poll_fn(|_| {
            let mut fds = [PollFd::new(&socket, PollFlags::IN)];
            ready(poll(&mut fds, Some(&Timespec::default())).unwrap() > 0)
        })
        .await;
    }
}

fn ready(is_ready: bool) -> Poll<()> {
    if is_ready { Poll::Ready(()) } else { Poll::Pending }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// An enforcer on a thread of its own, stopped when dropped.
pub(crate) struct Lane {
    pub(crate) inputs: Inputs,
    pub(crate) status: Mailbox<EndpointKey, Report<EndpointKey>>,
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    /// Starts it in the namespace of the calling thread.
    pub(crate) fn start() -> Self {
        let (inputs, status) = (Inputs::default(), Mailbox::new());
        let cancel = Arc::new(AtomicBool::new(false));
        let enforcer = Enforcer::new(
            &EnforcerConfig::default(),
            Target::open().unwrap(),
            inputs.clone(),
            status.clone(),
        );
        let cancelled = Arc::clone(&cancel);
        let thread = thread::spawn(move || {
            let cancelled = std::future::poll_fn(|_| ready(cancelled.load(Ordering::Relaxed)));
            block_on(enforcer.run(&Ticking, cancelled));
        });
        Self { inputs, status, cancel, thread: Some(thread) }
    }

    pub(crate) fn add_local(&self, interface: &str, app: &str, addresses: &[&str]) {
        let endpoint = LocalEndpoint(endpoint(app, addresses));
        self.inputs.locals.publish(interface.into(), Some(endpoint), Revision(1));
    }

    pub(crate) fn add_policies(&self, text: &str) {
        for document in parse("policy.yaml", text).unwrap() {
            let Document::Policy(policy) = document else { panic!("{document:?}") };
            self.inputs.policies.publish(policy.id.clone(), Some(policy), Revision(1));
        }
    }

    pub(crate) fn complete(&self) {
        self.inputs.policies.set_completeness(Completeness::Complete);
        self.inputs.locals.set_completeness(Completeness::Complete);
        self.inputs.remotes.set_completeness(Completeness::Complete);
    }

    /// Waits for the answer about an endpoint.
    pub(crate) fn wait_for(&self, interface: &str, present: bool) {
        eventually(|| {
            self.status.take().entries.into_iter().any(|(key, change)| {
                let report = change.value.unwrap();
                assert_eq!(report.outcome, Outcome::Applied);
                key.as_str() == interface && report.present == present
            })
        });
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub(crate) fn endpoint(app: &str, addresses: &[&str]) -> Endpoint {
    let labels: Labels = [("app", app)].into_iter().collect();
    Endpoint::new("shop", &labels, addresses.iter().map(|a| a.parse().unwrap()).collect())
}

fn feed(lane: &Lane) {
    lane.add_policies(POLICY);
    lane.add_local("rtdapi", "api", &["10.64.1.2", "fd00:64::2"]);
    lane.add_local("rtdweb", "web", &["10.64.1.3"]);
    let far = RemoteEndpoint(endpoint("web", &["10.64.2.3"]));
    lane.inputs.remotes.publish("shop/web-2".into(), Some(far), Revision(1));
}

#[test]
fn the_base_ruleset_is_in_force_without_any_source() {
    let _namespace = Namespace::enter();
    let lane = Lane::start();
    eventually(|| output("nft", &["list", "table", "inet", "routed"]).status.success());
    lane.add_local("rtdapi", "api", &["10.64.1.2"]);
    let listing = listing();
    assert!(listing.contains("hook forward") && !listing.contains("rtdapi"), "{listing}");
}

#[test]
fn a_restart_of_the_lane_writes_one_message() {
    let _namespace = Namespace::enter();
    let lane = Lane::start();
    feed(&lane);
    lane.complete();
    lane.wait_for("rtdapi", true);
    drop(lane);
    let before = listing();
    assert!(before.contains("\"rtdapi\" : goto"), "{before}");

    let mut monitor = Monitor::start();
    let lane = Lane::start();
    feed(&lane);
    lane.complete();
    lane.wait_for("rtdapi", true);
    let changes = monitor.changes();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert!(changes[0].starts_with("add table inet routed"), "{changes:?}");
    assert_eq!(listing(), before);

    lane.inputs.locals.publish("rtdapi".into(), None, Revision(2));
    lane.wait_for("rtdapi", false);
    assert!(!listing().contains("rtdapi"));
}

#[test]
fn a_turn_reads_once_and_then_rests() {
    let _namespace = Namespace::enter();
    let mut enforcer = Enforcer::new(
        &EnforcerConfig::default(),
        Target::open().unwrap(),
        Inputs::default(),
        Mailbox::new(),
    );
    let now = Instant::now();
    assert_eq!(enforcer.turn(now), Turn::Busy);
    assert_eq!(enforcer.turn(now), Turn::Busy);
    let Turn::Idle(Some(audit)) = enforcer.turn(now) else { panic!("the audit is due some day") };
    assert!(audit > now);
    assert_eq!(enforcer.turn(audit), Turn::Busy);
    assert!(matches!(enforcer.turn(audit), Turn::Idle(Some(_))));
    assert_eq!(enforcer.target().stats().transactions, 1);
}

/// As on a kernel that cannot keep others out: what they do is noticed at once.
#[test]
fn an_unowned_table_that_others_delete_is_back_at_once() {
    let _namespace = Namespace::enter();
    let lane = Lane::start();
    feed(&lane);
    lane.complete();
    lane.wait_for("rtdapi", true);
    drop(lane);
    let before = listing();
    run("nft", &["delete", "table", "inet", "routed"]);
    assert!(nft_load(&before).status.success());

    let lane = Lane::start();
    feed(&lane);
    lane.complete();
    lane.wait_for("rtdapi", true);
    assert_eq!(listing(), before);
    for damage in [
        &["delete", "element", "inet", "routed", "to_workload", "{ \"rtdapi\" }"][..],
        &["insert", "rule", "inet", "routed", "ingress", "accept"],
        &["delete", "table", "inet", "routed"],
    ] {
        run("nft", damage);
        eventually(|| {
            output("nft", &["list", "table", "inet", "routed"]).status.success()
                && sorted(&listing()) == sorted(&before)
        });
    }
}

fn sorted(listing: &str) -> Vec<&str> {
    let mut lines: Vec<_> = listing.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_foreign_table_of_our_name_keeps_everything_waiting_until_it_is_gone() {
    let _namespace = Namespace::enter();
    run("nft", &["add", "table", "inet", "routed"]);
    let lane = Lane::start();
    feed(&lane);
    lane.complete();
    lane.inputs.policies.set_completeness(Completeness::Complete);
    eventually(|| lane.inputs.locals.is_empty());
    assert_eq!(listing(), "table inet routed {\n}\n");
    assert!(lane.status.is_empty());
    run("nft", &["delete", "table", "inet", "routed"]);
    lane.wait_for("rtdapi", true);
}
