// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selectors against endpoints, incrementally in both directions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{Endpoint, EndpointSelector, Scope};

/// Which of the selectors `S` select which of the items `I`.
///
/// Invariant: the two match sets mirror each other and hold exactly the pairs for which
/// [`EndpointSelector::matches`] says yes.
#[derive(Debug)]
pub(crate) struct LabelIndex<S, I> {
    selectors: BTreeMap<S, SelectorEntry<I>>,
    items: BTreeMap<I, ItemEntry<S>>,
    /// Label name and value → items that have it.
    postings: BTreeMap<Arc<str>, BTreeMap<Arc<str>, BTreeSet<I>>>,
    /// Demand → selectors filed under it.
    filed: BTreeMap<Demand, BTreeSet<S>>,
}

#[derive(Debug)]
struct SelectorEntry<I> {
    selector: EndpointSelector,
    demands: Vec<Demand>,
    matched: BTreeSet<I>,
}

#[derive(Debug)]
struct ItemEntry<S> {
    endpoint: Arc<Endpoint>,
    matched_by: BTreeSet<S>,
}

/// What at least one of a selector's demands says must hold for an item to be selected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Demand {
    /// Nothing: every item is a candidate.
    Nothing,
    /// A label is there.
    Label(Arc<str>),
    /// A label has a value.
    Value(Arc<str>, Arc<str>),
}

/// What became of one item or selector by a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MatchChange<T> {
    /// Newly matched.
    pub(crate) started: Vec<T>,
    /// No longer matched.
    pub(crate) stopped: Vec<T>,
}

impl<S, I> Default for LabelIndex<S, I> {
    fn default() -> Self {
        Self {
            selectors: BTreeMap::new(),
            items: BTreeMap::new(),
            postings: BTreeMap::new(),
            filed: BTreeMap::new(),
        }
    }
}

impl<S: Ord + Clone, I: Ord + Clone> LabelIndex<S, I> {
    /// The items that a selector selects; nothing for an unknown one.
    pub(crate) fn matched(&self, selector: &S) -> impl Iterator<Item = &I> + use<'_, S, I> {
        self.selectors.get(selector).into_iter().flat_map(|entry| &entry.matched)
    }

    /// Whether a selector selects anything.
    pub(crate) fn matches_any(&self, selector: &S) -> bool {
        self.selectors.get(selector).is_some_and(|entry| !entry.matched.is_empty())
    }

    /// The selectors that select an item; nothing for an unknown one.
    pub(crate) fn matched_by(&self, item: &I) -> impl Iterator<Item = &S> + use<'_, S, I> {
        self.items.get(item).into_iter().flat_map(|entry| &entry.matched_by)
    }

    /// Adds or replaces a selector, or removes it.
    pub(crate) fn set_selector(
        &mut self,
        id: &S,
        selector: Option<&EndpointSelector>,
    ) -> MatchChange<I> {
        let old = self.take_selector(id);
        let new = match selector {
            Some(selector) => self.insert_selector(id, selector),
            None => BTreeSet::new(),
        };
        difference(&old, &new)
    }

    fn take_selector(&mut self, id: &S) -> BTreeSet<I> {
        let Some(entry) = self.selectors.remove(id) else { return BTreeSet::new() };
        for demand in &entry.demands {
            if let Some(filed) = self.filed.get_mut(demand) {
                filed.remove(id);
                if filed.is_empty() {
                    self.filed.remove(demand);
                }
            }
        }
        for item in &entry.matched {
            if let Some(item) = self.items.get_mut(item) {
                item.matched_by.remove(id);
            }
        }
        entry.matched
    }

    fn insert_selector(&mut self, id: &S, selector: &EndpointSelector) -> BTreeSet<I> {
        let demands = self.cheapest_demands(selector);
        let matched: BTreeSet<I> = demands
            .iter()
            .flat_map(|demand| self.candidates(demand))
            .filter(|item| {
                self.items.get(item).is_some_and(|entry| selector.matches(&entry.endpoint))
            })
            .cloned()
            .collect();
        for item in &matched {
            if let Some(entry) = self.items.get_mut(item) {
                entry.matched_by.insert(id.clone());
            }
        }
        for demand in &demands {
            self.filed.entry(demand.clone()).or_default().insert(id.clone());
        }
        let entry = SelectorEntry { selector: selector.clone(), demands, matched: matched.clone() };
        self.selectors.insert(id.clone(), entry);
        matched
    }

    /// Adds or replaces an item, or removes it.
    pub(crate) fn set_item(&mut self, id: &I, endpoint: Option<Arc<Endpoint>>) -> MatchChange<S> {
        let old = self.take_item(id);
        let new = match endpoint {
            Some(endpoint) => self.insert_item(id, endpoint),
            None => BTreeSet::new(),
        };
        difference(&old, &new)
    }

    fn take_item(&mut self, id: &I) -> BTreeSet<S> {
        let Some(entry) = self.items.remove(id) else { return BTreeSet::new() };
        for (key, value) in entry.endpoint.labels().iter() {
            let Some(values) = self.postings.get_mut(key) else { continue };
            if let Some(items) = values.get_mut(value) {
                items.remove(id);
                if items.is_empty() {
                    values.remove(value);
                }
            }
            if values.is_empty() {
                self.postings.remove(key);
            }
        }
        for selector in &entry.matched_by {
            if let Some(selector) = self.selectors.get_mut(selector) {
                selector.matched.remove(id);
            }
        }
        entry.matched_by
    }

    fn insert_item(&mut self, id: &I, endpoint: Arc<Endpoint>) -> BTreeSet<S> {
        let mut matched_by = BTreeSet::new();
        let mut try_filed = |demand: &Demand| {
            for selector in self.filed.get(demand).into_iter().flatten() {
                if let Some(entry) = self.selectors.get(selector)
                    && entry.selector.matches(&endpoint)
                {
                    matched_by.insert(selector.clone());
                }
            }
        };
        try_filed(&Demand::Nothing);
        for (key, value) in endpoint.labels().iter() {
            let (key, value) = (Arc::<str>::from(key), Arc::<str>::from(value));
            try_filed(&Demand::Label(Arc::clone(&key)));
            try_filed(&Demand::Value(key, value));
        }
        for (key, value) in endpoint.labels().iter() {
            let values = self.postings.entry(Arc::from(key)).or_default();
            values.entry(Arc::from(value)).or_default().insert(id.clone());
        }
        for selector in &matched_by {
            if let Some(entry) = self.selectors.get_mut(selector) {
                entry.matched.insert(id.clone());
            }
        }
        let entry = ItemEntry { endpoint, matched_by: matched_by.clone() };
        self.items.insert(id.clone(), entry);
        matched_by
    }

    /// The alternatives of the one restriction of a selector that leaves the fewest candidates.
    fn cheapest_demands(&self, selector: &EndpointSelector) -> Vec<Demand> {
        let mut options = Vec::new();
        if let Scope::Namespace(namespace) = &selector.scope {
            let key = Arc::from(Endpoint::NAMESPACE_LABEL);
            options.push(vec![Demand::Value(key, Arc::clone(namespace))]);
        }
        for (key, restriction) in selector.selector.restrictions() {
            if let Some(values) = restriction.one_of {
                let value = |value| Demand::Value(Arc::clone(&key), value);
                options.push(values.into_iter().map(value).collect());
            } else if restriction.present {
                options.push(vec![Demand::Label(key)]);
            }
        }
        let cost = |demands: &Vec<Demand>| {
            demands.iter().map(|demand| self.candidates(demand).count()).sum::<usize>()
        };
        options.into_iter().min_by_key(cost).unwrap_or_else(|| vec![Demand::Nothing])
    }

    fn candidates(&self, demand: &Demand) -> Box<dyn Iterator<Item = &I> + '_> {
        match demand {
            Demand::Nothing => Box::new(self.items.keys()),
            Demand::Label(key) => {
                Box::new(self.postings.get(key).into_iter().flat_map(BTreeMap::values).flatten())
            }
            Demand::Value(key, value) => {
                let items = self.postings.get(key).and_then(|values| values.get(value));
                Box::new(items.into_iter().flatten())
            }
        }
    }
}

fn difference<T: Ord + Clone>(old: &BTreeSet<T>, new: &BTreeSet<T>) -> MatchChange<T> {
    MatchChange {
        started: new.difference(old).cloned().collect(),
        stopped: old.difference(new).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Labels, Selector};

    const SELECTORS: [&str; 12] = [
        "all()",
        "a == '1'",
        "a != '1'",
        "has(a)",
        "!has(a)",
        "a in {'1','2'} && b == '1'",
        "a == '1' || b == '2'",
        "has(a) && !has(b)",
        "a == '1' && a == '2'",
        "b starts with '1'",
        "!(a == '1' || has(b))",
        "a in {}",
    ];

    #[derive(Clone, Debug)]
    enum Step {
        Selector(u8, Option<(usize, Option<&'static str>)>),
        Item(u8, Option<(&'static str, Option<&'static str>, Option<&'static str>)>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let namespace = prop::sample::select(vec!["x", "y"]);
        let value = prop::option::of(prop::sample::select(vec!["1", "2", "11"]));
        let selector = (0..SELECTORS.len(), prop::option::of(namespace.clone()));
        let step = prop_oneof![
            (0..6_u8, prop::option::of(selector)).prop_map(|(id, s)| Step::Selector(id, s)),
            (0..6_u8, prop::option::of((namespace, value.clone(), value)))
                .prop_map(|(id, i)| Step::Item(id, i)),
        ];
        prop::collection::vec(step, 0..40)
    }

    fn selector((index, namespace): (usize, Option<&str>)) -> EndpointSelector {
        let scope = namespace.map_or(Scope::Any, |namespace| Scope::Namespace(namespace.into()));
        EndpointSelector { scope, selector: SELECTORS[index].parse::<Selector>().unwrap() }
    }

    fn endpoint((namespace, a, b): (&str, Option<&str>, Option<&str>)) -> Arc<Endpoint> {
        let labels: Labels =
            [("a", a), ("b", b)].into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
        Arc::new(Endpoint::new(namespace, &labels, Vec::new()))
    }

    proptest! {
        #[test]
        fn always_equals_trying_every_pair(steps in steps()) {
            let mut index = LabelIndex::<u8, u8>::default();
            let mut selectors = BTreeMap::new();
            let mut items = BTreeMap::new();
            for step in steps {
                let before = pairs(&selectors, &items);
                let (started, stopped): (Vec<_>, Vec<_>) = match step {
                    Step::Selector(id, value) => {
                        let value = value.map(selector);
                        let change = index.set_selector(&id, value.as_ref());
                        selectors.remove(&id);
                        selectors.extend(value.map(|value| (id, value)));
                        let pair = |item| (id, item);
                        (change.started.into_iter().map(pair).collect(),
                         change.stopped.into_iter().map(pair).collect())
                    }
                    Step::Item(id, value) => {
                        let value = value.map(endpoint);
                        let change = index.set_item(&id, value.clone());
                        items.remove(&id);
                        items.extend(value.map(|value| (id, value)));
                        let pair = |selector| (selector, id);
                        (change.started.into_iter().map(pair).collect(),
                         change.stopped.into_iter().map(pair).collect())
                    }
                };
                let after = pairs(&selectors, &items);
                prop_assert_eq!(started, after.difference(&before).copied().collect::<Vec<_>>());
                prop_assert_eq!(stopped, before.difference(&after).copied().collect::<Vec<_>>());
                let mirror: BTreeSet<_> = (0..6)
                    .flat_map(|i| index.matched_by(&i).map(move |s| (*s, i)).collect::<Vec<_>>())
                    .collect();
                let matched: BTreeSet<_> = (0..6)
                    .flat_map(|s| index.matched(&s).map(move |i| (s, *i)).collect::<Vec<_>>())
                    .collect();
                prop_assert_eq!(&mirror, &after);
                prop_assert_eq!(&matched, &after);
            }
            // Nothing is left behind.
            for id in 0..6 {
                index.set_selector(&id, None);
                index.set_item(&id, None);
            }
            prop_assert!(index.postings.is_empty() && index.filed.is_empty());
        }
    }

    fn pairs(
        selectors: &BTreeMap<u8, EndpointSelector>,
        items: &BTreeMap<u8, Arc<Endpoint>>,
    ) -> BTreeSet<(u8, u8)> {
        selectors
            .iter()
            .flat_map(|(s, selector)| {
                items.iter().filter(|(_, e)| selector.matches(e)).map(|(i, _)| (*s, *i))
            })
            .collect()
    }
}
