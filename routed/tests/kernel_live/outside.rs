// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seen from outside: an unprivileged daemon, a restart that nobody notices, a container that
//! tries to be a router.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use reconcile::Target;
use routed::kernel::{Bell, ContainerHandles, Reaper, RouteTarget, SwitchMode, Switches, check};

use super::lane::{Wish, host_routes, with_lane};
use super::support::{Netns, attach, delete, dump, eventually, put, spec, target};

/// Environment of the unprivileged half: the container's namespace. Its socket is standard input.
const NETNS: &str = "KERNEL_LIVE_NETNS";
const STATE_DIR: &str = "KERNEL_LIVE_STATE_DIR";

#[test]
fn one_capability_is_enough_for_everything() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let state = tempfile::tempdir().unwrap();
    rustix::fs::chown(
        state.path(),
        Some(rustix::fs::Uid::from_raw(65534)),
        Some(rustix::fs::Gid::from_raw(65534)),
    )
    .unwrap();
    let netlink = a.raw_handles(|_, netlink| netlink);
    let caps = ["--inh-caps", "--ambient-caps", "--bounding-set"]
        .map(|set| format!("{set}=-all,+net_admin"));
    // Somewhere the other user may read and execute it.
    let exe = state.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let output = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", node.name))
        .args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        .args(caps)
        .arg(exe)
        .args(["--exact", "outside::the_unprivileged_half", "--ignored", "--nocapture"])
        .stdin(netlink)
        .env(NETNS, format!("/run/netns/{}", a.name))
        .env(STATE_DIR, state.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    assert!(node.pings("10.90.0.1"));
    assert!(node.pings("fd90::1"));
}

#[test]
#[ignore = "the other half of one_capability_is_enough_for_everything"]
fn the_unprivileged_half() {
    let Ok(state) = std::env::var(STATE_DIR) else { return };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(status.contains("CapEff:\t0000000000001000"), "{status}");
    assert!(status.contains("Uid:\t65534"), "{status}");
    let netns = std::fs::File::open(std::env::var(NETNS).unwrap()).unwrap().into();
    let netlink = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let handles = ContainerHandles::try_new(netns, netlink).unwrap();
    let switches = Switches::new(SwitchMode::Manage, state.as_ref()).ensure(&[]);
    assert!(switches.errors.is_empty(), "{:?}", switches.errors);
    let (mut links, handover) = target();
    let mut routes = RouteTarget::new().unwrap();
    let spec = spec(1, handles.id(), true, true);
    handover.offer(&spec.key(), handles);
    assert_eq!(put(&mut links, &spec.key(), &spec), reconcile::Outcome::Applied);
    for (key, route) in host_routes(&spec) {
        assert_eq!(put(&mut routes, &key, &route), reconcile::Outcome::Applied);
    }
    assert_eq!(dump(&mut links), [(spec.key(), spec.clone())]);
    assert_eq!(routes.dump().unwrap().len(), 2);
    assert_eq!(Reaper::new(Bell::new()).unwrap().reap().unwrap(), 0);
}

#[test]
fn a_restart_with_unchanged_wishes_is_noticed_by_nobody() {
    let (node, a, b) = (Netns::new("node"), Netns::new("a"), Netns::new("b"));
    let specs = [spec(1, a.id(), true, true), spec(2, b.id(), true, false)];
    with_lane(&node, &Wish::default(), |ends| {
        ends.attach(&a, &specs[0]);
        ends.attach(&b, &specs[1]);
        eventually("the routes", || ends.route_status.len() == 3);
    });
    let mut child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", node.name))
        .args(["stdbuf", "-oL", "ip", "monitor", "all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The first mark that comes through tells that it listens.
    let listens = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !listens.load(Ordering::SeqCst) {
                node.ip("route add blackhole 192.0.2.1");
                node.ip("route del blackhole 192.0.2.1");
            }
        });
        lines.find(|line| line.as_ref().unwrap().contains("192.0.2.1"));
        listens.store(true, Ordering::SeqCst);
    });
    node.ip("route add blackhole 192.0.2.2");
    let last = |mark: &str, lines: &mut dyn Iterator<Item = std::io::Result<String>>| {
        lines.map(Result::unwrap).take_while(|line| !line.contains(mark)).collect::<Vec<_>>()
    };
    last("192.0.2.2", &mut lines);
    with_lane(&node, &Wish::default(), |ends| {
        for spec in &specs {
            ends.links.publish(spec.key(), Some(spec.clone()), reconcile::Revision(1));
            for (key, route) in host_routes(spec) {
                ends.routes.publish(key, Some(route), reconcile::Revision(1));
            }
        }
        ends.links.set_completeness(reconcile::Completeness::Complete);
        ends.routes.set_completeness(reconcile::Completeness::Complete);
        eventually("reports", || ends.link_status.len() == 2 && ends.route_status.len() == 3);
        assert_eq!(ends.link_counts.read(), (0, 1));
        assert_eq!(ends.route_counts.read(), (0, 1));
    });
    node.ip("route add blackhole 192.0.2.3");
    let seen = last("192.0.2.3", &mut lines);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(seen, [""; 0]);
}

/// Sends a router advertisement (RFC 4861 §4.2) out of an interface.
fn advertise_as_router(netns: &Netns, interface: &str) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};
    netns.enter(|| {
        let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
        let socket = socket_with(AddressFamily::INET6, kind, flags, Some(ipproto::ICMPV6)).unwrap();
        sockopt::set_ipv6_multicast_hops(&socket, 255).unwrap();
        let index = rustix::net::netdevice::name_to_index(&socket, interface).unwrap();
        let all_nodes = "ff02::1".parse().unwrap();
        let address = std::net::SocketAddrV6::new(all_nodes, 0, 0, index);
        // Type 134, router lifetime 1800 s; the kernel fills in the checksum.
        let message = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let none = rustix::net::SendFlags::empty();
        rustix::net::sendto(&socket, &message, none, &address).unwrap();
    });
}

#[test]
fn a_container_that_advertises_itself_as_router_changes_nothing_on_the_node() {
    for (v4, v6) in [(true, true), (false, true), (true, false)] {
        let (node, a) = (Netns::new("node"), Netns::new("a"));
        // The least careful node there is.
        node.exec("sysctl -qw net.ipv6.conf.default.accept_ra=2");
        let spec = spec(1, a.id(), v4, v6);
        node.enter(|| {
            let (mut links, handover) = target();
            attach(&mut links, &handover, &a, &spec);
        });
        let dev = &spec.host_interface;
        let has_default = || node.ip("-6 route").contains("default");
        if !v6 {
            a.ip("-6 addr add fe80::5/64 dev eth0 nodad");
        }
        advertise_as_router(&a, "eth0");
        advertise_as_router(&a, "eth0");
        assert!(!has_default());
        if v6 {
            // The control: it would have worked.
            node.exec(&format!("sysctl -qw net.ipv6.conf.{dev}.accept_ra=2"));
            eventually("a default route", || {
                advertise_as_router(&a, "eth0");
                has_default()
            });
        }
    }
}

#[test]
fn a_route_never_points_to_a_workload_whose_interface_index_changed_hands() {
    const ROUNDS: usize = 100;
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let (first, second) = (spec(1, a.id(), true, false), spec(2, a.id(), true, false));
    node.enter(|| {
        let (mut links, handover) = target();
        let mut routes = RouteTarget::new().unwrap();
        for round in 0..ROUNDS {
            let spec = if round % 2 == 0 { &first } else { &second };
            attach(&mut links, &handover, &a, spec);
            let (key, route) = host_routes(spec).remove(0);
            assert_eq!(put(&mut routes, &key, &route), reconcile::Outcome::Applied);
            assert_eq!(routes.dump().unwrap(), [(key, route)]);
            assert_eq!(check(a.handles(), spec).unwrap(), []);
            delete(&mut links, &spec.key());
            assert_eq!(delete(&mut routes, &key), reconcile::Outcome::Applied);
        }
    });
}
