// SPDX-License-Identifier: MIT OR Apache-2.0
//! The values switches had before our first write: one small JSON file, written durably.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::kernel::error::Error;

/// Name of the file in the state directory.
const FILE: &str = "sysctl.json";

/// The file of previous values.
#[derive(Debug)]
pub(crate) struct Saved {
    path: PathBuf,
}

impl Saved {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE) }
    }

    /// Keeps the value of a switch, unless an earlier one is kept already.
    ///
    /// # Errors
    /// If the file cannot be read or written; then the switch must not be touched.
    pub(crate) fn remember(&self, name: &str, value: i64) -> Result<(), Error> {
        let mut values = self.load().map_err(|source| self.error(source))?;
        if values.contains_key(name) {
            return Ok(());
        }
        values.insert(name.to_owned(), value);
        self.store(&values).map_err(|source| self.error(source))
    }

    fn load(&self) -> io::Result<BTreeMap<String, i64>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    /// Durable before it counts: whole file, then its name, then the directory.
    fn store(&self, values: &BTreeMap<String, i64>) -> io::Result<()> {
        let fresh = self.path.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(values)?)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        match self.path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }

    fn error(&self, source: io::Error) -> Error {
        Error::File { path: self.path.display().to_string(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_kept_for_good() {
        let dir = tempfile::tempdir().unwrap();
        Saved::new(dir.path()).remember("ipv4/ip_forward", 0).unwrap();
        Saved::new(dir.path()).remember("ipv4/ip_forward", 1).unwrap();
        Saved::new(dir.path()).remember("ipv6/x", 7).unwrap();
        let kept = Saved::new(dir.path()).load().unwrap();
        let want = [("ipv4/ip_forward".to_owned(), 0), ("ipv6/x".to_owned(), 7)];
        assert_eq!(kept, BTreeMap::from(want));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let saved = Saved::new(dir.path());
        fs::write(&saved.path, "{").unwrap();
        let error = saved.remember("ipv4/ip_forward", 0).unwrap_err();
        assert!(error.to_string().ends_with("sysctl.json"), "{error}");
    }

    #[test]
    fn without_a_state_directory_nothing_is_kept() {
        let saved = Saved::new(Path::new("/nonexistent/routed"));
        assert!(saved.remember("ipv4/ip_forward", 0).is_err());
    }
}
