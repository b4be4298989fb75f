// SPDX-License-Identifier: MIT OR Apache-2.0
//! Link messages.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoKind,
    InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::marks::{DEAD_GROUP, LIVE_GROUP};
use super::socket::Request;
use crate::model::{HOST_MAC, LinkSpec};

/// Index of the loopback in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// Makes both ends of a link: the host end down, the other born in the container's namespace.
///
/// The echo of this message carries the indexes of both ends. One queue each: more cost a grace
/// period each. Creating the other end elsewhere and moving it would cost three. The kernel takes
/// no alias here; until it has one, the group tells that the link is ours.
pub(crate) fn create(spec: &LinkSpec, netns: BorrowedFd<'_>) -> Request {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(spec.container_interface.clone()),
        LinkAttribute::NetNsFd(netns.as_raw_fd()),
        LinkAttribute::Address(spec.mac.0.to_vec()),
        LinkAttribute::Mtu(spec.mtu),
        LinkAttribute::NumTxQueues(1),
        LinkAttribute::NumRxQueues(1),
    ];
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(spec.host_interface.clone()),
        LinkAttribute::Address(HOST_MAC.0.to_vec()),
        LinkAttribute::Mtu(spec.mtu),
        LinkAttribute::Group(LIVE_GROUP),
        LinkAttribute::NumTxQueues(1),
        LinkAttribute::NumRxQueues(1),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    Request::new(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO)
}

/// Gives a link up: marks it dead and takes it down. The reaper deletes it.
pub(crate) fn bury(index: u32) -> Request {
    let mut message = with(index, LinkAttribute::Group(DEAD_GROUP));
    message.header.change_mask = LinkFlags::Up;
    set(message)
}

/// Deletes every link of the dead group.
pub(crate) fn delete_dead() -> Request {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(DEAD_GROUP));
    Request::new(RouteNetlinkMessage::DelLink(message), 0)
}

/// Deletes one link.
pub(crate) fn delete(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    Request::new(RouteNetlinkMessage::DelLink(message), 0)
}

pub(crate) fn set_up(index: u32) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    set(message)
}

/// Changes attributes of a link.
pub(crate) fn change(index: u32, attributes: Vec<LinkAttribute>) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    set(message)
}

/// `proxy_arp` and `forwarding` for IPv4.
pub(crate) fn inet() -> AfSpecUnspec {
    let mut conf = InetDevConf::default();
    conf.forwarding = 1;
    conf.proxy_arp = 1;
    AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)])
}

/// The kernel makes no link-local address by itself.
pub(crate) fn no_address() -> AfSpecUnspec {
    AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)])
}

fn with(index: u32, attribute: LinkAttribute) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(attribute);
    message
}

fn set(message: LinkMessage) -> Request {
    Request::new(RouteNetlinkMessage::SetLink(message), 0)
}
