//! Some receipt computers write a data file and then, to say that it is complete, a trigger file of the
//! same stem: the data file counts only once its trigger is there.

use std::{collections::BTreeSet, path::Path, str::FromStr};

use crate::capture::{beneath, source::SharePath};

/// `*.csv=*.idx`: what `*` stands for is the stem. Upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    data: Affixes,
    trigger: Affixes,
}

#[derive(Debug, thiserror::Error)]
#[error("must read like *.csv=*.idx: two different patterns, each with one *")]
pub struct NotATrigger;

/// What stands before and behind the stem.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Affixes {
    before: String,
    behind: String,
}

impl Trigger {
    /// True unless it is a data file whose trigger is not there.
    pub fn is_released(&self, share: &Path, path: &[u8]) -> bool {
        let (folder, name) = part(path);
        let Some(stem) = self.data.stem(name) else {
            return true;
        };
        let is_there = |name: Vec<u8>| {
            beneath::metadata(share, &[folder, &name].concat()).is_ok_and(|found| found.is_some())
        };
        self.trigger.around(stem).into_iter().any(is_there)
    }

    /// The data files that this file releases, if it is a trigger. Not all of them need be there.
    pub fn released_by(&self, path: &[u8]) -> Vec<SharePath> {
        let (folder, name) = part(path);
        let Some(stem) = self.trigger.stem(name) else {
            return Vec::new();
        };
        self.data.around(stem).into_iter().map(|name| [folder, &name].concat()).collect()
    }
}

impl FromStr for Trigger {
    type Err = NotATrigger;

    fn from_str(text: &str) -> Result<Self, NotATrigger> {
        let (data, trigger) = text.split_once('=').ok_or(NotATrigger)?;
        let (data, trigger) = (Affixes::read(data)?, Affixes::read(trigger)?);
        if data.small() == trigger.small() { Err(NotATrigger) } else { Ok(Self { data, trigger }) }
    }
}

impl Affixes {
    fn read(pattern: &str) -> Result<Self, NotATrigger> {
        let (before, behind) = pattern.trim().split_once('*').ok_or(NotATrigger)?;
        if behind.contains(['*', '/', ',']) || before.contains(['/', ',']) {
            return Err(NotATrigger);
        }
        Ok(Self { before: before.to_owned(), behind: behind.to_owned() })
    }

    fn small(&self) -> Self {
        Self { before: self.before.to_ascii_lowercase(), behind: self.behind.to_ascii_lowercase() }
    }

    fn capital(&self) -> Self {
        Self { before: self.before.to_ascii_uppercase(), behind: self.behind.to_ascii_uppercase() }
    }

    fn stem<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        let (small, lower) = (self.small(), name.to_ascii_lowercase());
        let inner = lower.strip_prefix(small.before.as_bytes())?.strip_suffix(small.behind.as_bytes())?;
        name.get(self.before.len()..self.before.len() + inner.len())
    }

    /// The names with this stem, as the rule has it, in small letters and in capitals: a folder of Linux
    /// tells them apart, a receipt computer does not.
    fn around(&self, stem: &[u8]) -> BTreeSet<Vec<u8>> {
        let spellings = [self.clone(), self.small(), self.capital()];
        let name = |it: Self| [it.before.as_bytes(), stem, it.behind.as_bytes()].concat();
        spellings.into_iter().map(name).collect()
    }
}

/// The folder with its slash, and the name.
fn part(path: &[u8]) -> (&[u8], &[u8]) {
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    path.split_at(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_file_waits_for_the_trigger_of_its_stem_in_its_folder() {
        let share = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::File::create(share.path().join(name)).map(drop).unwrap();
        let trigger: Trigger = "*.csv=E*.idx".parse().unwrap();
        let is_released = |path: &str| trigger.is_released(share.path(), path.as_bytes());
        std::fs::create_dir_all(share.path().join("a/Erx.idx")).unwrap();

        touch("Eother.idx");
        assert!(!is_released("rx.csv") && is_released("rx.txt"));
        assert!(is_released("Erx.idx"), "a trigger waits for nothing");
        touch("Erx.idx");
        touch("EA.IDX");

        assert!(is_released("rx.csv") && is_released("A.CSV"));
        assert!(!is_released("a/rx.csv"), "a folder is no trigger");
    }

    #[test]
    fn a_trigger_names_what_it_releases() {
        let trigger: Trigger = "*.csv=*.idx".parse().unwrap();

        assert_eq!(
            trigger.released_by("日/処方.idx".as_bytes()),
            ["日/処方.CSV".as_bytes().to_vec(), "日/処方.csv".as_bytes().to_vec()]
        );
        assert!(trigger.released_by(b"a.csv").is_empty());
    }

    #[test]
    fn a_rule_that_could_release_nothing_is_refused() {
        for text in ["", "*.csv", "a.csv=*.idx", "*.csv=*.CSV", "*.*=*.idx", "a/*=*.idx"] {
            assert!(text.parse::<Trigger>().is_err(), "{text}");
        }
    }
}
