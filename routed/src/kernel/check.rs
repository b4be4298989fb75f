// SPDX-License-Identifier: MIT OR Apache-2.0
//! CNI CHECK: compares a link with its wish, at both ends, and mends the container's end where a repeated ADD asks for it.

use std::fmt;
use std::net::IpAddr;

use super::container::{self, Container, ContainerFact, ContainerRoute};
use super::error::Error;
use super::handover::ContainerHandles;
use super::host::{self, Offer};
use super::marks::Alias;
use super::socket::Socket;
use super::state::{self, End, Link};
use crate::model::LinkSpec;

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The node's end.
    Host,
    /// The container's end.
    Container,
}

/// Something that is not as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// At which end.
    pub side: Side,
    /// What is missing, such as `address 10.0.0.1/32`.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Host => "host",
            Side::Container => "container",
        };
        write!(f, "{side}: missing {}", self.what)
    }
}

/// Every difference between a link and its wish. The handles are closed at the end.
///
/// To be called on a thread of the node's namespace; it blocks for a few reads.
///
/// # Errors
/// If a read fails.
pub fn check(mut handles: ContainerHandles, spec: &LinkSpec) -> Result<Vec<Difference>, Error> {
    compare(&mut handles, spec)
}

/// Writes what the container's end lacks, then the same as [`check()`]. A container whose end is gone or belongs to
/// another link is left alone.
///
/// # Errors
/// If a read fails or the kernel refuses a write.
pub fn mend(mut handles: ContainerHandles, spec: &LinkSpec) -> Result<Vec<Difference>, Error> {
    let link = state::link_by_name(&mut Socket::open()?, &spec.host_interface)?;
    let container = Container::read(handles.socket(), &spec.container_interface)?;
    if let (Some(link), Some(container)) = (link, container)
        && container.is_peer_of(&link)
    {
        let missing = container.missing(spec);
        container::write(handles.socket(), container.end.link.index, &missing)?;
    }
    compare(&mut handles, spec)
}

fn compare(handles: &mut ContainerHandles, spec: &LinkSpec) -> Result<Vec<Difference>, Error> {
    let mut socket = Socket::open()?;
    let mut differences = Differences(Vec::new());
    let link = check_host(&mut socket, spec, &mut differences)?;
    match Container::read(handles.socket(), &spec.container_interface)? {
        Some(container) if link.as_ref().is_none_or(|link| container.is_peer_of(link)) => {
            let missing = container.missing(spec);
            for fact in missing.iter().filter(|fact| is_promised(fact)) {
                differences.add(Side::Container, fact);
            }
        }
        _ => differences.add(Side::Container, &format!("interface {}", spec.container_interface)),
    }
    Ok(differences.0)
}

/// The host end, if it is there.
fn check_host(
    socket: &mut Socket,
    spec: &LinkSpec,
    differences: &mut Differences,
) -> Result<Option<Link>, Error> {
    let alias = Alias { id: spec.id.clone(), netns: spec.netns };
    let link = state::link_by_name(socket, &spec.host_interface)?
        .filter(|link| link.is_alive() && link.alias.as_ref() == Some(&alias));
    let Some(link) = link else {
        differences.add(Side::Host, &format!("interface {}", spec.host_interface));
        return Ok(None);
    };
    let end = End::read(socket, link)?;
    let offer = Offer::read();
    for fact in host::missing(spec, &end, offer) {
        differences.add(Side::Host, &fact);
    }
    let routes = container::routes(socket, end.link.index)?;
    for address in spec.v4.map(IpAddr::V4).into_iter().chain(spec.v6.map(IpAddr::V6)) {
        let route = ContainerRoute::on_link(address);
        if !routes.contains(&route) {
            differences.add(Side::Host, &route);
        }
    }
    Ok(Some(end.link))
}

/// Whether the container was promised it; the rest is ours to have as we like.
fn is_promised(fact: &ContainerFact) -> bool {
    !matches!(fact, ContainerFact::GeneratesNoAddress | ContainerFact::LoopbackUp)
}

struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, side: Side, what: &impl ToString) {
        self.0.push(Difference { side, what: what.to_string() });
    }
}
