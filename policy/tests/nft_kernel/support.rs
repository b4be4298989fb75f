// SPDX-License-Identifier: MIT OR Apache-2.0
//! Namespaces, commands and shorthand for rulesets.

use std::{
    collections::BTreeMap,
    fs::File,
    os::fd::AsFd,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use policy::{
    ir::{
        BaseChain, BasePolicy, Hook, Interface, Key, KeyType, Match, Name, Object, ObjectId, Part,
        Rule, SetSpec, Target as To, Verdict,
    },
    nft::{Content, Target},
};
use reconcile::{Batch, Outcome, Target as _};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that is removed with this value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace and moves the calling thread, and so what it starts, into it.
    pub fn enter() -> Self {
        let namespace = Self::create();
        namespace.join();
        namespace
    }

    /// Makes a namespace.
    pub fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rtd-t-{}-nft{number}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self { name }
    }

    /// Moves the calling thread into the namespace.
    pub fn join(&self) {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// The name under which ip(8) knows it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = output("ip", &["netns", "del", &self.name]);
    }
}

/// Runs a program in the thread's namespace and returns what it did.
pub fn output(program: &str, args: &[&str]) -> Output {
    command(program).args(args).output().unwrap()
}

/// Runs a program that must succeed and returns what it printed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Loads a script with the nft program.
pub fn nft_load(script: &str) -> Output {
    use std::io::Write;
    let mut child = command("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A command that has no output of its own on our terminal.
#[expect(clippy::disallowed_methods, reason = "tests look at the kernel with stock tools")]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    command
}

/// What `nft list table inet routed` prints, without the parts that differ from run to run.
pub fn listing() -> String {
    let text = run("nft", &["list", "table", "inet", "routed"]);
    text.lines()
        .filter(|line| !line.contains("flags owner"))
        .map(|line| match line.strip_suffix(" # progname routed") {
            Some(line) => line,
            None => line,
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

/// A listing without the hashes in comments.
pub fn without_hashes(listing: &str) -> String {
    let mut text = String::new();
    for (index, part) in listing.split('#').enumerate() {
        if index > 0 {
            text.push('#');
        }
        match part.split_at_checked(16) {
            Some((hash, rest))
                if index > 0
                    && rest.starts_with('.')
                    && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                text.push_str("HASH");
                text.push_str(rest);
            }
            _ => text.push_str(part),
        }
    }
    text
}

/// A ruleset under construction.
pub type Ruleset = BTreeMap<ObjectId, Object>;

pub fn name(text: &str) -> Name {
    Name::new(text)
}

pub fn ifname(text: &str) -> Part {
    Part::IfName(name(text))
}

pub fn v4(text: &str) -> Part {
    Part::Ipv4(text.parse().unwrap())
}

pub fn v6(text: &str) -> Part {
    Part::Ipv6(text.parse().unwrap())
}

pub fn set(rules: &mut Ruleset, set: &str, key: KeyType, keys: &[Key]) {
    let interval = keys.iter().any(|key| matches!(key, Key::Range(..)));
    let spec = SetSpec { key, interval, verdicts: false, comment: Some(Arc::from(set)) };
    rules.insert(ObjectId::Set(name(set)), Object::Set(spec));
    for key in keys {
        rules.insert(ObjectId::Element(name(set), key.clone()), Object::Element);
    }
}

pub fn map(rules: &mut Ruleset, set: &str, elements: &[(&str, To)]) {
    let spec = SetSpec { key: KeyType::IfName, interval: false, verdicts: true, comment: None };
    rules.insert(ObjectId::Set(name(set)), Object::Set(spec));
    for (interface, verdict) in elements {
        let key = Key::Single(ifname(interface));
        rules.insert(ObjectId::Dispatch(name(set), key), Object::Dispatch(verdict.clone()));
    }
}

pub fn rule(matches: Vec<Match>, verdict: To, comment: &str) -> Rule {
    let comment = (!comment.is_empty()).then(|| Arc::from(comment));
    Rule { matches, counter: false, verdict: Verdict::To(verdict), comment }
}

pub fn vmap(interface: Interface, map: &str) -> Rule {
    let verdict = Verdict::Vmap(interface, name(map));
    Rule { matches: Vec::new(), counter: false, verdict, comment: None }
}

pub fn chain(rules: &mut Ruleset, chain: &str, content: Vec<Rule>) {
    rules.insert(ObjectId::Chain(name(chain)), Object::Chain(content.into()));
}

pub fn base_chain(rules: &mut Ruleset, chain: &str, hook: Hook, content: Vec<Rule>) {
    let base = BaseChain { hook, priority: -1, policy: BasePolicy::Accept, rules: content.into() };
    rules.insert(ObjectId::BaseChain(name(chain)), Object::BaseChain(base));
}

/// The batch that puts a ruleset, in the order a driver would use.
pub fn puts(rules: &Ruleset) -> Batch<ObjectId, Content> {
    let mut puts: Vec<_> =
        rules.iter().map(|(id, object)| (id.clone(), Content::from(object.clone()))).collect();
    puts.sort_by_key(|(id, _)| id.rank());
    Batch { puts, deletes: Vec::new() }
}

/// The batch that removes objects.
pub fn deletes(ids: impl IntoIterator<Item = ObjectId>) -> Batch<ObjectId, Content> {
    let mut deletes: Vec<_> = ids.into_iter().collect();
    deletes.sort_by_key(|id| std::cmp::Reverse(id.rank()));
    Batch { puts: Vec::new(), deletes }
}

/// Applies a batch of which everything must succeed.
pub fn apply(target: &mut Target, batch: &Batch<ObjectId, Content>) {
    let failed = failures(target.apply(batch));
    assert!(failed.is_empty(), "{failed:#?}");
}

/// What of a batch failed.
pub fn failures(outcomes: Vec<(ObjectId, Outcome)>) -> Vec<(ObjectId, reconcile::Failure)> {
    outcomes
        .into_iter()
        .filter_map(|(id, outcome)| match outcome {
            Outcome::Applied => None,
            Outcome::Failed(failure) => Some((id, failure)),
        })
        .collect()
}

/// A new target with the ruleset in force, in an empty namespace.
pub fn loaded(rules: &Ruleset) -> Target {
    let mut target = Target::open().unwrap();
    assert!(target.dump().unwrap().is_empty());
    apply(&mut target, &puts(rules));
    target
}

/// What differs between the kernel and a ruleset: wanted or found, and not the other.
pub fn difference(target: &mut Target, rules: &Ruleset) -> Vec<ObjectId> {
    let mut wanted: BTreeMap<_, _> =
        rules.iter().map(|(id, object)| (id.clone(), Content::from(object.clone()))).collect();
    let mut different = Vec::new();
    for (id, content) in target.dump().unwrap() {
        if wanted.remove(&id).is_none_or(|wanted| wanted != content) {
            different.push(id);
        }
    }
    different.extend(wanted.into_keys());
    different
}
