//! Who asked, where an answer can be given, and what they may.

use std::time::Duration;

use crate::{
    SlackApp,
    blocks::{Block, section},
    fleet::Ports,
    i18n::Lang,
    job::ActView,
    model::{Role, SlackUser},
    notice,
    worker::{home, screen},
};

const LANGUAGE_PATIENCE: Duration = Duration::from_millis(1500);

pub struct Asker<'a> {
    pub user: &'a SlackUser,
    /// None: in a modal or in Home.
    pub channel_id: Option<&'a str>,
    pub trigger_id: &'a str,
    /// None: nothing can be said beside what was pressed in.
    pub response_url: Option<&'a str>,
    /// The modal in which something was pressed.
    pub view: Option<&'a ActView>,
    /// The trigger has ended, or was used.
    pub is_late: bool,
}

/// What an act needs a role for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Look,
    Change,
    Approve,
}

impl Asker<'_> {
    pub async fn lang<P: Ports>(&self, app: &SlackApp<P>) -> Lang {
        app.locales().lang_of(app.web(), &self.user.user_id, LANGUAGE_PATIENCE).await
    }

    /// Why the asker may not, in words; None: they may. Asked each time something is done.
    pub async fn refused<P: Ports>(
        &self,
        app: &SlackApp<P>,
        lang: Lang,
        need: Need,
    ) -> anyhow::Result<Option<&'static str>> {
        let words = lang.words();
        let role = app.ports().role_of(self.user).await?;
        let elsewhere = need != Need::Look && !app.settings().may_change_in(self.channel_id);
        Ok(match (role, need) {
            (None, _) => Some(words.no_role),
            (Some(_), Need::Change | Need::Approve) if elsewhere => Some(words.wrong_channel),
            (Some(role), Need::Change) if !role.may_change() => Some(words.not_allowed),
            (Some(role), Need::Approve) if !role.may_approve() => Some(words.not_approver),
            (Some(Role::Viewer | Role::Operator | Role::Approver | Role::Admin), _) => None,
        })
    }

    /// Says something to the asker alone, wherever they are.
    pub async fn tell<P: Ports>(&self, app: &SlackApp<P>, lang: Lang, text: &str) -> anyhow::Result<()> {
        self.show(app, lang, lang.words().notice_title, text, vec![section(text)]).await
    }

    /// Shows blocks to the asker alone: beside the message, in the modal, or in a new one over Home.
    pub async fn show<P: Ports>(
        &self,
        app: &SlackApp<P>,
        lang: Lang,
        title: &str,
        text: &str,
        blocks: Vec<Block>,
    ) -> anyhow::Result<()> {
        if let Some(url) = self.response_url {
            return Ok(app.web().respond(url, &notice::answer(text, &blocks)).await?);
        }
        screen::put(app, self, &notice::showing(lang, title, &blocks)).await
    }

    /// After something was done from Home: Home shows it.
    pub async fn refresh<P: Ports>(&self, app: &SlackApp<P>) -> anyhow::Result<()> {
        match (self.response_url, self.view) {
            (None, None) => home::home(app, self.user).await,
            _ => Ok(()),
        }
    }
}
