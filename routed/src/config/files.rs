// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a configuration: read as a whole, kept as a whole.
//!
//! A good configuration is copied to the state directory, so that a bad file does not stop the
//! next start. The copy is one file, flushed to the disk before it takes its name.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, Place};

/// Larger files are no configuration.
const MAX_FILE: u64 = 64 << 20;

/// The texts of all files of a configuration, by path relative to its directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sources(BTreeMap<String, String>);

impl Sources {
    /// Reads every `*.yaml`, `*.yml` and `*.json` below a directory.
    ///
    /// Left out are names that start with a dot and the directory `secrets`.
    ///
    /// # Errors
    /// Every file that cannot be read.
    pub fn read(dir: &Path) -> Result<Self, Vec<ConfigError>> {
        let (sources, seen) = (Self::default(), HashSet::new());
        let mut walk = Walk { root: dir, sources, seen, errors: Vec::new() };
        walk.directory(dir, 0);
        walk.errors.sort_by(|a, b| a.place.cmp(&b.place));
        if walk.errors.is_empty() { Ok(walk.sources) } else { Err(walk.errors) }
    }

    /// The files and their texts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for Sources {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(files: I) -> Self {
        Self(files.into_iter().map(|(name, text)| (name.into(), text.into())).collect())
    }
}

struct Walk<'a> {
    root: &'a Path,
    sources: Sources,
    /// Directories that were read, by device and inode: a link may lead back to one.
    seen: HashSet<(u64, u64)>,
    errors: Vec<ConfigError>,
}

impl Walk<'_> {
    fn directory(&mut self, dir: &Path, depth: usize) {
        if fs::metadata(dir).is_ok_and(|data| !self.seen.insert((data.dev(), data.ino()))) {
            return;
        }
        let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.fail(dir, &format!("cannot read the directory: {error}")),
        };
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !is_hidden(name)) else { continue };
            // Links are followed: a mounted ConfigMap consists of them.
            match fs::metadata(&path) {
                Ok(data) if data.is_dir() && !(depth == 0 && name == "secrets") => {
                    self.directory(&path, depth + 1);
                }
                Ok(data) if data.is_file() && is_document(name) => self.file(&path),
                Ok(_) => {}
                Err(error) if is_document(name) => {
                    self.fail(&path, &format!("cannot read the file: {error}"));
                }
                Err(_) => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        match read_text(path) {
            Ok(text) => {
                self.sources.0.insert(self.name(path), text);
            }
            Err(error) => self.fail(path, &format!("cannot read the file: {error}")),
        }
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }

    fn fail(&mut self, path: &Path, problem: &str) {
        let name = self.name(path);
        let name = if name.is_empty() { path.display().to_string() } else { name };
        self.errors.push(ConfigError::new(Place::file(&name), problem));
    }
}

/// Whether a file of this name is part of a configuration.
pub fn is_document(name: &str) -> bool {
    let extension = Path::new(name).extension();
    !is_hidden(name)
        && extension
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e))
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= MAX_FILE => Ok(text),
        Ok(_) | Err(_) => Err(io::Error::other("larger than 64 MiB")),
    }
}

/// The copy of the last good configuration in the state directory.
#[derive(Clone, Debug)]
pub struct LastGood {
    dir: PathBuf,
}

impl LastGood {
    const NAME: &str = "last-good.json";

    /// The copy kept in a state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.to_owned() }
    }

    /// Replaces the copy, unless it is the same already.
    ///
    /// # Errors
    /// The disk refused; the earlier copy is still there.
    pub fn save(&self, sources: &Sources) -> io::Result<()> {
        if self.load().is_ok_and(|kept| kept.as_ref() == Some(sources)) {
            return Ok(());
        }
        fs::create_dir_all(&self.dir)?;
        let temporary = self.dir.join("last-good.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(sources)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.dir.join(Self::NAME))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Reads the copy; `None` if there is none.
    ///
    /// # Errors
    /// There is one, but it cannot be read.
    pub fn load(&self) -> io::Result<Option<Sources>> {
        match fs::read(self.dir.join(Self::NAME)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
