//! Boxes and changes in an operator's words.

use device_model::{
    change_id::ChangeId,
    fault::Faults,
    lan::{LanDraft, LanSettings},
};
use slack_app::fleet::{BoxView, LanWish, Refusal, SlackUser};

use crate::{
    error::ApiError,
    fleet::{
        actor::Actor,
        change::{Conditions, Wish},
        device::{Device, Pharmacy},
    },
    slack::Ports,
};

impl slack_app::fleet::Fleet for Ports {
    async fn find(&self, text: &str) -> anyhow::Result<Vec<BoxView>> {
        let found = self.fleet.find_boxes(text).await?;
        let mut views = Vec::new();
        for device in narrowed(found, text) {
            views.push(self.view(device).await?);
        }
        Ok(views)
    }

    fn judge(&self, draft: LanDraft) -> Result<LanSettings, Faults> {
        LanSettings::parse(draft, self.fleet.reserved())
    }

    async fn change_lan(&self, by: &SlackUser, wish: LanWish, key: &str) -> Result<ChangeId, Refusal> {
        let actor = Actor::slack(&by.user_id);
        let conditions = Conditions { idempotency_key: Some(key.to_owned()), ..Conditions::default() };
        let thing = wish.thing;
        let wish = Wish {
            lan: wish.lan,
            probe: wish.probe,
            reason: wish.reason,
            ticket: wish.ticket,
            ..Wish::default()
        };
        match self.fleet.change_lan(&thing, wish, &actor, &conditions).await {
            Ok(change) => Ok(change.change_id),
            Err(ApiError::UnknownThing(thing)) => Err(Refusal::UnknownThing(thing)),
            Err(ApiError::Faults(faults)) => Err(Refusal::Settings(faults)),
            Err(ApiError::ChangeOpen(change)) => Err(Refusal::ChangeOpen(change)),
            Err(ApiError::Internal(cause)) => Err(Refusal::Internal(cause)),
            Err(other) => Err(Refusal::Internal(other.into())),
        }
    }
}

impl Ports {
    async fn view(&self, device: Device) -> anyhow::Result<BoxView> {
        let open_change = match device.open_change {
            Some(id) => {
                let change = self.fleet.change(&id).await?;
                Some((id, change.state))
            }
            None => None,
        };
        let reported = device.reported;
        Ok(BoxView {
            thing: device.thing,
            pharmacy: device.pharmacy.as_ref().map(label),
            lan: reported.as_ref().map(|reported| reported.lan.clone()),
            share: reported.as_ref().and_then(|reported| reported.share.clone()),
            probe: reported.as_ref().map(|reported| reported.probe).unwrap_or_default(),
            effective: reported.and_then(|reported| reported.effective),
            open_change,
            online: device.connection.as_ref().map(|connection| connection.online),
            seen_at: device.seen_at.or(device.reported_at),
            drift_since: device.drift_since,
        })
    }
}

/// A pharmacy as operators know it: its name and its code.
fn label(pharmacy: &Pharmacy) -> String {
    format!("{} ({})", pharmacy.name, pharmacy.code)
}

/// A text that is a pharmacy's whole code or name means that pharmacy, whatever else holds it.
fn narrowed(found: Vec<Device>, text: &str) -> Vec<Device> {
    let text = text.trim();
    let is_exact = |device: &Device| {
        let pharmacy = device.pharmacy.as_ref();
        pharmacy.is_some_and(|pharmacy| pharmacy.code.eq_ignore_ascii_case(text) || pharmacy.name == text)
    };
    if found.iter().any(is_exact) { found.into_iter().filter(is_exact).collect() } else { found }
}
