//! The life of changes, whatever comes in whatever order: people wish, supersede and cancel, time passes,
//! writes meet other writes or are not answered, a box is away, tries, judges and forgets. After each
//! event the stories told are true; in the end each has an end. A seed that fails is printed;
//! `LIFE_SEED` plays it again, `LIFE_SEEDS` sets how many there are.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{TestApi, trial};

const EVENTS: usize = 40;
const KEPT: usize = 4;
/// Enough for whatever is still open: a wish, what takes its place, what undoes both.
const ROUNDS: usize = 20;

/// A box, by the rules of the shadow: it takes the newest wish and speaks of each that it took, once.
struct Hub {
    thing: String,
    lan: Value,
    trying: Option<Value>,
    verdicts: VecDeque<Value>,
    /// What it said of each change, for ever.
    said: BTreeMap<String, &'static str>,
}

impl Hub {
    fn new(thing: &str) -> Self {
        let lan = json!({"mode": "static", "address": "192.168.10.9/24"});
        let (trying, verdicts, said) = (None, VecDeque::new(), BTreeMap::new());
        Self { thing: thing.to_owned(), lan, trying, verdicts, said }
    }

    /// Looks at its shadow and goes one step on.
    fn act(&mut self, api: &TestApi, rng: &mut StdRng) {
        let desired = api.aws.desired(&self.thing);
        let wanted = desired["changeId"].as_str().map(str::to_owned);
        let tried = self.trying.as_ref().map(|trying| id(trying).to_owned());
        if let Some(tried) = tried.filter(|tried| Some(tried) != wanted.as_ref()) {
            self.end(&tried, "superseded");
        } else if let Some(trying) = self.trying.clone() {
            let verdict = ["applied", "applied", "rolled_back"][rng.random_range(0..3)];
            if verdict == "applied" {
                self.lan = trying["lan"].clone();
            }
            self.end(id(&trying), verdict);
        } else if let Some(wanted) = wanted.filter(|wanted| !self.said.contains_key(wanted)) {
            if rng.random_ratio(1, 8) {
                self.end(&wanted, "refused");
            } else {
                self.trying = Some(desired);
            }
        }
        self.report(api);
    }

    fn end(&mut self, id: &str, verdict: &'static str) {
        self.trying = None;
        let twice = self.said.insert(id.to_owned(), verdict);
        assert_eq!(twice, None, "the model is wrong: a change has one verdict");
        self.verdicts.push_front(crate::support::verdict(id, verdict, &Value::Null));
        self.verdicts.truncate(KEPT);
    }

    fn report(&self, api: &TestApi) {
        let trial = self.trying.as_ref().map_or(Value::Null, |trying| trial(id(trying)));
        let report = json!({"schema": 1, "agentVersion": "0.1.0", "schemas": [1], "lan": self.lan,
            "probe": {"share": "required"}, "trial": trial, "verdicts": self.verdicts});
        api.aws.report(&self.thing, report);
    }
}

fn id(desired: &Value) -> &str {
    desired["changeId"].as_str().unwrap()
}

#[sqlx::test(migrator = "fleet_api::MIGRATOR")]
async fn whatever_happens_every_story_is_true_and_ends(db: PgPool) {
    let api = TestApi::new(db).await;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("LIFE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LIFE_SEEDS").unwrap_or(20),
    };
    for seed in seeds {
        println!("seed {seed}");
        live(&api, seed).await;
    }
}

async fn live(api: &TestApi, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut hub = Hub::new(&format!("tenpo-{seed:04}"));
    api.register(&hub.thing).await;
    let mut ended = BTreeMap::new();
    for _ in 0..EVENTS {
        happen(api, &mut hub, &mut rng).await;
        check(api, &hub, &mut ended).await;
    }
    {
        let mut aws = api.aws.state();
        (aws.races, aws.lost_answers) = (0, 0);
    }
    for _ in 0..ROUNDS {
        api.wait(TimeDelta::hours(1));
        api.dispatch().await;
        hub.act(api, &mut rng);
        api.collect().await;
        check(api, &hub, &mut ended).await;
    }
    let stories = stories(api, &hub.thing).await;
    assert_eq!(stories.len(), ended.len(), "all have ended: {stories:#?}");
    // What we say runs there is what runs there.
    let lan = api.get(&format!("/v1/devices/{}/lan", hub.thing)).await.expect(200);
    if !hub.said.is_empty() {
        assert_eq!(lan["reported"]["lan"], hub.lan);
    }
    for (change, verdict) in &hub.said {
        assert!(ended.contains_key(change), "nobody knows of {change}, which the box {verdict}");
    }
}

async fn happen(api: &TestApi, hub: &mut Hub, rng: &mut StdRng) {
    let address = format!("192.168.10.{}/24", rng.random_range(10..250));
    match rng.random_range(0..20) {
        0..3 => drop(api.put_lan(&hub.thing, &address, json!({})).await),
        3..6 => drop(api.put_lan(&hub.thing, &address, json!({"supersede": true})).await),
        6..8 => {
            if let Some(open) = stories(api, &hub.thing).await.first() {
                let path = format!("/v1/changes/{}/cancel", id(open));
                drop(api.post(&path, Value::Null).await);
            }
        }
        8 => {
            // The collector of another replica reads in the middle of our dispatch.
            tokio::join!(api.dispatch(), api.collect());
        }
        9 => api.aws.state().races = 1,
        10 => api.aws.state().lost_answers = 1,
        11 => {
            api.wait(TimeDelta::days(5));
            api.fleet.expire().await.unwrap();
        }
        12..14 => {
            api.wait(TimeDelta::minutes(20));
            api.dispatch().await;
        }
        14..18 => hub.act(api, rng),
        _ => api.collect().await,
    }
}

/// What must hold at any moment.
async fn check(api: &TestApi, hub: &Hub, ended: &mut BTreeMap<String, String>) {
    let stories = stories(api, &hub.thing).await;
    let on_the_way = stories.iter().filter(|story| story["state"] == "sent" || story["state"] == "trying");
    assert!(on_the_way.count() <= 1, "a box tries one change at a time: {stories:#?}");
    for story in stories {
        let change = id(&story).to_owned();
        let state = story["state"].as_str().unwrap().to_owned();
        let steps = api.steps(&change).await;
        assert_eq!((&*steps[0], steps.last()), ("queued", Some(&state)), "{change}");
        let mut once = steps.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), steps.len(), "{change} was twice in a state: {steps:?}");
        let entries = "select count(*) from audit_entries where change_id = $1 and action = 'change.' || $2";
        for step in &steps {
            let entries = sqlx::query_scalar::<_, i64>(entries).bind(&change).bind(step);
            assert_eq!(entries.fetch_one(&api.db).await.unwrap(), 1, "{change} {step} in the audit log");
        }
        if let Some(before) = ended.get(&change) {
            assert_eq!(*before, state, "{change} is over");
        }
        // Only the box can say how a change ended that it took up.
        match (state.as_str(), hub.said.get(&change)) {
            ("queued" | "sent" | "trying", _) => continue,
            ("applied" | "rolled_back" | "refused", said) => assert_eq!(said, Some(&&*state), "{change}"),
            (_, said) => assert!(matches!(said, None | Some(&"superseded")), "{change}: {state}, {said:?}"),
        }
        ended.insert(change, state);
    }
}

/// The box's changes, the newest first.
async fn stories(api: &TestApi, thing: &str) -> Vec<Value> {
    let listed = api.get(&format!("/v1/changes?thing={thing}&limit=200")).await.expect(200);
    let listed = listed["items"].as_array().unwrap();
    for change in listed {
        let last = change["timeline"].as_array().unwrap().last().unwrap();
        assert_eq!(last["state"], change["state"], "{change}");
    }
    listed.clone()
}
