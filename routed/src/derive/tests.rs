// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bgp::types::Family;
use proptest::prelude::*;
use reconcile::{Failure, FailureKind, Outcome, Report, Revision};

use super::*;
use crate::config::{self, Config};
use crate::model::{
    InterfaceAddress, LinkKey, MacAddr, NetnsId, RouteKind, RouteScope, Stage, Uplink, Uplinks,
    Workload, WorkloadId,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A configuration of a node with these fields, and more documents.
fn config(node: &str, documents: &str) -> Arc<Config> {
    let text = format!(
        "apiVersion: routed.dev/v1\nkind: NodeConfig\nmetadata: {{ name: n1 }}\n\
         spec: {{ asNumber: 64600, {node} }}\n---\n\
         apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{ name: v4 }}\n\
         spec: {{ cidr: 10.0.0.0/8 }}\n---\n\
         apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{ name: v6 }}\n\
         spec: {{ cidr: \"fd00::/16\" }}\n{documents}"
    );
    let sources = [("all.yaml", text)].into_iter().collect();
    config::parse(sources, "n1").unwrap_or_else(|errors| panic!("{}", errors[0])).config
}

fn peer(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{ name: {name} }}\n\
         spec: {{ peerIP: \"{address}\", asNumber: 65101 }}\n"
    )
}

/// `address/length`, with `!` for one that is not global and `~` for a secondary one.
fn address(text: &str) -> InterfaceAddress {
    let (global, text) = text.strip_prefix('!').map_or((true, text), |rest| (false, rest));
    let (secondary, text) = text.strip_prefix('~').map_or((false, text), |rest| (true, rest));
    let (address, length) = text.split_once('/').unwrap();
    InterfaceAddress {
        address: ip(address),
        prefix_len: length.parse().unwrap(),
        global,
        secondary,
    }
}

fn uplinks(loopback: &[&str], interfaces: &[(&str, &[&str])]) -> Uplinks {
    let read = |texts: &[&str]| texts.iter().map(|text| address(text)).collect::<Vec<_>>();
    let mut uplinks = Uplinks { loopback: read(loopback), ..Uplinks::default() };
    for (index, (name, addresses)) in (2..).zip(interfaces) {
        let addresses = read(addresses);
        uplinks.local.extend(addresses.iter().map(|a| a.address));
        let name = (*name).to_owned();
        uplinks.interfaces.push(Uplink { name, index, up: true, mtu: 1500, addresses });
    }
    uplinks.local.extend(uplinks.loopback.iter().map(|a| a.address));
    uplinks
}

fn workload(n: u8, phase: Phase) -> Live {
    let record = Workload {
        id: WorkloadId::try_new(&format!("c{n}"), "eth0").unwrap(),
        netns: NetnsId { dev: 4, ino: n.into() },
        namespace: "default".to_owned(),
        name: format!("c{n}"),
        labels: [("n".to_owned(), n.to_string())].into(),
        v4: Some([10, 0, 0, n].into()),
        v6: Some([0xfd00, 0, 0, 0, 0, 0, 0, n.into()].into()),
        mac: MacAddr([2, 0, 0, 0, 0, n]),
        mtu: 1500,
        host_interface: format!("rtd{n}"),
        created: 0,
        stage: Stage::Attached,
    };
    Live { record, phase, since: Revision(5), former: None }
}

mod addresses {
    use super::*;

    fn own(config: &Config, uplinks: &Uplinks) -> [Option<String>; 2] {
        Family::ALL.map(|family| address::own(config, uplinks, family).map(|a| a.to_string()))
    }

    #[test]
    fn the_first_global_address_on_the_loopback_is_the_nodes_own() {
        let config = config("uplinks: [eth0], blocks: []", "");
        let loopback = ["!127.0.0.1/8", "10.9.9.9/32", "10.9.9.8/32", "!::1/128", "fd00:9::9/128"];
        let uplinks = uplinks(&loopback, &[("eth0", &["192.0.2.1/24"])]);
        assert_eq!(own(&config, &uplinks), [Some("10.9.9.9".into()), Some("fd00:9::9".into())]);
    }

    #[test]
    fn else_the_primary_one_of_the_first_uplink_that_has_one() {
        let config = config("uplinks: [eth0, eth1], blocks: []", "");
        let eth0: &[&str] = &["~192.0.2.7/24", "!fe80::1/64"];
        let eth1: &[&str] = &["192.0.2.9/24", "2001:db8::9/64"];
        let uplinks = uplinks(&["!127.0.0.1/8"], &[("eth0", eth0), ("eth1", eth1)]);
        assert_eq!(own(&config, &uplinks), [Some("192.0.2.9".into()), Some("2001:db8::9".into())]);
    }

    #[test]
    fn a_configured_one_counts_only_while_the_node_has_it() {
        let config = config("blocks: [], addresses: { v4: 10.9.9.9, v6: \"fd00:9::9\" }", "");
        let mut uplinks = uplinks(&["10.1.1.1/32"], &[]);
        assert_eq!(own(&config, &uplinks), [None, None]);
        uplinks.local.insert(ip("10.9.9.9"));
        assert_eq!(own(&config, &uplinks), [Some("10.9.9.9".into()), None]);
    }

    #[test]
    fn without_configured_uplinks_they_are_where_the_peers_are() {
        let interfaces: &[(&str, &[&str])] =
            &[("mgmt0", &["198.51.100.1/24"]), ("eth0", &["192.0.2.1/31", "!fe80::1/64"])];
        let uplinks = uplinks(&[], interfaces);
        let names = |config: &Config| {
            let selected = address::selected(config, &uplinks);
            selected.map(|uplink| uplink.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&config("blocks: []", &peer("tor", "192.0.2.0"))), ["eth0"]);
        assert_eq!(names(&config("blocks: []", &peer("tor", "fe80::2"))), [""; 0]);
        assert_eq!(names(&config("uplinks: [mgmt0, eth0], blocks: []", "")), ["mgmt0", "eth0"]);
    }
}

mod speakers {
    use super::*;

    fn speaker(config: &Arc<Config>, uplinks: Uplinks) -> bgp::SpeakerConfig {
        let mut inputs = Inputs::default();
        inputs.set_config(Arc::clone(config), Revision(1));
        inputs.set_uplinks(uplinks);
        let speaker = speaker::derive(&inputs).unwrap();
        speaker.validate().unwrap();
        speaker
    }

    #[test]
    fn it_is_made_of_what_the_files_say_and_the_node_looks_like() {
        let peers =
            peer("tor-a", "192.0.2.0") + &peer("tor-b", "2001:db8::2") + &peer("far", "10.7.7.7");
        let config = config("uplinks: [eth0], blocks: [10.0.0.0/26]", &peers);
        let eth0: &[&str] = &["192.0.2.1/31", "!fe80::1/64", "2001:db8::1/64", "~192.0.2.9/24"];
        let speaker = speaker(&config, uplinks(&["10.9.9.9/32"], &[("eth0", eth0)]));
        assert_eq!(speaker.asn.0, 64_600);
        assert_eq!(
            speaker.router_id.to_string(),
            "192.0.2.1",
            "the uplink's towards the first peer"
        );
        let listen: Vec<_> = speaker.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["192.0.2.1:179", "[2001:db8::1]:179"]);
        let connected: Vec<_> = speaker.connected.iter().map(ToString::to_string).collect();
        assert_eq!(connected, ["192.0.2.0/24", "192.0.2.0/31", "2001:db8::/64"]);
        assert_eq!(speaker.own_blocks, ["10.0.0.0/26".parse().unwrap()]);
        assert!(speaker.own_addresses.contains(&ip("10.9.9.9")));
        let hops: Vec<_> = speaker
            .peers
            .iter()
            .map(|p| (p.name.as_str(), p.next_hop_v4, p.next_hop_v6, p.local_address))
            .collect();
        let (v4, v6) = ([192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap());
        assert_eq!(
            hops,
            [
                ("far", None, None, None),
                ("tor-a", None, Some(v6), None),
                ("tor-b", Some(v4), None, None),
            ]
        );
    }

    #[test]
    fn the_configured_address_is_the_next_hop_if_it_is_on_the_uplink_or_nothing_else_is() {
        let node = "uplinks: [eth0], blocks: [], addresses: { v6: \"fd00:9::9\" }";
        let config = config(node, &peer("tor", "192.0.2.0"));
        let hop = |loopback: &[&str], eth0: &[&str]| {
            let speaker = speaker(&config, uplinks(loopback, &[("eth0", eth0)]));
            speaker.peers[0].next_hop_v6.map(|hop| hop.to_string())
        };
        let (v4, v6, own) = ("192.0.2.1/31", "2001:db8::1/64", "fd00:9::9/128");
        assert_eq!(hop(&[], &[v4, v6, own]).as_deref(), Some("fd00:9::9"));
        assert_eq!(hop(&[own], &[v4, v6]).as_deref(), Some("2001:db8::1"));
        assert_eq!(hop(&[own], &[v4]).as_deref(), Some("fd00:9::9"));
        assert_eq!(hop(&[], &[v4]), None);
    }

    #[test]
    fn what_is_configured_is_not_guessed() {
        let node = "uplinks: [eth0], blocks: [], routerId: 10.1.1.11, \
                    bgp: { listen: [10.9.9.9], port: 1790 }";
        let documents = "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\n\
            metadata: { name: rr }\n\
            spec: { peerIP: 10.7.7.7, asNumber: 64600, sourceAddress: UseNodeIP }\n";
        let config = config(node, documents);
        let speaker = speaker(&config, uplinks(&["10.9.9.9/32"], &[("eth0", &["192.0.2.1/31"])]));
        assert_eq!(speaker.router_id.to_string(), "10.1.1.11");
        assert_eq!(speaker.listen, ["10.9.9.9:1790".parse().unwrap()]);
        assert_eq!(speaker.peers[0].local_address, Some(ip("10.9.9.9")));
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut inputs = Inputs::default();
        assert_eq!(speaker::derive(&inputs), Err(speaker::NotReady::NoConfig));
        inputs.set_config(config("blocks: []", ""), Revision(1));
        assert_eq!(speaker::derive(&inputs), Err(speaker::NotReady::NoUplinks));
        inputs.set_uplinks(uplinks(&[], &[]));
        assert_eq!(speaker::derive(&inputs), Err(speaker::NotReady::NoRouterId));
    }
}

mod the_bfd_sessions {
    use super::*;

    fn sessions(profile: &str, peers: &[(&str, &str)]) -> Vec<String> {
        let peers: String = peers.iter().map(|(name, at)| peer(name, at)).collect();
        let documents = format!(
            "{peers}---\napiVersion: routed.dev/v1\nkind: BGPPeerProfile\n\
             metadata: {{ name: tors }}\nspec: {{ peers: [\"tor*\"], {profile} }}\n"
        );
        let mut inputs = Inputs::default();
        inputs.set_config(config("uplinks: [eth0, eth1], blocks: []", &documents), Revision(1));
        let eth0: &[&str] = &["!fe80::7/64", "192.0.2.1/24", "2001:db8::1/64"];
        let eth1: &[&str] = &["198.51.100.1/31"];
        inputs.set_uplinks(uplinks(&["10.9.9.9/32"], &[("eth0", eth0), ("eth1", eth1)]));
        let show = |spec: crate::model::BfdSpec| {
            let local = spec.local.map_or_else(|| "-".to_owned(), |local| local.to_string());
            let (dev, far) = (spec.interface.unwrap_or_else(|| "-".to_owned()), spec.multihop);
            let (micros, times) = (spec.interval_micros, spec.multiplier);
            format!("{local} {dev} {} far={far} {micros} x {times}", spec.peer)
        };
        bfd::derive(&inputs).into_iter().map(show).collect()
    }

    #[test]
    fn they_run_between_the_addresses_of_bgp_over_the_uplink_of_the_peer() {
        let peers = [("tor0", "192.0.2.2"), ("tor1", "198.51.100.0"), ("tor6", "2001:db8::2")];
        assert_eq!(
            sessions("bfd: {}", &peers),
            [
                "192.0.2.1 eth0 192.0.2.2 far=false 300000 x 3",
                "198.51.100.1 eth1 198.51.100.0 far=false 300000 x 3",
                "2001:db8::1 eth0 2001:db8::2 far=false 300000 x 3",
            ]
        );
    }

    #[test]
    fn only_for_peers_that_want_one() {
        let peers = [("other", "192.0.2.3"), ("tor0", "192.0.2.2")];
        let fast = sessions("bfd: { interval: 50ms, multiplier: 5 }", &peers);
        assert_eq!(fast, ["192.0.2.1 eth0 192.0.2.2 far=false 50000 x 5"]);
        assert_eq!(sessions("bfd: { enabled: false }", &peers), [""; 0]);
        assert_eq!(sessions("passive: true", &peers), [""; 0]);
    }

    #[test]
    fn over_several_hops_they_start_from_the_address_of_the_session_or_the_nodes_own() {
        let far = [("tor0", "203.0.113.9")];
        assert_eq!(
            sessions("ebgpMultihop: 3, bfd: {}", &far),
            ["10.9.9.9 - 203.0.113.9 far=true 300000 x 3"]
        );
        assert_eq!(
            sessions("ebgpMultihop: 3, localAddress: 192.0.2.1, bfd: {}", &far),
            ["192.0.2.1 - 203.0.113.9 far=true 300000 x 3"]
        );
        let near = [("tor0", "192.0.2.2")];
        assert_eq!(
            sessions("ebgpMultihop: 3, bfd: {}", &near),
            ["10.9.9.9 - 192.0.2.2 far=true 300000 x 3"]
        );
    }
}

mod values {
    use super::*;

    fn inputs() -> Inputs {
        let mut inputs = Inputs::default();
        inputs.set_config(config("uplinks: [eth0], blocks: [10.0.0.0/28]", ""), Revision(1));
        inputs.set_uplinks(uplinks(&["10.9.9.9/32"], &[]));
        inputs.put_workload(workload(1, Phase::Wanted));
        inputs.put_workload(workload(2, Phase::Clearing(Next::Hold)));
        inputs
    }

    #[test]
    fn a_host_route_leads_to_the_link_and_a_block_nowhere() {
        let desired = all(&inputs(), &Status::default());
        let shown: Vec<_> = desired
            .routes
            .iter()
            .map(|(key, spec)| (key.to_string(), spec.kind.clone(), spec.scope, spec.prefer_src))
            .collect();
        let device = RouteKind::Device { dev: "rtd1".to_owned() };
        let v4 = "10.0.0.1/32 table 254 metric 0".to_owned();
        let v6 = "fd00::1/128 table 254 metric 1024".to_owned();
        let block = "10.0.0.0/28 table 254 metric 0".to_owned();
        assert_eq!(
            shown,
            [
                (block, RouteKind::Blackhole, RouteScope::Universe, None),
                (v4, device.clone(), RouteScope::Link, Some(ip("10.9.9.9"))),
                (v6, device, RouteScope::Universe, None),
            ]
        );
        assert_eq!(desired.links.len(), 1, "a workload being cleared has no link");
        assert_eq!(desired.endpoints.len(), 1);
        assert!(desired.adverts.is_empty(), "every gate is shut");
    }

    /// Each part opens the gate only with a report of the right revision.
    #[test]
    fn a_workload_is_ready_when_all_its_parts_are() {
        let inputs = inputs();
        let live = workload(1, Phase::Wanted);
        let ready = |revisions: [u64; 4]| {
            let [link, v4, v6, endpoint] = revisions.map(|r| Held::Present(Revision(r)));
            let state = |held| KeyState { held, failure: None };
            let mut status = Status::default();
            status.links.insert(live.record.link_key(), state(link));
            status.routes.insert(route::host_key(ip("10.0.0.1")), state(v4));
            status.routes.insert(route::host_key(ip("fd00::1")), state(v6));
            status.endpoints.insert("rtd1".into(), state(endpoint));
            gate::is_ready(&inputs, &status, &live)
        };
        assert!(ready([5, 5, 5, 5]));
        assert!(ready([9, 5, 7, 6]));
        for part in 0..4 {
            let mut revisions = [5; 4];
            revisions[part] = 4;
            assert!(!ready(revisions), "{part}");
        }
        assert!(!gate::is_ready(&inputs, &Status::default(), &live));
    }

    #[test]
    fn a_report_says_what_is_in_force() {
        let report = |revision, outcome, present| Report {
            key: (),
            revision: Revision(revision),
            outcome,
            present,
        };
        let failed = |kind| Outcome::Failed(Failure::new(kind, "no"));
        let mut state = KeyState::default();
        state.record(&report(3, Outcome::Applied, true));
        assert!(state.is_present(Revision(3)) && !state.is_present(Revision(4)));
        state.record(&report(4, failed(FailureKind::Retry), true));
        assert!(state.is_present(Revision(3)), "a failed change leaves what was there");
        assert!(state.failure.is_some());
        state.record(&report(5, failed(FailureKind::Gone), true));
        assert!(!state.is_present(Revision(0)) && state.is_absent(Revision(5)));
        state.record(&report(6, Outcome::Applied, true));
        assert!(state.failure.is_none());
        state.record(&report(7, Outcome::Applied, false));
        assert!(state.is_absent(Revision(7)) && !state.is_absent(Revision(8)));
    }
}

/// What may be told to the inputs and the status; each key of its own once.
#[derive(Clone, Debug)]
enum Told {
    Config,
    Uplinks,
    Workload(u8),
    Link(u8),
    Route(u8),
    RouteV6(u8),
    Endpoint(u8),
    Blackhole,
}

fn tell(inputs: &mut Inputs, status: &mut Status, told: &Told) {
    fn present<K: Ord>(table: &mut BTreeMap<K, KeyState>, key: K) {
        let state = table.entry(key).or_default();
        let (revision, outcome) = (Revision(6), Outcome::Applied);
        state.record(&Report { key: (), revision, outcome, present: true });
    }
    match *told {
        Told::Config => {
            let documents = "---\napiVersion: routed.dev/v1\nkind: WorkloadEndpoint\n\
                metadata: { name: x }\nspec: { addresses: [\"fd00::2\"] }\n";
            let config = config("uplinks: [eth0], blocks: [10.0.0.0/28, 10.0.0.17/32]", documents);
            inputs.set_config(config, Revision(2));
        }
        Told::Uplinks => inputs.set_uplinks(uplinks(&["10.9.9.9/32"], &[])),
        Told::Workload(n) => inputs.put_workload(workload(n, Phase::Wanted)),
        Told::Link(n) => present(&mut status.links, LinkKey(format!("rtd{n}"))),
        Told::Route(n) => present(&mut status.routes, route::host_key([10, 0, 0, n].into())),
        Told::RouteV6(n) => {
            let address = [0xfd00, 0, 0, 0, 0, 0, 0, n.into()];
            present(&mut status.routes, route::host_key(address.into()));
        }
        Told::Endpoint(n) => present(&mut status.endpoints, format!("rtd{n}").as_str().into()),
        Told::Blackhole => {
            present(&mut status.routes, route::key("10.0.0.0/28".parse().unwrap()));
        }
    }
}

fn everything() -> Vec<Told> {
    let mut told = vec![Told::Config, Told::Uplinks, Told::Blackhole];
    for n in [1, 2, 17] {
        told.extend([Told::Workload(n), Told::Link(n), Told::Route(n), Told::RouteV6(n)]);
        if n != 2 {
            told.push(Told::Endpoint(n));
        }
    }
    told
}

fn derived(told: &[Told]) -> Desired {
    let (mut inputs, mut status) = (Inputs::default(), Status::default());
    for told in told {
        tell(&mut inputs, &mut status, told);
    }
    all(&inputs, &status)
}

#[test]
fn told_in_order_everything_is_wanted() {
    let desired = derived(&everything());
    assert_eq!(desired.links.len(), 3);
    assert_eq!(desired.routes.len(), 7);
    let adverts: Vec<_> = desired.adverts.keys().map(ToString::to_string).collect();
    assert_eq!(adverts, ["10.0.0.0/28", "10.0.0.17/32", "fd00::1/128", "fd00::11/128"]);
    assert!(desired.remotes.is_empty(), "the described one is a workload of this node");
    let mut reversed = everything();
    reversed.reverse();
    assert_eq!(derived(&reversed), desired);
}

proptest! {
    #[test]
    fn the_order_in_which_things_are_told_does_not_matter(
        told in Just(everything()).prop_shuffle(),
        again in proptest::collection::vec(0..17usize, 0..10),
    ) {
        let mut with_doubles = told.clone();
        with_doubles.extend(again.iter().filter_map(|at| told.get(*at).cloned()));
        prop_assert_eq!(derived(&with_doubles), derived(&everything()));
    }
}
