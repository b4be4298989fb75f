// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads our table from the kernel.

use std::collections::hash_map::Entry;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    ir::{BasePolicy, Hook, Key, KeyType, Name, Object, ObjectId, SetSpec, TABLE, Target},
    nft::{
        content::{self, Content, Mark},
        encode::Attachment,
        key,
        marks::TABLE_MARK,
        netlink::{
            attr::Attr,
            error::Error,
            message::{FAMILY_INET, Message, msg},
            object::{chain, element, rule, set, table, userdata_text},
            socket::NfSocket,
        },
    },
};

/// How often a set whose elements moved while they were listed is listed again.
const ELEMENT_ATTEMPTS: usize = 16;

/// What the kernel says about the table of our name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableInfo {
    /// Whether it carries our mark.
    pub(crate) is_ours: bool,
    /// The table's flags.
    pub(crate) flags: u32,
    /// The port of the owning socket.
    pub(crate) owner: Option<u32>,
    /// Number of chains, sets and other objects in it.
    pub(crate) objects: usize,
}

/// Looks at the table of our name; `None` if there is none.
///
/// # Errors
///
/// As [`NfSocket::lookup`].
pub(crate) fn table(socket: &mut NfSocket) -> Result<Option<TableInfo>, Error> {
    let name = |attrs: &mut crate::nft::netlink::attr::AttrWriter<'_>| {
        attrs.string(table::NAME, TABLE);
    };
    socket.lookup(msg::GET_TABLE, name, |message| {
        let attrs = message.attrs();
        let comment = attrs
            .find_kind(table::USERDATA)
            .and_then(|attr| userdata_text(attr.value, table::UDATA_COMMENT));
        TableInfo {
            is_ours: comment == Some(TABLE_MARK),
            flags: attrs.find_kind(table::FLAGS).and_then(|attr| attr.be32()).unwrap_or_default(),
            owner: attrs.find_kind(table::OWNER).and_then(|attr| attr.be32()),
            objects: attrs
                .find_kind(table::USE)
                .and_then(|attr| attr.be32())
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or_default(),
        }
    })
}

/// The properties of a set that cannot change: key type, intervals, verdicts. `None` if they are
/// not ours.
pub(crate) type SetKind = Option<(KeyType, bool, bool)>;

/// What a writer must know about the table to change it.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    /// Chains, with the hook of those that have one.
    pub(crate) chains: FxHashMap<Name, Option<Attachment>>,
    /// Sets and maps.
    pub(crate) sets: FxHashMap<Name, SetKind>,
    /// Elements that carry a verdict: they cannot be overwritten, only replaced.
    pub(crate) dispatch: FxHashSet<(Name, Key)>,
}

/// The content of the table.
#[derive(Debug, Default)]
pub(crate) struct Readback {
    /// Every object.
    pub(crate) objects: Vec<(ObjectId, Content)>,
    /// The same, for the writer.
    pub(crate) shadow: Shadow,
    /// Something is there that no [`ObjectId`] names, so that it cannot be deleted on its own.
    pub(crate) has_unnameable: bool,
}

/// Reads everything in our table.
///
/// # Errors
///
/// As [`NfSocket::list`].
pub(crate) fn read(socket: &mut NfSocket, info: TableInfo) -> Result<Readback, Error> {
    let mut found = Readback::default();
    read_chains(socket, &mut found)?;
    let sets = list_sets(socket)?;
    // What else the kernel counts are stateful objects and flow tables, of which we have none.
    // Not every kernel counts sets without a name.
    let named = sets.iter().filter(|listed| listed.flags & set::F_ANONYMOUS == 0).count();
    let chains = found.shadow.chains.len();
    found.has_unnameable |= !(chains + named..=chains + sets.len()).contains(&info.objects);
    for listed in sets {
        // A set without a name of its own lives and dies with the rule that uses it.
        if listed.flags & set::F_ANONYMOUS == 0 {
            read_set(socket, &listed, &mut found)?;
        }
    }
    Ok(found)
}

fn in_our_table(message: &Message<'_>, kind: u8, table: u16) -> bool {
    message.nf_kind() == Some(kind)
        && message.family() == FAMILY_INET
        && message.attrs().find_kind(table).and_then(|attr| attr.string()) == Some(TABLE)
}

fn name_of(message: &Message<'_>, kind: u16) -> Option<Name> {
    message.attrs().find_kind(kind).and_then(|attr| attr.string()).map(Name::new)
}

/// What a chain is attached to; `Err` if it is attached in a way that we never do.
type Attached = Result<Option<(Attachment, BasePolicy)>, ()>;

fn read_chains(socket: &mut NfSocket, found: &mut Readback) -> Result<(), Error> {
    let mut marks = list_marks(socket)?;
    let chains = socket.list(
        msg::GET_CHAIN,
        |_| {},
        Vec::new,
        |chains: &mut Vec<(Name, Attached)>, message| {
            if in_our_table(&message, msg::NEW_CHAIN, chain::TABLE)
                && let Some(name) = name_of(&message, chain::NAME)
            {
                chains.push((name, attached(&message)));
            }
        },
    )?;
    for (name, attached) in chains {
        let marks = marks.remove(&name).unwrap_or_default();
        let (id, content) = match (attached, content::agreed_hash(&marks)) {
            (Ok(None), Some(hash)) => (ObjectId::Chain(name.clone()), Content::chain(None, hash)),
            (Ok(None), None) => (ObjectId::Chain(name.clone()), Content::foreign()),
            (Ok(base), Some(hash)) => {
                (ObjectId::BaseChain(name.clone()), Content::chain(base, hash))
            }
            (Ok(_) | Err(()), _) => (ObjectId::BaseChain(name.clone()), Content::foreign()),
        };
        found.objects.push((id, content));
        found.shadow.chains.insert(name, attached.ok().flatten().map(|(attachment, _)| attachment));
        // The shadow cannot say "some other hook"; such a chain is only got rid of with the table.
        found.has_unnameable |= attached.is_err();
    }
    Ok(())
}

fn attached(message: &Message<'_>) -> Attached {
    let attrs = message.attrs();
    let Some(hook) = attrs.find_kind(chain::HOOK) else { return Ok(None) };
    let number = hook.children().find_kind(chain::HOOK_NUMBER).and_then(|attr| attr.be32());
    let priority = hook.children().find_kind(chain::HOOK_PRIORITY).and_then(|attr| attr.be32());
    let kind = attrs.find_kind(chain::TYPE).and_then(|attr| attr.string());
    let policy = attrs.find_kind(chain::POLICY).and_then(|attr| attr.be32());
    let hook = match number {
        Some(0) => Hook::Prerouting,
        Some(1) => Hook::Input,
        Some(2) => Hook::Forward,
        Some(3) => Hook::Output,
        _ => return Err(()),
    };
    let policy = match policy {
        Some(0) => BasePolicy::Drop,
        Some(1) => BasePolicy::Accept,
        _ => return Err(()),
    };
    match (kind, priority) {
        (Some("filter"), Some(priority)) => {
            Ok(Some((Attachment { hook, priority: priority.cast_signed() }, policy)))
        }
        _ => Err(()),
    }
}

/// The marks of all rules, by chain, in order.
fn list_marks(socket: &mut NfSocket) -> Result<FxHashMap<Name, Vec<Option<Mark>>>, Error> {
    socket.list(
        msg::GET_RULE,
        |attrs| attrs.string(rule::TABLE, TABLE),
        FxHashMap::default,
        |marks: &mut FxHashMap<Name, Vec<Option<Mark>>>, message| {
            if in_our_table(&message, msg::NEW_RULE, rule::TABLE)
                && let Some(name) = name_of(&message, rule::CHAIN)
            {
                let mark = message
                    .attrs()
                    .find_kind(rule::USERDATA)
                    .and_then(|attr| userdata_text(attr.value, rule::UDATA_COMMENT))
                    .and_then(Mark::parse);
                marks.entry(name).or_default().push(mark);
            }
        },
    )
}

/// One set of a listing.
#[derive(Debug)]
struct ListedSet {
    name: Name,
    flags: u32,
    spec: Option<SetSpec>,
}

fn list_sets(socket: &mut NfSocket) -> Result<Vec<ListedSet>, Error> {
    socket.list(
        msg::GET_SET,
        |attrs| attrs.string(set::TABLE, TABLE),
        Vec::new,
        |sets: &mut Vec<ListedSet>, message| {
            if in_our_table(&message, msg::NEW_SET, set::TABLE)
                && let Some(name) = name_of(&message, set::NAME)
            {
                let flags = be32(&message, set::FLAGS).unwrap_or_default();
                sets.push(ListedSet { name, flags, spec: set_spec(&message, flags) });
            }
        },
    )
}

fn be32(message: &Message<'_>, kind: u16) -> Option<u32> {
    message.attrs().find_kind(kind).and_then(|attr| attr.be32())
}

/// The set as the compiler would describe it; `None` if it never would.
fn set_spec(message: &Message<'_>, flags: u32) -> Option<SetSpec> {
    let key = key::key_type(be32(message, set::KEY_TYPE)?, be32(message, set::KEY_LEN)?)?;
    let verdicts = flags & set::F_MAP != 0;
    if flags & !(set::F_MAP | set::F_INTERVAL) != 0
        || verdicts && be32(message, set::DATA_TYPE) != Some(set::VERDICT)
    {
        return None;
    }
    let comment = message
        .attrs()
        .find_kind(set::USERDATA)
        .and_then(|attr| userdata_text(attr.value, set::UDATA_COMMENT))
        .map(std::sync::Arc::from);
    Some(SetSpec { key, interval: flags & set::F_INTERVAL != 0, verdicts, comment })
}

fn read_set(socket: &mut NfSocket, listed: &ListedSet, found: &mut Readback) -> Result<(), Error> {
    let name = &listed.name;
    found.shadow.sets.insert(name.clone(), listed.spec.as_ref().map(content::kind));
    let Some(spec) = &listed.spec else {
        found.objects.push((ObjectId::Set(name.clone()), Content::foreign()));
        return Ok(());
    };
    found.objects.push((ObjectId::Set(name.clone()), Object::Set(spec.clone()).into()));
    let elements = list_elements(socket, name, spec.interval)?;
    let complete = if spec.interval {
        push_intervals(name, spec.key, elements, found)
    } else {
        push_elements(name, spec, elements, found)
    };
    found.has_unnameable |= !complete;
    Ok(())
}

/// An element as listed; `None` for one of a kind that we never write.
type Listed = Option<RawElement>;

/// The parts of an element that we write.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RawElement {
    key: Vec<u8>,
    is_end: bool,
    verdict: Option<Target>,
}

/// Lists the elements of a set.
///
/// A hash table that grows while it is listed shows elements twice or not at all, and the kernel
/// does not flag it. Where the kernel tells the number of elements a listing must reach it (it
/// counts intervals in its own way, but they are in a tree); a double is always a reason to list
/// again.
fn list_elements(socket: &mut NfSocket, name: &Name, interval: bool) -> Result<Vec<Listed>, Error> {
    for _ in 0..ELEMENT_ATTEMPTS {
        let listed = socket.list(
            msg::GET_SET_ELEM,
            |attrs| {
                attrs.string(element::TABLE, TABLE);
                attrs.string(element::SET, name.as_str());
            },
            Vec::new,
            |listed: &mut Vec<Listed>, message| {
                let attrs = message.attrs();
                if let Some(list) = attrs.find_kind(element::ELEMENTS) {
                    listed.extend(list.children().map(|attr| raw_element(&attr)));
                }
            },
        )?;
        let mut seen = FxHashSet::default();
        if listed.iter().flatten().all(|one| seen.insert((one.key.as_slice(), one.is_end)))
            && (interval
                || listed.contains(&None)
                || count(socket, name)?.is_none_or(|count| count == listed.len()))
        {
            return Ok(listed);
        }
    }
    Err(Error::Interrupted)
}

/// The number of elements of a set, where the kernel says it.
fn count(socket: &mut NfSocket, name: &Name) -> Result<Option<usize>, Error> {
    let count = socket.lookup(
        msg::GET_SET,
        |attrs| {
            attrs.string(set::TABLE, TABLE);
            attrs.string(set::NAME, name.as_str());
        },
        |message| be32(&message, set::COUNT),
    )?;
    Ok(count.flatten().and_then(|count| usize::try_from(count).ok()))
}

fn raw_element(attr: &Attr<'_>) -> Listed {
    let mut key = None;
    let mut flags = 0;
    let mut verdict = None;
    for part in attr.children() {
        match part.kind {
            element::KEY => key = part.children().find_kind(element::DATA_VALUE),
            element::FLAGS => flags = part.be32()?,
            element::DATA => verdict = Some(raw_verdict(&part)?),
            element::USERDATA => {}
            // A timeout, an expression, an object, a second key: not ours.
            _ => return None,
        }
    }
    if flags & !element::F_INTERVAL_END != 0 {
        return None;
    }
    Some(RawElement { key: key?.value.to_vec(), is_end: flags != 0, verdict })
}

fn raw_verdict(data: &Attr<'_>) -> Option<Target> {
    let verdict = data.children().find_kind(element::DATA_VERDICT)?;
    let code = verdict.children().find_kind(element::VERDICT_CODE)?.be32()?.cast_signed();
    let chain = verdict.children().find_kind(element::VERDICT_CHAIN).and_then(|attr| attr.string());
    match (code, chain) {
        (0, None) => Some(Target::Drop),
        (1, None) => Some(Target::Accept),
        (-5, None) => Some(Target::Return),
        (-3, Some(chain)) => Some(Target::Jump(Name::new(chain))),
        (-4, Some(chain)) => Some(Target::Goto(Name::new(chain))),
        _ => None,
    }
}

/// Adds the elements of a set without intervals; false if one has no name.
fn push_elements(name: &Name, spec: &SetSpec, elements: Vec<Listed>, found: &mut Readback) -> bool {
    let mut complete = true;
    for listed in elements {
        let decoded = listed.and_then(|one| Some((key::decode(spec.key, &one.key)?, one)));
        match decoded {
            Some((key, RawElement { is_end: false, verdict: None, .. })) if !spec.verdicts => {
                found.objects.push((ObjectId::Element(name.clone(), key), Object::Element.into()));
            }
            Some((key, RawElement { is_end: false, verdict: Some(verdict), .. })) => {
                let id = ObjectId::Dispatch(name.clone(), key.clone());
                found.objects.push((id, Object::Dispatch(verdict).into()));
                found.shadow.dispatch.insert((name.clone(), key));
            }
            _ => complete = false,
        }
    }
    complete
}

/// Adds the intervals of a set; false if the elements do not form intervals of ours.
fn push_intervals(
    name: &Name,
    key_type: KeyType,
    elements: Vec<Listed>,
    found: &mut Readback,
) -> bool {
    let Some(mut elements) = elements.into_iter().collect::<Option<Vec<_>>>() else { return false };
    // An interval that ends where another begins: the end comes first.
    elements.sort_unstable_by(|one, two| (&one.key, !one.is_end).cmp(&(&two.key, !two.is_end)));
    let mut open: Option<Vec<u8>> = None;
    let mut complete = true;
    let mut push =
        |start: &[u8], behind: Option<&[u8]>| match key::decode_range(key_type, start, behind) {
            Some(key) => {
                found.objects.push((ObjectId::Element(name.clone(), key), Object::Element.into()));
                true
            }
            None => false,
        };
    for one in elements {
        match (one.is_end, open.take()) {
            (true, Some(start)) => complete &= push(&start, Some(&one.key)),
            // The nft program marks the room before the first interval like this.
            (true, None) => {}
            (false, None) => open = Some(one.key),
            (false, Some(_)) => return false,
        }
        complete &= one.verdict.is_none();
    }
    if let Some(start) = open {
        complete &= push(&start, None);
    }
    complete
}

impl Shadow {
    /// Notes a set; false if one of that name but of another kind is there.
    pub(crate) fn admits_set(&self, name: &Name, spec: &SetSpec) -> bool {
        self.sets.get(name).is_none_or(|found| *found == Some(content::kind(spec)))
    }

    /// Whether a chain of that name can be written: there is none, or one of the same kind.
    pub(crate) fn admits_chain(&self, name: &Name, is_base: bool) -> bool {
        self.chains.get(name).is_none_or(|found| found.is_some() == is_base)
    }

    /// Forgets a set and what was in it.
    pub(crate) fn remove_set(&mut self, name: &Name) {
        if let Entry::Occupied(entry) = self.sets.entry(name.clone())
            && entry.remove().is_none_or(|(_, _, verdicts)| verdicts)
        {
            self.dispatch.retain(|(set, _)| set != name);
        }
    }
}
