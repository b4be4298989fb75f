// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket of the CNI plugin.
//!
//! A connection carries one request, which becomes one [`CniCall`] on a bounded channel, and one answer. Everything is
//! checked here: version, size, descriptors, identifiers. What gets through is in the terms of [`crate::model`]; the
//! owner of the state answers it and never sees the wire.

use std::collections::BTreeMap;
use std::net::IpAddr;
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
use crate::kernel::ContainerHandles;
use crate::model::{
    AttachAnswer, AttachRequest, DetachRequest, GATEWAY_V4, GATEWAY_V6, HOST_MAC, MacAddr, NetnsId,
    WorkloadId,
};

/// Calls that may wait for the owner of the state; further connections wait for room.
pub const CALLS: usize = 64;
/// A request must be complete, and an answer taken, within this time.
const IO_DEADLINE: Duration = Duration::from_secs(10);
/// A call must be answered within this time: longer than the core takes to give up, shorter than the plugin does.
const ANSWER_DEADLINE: Duration = Duration::from_secs(13);

/// A request of the plugin, waiting for its answer.
#[derive(Debug)]
pub struct CniCall {
    /// What is asked.
    pub request: CniRequest,
    /// Where the answer goes. Dropping it answers "try again later".
    pub reply: oneshot::Sender<CniAnswer>,
}

/// What the plugin asks.
#[derive(Debug)]
pub enum CniRequest {
    /// ADD
    Attach {
        /// Who and how.
        request: AttachRequest,
        /// The container.
        handles: ContainerHandles,
    },
    /// DEL
    Detach(DetachRequest),
    /// CHECK
    Check {
        /// Who.
        id: WorkloadId,
        /// The namespace the runtime believes it to be in; the same as in `handles`.
        netns: NetnsId,
        /// The container.
        handles: ContainerHandles,
    },
}

/// What the plugin is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CniAnswer {
    /// Attached (ADD) or as promised (CHECK).
    Attached(AttachAnswer),
    /// Gone, or never known (DEL).
    Detached,
    /// Failed, in the terms of the CNI specification.
    Failed(Error),
}

/// The listening socket of the CNI plugin. It exists before anything answers its calls, so that a plugin waits for a
/// daemon that starts instead of failing.
#[derive(Debug)]
pub struct CniServer {
    listener: UnixListener,
    own: Own,
}

#[derive(Clone, Copy, Debug)]
struct Own {
    netns: NetnsId,
    uid: u32,
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
        Ok(Self { listener, own: Own { netns, uid: rustix::process::geteuid().as_raw() } })
    }

    /// Serves connections until cancelled. Those that are open then are closed; their plugins try again.
    pub async fn run(self, calls: mpsc::Sender<CniCall>, cancel: CancellationToken) {
        let own = self.own;
        connections::serve(self.listener, cancel, move |stream, heard| {
            connection(stream, heard, calls.clone(), own)
        })
        .await;
    }
}

async fn connection(mut stream: UnixStream, heard: Heard, calls: mpsc::Sender<CniCall>, own: Own) {
    let reply = match receive(&stream, own).await {
        Ok(frame) => {
            heard.set();
            answer(frame, &calls, own).await
        }
        Err(Some(error)) => Reply::Error(error),
        Err(None) => return,
    };
    match timeout(IO_DEADLINE, frame::write(&mut stream, &reply)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "plugin did not take its answer"),
        Err(_) => tracing::debug!("plugin did not take its answer in time"),
    }
}

/// Receives the request; without an error to answer, the connection is just closed.
async fn receive(stream: &UnixStream, own: Own) -> Result<Frame, Option<Error>> {
    let peer = stream.peer_cred().map_err(|_| None)?;
    if peer.uid() != 0 && peer.uid() != own.uid {
        tracing::warn!(uid = peer.uid(), pid = peer.pid(), "plugin of a foreign user refused");
        return Err(Some(Error::new(ErrorCode::IO, "permission denied: not root")));
    }
    let refuse = |error: &dyn std::fmt::Display| {
        tracing::warn!(pid = peer.pid(), %error, "request refused");
        Some(Error::new(ErrorCode::DECODE, format!("request refused: {error}")))
    };
    match timeout(IO_DEADLINE, frame::read(stream)).await {
        Ok(Ok(frame)) => Ok(frame),
        Ok(Err(Fault::Io(error))) => {
            tracing::debug!(pid = peer.pid(), %error, "connection without a request");
            Err(None)
        }
        Ok(Err(fault)) => Err(refuse(&fault)),
        Err(_) => Err(refuse(&"not complete in time")),
    }
}

async fn answer(frame: Frame, calls: &mpsc::Sender<CniCall>, own: Own) -> Reply {
    let request = match decode(&frame.body) {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(%error, "request refused");
            return Reply::Error(error);
        }
    };
    let verb = request.call.verb();
    let span = tracing::info_span!(
        "cni", verb, container = %request.call.container_id(), ifname = %request.call.ifname()
    );
    async move {
        let begun = Instant::now();
        let ipv6_problem = match &request.call {
            Call::Add(add) => add.ipv6_problem.clone(),
            Call::Del(_) | Call::Check(_) => None,
        };
        let done = match into_model(request.call, frame.fds, own.netns) {
            Ok(request) => ask(request, calls).await,
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
    .instrument(span)
    .await
}

async fn ask(request: CniRequest, calls: &mpsc::Sender<CniCall>) -> Result<Reply, Error> {
    let later = |msg: &str| Error::new(ErrorCode::TRY_AGAIN, msg);
    let (reply, answer) = oneshot::channel();
    let asked = async {
        calls
            .send(CniCall { request, reply })
            .await
            .map_err(|_| later("the daemon is stopping"))?;
        answer.await.map_err(|_| later("the daemon dropped the request"))
    };
    match timeout(ANSWER_DEADLINE, asked).await {
        Err(_) => Err(later("the daemon did not answer in time")),
        Ok(Err(error)) => Err(error),
        Ok(Ok(CniAnswer::Failed(error))) => Err(error),
        Ok(Ok(CniAnswer::Detached)) => Ok(Reply::Done),
        Ok(Ok(CniAnswer::Attached(attached))) => Ok(Reply::Attached(to_wire(&attached))),
    }
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

fn into_model(
    call: Call,
    fds: Vec<std::os::fd::OwnedFd>,
    own: NetnsId,
) -> Result<CniRequest, Error> {
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
