// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server whose owner is the test, and namespaces to hand to it.

use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::{
    AddressFamily, Protocol, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, Interest};
use tokio::task::JoinSet;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A network namespace that goes away with the value.
pub(super) struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rtd-t-{}-s{n}", std::process::id());
        ip(&["netns", "add", &name]);
        let file = File::open(format!("/run/netns/{name}")).unwrap();
        Self { name, file }
    }

    pub(super) fn id(&self) -> NetnsId {
        let metadata = self.file.metadata().unwrap();
        NetnsId { dev: metadata.dev(), ino: metadata.ino() }
    }

    /// Runs `work` on a thread inside.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.file.as_fd(), kind).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// What the plugin hands over.
    pub(super) fn handles(&self) -> (OwnedFd, OwnedFd) {
        (self.file.try_clone().unwrap().into(), self.inside(|| netlink(None)))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

#[expect(clippy::disallowed_methods, reason = "tests run programs")]
fn ip(args: &[&str]) {
    let status = std::process::Command::new("ip").args(args).status().unwrap();
    assert!(status.success() || std::thread::panicking(), "ip {args:?}");
}

pub(super) fn netlink(protocol: Option<Protocol>) -> OwnedFd {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol).unwrap()
}

/// A running server; dropping it ends it.
pub(super) struct Server {
    _dir: TempDir,
    pub(super) path: PathBuf,
    calls: mpsc::Receiver<CniCall>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_with(LIMITS)
    }

    pub(super) fn start_with(limits: Limits) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cni.sock");
        let mut server = CniServer::bind(&path).unwrap();
        server.limits = limits;
        let (sender, calls) = mpsc::channel(CALLS);
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(sender, CancellationToken::new()));
        Self { _dir: dir, path, calls, _tasks: tasks }
    }

    pub(super) async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// The next call that reaches the owner.
    pub(super) async fn call(&mut self) -> CniCall {
        timeout(DEADLINE, self.calls.recv()).await.unwrap().unwrap()
    }

    /// The owner goes away.
    pub(super) fn close(&mut self) {
        self.calls.close();
    }

    /// Another client is answered, and nothing else has reached the owner.
    pub(super) async fn serves_others(&mut self) {
        let stream = self.connect().await;
        send(&stream, &request(super::del("other")), &[]).await;
        let CniCall { request, reply } = self.call().await;
        let CniRequest::Detach(detach) = request else { panic!("{request:?}") };
        assert_eq!(detach.id.container_id(), "other");
        reply.send(CniAnswer::Detached).unwrap();
        assert_eq!(exchange(stream).await, Reply::Done);
    }
}

pub(super) fn request(call: Call) -> Vec<u8> {
    rpc::encode_frame(&rpc::Request::new(call)).unwrap()
}

/// Sends all bytes, the descriptors with the first of them.
pub(super) async fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    assert!(try_send(stream, bytes, fds).await);
}

pub(super) async fn try_send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, flags)?)
    });
    sent.await.is_ok_and(|n| n == bytes.len())
}

/// Waits for the answer.
pub(super) async fn exchange(mut stream: UnixStream) -> Reply {
    let answer = async {
        let length = stream.read_u32().await?;
        let mut body = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut body).await?;
        std::io::Result::Ok(serde_json::from_slice(&body).unwrap())
    };
    timeout(DEADLINE, answer).await.expect("an answer in time").expect("an answer")
}
