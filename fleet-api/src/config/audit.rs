//! How the audit log is signed and kept.

use chrono::TimeDelta;

use super::{ConfigFaults, Reader, key};

/// What the law asks for, in days; the log and the ledger are kept for five years by default.
const SHORTEST: i64 = 3 * 366;
const DEFAULT: i64 = 5 * 366;

#[derive(Clone)]
pub struct AuditConfig {
    /// The ed25519 key that signs checkpoints.
    pub key: [u8; 32],
    /// Public keys that signed before.
    pub former: Vec<[u8; 32]>,
    pub checkpoint_every: TimeDelta,
    pub retention: TimeDelta,
}

/// What the commands beside the API need: database, bucket and keys, and nothing of Slack or the boxes.
#[derive(Clone)]
pub struct Aside {
    pub database_url: String,
    pub bucket: String,
    pub audit: AuditConfig,
}

impl Aside {
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut env = Reader { var: &var, faults: Vec::new() };
        let (database_url, bucket) = (env.want("DATABASE_URL"), env.want("PRESCRIPTION_BUCKET"));
        match (database_url, bucket, env.audit()) {
            (Some(database_url), Some(bucket), Some(audit)) if env.faults.is_empty() => {
                Ok(Self { database_url, bucket, audit })
            }
            _ => Err(ConfigFaults(env.faults)),
        }
    }
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    pub(super) fn audit(&mut self) -> Option<AuditConfig> {
        let key = self.key("RECEHUB_AUDIT_KEY");
        let former = self.former();
        let seconds = self.optional("RECEHUB_CHECKPOINT_SECONDS", "a number of seconds").unwrap_or(300_u32);
        let days = self.optional("RECEHUB_RETENTION_DAYS", "a number of days").unwrap_or(DEFAULT);
        if !(SHORTEST..=100 * 366).contains(&days) {
            self.faults.push(format!("RECEHUB_RETENTION_DAYS is not {SHORTEST} to {} days", 100 * 366));
        }
        Some(AuditConfig {
            key: key?,
            former: former?,
            checkpoint_every: TimeDelta::seconds(seconds.max(1).into()),
            retention: TimeDelta::try_days(days)?,
        })
    }

    fn former(&mut self) -> Option<Vec<[u8; 32]>> {
        let text = self.given("RECEHUB_AUDIT_FORMER_KEYS").unwrap_or_default();
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let keys: Option<Vec<[u8; 32]>> = words.map(key).collect();
        if keys.is_none() {
            self.faults
                .push("RECEHUB_AUDIT_FORMER_KEYS are not public keys of 32 bytes in base64".to_owned());
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    fn read(name: &str, value: &str) -> Result<Aside, ConfigFaults> {
        let key = STANDARD.encode([7; 32]);
        let all = [("DATABASE_URL", "x"), ("PRESCRIPTION_BUCKET", "x"), ("RECEHUB_AUDIT_KEY", &key)];
        let var = |asked: &str| {
            let given = all.iter().find(|(name, _)| *name == asked).map(|(_, value)| *value);
            Some(if asked == name { value } else { given? }.to_owned())
        };
        Aside::read(var)
    }

    #[test]
    fn the_log_is_kept_for_five_years_and_never_for_less_than_three() {
        assert_eq!(read("-", "").unwrap().audit.retention.num_days(), DEFAULT);
        assert_eq!(read("RECEHUB_RETENTION_DAYS", "1098").unwrap().audit.retention.num_days(), 1098);
        assert_eq!(read("RECEHUB_RETENTION_DAYS", "1000").err().unwrap().0.len(), 1);
    }

    #[test]
    fn a_former_key_that_is_none_is_told() {
        assert_eq!(read("RECEHUB_AUDIT_FORMER_KEYS", "abc").err().unwrap().0.len(), 1);
        let two = format!("{0},{0}", STANDARD.encode([1; 32]));
        assert_eq!(read("RECEHUB_AUDIT_FORMER_KEYS", &two).unwrap().audit.former.len(), 2);
    }
}
