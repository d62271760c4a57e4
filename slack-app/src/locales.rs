//! In which language a user reads Slack, remembered for a while.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{i18n::Lang, web::Web};

const REMEMBERED: Duration = Duration::from_mins(10);
/// More users than any workspace of ours has; beyond, all is forgotten.
const MOST: usize = 10_000;

#[derive(Clone, Default)]
pub struct Locales(Arc<Mutex<HashMap<String, (Lang, Instant)>>>);

impl Locales {
    /// Asks Slack if need be, no longer than `patience`. Whoever cannot be asked about reads Japanese.
    pub async fn lang_of(&self, web: &Web, user_id: &str, patience: Duration) -> Lang {
        if let Some(lang) = self.known(user_id) {
            return lang;
        }
        match tokio::time::timeout(patience, web.user(user_id)).await {
            Ok(Ok(user)) => {
                let lang = user.locale.as_deref().map_or(Lang::default(), Lang::of_locale);
                self.remember(user_id, lang);
                lang
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, slack.user_id = user_id, "could not ask for a user's language");
                Lang::default()
            }
            Err(_) => Lang::default(),
        }
    }

    /// What is remembered, without asking.
    pub fn known(&self, user_id: &str) -> Option<Lang> {
        let known = self.0.lock();
        let (lang, since) = known.get(user_id)?;
        (since.elapsed() < REMEMBERED).then_some(*lang)
    }

    fn remember(&self, user_id: &str, lang: Lang) {
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(user_id.to_owned(), (lang, Instant::now()));
    }
}
