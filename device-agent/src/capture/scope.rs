//! What of the share is captured: by its name, by the length of its path, by its size.

use std::path::Path;

use device_model::upload::MAX_PATH_BYTES;

use crate::capture::{patterns::Patterns, source::SharePath, trigger::Trigger};

/// Office's lock files, half-written copies, Windows' thumbnails, and whatever is hidden.
const DEFAULT_EXCLUDE: &str = "~$*,*.tmp,Thumbs.db,.*";
/// What the agent itself names files on the share; see `retention`.
pub const OWN_PREFIX: &[u8] = b".recehub-";
pub const DEFAULT_MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// If there are any, a file is captured only if its name is like one of them. Folders are entered
    /// all the same.
    pub include: Option<Patterns>,
    /// Files and folders that are left out, whatever is included.
    pub exclude: Patterns,
    pub trigger: Option<Trigger>,
    pub max_file_bytes: u64,
}

impl Scope {
    pub fn default_exclude() -> Patterns {
        Patterns::read(DEFAULT_EXCLUDE)
    }

    pub fn has_file(&self, name: &[u8]) -> bool {
        self.has_folder(name) && self.include.as_ref().is_none_or(|include| include.matches(name))
    }

    pub fn has_folder(&self, name: &[u8]) -> bool {
        !name.starts_with(OWN_PREFIX) && !self.exclude.matches(name)
    }

    /// Longer ones do not fit into what the cloud keeps beside a file.
    pub fn has_path(path: &[u8]) -> bool {
        path.len() <= MAX_PATH_BYTES
    }

    /// False for a data file that waits for its trigger.
    pub fn is_released(&self, share: &Path, path: &[u8]) -> bool {
        self.trigger.as_ref().is_none_or(|trigger| trigger.is_released(share, path))
    }

    /// The files that may have waited for this one.
    pub fn released_by(&self, path: &[u8]) -> Vec<SharePath> {
        self.trigger.as_ref().map(|trigger| trigger.released_by(path)).unwrap_or_default()
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            include: None,
            exclude: Self::default_exclude(),
            trigger: None,
            max_file_bytes: DEFAULT_MAX_FILE_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nobodys_prescription_is_left_out_by_its_name() {
        let default = Scope::default();
        for name in ["~$open.xlsx", "x.TMP", "THUMBS.DB", ".hidden"] {
            assert!(!default.has_file(name.as_bytes()), "{name}");
        }
        for name in ["rx.csv", "tmp", "x.tmp.csv", "Thumbs.db.csv"] {
            assert!(default.has_file(name.as_bytes()), "{name}");
        }
        let all = Scope { exclude: Patterns::default(), ..Scope::default() };
        assert!(all.has_file(b".hidden") && !all.has_file(b".recehub-0"));
    }

    #[test]
    fn what_is_included_can_be_excluded_and_folders_need_not_be_included() {
        let include = Some(Patterns::read("*.csv,*.idx"));
        let scope = Scope { include, exclude: Patterns::read("old*"), ..Scope::default() };

        assert!(scope.has_file(b"rx.CSV") && scope.has_folder(b"2026"));
        assert!(!scope.has_file(b"rx.txt") && !scope.has_file(b"old.csv") && !scope.has_folder(b"old"));
    }
}
