// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies: an ordered list of rules per direction for the endpoints they select.

use std::{cmp::Ordering, fmt, sync::Arc};

use super::{EndpointSelector, Position, Rule};

/// Identity of a policy. `Display` gives `namespace/name`, or `name` for a global policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyId {
    /// A `GlobalNetworkPolicy`.
    Global {
        /// Its name.
        name: Arc<str>,
    },
    /// A `NetworkPolicy`.
    Namespaced {
        /// The namespace it lives in and is confined to.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
}

impl PolicyId {
    /// Identity of a `GlobalNetworkPolicy`.
    pub fn global(name: &str) -> Self {
        Self::Global { name: Arc::from(name) }
    }

    /// Identity of a `NetworkPolicy`.
    pub fn namespaced(namespace: &str, name: &str) -> Self {
        Self::Namespaced { namespace: Arc::from(namespace), name: Arc::from(name) }
    }

    /// The kind as files spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Global { .. } => "GlobalNetworkPolicy",
            Self::Namespaced { .. } => "NetworkPolicy",
        }
    }

    /// The name without the namespace.
    pub fn name(&self) -> &str {
        match self {
            Self::Global { name } | Self::Namespaced { name, .. } => name,
        }
    }

    /// The namespace of a `NetworkPolicy`.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Global { .. } => None,
            Self::Namespaced { namespace, .. } => Some(namespace),
        }
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global { name } => f.write_str(name),
            Self::Namespaced { namespace, name } => write!(f, "{namespace}/{name}"),
        }
    }
}

/// Place of a policy in the order of evaluation: lower first, unset last.
#[derive(Clone, Copy, Debug)]
pub struct Order(f64);

impl Order {
    /// Evaluated after all policies with an order.
    pub const UNSET: Self = Self(f64::INFINITY);

    /// A finite order; `None` for anything else.
    pub fn try_new(value: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0, so that equal numbers are equal orders.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number, unless unset.
    pub fn value(self) -> Option<f64> {
        self.0.is_finite().then_some(self.0)
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Order {}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Direction of traffic as seen from the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl Direction {
    /// The word that files use in `types`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }
}

/// A network policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Identity.
    pub id: PolicyId,
    /// Place among the policies of an endpoint.
    pub order: Order,
    /// The endpoints it applies to.
    pub subject: EndpointSelector,
    /// Rules for traffic towards the endpoint; `None` if the policy says nothing about ingress,
    /// an empty list if it denies all of it.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for traffic from the endpoint; `None` if the policy says nothing about egress.
    pub egress: Option<Vec<Rule>>,
    /// Where the document begins.
    pub position: Position,
}

impl Policy {
    /// The rules of a direction, `None` if the policy does not cover it.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// The directions it covers, as `types` in a file.
    pub fn types(&self) -> impl Iterator<Item = Direction> + '_ {
        [Direction::Ingress, Direction::Egress].into_iter().filter(|d| self.rules(*d).is_some())
    }

    /// Compares by place in the evaluation: order, then name.
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.order
            .cmp(&other.order)
            .then_with(|| self.id.to_string().cmp(&other.id.to_string()))
            .then_with(|| self.id.cmp(&other.id))
    }
}

/// What happens to traffic from a workload to its own node (Calico's
/// `defaultEndpointToHostAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAction {
    /// Drop it.
    Drop,
    /// Accept it. Rules of other tables can still drop it: in nftables no verdict of one table
    /// overrules another.
    Accept,
    /// Leave the decision to rules of other tables.
    Return,
}
