// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way out: records to the disk, values to the lanes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bgp::Originate;
use bgp::types::Prefix;
use policy::model::{EndpointKey, LocalEndpoint, Policy, PolicyId, RemoteEndpoint};
use reconcile::Revision;

use super::request::{Refusal, Verb};
use super::state::Core;
use super::work::{RecordWork, Table};
use crate::derive::{advert, endpoint, gate, link, route};
use crate::model::{LinkKey, LinkSpec, RouteKey, RouteSpec, Stage, Workload, WorkloadId};
use crate::store::StoreError;

/// Outlets of the core: the disk and the mailboxes of the lanes.
pub trait Publish {
    /// Writes a record, replacing an earlier one.
    ///
    /// # Errors
    /// It is not on disk; the core decides what that means.
    fn put_record(&mut self, record: &Workload) -> Result<(), StoreError>;

    /// Removes a record.
    ///
    /// # Errors
    /// It is still on disk; tried again later.
    fn remove_record(&mut self, id: &WorkloadId) -> Result<(), StoreError>;

    /// Publishes a link.
    fn link(&mut self, key: LinkKey, value: Option<LinkSpec>, revision: Revision);

    /// Publishes a local route.
    fn route(&mut self, key: RouteKey, value: Option<RouteSpec>, revision: Revision);

    /// Publishes a prefix to originate.
    fn advert(&mut self, key: Prefix, value: Option<Originate>, revision: Revision);

    /// Publishes a workload whose policy is to be enforced.
    fn endpoint(&mut self, key: EndpointKey, value: Option<LocalEndpoint>, revision: Revision);

    /// Publishes a workload elsewhere.
    fn remote(&mut self, key: EndpointKey, value: Option<RemoteEndpoint>, revision: Revision);

    /// Publishes a network policy.
    fn policy(&mut self, key: PolicyId, value: Option<Arc<Policy>>, revision: Revision);

    /// Says that everything known of a table was published, once per table.
    fn complete(&mut self, table: Table);
}

impl Core {
    /// Writes records, then publishes what changed since the last flush.
    pub fn flush(&mut self, out: &mut impl Publish, now: Instant) {
        self.write_records(out, now);
        if self.inputs.config().is_some() {
            self.publish(out);
            self.tell_complete(out, now);
        }
    }

    fn write_records(&mut self, out: &mut impl Publish, now: Instant) {
        if self.record_retry.is_some_and(|at| at <= now) {
            self.record_retry = None;
            self.records.append(&mut self.retries);
        }
        let work = std::mem::take(&mut self.records);
        for (id, work) in work {
            let done = match (work, self.inputs.workload(&id)) {
                (_, None) => Ok(()),
                (RecordWork::Write, Some(live)) => out.put_record(&live.record),
                (RecordWork::Remove, Some(_)) => out.remove_record(&id),
            };
            match (done, work) {
                (Ok(()), RecordWork::Write) => {
                    self.fresh.remove(&id);
                }
                (Ok(()), RecordWork::Remove) => self.forget(&id, now),
                (Err(error), RecordWork::Write) => self.on_unwritten(&id, &error, now),
                (Err(error), RecordWork::Remove) => self.retry_record(&id, work, &error, now),
            }
        }
    }

    /// A record could not be written: what depends on it does not happen.
    fn on_unwritten(&mut self, id: &WorkloadId, error: &StoreError, now: Instant) {
        let Some(live) = self.inputs.workload(id) else { return };
        let refusal = Refusal::TryAgain(describe(error));
        let stage = live.record.stage;
        if self.fresh.remove(id) {
            self.refuse(id, Verb::Attach, &refusal);
            if let Some(live) = self.inputs.remove_workload(id) {
                for address in live.record.addresses() {
                    self.ipam.cancel(address);
                }
            }
            return;
        }
        if stage == Stage::Pending && self.is_awaited(id, Verb::Attach) {
            self.hold(id, true, &describe(error), now);
        }
        self.retry_record(id, RecordWork::Write, error, now);
    }

    fn retry_record(
        &mut self,
        id: &WorkloadId,
        work: RecordWork,
        error: &StoreError,
        now: Instant,
    ) {
        tracing::warn!(workload = %id, error = describe(error), "record not written, trying again");
        self.retries.insert(id.clone(), work);
        self.record_retry = Some(now + self.settings.record_retry);
    }

    /// Everything of a workload is gone, its record too: its addresses may rest.
    fn forget(&mut self, id: &WorkloadId, now: Instant) {
        let Some(live) = self.inputs.remove_workload(id) else { return };
        let record = live.record;
        let key = record.link_key();
        self.status.links.remove(&key);
        self.linked.remove(&key);
        self.status.endpoints.remove(&EndpointKey::new(key.as_str()));
        for address in record.addresses() {
            self.ipam.release(address, now);
            self.status.routes.remove(&route::host_key(address));
        }
        self.fresh.remove(id);
        self.held.remove(id);
        self.mark_remotes(&record);
        self.settle_others(id, record.netns);
    }

    fn publish(&mut self, out: &mut impl Publish) {
        let dirty = std::mem::take(&mut self.dirty);
        let (inputs, status, revision) = (&self.inputs, &self.status, self.revision);
        let published = &mut self.published;
        for (key, force) in dirty.links {
            let value = link::derive(inputs, &key);
            if replace(&mut published.links, &key, value.as_ref()) || force {
                out.link(key, value, revision);
            }
        }
        for (key, force) in dirty.endpoints {
            let value = endpoint::derive(inputs, &key);
            if replace(&mut published.endpoints, &key, value.as_ref()) || force {
                out.endpoint(key, value, revision);
            }
        }
        for (key, force) in dirty.routes {
            let value = route::derive(inputs, &key);
            if replace(&mut published.routes, &key, value.as_ref()) || force {
                out.route(key, value, revision);
            }
        }
        for key in dirty.remotes {
            let value = endpoint::derive_remote(inputs, &key);
            if replace(&mut published.remotes, &key, value.as_ref()) {
                out.remote(key, value, revision);
            }
        }
        for key in dirty.policies {
            let value = inputs.config().and_then(|config| config.policies.get(&key)).cloned();
            if replace(&mut published.policies, &key, value.as_ref()) {
                out.policy(key, value, revision);
            }
        }
        let mut adverts = Vec::new();
        for key in dirty.adverts {
            let value = advert::derive(inputs, status, key);
            if replace(&mut published.adverts, &key, value.as_ref()) {
                adverts.push((key, value));
            }
        }
        for (key, value) in adverts {
            self.status.adverts.insert(key, revision);
            out.advert(key, value, revision);
        }
    }

    fn tell_complete(&mut self, out: &mut impl Publish, now: Instant) {
        let mut complete = vec![Table::Links, Table::Endpoints, Table::Remotes, Table::Policies];
        if self.inputs.uplinks().is_some() {
            complete.push(Table::Routes);
            if self.adverts_are_complete(now) {
                complete.push(Table::Adverts);
            }
        }
        for table in complete {
            if self.completed.insert(table) {
                out.complete(table);
            }
        }
    }

    /// Every block is advertised, or its gate had time enough to open: peers wait for the end of
    /// the first set before they sweep what they kept of an earlier run.
    fn adverts_are_complete(&self, now: Instant) -> bool {
        let open = |prefix: Prefix| {
            prefix.is_host() || gate::block_is_open(&self.inputs, &self.status, prefix)
        };
        let routes = self.inputs.config().is_some_and(|config| config.node.kernel.routes);
        let late = self.advert_deadline.is_some_and(|deadline| deadline <= now);
        late || !routes || self.inputs.blocks().iter().all(|block| open(block.prefix))
    }
}

/// Sets or removes a value; true if that changed it.
fn replace<K: Ord + Clone, V: PartialEq + Clone>(
    map: &mut BTreeMap<K, V>,
    key: &K,
    value: Option<&V>,
) -> bool {
    if map.get(key) == value {
        return false;
    }
    match value {
        Some(value) => map.insert(key.clone(), value.clone()),
        None => map.remove(key),
    };
    true
}

fn describe(error: &StoreError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
