// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workload records on disk: one file per workload in `RUN_DIR/workloads`.
//!
//! A record is the input that everything else of a workload is derived from, and it is the
//! allocation of its addresses; so it is written before any effect and removed after the last.
//! A file is replaced by rename, never rewritten: whoever dies in between leaves the old record or
//! the new one. There is no fsync, because a reboot kills the containers with the records.
//!
//! The name of a file is made of its id with everything but `[A-Za-z0-9_.-]` encoded, so an id
//! cannot point outside the directory, and two ids never share a file. What cannot be read as a
//! record is renamed to `*.bad` and reported; whatever is no regular file is left alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::model::{Workload, WorkloadId};

/// Version of the record format written.
const VERSION: u32 = 1;

/// A record larger than this is no record of ours.
const MAX_RECORD: u64 = 1 << 20;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon uses the run directory.
    #[error("{} is in use by another daemon{}", path.display(), pid.map(|p| format!(" (pid {p})")).unwrap_or_default())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The other daemon's process id, if it could be read.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A record cannot be written as text.
    #[error("cannot write the record of {id}")]
    Encode {
        /// Whose record.
        id: WorkloadId,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Keeps other daemons out of a run directory as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Creates the run directory if it is missing, and takes its lock file.
    ///
    /// A lock left behind by a killed daemon is free: the kernel drops it with the process.
    ///
    /// # Errors
    /// [`StoreError::Locked`] names the daemon that holds it.
    pub fn acquire(run_dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(run_dir).map_err(io_error("create", run_dir))?;
        let path = run_dir.join("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
        let fd = rustix::fs::open(&path, flags | OFlags::NONBLOCK, mode);
        let mut file = File::from(fd.map_err(errno("open", &path))?);
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _unread = (&file).take(32).read_to_string(&mut text);
                return Err(StoreError::Locked { path, pid: text.trim().parse().ok() });
            }
            Err(error) => return Err(errno("lock", &path)(error)),
        }
        let pid = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(io_error("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// What was found at start-up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Good records, by id; no two share an address or a host interface.
    pub workloads: Vec<Workload>,
    /// Files set aside, by name.
    pub quarantined: Vec<Quarantined>,
}

/// A file that could not be read as a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its name now.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
    /// Addresses that could still be read; not to be handed out while the file exists.
    pub addresses: Vec<IpAddr>,
}

/// The directory of records.
#[derive(Debug)]
pub struct Store {
    dir: OwnedFd,
    path: PathBuf,
}

#[derive(Serialize)]
struct RecordOut<'a> {
    version: u32,
    workload: &'a Workload,
}

#[derive(Deserialize)]
struct RecordIn {
    version: u32,
    workload: serde_json::Value,
}

impl Store {
    /// Opens the directory of records, creating it if it is missing.
    ///
    /// # Errors
    /// The directory cannot be made or is none.
    pub fn open(run_dir: &Path) -> Result<Self, StoreError> {
        let path = run_dir.join("workloads");
        match rustix::fs::mkdir(&path, Mode::RWXU | Mode::RGRP | Mode::XGRP) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(errno("create", &path)(error)),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty()).map_err(errno("open", &path))?;
        Ok(Self { dir, path })
    }

    /// Writes a record, replacing an earlier one of the same id.
    ///
    /// # Errors
    /// The file system refused; the earlier record is still there.
    pub fn put(&self, workload: &Workload) -> Result<(), StoreError> {
        let record = RecordOut { version: VERSION, workload };
        let text = serde_json::to_vec(&record)
            .map_err(|source| StoreError::Encode { id: workload.id.clone(), source })?;
        let stem = stem(&workload.id);
        let (temporary, name) = (format!("{stem}.tmp"), format!("{stem}.json"));
        let written = self.write_new(&temporary, &text).and_then(|()| {
            rustix::fs::renameat(&self.dir, &temporary, &self.dir, &name)
                .map_err(errno("rename", &self.path.join(&temporary)))
        });
        if written.is_err() {
            // Nothing more can be done about a file that cannot be removed: the next load does it.
            let _left = rustix::fs::unlinkat(&self.dir, &temporary, AtFlags::empty());
        }
        written
    }

    /// Removes a record; one that does not exist is removed already.
    ///
    /// # Errors
    /// The file system refused; the record is still there.
    pub fn remove(&self, id: &WorkloadId) -> Result<(), StoreError> {
        let name = format!("{}.json", stem(id));
        match rustix::fs::unlinkat(&self.dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(errno("remove", &self.path.join(name))(error)),
        }
    }

    /// Reads every record, sets aside what is none, and removes what an interrupted write left.
    ///
    /// Of records that share an address or a host interface the oldest is kept.
    ///
    /// # Errors
    /// The directory cannot be read; a single bad file is no error.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let mut good = Vec::new();
        let mut loaded = Loaded::default();
        for name in self.names()? {
            if name.ends_with(".tmp") {
                if self.open_regular(&name).is_some() {
                    let _left = rustix::fs::unlinkat(&self.dir, &name, AtFlags::empty());
                }
            } else if name.ends_with(".bad") {
                if let Some(file) = self.open_regular(&name) {
                    let addresses = salvage(&read_limited(file).unwrap_or_default());
                    let reason = "set aside earlier".to_owned();
                    loaded.quarantined.push(Quarantined { file: name, reason, addresses });
                }
            } else if name.ends_with(".json")
                && let Some(file) = self.open_regular(&name)
            {
                let read = read_limited(file);
                match read.as_deref().map_err(Clone::clone).and_then(|text| parse(&name, text)) {
                    Ok(workload) => good.push((name, workload)),
                    Err(reason) => {
                        let addresses = salvage(&read.unwrap_or_default());
                        loaded.quarantined.push(self.set_aside(name, reason, addresses));
                    }
                }
            }
        }
        good.sort_by(|(_, a), (_, b)| (a.created, &a.id).cmp(&(b.created, &b.id)));
        self.drop_doubles(good, &mut loaded);
        loaded.workloads.sort_by(|a, b| a.id.cmp(&b.id));
        loaded.quarantined.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(loaded)
    }

    fn drop_doubles(&self, good: Vec<(String, Workload)>, loaded: &mut Loaded) {
        let mut addresses = BTreeMap::new();
        let mut interfaces = BTreeMap::new();
        for (name, workload) in good {
            let double = workload.addresses().find_map(|address| {
                let holder: &WorkloadId = addresses.get(&address)?;
                Some(format!("address {address} is held by {holder}"))
            });
            let double = double.or_else(|| {
                let holder: &WorkloadId = interfaces.get(&workload.host_interface)?;
                Some(format!("interface {} is held by {holder}", workload.host_interface))
            });
            if let Some(reason) = double {
                let held = workload.addresses().collect();
                loaded.quarantined.push(self.set_aside(name, reason, held));
                continue;
            }
            addresses.extend(workload.addresses().map(|address| (address, workload.id.clone())));
            interfaces.insert(workload.host_interface.clone(), workload.id.clone());
            loaded.workloads.push(workload);
        }
    }

    fn set_aside(&self, name: String, reason: String, addresses: Vec<IpAddr>) -> Quarantined {
        let bad = format!("{}.bad", name.trim_end_matches(".json"));
        match rustix::fs::renameat(&self.dir, &name, &self.dir, &bad) {
            Ok(()) => Quarantined { file: bad, reason, addresses },
            Err(error) => {
                let reason = format!("{reason} (and cannot be renamed: {error})");
                Quarantined { file: name, reason, addresses }
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error| errno("read", &self.path)(error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a file if it is a regular one; never follows a link, never waits for a pipe.
    fn open_regular(&self, name: &str) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.dir, name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| File::from(fd))
    }

    fn write_new(&self, name: &str, text: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(errno("remove", &path)(error)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::openat(&self.dir, name, flags | OFlags::NOFOLLOW, mode)
            .map_err(errno("create", &path))?;
        File::from(fd).write_all(text).map_err(io_error("write", &path))
    }
}

fn parse(name: &str, text: &[u8]) -> Result<Workload, String> {
    let record: RecordIn = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if record.version != VERSION {
        return Err(format!("version {} is not {VERSION}", record.version));
    }
    let workload: Workload = serde_json::from_value(record.workload).map_err(|e| e.to_string())?;
    if name != format!("{}.json", stem(&workload.id)) {
        return Err(format!("the record is of {}", workload.id));
    }
    if workload.addresses().next().is_none() {
        return Err("the record holds no address".to_owned());
    }
    Ok(workload)
}

/// Addresses in what was meant to be a record, however broken the rest is.
fn salvage(text: &[u8]) -> Vec<IpAddr> {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(text) else {
        return Vec::new();
    };
    let address = |key| value.get("workload")?.get(key)?.as_str()?.parse().ok();
    ["v4", "v6"].into_iter().filter_map(address).collect()
}

fn read_limited(file: File) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    file.take(MAX_RECORD + 1).read_to_end(&mut text).map_err(|e| e.to_string())?;
    if u64::try_from(text.len()).is_ok_and(|len| len <= MAX_RECORD) {
        Ok(text)
    } else {
        Err(format!("larger than {MAX_RECORD} bytes"))
    }
}

/// The name of a workload's file without its ending: injective, and never longer than 245 bytes.
fn stem(id: &WorkloadId) -> String {
    let mut stem = format!("{}@", id.container_id());
    for byte in id.ifname().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-') {
            stem.push(char::from(byte));
        } else {
            stem.push_str(&format!("%{byte:02X}"));
        }
    }
    stem
}

fn errno(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> StoreError {
    let failed = io_error(action, path);
    move |error| failed(error.into())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
