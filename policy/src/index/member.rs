// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which addresses belong to which selector.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use rustc_hash::FxHashMap;

use super::LabelIndex;
use crate::model::{Endpoint, EndpointKey, EndpointSelector};

/// Whose addresses they are. A local and a remote endpoint of one key are two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Holder {
    /// A workload of this node.
    Local(EndpointKey),
    /// A workload elsewhere.
    Remote(EndpointKey),
}

/// An address joined or left a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberChange {
    /// The selector.
    pub(crate) selector: EndpointSelector,
    /// The address.
    pub(crate) address: IpAddr,
}

/// The members of all selectors in use.
///
/// Two endpoints may carry the same address, so every member is counted; it stays as long as one
/// of them is selected. Selectors are counted too: the rules that use one hold it.
#[derive(Debug, Default)]
pub(crate) struct Members {
    index: LabelIndex<SelectorId, Holder>,
    endpoints: BTreeMap<Holder, Arc<Endpoint>>,
    ids: BTreeMap<EndpointSelector, SelectorId>,
    entries: FxHashMap<SelectorId, Entry>,
    next: u32,
}

/// Stands for a selector inside the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct SelectorId(u32);

#[derive(Debug)]
struct Entry {
    selector: EndpointSelector,
    users: usize,
    addresses: BTreeMap<IpAddr, u32>,
}

impl Members {
    /// The number of selectors in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.ids.len(), self.entries.len());
        self.ids.len()
    }

    /// Whether an address belongs to a selector in use.
    pub(crate) fn contains(&self, selector: &EndpointSelector, address: IpAddr) -> bool {
        self.entry(selector).is_some_and(|entry| entry.addresses.contains_key(&address))
    }

    /// All addresses of a selector in use, ascending.
    pub(crate) fn addresses(
        &self,
        selector: &EndpointSelector,
    ) -> impl Iterator<Item = IpAddr> + use<'_> {
        self.entry(selector).into_iter().flat_map(|entry| entry.addresses.keys().copied())
    }

    /// The selectors in use that select an endpoint.
    pub(crate) fn selectors_of(
        &self,
        holder: &Holder,
    ) -> impl Iterator<Item = &EndpointSelector> + use<'_> {
        let ids = self.index.matched_by(holder);
        ids.filter_map(|id| self.entries.get(id)).map(|entry| &entry.selector)
    }

    /// Starts to use a selector once more.
    pub(crate) fn acquire(&mut self, selector: &EndpointSelector) {
        if let Some(entry) = self.ids.get(selector).and_then(|id| self.entries.get_mut(id)) {
            entry.users += 1;
            return;
        }
        let id = SelectorId(self.next);
        // Four billion selectors would have to come and go for a number to come back while in use.
        self.next = self.next.wrapping_add(1);
        let mut addresses = BTreeMap::new();
        for holder in self.index.set_selector(&id, Some(selector)).started {
            for address in addresses_of(&self.endpoints, &holder) {
                *addresses.entry(*address).or_insert(0) += 1;
            }
        }
        self.ids.insert(selector.clone(), id);
        self.entries.insert(id, Entry { selector: selector.clone(), users: 1, addresses });
    }

    /// Ends one use of a selector; with the last one it is forgotten.
    pub(crate) fn release(&mut self, selector: &EndpointSelector) {
        let Some(id) = self.ids.get(selector).copied() else { return };
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.users -= 1;
        if entry.users == 0 {
            self.entries.remove(&id);
            self.ids.remove(selector);
            self.index.set_selector(&id, None);
        }
    }

    /// Adds, replaces or removes an endpoint; returns which members came and went.
    pub(crate) fn set(
        &mut self,
        holder: &Holder,
        endpoint: Option<Arc<Endpoint>>,
    ) -> Vec<MemberChange> {
        let old = match &endpoint {
            Some(endpoint) => self.endpoints.insert(holder.clone(), Arc::clone(endpoint)),
            None => self.endpoints.remove(holder),
        };
        let before: BTreeSet<SelectorId> = self.index.matched_by(holder).copied().collect();
        self.index.set_item(holder, endpoint);
        let after: BTreeSet<SelectorId> = self.index.matched_by(holder).copied().collect();

        let old = old.as_deref().map_or(&[][..], Endpoint::addresses);
        let new = addresses_of(&self.endpoints, holder);
        let mut changes = Vec::new();
        for id in before.union(&after) {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let old = if before.contains(id) { old } else { &[] };
            let new = if after.contains(id) { new } else { &[] };
            entry.exchange(old, new, &mut changes);
        }
        changes
    }

    fn entry(&self, selector: &EndpointSelector) -> Option<&Entry> {
        self.entries.get(self.ids.get(selector)?)
    }
}

impl Entry {
    fn exchange(&mut self, old: &[IpAddr], new: &[IpAddr], changes: &mut Vec<MemberChange>) {
        let mut changed = |selector: &EndpointSelector, address| {
            changes.push(MemberChange { selector: selector.clone(), address });
        };
        for address in new.iter().filter(|address| !old.contains(address)) {
            let count = self.addresses.entry(*address).or_insert(0);
            *count += 1;
            if *count == 1 {
                changed(&self.selector, *address);
            }
        }
        for address in old.iter().filter(|address| !new.contains(address)) {
            let Some(count) = self.addresses.get_mut(address) else { continue };
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(address);
                changed(&self.selector, *address);
            }
        }
    }
}

fn addresses_of<'a>(
    endpoints: &'a BTreeMap<Holder, Arc<Endpoint>>,
    holder: &Holder,
) -> &'a [IpAddr] {
    endpoints.get(holder).map_or(&[], |endpoint| endpoint.addresses())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, Scope};

    fn selector(text: &str) -> EndpointSelector {
        EndpointSelector { scope: Scope::Any, selector: text.parse().unwrap() }
    }

    fn endpoint(app: &str, addresses: &[&str]) -> Option<Arc<Endpoint>> {
        let labels: Labels = [("app", app)].into_iter().collect();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Some(Arc::new(Endpoint::new("default", &labels, addresses)))
    }

    fn remote(name: &str) -> Holder {
        Holder::Remote(name.into())
    }

    fn changed(changes: &[MemberChange]) -> Vec<String> {
        changes.iter().map(|change| change.address.to_string()).collect()
    }

    #[test]
    fn a_shared_address_stays_until_its_last_holder_leaves() {
        let mut members = Members::default();
        let web = selector("app == 'web'");
        members.acquire(&web);
        assert_eq!(
            changed(&members.set(&remote("a"), endpoint("web", &["10.0.0.1"]))),
            ["10.0.0.1"]
        );
        assert!(members.set(&remote("b"), endpoint("web", &["10.0.0.1", "10.0.0.1"])).is_empty());
        assert!(members.set(&remote("a"), None).is_empty());
        assert!(members.contains(&web, "10.0.0.1".parse().unwrap()));
        assert_eq!(
            changed(&members.set(&remote("b"), endpoint("db", &["10.0.0.1"]))),
            ["10.0.0.1"]
        );
        assert!(!members.contains(&web, "10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn local_and_remote_endpoints_of_one_key_are_two() {
        let mut members = Members::default();
        let web = selector("app == 'web'");
        members.acquire(&web);
        members.set(&remote("a"), endpoint("web", &["10.0.0.1"]));
        members.set(&Holder::Local("a".into()), endpoint("web", &["10.0.0.2"]));
        members.set(&remote("a"), None);
        let left: Vec<_> = members.addresses(&web).map(|address| address.to_string()).collect();
        assert_eq!(left, ["10.0.0.2"]);
    }

    #[test]
    fn a_selector_lives_as_long_as_it_is_used() {
        let mut members = Members::default();
        let web = selector("app == 'web'");
        members.set(&remote("a"), endpoint("web", &["10.0.0.1", "fd00::1"]));
        members.acquire(&web);
        members.acquire(&web);
        members.release(&web);
        assert_eq!(members.addresses(&web).count(), 2);
        assert_eq!(members.selectors_of(&remote("a")).count(), 1);
        members.release(&web);
        assert_eq!(members.addresses(&web).count(), 0);
        assert_eq!(members.selectors_of(&remote("a")).count(), 0);
        members.acquire(&web);
        assert_eq!(members.addresses(&web).count(), 2);
    }

    #[test]
    fn an_address_change_moves_only_what_changed() {
        let mut members = Members::default();
        members.acquire(&selector("app == 'web'"));
        members.acquire(&selector("all()"));
        members.set(&remote("a"), endpoint("web", &["10.0.0.1", "10.0.0.2"]));
        let changes = members.set(&remote("a"), endpoint("db", &["10.0.0.2", "10.0.0.3"]));
        let of = |text: &str| {
            let of = changes.iter().filter(|change| change.selector == selector(text));
            of.map(|change| change.address.to_string()).collect::<BTreeSet<_>>()
        };
        assert_eq!(of("app == 'web'"), BTreeSet::from(["10.0.0.1", "10.0.0.2"].map(String::from)));
        assert_eq!(of("all()"), BTreeSet::from(["10.0.0.1", "10.0.0.3"].map(String::from)));
    }
}
