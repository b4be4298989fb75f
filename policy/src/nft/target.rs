// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table `inet routed` as a target of a reconciler.
//!
//! A batch is one transaction. When the kernel refuses it, its answers name the messages at fault
//! and thereby objects; these are left out and the rest is sent again, until it is accepted or
//! nothing is left. Refusals that name no message (loops and depth are checked at the commit) are
//! found by halving. A generated chain whose content is refused is closed instead: an endpoint
//! that cannot get its policy gets no traffic.
//!
//! ```text
//!            table missing           our mark                 other mark, other owner
//!   dump ──▶ Missing: next batch     claim if unowned,        Failure, nothing is touched
//!            creates it              read everything
//!                 ▲                        │ an object is there that cannot be changed in place
//!                 └── Recreate ◀───────────┘ or named: next batch replaces the table
//! ```

use reconcile::{Batch as Wishes, Failure, FailureKind, Outcome};
use rustc_hash::FxHashSet;
use rustix::io::Errno;

use crate::{
    ir::{Object, ObjectId, TABLE},
    nft::{
        content::{self, Content},
        encode::{self, Attachment},
        netlink::{
            batch::{About, Sealed},
            error::{Error, errno_kind},
            socket::{Answer, NfSocket, Refusal},
        },
        plan::{Change, OWNED, Origin, Plan, Put, TableStep, plan},
        readback::{self, Shadow, TableInfo},
    },
};

/// Why the writer could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot open nfnetlink")]
pub struct OpenError(#[source] Error);

/// Counters since the socket was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetStats {
    /// Transactions that the kernel accepted.
    pub transactions: u64,
    /// Transactions that it refused; each costs the kernel a grace period.
    pub refusals: u64,
    /// Messages in all transactions.
    pub messages: u64,
    /// How often the table was found missing or had to be made anew.
    pub rebuilds: u64,
    /// Whether nobody else can change the table.
    pub is_owned: bool,
}

/// The writer and reader of our table.
#[derive(Debug)]
pub struct Target {
    socket: NfSocket,
    table: Table,
    /// The flags that this kernel accepts for a table of ours.
    flags: u32,
    shadow: Shadow,
    stats: TargetStats,
}

/// What we know of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Unknown,
    Missing,
    Present,
    /// Present, but to be replaced as a whole.
    Condemned,
}

/// The state of one change while a batch is applied.
#[derive(Clone, Debug)]
enum Progress {
    /// To be written.
    Open,
    /// To be closed, since its content was refused.
    Closing(Failure),
    /// Done.
    Over(Outcome),
}

impl Target {
    /// Opens the writer in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// If the kernel has no nfnetlink or the process may not use it.
    pub fn open() -> Result<Self, OpenError> {
        let socket = NfSocket::open().map_err(OpenError)?;
        Ok(Self {
            socket,
            table: Table::Unknown,
            flags: OWNED,
            shadow: Shadow::default(),
            stats: TargetStats::default(),
        })
    }

    /// The port of the socket: author of our changes in the kernel's notifications.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// Counters for status and metrics.
    pub fn stats(&self) -> TargetStats {
        TargetStats { messages: self.socket.messages_sent(), ..self.stats }
    }

    /// Claims the table for this socket, where the kernel can.
    fn claim(&mut self, info: TableInfo) -> Result<(), Failure> {
        let owner = info.owner.filter(|owner| *owner != 0);
        if owner == Some(self.socket.port()) {
            self.stats.is_owned = true;
            return Ok(());
        }
        if let Some(owner) = owner {
            let reason = format!("table inet {TABLE} is owned by another process (port {owner})");
            return Err(Failure { kind: FailureKind::Fatal, reason });
        }
        self.stats.is_owned = false;
        if self.flags & info.flags == 0 {
            // A table of ours on a kernel that cannot let it persist.
            return Ok(());
        }
        let mut batch = self.socket.batch();
        encode::claim_table(&mut batch, self.flags);
        match batch.seal().and_then(|sealed| self.transact(&sealed)) {
            Ok(Answer::Committed) => self.stats.is_owned = true,
            Ok(Answer::Refused(refusals)) => {
                let errno = refusals.first().map_or(Errno::INVAL, |refusal| refusal.errno);
                return Err(Failure {
                    kind: errno_kind(errno),
                    reason: format!("cannot claim table inet {TABLE}: {errno}"),
                });
            }
            Err(error) => return Err(failure(&error)),
        }
        Ok(())
    }

    fn transact(&mut self, sealed: &Sealed) -> Result<Answer, Error> {
        let answer = self.socket.transact(sealed)?;
        match &answer {
            Answer::Committed => self.stats.transactions += 1,
            Answer::Refused(_) => self.stats.refusals += 1,
        }
        Ok(answer)
    }

    fn table_step(&self) -> TableStep {
        match self.table {
            Table::Missing => TableStep::Create(self.flags),
            Table::Condemned => TableStep::Recreate(self.flags),
            Table::Present | Table::Unknown => TableStep::Keep,
        }
    }

    /// Whether a put meets something of its name that cannot be changed in place.
    fn is_blocked(&self, change: &Change<'_>) -> bool {
        match (change.id, change.put) {
            (ObjectId::Set(name), Some(Put::Object(Object::Set(spec)))) => {
                !self.shadow.admits_set(name, spec)
            }
            (ObjectId::Chain(name), Some(_)) => !self.shadow.admits_chain(name, false),
            (ObjectId::BaseChain(name), Some(_)) => !self.shadow.admits_chain(name, true),
            _ => false,
        }
    }

    /// Commits what can be committed of the changes `group` refers to; returns two halves to be
    /// tried one after the other if the culprit is not known.
    fn commit(
        &mut self,
        group: &[usize],
        changes: &[Change<'_>],
        progress: &mut [Progress],
    ) -> Option<(Vec<usize>, Vec<usize>)> {
        let mut alone = false;
        loop {
            let open = open_changes(group, changes, progress);
            if open.is_empty() {
                return None;
            }
            let batch = self.socket.batch();
            let Plan { batch, origins } =
                plan(batch, &open, self.table_step(), (&self.shadow, alone));
            let refusals = match batch.seal().and_then(|sealed| self.transact(&sealed)) {
                Ok(Answer::Committed) => {
                    self.on_committed(&open, progress);
                    return None;
                }
                Ok(Answer::Refused(refusals)) => refusals,
                Err(Error::TooLong { message }) => {
                    let about = About::Message(message);
                    vec![Refusal { about, errno: Errno::MSGSIZE, offset: None }]
                }
                Err(error) => {
                    let failure = failure(&error);
                    open.iter().for_each(|(index, _)| fail(progress, *index, &failure));
                    return None;
                }
            };
            let guilty = self.judge(&refusals, &origins, changes, progress);
            match guilty {
                Guilty::Known => {}
                Guilty::SomeElement if !alone => alone = true,
                Guilty::Unknown(errno) | Guilty::Everything(errno)
                    if open.len() == 1 || matches!(guilty, Guilty::Everything(_)) =>
                {
                    let failure = refused(errno);
                    open.iter().for_each(|(index, _)| fail(progress, *index, &failure));
                    return None;
                }
                Guilty::Unknown(_) | Guilty::Everything(_) | Guilty::SomeElement => {
                    let indices: Vec<usize> = open.iter().map(|(index, _)| *index).collect();
                    let (first, second) = indices.split_at(indices.len() / 2);
                    return Some((first.to_vec(), second.to_vec()));
                }
            }
        }
    }

    /// Finds the changes at fault and takes them out.
    fn judge(
        &mut self,
        refusals: &[Refusal],
        origins: &[Origin],
        changes: &[Change<'_>],
        progress: &mut [Progress],
    ) -> Guilty {
        let mut guilty = Guilty::Unknown(Errno::INVAL);
        let mut seen = FxHashSet::default();
        for refusal in first_causes(refusals) {
            let origin = match refusal.about {
                About::Message(message) => origins.get(message),
                About::Batch => None,
            };
            let found = match origin {
                Some(Origin::Table) => return self.on_table_refused(refusal.errno),
                Some(Origin::Change(index)) => Some(*index),
                Some(Origin::Elements(places)) => element_at(places, refusal.offset),
                Some(Origin::Replaced(index)) => {
                    // The element to be replaced is not there: put it as a new one.
                    if let Some(ObjectId::Dispatch(set, key)) =
                        changes.get(*index).map(|change| change.id)
                        && self.shadow.dispatch.remove(&(set.clone(), key.clone()))
                    {
                        guilty = Guilty::Known;
                    }
                    continue;
                }
                None if is_general(refusal.errno) => return Guilty::Everything(refusal.errno),
                None => {
                    guilty = guilty.or(Guilty::Unknown(refusal.errno));
                    continue;
                }
            };
            match found {
                Some(index) => {
                    if seen.insert(index) {
                        take_out(progress, index, changes, refusal.errno);
                    }
                    guilty = Guilty::Known;
                }
                None => guilty = guilty.or(Guilty::SomeElement),
            }
        }
        guilty
    }

    fn on_table_refused(&mut self, errno: Errno) -> Guilty {
        let unsupported = matches!(errno, Errno::OPNOTSUPP | Errno::INVAL);
        if unsupported && self.flags != 0 {
            // Owner without persist would lose the table with us: both or neither.
            tracing::warn!("kernel cannot keep others from changing the table");
            self.flags = 0;
            return Guilty::Known;
        }
        self.table = Table::Unknown;
        Guilty::Everything(errno)
    }

    fn on_committed(&mut self, done: &[(usize, Change<'_>)], progress: &mut [Progress]) {
        if self.table != Table::Present {
            self.table = Table::Present;
            self.stats.is_owned = self.flags != 0;
        }
        for (index, change) in done {
            self.note(change);
            if let Some(state) = progress.get_mut(*index) {
                let outcome = match &*state {
                    Progress::Closing(failure) => Outcome::Failed(failure.clone()),
                    Progress::Open | Progress::Over(_) => Outcome::Applied,
                };
                *state = Progress::Over(outcome);
            }
        }
    }

    /// Keeps the shadow in step with what was committed.
    fn note(&mut self, change: &Change<'_>) {
        let Shadow { chains, sets, dispatch } = &mut self.shadow;
        match (change.id, change.put) {
            (ObjectId::Set(name), Some(Put::Object(Object::Set(spec)))) => {
                sets.insert(name.clone(), Some(content::kind(spec)));
            }
            (ObjectId::Set(name), None) => self.shadow.remove_set(name),
            (ObjectId::BaseChain(name), Some(Put::Object(Object::BaseChain(base)))) => {
                let attachment = Attachment { hook: base.hook, priority: base.priority };
                chains.insert(name.clone(), Some(attachment));
            }
            (ObjectId::Chain(name), Some(_)) => {
                chains.insert(name.clone(), None);
            }
            (ObjectId::Chain(name) | ObjectId::BaseChain(name), None) => {
                chains.remove(name);
            }
            (ObjectId::Dispatch(set, key), Some(_)) => {
                dispatch.insert((set.clone(), key.clone()));
            }
            (ObjectId::Dispatch(set, key), None) => {
                dispatch.remove(&(set.clone(), key.clone()));
            }
            _ => {}
        }
    }
}

impl reconcile::Target for Target {
    type Key = ObjectId;
    type Value = Content;

    fn dump(&mut self) -> Result<Vec<(ObjectId, Content)>, Failure> {
        if self.table == Table::Condemned {
            // Nothing in it counts: everything is written into the table that replaces it.
            return Ok(Vec::new());
        }
        self.table = Table::Unknown;
        self.shadow = Shadow::default();
        let Some(info) = readback::table(&mut self.socket).map_err(|error| failure(&error))? else {
            self.table = Table::Missing;
            self.stats.rebuilds += 1;
            return Ok(Vec::new());
        };
        if !info.is_ours {
            let reason = format!("table inet {TABLE} exists and is not ours");
            return Err(Failure { kind: FailureKind::Fatal, reason });
        }
        self.claim(info)?;
        let found = readback::read(&mut self.socket, info).map_err(|error| failure(&error))?;
        if found.has_unnameable {
            self.condemn();
            return Ok(Vec::new());
        }
        self.table = Table::Present;
        self.shadow = found.shadow;
        Ok(found.objects)
    }

    fn apply(&mut self, wishes: &Wishes<ObjectId, Content>) -> Vec<(ObjectId, Outcome)> {
        let changes = changes(wishes);
        let mut progress = vec![Progress::Open; changes.len()];
        if self.table == Table::Unknown {
            fail_all(&mut progress, "the table has to be read first");
        } else if changes.iter().any(|change| self.is_blocked(change)) {
            self.condemn();
            fail_all(&mut progress, "an object of another kind is in the way");
        }
        // Halves are tried in order, so that parents stay ahead of their children.
        let mut groups = vec![(0..changes.len()).collect::<Vec<_>>()];
        while let Some(group) = groups.pop() {
            if let Some((first, second)) = self.commit(&group, &changes, &mut progress) {
                groups.push(second);
                groups.push(first);
            }
        }
        changes
            .iter()
            .zip(progress)
            .map(|(change, state)| {
                let outcome = match state {
                    Progress::Over(outcome) => outcome,
                    Progress::Open | Progress::Closing(_) => Outcome::Failed(resync("not written")),
                };
                (change.id.clone(), outcome)
            })
            .collect()
    }

    fn rank(&self, key: &ObjectId) -> u32 {
        key.rank()
    }
}

impl Target {
    /// Gives the present table up: the next batch replaces it.
    fn condemn(&mut self) {
        tracing::warn!("table holds what cannot be changed in place, replacing it");
        self.table = Table::Condemned;
        self.shadow = Shadow::default();
        self.stats.rebuilds += 1;
    }
}

/// What is known about the reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guilty {
    /// It was taken out; the rest can be tried again.
    Known,
    /// An element of a message with several.
    SomeElement,
    /// Something in the batch.
    Unknown(Errno),
    /// No part of the batch can go through now.
    Everything(Errno),
}

impl Guilty {
    /// Keeps a known culprit, else takes the newer guess.
    fn or(self, guess: Self) -> Self {
        if self == Self::Known { self } else { guess }
    }
}

/// The refusals that are not mere consequences.
///
/// What names an object that was refused itself is refused because that is missing; and once a
/// chain is too deep or a loop, whatever is added near it is refused for the same reason.
fn first_causes(refusals: &[Refusal]) -> impl Iterator<Item = &Refusal> {
    let only_missing = refusals.iter().all(|refusal| refusal.errno == Errno::NOENT);
    let mut is_deep = false;
    refusals.iter().filter(move |refusal| match refusal.errno {
        Errno::NOENT => only_missing,
        Errno::MLINK | Errno::LOOP => !std::mem::replace(&mut is_deep, true),
        _ => true,
    })
}

/// Whether a refusal of the whole batch has a reason that no part of it escapes.
fn is_general(errno: Errno) -> bool {
    errno == Errno::PERM || errno_kind(errno) == FailureKind::Retry
}

fn changes(wishes: &Wishes<ObjectId, Content>) -> Vec<Change<'_>> {
    let puts = wishes
        .puts
        .iter()
        .filter_map(|(id, content)| Some(Change { id, put: Some(Put::Object(content.object()?)) }));
    let deletes = wishes.deletes.iter().map(|id| Change { id, put: None });
    puts.chain(deletes).collect()
}

/// The changes of a group that are still to be made, with what is to be written.
fn open_changes<'a>(
    group: &[usize],
    changes: &[Change<'a>],
    progress: &[Progress],
) -> Vec<(usize, Change<'a>)> {
    group
        .iter()
        .filter_map(|index| {
            let change = *changes.get(*index)?;
            match progress.get(*index)? {
                Progress::Open => Some((*index, change)),
                Progress::Closing(_) => Some((*index, Change { put: Some(Put::Closed), ..change })),
                Progress::Over(_) => None,
            }
        })
        .collect()
}

/// Takes a refused change out of the batch.
fn take_out(progress: &mut [Progress], index: usize, changes: &[Change<'_>], errno: Errno) {
    let (Some(state), Some(change)) = (progress.get_mut(index), changes.get(index)) else { return };
    let failure = refused(errno);
    *state = match (&*state, change.put) {
        (Progress::Over(_), _) => return,
        (_, None) if errno == Errno::NOENT => Progress::Over(Outcome::Applied),
        (Progress::Open, Some(_))
            if failure.kind == FailureKind::Fatal
                && matches!(change.id, ObjectId::Chain(name) if !name.is_fixed()) =>
        {
            Progress::Closing(failure)
        }
        _ => Progress::Over(Outcome::Failed(failure)),
    };
}

/// The change whose element an offset lies in.
fn element_at(places: &[(usize, usize)], offset: Option<u32>) -> Option<usize> {
    if let [(_, index)] = places {
        return Some(*index);
    }
    let offset = usize::try_from(offset?).ok()?;
    places.iter().rev().find(|(start, _)| *start <= offset).map(|(_, index)| *index)
}

fn fail(progress: &mut [Progress], index: usize, failure: &Failure) {
    if let Some(state) = progress.get_mut(index) {
        *state = Progress::Over(Outcome::Failed(failure.clone()));
    }
}

fn fail_all(progress: &mut [Progress], reason: &str) {
    progress.fill(Progress::Over(Outcome::Failed(resync(reason))));
}

fn resync(reason: &str) -> Failure {
    Failure { kind: FailureKind::Resync, reason: reason.to_owned() }
}

fn refused(errno: Errno) -> Failure {
    Failure { kind: errno_kind(errno), reason: format!("nf_tables refused it: {errno}") }
}

fn failure(error: &Error) -> Failure {
    let mut reason = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        reason = format!("{reason}: {source}");
    }
    Failure { kind: error.kind(), reason }
}

#[cfg(test)]
mod tests;
