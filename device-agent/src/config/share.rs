//! What the box is told of its share: where it is, how it is looked at, what of it counts.

use std::{path::PathBuf, time::Duration};

use chrono::TimeDelta;

use crate::{
    capture::{
        patterns::Patterns,
        scope::{DEFAULT_MAX_FILE_BYTES, Scope},
    },
    config::{Reader, hosting::Hosting},
};

const DEFAULT_RESCAN_SECONDS: u64 = 60;
const DEFAULT_POLL_SECONDS: u64 = 5;
const DEFAULT_SETTLE_SECONDS: u64 = 5;
const DAY_SECONDS: u64 = 24 * 60 * 60;
const MAX_RETENTION_DAYS: u64 = 36_500;

#[derive(Debug, Clone)]
pub struct Share {
    pub dir: PathBuf,
    pub source: SourceKind,
    pub scope: Scope,
    /// Everything is looked at that often, whatever was noticed.
    pub rescan_every: Duration,
    /// How long a file stays on the share after its receipt; for ever if not told.
    pub retention: Option<TimeDelta>,
    /// If the box hosts it; else it stands on another machine.
    pub hosting: Option<Hosting>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A folder of this machine, of which the kernel tells.
    Watch,
    /// Any other, looked at each `every`; a file counts once it rests for `settle`.
    Poll { every: Duration, settle: Duration },
}

impl Reader<'_> {
    pub(super) fn share(&mut self) -> Option<Share> {
        let dir = self.want("RECEHUB_SHARE_DIR");
        let source = self.source();
        let scope = self.scope();
        let rescan = self.number("RECEHUB_RESCAN_SECONDS", DEFAULT_RESCAN_SECONDS, DAY_SECONDS);
        let retention = match self.may("RECEHUB_SHARE_RETENTION_DAYS") {
            None => Some(None),
            Some(_) => self.number("RECEHUB_SHARE_RETENTION_DAYS", 0, MAX_RETENTION_DAYS).map(Some),
        };
        let hosting = self.hosting();
        let days = |days: u64| TimeDelta::days(days.try_into().unwrap_or(i64::MAX));
        Some(Share {
            dir: dir?,
            source: source?,
            scope: scope?,
            rescan_every: Duration::from_secs(rescan?),
            retention: retention?.map(days),
            hosting: hosting?,
        })
    }

    fn source(&mut self) -> Option<SourceKind> {
        let every = self.number("RECEHUB_POLL_SECONDS", DEFAULT_POLL_SECONDS, DAY_SECONDS);
        let settle = self.number("RECEHUB_SETTLE_SECONDS", DEFAULT_SETTLE_SECONDS, DAY_SECONDS);
        let (every, settle) = (Duration::from_secs(every?), Duration::from_secs(settle?));
        match self.may("RECEHUB_SOURCE").as_deref() {
            None | Some("watch") => Some(SourceKind::Watch),
            Some("poll") => Some(SourceKind::Poll { every, settle }),
            Some(_) => {
                self.faults.push("RECEHUB_SOURCE must be `watch` or `poll`".to_owned());
                None
            }
        }
    }

    fn scope(&mut self) -> Option<Scope> {
        // Set and empty is an answer too: nothing is left out.
        let exclude = (self.var)("RECEHUB_EXCLUDE").map(|text| Patterns::read(&text));
        let include = self.may("RECEHUB_INCLUDE").map(|text| Patterns::read(&text));
        let trigger = match self.may("RECEHUB_TRIGGER") {
            None => Some(None),
            Some(_) => self.want("RECEHUB_TRIGGER").map(Some),
        };
        let max_file_bytes = self.number("RECEHUB_MAX_FILE_BYTES", DEFAULT_MAX_FILE_BYTES, u64::MAX);
        Some(Scope {
            include,
            exclude: exclude.unwrap_or_else(Scope::default_exclude),
            trigger: trigger?,
            max_file_bytes: max_file_bytes?,
        })
    }

    /// A number from 1 on.
    fn number(&mut self, name: &str, default: u64, most: u64) -> Option<u64> {
        let number = self.or_default(name, default)?;
        if (1..=most).contains(&number) {
            return Some(number);
        }
        self.faults.push(format!("{name} must be from 1 to {most}"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Share, Vec<String>> {
        let var = |asked: &str| {
            let all = [("RECEHUB_SHARE_DIR", "/srv/rx")];
            set.iter().chain(&all).find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
        };
        let mut reader = Reader::new(&var);
        reader.share().filter(|_| reader.faults.is_empty()).ok_or(reader.faults)
    }

    #[test]
    fn a_share_is_watched_wholly_and_kept_unless_told_otherwise() {
        let share = read(&[]).unwrap();

        assert_eq!((share.source, share.scope), (SourceKind::Watch, Scope::default()));
        assert_eq!((share.rescan_every, share.retention), (Duration::from_mins(1), None));
        assert!(!read(&[]).unwrap().scope.has_file(b".hidden"));
        assert!(read(&[("RECEHUB_EXCLUDE", "")]).unwrap().scope.has_file(b".hidden"));
    }

    #[test]
    fn all_that_can_be_told_of_a_share_is_taken() {
        let share = read(&[
            ("RECEHUB_SOURCE", "poll"),
            ("RECEHUB_POLL_SECONDS", "2"),
            ("RECEHUB_SETTLE_SECONDS", "3"),
            ("RECEHUB_INCLUDE", "*.csv,*.idx"),
            ("RECEHUB_TRIGGER", "*.csv=*.idx"),
            ("RECEHUB_MAX_FILE_BYTES", "1000"),
            ("RECEHUB_SHARE_RETENTION_DAYS", "30"),
        ])
        .unwrap();

        let (every, settle) = (Duration::from_secs(2), Duration::from_secs(3));
        assert_eq!(share.source, SourceKind::Poll { every, settle });
        assert!(share.scope.has_file(b"a.csv") && !share.scope.has_file(b"a.txt"));
        assert!(share.scope.trigger.is_some());
        assert_eq!((share.scope.max_file_bytes, share.retention), (1000, Some(TimeDelta::days(30))));
    }

    #[test]
    fn each_thing_told_wrongly_is_named() {
        let wrong = [
            ("RECEHUB_SOURCE", "look"),
            ("RECEHUB_POLL_SECONDS", "0"),
            ("RECEHUB_SETTLE_SECONDS", "soon"),
            ("RECEHUB_TRIGGER", "*.csv"),
            ("RECEHUB_MAX_FILE_BYTES", "0"),
            ("RECEHUB_RESCAN_SECONDS", "-1"),
            ("RECEHUB_SHARE_RETENTION_DAYS", "0"),
        ];
        for (name, value) in wrong {
            let faults = read(&[(name, value)]).unwrap_err();
            assert!(matches!(faults.as_slice(), [fault] if fault.starts_with(name)), "{name}: {faults:?}");
        }
    }
}
