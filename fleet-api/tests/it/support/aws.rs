//! AWS in memory: what the small traits promise, and a switch to make it fail.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use device_model::{thing_name::ThingName, upload::ContentHash};
use fleet_api::aws::{
    archive::{Archive, Marker, Object},
    bucket::{Bucket, NewObject, Put, Version},
    checkpoints::Checkpoints,
    shadows::{Shadow, Shadows, Written},
    sts::{Sts, StsAnswer},
    things::{Connectivity, Indexed, Issued, Registered, Things},
};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

type Metadata = Vec<(&'static str, String)>;

/// Everything that AWS would hold.
#[derive(Clone, Default)]
pub struct FakeAws(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub shadows: BTreeMap<String, Shadow>,
    pub desired_writes: usize,
    /// Things whose shadow does not answer.
    pub broken: BTreeSet<String>,
    /// So many writes meet somebody else's write.
    pub races: usize,
    /// So many writes are done, and their answer is lost.
    pub lost_answers: usize,
    /// What the box reports as soon as the shadow has been read once more.
    pub report_after_read: Option<Value>,
    /// Calls wait here until the test lets them go; how many do.
    pub gate: Option<Arc<Semaphore>>,
    pub held: usize,
    /// Certificate id -> (thing, active).
    pub certificates: BTreeMap<String, (String, bool)>,
    /// Certificates whose revocation IoT Core refuses.
    pub irrevocable: BTreeSet<String>,
    pub live_checks: usize,
    pub confirmed: Vec<String>,
    /// What the fleet index says.
    pub index: Vec<Indexed>,
    pub statuses: BTreeMap<String, Shadow>,
    pub destination_enabled: bool,
    pub sts_answer: Option<StsAnswer>,
    pub sts_headers: Vec<Vec<(&'static str, String)>>,
    /// Key -> (content, metadata).
    pub objects: BTreeMap<String, (Vec<u8>, Metadata)>,
    /// When, if a test cares.
    pub stored_at: BTreeMap<String, DateTime<Utc>>,
    pub puts: usize,
    /// Checkpoints of the audit log, and until when each is locked.
    pub checkpoints: BTreeMap<i64, (Vec<u8>, DateTime<Utc>)>,
    pub down: bool,
}

impl FakeAws {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn desired(&self, thing: &str) -> Value {
        self.state().shadows.get(thing).map_or(Value::Null, |shadow| shadow.desired.clone())
    }

    /// The box writes its side: the whole of it, as a new version.
    pub fn report(&self, thing: &str, reported: Value) {
        let mut state = self.state();
        let shadow = state.shadows.entry(thing.to_owned()).or_insert_with(empty);
        shadow.version += 1;
        shadow.reported = reported;
    }

    /// Somebody else than we writes what is desired.
    pub fn desire(&self, thing: &str, desired: Value) {
        let mut state = self.state();
        let shadow = state.shadows.entry(thing.to_owned()).or_insert_with(empty);
        shadow.version += 1;
        shadow.desired = desired;
    }

    /// From now on shadows and the registry answer only when the gate is opened.
    pub fn shut(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gate = Some(gate.clone());
        gate
    }

    /// Waits until somebody stands before the gate.
    pub async fn someone_is_held(&self) {
        let held = async {
            while self.state().held == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), held).await.expect("nobody came");
    }

    async fn pass_gate(&self) {
        let gate = self.state().gate.clone();
        if let Some(gate) = gate {
            self.state().held += 1;
            gate.acquire().await.unwrap().forget();
            self.state().held -= 1;
        }
    }

    fn up(&self) -> anyhow::Result<MutexGuard<'_, State>> {
        let state = self.state();
        anyhow::ensure!(!state.down, "AWS is down");
        Ok(state)
    }
}

fn empty() -> Shadow {
    Shadow { version: 0, desired: json!({}), reported: json!({}) }
}

#[async_trait]
impl Shadows for FakeAws {
    async fn read(&self, thing: &ThingName) -> anyhow::Result<Option<Shadow>> {
        self.pass_gate().await;
        let mut state = self.up()?;
        anyhow::ensure!(!state.broken.contains(thing.as_str()), "this shadow does not answer");
        let read = state.shadows.get(thing.as_str()).cloned();
        if let Some(reported) = state.report_after_read.take() {
            drop(state);
            self.report(thing.as_str(), reported);
        }
        Ok(read)
    }

    async fn read_status(&self, thing: &ThingName) -> anyhow::Result<Option<Shadow>> {
        let state = self.up()?;
        anyhow::ensure!(!state.broken.contains(thing.as_str()), "this shadow does not answer");
        Ok(state.statuses.get(thing.as_str()).cloned())
    }

    async fn write_desired(
        &self,
        thing: &ThingName,
        patch: &Value,
        version: Option<i64>,
    ) -> anyhow::Result<Written> {
        self.pass_gate().await;
        let mut state = self.up()?;
        if state.races > 0 {
            state.races -= 1;
            state.shadows.entry(thing.to_string()).or_insert_with(empty).version += 1;
            return Ok(Written::Conflict);
        }
        state.desired_writes += 1;
        let shadow = state.shadows.entry(thing.to_string()).or_insert_with(empty);
        if version.is_some_and(|version| version != shadow.version) {
            return Ok(Written::Conflict);
        }
        merge(&mut shadow.desired, patch);
        shadow.version += 1;
        let version = shadow.version;
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
            anyhow::bail!("the answer was lost");
        }
        Ok(Written::At(version))
    }
}

#[async_trait]
impl Things for FakeAws {
    async fn create(&self, _: &ThingName) -> anyhow::Result<()> {
        self.up().map(drop)
    }

    async fn issue(&self, thing: &ThingName, _: &str, _: &str) -> anyhow::Result<Option<Issued>> {
        self.pass_gate().await;
        let mut state = self.up()?;
        let id = format!("{:064x}", state.certificates.len() + 1);
        state.certificates.insert(id.clone(), (thing.to_string(), true));
        Ok(Some(Issued { certificate_id: id, pem: "-----BEGIN CERTIFICATE-----".to_owned() }))
    }

    async fn revoke(&self, certificate_id: &str) -> anyhow::Result<()> {
        let mut state = self.up()?;
        anyhow::ensure!(!state.irrevocable.contains(certificate_id), "IoT Core does not take this");
        if let Some(certificate) = state.certificates.get_mut(certificate_id) {
            certificate.1 = false;
        }
        Ok(())
    }

    async fn switched_off(&self) -> anyhow::Result<Vec<String>> {
        let state = self.up()?;
        let off = state.certificates.iter().filter(|(_, (_, active))| !active);
        Ok(off.map(|(id, _)| id.clone()).collect())
    }

    async fn certificate(&self, certificate_id: &str) -> anyhow::Result<Option<Registered>> {
        self.pass_gate().await;
        let mut state = self.up()?;
        state.live_checks += 1;
        Ok(state
            .certificates
            .get(certificate_id)
            .map(|(thing, active)| Registered { active: *active, things: vec![thing.clone()] }))
    }

    async fn connectivity(&self, after: Option<&str>) -> anyhow::Result<Connectivity> {
        // One a page, so that whoever asks has to turn them.
        let at: usize = after.unwrap_or("0").parse()?;
        let index = self.up()?.index.clone();
        let next = (at + 1 < index.len()).then(|| (at + 1).to_string());
        Ok(Connectivity { things: index.into_iter().skip(at).take(1).collect(), next })
    }

    async fn confirm_destination(&self, token: &str) -> anyhow::Result<()> {
        self.up()?.confirmed.push(token.to_owned());
        Ok(())
    }

    async fn enable_destination(&self, _: &str) -> anyhow::Result<bool> {
        Ok(self.up()?.destination_enabled)
    }
}

#[async_trait]
impl Sts for FakeAws {
    async fn get_caller_identity(&self, headers: &[(&'static str, String)]) -> anyhow::Result<StsAnswer> {
        let mut state = self.up()?;
        state.sts_headers.push(headers.to_vec());
        state.sts_answer.clone().ok_or_else(|| anyhow::anyhow!("STS does not answer"))
    }
}

#[async_trait]
impl Bucket for FakeAws {
    async fn put_new(&self, mut object: NewObject) -> anyhow::Result<Put> {
        {
            let mut state = self.up()?;
            state.puts += 1;
            if state.objects.contains_key(&object.key) {
                return Ok(Put::Present);
            }
        }
        let mut content = Vec::new();
        while let Some(chunk) = object.content.next().await {
            content.extend_from_slice(&chunk?);
        }
        if content.len() as u64 != object.size || ContentHash::of(&content) != object.sha256 {
            return Ok(Put::Mismatch);
        }
        self.state().objects.insert(object.key, (content, object.metadata));
        Ok(Put::Stored { version_id: "v1".to_owned() })
    }

    async fn version(&self, key: &str) -> anyhow::Result<Option<Version>> {
        Ok(self
            .up()?
            .objects
            .get(key)
            .map(|(content, _)| Version { version_id: "v1".to_owned(), size: content.len() as u64 }))
    }

    async fn ready(&self) -> anyhow::Result<()> {
        self.up().map(drop)
    }
}

#[async_trait]
impl Checkpoints for FakeAws {
    async fn put(&self, seq: i64, content: Vec<u8>, until: DateTime<Utc>) -> anyhow::Result<bool> {
        let mut state = self.up()?;
        if state.checkpoints.contains_key(&seq) {
            return Ok(false);
        }
        state.checkpoints.insert(seq, (content, until));
        Ok(true)
    }

    async fn get(&self, seq: i64) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.up()?.checkpoints.get(&seq).map(|(content, _)| content.clone()))
    }

    async fn after(&self, seq: i64) -> anyhow::Result<Vec<i64>> {
        Ok(self.up()?.checkpoints.range(seq + 1..).map(|(&seq, _)| seq).collect())
    }
}

#[async_trait]
impl Archive for FakeAws {
    /// Two a page, so that pages are turned.
    async fn page(&self, from: Option<Marker>) -> anyhow::Result<(Vec<Object>, Option<Marker>)> {
        let state = self.up()?;
        let from = from.and_then(|(key, _)| key).unwrap_or_default();
        let mut rest = state.objects.iter().filter(|(key, _)| **key > from).peekable();
        let object = |(key, (content, _)): (&String, &(Vec<u8>, Metadata))| Object {
            key: key.clone(),
            version_id: "v1".to_owned(),
            size: i64::try_from(content.len()).unwrap(),
            stored_at: state.stored_at.get(key).copied().unwrap_or_default(),
        };
        let page: Vec<Object> = rest.by_ref().take(2).map(object).collect();
        let next = page.last().filter(|_| rest.peek().is_some()).map(|last| (Some(last.key.clone()), None));
        Ok((page, next))
    }

    async fn metadata(&self, object: &Object) -> anyhow::Result<HashMap<String, String>> {
        let state = self.up()?;
        let metadata = state.objects[&object.key].1.iter();
        Ok(metadata.map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }
}

/// RFC 7386, as a shadow merges.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}
