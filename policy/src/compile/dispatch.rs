// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one endpoint adds to the ruleset: its way into the chains, and its source addresses.

use super::names;
use crate::{
    ir::{Key, Name, ObjectId, Part},
    model::{Direction, Endpoint, EndpointKey, Family},
};

/// The verdict map that sends an interface's traffic of one direction to its chain.
pub(crate) fn dispatch_map(direction: Direction) -> Name {
    Name::new(match direction {
        Direction::Ingress => names::TO_WORKLOAD,
        Direction::Egress => names::FROM_WORKLOAD,
    })
}

/// The key of an endpoint in both verdict maps.
pub(crate) fn dispatch_key(interface: &EndpointKey) -> Key {
    Key::Single(Part::IfName(Name::new(interface.as_str())))
}

/// The elements that let an endpoint send from its addresses.
pub(crate) fn endpoint_sources<'a>(
    interface: &EndpointKey,
    endpoint: &'a Endpoint,
) -> impl Iterator<Item = ObjectId> + use<'a> {
    let interface = Name::new(interface.as_str());
    endpoint.addresses().iter().map(move |address| {
        let key = Key::Pair(Part::IfName(interface.clone()), Part::from(*address));
        ObjectId::Element(names::source_set(Family::of(*address)), key)
    })
}
