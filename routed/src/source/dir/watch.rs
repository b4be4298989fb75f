// SPDX-License-Identifier: MIT OR Apache-2.0
//! Noticing that something changed below a directory.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::future;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use crate::config::is_document;

/// How long nothing must happen before a change counts as finished.
const QUIET: Duration = Duration::from_millis(100);

/// How long changes may go on before they are looked at anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// More directories than this are no configuration.
const MAX_DIRS: usize = 4096;

/// A watch over a directory tree; without inotify one that notices nothing.
///
/// A document that was modified and not closed yet is being written: no change is reported until
/// its writer closes it.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    inotify: Option<Inotify>,
}

#[derive(Debug)]
struct Inotify {
    fd: AsyncFd<OwnedFd>,
    /// The watches over the directories of the tree.
    dirs: HashSet<i32>,
    /// The watch over the directory that holds the root: the root itself may be replaced.
    parent: Option<i32>,
    /// Documents being written.
    open: HashSet<(i32, OsString)>,
    /// Something happened that was not reported yet.
    changed: bool,
}

impl Directory {
    /// Watches a directory. Must be called inside a tokio runtime.
    ///
    /// If the kernel grants no watch, that is logged once; changes are then noticed only when a
    /// reload is asked for.
    pub fn watch(root: &Path) -> Self {
        let inotify = Inotify::open(root);
        if let Err(error) = &inotify {
            tracing::warn!(%error, "directory cannot be watched, changes take effect on SIGHUP");
        }
        Self { root: root.to_owned(), inotify: inotify.ok() }
    }

    /// Whether changes are noticed at all.
    pub fn is_active(&self) -> bool {
        self.inotify.is_some()
    }

    /// Waits until something changed and it is quiet since. Cancel-safe.
    pub async fn changed(&mut self) {
        let Some(inotify) = &mut self.inotify else { return future::pending().await };
        if !inotify.changed {
            inotify.event(&self.root).await;
        }
        let patience = Instant::now() + PATIENCE;
        loop {
            let quiet = Instant::now() + QUIET;
            let until = if inotify.open.is_empty() { quiet.min(patience) } else { quiet };
            tokio::select! {
                () = inotify.event(&self.root) => {}
                () = sleep_until(until) => {
                    if inotify.open.is_empty() {
                        inotify.changed = false;
                        return;
                    }
                    inotify.event(&self.root).await;
                }
            }
        }
    }

    /// Whether something happened since the last change was reported.
    ///
    /// It is then reported as the next change.
    pub fn disturbed(&mut self) -> bool {
        self.inotify.as_mut().is_some_and(|inotify| {
            inotify.drain(&self.root);
            inotify.changed
        })
    }
}

impl Inotify {
    fn open(root: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut this = Self {
            fd: register(fd)?,
            dirs: HashSet::new(),
            parent: None,
            open: HashSet::new(),
            changed: false,
        };
        this.watch_parent(root);
        this.watch_tree(root)?;
        Ok(this)
    }

    /// Waits for events and takes them in. Cancel-safe.
    async fn event(&mut self, root: &Path) {
        loop {
            match self.fd.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is shutting down.
                Err(_) => return future::pending().await,
            }
            if self.drain(root) {
                return;
            }
        }
    }

    /// Takes in all waiting events; true if there was one that matters.
    fn drain(&mut self, root: &Path) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut found = false;
        let mut reader = inotify::Reader::new(self.fd.get_ref(), &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    events.push((event.wd(), event.events(), name.map(OsStr::to_owned)));
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        for (wd, flags, name) in events {
            found |= self.take_in(wd, flags, name, root);
        }
        if found {
            self.changed = true;
            // New directories are watched from now on; a lost root comes back through its parent.
            if let Err(error) = self.watch_tree(root) {
                tracing::debug!(%error, "directory not watched");
            }
        }
        found
    }

    fn take_in(&mut self, wd: i32, flags: ReadFlags, name: Option<OsString>, root: &Path) -> bool {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.open.clear();
            return true;
        }
        if flags.contains(ReadFlags::IGNORED) {
            self.dirs.remove(&wd);
            self.open.retain(|(of, _)| *of != wd);
            return true;
        }
        if self.parent == Some(wd) && !self.dirs.contains(&wd) {
            return name.as_deref() == root.file_name();
        }
        // Others, such as the swap file of an editor, may stay open for as long as they like.
        if let Some(name) = name.filter(|name| name.to_str().is_some_and(is_document)) {
            if flags.contains(ReadFlags::MODIFY) {
                self.open.insert((wd, name));
            } else {
                self.open.remove(&(wd, name));
            }
        }
        true
    }

    fn watch_parent(&mut self, root: &Path) {
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let parent = root.parent().filter(|_| root.file_name().is_some());
        self.parent = parent.and_then(|parent| {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            inotify::add_watch(self.fd.get_ref(), parent, flags).ok()
        });
    }

    /// Watches a directory and all below it; again is the same as once.
    fn watch_tree(&mut self, root: &Path) -> io::Result<()> {
        let mut seen = HashSet::new();
        self.watch_below(root, &mut seen)?;
        self.dirs.extend(seen);
        Ok(())
    }

    fn watch_below(&self, dir: &Path, seen: &mut HashSet<i32>) -> io::Result<()> {
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let wd = inotify::add_watch(self.fd.get_ref(), dir, flags)?;
        // The same directory has the same descriptor: a link may lead back to it.
        if !seen.insert(wd) || seen.len() > MAX_DIRS {
            return Ok(());
        }
        for entry in std::fs::read_dir(dir)?.flatten() {
            let hidden = entry.file_name().as_bytes().starts_with(b".");
            if !hidden && entry.path().is_dir() {
                // One directory less is no reason to watch none; it may be gone again already.
                let _unwatched = self.watch_below(&entry.path(), seen);
            }
        }
        Ok(())
    }
}

#[expect(deprecated, reason = "an OwnedFd is what the unsafe replacement asks to be promised")]
fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}
