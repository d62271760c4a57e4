//! A change as the rest of the program and its callers see it.

use chrono::{DateTime, Utc};
use device_model::{
    change::ChangeState,
    change_id::ChangeId,
    fault::Faults,
    lan::{LanDraft, LanSettings},
    outcome::{Clock, code},
    shadow::ProbePolicy,
    share::{ShareDraft, ShareSettings},
    thing_name::ThingName,
    window::{Window, WindowDraft},
};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

const MAX_KEY: usize = 255;

/// What somebody wants, as typed. `Default` is an empty wish, which is refused field by field.
#[derive(Clone, Default)]
pub struct Wish {
    pub lan: LanDraft,
    /// None: the share stays as it is.
    pub share: Option<ShareDraft>,
    pub probe: ProbePolicy,
    pub window: Option<WindowDraft>,
    pub reason: String,
    pub ticket: Option<String>,
    /// Takes the place of an open change instead of being refused because of it.
    pub supersede: bool,
    /// Somebody else has to approve it first.
    pub held: bool,
    /// What could not be read, and fields that nobody here knows: a typing error must not be ignored
    /// in silence. The drafts have their own.
    pub misfits: Faults,
}

/// What must hold for the wish to be taken.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// The `ETag` that the caller's wish was made from.
    pub if_match: Option<String>,
    /// Names the request: the same key with the same wish is the same change.
    pub idempotency_key: Option<String>,
}

/// Settings as a change holds them, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    #[schema(value_type = LanDraft)]
    pub lan: LanSettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareSettings>,
    #[serde(default)]
    pub probe: ProbePolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WindowDraft>)]
    pub window: Option<Window>,
}

/// What a wish would do.
#[derive(Debug, Clone)]
pub struct Preview {
    pub before: Option<Settings>,
    pub after: Settings,
    /// The open change whose place it would take.
    pub replaces: Option<ChangeId>,
}

/// A change from its wish to its end.
#[derive(Debug, Clone)]
pub struct Change {
    pub change_id: ChangeId,
    pub thing: ThingName,
    /// The code of the pharmacy where the box stood when the change was asked for.
    pub pharmacy: Option<String>,
    pub state: ChangeState,
    pub withdrawing: Option<Withdrawing>,
    pub requested_by: String,
    pub approved_by: Option<String>,
    pub reason: String,
    pub ticket: Option<String>,
    pub before: Option<Settings>,
    /// None: it was recovered from a shadow that only tells how it ended.
    pub after: Option<Settings>,
    pub replaces: Option<ChangeId>,
    pub requested_at: DateTime<Utc>,
    /// The version of the shadow that carries it.
    pub shadow_version: Option<i64>,
    /// The shadow was to be written: a box may have it.
    pub handed_over: bool,
    /// The database did not know it: it was read from the box's shadow.
    pub recovered: bool,
    /// The order in which changes were asked for.
    pub seq: i64,
    /// In the order in which they came; empty in a list.
    pub steps: Vec<Step>,
    /// None: the box does not host its share, or the change is not applied, or this is a list.
    pub sight: Option<Sight>,
}

/// Whether the receipt computer has found the box since a change was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SightOfChange)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Sight {
    Unconfirmed,
    /// By the cloud's clock, and by the box's.
    #[serde(rename_all = "camelCase")]
    Confirmed {
        at: DateTime<Utc>,
        device_at: DateTime<Utc>,
        clock: Clock,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub state: ChangeState,
    /// The cloud's clock.
    pub at: DateTime<Utc>,
    /// The box's clock, for the box's steps.
    pub device_at: Option<DateTime<Utc>>,
    pub clock: Option<Clock>,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// Why a change that was sent is being taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawing {
    Cancel,
    Expire,
    Supersede,
}

impl Conditions {
    /// The key, if it is one.
    pub fn key(&self) -> Result<Option<&str>, ApiError> {
        match self.idempotency_key.as_deref() {
            Some(key) if key.is_empty() || key.len() > MAX_KEY => {
                Err(ApiError::malformed("Idempotency-Key must have 1 to 255 characters"))
            }
            key => Ok(key),
        }
    }
}

impl Change {
    /// What it asks for; the database holds that for each change that a box may have from us.
    pub fn asked_for(&self) -> Result<&Settings, ApiError> {
        let unknown = || anyhow::anyhow!("nobody knows what change {} asked for", self.change_id);
        Ok(self.after.as_ref().ok_or_else(unknown)?)
    }
}

impl Wish {
    /// False: something of it could not be read, or is not known here.
    pub fn is_readable(&self) -> bool {
        let share = self.share.as_ref().map(|share| &share.misfits);
        let window = self.window.as_ref().map(|window| &window.misfits);
        let own = [&self.misfits, &self.lan.misfits];
        own.into_iter().chain(share).chain(window).all(Faults::is_empty)
    }
}

impl Settings {
    /// The same without the sealed password, for whoever only looks.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        if let Some(share) = &mut self.share {
            share.password_sealed = None;
        }
        self
    }
}

impl Withdrawing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Expire => "expire",
            Self::Supersede => "supersede",
        }
    }

    /// How a change ends that the box passed over, or gave up for the newer one.
    pub fn ends_as(self) -> ChangeState {
        match self {
            Self::Cancel => ChangeState::Cancelled,
            Self::Expire => ChangeState::Expired,
            Self::Supersede => ChangeState::Superseded,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Cancel, Self::Expire, Self::Supersede].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Step {
    /// A step of the cloud's own.
    pub fn of(state: ChangeState, at: DateTime<Utc>) -> Self {
        Self { state, at, device_at: None, clock: None, code: None, detail: None }
    }

    /// The end of a change that is being taken back and that its box never took in hand.
    pub fn not_taken_up(why: Withdrawing, at: DateTime<Utc>, detail: &str) -> Self {
        let code = match why {
            Withdrawing::Supersede => code::NEWER_CHANGE,
            Withdrawing::Cancel | Withdrawing::Expire => code::NOT_TAKEN_UP,
        };
        Self { code: Some(code.to_owned()), detail: Some(detail.to_owned()), ..Self::of(why.ends_as(), at) }
    }
}
