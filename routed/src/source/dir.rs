// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration from a directory of files.
//!
//! Events of the directory are hints: whatever happens, the whole directory is read again, and what
//! it says comes into force as a whole or not at all. A file that somebody is still writing is
//! waited for, since half a file may well read as a good one.
//!
//! ```text
//!   Directory ── something changed, and it is quiet now ──┐
//!   reload request (SIGHUP) ──────────────────────────────┴─▶ Reader ──▶ State
//! ```

mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Notify, watch as channel};
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigError, LastGood, Loaded, Sources};

pub use watch::Directory;

/// What is known of the configuration.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The configuration in force; `None` until there is a good one.
    pub loaded: Option<Loaded>,
    /// Where it is from.
    pub origin: Origin,
    /// What is wrong with the files now; empty if they are in force.
    pub errors: Vec<ConfigError>,
    /// Counts the configurations that came into force.
    pub generation: u64,
}

/// Where the configuration in force is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The directory, as it is or as it was when it was last good.
    #[default]
    Directory,
    /// The copy of an earlier run: the directory has not been good since the start.
    LastGood,
}

/// Reads the directory. Blocks: a large configuration takes a while, and the copy is flushed to
/// the disk.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    node_name: String,
    last_good: LastGood,
    state: State,
}

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new(dir: &Path, state_dir: &Path, node_name: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            node_name: node_name.to_owned(),
            last_good: LastGood::new(state_dir),
            state: State::default(),
        }
    }

    /// What was read last.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Reads the directory at the start of the daemon; if it is bad, the last good copy counts.
    pub fn start(&mut self) -> &State {
        self.reload();
        if self.state.loaded.is_none() {
            self.fall_back();
        }
        &self.state
    }

    /// Reads the directory again. A bad one changes nothing but the errors.
    ///
    /// True if something is in force that was not before.
    pub fn reload(&mut self) -> bool {
        self.take(Sources::read(&self.dir))
    }

    /// Judges what was read from the directory.
    fn take(&mut self, sources: Result<Sources, Vec<ConfigError>>) -> bool {
        let current = self.state.loaded.as_ref().map(|loaded| &loaded.sources);
        let read = match sources {
            Ok(sources) if current == Some(&sources) => {
                self.state.errors.clear();
                self.state.origin = Origin::Directory;
                return false;
            }
            Ok(sources) => config::parse(sources, &self.node_name),
            Err(errors) => Err(errors),
        };
        match read {
            Ok(loaded) => {
                if let Err(error) = self.last_good.save(&loaded.sources) {
                    tracing::warn!(%error, "the good configuration could not be copied");
                }
                self.accept(loaded, Origin::Directory);
                true
            }
            Err(errors) => {
                for error in &errors {
                    tracing::error!(%error, "configuration refused");
                }
                self.state.errors = errors;
                false
            }
        }
    }

    fn accept(&mut self, loaded: Loaded, origin: Origin) {
        self.state.generation += 1;
        self.state.origin = origin;
        self.state.loaded = Some(loaded);
        if origin == Origin::Directory {
            self.state.errors.clear();
        }
    }

    fn fall_back(&mut self) {
        let kept = match self.last_good.load() {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "the last good configuration cannot be read");
                None
            }
        };
        match kept.map(|sources| config::parse(sources, &self.node_name)) {
            Some(Ok(loaded)) => {
                tracing::warn!("the last good configuration is in force");
                self.accept(loaded, Origin::LastGood);
            }
            // An older version took what this one does not.
            Some(Err(_)) => tracing::warn!("the last good configuration is not good any more"),
            None => {}
        }
    }
}

/// Keeps the state up to date until it is cancelled.
///
/// `reload` asks for a reading without an event; that one does not wait for writers.
pub async fn run(
    mut reader: Reader,
    mut watch: Directory,
    reload: Arc<Notify>,
    out: channel::Sender<State>,
    cancel: CancellationToken,
) {
    loop {
        let asked = tokio::select! {
            () = cancel.cancelled() => return,
            // Cancel-safe: a request that is not awaited stays stored.
            () = reload.notified() => true,
            // Cancel-safe: what was noticed stays noticed.
            () = watch.changed() => false,
        };
        let Some((read, sources)) = read_blocking(reader).await else { return };
        reader = read;
        // Something changed while the files were read: what was read may be half of it.
        if watch.disturbed() && !asked {
            continue;
        }
        let Some(judged) = judge_blocking(reader, sources).await else { return };
        reader = judged;
        out.send_replace(reader.state().clone());
    }
}

type Read = Result<Sources, Vec<ConfigError>>;

/// `None` if the reader was lost in a panic, or the runtime is shutting down.
async fn read_blocking(reader: Reader) -> Option<(Reader, Read)> {
    let work = move || {
        let sources = Sources::read(&reader.dir);
        (reader, sources)
    };
    tokio::task::spawn_blocking(work).await.ok()
}

async fn judge_blocking(mut reader: Reader, sources: Read) -> Option<Reader> {
    let work = move || {
        reader.take(sources);
        reader
    };
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests;
