// SPDX-License-Identifier: MIT OR Apache-2.0
//! A session with a real BIRD: two namespaces, one veth, both families over IPv4.
//!
//! Needs root, `ip` and `bird`; without them each test says so and passes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test set-up starts ip and bird, and a failing step fails the test"
)]

use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bgp::{
    Asn, Community, Family, FamilySet, Handle, LargeCommunity, Originate, PathSet, PeerConfig,
    PeerStatus, Prefix, RibQuery, RibView, Shutdown, SpeakerConfig, Start, State,
};
use reconcile::{Completeness, Mailbox};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio_util::sync::CancellationToken;

const NODE_AS: u32 = 4_200_000_111;
const TOR_AS: u32 = 65_101;
const TRANSPORT_V6: &str = "
  local fd99::2 as 65101;
  neighbor fd99::1 as 4200000111;
  connect delay time 1;
  ipv6 { import all; export where source = RTS_STATIC; next hop self; };
";
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn routes_both_ways_when_we_dial() {
    let Some(lab) = Lab::new("dial") else { return };
    let mut bird = Bird::start(&lab, "passive on;", TOR_AS);
    let mut node = Node::start(&lab, config(|_| {}), Start::Cold);
    exchange(&lab, &mut bird, &mut node, "4200000111");
}

#[test]
fn routes_both_ways_when_they_dial() {
    let Some(lab) = Lab::new("listen") else { return };
    let config = config(|peer| peer.passive = true);
    let mut node = Node::start(&lab, config, Start::Cold);
    let mut bird = Bird::start(&lab, "connect delay time 1;", TOR_AS);
    exchange(&lab, &mut bird, &mut node, "4200000111");
}

#[test]
fn routes_both_ways_inside_one_as() {
    let Some(lab) = Lab::new("ibgp") else { return };
    let mut bird = Bird::start(&lab, "connect delay time 1;", NODE_AS);
    let config = config(|peer| peer.asn = Asn(NODE_AS));
    let mut node = Node::start(&lab, config, Start::Cold);
    exchange(&lab, &mut bird, &mut node, "");
}

#[test]
fn a_session_over_ipv6_carries_ipv6() {
    let Some(lab) = Lab::new("v6") else { return };
    let bird = Bird::start_with(&lab, TRANSPORT_V6);
    let mut config = config(|peer| {
        peer.address = "fd99::2".parse().unwrap();
        peer.local_address = Some("fd99::1".parse().unwrap());
        peer.next_hop_v6 = None;
    });
    config.listen = vec!["[fd99::1]:179".parse().unwrap()];
    let mut node = Node::start(&lab, config, Start::Cold);
    node.until_routes(1);
    node.until_complete();
    assert_eq!(node.gateway("2001:db8:1::/48"), Some("fd99::2".parse().unwrap()));
    bird.until("fd00:64:1::/122", |route| route.contains("BGP.next_hop: fd99::1"));
    assert_eq!(node.peer().families.len(), 1);
}

#[test]
fn a_killed_peer_loses_its_routes_and_comes_back() {
    let Some(lab) = Lab::new("kill") else { return };
    let mut bird = Bird::start(&lab, "passive on;", TOR_AS);
    let mut node = Node::start(&lab, config(|_| {}), Start::Cold);
    node.until_routes(3);
    bird.kill();
    let killed = Instant::now();
    node.until_routes(0);
    assert!(killed.elapsed() < Duration::from_secs(5), "took {:?}", killed.elapsed());
    assert_ne!(node.peer().state, State::Established);
    bird.restart();
    node.until_routes(3);
    assert_eq!(node.peer().established_transitions, 2);
}

#[test]
fn a_graceful_restart_keeps_our_routes_at_the_peer() {
    let Some(lab) = Lab::new("gr") else { return };
    let bird = Bird::start(&lab, "passive on;", TOR_AS);
    let mut node = Node::start(&lab, config(|_| {}), Start::Cold);
    node.until_routes(3);
    bird.until("10.64.1.0/26", |route| route.contains("10.99.0.1"));
    let watch = bird.watch("10.64.1.0/26");
    node.stop(Shutdown::GracefulRestart);
    bird.until("10.64.1.0/26", |route| route.contains("10.99.0.1"));
    let mut node =
        Node::start(&lab, config(|_| {}), Start::Restarted { forwarding_kept: FamilySet::ALL });
    node.until_routes(3);
    node.until_complete();
    assert_eq!(watch.stop(), 0, "BIRD dropped the route during the restart");

    // A Cease ends it: the peer drops the routes at once.
    node.stop(Shutdown::Cease { subcode: 2, text: "maintenance".to_owned() });
    bird.until("10.64.1.0/26", |route| !route.contains("10.99.0.1"));
}

/// Establishes, exchanges both families both ways, withdraws both ways.
fn exchange(lab: &Lab, bird: &mut Bird, node: &mut Node, as_path: &str) {
    node.until_routes(3);
    node.until_complete();
    let peer = node.peer();
    assert_eq!(peer.state, State::Established);
    assert_eq!(peer.families.len(), 2, "{peer:?}");
    assert!(peer.graceful_restart.negotiated);
    assert_eq!(node.gateway("203.0.113.0/24"), Some("10.99.1.1".parse().unwrap()));
    assert_eq!(node.gateway("2001:db8:1::/48"), Some("fd99::2".parse().unwrap()));

    bird.until("10.64.1.0/26", |route| {
        route.contains("BGP.next_hop: 10.99.0.1")
            && route.contains(&format!("BGP.as_path: {as_path}"))
            && route.contains("(65101,10)")
            && route.contains(&format!("({NODE_AS}, 1, 2)"))
    });
    bird.until("fd00:64:1::/122", |route| route.contains("BGP.next_hop: fd99::1"));

    node.handle.originate().remove("10.64.1.0/26".parse().unwrap());
    node.handle.originate().remove("fd00:64:1::/122".parse().unwrap());
    bird.until("10.64.1.0/26", |route| !route.contains("BGP."));
    bird.until("fd00:64:1::/122", |route| !route.contains("BGP."));

    bird.control("disable static4");
    node.until_routes(1);
    bird.control("disable static6");
    node.until_routes(0);
    let query = RibQuery { view: RibView::Loc, ..RibQuery::default() };
    assert!(node.ask(|handle| async move { handle.rib(query).await.unwrap() }).is_empty());
    // The peer's subnet and our own block are refused whatever it sends.
    bird.control("enable static4");
    bird.control("enable forbidden");
    node.until_routes(2);
    let rejected = node.until_rejected(2);
    assert_eq!(rejected["10.64.1.8/32"], "ownBlock");
    assert_eq!(rejected["10.99.7.0/24"], "uplinkSubnet");
    drop(lab.name.clone());
}

fn config(change: impl FnOnce(&mut PeerConfig)) -> SpeakerConfig {
    let mut peer = PeerConfig::new("tor1a", "10.99.1.1".parse().unwrap(), Asn(TOR_AS));
    peer.local_address = Some("10.99.0.1".parse().unwrap());
    peer.next_hop_v6 = Some("fd99::1".parse().unwrap());
    change(&mut peer);
    SpeakerConfig {
        listen: vec![SocketAddr::new("10.99.0.1".parse().unwrap(), 179)],
        own_blocks: vec!["10.64.1.0/26".parse().unwrap(), "fd00:64:1::/122".parse().unwrap()],
        own_addresses: vec!["10.99.0.1".parse().unwrap(), "fd99::1".parse().unwrap()],
        connected: vec!["10.99.0.0/16".parse().unwrap(), "fd99::/64".parse().unwrap()],
        peers: vec![peer],
        ..SpeakerConfig::new(Asn(NODE_AS), "10.99.0.1".parse().unwrap())
    }
}

/// Waits until `look` finds something; panics with the last thing seen otherwise.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > PATIENCE => panic!("{what}: still {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Two namespaces joined by a veth; gone with the value.
struct Lab {
    name: String,
    dir: PathBuf,
}

impl Lab {
    fn new(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let missing = ["ip", "bird", "birdc"].into_iter().find(|tool| which(tool).is_none());
        let is_root = rustix::process::geteuid().is_root();
        if let Some(tool) = missing.or_else(|| (!is_root).then_some("root")) {
            eprintln!("skipped: needs {tool}");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rtd-t-{}-{test}{number}", std::process::id());
        let dir = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&dir).unwrap();
        let lab = Self { name, dir };
        let (node, tor) = (lab.node(), lab.tor());
        for line in [
            format!("netns add {node}"),
            format!("netns add {tor}"),
            format!("link add v0 netns {node} type veth peer name v0 netns {tor}"),
            format!("-n {node} address add 10.99.0.1/16 dev v0"),
            format!("-n {node} address add fd99::1/64 dev v0 nodad"),
            format!("-n {tor} address add 10.99.1.1/16 dev v0"),
            format!("-n {tor} address add fd99::2/64 dev v0 nodad"),
            format!("-n {node} link set lo up"),
            format!("-n {node} link set v0 up"),
            format!("-n {tor} link set lo up"),
            format!("-n {tor} link set v0 up"),
        ] {
            run(Command::new("ip").args(line.split(' ')));
        }
        Some(lab)
    }

    fn node(&self) -> String {
        format!("{}-n", self.name)
    }

    fn tor(&self) -> String {
        format!("{}-t", self.name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in [self.node(), self.tor()] {
            let _ = Command::new("ip").args(["netns", "delete", &name]).output();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn which(tool: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .into_iter()
        .map(|dir| Path::new(dir).join(tool))
        .find(|path| path.exists())
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {error}");
    output
}

/// A BIRD in the namespace of the ToR; killed with the value.
struct Bird {
    namespace: String,
    dir: PathBuf,
    child: Option<Child>,
}

impl Bird {
    /// A session over IPv4 with both families.
    fn start(lab: &Lab, options: &str, asn: u32) -> Self {
        let transport = format!(
            r#"
  local 10.99.1.1 as {asn};
  neighbor 10.99.0.1 as {NODE_AS};
  {options}
  ipv4 {{ import all; export where source = RTS_STATIC; next hop self; }};
  ipv6 {{ import all; export where source = RTS_STATIC; next hop address fd99::2; }};
"#
        );
        Self::start_with(lab, &transport)
    }

    fn start_with(lab: &Lab, transport: &str) -> Self {
        let config = format!(
            r#"
log "{dir}/bird.log" all;
router id 10.99.1.1;
protocol device {{}}
protocol static static4 {{ ipv4; route 203.0.113.0/24 blackhole; route 198.51.100.0/24 blackhole; }}
protocol static static6 {{ ipv6; route 2001:db8:1::/48 blackhole; }}
protocol static forbidden {{ disabled; ipv4; route 10.64.1.8/32 blackhole; route 10.99.7.0/24 blackhole; }}
protocol bgp node {{
  hold time 9; graceful restart on; error wait time 1,2; connect retry time 1;
  {transport}
}}
"#,
            dir = lab.dir.display()
        );
        std::fs::write(lab.dir.join("bird.conf"), config).unwrap();
        let mut bird = Self { namespace: lab.tor(), dir: lab.dir.clone(), child: None };
        bird.restart();
        bird
    }

    fn restart(&mut self) {
        let netns = format!("--net=/run/netns/{}", self.namespace);
        let file = |name: &str| self.dir.join(name).into_os_string();
        let child = Command::new("nsenter")
            .args([netns.as_str(), "bird", "-f", "-c"])
            .args([file("bird.conf"), "-s".into(), file("ctl"), "-P".into(), file("pid")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        eventually("BIRD answers", || {
            let text = self.try_control("show status");
            if text.contains("Daemon is up") { Ok(()) } else { Err(text) }
        });
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(self.dir.join("ctl"));
    }

    fn try_control(&self, command: &str) -> String {
        birdc(&self.dir, command)
    }

    fn control(&self, command: &str) {
        let text = self.try_control(command);
        assert!(!text.contains("syntax error"), "{command}: {text}");
    }

    /// Waits until what BIRD says about a route is as wanted.
    fn until(&self, prefix: &str, wanted: impl Fn(&str) -> bool) {
        eventually(prefix, || {
            let text = self.try_control(&format!("show route {prefix} all"));
            let is_answer = text.contains("Table") || text.contains("not found");
            if is_answer && wanted(&text) { Ok(()) } else { Err(text) }
        });
    }

    /// Counts the looks at which a route is missing, as fast as `birdc` runs.
    fn watch(&self, prefix: &str) -> Watch {
        let (dir, prefix, stop) = (self.dir.clone(), prefix.to_owned(), CancellationToken::new());
        let token = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut missing = 0;
            while !token.is_cancelled() {
                let text = birdc(&dir, &format!("show route {prefix}"));
                missing += usize::from(!text.contains("10.99.0.1"));
            }
            missing
        });
        Watch { stop, thread }
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.join("bird.log")).unwrap_or_default());
        }
        self.kill();
    }
}

struct Watch {
    stop: CancellationToken,
    thread: JoinHandle<usize>,
}

impl Watch {
    fn stop(self) -> usize {
        self.stop.cancel();
        self.thread.join().unwrap()
    }
}

fn birdc(dir: &Path, command: &str) -> String {
    let output = Command::new("birdc")
        .arg("-s")
        .arg(dir.join("ctl"))
        .args(command.split(' '))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Our speaker on a thread of its own in the namespace of the node.
struct Node {
    handle: Handle,
    feed: Mailbox<Prefix, Arc<PathSet>>,
    routes: HashMap<Prefix, Arc<PathSet>>,
    completeness: Completeness,
    cancel: CancellationToken,
    thread: Option<JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    fn start(lab: &Lab, config: SpeakerConfig, start: Start) -> Self {
        let (handle, requests) = Handle::new();
        let originator = handle.originate();
        for prefix in ["10.64.1.0/26", "fd00:64:1::/122"] {
            let attrs = Originate {
                communities: vec![Community::new(65101, 10)],
                large_communities: vec![LargeCommunity::new(NODE_AS, 1, 2)],
                ..Originate::default()
            };
            originator.set(prefix.parse().unwrap(), attrs);
        }
        originator.complete();
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        let namespace = File::open(format!("/run/netns/{}", lab.node())).unwrap();
        let thread = std::thread::spawn(move || {
            use std::os::fd::AsFd;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(bgp::net::run(config, start, requests, token)).unwrap();
        });
        let feed = handle.best_paths();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self {
            handle,
            feed,
            routes: HashMap::new(),
            completeness: Completeness::Loading,
            cancel,
            thread: Some(thread),
            runtime,
        }
    }

    fn ask<T, F: Future<Output = T>>(&self, question: impl FnOnce(Handle) -> F) -> T {
        self.runtime.block_on(question(self.handle.clone()))
    }

    fn peer(&self) -> PeerStatus {
        self.ask(|handle| async move { handle.peers().await.unwrap().remove(0) })
    }

    fn take(&mut self) {
        let changes = self.feed.take();
        self.completeness = changes.completeness;
        for (prefix, change) in changes.entries {
            match change.value {
                Some(paths) => self.routes.insert(prefix, paths),
                None => self.routes.remove(&prefix),
            };
        }
    }

    fn until_routes(&mut self, count: usize) {
        eventually("routes", || {
            self.take();
            let seen = || format!("{:?}, {:?}", self.routes.keys(), self.peer());
            if self.routes.len() == count { Ok(()) } else { Err(seen()) }
        });
    }

    fn until_complete(&mut self) {
        eventually("completeness", || {
            self.take();
            let complete = self.completeness == Completeness::Complete;
            if complete { Ok(()) } else { Err("loading".to_owned()) }
        });
    }

    fn until_rejected(&self, count: usize) -> HashMap<String, &'static str> {
        eventually("rejected routes", || {
            let query = RibQuery { view: RibView::Rejected, ..RibQuery::default() };
            let routes = self.ask(|handle| async move { handle.rib(query).await.unwrap() });
            let map: HashMap<_, _> =
                routes.iter().map(|r| (r.prefix.to_string(), r.reason.as_str())).collect();
            if map.len() == count { Ok(map) } else { Err(format!("{map:?}")) }
        })
    }

    fn gateway(&self, prefix: &str) -> Option<IpAddr> {
        let prefix: Prefix = prefix.parse().unwrap();
        assert!(matches!(prefix.family(), Family::Ipv4Unicast | Family::Ipv6Unicast));
        self.routes.get(&prefix)?.next_hops().next()
    }

    fn stop(mut self, kind: Shutdown) {
        self.ask(|handle| async move { handle.shutdown(kind).await.unwrap() });
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
