//! One change while something goes wrong: asked for through the fleet API, struck, healed, and judged when
//! its verdict is there.

use std::{
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use device_model::{outcome::code, shadow::TrialPhase};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    boxes::ApiClient,
    lab::{
        cloud_side::CloudSide,
        fault::{Fault, NOBODY, TAKEN},
        hub::Hub,
        judgement::{judge, reports},
        pharmacy::{Pharmacy, ROUTER},
        router::HANGING_DNS,
        settings::Settings,
    },
    secrets::text,
    wait::until,
};

/// Three attempts of a box that is in no hurry.
const BOUND: Duration = Duration::from_mins(6);
/// A phase may be over in a moment: the agent's log is looked at this often.
const LOOK: Duration = Duration::from_millis(1);
const TRYING: &str = "LAN change is Trying";
const WAITS: &str = "a change of the LAN waits for it";
const ENDS: [&str; 3] = ["applied", "rolled_back", "refused"];
/// The address of a change that only makes room for another.
const OTHER: u8 = 80;

/// A change, and what goes wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub fault: Fault,
    /// What is asked for, if the fault leaves a choice.
    pub wish: Wish,
    /// It strikes so long after the first moment of its phase.
    pub delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Dhcp,
    /// The last number of an address of the pharmacy's network.
    Static(u8),
}

/// What became of it.
#[derive(Debug)]
pub struct Story {
    pub case: Case,
    pub state: String,
    pub code: Option<String>,
    pub detail: Option<String>,
    pub attempts: usize,
    /// From the desired state in the shadow to the verdict there, by the cloud's clock.
    pub took: Duration,
}

impl Case {
    pub fn of(fault: Fault, wish: Wish) -> Self {
        Self { fault, wish, delay: Duration::ZERO }
    }

    /// Carries it out. An error: it cannot be carried out, or does not end as every change must.
    pub async fn run(self, pharmacy: &mut Pharmacy, cloud: &CloudSide, api: &ApiClient) -> Result<Story> {
        let path = format!("/v1/devices/{}/lan", pharmacy.hub.one.thing);
        let told = |now: Value| Ok(Some(now).filter(|now| now["reported"].is_object()));
        let now = api.until("the box tells what it runs", BOUND, &path, told).await?;
        if reports(&now, &self.lan()) {
            // What runs already would be no change.
            let other = if self.wish == Wish::Static(OTHER) { OTHER + 1 } else { OTHER };
            let change = Self::of(Fault::Nothing, Wish::Static(other));
            change.carry_out(pharmacy, cloud, api).await?.as_expected()?;
        }
        let outcome = self.carry_out(pharmacy, cloud, api).await;
        outcome.with_context(|| format!("{}: {self:?}", pharmacy.hub.one.thing))
    }

    async fn carry_out(self, pharmacy: &mut Pharmacy, cloud: &CloudSide, api: &ApiClient) -> Result<Story> {
        let before = settled(&pharmacy.hub).await?;
        let lan = self.lan();
        self.fault.arrange(pharmacy).await?;
        let log = Log::from_now_on(&pharmacy.hub)?;
        let thing = pharmacy.hub.one.thing.clone();
        let wish = json!({"lan": lan, "reason": format!("{:?}", self.fault)});
        let change = &ask(api, &thing, &wish).await?;
        if let Some(phase) = self.fault.phase() {
            log.until_any(&[format!("LAN change is {phase:?}")]).await?;
            if self.delay > Duration::ZERO {
                sleep(self.delay).await;
            }
            pharmacy.hub.suspend_agent()?;
            let said = log.read()?;
            let since = Log::from_now_on(&pharmacy.hub)?;
            self.fault.strike(pharmacy, cloud).await?;
            if matches!(self.fault, Fault::LineDrops(_)) {
                outage(&said, &since).await?;
                self.fault.heal(pharmacy, cloud).await?;
            }
        }
        let ended = ended(api, change, BOUND).await?;
        self.fault.heal(pharmacy, cloud).await?;
        let story = self.told(&ended, &log)?;
        judge(&story, &lan, &before, pharmacy, api).await.with_context(|| format!("{ended}"))?;
        Ok(story)
    }

    fn lan(self) -> Value {
        let fixed = |address: String, gateway: &str, dns: &str| json!({"mode": "static", "address": address, "gateway": gateway, "dns": [dns]});
        let good = |last| format!("192.168.10.{last}/24");
        let last = match self.wish {
            Wish::Static(last) => last,
            Wish::Dhcp => 31,
        };
        match self.fault {
            Fault::AddressTaken => fixed(format!("{TAKEN}/24"), ROUTER, ROUTER),
            Fault::DnsHangs => fixed(good(last), ROUTER, &HANGING_DNS.to_string()),
            Fault::OverlapsWithLine => fixed(format!("10.64.200.{last}/24"), "10.64.200.1", "10.64.200.1"),
            Fault::GatewayDead => fixed(good(last), NOBODY, ROUTER),
            fault if fault.phase() == Some(TrialPhase::RollingBack) => fixed(good(last), NOBODY, ROUTER),
            Fault::DhcpSilent
            | Fault::DhcpRefuses
            | Fault::DhcpOfForeignNetwork
            | Fault::DhcpTakesAllTraffic => json!({"mode": "dhcp"}),
            _ => match self.wish {
                Wish::Dhcp => json!({"mode": "dhcp"}),
                Wish::Static(last) => fixed(good(last), ROUTER, ROUTER),
            },
        }
    }

    fn told(self, ended: &Value, log: &Log) -> Result<Story> {
        let timeline = ended["timeline"].as_array().context("no timeline")?;
        let last = timeline.last().context("an empty timeline")?;
        let sent = timeline.iter().find(|step| step["state"] == "sent").unwrap_or(last);
        let at = |step: &Value| -> Result<DateTime<Utc>> {
            Ok(step["at"].as_str().context("a step without a time")?.parse()?)
        };
        let word = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Story {
            case: self,
            state: word(&ended["state"]).context("no state")?,
            code: word(&last["code"]),
            detail: word(&last["detail"]),
            attempts: log.read()?.matches(TRYING).count(),
            took: (at(last)? - at(sent)?).to_std().unwrap_or_default(),
        })
    }
}

impl Story {
    /// Fails unless it ended as a change must that its fault struck at the first moment of its phase.
    pub fn as_expected(self) -> Result<Self> {
        let expected = self.case.fault.expected();
        let fits = self.state == expected.state && self.code.as_deref() == expected.code;
        let tells = self.detail.as_deref().unwrap_or_default().contains(expected.detail);
        let is_tried = expected.attempts.contains(&self.attempts);
        ensure!(fits && tells && is_tried, "{self}; expected {expected:?}");
        Ok(self)
    }

    /// The same for one that may have struck later: too late for good settings.
    pub fn as_allowed(self) -> Result<Self> {
        let is_late = self.case.delay > Duration::ZERO && self.state == "applied";
        if is_late && self.case.fault.phase().is_some() { Ok(self) } else { self.as_expected() }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, state, code, detail, attempts, took } = self;
        let [code, detail] = [code, detail].map(|text| text.as_deref().unwrap_or_default());
        let (fault, seconds) = (case.fault.to_string(), took.as_secs_f64());
        write!(f, "{fault:<34} {state:<11} {code:<20} {attempts} attempts {seconds:5.1} s  {detail}")
    }
}

/// What the box runs, once it has an address at all.
async fn settled(hub: &Hub) -> Result<Settings> {
    until("the box has an address", BOUND, || async {
        Ok(Some(Settings::of(hub).await?).filter(|settings| !settings.addresses.is_empty()))
    })
    .await
}

/// The line is away until the change is through with what it was at by what was said: undone if it was
/// tried meanwhile, and else seen to wait.
async fn outage(said: &str, since: &Log) -> Result<()> {
    let says = |steps: &[&str]| steps.iter().map(|step| format!("LAN change is {step}")).collect::<Vec<_>>();
    if says(&ENDS).iter().any(|end| said.contains(end)) {
        return Ok(());
    }
    let through = [says(&ENDS), says(&["RollingBack"]), vec![WAITS.to_owned()]].concat();
    // It comes back to where it waits after a trial, and after it was undone.
    let again = if said.contains(TRYING) { says(&["Staged"]) } else { Vec::new() };
    since.until_any(&[through, again].concat()).await?;
    let undone = since.read()?;
    let is_said = undone.contains(code::CLOUD_UNREACHABLE) || undone.contains(code::GATEWAY_SILENT);
    ensure!(is_said || !undone.contains("RollingBack"), "it does not say why it is undone: {undone}");
    Ok(())
}

/// Asks for a change, once however often it has to be asked for.
async fn ask(api: &ApiClient, thing: &str, wish: &Value) -> Result<String> {
    let key = text(20);
    until("the change is taken", BOUND, || async {
        let put = api.request(Method::PUT, &format!("/v1/devices/{thing}/lan"));
        let answer = put.header("Idempotency-Key", &key).json(wish).send().await?;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        let (status, told) = (answer.status(), answer.text().await?);
        let opened: Value = serde_json::from_str(&told).unwrap_or_default();
        let change = opened["changeId"].as_str().map(str::to_owned);
        change.map(Some).with_context(|| format!("the API answered {status}: {told}"))
    })
    .await
}

/// A change, once it has come to an end.
pub async fn ended(api: &ApiClient, change: &str, bound: Duration) -> Result<Value> {
    let what = format!("change {change} has ended");
    let ended = |story: Value| {
        let state = story["state"].as_str().context("no state")?;
        let open = matches!(state, "scheduled" | "queued" | "sent" | "trying");
        Ok((!open).then_some(story))
    };
    api.until(&what, bound, &format!("/v1/changes/{change}"), ended).await
}

/// What the agent has said since.
struct Log {
    file: std::path::PathBuf,
    from: u64,
}

impl Log {
    fn from_now_on(hub: &Hub) -> Result<Self> {
        let file = hub.one.agent_log();
        let from = std::fs::metadata(&file)?.len();
        Ok(Self { file, from })
    }

    fn read(&self) -> Result<String> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn until_any(&self, words: &[String]) -> Result<()> {
        let started = Instant::now();
        loop {
            let said = self.read()?;
            if words.iter().any(|words| said.contains(words.as_str())) {
                return Ok(());
            }
            ensure!(started.elapsed() < BOUND, "the agent does not say {words:?}; it said {said}");
            sleep(LOOK).await;
        }
    }
}
