//! What Slack hands out for a while: trigger ids (once, 3 s) and response addresses (5 uses, 30 min).

use std::collections::HashMap;
use std::time::Duration;

use rand::Rng;

use super::people::TEAM_ID;
use super::{Refusal, fresh_hex, fresh_id};

const TRIGGER_LIVES: Duration = Duration::from_secs(3);
const HOOK_LIVES: Duration = Duration::from_mins(30);
const HOOK_USES: u32 = 5;

#[derive(Debug, Default)]
pub struct Tickets {
    triggers: HashMap<String, Trigger>,
    hooks: HashMap<String, Hook>,
}

#[derive(Debug, Clone)]
struct Trigger {
    user: String,
    /// The modal it came from, if it came from one.
    view: Option<String>,
    issued: Duration,
    used: bool,
}

/// Where an answer by `response_url` goes.
#[derive(Debug, Clone)]
pub struct Hook {
    pub channel: String,
    pub user: String,
    /// The message whose button was pressed.
    pub message: Option<String>,
    issued: Duration,
    used: u32,
}

impl Tickets {
    pub fn trigger(&mut self, now: Duration, user: &str, view: Option<&str>) -> String {
        self.triggers.retain(|_, trigger| now.saturating_sub(trigger.issued) < Duration::from_mins(10));
        let mut rng = rand::rng();
        let (a, b) = (
            rng.random_range(10_u64.pow(10)..10_u64.pow(11)),
            rng.random_range(10_u64.pow(11)..10_u64.pow(12)),
        );
        let id = format!("{a}.{b}.{}", fresh_hex(16));
        let trigger =
            Trigger { user: user.to_owned(), view: view.map(str::to_owned), issued: now, used: false };
        self.triggers.insert(id.clone(), trigger);
        id
    }

    /// Takes a trigger in exchange for a modal: whose screen it opens on, and the modal it came from.
    pub fn exchange(&mut self, now: Duration, id: &str) -> Result<(String, Option<String>), Refusal> {
        let Some(trigger) = self.triggers.get_mut(id) else {
            let message = "[ERROR] invalid `trigger_id` [json-pointer:/trigger_id]".to_owned();
            return Err(Refusal::with("invalid_arguments", vec![message]));
        };
        if trigger.used {
            return Err(Refusal::new("exchanged_trigger_id"));
        }
        if now.saturating_sub(trigger.issued) > TRIGGER_LIVES {
            return Err(Refusal::new("expired_trigger_id"));
        }
        trigger.used = true;
        Ok((trigger.user.clone(), trigger.view.clone()))
    }

    /// The path of a fresh response address.
    pub fn hook(
        &mut self,
        now: Duration,
        kind: &str,
        channel: &str,
        user: &str,
        message: Option<&str>,
    ) -> String {
        self.hooks.retain(|_, hook| now.saturating_sub(hook.issued) < HOOK_LIVES * 2);
        let path = format!("/hooks/{kind}/{TEAM_ID}/{}/{}", fresh_id('0'), fresh_hex(12));
        let hook = Hook {
            channel: channel.to_owned(),
            user: user.to_owned(),
            message: message.map(str::to_owned),
            issued: now,
            used: 0,
        };
        self.hooks.insert(path.clone(), hook);
        path
    }

    /// How long ago a user did what is now answered by this trigger or response address.
    pub fn age(&self, now: Duration, ticket: &str) -> Option<Duration> {
        let trigger = self.triggers.get(ticket).map(|trigger| trigger.issued);
        let issued = trigger.or_else(|| self.hooks.get(ticket).map(|hook| hook.issued))?;
        Some(now.saturating_sub(issued))
    }

    pub fn use_hook(&mut self, now: Duration, path: &str) -> Result<Hook, Refusal> {
        let hook = self.hooks.get_mut(path).ok_or_else(|| Refusal::new("no_such_url"))?;
        if now.saturating_sub(hook.issued) > HOOK_LIVES {
            return Err(Refusal::new("expired_url"));
        }
        if hook.used >= HOOK_USES {
            return Err(Refusal::new("used_url"));
        }
        hook.used += 1;
        Ok(hook.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn a_trigger_serves_once_and_for_three_seconds() {
        let mut tickets = Tickets::default();
        let first = tickets.trigger(NOON, "U1", Some("V1"));
        let second = tickets.trigger(NOON, "U1", None);

        let in_time = NOON + Duration::from_secs(3);
        assert_eq!(tickets.exchange(in_time, &first), Ok(("U1".to_owned(), Some("V1".to_owned()))));
        assert_eq!(tickets.exchange(in_time, &first), Err(Refusal::new("exchanged_trigger_id")));
        let late = NOON + Duration::from_millis(3001);
        assert_eq!(tickets.exchange(late, &second), Err(Refusal::new("expired_trigger_id")));
        assert_eq!(tickets.exchange(NOON, "made up").unwrap_err().error, "invalid_arguments");
    }

    #[test]
    fn a_response_address_serves_five_times_and_for_half_an_hour() {
        let mut tickets = Tickets::default();
        let path = tickets.hook(NOON, "actions", "C1", "U1", Some("1.2"));

        for _ in 0..5 {
            assert_eq!(tickets.use_hook(NOON, &path).unwrap().message.as_deref(), Some("1.2"));
        }
        assert_eq!(tickets.use_hook(NOON, &path).unwrap_err().error, "used_url");
        let other = tickets.hook(NOON, "commands", "C1", "U1", None);
        let late = NOON + HOOK_LIVES + Duration::from_secs(1);
        assert_eq!(tickets.use_hook(late, &other).unwrap_err().error, "expired_url");
    }
}
