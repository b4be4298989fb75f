// SPDX-License-Identifier: MIT OR Apache-2.0
//! Namespaces, and looking at them from outside.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reconcile::{Batch, FailureKind, Hints, Outcome, Target};
use routed::kernel::{Bell, ContainerHandles, Handover, LinkTarget};
use routed::model::{LinkKey, LinkSpec, MacAddr, NetnsId, WorkloadId};

/// How long a condition may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A network namespace, removed when dropped.
#[derive(Debug)]
pub(crate) struct Netns {
    pub(crate) name: String,
}

impl Netns {
    pub(crate) fn new(tag: &str) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rtd-t-{}-{number}-{tag}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self { name }
    }

    pub(crate) fn open(&self) -> OwnedFd {
        File::open(format!("/run/netns/{}", self.name)).unwrap().into()
    }

    pub(crate) fn id(&self) -> NetnsId {
        let stat = rustix::fs::fstat(self.open()).unwrap();
        NetnsId { dev: stat.st_dev, ino: stat.st_ino }
    }

    /// Runs on a thread inside.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let fd = self.open();
        let inside = move || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(fd.as_fd(), kind).unwrap();
            work()
        };
        std::thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// `ip` inside; must succeed.
    pub(crate) fn ip(&self, args: &str) -> String {
        let args: Vec<_> = args.split_whitespace().collect();
        run("ip", &[&["-n", &self.name], &args[..]].concat())
    }

    /// A command inside.
    pub(crate) fn try_exec(&self, command: &str) -> Output {
        let net = format!("--net=/run/netns/{}", self.name);
        let args: Vec<_> = command.split_whitespace().collect();
        Command::new("nsenter").arg(net).args(args).output().unwrap()
    }

    /// A command inside; must succeed.
    pub(crate) fn exec(&self, command: &str) -> String {
        let output = self.try_exec(command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} in {}: {text}{error}", self.name);
        text
    }

    pub(crate) fn pings(&self, address: &str) -> bool {
        self.try_exec(&format!("ping -n -c 1 -W 1 {address}")).status.success()
    }

    /// What the CNI plugin does inside before it passes the descriptors.
    pub(crate) fn handles(&self) -> ContainerHandles {
        self.raw_handles(|netns, netlink| ContainerHandles::try_new(netns, netlink).unwrap())
    }

    pub(crate) fn raw_handles<T: Send>(
        &self,
        make: impl FnOnce(OwnedFd, OwnedFd) -> T + Send,
    ) -> T {
        let netlink = self.enter(|| {
            for name in ["all", "default", "lo"] {
                let conf = format!("/proc/sys/net/ipv6/conf/{name}");
                std::fs::write(format!("{conf}/disable_ipv6"), "0").unwrap();
                std::fs::write(format!("{conf}/accept_ra"), "0").unwrap();
            }
            use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
            // NETLINK_ROUTE is protocol 0.
            let flags = SocketFlags::CLOEXEC;
            socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).unwrap()
        });
        make(self.open(), netlink)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &str, args: &[&str]) -> String {
    let output = Command::new(command).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {args:?}: {text}{error}");
    text
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::yield_now();
    }
}

/// The `n`th workload, living in a namespace.
pub(crate) fn spec(n: u8, netns: NetnsId, v4: bool, v6: bool) -> LinkSpec {
    LinkSpec {
        id: WorkloadId::try_new(&format!("container-{n}"), "eth0").unwrap(),
        host_interface: format!("rtd{n:011x}"),
        container_interface: "eth0".to_owned(),
        mac: MacAddr([2, 0, 0x5e, 0, 0, n]),
        mtu: 1400,
        v4: v4.then(|| [10, 90, 0, n].into()),
        v6: v6.then(|| format!("fd90::{n:x}").parse().unwrap()),
        netns,
    }
}

/// A target and its hand-over, to be made inside the node's namespace.
pub(crate) fn target() -> (LinkTarget, Handover) {
    let handover = Handover::new(Hints::new());
    (LinkTarget::new(handover.clone(), Bell::new(), Hints::new()).unwrap(), handover)
}

pub(crate) fn put<T: Target>(target: &mut T, key: &T::Key, value: &T::Value) -> Outcome
where
    T::Key: Clone,
    T::Value: Clone,
{
    let batch = Batch { puts: vec![(key.clone(), value.clone())], deletes: Vec::new() };
    target.apply(&batch).pop().unwrap().1
}

pub(crate) fn delete<T: Target>(target: &mut T, key: &T::Key) -> Outcome
where
    T::Key: Clone,
{
    target.apply(&Batch { puts: Vec::new(), deletes: vec![key.clone()] }).pop().unwrap().1
}

/// Attaches a workload; must succeed.
pub(crate) fn attach(target: &mut LinkTarget, handover: &Handover, netns: &Netns, spec: &LinkSpec) {
    handover.offer(&spec.key(), netns.handles());
    assert_eq!(put(target, &spec.key(), spec), Outcome::Applied);
}

pub(crate) fn failure(outcome: Outcome) -> (FailureKind, String) {
    match outcome {
        Outcome::Failed(failure) => (failure.kind, failure.reason),
        Outcome::Applied => panic!("applied"),
    }
}

/// The links a target reads back, by name.
pub(crate) fn dump(target: &mut LinkTarget) -> Vec<(LinkKey, LinkSpec)> {
    let mut found = target.dump().unwrap();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}
