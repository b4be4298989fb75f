// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine: takes changes of policies and endpoints, says which objects of the ruleset change.
//!
//! The value of every object is a function of the current inputs ([`Engine::rebuild`] computes all
//! of them from nothing else). What is kept between changes is only what lets a change find the
//! objects it affects: which policies are active, which addresses are members, who uses which
//! chain and set. Nothing remembers what was written; a writer compares and drops what is equal.
//!
//! Only policies that select a local endpoint are compiled, and only their selectors have sets.

mod rebuild;
mod summary;
mod used;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use reconcile::Revision;

use self::used::Used;
use crate::{
    compile::{
        CompileOptions, CompiledPolicy, SetContent, compile_policy, compile_signature,
        dispatch_key, dispatch_map, endpoint_sources, fixed_objects, policy_chain, selector_set,
        signature_chain,
    },
    index::{Holder, LabelIndex, MemberChange, Members},
    ir::{Key, Name, Object, ObjectId, Part, Target},
    model::{
        Direction, Endpoint, EndpointKey, EndpointSelector, Family, LocalEndpoint, Policy,
        PolicyId, RemoteEndpoint,
    },
};

pub use summary::PolicySummary;

/// One change of the inputs. Setting what is already there changes nothing.
#[derive(Clone, Debug)]
pub enum Change {
    /// A policy is there with this content, or gone.
    Policy(PolicyId, Option<Arc<Policy>>),
    /// A local endpoint, by the name of its interface.
    Local(EndpointKey, Option<LocalEndpoint>),
    /// An endpoint elsewhere.
    Remote(EndpointKey, Option<RemoteEndpoint>),
}

/// Policies and endpoints in, changes of the ruleset out.
///
/// ```
/// use policy::{Change, CompileOptions, Engine, Endpoint, Labels, LocalEndpoint};
///
/// let mut engine = Engine::new(&CompileOptions::default());
/// let base = engine.take_changes();
/// assert!(base.iter().all(|(id, object)| id.is_fixed() && object.is_some()));
///
/// let labels: Labels = [("app", "web")].into_iter().collect();
/// let endpoint = Endpoint::new("shop", &labels, vec!["10.64.1.2".parse()?]);
/// engine.apply(Change::Local("rtd0123456789a".into(), Some(LocalEndpoint(endpoint))));
/// let opened = engine.take_changes();
/// assert_eq!(opened.len(), 3, "one source address, and the way in and out");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    fixed: BTreeMap<ObjectId, Object>,
    revision: Revision,
    policies: BTreeMap<PolicyId, PolicyEntry>,
    locals: BTreeMap<EndpointKey, Arc<Endpoint>>,
    remotes: BTreeMap<EndpointKey, Arc<Endpoint>>,
    /// Which policies select which local endpoints.
    active: LabelIndex<PolicyId, EndpointKey>,
    /// Which addresses belong to the selectors of active policies.
    members: Members,
    /// The chains of active policies.
    chains: BTreeMap<Name, CompiledPolicy>,
    /// The signature chains that judge an endpoint's traffic; no entry where no policy does.
    judged: BTreeMap<(EndpointKey, Direction), Name>,
    /// The chains that run an endpoint's policies in order.
    signatures: Used<Signature>,
    /// The sets that active policies look into.
    sets: Used<SetContent>,
    dirty: BTreeSet<ObjectId>,
}

#[derive(Debug)]
struct PolicyEntry {
    policy: Arc<Policy>,
    revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    policies: Vec<PolicyId>,
    direction: Direction,
}

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

impl Engine {
    /// An engine without inputs. Its first changes are the closed base ruleset.
    pub fn new(options: &CompileOptions) -> Self {
        let fixed: BTreeMap<_, _> = fixed_objects(options).into_iter().collect();
        Self {
            dirty: fixed.keys().cloned().collect(),
            fixed,
            revision: Revision::default(),
            policies: BTreeMap::new(),
            locals: BTreeMap::new(),
            remotes: BTreeMap::new(),
            active: LabelIndex::default(),
            members: Members::default(),
            chains: BTreeMap::new(),
            judged: BTreeMap::new(),
            signatures: Used::default(),
            sets: Used::default(),
        }
    }

    /// The number of changes so far.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Takes one change and returns the revision that includes it.
    pub fn apply(&mut self, change: Change) -> Revision {
        self.revision = self.revision.next();
        match change {
            Change::Policy(id, policy) => self.set_policy(&id, policy),
            Change::Local(key, endpoint) => self.set_local(&key, endpoint.map(|e| Arc::new(e.0))),
            Change::Remote(key, endpoint) => self.set_remote(&key, endpoint.map(|e| Arc::new(e.0))),
        }
        self.revision
    }

    /// The objects that may have changed since the last call, with their current values; `None`
    /// where an object is no longer wanted. Ascending by id, each at most once.
    pub fn take_changes(&mut self) -> Vec<(ObjectId, Option<Object>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|id| (id.clone(), self.object(&id))).collect()
    }

    /// The current value of an object, `None` if the ruleset has no such object.
    pub fn object(&self, id: &ObjectId) -> Option<Object> {
        if let Some(object) = self.fixed.get(id) {
            return Some(object.clone());
        }
        match id {
            ObjectId::Set(name) => Some(Object::Set(self.sets.get(name)?.spec())),
            ObjectId::Chain(name) => match self.chains.get(name) {
                Some(chain) => Some(Object::Chain(Arc::clone(&chain.rules))),
                None => {
                    let Signature { policies, direction } = self.signatures.get(name)?;
                    Some(Object::Chain(compile_signature(policies, *direction)))
                }
            },
            ObjectId::BaseChain(_) => None,
            ObjectId::Element(set, key) => self.has_element(set, key).then_some(Object::Element),
            ObjectId::Dispatch(map, Key::Single(Part::IfName(interface))) => {
                let key = EndpointKey::new(interface.as_str());
                self.locals.get(&key)?;
                let direction = DIRECTIONS.into_iter().find(|d| dispatch_map(*d) == *map)?;
                Some(Object::Dispatch(dispatch_target(self.judged.get(&(key, direction)))))
            }
            ObjectId::Dispatch(..) => None,
        }
    }

    fn has_element(&self, set: &Name, key: &Key) -> bool {
        match (self.sets.get(set), key) {
            (Some(SetContent::Listed(_, keys)), key) => keys.binary_search(key).is_ok(),
            (Some(SetContent::Members(selector, family)), Key::Single(part)) => {
                let address = match part {
                    Part::Ipv4(address) => IpAddr::V4(*address),
                    Part::Ipv6(address) => IpAddr::V6(*address),
                    Part::IfName(_) | Part::Port(_) => return false,
                };
                Family::of(address) == *family && self.members.contains(selector, address)
            }
            (None, Key::Pair(Part::IfName(interface), _)) => {
                let id = ObjectId::Element(set.clone(), key.clone());
                let interface = EndpointKey::new(interface.as_str());
                self.locals.get(&interface).is_some_and(|endpoint| {
                    endpoint_sources(&interface, endpoint).any(|source| source == id)
                })
            }
            _ => false,
        }
    }

    /// Everything that must be in the kernel before a local endpoint is in force: the base
    /// ruleset, its own elements, its chains, the sets they look into, and its membership in the
    /// sets of other endpoints' policies. Nothing for an unknown endpoint.
    ///
    /// The members of the sets its policies look into are not listed: their rank is below that of
    /// the chains, so they are written before.
    pub fn objects_of(&self, key: &EndpointKey) -> Vec<ObjectId> {
        let Some(endpoint) = self.locals.get(key) else { return Vec::new() };
        let mut ids: BTreeSet<ObjectId> = self.fixed.keys().cloned().collect();
        ids.extend(endpoint_sources(key, endpoint));
        for direction in DIRECTIONS {
            ids.insert(ObjectId::Dispatch(dispatch_map(direction), dispatch_key(key)));
            let Some(name) = self.judged.get(&(key.clone(), direction)) else { continue };
            ids.insert(ObjectId::Chain(name.clone()));
            for policy in self.signatures.get(name).into_iter().flat_map(|s| &s.policies) {
                let name = policy_chain(policy, direction);
                let sets = self.chains.get(&name).into_iter().flat_map(|c| c.sets.keys());
                ids.extend(sets.cloned().map(ObjectId::Set));
                ids.insert(ObjectId::Chain(name));
            }
        }
        for selector in self.members.selectors_of(&Holder::Local(key.clone())) {
            ids.extend(endpoint.addresses().iter().filter_map(|a| self.member(selector, *a)));
        }
        ids.into_iter().collect()
    }

    fn set_policy(&mut self, id: &PolicyId, policy: Option<Arc<Policy>>) {
        if self.policies.get(id).map(|entry| &entry.policy) == policy.as_ref() {
            return;
        }
        let mut affected: BTreeSet<EndpointKey> = self.active.matched(id).cloned().collect();
        self.active.set_selector(id, policy.as_ref().map(|policy| &policy.subject));
        affected.extend(self.active.matched(id).cloned());
        let revision = self.revision;
        match policy {
            Some(policy) => {
                drop(self.policies.insert(id.clone(), PolicyEntry { policy, revision }))
            }
            None => drop(self.policies.remove(id)),
        }
        self.refresh_policy(id);
        for endpoint in &affected {
            self.refresh_endpoint(endpoint);
        }
    }

    fn set_local(&mut self, key: &EndpointKey, endpoint: Option<Arc<Endpoint>>) {
        let old = match &endpoint {
            Some(endpoint) => self.locals.insert(key.clone(), Arc::clone(endpoint)),
            None => self.locals.remove(key),
        };
        if old == endpoint {
            return;
        }
        for endpoint in old.iter().chain(&endpoint) {
            self.dirty.extend(endpoint_sources(key, endpoint));
        }
        self.mark_dispatch(key);
        let changes = self.members.set(&Holder::Local(key.clone()), endpoint.clone());
        self.mark_members(&changes);
        let changes = self.active.set_item(key, endpoint);
        for policy in changes.started.iter().chain(&changes.stopped) {
            if self.active.matches_any(policy) != self.is_compiled(policy) {
                self.refresh_policy(policy);
            }
        }
        self.refresh_endpoint(key);
    }

    fn set_remote(&mut self, key: &EndpointKey, endpoint: Option<Arc<Endpoint>>) {
        let old = match &endpoint {
            Some(endpoint) => self.remotes.insert(key.clone(), Arc::clone(endpoint)),
            None => self.remotes.remove(key),
        };
        if old != endpoint {
            let changes = self.members.set(&Holder::Remote(key.clone()), endpoint);
            self.mark_members(&changes);
        }
    }

    fn is_compiled(&self, id: &PolicyId) -> bool {
        DIRECTIONS.iter().any(|direction| self.chains.contains_key(&policy_chain(id, *direction)))
    }

    /// Compiles a policy that is active, drops one that is not.
    fn refresh_policy(&mut self, id: &PolicyId) {
        for direction in DIRECTIONS {
            let policy = self.policies.get(id).filter(|_| self.active.matches_any(id));
            let new = policy.and_then(|entry| compile_policy(&entry.policy, direction));
            let name = policy_chain(id, direction);
            if self.chains.get(&name) == new.as_ref() {
                continue;
            }
            // What both use must not vanish in between.
            for (set, content) in new.iter().flat_map(|chain| &chain.sets) {
                self.acquire_set(set, content);
            }
            let old = match new {
                Some(new) => self.chains.insert(name.clone(), new),
                None => self.chains.remove(&name),
            };
            for set in old.iter().flat_map(|chain| chain.sets.keys()) {
                self.release_set(set);
            }
            self.dirty.insert(ObjectId::Chain(name));
        }
    }

    /// Points an endpoint at the signature chains of the policies that select it now.
    fn refresh_endpoint(&mut self, key: &EndpointKey) {
        for direction in DIRECTIONS {
            let slot = (key.clone(), direction);
            let policies = self.policies_of(key, direction);
            let new = (!policies.is_empty()).then(|| signature_chain(&policies, direction));
            if self.judged.get(&slot) == new.as_ref() {
                continue;
            }
            if let Some(name) = &new
                && self.signatures.acquire(name, || Signature { policies, direction })
            {
                self.dirty.insert(ObjectId::Chain(name.clone()));
            }
            let old = match new {
                Some(new) => self.judged.insert(slot, new),
                None => self.judged.remove(&slot),
            };
            if let Some(old) = old.filter(|old| self.signatures.release(old).is_some()) {
                self.dirty.insert(ObjectId::Chain(old));
            }
            self.mark_dispatch(key);
        }
    }

    /// The policies that judge an endpoint's traffic of a direction, in order.
    fn policies_of(&self, key: &EndpointKey, direction: Direction) -> Vec<PolicyId> {
        let mut policies: Vec<&Policy> = self
            .active
            .matched_by(key)
            .filter_map(|id| self.policies.get(id).map(|entry| &*entry.policy))
            .filter(|policy| policy.rules(direction).is_some())
            .collect();
        policies.sort_by(|a, b| a.cmp_precedence(b));
        policies.into_iter().map(|policy| policy.id.clone()).collect()
    }

    fn acquire_set(&mut self, name: &Name, content: &SetContent) {
        if !self.sets.acquire(name, || content.clone()) {
            return;
        }
        if let SetContent::Members(selector, _) = content {
            self.members.acquire(selector);
        }
        self.mark_set(name, content);
    }

    fn release_set(&mut self, name: &Name) {
        let Some(content) = self.sets.release(name) else { return };
        self.mark_set(name, &content);
        if let SetContent::Members(selector, _) = &content {
            self.members.release(selector);
        }
    }

    fn mark_set(&mut self, name: &Name, content: &SetContent) {
        self.dirty.insert(ObjectId::Set(name.clone()));
        let element = |key| ObjectId::Element(name.clone(), key);
        match content {
            SetContent::Listed(_, keys) => self.dirty.extend(keys.iter().cloned().map(element)),
            SetContent::Members(selector, family) => {
                let addresses = self.members.addresses(selector);
                let addresses = addresses.filter(|address| Family::of(*address) == *family);
                self.dirty.extend(addresses.map(|a| element(Key::Single(Part::from(a)))));
            }
        }
    }

    fn mark_members(&mut self, changes: &[MemberChange]) {
        for MemberChange { selector, address } in changes {
            let element = self.member(selector, *address);
            self.dirty.extend(element);
        }
    }

    fn mark_dispatch(&mut self, key: &EndpointKey) {
        for direction in DIRECTIONS {
            self.dirty.insert(ObjectId::Dispatch(dispatch_map(direction), dispatch_key(key)));
        }
    }

    /// The element that stands for an address in the set of a selector, if the set is in use.
    fn member(&self, selector: &EndpointSelector, address: IpAddr) -> Option<ObjectId> {
        let name = selector_set(selector, Family::of(address));
        self.sets.get(&name)?;
        Some(ObjectId::Element(name, Key::Single(Part::from(address))))
    }
}

/// An endpoint that no policy selects in a direction is open in it.
fn dispatch_target(signature: Option<&Name>) -> Target {
    signature.map_or(Target::Accept, |name| Target::Goto(name.clone()))
}

#[cfg(test)]
mod tests;
