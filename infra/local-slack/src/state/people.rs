//! The people, the bot and the user groups of the workspace, as Slack describes them.

use serde_json::{Value, json};

pub const TEAM_ID: &str = "T01LOCALSLK";
pub const TEAM_DOMAIN: &str = "local-slack";
pub const TEAM_NAME: &str = "Local Slack";
pub const APP_ID: &str = "A01LOCALAPP";
pub const BOT_ID: &str = "B01LOCALBOT";
pub const BOT_USER: &str = "U01LOCALBOT";
/// Slack's own voice: failures and unknown commands.
pub const SLACKBOT: &str = "USLACKBOT";

pub const OPERATOR: &str = "U01OPERATOR";
pub const APPROVER: &str = "U01APPROVER";
pub const VIEWER: &str = "U01VIEWER00";
pub const ADMIN: &str = "U01ADMIN000";
pub const ENGLISH: &str = "U01ENGLISH0";
pub const GUEST: &str = "U01GUEST000";
pub const STRANGER: &str = "U01STRANGER";

/// The token in the body of what Slack sends: deprecated, and there all the same.
pub const VERIFICATION_TOKEN: &str = "local-verification-token";

#[derive(Debug, Clone)]
pub struct Person {
    pub id: &'static str,
    pub name: String,
    pub real_name: String,
    /// What they do, as on their profile.
    pub title: &'static str,
    pub locale: &'static str,
    pub color: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Member,
    Admin,
    /// a guest of one channel
    Guest,
    /// from another workspace, by Slack Connect
    Stranger,
    Bot,
}

#[derive(Debug, Clone)]
pub struct Group {
    pub id: &'static str,
    pub handle: &'static str,
    pub name: &'static str,
    pub users: Vec<&'static str>,
}

#[derive(Debug)]
pub struct People {
    pub everyone: Vec<Person>,
    pub groups: Vec<Group>,
}

impl People {
    pub fn cast(app_name: &str) -> Self {
        let person = |id, name: &str, real_name: &str, title, locale, color, kind| Person {
            id,
            name: name.to_owned(),
            real_name: real_name.to_owned(),
            title,
            locale,
            color,
            kind,
        };
        let group =
            |id, handle, name, users: &[&'static str]| Group { id, handle, name, users: users.to_vec() };
        Self {
            everyone: vec![
                person(OPERATOR, "misaki.sato", "佐藤 美咲", "オペレーター", "ja-JP", "4bbe2e", Kind::Member),
                person(APPROVER, "kenichi.suzuki", "鈴木 健一", "承認者", "ja-JP", "e7392d", Kind::Member),
                person(VIEWER, "aoi.takahashi", "高橋 葵", "閲覧者", "ja-JP", "3c989f", Kind::Member),
                person(ADMIN, "makoto.tanaka", "田中 誠", "管理者", "ja-JP", "674b1b", Kind::Admin),
                person(ENGLISH, "emma.wilson", "Emma Wilson", "Operator", "en-US", "9f69e7", Kind::Member),
                person(GUEST, "guest.ito", "伊藤 結衣", "ゲスト", "ja-JP", "a63024", Kind::Guest),
                person(
                    STRANGER,
                    "stranger.kato",
                    "加藤 翔",
                    "社外(Slackコネクト)",
                    "ja-JP",
                    "5b89d5",
                    Kind::Stranger,
                ),
                person(BOT_USER, "app", app_name, "", "ja-JP", "2b6cb0", Kind::Bot),
                person(SLACKBOT, "slackbot", "Slackbot", "", "ja-JP", "757575", Kind::Bot),
            ],
            groups: vec![
                group("S01OPERATOR", "operators", "オペレーター", &[OPERATOR, ENGLISH]),
                group("S01APPROVER", "approvers", "承認者", &[APPROVER]),
                group("S01VIEWER00", "viewers", "閲覧者", &[VIEWER]),
                group("S01ADMIN000", "admins", "管理者", &[ADMIN]),
            ],
        }
    }

    pub fn find(&self, id: &str) -> Option<&Person> {
        self.everyone.iter().find(|person| person.id == id)
    }
}

impl Person {
    /// Slack's own words in this person's language.
    pub fn reads(&self, english: &str, japanese: &str) -> String {
        if self.locale.starts_with("en") { english.to_owned() } else { japanese.to_owned() }
    }

    fn team(&self) -> &'static str {
        if self.kind == Kind::Stranger { "T01ELSEWHER" } else { TEAM_ID }
    }

    /// The short form inside an interaction.
    pub fn brief(&self) -> Value {
        json!({"id": self.id, "username": self.name, "name": self.name, "team_id": self.team()})
    }

    /// The whole user object of `users.info`.
    pub fn whole(&self, with_locale: bool) -> Value {
        let bot = self.kind == Kind::Bot;
        let mut user = json!({
            "id": self.id, "team_id": self.team(), "name": self.name, "deleted": false, "color": self.color,
            "real_name": self.real_name, "tz": "Asia/Tokyo", "tz_label": "Japan Standard Time", "tz_offset": 32400,
            "profile": {
                "title": self.title, "phone": "", "skype": "", "real_name": self.real_name,
                "real_name_normalized": self.real_name, "display_name": self.real_name,
                "display_name_normalized": self.real_name, "fields": null, "status_text": "", "status_emoji": "",
                "status_expiration": 0, "avatar_hash": "0000000000aa",
                "email": format!("{}@example.com", self.name), "team": self.team(),
            },
            "is_admin": self.kind == Kind::Admin, "is_owner": false, "is_primary_owner": false,
            "is_restricted": self.kind == Kind::Guest, "is_ultra_restricted": self.kind == Kind::Guest,
            "is_bot": bot, "is_app_user": false, "updated": 1_700_000_000, "is_email_confirmed": !bot,
            "who_can_share_contact_card": "EVERYONE",
        });
        if self.kind == Kind::Stranger {
            user["is_stranger"] = json!(true);
        }
        if with_locale {
            user["locale"] = json!(self.locale);
        }
        user
    }
}

impl Group {
    pub fn whole(&self, with_users: bool) -> Value {
        let mut group = json!({
            "id": self.id, "team_id": TEAM_ID, "is_usergroup": true, "is_subteam": true, "name": self.name,
            "description": "", "handle": self.handle, "is_external": false, "date_create": 1_700_000_000,
            "date_update": 1_700_000_000, "date_delete": 0, "auto_type": null, "auto_provision": false,
            "created_by": ADMIN, "updated_by": ADMIN, "deleted_by": null,
            "prefs": {"channels": [], "groups": []}, "user_count": self.users.len(), "channel_count": 0,
        });
        if with_users {
            group["users"] = json!(self.users);
        }
        group
    }
}
