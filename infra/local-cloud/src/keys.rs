//! The access keys of the account: long-lived ones given at the start, and temporary ones issued for a role.
//! Issued keys outlive a restart of the process, as they would at AWS.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::policy::{Context, Document};

/// All keys of the account. Clones share them.
#[derive(Clone)]
pub struct Keys(Arc<Mutex<Inner>>);

struct Inner {
    account_id: String,
    long_lived: HashMap<String, (String, Principal)>,
    roles: HashMap<String, RoleRef>,
    sessions: HashMap<String, Session>,
    /// One line a session; read again at the next start.
    journal: File,
}

/// Who signs, and what their identity allows them.
#[derive(Debug, Clone)]
pub struct Principal {
    pub arn: String,
    pub account_id: String,
    pub user_id: String,
    pub policies: Vec<Document>,
    /// What policies may ask about: `aws:...` keys and those of the session (`credentials-iot:ThingName`).
    pub context: BTreeMap<String, String>,
    /// May do everything that no resource policy denies.
    pub admin: bool,
}

/// A role as sessions need it.
#[derive(Debug, Clone)]
pub struct RoleRef {
    pub arn: String,
    pub name: String,
    pub policies: Vec<Document>,
}

/// A key that was found. An expired one is found too, so that its bearer can be told so.
#[derive(Clone)]
pub struct Key {
    pub secret_access_key: String,
    pub session_token: Option<String>,
    pub expiration: Option<DateTime<Utc>>,
    pub principal: Principal,
}

/// Temporary credentials, as handed to the caller.
#[derive(Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expiration: DateTime<Utc>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Session {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: DateTime<Utc>,
    role_arn: String,
    role_name: String,
    name: String,
    context: BTreeMap<String, String>,
}

/// How long an expired key is remembered, to be refused by its right name.
const REMEMBERED: chrono::Duration = chrono::Duration::hours(1);

impl Keys {
    /// Opens the keys kept in `state_dir`.
    pub fn open(state_dir: &Path, account_id: &str, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let path = state_dir.join("sessions.jsonl");
        let mut sessions = HashMap::new();
        if path.exists() {
            for line in BufReader::new(File::open(&path)?).lines() {
                // The last line may be torn by a crash: its key was never handed out.
                let Ok(session) = serde_json::from_str::<Session>(&line?) else {
                    continue;
                };
                if session.expiration + REMEMBERED > now {
                    sessions.insert(session.access_key_id.clone(), session);
                }
            }
        }
        // NamedTempFile is 0600 from the start.
        let mut draft = tempfile::NamedTempFile::new_in(state_dir).context("the state directory")?;
        for session in sessions.values() {
            writeln!(draft, "{}", serde_json::to_string(session)?)?;
        }
        draft.as_file().sync_all()?;
        draft.persist(&path)?;
        let journal = File::options().append(true).mode(0o600).open(&path)?;
        Ok(Self(Arc::new(Mutex::new(Inner {
            account_id: account_id.to_owned(),
            long_lived: HashMap::new(),
            roles: HashMap::new(),
            sessions,
            journal,
        }))))
    }

    pub fn add_long_lived(&self, id: &str, secret: &str, principal: Principal) {
        self.0.lock().long_lived.insert(id.to_owned(), (secret.to_owned(), principal));
    }

    /// Makes a role's policies known, so that sessions issued before a restart have them as they are now.
    pub fn add_role(&self, role: RoleRef) {
        self.0.lock().roles.insert(role.arn.clone(), role);
    }

    pub fn find(&self, access_key_id: &str, now: DateTime<Utc>) -> Option<Key> {
        let inner = self.0.lock();
        if let Some((secret, principal)) = inner.long_lived.get(access_key_id) {
            return Some(Key {
                secret_access_key: secret.clone(),
                session_token: None,
                expiration: None,
                principal: principal.clone(),
            });
        }
        let session = inner.sessions.get(access_key_id).filter(|s| s.expiration + REMEMBERED > now)?;
        // A role that is gone allows nothing; its sessions still know who they are.
        let role = inner.roles.get(&session.role_arn).cloned().unwrap_or_else(|| RoleRef {
            arn: session.role_arn.clone(),
            name: session.role_name.clone(),
            policies: Vec::new(),
        });
        let mut principal = Principal::of_role(&role, &session.name, &inner.account_id);
        principal.context.extend(session.context.clone());
        Some(Key {
            secret_access_key: session.secret_access_key.clone(),
            session_token: Some(session.token.clone()),
            expiration: Some(session.expiration),
            principal,
        })
    }

    /// Issues temporary credentials for a session of `role`.
    pub fn issue(
        &self,
        role: &RoleRef,
        session_name: &str,
        duration: chrono::Duration,
        mut context: BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Credentials> {
        // What a policy that cuts off older sessions asks for.
        context.insert("aws:TokenIssueTime".to_owned(), now.to_rfc3339());
        let expiration = DateTime::from_timestamp((now + duration).timestamp(), 0).context("the duration")?;
        let session = Session {
            access_key_id: format!("ASIA{}", random_id()),
            secret_access_key: BASE64_STANDARD.encode(rand::random::<[u8; 30]>()),
            token: BASE64_STANDARD.encode([(); 9].map(|()| rand::random::<[u8; 32]>()).concat()),
            expiration,
            role_arn: role.arn.clone(),
            role_name: role.name.clone(),
            name: session_name.to_owned(),
            context,
        };
        let mut line = serde_json::to_vec(&session)?;
        line.push(b'\n');
        let credentials = Credentials {
            access_key_id: session.access_key_id.clone(),
            secret_access_key: session.secret_access_key.clone(),
            session_token: session.token.clone(),
            expiration,
        };
        let mut inner = self.0.lock();
        inner.journal.write_all(&line)?;
        inner.roles.entry(role.arn.clone()).or_insert_with(|| role.clone());
        if inner.sessions.len().is_power_of_two() {
            inner.sessions.retain(|_, session| session.expiration + REMEMBERED > now);
        }
        inner.sessions.insert(session.access_key_id.clone(), session);
        Ok(credentials)
    }
}

impl Principal {
    /// An administrator: keys that may do everything.
    pub fn administrator(account_id: &str) -> Self {
        let arn = format!("arn:aws:iam::{account_id}:user/admin");
        let user_id = unique_id("AIDA", &arn);
        let context = [
            ("aws:PrincipalArn", arn.as_str()),
            ("aws:PrincipalAccount", account_id),
            ("aws:PrincipalType", "User"),
            ("aws:userid", &user_id),
            ("aws:username", "admin"),
        ];
        let context = context.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { arn, account_id: account_id.to_owned(), user_id, policies: Vec::new(), context, admin: true }
    }

    /// A session of a role.
    pub fn of_role(role: &RoleRef, session_name: &str, account_id: &str) -> Self {
        let arn = format!("arn:aws:sts::{account_id}:assumed-role/{}/{session_name}", role.name);
        let user_id = format!("{}:{session_name}", role.role_id());
        let context = [
            ("aws:PrincipalArn", role.arn.as_str()),
            ("aws:PrincipalSessionArn", &arn),
            ("aws:PrincipalAccount", account_id),
            ("aws:PrincipalType", "AssumedRole"),
            ("aws:userid", &user_id),
        ];
        let context = context.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self {
            arn,
            account_id: account_id.to_owned(),
            user_id,
            policies: role.policies.clone(),
            context,
            admin: false,
        }
    }

    /// The context that this principal's requests are judged in.
    pub fn request_context(&self, now: DateTime<Utc>, secure: bool) -> Context {
        Context::from(&self.context)
            .with("aws:CurrentTime", now.to_rfc3339())
            .with("aws:EpochTime", now.timestamp().to_string())
            .with("aws:SecureTransport", secure.to_string())
    }
}

impl RoleRef {
    /// `AROA...`, the same for the same role at each start.
    pub fn role_id(&self) -> String {
        unique_id("AROA", &self.arn)
    }
}

const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn random_id() -> String {
    rand::random::<[u8; 16]>().iter().map(|byte| char::from(ID_LETTERS[usize::from(byte % 32)])).collect()
}

fn unique_id(prefix: &str, of: &str) -> String {
    let hash = Sha256::digest(of.as_bytes());
    let letters: String =
        hash.iter().take(17).map(|byte| char::from(ID_LETTERS[usize::from(byte % 32)])).collect();
    format!("{prefix}{letters}")
}

// What is secret stays out of logs and panics.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("principal", &self.principal.arn).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "123456789012";

    fn role() -> RoleRef {
        RoleRef {
            arn: "arn:aws:iam::123456789012:role/box".to_owned(),
            name: "box".to_owned(),
            policies: Vec::new(),
        }
    }

    #[test]
    fn an_issued_key_is_found_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let now = DateTime::UNIX_EPOCH;
        let context = BTreeMap::from([("credentials-iot:ThingName".to_owned(), "a".to_owned())]);
        let keys = Keys::open(dir.path(), ACCOUNT, now).unwrap();
        let issued = keys.issue(&role(), "s", chrono::Duration::hours(1), context, now).unwrap();
        drop(keys);

        let again = Keys::open(dir.path(), ACCOUNT, now).unwrap();
        let key = again.find(&issued.access_key_id, now).unwrap();

        assert_eq!(key.session_token, Some(issued.session_token));
        assert_eq!(key.principal.arn, "arn:aws:sts::123456789012:assumed-role/box/s");
        assert_eq!(key.principal.context["credentials-iot:ThingName"], "a");
        assert_eq!(issued.access_key_id.len(), 20);
    }

    #[test]
    fn a_key_is_forgotten_some_time_after_it_expired() {
        let dir = tempfile::tempdir().unwrap();
        let now = DateTime::UNIX_EPOCH;
        let keys = Keys::open(dir.path(), ACCOUNT, now).unwrap();
        let issued = keys.issue(&role(), "s", chrono::Duration::hours(1), BTreeMap::new(), now).unwrap();

        assert!(keys.find(&issued.access_key_id, now + chrono::Duration::minutes(90)).is_some());
        assert!(keys.find(&issued.access_key_id, now + chrono::Duration::hours(3)).is_none());
    }
}
