// SPDX-License-Identifier: MIT OR Apache-2.0
//! A directory of files kept as wished: the smallest reconciler that touches the real world.
//!
//! Wishes go into a mailbox, the driver compares them with what the directory holds, and only differences are written:
//! run it twice and the second run writes nothing. A file that nobody wished for is removed, but only once the source
//! of wishes said that it is complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use reconcile::{
    Action, Batch, Completeness, Driver, DriverConfig, Failure, FailureKind, Mailbox, Outcome,
    Revision, Target,
};

/// A directory whose files are the actual state.
struct Directory {
    path: PathBuf,
    writes: usize,
}

impl Target for Directory {
    type Key = String;
    type Value = String;

    fn dump(&mut self) -> Result<Vec<(String, String)>, Failure> {
        let failed = |e: std::io::Error| Failure::new(FailureKind::Retry, e.to_string());
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let text = fs::read_to_string(entry.path()).map_err(failed)?;
            found.push((entry.file_name().to_string_lossy().into_owned(), text));
        }
        Ok(found)
    }

    fn apply(&mut self, batch: &Batch<String, String>) -> Vec<(String, Outcome)> {
        let outcome = |result: std::io::Result<()>| match result {
            Ok(()) => Outcome::Applied,
            Err(e) => Outcome::Failed(Failure::new(FailureKind::Retry, e.to_string())),
        };
        self.writes += batch.len();
        let puts = batch
            .puts
            .iter()
            .map(|(name, text)| (name.clone(), outcome(fs::write(self.path.join(name), text))));
        let deletes = batch
            .deletes
            .iter()
            .map(|name| (name.clone(), outcome(fs::remove_file(self.path.join(name)))));
        puts.chain(deletes).collect()
    }
}

/// Makes the directory hold exactly these files; returns how many writes that took.
fn reconcile(path: PathBuf, wishes: &BTreeMap<&str, &str>) -> usize {
    let mailbox = Mailbox::new();
    for (name, text) in wishes {
        mailbox.publish((*name).to_owned(), Some((*text).to_owned()), Revision(1));
    }
    mailbox.set_completeness(Completeness::Complete);

    let mut directory = Directory { path, writes: 0 };
    let mut driver = Driver::new(DriverConfig::default());
    driver.on_changes(mailbox.take());
    loop {
        match driver.next(Instant::now()) {
            Action::Dump => driver.on_dump(directory.dump(), Instant::now()),
            Action::Apply(batch) => driver.on_outcomes(directory.apply(&batch), Instant::now()),
            Action::Idle(_) => return directory.writes,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let path = std::env::temp_dir().join(format!("reconcile-a-map-{}", std::process::id()));
    fs::create_dir_all(&path)?;
    fs::write(path.join("orphan"), "nobody wants this")?;

    let wishes = BTreeMap::from([("a", "one"), ("b", "two")]);
    println!("first run: {} writes", reconcile(path.clone(), &wishes));
    println!("second run: {} writes", reconcile(path.clone(), &wishes));
    fs::write(path.join("a"), "somebody else was here")?;
    println!("after a foreign change: {} writes", reconcile(path.clone(), &wishes));
    println!("a holds {:?}", fs::read_to_string(path.join("a"))?);

    fs::remove_dir_all(path)?;
    Ok(())
}
