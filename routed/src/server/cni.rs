// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket of the CNI plugin.
//!
//! A connection carries one request, which becomes one [`CniCall`] on a bounded channel, and one answer. Everything is
//! checked here: version, size, descriptors, identifiers. What gets through is in the terms of [`crate::model`]; the
//! owner of the state answers it and never sees the wire.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use cni_plugin::rpc::{self, Attached, Call, Reply};
use cni_plugin::spec::{Error, ErrorCode, Mac, check_label};
use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::connections::{self, Heard};
use super::frame::{self, Fault, Frame};
use super::handles::{self, own_netns};
use super::listen::{self, BindError};
use crate::lane::{CniAnswer, CniCall, CniRequest};
use crate::model::{
    AttachAnswer, AttachRequest, DetachRequest, GATEWAY_V4, GATEWAY_V6, HOST_MAC, MacAddr, NetnsId,
    WorkloadId,
};

/// Calls that may wait for the owner of the state; further connections wait for room.
pub const CALLS: usize = 64;
/// Times of the protocol: see [`Limits`]. The core gives up earlier than `answer`, the plugin later.
const LIMITS: Limits = Limits { io: Duration::from_secs(10), answer: Duration::from_secs(13) };

/// The listening socket of the CNI plugin. It exists before anything answers its calls, so that a plugin waits for a
/// daemon that starts instead of failing.
#[derive(Debug)]
pub struct CniServer {
    listener: UnixListener,
    own: Own,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Own {
    netns: NetnsId,
    uid: u32,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A request must be complete, and an answer taken, within this time.
    io: Duration,
    /// A call must be answered within this time.
    answer: Duration,
}

impl CniServer {
    /// Opens the socket, for root and the daemon's own user alone. Must be called inside a runtime.
    ///
    /// # Errors
    /// Another daemon answers there, or the kernel refuses.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let netns =
            own_netns().map_err(|source| BindError::Io { path: path.to_owned(), source })?;
        let listener = listen::bind(path, Mode::RUSR | Mode::WUSR)?;
        let own = Own { netns, uid: rustix::process::geteuid().as_raw() };
        Ok(Self { listener, own, limits: LIMITS })
    }

    /// Serves connections until cancelled. Those that are open then are closed; their plugins try again.
    pub async fn run(self, calls: mpsc::Sender<CniCall>, cancel: CancellationToken) {
        let connection = Connection { calls, own: self.own, limits: self.limits };
        connections::serve(self.listener, cancel, move |stream, heard| {
            connection.clone().serve(stream, heard)
        })
        .await;
    }
}

#[derive(Clone)]
struct Connection {
    calls: mpsc::Sender<CniCall>,
    own: Own,
    limits: Limits,
}

impl Connection {
    async fn serve(self, mut stream: UnixStream, heard: Heard) {
        let reply = match self.receive(&stream).await {
            Ok(frame) => {
                heard.set();
                self.answer(frame).await
            }
            Err(Some(error)) => Reply::Error(error),
            Err(None) => return,
        };
        match timeout(self.limits.io, frame::write(&mut stream, &reply)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "plugin did not take its answer"),
            Err(_) => tracing::debug!("plugin did not take its answer in time"),
        }
    }

    /// Receives the request; without an error to answer, the connection is just closed.
    async fn receive(&self, stream: &UnixStream) -> Result<Frame, Option<Error>> {
        let peer = stream.peer_cred().map_err(|_| None)?;
        if !is_allowed(peer.uid(), self.own.uid) {
            tracing::warn!(uid = peer.uid(), pid = peer.pid(), "plugin of a foreign user refused");
            return Err(Some(Error::new(ErrorCode::IO, "permission denied: not root")));
        }
        let refuse = |error: &dyn std::fmt::Display| {
            tracing::warn!(pid = peer.pid(), %error, "request refused");
            Some(Error::new(ErrorCode::DECODE, format!("request refused: {error}")))
        };
        match timeout(self.limits.io, frame::read(stream)).await {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(Fault::Io(error))) => {
                tracing::debug!(pid = peer.pid(), %error, "connection without a request");
                Err(None)
            }
            Ok(Err(fault)) => Err(refuse(&fault)),
            Err(_) => Err(refuse(&"not complete in time")),
        }
    }

    async fn answer(&self, frame: Frame) -> Reply {
        let request = match decode(&frame.body) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%error, "request refused");
                return Reply::Error(error);
            }
        };
        let (verb, call) = (request.call.verb(), request.call);
        let (container, ifname) = (call.container_id(), call.ifname());
        let span = tracing::info_span!("cni", verb, %container, %ifname);
        self.answer_call(call, frame.fds).instrument(span).await
    }

    async fn answer_call(&self, call: Call, fds: Vec<OwnedFd>) -> Reply {
        let begun = Instant::now();
        let ipv6_problem = match &call {
            Call::Add(add) => add.ipv6_problem.clone(),
            Call::Del(_) | Call::Check(_) => None,
        };
        let done = match into_model(call, fds, self.own.netns) {
            Ok(request) => self.ask(request).await,
            Err(error) => Err(error),
        };
        let elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        match done {
            Ok(reply) => {
                tracing::debug!(elapsed_us, "request answered");
                reply
            }
            Err(error) => {
                let error = explain(error, ipv6_problem);
                tracing::warn!(elapsed_us, %error, "request failed");
                Reply::Error(error)
            }
        }
    }

    async fn ask(&self, request: CniRequest) -> Result<Reply, Error> {
        let later = |msg: &str| Error::new(ErrorCode::TRY_AGAIN, msg);
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let sent = self.calls.send(CniCall { request, reply }).await;
            sent.map_err(|_| later("the daemon is stopping"))?;
            answer.await.map_err(|_| later("the daemon dropped the request"))
        };
        match timeout(self.limits.answer, asked).await {
            Err(_) => Err(later("the daemon did not answer in time")),
            Ok(Err(error)) => Err(error),
            Ok(Ok(CniAnswer::Failed(error))) => Err(error),
            Ok(Ok(CniAnswer::Detached)) => Ok(Reply::Done),
            Ok(Ok(CniAnswer::Attached(attached))) => Ok(Reply::Attached(to_wire(&attached))),
        }
    }
}

/// Root runs container runtimes; the daemon's own user may be anybody.
fn is_allowed(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}

/// A container without IPv6 is worth a word only once something failed.
fn explain(mut error: Error, ipv6_problem: Option<String>) -> Error {
    if let Some(problem) = ipv6_problem {
        let separator = if error.details.is_empty() { "" } else { "; " };
        error.details.push_str(separator);
        error.details.push_str("IPv6 could not be enabled in the container: ");
        error.details.push_str(&problem);
    }
    error
}

fn decode(body: &[u8]) -> Result<rpc::Request, Error> {
    let wrong = |e: serde_json::Error| {
        Error::new(ErrorCode::DECODE, "request cannot be decoded").with_details(e.to_string())
    };
    let sender = serde_json::from_slice::<rpc::Envelope>(body).map_err(wrong)?.version;
    let own = rpc::Version::CURRENT;
    if sender.major != own.major {
        let msg = format!("the plugin speaks protocol {sender}, the daemon {own}");
        return Err(Error::new(ErrorCode::INCOMPATIBLE_VERSION, msg)
            .with_details("install plugin and daemon of the same release"));
    }
    serde_json::from_slice(body).map_err(wrong)
}

fn into_model(call: Call, fds: Vec<OwnedFd>, own: NetnsId) -> Result<CniRequest, Error> {
    let id = WorkloadId::try_new(call.container_id().as_str(), call.ifname().as_str())
        .map_err(|e| Error::new(ErrorCode::INVALID_ENVIRONMENT, e.to_string()))?;
    let handles = |netns: NetnsId| {
        handles::check(fds, netns, own)
            .map_err(|e| Error::new(ErrorCode::DECODE, format!("request refused: {e}")))
    };
    Ok(match call {
        Call::Add(add) => {
            check_ips(&add.ips)?;
            check_labels(&add.labels)?;
            let netns = netns_id(add.netns);
            CniRequest::Attach {
                handles: handles(netns)?,
                request: AttachRequest {
                    id,
                    netns,
                    namespace: add.namespace,
                    name: add.name,
                    labels: add.labels,
                    families: None,
                    addresses: add.ips,
                    mac: add.mac.map(|Mac(bytes)| MacAddr(bytes)),
                    mtu: None,
                    received: unix_seconds(),
                },
            }
        }
        // Descriptors that nobody asked for are closed here.
        Call::Del(del) => CniRequest::Detach(DetachRequest { id, netns: del.netns.map(netns_id) }),
        Call::Check(check) => {
            let netns = netns_id(check.netns);
            CniRequest::Check { id, netns, handles: handles(netns)? }
        }
    })
}

fn check_ips(ips: &[IpAddr]) -> Result<(), Error> {
    let v4 = ips.iter().filter(|ip| ip.is_ipv4()).count();
    if v4 > 1 || ips.len() - v4 > 1 {
        return Err(Error::new(ErrorCode::INVALID_CONFIG, "more than one address of a family"));
    }
    Ok(())
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Error> {
    labels
        .iter()
        .try_for_each(|(key, value)| check_label(key, value))
        .map_err(|e| Error::new(ErrorCode::INVALID_CONFIG, e.to_string()))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn netns_id(netns: rpc::Netns) -> NetnsId {
    NetnsId { dev: netns.dev, ino: netns.ino }
}

fn to_wire(answer: &AttachAnswer) -> Attached {
    let v4 = answer.v4.map(|ip| (IpAddr::V4(ip), IpAddr::V4(GATEWAY_V4), "0.0.0.0/0"));
    let v6 = answer.v6.map(|ip| (IpAddr::V6(ip), IpAddr::V6(GATEWAY_V6), "::/0"));
    let families = || v4.into_iter().chain(v6);
    Attached {
        host_interface: answer.host_interface.clone(),
        host_mac: Mac(HOST_MAC.0),
        mac: Mac(answer.mac.0),
        mtu: answer.mtu,
        addresses: families().map(|(ip, gateway, _)| rpc::Address { ip, gateway }).collect(),
        routes: families()
            .map(|(_, gw, dst)| rpc::Route { dst: dst.to_owned(), gw: Some(gw) })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
