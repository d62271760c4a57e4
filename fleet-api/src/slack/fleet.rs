//! Boxes and changes in an operator's words.

use device_model::{
    change_id::ChangeId,
    fault::Faults,
    lan::{LanDraft, LanSettings},
    share::{ShareDraft, ShareSettings},
    thing_name::ThingName,
};
use slack_app::{
    fleet::PasswordPage,
    i18n::Lang,
    model::{BoxView, ChangeStory, Health, LanWish, Overview, Refusal, Sight, SlackUser, Which},
};

use crate::{
    error::ApiError,
    fleet::{
        actor::Actor,
        approval::Approved,
        change::{self, Conditions, Wish},
        device::{Device, Pharmacy},
    },
    slack::{Ports, approval::Asked},
    store::{self, overview},
};

/// As many as fit into a menu that people read.
const FOUND: i64 = 25;

impl slack_app::fleet::Fleet for Ports {
    async fn find(&self, text: &str) -> anyhow::Result<Vec<BoxView>> {
        let mut db = self.fleet.db().acquire().await?;
        let mut found = overview::find(&mut db, text.trim(), FOUND).await?;
        drop(db);
        // A text that is the whole name of something means that, whatever else holds it.
        if found.iter().any(|found| found.is_exact) {
            found.retain(|found| found.is_exact);
        }
        let mut views = Vec::new();
        for found in found {
            views.extend(self.device(&found.thing.parse()?).await?);
        }
        Ok(views)
    }

    async fn device(&self, thing: &ThingName) -> anyhow::Result<Option<BoxView>> {
        match self.fleet.device(thing).await {
            Ok(device) => Ok(Some(self.view(device).await?)),
            Err(ApiError::UnknownThing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn judge(&self, draft: LanDraft) -> Result<LanSettings, Faults> {
        LanSettings::parse(draft, self.fleet.reserved())
    }

    fn needs_approval(&self, device: &BoxView, after: &LanSettings) -> bool {
        let (before, pharmacy) = (device.lan.as_ref(), device.pharmacy_code.as_deref());
        let (tags, at) = (&device.tags[..], self.fleet.clock().now());
        self.approval.apply_to(&Asked { before, after, pharmacy, tags, at })
    }

    async fn change_lan(&self, by: &SlackUser, wish: LanWish, key: &str) -> Result<ChangeId, Refusal> {
        let actor = Actor::slack(&by.user_id);
        let thing = wish.thing;
        let if_match = match &wish.replaces {
            // Only what was told is superseded: the tag stands for the moment when it was the open one.
            Some(told) => match self.fleet.lan(&thing).await.map_err(refusal)? {
                (lan, etag) if lan["openChange"] == told.as_str() => Some(etag),
                _ => return self.registered(by, key).await?.ok_or(Refusal::Outdated),
            },
            None => None,
        };
        let conditions = Conditions { if_match, idempotency_key: Some(key.to_owned()) };
        let device = self.fleet.device(&thing).await.map_err(refusal)?;
        let held = match self.judge(wish.lan.clone()) {
            Ok(after) => self.approval.apply_to(&Asked::of(&device, &after, self.fleet.clock().now())),
            // It is refused for its faults.
            Err(_) => false,
        };
        let wish = Wish {
            lan: wish.lan,
            share: wish.share.map(draft),
            probe: wish.probe,
            window: wish.window,
            reason: wish.reason,
            ticket: wish.ticket,
            held,
            supersede: wish.replaces.is_some(),
            ..Wish::default()
        };
        let change = self.fleet.change_lan(&thing, wish, &actor, &conditions).await;
        change.map(|change| change.change_id).map_err(refusal)
    }

    async fn registered(&self, by: &SlackUser, key: &str) -> anyhow::Result<Option<ChangeId>> {
        let mut db = self.fleet.db().acquire().await?;
        let row = store::changes::by_key(&mut db, &Actor::slack(&by.user_id).name, key).await?;
        Ok(row.map(|row| row.change_id.parse()).transpose()?)
    }

    async fn change(&self, id: &ChangeId) -> anyhow::Result<Option<ChangeStory>> {
        match self.fleet.change(id).await {
            Ok(change) => Ok(self.stories(vec![change]).await?.pop()),
            Err(ApiError::UnknownChange) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn changes(&self, which: Which, limit: usize) -> anyhow::Result<Vec<ChangeStory>> {
        let limit = i64::try_from(limit)?;
        let mut db = self.fleet.db().acquire().await?;
        let mut changes = match which {
            Which::Of(thing) => {
                let thing = Some(thing.to_string());
                let filter = store::changes::Filter { thing, limit, ..store::changes::Filter::default() };
                store::changes::list(&mut db, &filter).await?
            }
            Which::Pending => overview::pending(&mut db, limit).await?,
            Which::Unapproved => overview::unapproved(&mut db, limit).await?,
        };
        store::steps::load(&mut db, &mut changes).await?;
        drop(db);
        self.stories(changes).await
    }

    async fn cancel(&self, by: &SlackUser, id: &ChangeId, reason: Option<&str>) -> Result<(), Refusal> {
        match self.fleet.cancel_change(id, &Actor::slack(&by.user_id), reason).await {
            Ok(_) => Ok(()),
            Err(ApiError::ChangeClosed(id)) => {
                let change = self.fleet.change(&id).await.map_err(refusal)?;
                Err(Refusal::ChangeClosed(change.state))
            }
            Err(error) => Err(refusal(error)),
        }
    }

    async fn approve(&self, by: &SlackUser, id: &ChangeId) -> Result<(), Refusal> {
        match self.fleet.approve_change(id, &Actor::slack(&by.user_id)).await.map_err(refusal)? {
            Approved::Now => Ok(()),
            Approved::Own => Err(Refusal::OwnChange),
            Approved::NotWaiting(change) => match change.approved_by {
                None if change.state.is_terminal() => Err(Refusal::ChangeClosed(change.state)),
                approved_by => Err(Refusal::NotWaiting { approved_by }),
            },
        }
    }

    async fn overview(&self, user: &SlackUser) -> anyhow::Result<Overview> {
        self.look_over(user).await
    }

    async fn password_page(
        &self,
        by: &SlackUser,
        thing: &ThingName,
        lang: Lang,
    ) -> Result<PasswordPage, Refusal> {
        self.pages.make(by, thing, lang).await
    }

    async fn confirm_password_page(&self, by: &SlackUser, page: &str, number: &str) -> Result<bool, Refusal> {
        self.pages.confirm(by, page, number).await
    }
}

impl Ports {
    pub(super) async fn view(&self, device: Device) -> anyhow::Result<BoxView> {
        let open_change = match &device.open_change {
            Some(id) => Some((id.clone(), self.fleet.change(id).await?.state)),
            None => None,
        };
        let mut health = self.health(&device.thing).await?;
        if let Some(status) = &device.status {
            health.agent_version = Some(status.agent_version.clone());
            health.backlog = status.backlog.count;
            health.oldest_at = status.backlog.oldest_at;
            health.quarantined = status.backlog.quarantined;
        }
        let reported = device.reported;
        Ok(BoxView {
            thing: device.thing,
            pharmacy: device.pharmacy.as_ref().map(label),
            pharmacy_code: device.pharmacy.map(|pharmacy| pharmacy.code),
            tags: device.tags,
            lan: reported.as_ref().map(|reported| reported.lan.clone()),
            share: reported.as_ref().and_then(|reported| reported.share.clone()),
            probe: reported.as_ref().map(|reported| reported.probe).unwrap_or_default(),
            effective: reported.and_then(|reported| reported.effective),
            open_change,
            online: device.connection.as_ref().map(|connection| connection.online),
            seen_at: device.seen_at.or(device.reported_at),
            drift_since: device.drift_since,
            health: Some(health),
        })
    }

    async fn health(&self, thing: &ThingName) -> anyhow::Result<Health> {
        let mut db = self.fleet.db().acquire().await?;
        let mut applied = store::changes::last_applied(&mut db, thing).await?;
        store::steps::load(&mut db, applied.as_mut_slice()).await?;
        let seen = match &applied {
            Some(change) => store::sights::of(&mut db, &change.change_id).await?,
            None => None,
        };
        Ok(Health {
            applied_at: applied.as_ref().and_then(|change| change.steps.last()).map(|step| step.at),
            sight: seen.as_ref().map(sight),
            last_upload_at: overview::last_upload(&mut db, thing).await?,
            certificate_issued_at: overview::certificate_issued(&mut db, thing).await?,
            ..Health::default()
        })
    }
}

/// Without a password, which stays as it is.
fn draft(share: ShareSettings) -> ShareDraft {
    let ShareSettings { name, user, workgroup, .. } = share;
    ShareDraft { name: Some(name), user: Some(user), workgroup: Some(workgroup), ..ShareDraft::default() }
}

pub(super) fn sight(sight: &change::Sight) -> Sight {
    match sight {
        change::Sight::Unconfirmed => Sight::Unconfirmed,
        change::Sight::Confirmed { at, .. } => Sight::Confirmed(*at),
    }
}

pub(super) fn refusal(error: ApiError) -> Refusal {
    match error {
        ApiError::UnknownThing(thing) => Refusal::UnknownThing(thing),
        ApiError::UnknownChange => Refusal::UnknownChange,
        ApiError::Faults(faults) => Refusal::Settings(faults),
        ApiError::ChangeOpen(change) => Refusal::ChangeOpen(change),
        ApiError::EtagMismatch => Refusal::Outdated,
        ApiError::Internal(cause) => Refusal::Internal(cause),
        other => Refusal::Internal(other.into()),
    }
}

/// A pharmacy as operators know it: its name and its code.
fn label(pharmacy: &Pharmacy) -> String {
    format!("{} ({})", pharmacy.name, pharmacy.code)
}
