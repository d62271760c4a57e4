//! What somebody in front of the box is told of the LAN: read from the store, whether the agent runs or not.

use chrono::{DateTime, Utc};
use device_model::{
    lan::{Addressing, LanSettings},
    outcome::Verdict,
    shadow::{KEPT_VERDICTS, ProbePolicy},
    share::ShareSettings,
    window::Window,
};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::json;

use crate::lan::{
    ending::Setback,
    history::{self, Event},
    journal,
    state::{Machine, Profile, State},
};

/// How the LAN is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Nothing, if the journal cannot be read.
    pub current: Option<Settings>,
    /// What ran until somebody on site changed it.
    pub drifted_from: Option<Settings>,
    pub trial: Option<InHand>,
    /// Newest first.
    pub verdicts: Vec<Verdict>,
}

/// Settings without what is secret in them.
#[derive(Debug, Serialize)]
pub struct Settings {
    pub lan: LanSettings,
    pub share: Option<ShareSettings>,
    pub probe: ProbePolicy,
}

/// A change that is not decided yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InHand {
    pub change_id: String,
    pub phase: String,
    pub attempt: u32,
    pub wanted: Settings,
    pub window: Option<Window>,
    /// Why it came to nothing the last time.
    pub setback: Option<Setback>,
}

/// Something that happened, and what ran from then on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    pub number: i64,
    pub at: DateTime<Utc>,
    pub clock: String,
    pub what: String,
    pub change_id: Option<String>,
    pub code: Option<String>,
    pub detail: Option<String>,
    #[serde(flatten)]
    pub settings: Settings,
}

impl Shown {
    pub fn read(db: &Connection) -> rusqlite::Result<Self> {
        let verdicts = journal::verdicts(db, KEPT_VERDICTS)?;
        Ok(match journal::machine(db)? {
            None => Self { current: None, drifted_from: None, trial: None, verdicts },
            Some(Machine { current, drifted_from, state }) => Self {
                current: Some(current.into()),
                drifted_from: drifted_from.map(Settings::from),
                trial: InHand::of(state),
                verdicts,
            },
        })
    }

    pub fn table(&self) -> String {
        let or_unknown = |settings: &Option<Settings>| match settings {
            Some(settings) => settings.line(),
            None => "cannot be read".to_owned(),
        };
        let mut rows = vec![("runs", or_unknown(&self.current))];
        rows.extend(self.drifted_from.iter().map(|from| ("drifted from", from.line())));
        if let Some(trial) = &self.trial {
            let InHand { change_id, phase, attempt, wanted, window, setback } = trial;
            rows.push(("in hand", format!("{change_id}: {phase}, attempt {attempt}")));
            rows.push(("wanted", wanted.line()));
            rows.extend(window.iter().map(|window| ("window", json!(window).to_string())));
            let line = |last: &Setback| {
                let words = words(Some(&last.code), last.detail.as_deref());
                ("came to nothing", format!("{} {words}", time(last.at)))
            };
            rows.extend(setback.iter().map(line));
        }
        for verdict in &self.verdicts {
            let words = words(verdict.code.as_deref(), verdict.detail.as_deref());
            let line =
                format!("{} {} {} {words}", time(verdict.at), verdict.change_id, verdict.verdict.as_str());
            rows.push(("verdict", line));
        }
        let line = |(name, value): &(&str, String)| format!("{name:<17}{}\n", value.trim_end());
        rows.iter().map(line).collect()
    }
}

/// All that is kept, newest first.
pub fn happened(db: &Connection) -> rusqlite::Result<Vec<Happened>> {
    Ok(history::events(db)?.into_iter().map(Happened::from).collect())
}

pub fn table(happened: &[Happened]) -> String {
    let line = |one: &Happened| {
        let change = one.change_id.as_deref().unwrap_or("-");
        let words = words(one.code.as_deref(), one.detail.as_deref());
        let line = format!(
            "{:>5}  {}  {:<15}  {change:<26}  {}  {words}",
            one.number,
            time(one.at),
            one.what,
            one.settings.line()
        );
        format!("{}\n", line.trim_end())
    };
    happened.iter().map(line).collect()
}

impl InHand {
    fn of(state: State) -> Option<Self> {
        let (_, phase, attempt) = state.trial()?;
        let phase = json!(phase).as_str().unwrap_or_default().to_owned();
        let (wish, setbacks) = match state {
            State::Idle => return None,
            State::Staged { wish, setbacks, .. }
            | State::Trying { wish, setbacks, .. }
            | State::RollingBack { wish, setbacks, .. } => (wish, Some(setbacks)),
            State::Committing { wish, .. } => (wish, None),
        };
        Some(Self {
            change_id: wish.change_id.to_string(),
            phase,
            attempt,
            wanted: wish.profile.into(),
            window: wish.window,
            setback: setbacks.and_then(|setbacks| setbacks.last),
        })
    }
}

impl Settings {
    /// As an engineer would write them down.
    pub fn line(&self) -> String {
        let mut words = match self.lan.addressing() {
            Addressing::Dhcp => vec!["dhcp".to_owned()],
            Addressing::Static { address, gateway } => {
                let via = gateway.map(|gateway| format!("via {gateway}"));
                [Some(address.to_string()), via].into_iter().flatten().collect()
            }
        };
        words.extend(self.lan.dns().iter().map(|server| format!("dns {server}")));
        words.extend(self.lan.mtu().map(|mtu| format!("mtu {mtu}")));
        words.extend(self.lan.routes().iter().map(|route| format!("{} via {}", route.to, route.via)));
        words.extend(self.share.iter().map(|share| format!("share {} for {}", share.name, share.user)));
        words.join(", ")
    }
}

impl From<Profile> for Settings {
    fn from(profile: Profile) -> Self {
        let share = profile.share.map(|share| ShareSettings { password_sealed: None, ..share });
        Self { lan: profile.lan, share, probe: profile.probe }
    }
}

impl From<Event> for Happened {
    fn from(event: Event) -> Self {
        let Event { number, at, clock, what, change_id, code, detail, profile } = event;
        Self { number, at, clock, what, change_id, code, detail, settings: profile.into() }
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn words(code: Option<&str>, detail: Option<&str>) -> String {
    [code, detail].into_iter().flatten().collect::<Vec<_>>().join(": ")
}
