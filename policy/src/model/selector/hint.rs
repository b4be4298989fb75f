// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a selector demands of single labels: the hints that let an index skip endpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::expr::{Comparison, Expr};

/// What every set of labels that satisfies a selector must show for one label name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restriction {
    /// The label is there.
    pub present: bool,
    /// The label is not there. Together with `present` nothing can satisfy the selector.
    pub absent: bool,
    /// The label is there with one of these values.
    pub one_of: Option<BTreeSet<Arc<str>>>,
}

type Restrictions = BTreeMap<Arc<str>, Restriction>;

pub(super) fn restrictions(expr: &Expr) -> Restrictions {
    match expr {
        Expr::Has(key) => present(key, None),
        Expr::Compare(key, Comparison::Equal, value) => {
            present(key, Some([Arc::clone(value)].into()))
        }
        Expr::In(key, values) => present(key, Some(values.iter().cloned().collect())),
        Expr::Compare(_, Comparison::NotEqual, _) | Expr::NotIn(..) | Expr::All | Expr::Global => {
            Restrictions::new()
        }
        Expr::Compare(key, ..) => present(key, None),
        Expr::Not(inner) => match &**inner {
            Expr::Has(key) => {
                let absent = Restriction { absent: true, ..Restriction::default() };
                Restrictions::from([(Arc::clone(key), absent)])
            }
            _ => Restrictions::new(),
        },
        Expr::And(parts) => parts.iter().map(restrictions).reduce(both).unwrap_or_default(),
        Expr::Or(parts) => parts.iter().map(restrictions).reduce(either).unwrap_or_default(),
    }
}

fn present(key: &Arc<str>, one_of: Option<BTreeSet<Arc<str>>>) -> Restrictions {
    let restriction = Restriction { present: true, absent: false, one_of };
    Restrictions::from([(Arc::clone(key), restriction)])
}

fn both(mut left: Restrictions, right: Restrictions) -> Restrictions {
    for (key, r) in right {
        let l = left.entry(key).or_default();
        l.present |= r.present;
        l.absent |= r.absent;
        l.one_of = match (l.one_of.take(), r.one_of) {
            (Some(a), Some(b)) => Some(a.intersection(&b).cloned().collect()),
            (a, b) => a.or(b),
        };
    }
    left
}

fn either(left: Restrictions, mut right: Restrictions) -> Restrictions {
    let mut joined = Restrictions::new();
    for (key, l) in left {
        let Some(r) = right.remove(&key) else { continue };
        let restriction = Restriction {
            present: l.present && r.present,
            absent: l.absent && r.absent,
            one_of: l.one_of.zip(r.one_of).map(|(a, b)| a.union(&b).cloned().collect()),
        };
        if restriction != Restriction::default() {
            joined.insert(key, restriction);
        }
    }
    joined
}
