// SPDX-License-Identifier: MIT OR Apache-2.0
mod support;

use std::fs::File;
use std::os::fd::AsFd;

use cni_plugin::client::{self, Patience};
use cni_plugin::rpc::{Add, Check, Del, Netns, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::support::{Namespace, Server, exchange, netlink, request, send};
use super::*;

fn add(netns: NetnsId) -> Call {
    Call::Add(Add {
        container_id: "c1".parse().unwrap(),
        ifname: "eth0".parse().unwrap(),
        network: "fabric".into(),
        netns: Netns { dev: netns.dev, ino: netns.ino },
        ips: vec!["10.64.1.7".parse().unwrap()],
        mac: Some(Mac([2, 0, 0, 0, 0, 7])),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        namespace: Some("shop".into()),
        name: Some("web-7f".into()),
        ipv6_problem: None,
    })
}

fn del(id: &str) -> Call {
    let (container_id, ifname) = (id.parse().unwrap(), "eth0".parse().unwrap());
    Call::Del(Del { container_id, ifname, netns: None })
}

fn attached(id: WorkloadId) -> CniAnswer {
    CniAnswer::Attached(AttachAnswer {
        id,
        host_interface: "rtd0123456789a".into(),
        mac: MacAddr([2, 0, 0, 0, 0, 7]),
        mtu: 1500,
        v4: Some("10.64.1.7".parse().unwrap()),
        v6: Some("fd00:64:1::7".parse().unwrap()),
    })
}

fn code(reply: &Reply) -> ErrorCode {
    match reply {
        Reply::Error(error) => error.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn add_reaches_the_owner_with_its_descriptors() {
    let mut server = Server::start();
    let namespace = Namespace::new();
    let (netns, netlink) = namespace.handles();
    let (socket, call) = (server.path.clone(), Request::new(add(namespace.id())));
    let plugin = tokio::task::spawn_blocking(move || {
        client::call(&socket, &call, &[netns.as_fd(), netlink.as_fd()], Patience::ADD)
    });
    let CniCall { request, reply } = server.call().await;
    let CniRequest::Attach { request, handles } = request else { panic!("{request:?}") };
    assert_eq!(handles.id(), namespace.id());
    assert_eq!(request.id, WorkloadId::try_new("c1", "eth0").unwrap());
    assert_eq!(request.netns, namespace.id());
    assert_eq!(
        (request.namespace.as_deref(), request.name.as_deref()),
        (Some("shop"), Some("web-7f"))
    );
    assert_eq!(request.labels, [("app".to_owned(), "web".to_owned())].into());
    assert_eq!(request.addresses, ["10.64.1.7".parse::<IpAddr>().unwrap()]);
    assert_eq!(request.mac, Some(MacAddr([2, 0, 0, 0, 0, 7])));
    assert_eq!((request.families, request.mtu), (None, None));
    assert!(request.received > 1_700_000_000, "{}", request.received);
    drop(handles);
    reply.send(attached(request.id)).unwrap();
    let reply = serde_json::to_value(plugin.await.unwrap().unwrap()).unwrap();
    let expected = json!({"attached": {
        "hostInterface": "rtd0123456789a", "hostMac": "ee:ee:ee:ee:ee:ee",
        "mac": "02:00:00:00:00:07", "mtu": 1500,
        "addresses": [
            {"ip": "10.64.1.7", "gateway": "169.254.1.1"},
            {"ip": "fd00:64:1::7", "gateway": "fe80::1"},
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "169.254.1.1"},
            {"dst": "::/0", "gw": "fe80::1"},
        ],
    }});
    assert_eq!(reply, expected);
}

#[tokio::test]
async fn check_and_del_reach_the_owner() {
    let mut server = Server::start();
    let namespace = Namespace::new();
    let (netns, netlink) = namespace.handles();
    let (container_id, ifname) = ("c1".parse().unwrap(), "eth0".parse().unwrap());
    let id = Netns { dev: namespace.id().dev, ino: namespace.id().ino };
    let check = Call::Check(Check { container_id, ifname, netns: id });
    let stream = server.connect().await;
    send(&stream, &request(check), &[netns.as_fd(), netlink.as_fd()]).await;
    let CniCall { request: asked, reply } = server.call().await;
    let CniRequest::Check { id, netns, handles } = asked else { panic!("{asked:?}") };
    assert_eq!((id.to_string().as_str(), netns), ("c1/eth0", handles.id()));
    let gone = Error::new(ErrorCode::CHECK_FAILED, "mtu is 1400");
    reply.send(CniAnswer::Failed(gone.clone())).unwrap();
    assert_eq!(exchange(stream).await, Reply::Error(gone));

    let stream = server.connect().await;
    send(&stream, &request(del("c2")), &[]).await;
    let CniCall { request: asked, reply } = server.call().await;
    let CniRequest::Detach(detach) = asked else { panic!("{asked:?}") };
    assert_eq!((detach.id.to_string().as_str(), detach.netns), ("c2/eth0", None));
    reply.send(CniAnswer::Detached).unwrap();
    assert_eq!(exchange(stream).await, Reply::Done);
}

#[tokio::test]
async fn wrong_descriptors_are_refused_and_others_served() {
    let mut server = Server::start();
    let (namespace, other) = (Namespace::new(), Namespace::new());
    let (netns, socket) = namespace.handles();
    let (other_netns, other_socket) = other.handles();
    let own = File::open("/proc/self/ns/net").unwrap();
    let own_socket = netlink(None);
    let generic = namespace.inside(|| netlink(Some(rustix::net::netlink::GENERIC)));
    let mount = File::open("/proc/self/ns/mnt").unwrap();
    let plain = File::open("/proc/self/status").unwrap();
    let (unix, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let cases = [
        vec![],
        vec![netns.as_fd()],
        vec![socket.as_fd(), netns.as_fd()],
        vec![netns.as_fd(), netns.as_fd()],
        vec![netns.as_fd(), plain.as_fd()],
        vec![netns.as_fd(), unix.as_fd()],
        vec![netns.as_fd(), generic.as_fd()],
        vec![netns.as_fd(), own_socket.as_fd()],
        vec![plain.as_fd(), socket.as_fd()],
        vec![mount.as_fd(), socket.as_fd()],
        vec![other_netns.as_fd(), other_socket.as_fd()],
        vec![other_netns.as_fd(), socket.as_fd()],
    ];
    for (n, fds) in cases.iter().enumerate() {
        let stream = server.connect().await;
        send(&stream, &request(add(namespace.id())), fds).await;
        assert_eq!(code(&exchange(stream).await), ErrorCode::DECODE, "case {n}");
    }
    let stream = server.connect().await;
    let daemon = own_netns().unwrap();
    send(&stream, &request(add(daemon)), &[own.as_fd(), own_socket.as_fd()]).await;
    let reply = exchange(stream).await;
    assert!(format!("{reply:?}").contains("the daemon's own"), "{reply:?}");
    server.serves_others().await;
}

#[tokio::test]
async fn surplus_descriptors_are_closed() {
    let mut server = Server::start();
    for (at_once, messages) in [(253, 1), (3, 1), (1, 253), (2, 100)] {
        let (mut reader, writer) = tokio::net::unix::pipe::pipe()
            .map(|(sender, receiver)| (receiver, sender.into_nonblocking_fd().unwrap()))
            .unwrap();
        let stream = server.connect().await;
        let body = request(del("c1"));
        let mut rest = &body[..];
        for _ in 0..messages {
            let (byte, after) = rest.split_at(usize::from(messages > 1).max(1).min(rest.len()));
            // The server may have hung up already.
            if rest.is_empty()
                || !support::try_send(&stream, byte, &vec![writer.as_fd(); at_once]).await
            {
                break;
            }
            rest = after;
        }
        drop(writer);
        assert_eq!(code(&exchange(stream).await), ErrorCode::DECODE, "{at_once} x {messages}");
        // The last writer is gone, so none is left in the server.
        let read = timeout(Duration::from_secs(10), reader.read_u8()).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }
    server.serves_others().await;
}

#[tokio::test]
async fn descriptors_of_a_del_are_closed() {
    let mut server = Server::start();
    let (sender, mut reader) = tokio::net::unix::pipe::pipe().unwrap();
    let writer = sender.into_nonblocking_fd().unwrap();
    let stream = server.connect().await;
    send(&stream, &request(del("c1")), &[writer.as_fd()]).await;
    drop(writer);
    let CniCall { reply, .. } = server.call().await;
    let read = timeout(Duration::from_secs(10), reader.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    reply.send(CniAnswer::Detached).unwrap();
    assert_eq!(exchange(stream).await, Reply::Done);
}

#[tokio::test]
async fn frames_longer_than_1_mib_are_refused() {
    let mut server = Server::start();
    for length in [u32::MAX, 1024 * 1024 + 1] {
        let mut stream = server.connect().await;
        stream.write_u32(length).await.unwrap();
        assert_eq!(code(&exchange(stream).await), ErrorCode::DECODE);
    }
    server.serves_others().await;
}

#[tokio::test]
async fn frame_of_1_mib_is_read() {
    let mut server = Server::start();
    let mut body = serde_json::to_vec(&Request::new(del("big"))).unwrap();
    body.resize(1024 * 1024, b' ');
    let mut stream = server.connect().await;
    let (mut read, mut write) = stream.split();
    let sent = async {
        write.write_u32(1024 * 1024).await.unwrap();
        write.write_all(&body).await.unwrap();
    };
    let answered = async {
        let CniCall { reply, .. } = server.call().await;
        reply.send(CniAnswer::Detached).unwrap();
        read.read_u32().await.unwrap()
    };
    let ((), length) = tokio::join!(sent, answered);
    assert_eq!(length, 6);
}

#[tokio::test]
async fn frame_that_never_ends_is_given_up() {
    let limits = Limits { io: Duration::from_millis(100), ..LIMITS };
    let mut server = Server::start_with(limits);
    for begun in [&b""[..], &[0, 0], &[0, 0, 0, 9, b'{'], &[0, 0x10, 0, 0, b'{', b' ']] {
        let mut stream = server.connect().await;
        stream.write_all(begun).await.unwrap();
        assert_eq!(code(&exchange(stream).await), ErrorCode::DECODE, "{begun:?}");
    }
    // Trickling does not help.
    let mut stream = server.connect().await;
    let begun = Instant::now();
    stream.write_u32(1000).await.unwrap();
    while stream.write_u8(b' ').await.is_ok() && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    server.serves_others().await;
}

#[tokio::test]
async fn garbage_is_answered_and_others_served() {
    let mut server = Server::start();
    let valid = serde_json::to_value(Request::new(del("c1"))).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut request = valid.clone();
        *request.pointer_mut(pointer).unwrap() = value;
        request.to_string().into_bytes()
    };
    let cases = [
        (b"".to_vec(), ErrorCode::DECODE),
        (b"{".to_vec(), ErrorCode::DECODE),
        (b"\xff\xff".to_vec(), ErrorCode::DECODE),
        (b"[1,2]".to_vec(), ErrorCode::DECODE),
        ("[".repeat(500_000).into_bytes(), ErrorCode::DECODE),
        (with("/call", json!({"gc": {}})), ErrorCode::DECODE),
        (with("/call/del/containerId", json!("../c1")), ErrorCode::DECODE),
        (with("/call/del/ifname", json!("eth0/0")), ErrorCode::DECODE),
        (with("/version/major", json!(2)), ErrorCode::INCOMPATIBLE_VERSION),
    ];
    for (body, expected) in cases {
        let mut stream = server.connect().await;
        stream.write_u32(u32::try_from(body.len()).unwrap()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        assert_eq!(code(&exchange(stream).await), expected, "{:?}", String::from_utf8_lossy(&body));
    }
    server.serves_others().await;
}

#[test]
fn version_skew_names_both_versions() {
    let body = br#"{"version":{"major":7,"minor":3},"call":"of the future"}"#;
    let error = decode(body).unwrap_err();
    assert_eq!(error.code, ErrorCode::INCOMPATIBLE_VERSION);
    assert!(error.msg.contains("7.3") && error.msg.contains("1.0"), "{error}");
    // A newer minor version may bring fields that we do not know.
    let mut newer = serde_json::to_value(Request::new(del("c1"))).unwrap();
    newer["version"]["minor"] = json!(9);
    newer["new"] = json!({"x": 1});
    assert!(decode(newer.to_string().as_bytes()).is_ok());
}

#[test]
fn what_the_plugin_checks_is_checked_again() {
    let own = NetnsId { dev: 1, ino: 1 };
    let refused = |change: fn(&mut Add)| {
        let Call::Add(mut add) = add(own) else { panic!() };
        change(&mut add);
        into_model(Call::Add(add), Vec::new(), own).unwrap_err().code
    };
    let label = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    assert_eq!(refused(|a| a.ips.push("10.0.0.1".parse().unwrap())), ErrorCode::INVALID_CONFIG);
    assert_eq!(
        refused(|a| a.ips = vec!["fd00::1".parse().unwrap(), "fd00::2".parse().unwrap()]),
        ErrorCode::INVALID_CONFIG
    );
    let Call::Add(mut bad) = add(own) else { panic!() };
    bad.labels = label("a", "x\0");
    let error = into_model(Call::Add(bad), Vec::new(), own).unwrap_err();
    assert_eq!(error.code, ErrorCode::INVALID_CONFIG);
}

#[tokio::test]
async fn owner_that_does_not_answer_is_code_11() {
    let limits = Limits { answer: Duration::from_millis(100), ..LIMITS };
    let mut server = Server::start_with(limits);
    let stream = server.connect().await;
    send(&stream, &request(del("c1")), &[]).await;
    let held = server.call().await;
    assert_eq!(code(&exchange(stream).await), ErrorCode::TRY_AGAIN);
    // Too late, and nobody minds.
    assert!(held.reply.send(CniAnswer::Detached).is_err());

    let stream = server.connect().await;
    send(&stream, &request(del("c1")), &[]).await;
    drop(server.call().await);
    assert_eq!(code(&exchange(stream).await), ErrorCode::TRY_AGAIN);

    server.close();
    let stream = server.connect().await;
    send(&stream, &request(del("c1")), &[]).await;
    let reply = exchange(stream).await;
    assert_eq!(code(&reply), ErrorCode::TRY_AGAIN);
    assert!(format!("{reply:?}").contains("stopping"), "{reply:?}");
}

#[tokio::test]
async fn more_calls_than_places_are_all_answered() {
    let mut server = Server::start();
    let mut streams = Vec::new();
    for n in 0..200 {
        let stream = server.connect().await;
        send(&stream, &request(del(&format!("c{n}"))), &[]).await;
        streams.push(stream);
    }
    for _ in 0..200 {
        server.call().await.reply.send(CniAnswer::Detached).unwrap();
    }
    for stream in streams {
        assert_eq!(exchange(stream).await, Reply::Done);
    }
}

#[tokio::test]
async fn call_outlives_a_flood_of_idle_connections() {
    let mut server = Server::start();
    let stream = server.connect().await;
    send(&stream, &request(del("c1")), &[]).await;
    let CniCall { reply, .. } = server.call().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(server.connect().await);
    }
    let mut first = idle.swap_remove(0);
    assert!(timeout(Duration::from_secs(10), first.read_u8()).await.unwrap().is_err());
    reply.send(CniAnswer::Detached).unwrap();
    assert_eq!(exchange(stream).await, Reply::Done);
}

#[test]
fn only_root_and_the_daemons_user_may_ask() {
    assert!(is_allowed(0, 998) && is_allowed(998, 998) && is_allowed(0, 0));
    assert!(!is_allowed(1000, 998) && !is_allowed(1000, 0));
}

#[test]
fn container_without_ipv6_is_explained_when_something_failed() {
    let error = Error::new(ErrorCode::KERNEL, "refused").with_details("EACCES");
    assert_eq!(explain(error.clone(), None), error);
    let explained = explain(error, Some("read-only".into()));
    assert!(explained.details.starts_with("EACCES; IPv6"), "{explained}");
    let explained = explain(Error::new(ErrorCode::KERNEL, "x"), Some("read-only".into()));
    assert!(explained.details.starts_with("IPv6"), "{explained}");
}
