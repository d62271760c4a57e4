//! How a box logs in: it signs an STS `GetCallerIdentity`, we rebuild the request from the few fields
//! it gives and ask STS who signed. Nothing that the box writes decides where we ask.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use device_model::{
    login::{
        AMZ_DATE_FORMAT, CONTENT_TYPE, LoginAnswer, LoginRequest, NONCE_HEADER, NonceAnswer,
        SERVER_ID_HEADER, SERVICE, SIGNED_HEADERS, THING_HEADER,
    },
    thing_name::ThingName,
};
use sqlx::Acquire;

use crate::{
    config::LoginConfig,
    error::ApiError,
    fleet::{Fleet, actor::Actor, audit::Entry, secret},
    store::{audit_entries, budgets, certificates, nonces, presence, sessions, uploads},
};

mod identity;

const NONCE_SECONDS: i64 = 60;
/// As long as the credentials that prove it. What each request checks is the certificate, so a revocation does
/// not wait for the end of a session; and a box on a metered line logs in less often.
const SESSION_MINUTES: i64 = 60;
const SKEW: TimeDelta = TimeDelta::minutes(5);
/// How many live checks may come at once, and how many more a second, on all replicas together:
/// AWS takes about ten a second of an account.
const LIVE_CHECKS: (f64, f64) = (10.0, 10.0);
/// Real ones have about 1 KB.
const MAX_SESSION_TOKEN: usize = 8 * 1024;

impl Fleet {
    /// A word that serves for one login. A thing that does not exist gets one as well: nothing is
    /// told to whoever asks.
    pub async fn nonce(&self, thing: &ThingName) -> Result<NonceAnswer, ApiError> {
        let now = self.clock().now();
        let (nonce, expires_at) = (secret::fresh(""), now + TimeDelta::seconds(NONCE_SECONDS));
        let mut db = self.db().acquire().await?;
        nonces::add(&mut db, &secret::hash(&nonce), thing, expires_at).await?;
        Ok(NonceAnswer { nonce, expires_at, now })
    }

    /// Opens a session for the box that signed the request.
    #[tracing::instrument(name = "fleet.login", skip_all, fields(thing.name = %request.thing))]
    pub async fn login(
        &self,
        request: LoginRequest,
        ip: Option<std::net::IpAddr>,
    ) -> Result<LoginAnswer, ApiError> {
        let now = self.clock().now();
        let headers =
            rebuild(&request, &self.parts.rules.login, now).ok_or_else(|| refuse("its form or time"))?;
        let mut db = self.db().acquire().await?;
        if !nonces::consume(&mut db, &secret::hash(&request.nonce), &request.thing, now).await? {
            return Err(refuse("its nonce"));
        }
        // Others need the connection more than we do while STS thinks.
        drop(db);
        let answer = self.parts.sts.get_caller_identity(&headers).await;
        let answer = answer.map_err(|error| ApiError::unavailable("AWS STS", error))?;
        if answer.status >= 500 || answer.status == 429 {
            let cause = anyhow::anyhow!("STS answered {}", answer.status);
            return Err(ApiError::unavailable("AWS STS", cause));
        }
        if answer.status != 200 {
            return Err(refuse("its signature"));
        }
        let certificate_id = identity::certificate_id(&answer.body, &self.parts.rules.login)
            .ok_or_else(|| refuse("an identity that is not a box's"))?;
        self.vouch(&certificate_id, &request.thing).await?;
        self.open_session(&request.thing, &certificate_id, ip).await
    }

    /// Whose session this is; None: nobody's, or it has ended.
    pub async fn session_thing(&self, token: &str) -> Result<Option<ThingName>, ApiError> {
        let mut db = self.db().acquire().await?;
        let name = sessions::thing_of(&mut db, &secret::hash(token), self.clock().now()).await?;
        Ok(name.and_then(|name| name.parse().ok()))
    }

    /// The certificate must be good here and attached to exactly this thing; IoT Core is asked live
    /// at its first login only, since it takes about ten such questions a second.
    async fn vouch(&self, certificate_id: &str, thing: &ThingName) -> Result<(), ApiError> {
        let mut db = self.db().acquire().await?;
        let known = certificates::find(&mut db, certificate_id).await?;
        let known = known.ok_or_else(|| refuse("a certificate that we did not issue"))?;
        if !known.active {
            return Err(refuse("a certificate that is revoked"));
        }
        if known.thing != thing.as_str() {
            tracing::warn!(thing.name = %thing, "a login for `{thing}` came with another thing's certificate");
            return Err(ApiError::Forbidden);
        }
        if known.confirmed_at.is_some() {
            return Ok(());
        }
        let (most, a_second) = LIVE_CHECKS;
        if !budgets::take(&mut db, "live_checks", most, a_second, self.clock().now()).await? {
            let cause = anyhow::anyhow!("too many first logins at once");
            return Err(ApiError::unavailable("AWS IoT Core", cause));
        }
        // Others need the connection more than we do while IoT Core thinks.
        drop(db);
        let registered = self.parts.things.certificate(certificate_id).await;
        let registered = registered.map_err(|error| ApiError::unavailable("AWS IoT Core", error))?;
        let good = registered.is_some_and(|it| it.active && it.things == [thing.as_str()]);
        if !good {
            return Err(refuse("a certificate that IoT Core does not hold for this thing alone"));
        }
        let mut db = self.db().acquire().await?;
        certificates::confirm(&mut db, certificate_id, self.clock().now()).await?;
        Ok(())
    }

    async fn open_session(
        &self,
        thing: &ThingName,
        certificate_id: &str,
        ip: Option<std::net::IpAddr>,
    ) -> Result<LoginAnswer, ApiError> {
        let now = self.clock().now();
        let (token, expires_at) = (secret::fresh("rhd_"), now + TimeDelta::minutes(SESSION_MINUTES));
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        if !sessions::add(db, &secret::hash(&token), thing, certificate_id, now, expires_at).await? {
            return Err(refuse("a certificate that was revoked just now"));
        }
        let by = Actor::thing(thing.as_str(), ip);
        audit_entries::add(db, &Entry::new(now, &by, "device.login").of(thing)).await?;
        presence::seen(db, thing, now).await?;
        let floor = uploads::sequence_floor(db, thing).await?;
        tx.commit().await?;
        Ok(LoginAnswer { token, expires_at, sequence_floor: u64::try_from(floor).unwrap_or_default() })
    }
}

/// The caller learns only that it was refused; the log has why.
fn refuse(why: &str) -> ApiError {
    tracing::info!("a login was refused for {why}");
    ApiError::LoginRefused
}

/// The headers of the request that the box signed, if its fields are what they may be.
fn rebuild(
    request: &LoginRequest,
    config: &LoginConfig,
    now: DateTime<Utc>,
) -> Option<Vec<(&'static str, String)>> {
    let key = request.access_key_id.strip_prefix("ASIA")?;
    let capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let token = |byte: u8| byte.is_ascii_graphic();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let time = NaiveDateTime::parse_from_str(&request.amz_date, AMZ_DATE_FORMAT).ok()?.and_utc();
    let sound = key.len() == 16
        && key.bytes().all(capital)
        && request.signature.len() == 64
        && request.signature.bytes().all(hex)
        && (1..=MAX_SESSION_TOKEN).contains(&request.session_token.len())
        && request.session_token.bytes().all(token)
        && (1..=128).contains(&request.nonce.len())
        && request.nonce.bytes().all(word)
        // `20261122T000000Z` and nothing that chrono would read as the same.
        && time.format(AMZ_DATE_FORMAT).to_string() == request.amz_date
        && (time - now).abs() <= SKEW;
    if !sound {
        return None;
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}/{}/{SERVICE}/aws4_request, SignedHeaders={SIGNED_HEADERS}, Signature={}",
        request.access_key_id,
        time.format("%Y%m%d"),
        config.region,
        request.signature,
    );
    Some(vec![
        ("authorization", authorization),
        ("content-type", CONTENT_TYPE.to_owned()),
        ("host", authority(&config.sts_url)),
        ("x-amz-date", request.amz_date.clone()),
        ("x-amz-security-token", request.session_token.clone()),
        (NONCE_HEADER, request.nonce.clone()),
        (SERVER_ID_HEADER, config.server_id.clone()),
        (THING_HEADER, request.thing.to_string()),
    ])
}

/// Host, and the port if it is not the scheme's own: as an HTTP client writes it.
fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A certificate id, as AWS IoT makes them.
fn is_certificate_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LoginConfig {
        LoginConfig {
            server_id: "recehub-test".to_owned(),
            sts_url: "http://127.0.0.1:4566".parse().unwrap(),
            region: "ap-northeast-1".to_owned(),
            account: "123456789012".to_owned(),
            role: "box".to_owned(),
        }
    }

    fn request() -> LoginRequest {
        LoginRequest {
            thing: "tenpo-0001".parse().unwrap(),
            nonce: "n0nce".to_owned(),
            access_key_id: "ASIAABCDEFGHIJKLMNOP".to_owned(),
            amz_date: "20261122T000000Z".to_owned(),
            session_token: "token//==".to_owned(),
            signature: "ab".repeat(32),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-22T00:04:59Z".parse().unwrap()
    }

    #[test]
    fn the_request_is_rebuilt_with_everything_fixed_but_a_few_fields() {
        let headers = rebuild(&request(), &config(), now()).unwrap();

        let value = |name| headers.iter().find(|(other, _)| *other == name).unwrap().1.clone();
        assert_eq!(value("host"), "127.0.0.1:4566");
        assert_eq!(value("x-recehub-thing"), "tenpo-0001");
        assert!(
            value("authorization")
                .contains("/20261122/ap-northeast-1/sts/aws4_request, SignedHeaders=content-type;host;")
        );
    }

    #[test]
    fn fields_that_are_not_of_the_form_are_never_sent() {
        let broken: [fn(&mut LoginRequest); 8] = [
            |it| it.access_key_id = "AKIAABCDEFGHIJKLMNOP".to_owned(),
            |it| it.access_key_id.push('/'),
            |it| it.signature = "AB".repeat(32),
            |it| it.session_token = "token\r\nhost: evil".to_owned(),
            |it| it.session_token = String::new(),
            |it| it.nonce = "a b".to_owned(),
            |it| it.amz_date = "20261122T000500Z ".to_owned(),
            |it| it.amz_date = "20261121T235958Z".to_owned(),
        ];
        for (index, change) in broken.iter().enumerate() {
            let mut request = request();
            change(&mut request);
            assert!(rebuild(&request, &config(), now()).is_none(), "case {index}");
        }
    }
}
