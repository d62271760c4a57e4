//! Pages that give a box's share a new password and show it once: made from Slack, opened in a browser,
//! let go by the number that the page shows and that only its asker can say in Slack.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::TimeDelta;
use device_model::{lan::LanDraft, share::ShareDraft, thing_name::ThingName};
use rand::{Rng, distr::Alphanumeric};
use slack_app::{
    fleet::PasswordPage,
    i18n::Lang,
    model::{Refusal, SlackUser},
    notice,
    once_page::{Page, html},
};

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::Actor,
        audit::Entry,
        change::{Conditions, Wish},
        secret,
    },
    slack::{
        approval::{ApprovalRules, Asked},
        fleet::refusal,
    },
    store::{audit_entries, certificates, password_pages},
};

const MINUTES: i64 = 15;
/// Whoever guesses has three chances in ninety.
const WRONG_NUMBERS: i32 = 3;
const PASSWORD_LENGTH: usize = 16;
const COOKIE: &str = "recehub_page";

#[derive(Clone)]
pub struct PasswordPages {
    fleet: Fleet,
    public_url: String,
    approval: Arc<ApprovalRules>,
}

/// A new password, in words that a page shows.
struct Made {
    thing: String,
    share: String,
    user: String,
    password: String,
    /// The box gets it once somebody else has approved it.
    held: bool,
}

impl PasswordPages {
    pub fn new(fleet: Fleet, public_url: String, approval: Arc<ApprovalRules>) -> Self {
        Self { fleet, public_url, approval }
    }

    pub async fn make(&self, by: &SlackUser, thing: &ThingName, lang: Lang) -> Result<PasswordPage, Refusal> {
        let now = self.fleet.clock().now();
        let mut tx = self.fleet.db().begin().await.map_err(|error| refusal(error.into()))?;
        let made = async {
            if certificates::sealing_key(&mut tx, thing).await?.is_none() {
                return Ok(None);
            }
            let id = hex::encode(rand::random::<[u8; 16]>());
            let expires_at = now + TimeDelta::minutes(MINUTES);
            password_pages::add(&mut tx, &id, thing, &by.user_id, code(lang), (now, expires_at)).await?;
            audit(&mut tx, &Actor::slack(&by.user_id), thing, "share.password_page", now).await?;
            tx.commit().await?;
            Ok::<_, ApiError>(Some(id))
        };
        let id = made.await.map_err(refusal)?.ok_or(Refusal::NoSealingKey)?;
        let url = format!("{}/slack/password/{id}", self.public_url);
        Ok(PasswordPage { id, url })
    }

    /// False: it is not that number. After a few of those the page is gone.
    pub async fn confirm(&self, by: &SlackUser, page: &str, number: &str) -> Result<bool, Refusal> {
        self.confirmed(by, page, number).await.map_err(refusal)?.ok_or(Refusal::PageGone)
    }

    async fn confirmed(&self, by: &SlackUser, page: &str, number: &str) -> Result<Option<bool>, ApiError> {
        let now = self.fleet.clock().now();
        let mut tx = self.fleet.db().begin().await?;
        let Some(row) = password_pages::lock(&mut tx, page).await? else {
            return Ok(None);
        };
        let open = row.expires_at > now && row.shown_at.is_none() && row.wrong < WRONG_NUMBERS;
        if !open || row.user_id != by.user_id {
            return Ok(None);
        }
        let right = row.number.is_some_and(|wanted| wanted.to_string() == number);
        if right {
            password_pages::confirm(&mut tx, page, now).await?;
        } else if row.number.is_some() {
            password_pages::count_wrong(&mut tx, page).await?;
        }
        tx.commit().await?;
        Ok(Some(right))
    }

    pub fn routes(&self) -> Router {
        Router::new().route("/password/{page}", get(show).post(reveal)).with_state(self.clone())
    }

    /// What the browser with this cookie is to see; a cookie is given to the first.
    async fn look(&self, page: &str, cookie: Option<&str>) -> Result<(Lang, Seen), ApiError> {
        let now = self.fleet.clock().now();
        let mut tx = self.fleet.db().begin().await?;
        let Some(row) = password_pages::lock(&mut tx, page).await? else {
            return Ok((Lang::default(), Seen::Gone));
        };
        let lang = Lang::of_locale(&row.lang);
        if row.expires_at <= now || row.shown_at.is_some() || row.wrong >= WRONG_NUMBERS {
            return Ok((lang, Seen::Gone));
        }
        let Some(browser) = &row.browser_hash else {
            let (cookie, number) = (secret::fresh(""), rand::rng().random_range(10..100));
            password_pages::open(&mut tx, page, &secret::hash(&cookie), number).await?;
            tx.commit().await?;
            return Ok((lang, Seen::First { cookie, number }));
        };
        let known = cookie.is_some_and(|cookie| secret::hash(cookie)[..] == browser[..]);
        Ok((
            lang,
            match (known, row.confirmed_at, row.number) {
                (true, Some(_), _) => Seen::Ready { thing: row.thing, user_id: row.user_id },
                (true, None, Some(number)) => Seen::Number(number),
                _ => Seen::Gone,
            },
        ))
    }

    /// Uses the page up for a new password; if nothing comes of that, the page is given back.
    async fn make_password(&self, page: &str, thing: &str, user_id: &str) -> Result<Option<Made>, ApiError> {
        let now = self.fleet.clock().now();
        let mut db = self.fleet.db().acquire().await?;
        if !password_pages::use_up(&mut db, page, now).await? {
            return Ok(None);
        }
        drop(db);
        let made = self.change_password(page, thing, user_id).await;
        if made.is_err() {
            let mut db = self.fleet.db().acquire().await?;
            password_pages::give_back(&mut db, page).await?;
        }
        made.map(Some)
    }

    async fn change_password(&self, page: &str, thing: &str, user_id: &str) -> Result<Made, ApiError> {
        let thing: ThingName = thing.parse().map_err(anyhow::Error::from)?;
        let by = Actor::slack(user_id);
        let device = self.fleet.device(&thing).await?;
        let reported = device.reported.clone().ok_or_else(|| ApiError::UnknownThing(thing.clone()))?;
        let share = reported.share.ok_or_else(|| ApiError::UnknownThing(thing.clone()))?;
        let random = rand::rng().sample_iter(Alphanumeric).map(char::from);
        // Without letters that are read as another.
        let password: String = random.filter(|c| !"0O1lI".contains(*c)).take(PASSWORD_LENGTH).collect();
        let asked = Asked::of(&device, &reported.lan, self.fleet.clock().now());
        let held = self.approval.apply_to(&asked);
        let wish = Wish {
            lan: LanDraft::from(reported.lan),
            share: Some(ShareDraft {
                name: Some(share.name.clone()),
                user: Some(share.user.clone()),
                workgroup: Some(share.workgroup.clone()),
                password: Some(password.clone()),
                ..ShareDraft::default()
            }),
            probe: reported.probe,
            reason: Lang::Ja.words().password_reason.to_owned(),
            held,
            ..Wish::default()
        };
        let conditions =
            Conditions { idempotency_key: Some(format!("page:{page}")), ..Conditions::default() };
        self.fleet.change_lan(&thing, wish, &by, &conditions).await?;
        let mut db = self.fleet.db().acquire().await?;
        audit(&mut db, &by, &thing, "share.password_shown", self.fleet.clock().now()).await?;
        Ok(Made { thing: thing.to_string(), share: share.name, user: share.user, password, held })
    }
}

enum Seen {
    First { cookie: String, number: i32 },
    Number(i32),
    Ready { thing: String, user_id: String },
    Gone,
}

/// `GET /slack/password/{page}`
async fn show(State(pages): State<PasswordPages>, Path(page): Path<String>, headers: HeaderMap) -> Response {
    match pages.look(&page, cookie(&headers)).await {
        Ok((lang, Seen::First { cookie, number })) => {
            let mut response = shown(lang, StatusCode::OK, &Page::Number(number));
            let secure = if pages.public_url.starts_with("https:") { "; Secure" } else { "" };
            let path = format!("/slack/password/{page}");
            let cookie = format!(
                "{COOKIE}={cookie}; Path={path}; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
                MINUTES * 60
            );
            if let Ok(cookie) = cookie.parse() {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
        Ok((lang, Seen::Number(number))) => shown(lang, StatusCode::OK, &Page::Number(number)),
        Ok((lang, Seen::Ready { thing, .. })) => shown(lang, StatusCode::OK, &Page::Ready { thing: &thing }),
        Ok((lang, Seen::Gone)) => shown(lang, StatusCode::GONE, &Page::Gone),
        Err(error) => error.into_response(),
    }
}

/// `POST /slack/password/{page}`
async fn reveal(
    State(pages): State<PasswordPages>,
    Path(page): Path<String>,
    headers: HeaderMap,
) -> Response {
    let (lang, seen) = match pages.look(&page, cookie(&headers)).await {
        Ok(seen) => seen,
        Err(error) => return error.into_response(),
    };
    let Seen::Ready { thing, user_id } = seen else {
        return shown(lang, StatusCode::GONE, &Page::Gone);
    };
    match pages.make_password(&page, &thing, &user_id).await {
        Ok(Some(Made { thing, share, user, password, held })) => {
            let (thing, share, user, password) = (&*thing, &*share, &*user, &*password);
            shown(lang, StatusCode::OK, &Page::Shown { thing, share, user, password, held })
        }
        Ok(None) => shown(lang, StatusCode::GONE, &Page::Gone),
        Err(error @ (ApiError::Internal(_) | ApiError::Unavailable { .. })) => error.into_response(),
        Err(error) => {
            let why = notice::refusal(lang, &refusal(error));
            shown(lang, StatusCode::CONFLICT, &Page::Failed { why: &why })
        }
    }
}

/// Kept nowhere, framed nowhere, and nothing is loaded from anywhere.
fn shown(lang: Lang, status: StatusCode, page: &Page<'_>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ),
    ];
    (status, headers, html(lang, page)).into_response()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::COOKIE)?.to_str().ok()?;
    given.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn code(lang: Lang) -> &'static str {
    match lang {
        Lang::Ja => "ja",
        Lang::En => "en",
    }
}

async fn audit(
    db: &mut sqlx::PgConnection,
    by: &Actor,
    thing: &ThingName,
    action: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), ApiError> {
    audit_entries::add(db, &Entry::new(now, by, action).of(thing)).await?;
    Ok(())
}
