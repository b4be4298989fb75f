// SPDX-License-Identifier: MIT OR Apache-2.0
//! The paths of one prefix: nearly always one, so that one lies in place.

use smallvec::SmallVec;

use super::adj_in::Path;

/// What lies outside of the destination.
type Rest = Box<SmallVec<[Path; 2]>>;

/// The paths of one prefix, in any number.
#[derive(Debug, Default)]
pub(crate) enum Paths {
    #[default]
    None,
    One(Path),
    Many(Rest),
}

impl Paths {
    pub(crate) fn as_slice(&self) -> &[Path] {
        match self {
            Self::None => &[],
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Path] {
        match self {
            Self::None => &mut [],
            Self::One(path) => std::slice::from_mut(path),
            Self::Many(paths) => paths,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn push(&mut self, path: Path) {
        match std::mem::take(self) {
            Self::None => *self = Self::One(path),
            Self::One(first) => *self = Self::Many(Box::new(SmallVec::from([first, path]))),
            Self::Many(mut paths) => {
                paths.push(path);
                *self = Self::Many(paths);
            }
        }
    }

    /// Takes a path out; the last one takes its place.
    pub(crate) fn swap_remove(&mut self, index: usize) -> Option<Path> {
        match std::mem::take(self) {
            Self::One(path) if index == 0 => Some(path),
            Self::Many(mut paths) if index < paths.len() => {
                let path = paths.swap_remove(index);
                *self = match paths.len() {
                    1 => paths.pop().map_or(Self::None, Self::One),
                    _ => Self::Many(paths),
                };
                Some(path)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rib::{AttrSet, SourceId};

    #[test]
    fn a_path_costs_sixteen_octets_in_place() {
        assert_eq!(size_of::<Path>(), 16);
        assert_eq!(size_of::<Paths>(), 16);
    }

    #[test]
    fn paths_come_and_go() {
        let path = |source| Path::new(SourceId(source), Arc::new(AttrSet::default()), Ok(()));
        let sources =
            |paths: &Paths| paths.as_slice().iter().map(|path| path.source.0).collect::<Vec<_>>();
        let mut paths = Paths::default();
        assert!(paths.is_empty() && paths.swap_remove(0).is_none());
        (0..4).for_each(|source| paths.push(path(source)));
        assert_eq!(sources(&paths), [0, 1, 2, 3]);
        assert_eq!(paths.swap_remove(1).map(|path| path.source), Some(SourceId(1)));
        assert_eq!(sources(&paths), [0, 3, 2]);
        assert!(paths.swap_remove(3).is_none());
        paths.swap_remove(0);
        assert_eq!(paths.swap_remove(0).map(|path| path.source), Some(SourceId(2)));
        assert!(matches!(&paths, Paths::One(path) if path.source == SourceId(3)));
        assert!(paths.swap_remove(1).is_none());
        assert!(paths.swap_remove(0).is_some() && paths.is_empty());
    }
}
