//! Boxes, changes and people as the Slack app sees them.

use chrono::{DateTime, Utc};
use device_model::{
    change::ChangeState,
    change_id::ChangeId,
    fault::Faults,
    lan::{LanDraft, LanSettings},
    outcome::Clock,
    shadow::{Effective, ProbePolicy},
    share::ShareSettings,
    thing_name::ThingName,
    window::{Window, WindowDraft},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlackUser {
    pub team_id: String,
    pub user_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// Looking is for every role; changing is not.
    pub fn may_change(self) -> bool {
        self >= Self::Operator
    }

    pub fn may_approve(self) -> bool {
        self >= Self::Approver
    }
}

/// A box as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxView {
    pub thing: ThingName,
    /// Name and code of the pharmacy where it stands.
    pub pharmacy: Option<String>,
    pub pharmacy_code: Option<String>,
    pub tags: Vec<String>,
    /// What runs, as the box last said.
    pub lan: Option<LanSettings>,
    pub share: Option<ShareSettings>,
    pub probe: ProbePolicy,
    /// The address that the interface really has.
    pub effective: Option<Effective>,
    pub open_change: Option<(ChangeId, ChangeState)>,
    /// None: not known.
    pub online: Option<bool>,
    /// When the box was last heard of.
    pub seen_at: Option<DateTime<Utc>>,
    /// Since when it has run something else than it was asked to.
    pub drift_since: Option<DateTime<Utc>>,
    /// What it last said of itself besides its settings.
    pub health: Option<Health>,
}

/// How a box is, as far as an operator can do something about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    pub agent_version: Option<String>,
    pub last_upload_at: Option<DateTime<Utc>>,
    pub backlog: u64,
    pub oldest_at: Option<DateTime<Utc>>,
    pub quarantined: u64,
    pub certificate_issued_at: Option<DateTime<Utc>>,
    /// When the last change was applied, and whether the receipt computer has found the box since.
    pub applied_at: Option<DateTime<Utc>>,
    pub sight: Option<Sight>,
}

/// What an operator wants, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanWish {
    pub thing: ThingName,
    pub lan: LanDraft,
    /// None: the share stays as it is. Its password does in any case.
    pub share: Option<ShareSettings>,
    pub probe: ProbePolicy,
    /// None: at once.
    pub window: Option<WindowDraft>,
    pub reason: String,
    pub ticket: Option<String>,
    /// The open change whose place it takes, as whoever wishes it was told.
    pub replaces: Option<ChangeId>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no box is called {0}")]
    UnknownThing(ThingName),
    #[error("there is no such change")]
    UnknownChange,
    #[error("the settings cannot be used: {0}")]
    Settings(Faults),
    #[error("change {0} is still open")]
    ChangeOpen(ChangeId),
    /// Not what was shown before it was asked for: it has to be looked at again.
    #[error("the box is not as it was shown any more")]
    Outdated,
    /// With the state in which it ended.
    #[error("the change is closed already")]
    ChangeClosed(ChangeState),
    /// It does not wait for anybody's approval: who gave it, if anybody did.
    #[error("the change waits for no approval")]
    NotWaiting { approved_by: Option<String> },
    /// Nobody approves what they asked for themselves.
    #[error("the change is the approver's own")]
    OwnChange,
    /// The box runs these settings already.
    #[error("nothing would change")]
    NothingToChange,
    /// It cannot take a password that is not of its own making.
    #[error("the box takes no password from us")]
    NoSealingKey,
    /// The one-time page has ended, was used, or is somebody else's.
    #[error("the page is gone")]
    PageGone,
    #[error("something failed on our side")]
    Internal(#[from] anyhow::Error),
}

/// Which changes are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    Of(ThingName),
    /// Not closed, or ended without effect as the last of their box.
    Pending,
    /// Waiting for a second pair of eyes.
    Unapproved,
}

/// A change from its wish to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStory {
    pub change_id: ChangeId,
    pub thing: ThingName,
    pub pharmacy: Option<String>,
    pub state: ChangeState,
    pub approval: Approval,
    /// It is being taken back, and the box has not answered yet.
    pub withdrawing: Option<Withdrawing>,
    /// None: not known.
    pub online: Option<bool>,
    /// `slack:U…`, `token:…`.
    pub requested_by: String,
    pub requested_at: DateTime<Utc>,
    pub reason: String,
    pub ticket: Option<String>,
    pub before: Option<LanSettings>,
    pub after: LanSettings,
    /// None: nothing of the share changes.
    pub share: Option<ShareChange>,
    pub window: Option<Window>,
    pub steps: Vec<Step>,
    /// Of a change that was applied to a box that hosts its share.
    pub sight: Option<Sight>,
}

/// What becomes of a share. Its password is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareChange {
    /// None: not known.
    pub before: Option<ShareSettings>,
    pub after: ShareSettings,
    pub new_password: bool,
}

/// Why a change is being taken back that a box may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawing {
    Cancel,
    Expire,
    /// A newer one takes its place.
    Supersede,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    NotNeeded,
    Waiting,
    /// By whom, as in `requested_by`.
    Given(String),
}

/// Whether the receipt computer has found the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Unconfirmed,
    /// When the cloud heard of it.
    Confirmed(DateTime<Utc>),
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

/// The fleet at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// One a box, in the order in which the map draws them.
    pub squares: Vec<Square>,
    pub certificates_due: usize,
    /// What needs a hand now: failed changes, changes to be approved.
    pub attention: Vec<ChangeStory>,
    /// Boxes that run what nobody here asked for.
    pub drifted: Vec<BoxView>,
    /// The user's own changes that are not closed.
    pub mine: Vec<ChangeStory>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Square {
    /// The pharmacy's code, or the box's name.
    pub label: String,
    pub look: Look,
}

/// How a box stands, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    Failed,
    Pending,
    Offline,
    Online,
    Unknown,
}

impl Look {
    pub const ALL: [Self; 5] = [Self::Failed, Self::Pending, Self::Offline, Self::Online, Self::Unknown];
}

impl ShareChange {
    /// None: a share of these names is there already.
    pub fn between(before: Option<&ShareSettings>, after: &ShareSettings) -> Option<Self> {
        let [before, after] = [before, Some(after)].map(|share| {
            let mut share = share?.clone();
            share.password_sealed = None;
            Some(share)
        });
        let after = after.filter(|after| before.as_ref() != Some(after))?;
        Some(Self { before, after, new_password: false })
    }
}

impl Overview {
    pub fn count(&self, look: Look) -> usize {
        self.squares.iter().filter(|square| square.look == look).count()
    }
}

impl ChangeStory {
    /// Ended without effect, so that somebody should look.
    pub fn has_failed(&self) -> bool {
        use ChangeState as S;
        matches!(self.state, S::RolledBack | S::Refused | S::Expired)
    }
}
