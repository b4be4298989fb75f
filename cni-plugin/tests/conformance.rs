// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real binary, as a runtime executes it, against a daemon that the test plays.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    io::Write,
    net::IpAddr,
    process::{Command, Output},
    time::{Duration, Instant},
};

use cni_plugin::{
    client::{self, Patience},
    rpc::{Address, Attached, Call, Del, Reply, Request, Route, Version},
    spec::{Error, ErrorCode, Mac},
};
use serde_json::{Value, json};
use support::{Daemon, Namespace, identity, identity_of, links, plugin, run, start};
use tempfile::TempDir;

fn attached() -> Attached {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    Attached {
        host_interface: "rtd0123456789a".into(),
        host_mac: Mac([0xee; 6]),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        addresses: vec![
            Address { ip: ip("10.64.1.5"), gateway: ip("169.254.1.1") },
            Address { ip: ip("fd00:64:1::5"), gateway: ip("fe80::1") },
        ],
        routes: vec![Route { dst: "0.0.0.0/0".into(), gw: Some(ip("169.254.1.1")) }],
    }
}

/// A namespace, a daemon and a way to call the plugin for both.
struct Bench {
    namespace: Namespace,
    daemon: Daemon,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let daemon = Daemon::start(dir.path());
        Self { namespace: Namespace::new(), daemon, dir }
    }

    fn config(&self, version: &str, extra: &Value) -> Vec<u8> {
        config_for(&self.daemon.socket.to_string_lossy(), version, extra)
    }

    fn plugin(&self, command: &str, extra: &[(&str, &str)]) -> Command {
        let netns = self.namespace.path();
        let mut vars = vec![
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", netns.as_str()),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/opt/cni/bin"),
        ];
        vars.extend(extra);
        plugin(command, &vars)
    }
}

fn config_for(socket: &str, version: &str, extra: &Value) -> Vec<u8> {
    let mut config = json!({
        "cniVersion": version, "name": "fabric", "type": "routed-cni", "socket": socket,
        "foreign": {"key": 1},
    });
    config.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap_or_default());
    config.to_string().into_bytes()
}

fn failure(output: &Output) -> (Value, ErrorCode) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error: Value = serde_json::from_slice(&output.stdout).expect("error as JSON");
    for key in ["cniVersion", "msg", "details"] {
        assert!(error[key].is_string(), "{key} in {error}");
    }
    let code = u32::try_from(error["code"].as_u64().unwrap()).unwrap();
    (error, ErrorCode(code))
}

fn success(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn version_lists_what_is_supported() {
    let stdins: [(&[u8], &str); 4] = [
        (b"", "1.0.0"),
        (b"{\"cniVersion\":\"0.4.0\"}", "0.4.0"),
        (b"{}", "1.0.0"),
        (b" ", "1.0.0"),
    ];
    for (stdin, version) in stdins {
        let text = success(&run(plugin("VERSION", &[("CNI_NETNS", "dummy")]), stdin));
        let expected =
            json!({"cniVersion": version, "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}

#[test]
fn add_hands_over_namespace_and_socket() {
    let bench = Bench::new();
    bench.namespace.add_link("marker0");
    let child = start(bench.plugin("ADD", &[]), &bench.config("1.0.0", &json!({})));
    let received = bench.daemon.request();
    let Call::Add(add) = &received.request.call else { panic!("{:?}", received.request) };
    assert_eq!(received.request.version, Version::CURRENT);
    assert_eq!((add.container_id.as_str(), add.ifname.as_str()), ("c1", "eth0"));
    assert_eq!((add.network.as_str(), &add.ipv6_problem), ("fabric", &None));
    let [netns, netlink] = &received.fds[..] else { panic!("{:?}", received.fds) };
    assert_eq!(identity(netns), identity_of(bench.namespace.path()));
    assert_eq!(identity(netns), add.netns);
    let seen = links(netlink);
    assert!(seen.iter().any(|name| name == "marker0"), "{seen:?}");
    // The plugin is back where it was started.
    let own = identity_of(format!("/proc/{}/ns/net", child.id()));
    assert_eq!(own, identity_of("/proc/self/ns/net"));
    received.answer(&Reply::Attached(attached()));
    success(&child.wait_with_output().unwrap());
}

#[test]
fn add_answers_in_the_shape_of_the_version() {
    let bench = Bench::new();
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let extra = json!({"dns": {"nameservers": ["10.0.0.53"], "domain": "rack1.example"}});
        let child = start(bench.plugin("ADD", &[]), &bench.config(version, &extra));
        bench.daemon.request().answer(&Reply::Attached(attached()));
        let text = success(&child.wait_with_output().unwrap());
        let mut ips = json!([
            {"version": "4", "address": "10.64.1.5/32", "gateway": "169.254.1.1", "interface": 1},
            {"version": "6", "address": "fd00:64:1::5/128", "gateway": "fe80::1", "interface": 1},
        ]);
        if version == "1.0.0" {
            for ip in ips.as_array_mut().unwrap() {
                ip.as_object_mut().unwrap().remove("version");
            }
        }
        let expected = json!({
            "cniVersion": version,
            "interfaces": [
                {"name": "rtd0123456789a", "mac": "ee:ee:ee:ee:ee:ee"},
                {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": bench.namespace.path()},
            ],
            "ips": ips,
            "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}],
            "dns": {"nameservers": ["10.0.0.53"], "domain": "rack1.example"},
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}

#[test]
fn add_enables_ipv6_in_the_container_alone() {
    let bench = Bench::new();
    let switches = "/proc/sys/net/ipv6/conf/{all,default,lo}";
    bench.namespace.bash(&format!("for f in {switches}/disable_ipv6; do echo 1 > $f; done"));
    bench.namespace.bash(&format!("for f in {switches}/accept_ra; do echo 2 > $f; done"));
    let own = || fs::read("/proc/sys/net/ipv6/conf/default/accept_ra").unwrap();
    let before = own();
    let child = start(bench.plugin("ADD", &[]), &bench.config("1.0.0", &json!({})));
    let received = bench.daemon.request();
    let after = bench.namespace.bash(&format!("cat {switches}/{{disable_ipv6,accept_ra}}"));
    assert_eq!(after, "0\n".repeat(6));
    assert_eq!(own(), before);
    received.answer(&Reply::Attached(attached()));
    success(&child.wait_with_output().unwrap());
}

#[test]
fn add_merges_what_the_runtime_asks_for() {
    let bench = Bench::new();
    let extra = json!({
        "labels": {"rack": "1", "tier": "back", "app": "none"},
        "args": {"cni": {"labels": [{"key": "tier", "value": "front"}, {"key": "app", "value": "x"}]}},
        "capabilities": {"ips": true, "mac": true},
        "runtimeConfig": {"ips": ["fd00:64:1::9/128"], "mac": "02:00:00:00:00:09"},
    });
    let args = "K8S_POD_NAME=web-7f;LABELS=app:web;MAC=02:00:00:00:00:07;IP=10.64.1.7;\
                IgnoreUnknown=1;FOO=1;K8S_POD_NAMESPACE=shop";
    let child = start(bench.plugin("ADD", &[("CNI_ARGS", args)]), &bench.config("0.4.0", &extra));
    let received = bench.daemon.request();
    let Call::Add(add) = &received.request.call else { panic!("{:?}", received.request) };
    let labels = [("app", "web"), ("rack", "1"), ("tier", "front")];
    assert_eq!(add.labels, labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(add.ips, ["fd00:64:1::9".parse::<IpAddr>().unwrap()]);
    assert_eq!(add.mac, Some(Mac([2, 0, 0, 0, 0, 9])));
    assert_eq!((add.namespace.as_deref(), add.name.as_deref()), (Some("shop"), Some("web-7f")));
    received.answer(&Reply::Attached(attached()));
    success(&child.wait_with_output().unwrap());
}

#[test]
fn del_works_without_a_namespace() {
    let bench = Bench::new();
    let plain = bench.dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let alive = bench.namespace.path();
    let cases = [
        ("", None),
        ("/nonexistent/ns", None),
        (plain.to_str().unwrap(), None),
        (alive.as_str(), Some(identity_of(&alive))),
    ];
    for (netns, expected) in cases {
        // Nothing that only ADD reads may get in the way of a DEL.
        let vars = [("CNI_NETNS", netns), ("CNI_ARGS", "FOO")];
        let extra = json!({"labels": 7, "ipam": 7, "prevResult": 7});
        let child = start(bench.plugin("DEL", &vars), &bench.config("1.0.0", &extra));
        let received = bench.daemon.request();
        let Call::Del(del) = &received.request.call else { panic!("{:?}", received.request) };
        assert_eq!((del.container_id.as_str(), del.ifname.as_str()), ("c1", "eth0"));
        assert_eq!(del.netns, expected, "{netns}");
        assert!(received.fds.is_empty());
        received.answer(&Reply::Done);
        assert_eq!(success(&child.wait_with_output().unwrap()), "");
    }
    let mut missing = bench.plugin("DEL", &[]);
    missing.env_remove("CNI_NETNS");
    let child = start(missing, &bench.config("0.3.1", &json!({})));
    bench.daemon.request().answer(&Reply::Done);
    success(&child.wait_with_output().unwrap());
}

#[test]
fn check_compares_with_the_previous_result() {
    let bench = Bench::new();
    let previous = |ips: Value| json!({"prevResult": {"cniVersion": "0.4.0", "ips": ips}});
    let ours = json!([{"address": "10.64.1.5/32"}, {"address": "fd00:64:1::5/128"},
        {"address": "192.0.2.1/24"}]);
    let check = |version: &str, ips: Value| {
        let stdin = bench.config(version, &previous(ips));
        let child = start(bench.plugin("CHECK", &[]), &stdin);
        let received = bench.daemon.request();
        let Call::Check(check) = &received.request.call else { panic!("{:?}", received.request) };
        assert_eq!(check.netns, identity(&received.fds[0]));
        assert!(links(&received.fds[1]).contains(&"lo".to_owned()));
        (child, received)
    };
    for version in ["0.4.0", "1.0.0"] {
        let (child, received) = check(version, ours.clone());
        received.answer(&Reply::Attached(attached()));
        assert_eq!(success(&child.wait_with_output().unwrap()), "");
    }
    let (child, received) = check("1.0.0", json!([{"address": "10.64.1.5/32"}]));
    received.answer(&Reply::Attached(attached()));
    let (error, code) = failure(&child.wait_with_output().unwrap());
    assert_eq!(code, ErrorCode::CHECK_FAILED);
    assert!(error["msg"].as_str().unwrap().contains("fd00:64:1::5"), "{error}");

    let (child, received) = check("0.4.0", ours);
    let gone = Error::new(ErrorCode::CHECK_FAILED, "mtu is 1400").with_details("expected 1500");
    received.answer(&Reply::Error(gone));
    let (error, code) = failure(&child.wait_with_output().unwrap());
    assert_eq!(code, ErrorCode::CHECK_FAILED);
    let expected = json!({"cniVersion": "0.4.0", "code": 100, "msg": "mtu is 1400",
        "details": "expected 1500"});
    assert_eq!(error, expected);
}

#[test]
fn check_is_refused_before_the_daemon_is_asked() {
    let bench = Bench::new();
    let cases = [
        ("0.3.1", json!({"prevResult": {"ips": []}}), ErrorCode::INCOMPATIBLE_VERSION),
        ("1.0.0", json!({}), ErrorCode::INVALID_CONFIG),
    ];
    for (version, extra, expected) in cases {
        let output = run(bench.plugin("CHECK", &[]), &bench.config(version, &extra));
        assert_eq!(failure(&output).1, expected);
    }
    assert!(bench.daemon.is_idle());
}

#[test]
fn wrong_environment_is_code_4_and_names_the_variable() {
    let bench = Bench::new();
    let long = "a".repeat(10 * 1024);
    let cases = [
        ("GC", vec![], "CNI_COMMAND"),
        ("ADD", vec![("CNI_CONTAINERID", "")], "CNI_CONTAINERID"),
        ("ADD", vec![("CNI_CONTAINERID", "../etc")], "CNI_CONTAINERID"),
        ("ADD", vec![("CNI_CONTAINERID", "a\nb")], "CNI_CONTAINERID"),
        ("ADD", vec![("CNI_CONTAINERID", "-a")], "CNI_CONTAINERID"),
        ("ADD", vec![("CNI_CONTAINERID", "ü")], "CNI_CONTAINERID"),
        ("DEL", vec![("CNI_CONTAINERID", long.as_str())], "CNI_CONTAINERID"),
        ("ADD", vec![("CNI_IFNAME", "eth0/1")], "CNI_IFNAME"),
        ("DEL", vec![("CNI_IFNAME", "sixteen-bytes-16")], "CNI_IFNAME"),
        ("CHECK", vec![("CNI_NETNS", "")], "CNI_NETNS"),
        ("ADD", vec![("CNI_ARGS", "FOO=1")], "FOO"),
        ("ADD", vec![("CNI_ARGS", "IP=x;IgnoreUnknown=1")], "IP"),
    ];
    for (command, vars, name) in cases {
        let output = run(bench.plugin(command, &vars), &bench.config("0.4.0", &json!({})));
        let (error, code) = failure(&output);
        assert_eq!(code, ErrorCode::INVALID_ENVIRONMENT, "{error}");
        assert!(error["msg"].as_str().unwrap().contains(name), "{error}");
    }
    assert!(bench.daemon.is_idle());
}

#[test]
fn wrong_namespace_is_code_4_and_says_why() {
    let bench = Bench::new();
    let plain = bench.dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let fifo = bench.dir.path().join("fifo");
    let made = support::command("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let cases = [
        (plain.to_str().unwrap(), "not a namespace"),
        (fifo.to_str().unwrap(), "not a namespace"),
        ("/nonexistent/ns", "No such file"),
        ("/proc/self/ns/mnt", "not a network namespace"),
        ("/proc/self/ns/uts", "not a network namespace"),
        ("/proc/self/ns/net", "the plugin's own"),
    ];
    for (netns, why) in cases {
        for command in ["ADD", "CHECK"] {
            let plugin = bench.plugin(command, &[("CNI_NETNS", netns)]);
            let extra = if command == "ADD" { json!({}) } else { json!({"prevResult": {}}) };
            let (error, code) = failure(&run(plugin, &bench.config("1.0.0", &extra)));
            assert_eq!(code, ErrorCode::INVALID_ENVIRONMENT, "{error}");
            let msg = error["msg"].as_str().unwrap();
            assert!(msg.contains("CNI_NETNS") && msg.contains(why), "{error}");
        }
    }
    assert!(bench.daemon.is_idle());
}

#[test]
fn wrong_configuration_has_its_code() {
    let bench = Bench::new();
    let nested = format!(r#"{{"dns":{}"#, "[".repeat(100_000));
    let good = |extra: Value| bench.config("1.0.0", &extra);
    let mut too_long = good(json!({}));
    too_long.resize(1024 * 1024 + 1, b' ');
    let cases = [
        (Vec::new(), ErrorCode::DECODE, "1.0.0"),
        (b"{\"cniVersion\":\"1.0.0\xff\"}".to_vec(), ErrorCode::DECODE, "1.0.0"),
        (nested.into_bytes(), ErrorCode::DECODE, "1.0.0"),
        (too_long, ErrorCode::DECODE, "1.0.0"),
        (bench.config("9.9.9", &json!({})), ErrorCode::INCOMPATIBLE_VERSION, "1.0.0"),
        (br#"{"name":"n"}"#.to_vec(), ErrorCode::INCOMPATIBLE_VERSION, "1.0.0"),
        (br#"{"cniVersion":"0.4.0"}"#.to_vec(), ErrorCode::INVALID_CONFIG, "0.4.0"),
        (good(json!({"socket": "cni.sock"})), ErrorCode::INVALID_CONFIG, "1.0.0"),
        (good(json!({"labels": {"a": 1}})), ErrorCode::INVALID_CONFIG, "1.0.0"),
        (good(json!({"ipam": {"type": "host-local"}})), ErrorCode::UNSUPPORTED_FIELD, "1.0.0"),
        (
            good(json!({"args": {"cni": {"ips": ["10.64.1.5", "10.64.1.6"]}}})),
            ErrorCode::INVALID_CONFIG,
            "1.0.0",
        ),
    ];
    for (stdin, expected, version) in cases {
        let (error, code) = failure(&run(bench.plugin("ADD", &[]), &stdin));
        assert_eq!(code, expected, "{error}");
        assert_eq!(error["cniVersion"], version, "{error}");
    }
    assert!(bench.daemon.is_idle());
}

#[test]
fn endless_configuration_ends_early() {
    let bench = Bench::new();
    let begun = Instant::now();
    let mut plugin = bench.plugin("ADD", &[]);
    plugin.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = plugin.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let block = vec![b' '; 1024 * 1024];
    let written = (0..100).take_while(|_| stdin.write_all(&block).is_ok()).count();
    drop(stdin);
    let (_, code) = failure(&child.wait_with_output().unwrap());
    assert_eq!(code, ErrorCode::DECODE);
    assert!(written < 3, "{written} MiB were read");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn errors_of_the_daemon_are_passed_on() {
    let bench = Bench::new();
    for (command, version) in [("ADD", "0.3.1"), ("DEL", "1.0.0")] {
        let child = start(bench.plugin(command, &[]), &bench.config(version, &json!({})));
        let error = Error::new(ErrorCode::ADDRESS_UNAVAILABLE, "pool is full");
        bench.daemon.request().answer(&Reply::Error(error));
        let (error, code) = failure(&child.wait_with_output().unwrap());
        assert_eq!(code, ErrorCode::ADDRESS_UNAVAILABLE);
        assert_eq!(
            (&error["msg"], &error["cniVersion"]),
            (&json!("pool is full"), &json!(version))
        );
    }
}

#[test]
fn broken_connection_is_tried_again() {
    let bench = Bench::new();
    let child = start(bench.plugin("ADD", &[]), &bench.config("1.0.0", &json!({})));
    drop(bench.daemon.connection());
    let first = bench.daemon.request();
    let asked = first.request.clone();
    drop(first);
    let half = bench.daemon.request();
    (&half.stream).write_all(&[0, 0, 0, 9, b'{']).unwrap();
    drop(half);
    let last = bench.daemon.request();
    assert_eq!((&last.request, last.fds.len()), (&asked, 2));
    last.answer(&Reply::Attached(attached()));
    success(&child.wait_with_output().unwrap());
}

#[test]
fn add_waits_for_a_daemon_that_starts_late() {
    let dir = TempDir::new().unwrap();
    let namespace = Namespace::new();
    let socket = dir.path().join("cni.sock");
    // The file that a killed daemon leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let netns = namespace.path();
    let vars = [("CNI_CONTAINERID", "c1"), ("CNI_NETNS", netns.as_str()), ("CNI_IFNAME", "eth0")];
    let stdin = config_for(&socket.to_string_lossy(), "1.0.0", &json!({}));
    let mut child = start(plugin("ADD", &vars), &stdin);
    fs::remove_file(&socket).unwrap();
    assert!(child.try_wait().unwrap().is_none());
    let daemon = Daemon::start(dir.path());
    daemon.request().answer(&Reply::Attached(attached()));
    success(&child.wait_with_output().unwrap());
}

#[test]
fn del_gives_up_within_2_s_while_the_daemon_is_down() {
    let bench = Bench::new();
    let refused = bench.dir.path().join("refused.sock");
    drop(std::os::unix::net::UnixListener::bind(&refused).unwrap());
    for socket in [refused.to_str().unwrap(), "/nonexistent/cni.sock"] {
        let begun = Instant::now();
        let stdin = config_for(socket, "1.0.0", &json!({}));
        let (error, code) = failure(&run(bench.plugin("DEL", &[]), &stdin));
        assert_eq!(code, ErrorCode::TRY_AGAIN, "{error}");
        assert!(error["details"].as_str().unwrap().contains(socket), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[test]
fn wrong_answers_are_code_6() {
    let bench = Bench::new();
    let answers: [&[u8]; 4] = [
        &[0xff, 0xff, 0xff, 0xff, b'{'],
        &[0, 0, 0, 2, b'{', b'x'],
        &[0, 0, 0, 7, b'"', b'o', b't', b'h', b'e', b'r', b'"'],
        &[0, 0, 0, 6, b'"', b'd', b'o', b'n', b'e', b'"'],
    ];
    for answer in answers {
        let child = start(bench.plugin("ADD", &[]), &bench.config("1.0.0", &json!({})));
        bench.daemon.request().stream.write_all(answer).unwrap();
        let (_, code) = failure(&child.wait_with_output().unwrap());
        assert_eq!(code, ErrorCode::DECODE, "{answer:?}");
    }
}

fn del_request() -> Request {
    let (container_id, ifname) = ("c1".parse().unwrap(), "eth0".parse().unwrap());
    Request::new(Call::Del(Del { container_id, ifname, netns: None }))
}

#[test]
fn daemon_that_hangs_is_code_11() {
    let dir = TempDir::new().unwrap();
    let daemon = Daemon::start(dir.path());
    let patience =
        Patience { reach: Duration::from_millis(100), answer: Duration::from_millis(200) };
    let begun = Instant::now();
    let error = client::call(&daemon.socket, &del_request(), &[], patience).unwrap_err();
    assert_eq!(error.code, ErrorCode::TRY_AGAIN, "{error}");
    assert!((200..1000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[test]
fn answer_that_trickles_in_does_not_restart_the_clock() {
    let dir = TempDir::new().unwrap();
    let daemon = Daemon::start(dir.path());
    let patience =
        Patience { reach: Duration::from_millis(100), answer: Duration::from_millis(300) };
    let socket = daemon.socket.clone();
    let caller = std::thread::spawn(move || {
        let begun = Instant::now();
        (client::call(&socket, &del_request(), &[], patience), begun.elapsed())
    });
    let received = daemon.request();
    (&received.stream).write_all(&[0, 0, 0, 100]).unwrap();
    let mut bytes = 0;
    while bytes < 99 && (&received.stream).write_all(b" ").is_ok() {
        bytes += 1;
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let (answer, took) = caller.join().unwrap();
    assert_eq!(answer.unwrap_err().code, ErrorCode::TRY_AGAIN);
    assert!((300..1000).contains(&took.as_millis()), "{took:?}");
}
