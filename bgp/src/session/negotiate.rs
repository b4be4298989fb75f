// SPDX-License-Identifier: MIT OR Apache-2.0
//! What we say in OPEN, and what follows from what the peer says (RFC 4271 §4.2, §6.2).

use std::time::Duration;

use bytes::Bytes;

use super::collision::Identity;
use crate::config::PeerConfig;
use crate::types::{BgpId, Family, FamilySet};
use crate::wire::{
    Capabilities, Capability, CodecCtx, EncodeError, GracefulRestart, Notification,
    NotificationCode, Open, RestartFamily, encode_keepalive, encode_notification,
};

#[cfg(test)]
mod tests;

/// What the next OPEN says about a restart of ours (RFC 4724 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestartBits {
    /// R: we have restarted; do not wait for our End-of-RIB.
    pub(crate) restarting: bool,
    /// F per family: the kernel kept forwarding.
    pub(crate) forwarding: FamilySet,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The peer's identifier.
    pub(crate) id: BgpId,
    /// Hold time; zero means none.
    pub(crate) hold: Duration,
    /// Time between KEEPALIVEs; zero means none are sent.
    pub(crate) keepalive: Duration,
    pub(crate) families: FamilySet,
    /// How messages are read and written.
    pub(crate) codec: CodecCtx,
    /// The peer's side of graceful restart, when both sides offer it.
    pub(crate) restart: Option<PeerRestart>,
}

/// What the peer says about its restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerRestart {
    pub(crate) time: Duration,
}

/// Why the peer's OPEN is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) notification: Notification,
    /// Both values, for the log.
    pub(crate) text: String,
}

/// Our OPEN.
pub(crate) fn offer(config: &PeerConfig, local: Identity, bits: RestartBits) -> Bytes {
    let mut list: Vec<_> =
        config.families.iter().map(|f| Capability::Multiprotocol(f.afi_safi())).collect();
    list.push(Capability::RouteRefresh);
    list.push(Capability::FourOctetAs(local.asn));
    if config.graceful_restart.enabled {
        let family = |family: Family| RestartFamily {
            family: family.afi_safi(),
            forwarding: bits.forwarding.contains(family),
        };
        list.push(Capability::GracefulRestart(GracefulRestart {
            restarted: bits.restarting,
            notification: false,
            restart_time: config.graceful_restart.restart_time,
            families: config.families.iter().map(family).collect(),
        }));
    }
    let mut out = Vec::new();
    encoded(encode_open(config, local, &list, &mut out));
    out.into()
}

fn encode_open(
    config: &PeerConfig,
    local: Identity,
    list: &[Capability],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let capabilities = Capabilities::try_new(list)?;
    let hold_time = config.timers.hold_time;
    Open { asn: local.asn, hold_time, id: local.id, capabilities }.encode(out)
}

/// What follows from the peer's OPEN.
///
/// # Errors
/// If it does not fit our configuration of the peer.
pub(crate) fn agree(config: &PeerConfig, local: Identity, open: &Open) -> Result<Agreed, Refusal> {
    let refuse = |code, text| Refusal { notification: Notification::new(code), text };
    if open.asn != config.asn {
        let text = format!("peer is AS {}, configured is AS {}", open.asn, config.asn);
        return Err(refuse(NotificationCode::BAD_PEER_AS, text));
    }
    let internal = config.asn == local.asn;
    // RFC 6286 §2.2: unique inside an AS only.
    if internal && open.id == local.id {
        let text = format!("peer has our own identifier {}", open.id);
        return Err(refuse(NotificationCode::BAD_BGP_ID, text));
    }
    let families = config.families.intersection(open.capabilities.families());
    if families.is_empty() {
        let text = format!("no common family: peer has {:?}", open.capabilities.families());
        return Err(refuse(NotificationCode::UNSUPPORTED_CAPABILITY, text));
    }
    let hold = config.timers.hold_time.min(open.hold_time);
    let restart = open.capabilities.graceful_restart().filter(|_| config.graceful_restart.enabled);
    Ok(Agreed {
        id: open.id,
        hold,
        keepalive: config.timers.keepalive.min(hold / 3),
        families,
        codec: CodecCtx {
            as4: open.capabilities.four_octet_as().is_some(),
            ebgp: !internal,
            families,
            keep_unknown: false,
            ..CodecCtx::default()
        },
        restart: restart.map(|restart| PeerRestart { time: restart.restart_time }),
    })
}

/// A KEEPALIVE.
pub(crate) fn keepalive() -> Bytes {
    let mut out = Vec::with_capacity(19);
    encode_keepalive(&mut out);
    out.into()
}

/// A NOTIFICATION; its data is left out if it does not fit.
pub(crate) fn notification(notification: &Notification) -> Bytes {
    let mut out = Vec::new();
    if encode_notification(&CodecCtx::default(), notification, &mut out).is_err() {
        let bare = Notification::new(notification.code);
        encoded(encode_notification(&CodecCtx::default(), &bare, &mut out));
    }
    out.into()
}

/// The values were validated with the configuration; an encoder that refuses them is a bug that
/// must not take the other sessions down.
fn encoded(result: Result<(), EncodeError>) {
    if let Err(error) = result {
        tracing::error!(%error, "own message cannot be encoded");
        debug_assert!(false, "own message cannot be encoded: {error}");
    }
}
