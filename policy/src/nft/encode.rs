// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the neutral ruleset to nf_tables messages.

use std::net::IpAddr;

use crate::{
    ir::{
        BasePolicy, CtStates, Family, Hook, Interface, Match, Name, Rule, SetSpec, Side, TABLE,
        Target, Verdict,
    },
    nft::{
        key,
        marks::TABLE_MARK,
        netlink::{
            attr::AttrWriter,
            batch::Batch,
            expr::{Base, Compare, Meta, Program, REG_1, REG_2, VerdictCode},
            message::{msg, nl},
            object::{chain, push_comment, push_userdata, rule, set, table},
        },
    },
};

/// Appends a table that must not exist yet, with our mark; `flags` are those of its ownership.
pub(crate) fn create_table(batch: &mut Batch, flags: u32) -> usize {
    let mut userdata = Vec::new();
    push_comment(&mut userdata, table::UDATA_COMMENT, TABLE_MARK);
    batch.push(msg::NEW_TABLE, nl::F_CREATE | nl::F_EXCL, |attrs| {
        attrs.string(table::NAME, TABLE);
        attrs.be32(table::FLAGS, flags);
        attrs.bytes(table::USERDATA, &userdata);
    })
}

/// Appends a change of the existing table's flags.
pub(crate) fn claim_table(batch: &mut Batch, flags: u32) -> usize {
    batch.push(msg::NEW_TABLE, nl::F_CREATE, |attrs| {
        attrs.string(table::NAME, TABLE);
        attrs.be32(table::FLAGS, flags);
    })
}

/// Appends the removal of the table with all that is in it.
pub(crate) fn delete_table(batch: &mut Batch) -> usize {
    batch.push(msg::DEL_TABLE, 0, |attrs| attrs.string(table::NAME, TABLE))
}

/// Appends a set or map; nothing happens if the same exists.
pub(crate) fn put_set(batch: &mut Batch, name: &Name, spec: &SetSpec) -> usize {
    let layout = key::layout(spec.key);
    let mut flags = 0;
    flags |= if spec.interval { set::F_INTERVAL } else { 0 };
    flags |= if spec.verdicts { set::F_MAP } else { 0 };
    let mut userdata = Vec::new();
    push_userdata(&mut userdata, set::UDATA_KEY_ORDER, &layout.order.to_ne_bytes());
    if let Some(comment) = &spec.comment {
        push_comment(&mut userdata, set::UDATA_COMMENT, comment);
    }
    // The kernel insists on a number that is unique in the transaction; we refer by name.
    let id = u32::try_from(batch.len() + 1).unwrap_or(u32::MAX);
    batch.push(msg::NEW_SET, nl::F_CREATE, |attrs| {
        attrs.string(set::TABLE, TABLE);
        attrs.string(set::NAME, name.as_str());
        attrs.be32(set::FLAGS, flags);
        attrs.be32(set::KEY_TYPE, layout.datatype);
        attrs.be32(set::KEY_LEN, layout.len);
        if spec.verdicts {
            attrs.be32(set::DATA_TYPE, set::VERDICT);
        }
        attrs.be32(set::ID, id);
        attrs.bytes(set::USERDATA, &userdata);
    })
}

/// Appends the removal of a set with its elements.
pub(crate) fn delete_set(batch: &mut Batch, name: &Name) -> usize {
    batch.push(msg::DEL_SET, 0, |attrs| {
        attrs.string(set::TABLE, TABLE);
        attrs.string(set::NAME, name.as_str());
    })
}

/// Where a base chain is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The hook.
    pub(crate) hook: Hook,
    /// The order in the hook.
    pub(crate) priority: i32,
}

/// Appends a chain without its rules; an existing one only gets the policy.
pub(crate) fn put_chain(
    batch: &mut Batch,
    name: &Name,
    base: Option<(Attachment, BasePolicy)>,
) -> usize {
    batch.push(msg::NEW_CHAIN, nl::F_CREATE, |attrs| {
        attrs.string(chain::TABLE, TABLE);
        attrs.string(chain::NAME, name.as_str());
        let Some((attachment, policy)) = base else { return };
        attrs.string(chain::TYPE, "filter");
        attrs.be32(chain::POLICY, policy_code(policy));
        attrs.nest(chain::HOOK, |hook| {
            hook.be32(chain::HOOK_NUMBER, hook_code(attachment.hook));
            hook.be32(chain::HOOK_PRIORITY, attachment.priority.cast_unsigned());
        });
    })
}

/// Appends the removal of a chain.
pub(crate) fn delete_chain(batch: &mut Batch, name: &Name) -> usize {
    batch.push(msg::DEL_CHAIN, 0, |attrs| {
        attrs.string(chain::TABLE, TABLE);
        attrs.string(chain::NAME, name.as_str());
    })
}

/// Appends the removal of all rules of a chain.
pub(crate) fn flush_chain(batch: &mut Batch, name: &Name) -> usize {
    batch.push(msg::DEL_RULE, 0, |attrs| {
        attrs.string(rule::TABLE, TABLE);
        attrs.string(rule::CHAIN, name.as_str());
    })
}

/// Appends a rule at the end of a chain.
pub(crate) fn add_rule(batch: &mut Batch, chain: &Name, program: &[u8], comment: &str) -> usize {
    let mut userdata = Vec::new();
    push_comment(&mut userdata, rule::UDATA_COMMENT, comment);
    batch.push(msg::NEW_RULE, nl::F_CREATE | nl::F_APPEND, |attrs| {
        attrs.string(rule::TABLE, TABLE);
        attrs.string(rule::CHAIN, chain.as_str());
        attrs.nest(rule::EXPRESSIONS, |list| list.encoded(program));
        attrs.bytes(rule::USERDATA, &userdata);
    })
}

/// The number of a base chain's policy.
pub(crate) fn policy_code(policy: BasePolicy) -> u32 {
    match policy {
        BasePolicy::Drop => 0,
        BasePolicy::Accept => 1,
    }
}

/// The number of a hook in the `inet` family.
pub(crate) fn hook_code(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
    }
}

/// The kernel's form of a verdict.
pub(crate) fn verdict_code(target: &Target) -> VerdictCode<'_> {
    match target {
        Target::Accept => VerdictCode::Accept,
        Target::Drop => VerdictCode::Drop,
        Target::Return => VerdictCode::Return,
        Target::Jump(name) => VerdictCode::Jump(name.as_str()),
        Target::Goto(name) => VerdictCode::Goto(name.as_str()),
    }
}

/// A rule's expressions as the content of their attribute.
pub(crate) fn encode_rule(rule: &Rule) -> Vec<u8> {
    let mut buf = Vec::with_capacity(256);
    let mut attrs = AttrWriter::new(&mut buf);
    let mut program = Program::new(&mut attrs);
    for condition in &rule.matches {
        encode_match(&mut program, condition);
    }
    if rule.counter {
        program.counter();
    }
    match &rule.verdict {
        Verdict::To(target) => program.verdict(verdict_code(target)),
        Verdict::Vmap(interface, map) => {
            program.meta(interface_key(*interface), REG_1);
            program.lookup_verdict(map.as_str());
        }
    }
    buf
}

fn encode_match(program: &mut Program<'_, '_>, condition: &Match) {
    match condition {
        Match::IfName { interface, name, prefix, negated } => {
            program.meta(interface_key(*interface), REG_1);
            let padded = key::ifname(name);
            let len = if *prefix { name.as_str().len().min(padded.len()) } else { padded.len() };
            program.compare(Compare::equality(*negated), padded.get(..len).unwrap_or(&padded));
        }
        Match::CtState(CtStates(states)) => {
            program.ct_state();
            program.mask(&states.to_ne_bytes());
            program.compare(Compare::NotEqual, &[0; 4]);
        }
        Match::Family(family) => {
            program.meta(Meta::NfProto, REG_1);
            program.compare(Compare::Equal, &[family_code(*family)]);
        }
        Match::Protocol { protocol, negated } => {
            program.meta(Meta::L4Proto, REG_1);
            program.compare(Compare::equality(*negated), &[*protocol]);
        }
        Match::AddressIn { side, family, set, negated } => {
            load_address(program, *side, *family, REG_1);
            program.lookup(set.as_str(), *negated);
        }
        Match::AddressNet { side, network, length, negated } => {
            encode_net(program, *side, *network, (*length, *negated));
        }
        Match::SourceIn { family, set } => {
            program.meta(Meta::InputName, REG_1);
            load_address(program, Side::Source, *family, REG_2);
            program.lookup(set.as_str(), false);
        }
        Match::PortRange { side, start, end, negated } => {
            load_port(program, *side);
            encode_port_range(program, (*start, *end), *negated);
        }
        Match::PortIn { side, set, negated } => {
            load_port(program, *side);
            program.lookup(set.as_str(), *negated);
        }
        Match::IcmpType(kind) => {
            program.payload(Base::Transport, 0, 1, REG_1);
            program.compare(Compare::Equal, &[*kind]);
        }
    }
}

/// Compares the bits of a net: whole bytes need no mask.
fn encode_net(
    program: &mut Program<'_, '_>,
    side: Side,
    network: IpAddr,
    (length, negated): (u8, bool),
) {
    let (family, octets) = match network {
        IpAddr::V4(v4) => (Family::V4, v4.octets().to_vec()),
        IpAddr::V6(v6) => (Family::V6, v6.octets().to_vec()),
    };
    let (offset, _) = address_place(side, family);
    let op = Compare::equality(negated);
    let whole = usize::from(length / 8);
    if length % 8 == 0 {
        let len = u32::from(length / 8);
        program.payload(Base::Network, offset, len, REG_1);
        program.compare(op, octets.get(..whole).unwrap_or(&octets));
    } else {
        let mask: Vec<u8> = (0..octets.len())
            .map(|byte| match byte.cmp(&whole) {
                std::cmp::Ordering::Less => 0xff,
                std::cmp::Ordering::Equal => !(0xff_u8 >> (length % 8)),
                std::cmp::Ordering::Greater => 0,
            })
            .collect();
        load_address(program, side, family, REG_1);
        program.mask(&mask);
        program.compare(op, &octets);
    }
}

fn encode_port_range(program: &mut Program<'_, '_>, (start, end): (u16, u16), negated: bool) {
    let (from, to) = (start.to_be_bytes(), end.to_be_bytes());
    if start == end {
        program.compare(Compare::equality(negated), &from);
    } else if negated {
        program.outside(&from, &to);
    } else {
        program.compare(Compare::AtLeast, &from);
        program.compare(Compare::AtMost, &to);
    }
}

fn load_address(program: &mut Program<'_, '_>, side: Side, family: Family, register: u32) {
    let (offset, len) = address_place(side, family);
    program.payload(Base::Network, offset, len, register);
}

/// Offset and length of an address in the network header.
fn address_place(side: Side, family: Family) -> (u32, u32) {
    match (family, side) {
        (Family::V4, Side::Source) => (12, 4),
        (Family::V4, Side::Destination) => (16, 4),
        (Family::V6, Side::Source) => (8, 16),
        (Family::V6, Side::Destination) => (24, 16),
    }
}

fn load_port(program: &mut Program<'_, '_>, side: Side) {
    let offset = match side {
        Side::Source => 0,
        Side::Destination => 2,
    };
    program.payload(Base::Transport, offset, 2, REG_1);
}

fn interface_key(interface: Interface) -> Meta {
    match interface {
        Interface::Input => Meta::InputName,
        Interface::Output => Meta::OutputName,
    }
}

/// The number of a family in `meta nfproto`.
fn family_code(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}
