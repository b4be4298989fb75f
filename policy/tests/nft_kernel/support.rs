// SPDX-License-Identifier: MIT OR Apache-2.0
//! Namespaces, commands and shorthand for rulesets.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    os::fd::AsFd,
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
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
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace and moves the calling thread, and so what it starts, into it.
    pub(crate) fn enter() -> Self {
        let namespace = Self::create();
        namespace.join();
        namespace
    }

    /// Makes a namespace.
    pub(crate) fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rtd-t-{}-nft{number}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self { name }
    }

    /// Moves the calling thread into the namespace.
    pub(crate) fn join(&self) {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// The name under which ip(8) knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = output("ip", &["netns", "del", &self.name]);
    }
}

/// Runs a program in the thread's namespace and returns what it did.
pub(crate) fn output(program: &str, args: &[&str]) -> Output {
    command(program).args(args).output().unwrap()
}

/// Runs a program that must succeed and returns what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = output(program, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Loads a script with the nft program.
pub(crate) fn nft_load(script: &str) -> Output {
    use std::io::Write;
    let mut child = command("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A command that has no output of its own on our terminal.
#[expect(clippy::disallowed_methods, reason = "tests look at the kernel with stock tools")]
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    command
}

/// What `nft list table inet routed` prints, without what it says about the owner.
pub(crate) fn listing() -> String {
    let text = run("nft", &["list", "table", "inet", "routed"]);
    let (_, body) = text.split_once('\n').unwrap();
    let lines = body.lines().filter(|line| !line.is_empty() && !line.starts_with("\tflags"));
    lines.fold("table inet routed {\n".to_owned(), |text, line| text + line + "\n")
}

/// A listing without the hashes in comments.
pub(crate) fn without_hashes(listing: &str) -> String {
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
pub(crate) type Ruleset = BTreeMap<ObjectId, Object>;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text)
}

pub(crate) fn ifname(text: &str) -> Part {
    Part::IfName(name(text))
}

pub(crate) fn v4(text: &str) -> Part {
    Part::Ipv4(text.parse().unwrap())
}

pub(crate) fn v6(text: &str) -> Part {
    Part::Ipv6(text.parse().unwrap())
}

pub(crate) fn set(rules: &mut Ruleset, set: &str, key: KeyType, keys: &[Key]) {
    let interval = keys.iter().any(|key| matches!(key, Key::Range(..)));
    let spec = SetSpec { key, interval, verdicts: false, comment: Some(Arc::from(set)) };
    rules.insert(ObjectId::Set(name(set)), Object::Set(spec));
    for key in keys {
        rules.insert(ObjectId::Element(name(set), key.clone()), Object::Element);
    }
}

pub(crate) fn map(rules: &mut Ruleset, set: &str, elements: &[(&str, To)]) {
    let spec = SetSpec { key: KeyType::IfName, interval: false, verdicts: true, comment: None };
    rules.insert(ObjectId::Set(name(set)), Object::Set(spec));
    for (interface, verdict) in elements {
        let key = Key::Single(ifname(interface));
        rules.insert(ObjectId::Dispatch(name(set), key), Object::Dispatch(verdict.clone()));
    }
}

pub(crate) fn rule(matches: Vec<Match>, verdict: To, comment: &str) -> Rule {
    let comment = (!comment.is_empty()).then(|| Arc::from(comment));
    Rule { matches, counter: false, verdict: Verdict::To(verdict), comment }
}

pub(crate) fn vmap(interface: Interface, map: &str) -> Rule {
    let verdict = Verdict::Vmap(interface, name(map));
    Rule { matches: Vec::new(), counter: false, verdict, comment: None }
}

pub(crate) fn chain(rules: &mut Ruleset, chain: &str, content: Vec<Rule>) {
    rules.insert(ObjectId::Chain(name(chain)), Object::Chain(content.into()));
}

pub(crate) fn base_chain(rules: &mut Ruleset, chain: &str, hook: Hook, content: Vec<Rule>) {
    let base = BaseChain { hook, priority: -1, policy: BasePolicy::Accept, rules: content.into() };
    rules.insert(ObjectId::BaseChain(name(chain)), Object::BaseChain(base));
}

/// The batch that puts a ruleset, in the order a driver would use.
pub(crate) fn puts(rules: &Ruleset) -> Batch<ObjectId, Content> {
    let mut puts: Vec<_> =
        rules.iter().map(|(id, object)| (id.clone(), Content::from(object.clone()))).collect();
    puts.sort_by_key(|(id, _)| id.rank());
    Batch { puts, deletes: Vec::new() }
}

/// The batch that removes objects.
pub(crate) fn deletes(ids: impl IntoIterator<Item = ObjectId>) -> Batch<ObjectId, Content> {
    let mut deletes: Vec<_> = ids.into_iter().collect();
    deletes.sort_by_key(|id| std::cmp::Reverse(id.rank()));
    Batch { puts: Vec::new(), deletes }
}

/// Applies a batch of which everything must succeed.
pub(crate) fn apply(target: &mut Target, batch: &Batch<ObjectId, Content>) {
    let failed = failures(target.apply(batch));
    assert!(failed.is_empty(), "{failed:#?}");
}

/// What of a batch failed.
pub(crate) fn failures(outcomes: Vec<(ObjectId, Outcome)>) -> Vec<(ObjectId, reconcile::Failure)> {
    outcomes
        .into_iter()
        .filter_map(|(id, outcome)| match outcome {
            Outcome::Applied => None,
            Outcome::Failed(failure) => Some((id, failure)),
        })
        .collect()
}

/// A new target with the ruleset in force, in an empty namespace.
pub(crate) fn loaded(rules: &Ruleset) -> Target {
    let mut target = Target::open().unwrap();
    assert!(target.dump().unwrap().is_empty());
    apply(&mut target, &puts(rules));
    target
}

/// What differs between the kernel and a ruleset: wanted or found, and not the other.
pub(crate) fn difference(target: &mut Target, rules: &Ruleset) -> Vec<ObjectId> {
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

/// `nft monitor`, running until this value is dropped.
pub(crate) struct Monitor {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Monitor {
    /// Starts it in the thread's namespace and waits until it sees changes.
    pub(crate) fn start() -> Self {
        let mut child = command("nft").args(["monitor"]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut monitor = Self { child, lines };
        // It is listening once it has read the ruleset; until then a mark may pass unseen.
        let socket = format!("/proc/{}/net/netlink", monitor.child.id());
        let listening = |text: &str| {
            let groups = text.lines().filter_map(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                (fields.get(1) == Some(&"12")).then(|| fields.get(3).copied()).flatten()
            });
            groups.into_iter().any(|groups| groups != "00000000")
        };
        eventually(|| listening(&std::fs::read_to_string(&socket).unwrap_or_default()));
        monitor.changes();
        monitor
    }

    /// What changed since the last call.
    pub(crate) fn changes(&mut self) -> Vec<String> {
        let mark = "add table ip rtd_mark";
        run("nft", &["add", "table", "ip", "rtd_mark"]);
        let mut changes = Vec::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            if line.starts_with(mark) {
                break;
            }
            if !line.starts_with('#') && !line.contains("rtd_mark") {
                changes.push(line);
            }
        }
        run("nft", &["delete", "table", "ip", "rtd_mark"]);
        changes
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds, for ten seconds at most.
pub(crate) fn eventually(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "nothing happened in time");
        std::thread::yield_now();
    }
}
