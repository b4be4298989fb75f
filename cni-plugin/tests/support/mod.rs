// SPDX-License-Identifier: MIT OR Apache-2.0
//! A namespace, the real binary and a daemon that does what the test says.

use std::{
    fs,
    io::{IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use cni_plugin::rpc::{self, Reply, Request};
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketType,
        netlink::SocketAddrNetlink, sockopt,
    },
};

/// Longest time any single step of a test may take.
const DEADLINE: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "tests run programs")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

fn ip(args: &str) {
    let status = command("ip").args(args.split(' ')).status().unwrap();
    assert!(status.success(), "ip {args}");
}

/// A network namespace that goes away with the value.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("rtd-t-{}-{n}", process::id()) };
        ip(&format!("netns add {}", namespace.name));
        namespace
    }

    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    pub(crate) fn add_link(&self, link: &str) {
        ip(&format!("-n {} link add {link} type veth", self.name));
    }

    /// Runs a script inside and returns what it prints.
    pub(crate) fn bash(&self, script: &str) -> String {
        let netns = format!("--net={}", self.path());
        let output = command("nsenter").args([&netns, "bash", "-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = command("ip").args(["netns", "del", &self.name]).status();
    }
}

/// The binary with a clean environment.
pub(crate) fn plugin(command_name: &str, vars: &[(&str, &str)]) -> Command {
    let mut plugin = command(env!("CARGO_BIN_EXE_routed-cni"));
    plugin.env_clear().env("CNI_COMMAND", command_name).envs(vars.iter().copied());
    plugin
}

pub(crate) fn start(mut plugin: Command, stdin: &[u8]) -> Child {
    let child = plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    // A plugin that refuses its environment may be gone before it reads.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child
}

pub(crate) fn run(plugin: Command, stdin: &[u8]) -> Output {
    start(plugin, stdin).wait_with_output().unwrap()
}

/// A daemon that accepts one connection at a time and answers what it is told.
pub(crate) struct Daemon {
    listener: UnixListener,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("cni.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        Self { listener, socket }
    }

    /// Waits for a connection, reads nothing.
    pub(crate) fn connection(&self) -> UnixStream {
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
        let timeout = DEADLINE.try_into().unwrap();
        assert_eq!(poll(&mut fds, Some(&timeout)), Ok(1), "no connection");
        let stream = self.listener.accept().unwrap().0;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Waits for a request and the descriptors that come with it.
    pub(crate) fn request(&self) -> Received {
        let mut stream = self.connection();
        let (length, fds) = receive_with_fds(&stream);
        let mut body = vec![0; rpc::decode_length(length).unwrap()];
        stream.read_exact(&mut body).unwrap();
        Received { stream, request: serde_json::from_slice(&body).unwrap(), fds }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().is_err()
    }
}

/// A request that waits for its answer.
pub(crate) struct Received {
    pub(crate) stream: UnixStream,
    pub(crate) request: Request,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Received {
    pub(crate) fn answer(mut self, reply: &Reply) {
        self.stream.write_all(&rpc::encode_frame(reply).unwrap()).unwrap();
    }
}

fn receive_with_fds(stream: &UnixStream) -> ([u8; rpc::LENGTH], Vec<OwnedFd>) {
    let mut length = [0; rpc::LENGTH];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let iov = &mut [IoSliceMut::new(&mut length)];
    let got = rustix::net::recvmsg(stream, iov, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    assert_eq!(got.bytes, rpc::LENGTH);
    let fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    (length, fds.collect())
}

/// Names of the links a `NETLINK_ROUTE` socket sees.
pub(crate) fn links(netlink: &OwnedFd) -> Vec<String> {
    assert_eq!(sockopt::socket_domain(netlink), Ok(AddressFamily::NETLINK));
    assert_eq!(sockopt::socket_type(netlink), Ok(SocketType::RAW));
    // RTM_GETLINK (18) with NLM_F_REQUEST | NLM_F_DUMP and an empty `ifinfomsg`.
    let mut request = Vec::new();
    request.extend(32u32.to_ne_bytes());
    request.extend(18u16.to_ne_bytes());
    request.extend(0x301u16.to_ne_bytes());
    request.extend([0; 8 + 16]);
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(netlink, &request, SendFlags::empty(), &kernel).unwrap();
    let mut names = Vec::new();
    loop {
        let mut buffer = vec![0; 64 * 1024];
        let (n, _) = rustix::net::recv(netlink, &mut buffer[..], RecvFlags::empty()).unwrap();
        let mut rest = &buffer[..n];
        while rest.len() >= 16 {
            let (length, kind) = (u32_at(rest, 0) as usize, u16_at(rest, 4));
            match kind {
                3 => return names,                                     // NLMSG_DONE
                16 => names.extend(link_name(&rest[16 + 16..length])), // RTM_NEWLINK
                other => panic!("unexpected message {other}"),
            }
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}

fn link_name(mut attributes: &[u8]) -> Option<String> {
    while attributes.len() >= 4 {
        let (length, kind) = (usize::from(u16_at(attributes, 0)), u16_at(attributes, 2));
        if kind == 3 {
            // IFLA_IFNAME, with its terminator
            return Some(String::from_utf8(attributes[4..length - 1].to_vec()).unwrap());
        }
        attributes = &attributes[length.next_multiple_of(4).min(attributes.len())..];
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Device and inode of the file behind a descriptor.
pub(crate) fn identity(fd: impl AsFd) -> rpc::Netns {
    let stat = rustix::fs::fstat(fd).unwrap();
    rpc::Netns { dev: stat.st_dev, ino: stat.st_ino }
}

pub(crate) fn identity_of(path: impl AsRef<Path>) -> rpc::Netns {
    identity(fs::File::open(path).unwrap())
}
