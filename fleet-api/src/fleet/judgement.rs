//! Judges a wish: every fault at once, or settings that a box can apply.

use chrono::{DateTime, Utc};
use device_model::{
    draft::is_prose,
    fault::{FaultCode, Faults},
    lan::LanSettings,
    share::check_password,
    thing_name::ThingName,
    window::Window,
};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        change::{Settings, Wish},
        sealing,
    },
    limits::MAX_REASON,
    store::certificates,
};

const MAX_TICKET: usize = 100;

impl Fleet {
    /// Every fault of the wish at once, or the settings that a box can apply.
    pub(super) async fn judge(
        &self,
        db: &mut PgConnection,
        thing: &ThingName,
        wish: Wish,
        now: DateTime<Utc>,
    ) -> Result<Settings, ApiError> {
        let mut faults = wish.misfits;
        let lan = LanSettings::parse(wish.lan, &self.parts.rules.reserved);
        let lan = lan.map_err(|found| faults.extend(found.under("lan"))).ok();
        let window = wish.window.map(|draft| Window::parse(draft, now)).transpose();
        let window = window.map_err(|found| faults.extend(found.under("window"))).ok().flatten();
        match wish.reason.trim() {
            // What could not be read has its fault already.
            "" if faults.at("reason") => {}
            "" => faults.add("reason", FaultCode::Required),
            reason if reason.chars().count() > MAX_REASON => {
                faults.add("reason", FaultCode::TooLong { max: MAX_REASON });
            }
            reason if !is_prose(reason) => faults.add("reason", FaultCode::BadCharacter),
            _ => {}
        }
        match wish.ticket.as_deref() {
            Some(ticket) if ticket.chars().count() > MAX_TICKET => {
                faults.add("ticket", FaultCode::TooLong { max: MAX_TICKET });
            }
            Some(ticket) if !is_prose(ticket) => faults.add("ticket", FaultCode::BadCharacter),
            _ => {}
        }
        let earlier = self.running(db, thing).await?.and_then(|running| running.share);
        let share = match wish.share {
            None => earlier,
            Some(mut draft) => {
                let password = draft.password.take();
                let checked = draft.check();
                let share = checked.map_err(|found| faults.extend(found.under("share"))).ok();
                let kept = earlier.and_then(|share| share.password_sealed);
                let sealed = match password {
                    Some(password) => seal(db, thing, &password, &mut faults).await?,
                    None => kept,
                };
                share.map(|mut share| {
                    share.password_sealed = sealed;
                    share
                })
            }
        };
        let settings = lan.map(|lan| Settings { lan, share, probe: wish.probe, window });
        match settings {
            Some(settings) => Ok(faults.unless_any(settings)?),
            None => Err(faults.into()),
        }
    }

    /// What was asked, as far as it could be read, for telling a repetition from another request under the same key.
    pub(super) fn fingerprint(&self, thing: &ThingName, wish: &Wish) -> [u8; 32] {
        let share =
            wish.share.as_ref().map(|share| json!([share.name, share.user, share.workgroup, share.password]));
        let request = json!([
            thing,
            wish.lan,
            share,
            wish.probe,
            wish.window,
            wish.reason,
            wish.ticket,
            wish.supersede
        ]);
        self.parts.rules.path_keys.fingerprint(request.to_string().as_bytes())
    }
}

/// Seals a password at once; from here on nobody but the box can read it.
async fn seal(
    db: &mut PgConnection,
    thing: &ThingName,
    password: &str,
    faults: &mut Faults,
) -> Result<Option<String>, ApiError> {
    let field = "share.password";
    if let Err(code) = check_password(password) {
        faults.add(field, code);
    } else if let Some(key) = certificates::sealing_key(db, thing).await? {
        return Ok(Some(sealing::seal_password(&key, thing, password)?));
    } else {
        // Without a key of the box's nobody can keep the password, so it may not be given.
        faults.add(field, FaultCode::NotAllowedHere);
    }
    Ok(None)
}
