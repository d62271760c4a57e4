//! Slack's proof that a request is its own: an HMAC over the time and the body.

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;

pub const SIGNATURE_HEADER: &str = "x-slack-signature";
pub const TIMESTAMP_HEADER: &str = "x-slack-request-timestamp";
/// A request that is older, or that far in the future, may be a replay.
const TOLERANCE_SECONDS: u64 = 300;

/// The proof that came with a request; its time is judged already, the body is not.
#[derive(Debug)]
pub struct Proof {
    timestamp: String,
    code: Vec<u8>,
}

/// Why a request is not Slack's. It says nothing of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSlack {
    #[error("no signature")]
    Missing,
    #[error("no signature that can be read")]
    Malformed,
    #[error("signed too long ago, or in the future")]
    Stale,
    #[error("another signature")]
    Wrong,
}

impl Proof {
    /// Reads the headers: whatever fails here need not be read any further.
    pub fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Result<Self, NotSlack> {
        let timestamp = single(headers, TIMESTAMP_HEADER)?;
        let signature = single(headers, SIGNATURE_HEADER)?;
        let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = timestamp.parse::<i64>().ok().filter(|_| digits);
        let seconds = seconds.ok_or(NotSlack::Malformed)?;
        if now.timestamp().abs_diff(seconds) > TOLERANCE_SECONDS {
            return Err(NotSlack::Stale);
        }
        // Slack writes it in lower case. One proof has one form.
        let code = signature.strip_prefix("v0=").filter(|code| !code.bytes().any(|c| c.is_ascii_uppercase()));
        let code = code.ok_or(NotSlack::Malformed)?;
        Ok(Self {
            timestamp: timestamp.to_owned(),
            code: hex::decode(code).map_err(|_| NotSlack::Malformed)?,
        })
    }

    /// Compares in constant time, with each secret.
    pub fn check(&self, secrets: &[String], body: &[u8]) -> Result<(), NotSlack> {
        let signed = |secret: &String| {
            let mac = authenticate(secret, &self.timestamp, body);
            mac.is_some_and(|mac| mac.verify_slice(&self.code).is_ok())
        };
        if secrets.iter().any(signed) { Ok(()) } else { Err(NotSlack::Wrong) }
    }
}

/// A header that is given twice proves nothing.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, NotSlack> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| NotSlack::Malformed),
        (None, _) => Err(NotSlack::Missing),
        (Some(_), Some(_)) => Err(NotSlack::Malformed),
    }
}

/// None for an empty secret: with it, anyone could sign.
fn authenticate(secret: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    if secret.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's own documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIMESTAMP: &str = "1531420618";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn headers(timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TIMESTAMP_HEADER, timestamp.parse().unwrap());
        headers.insert(SIGNATURE_HEADER, signature.parse().unwrap());
        headers
    }

    fn check(headers: &HeaderMap, late_by: i64, secrets: &[&str], body: &str) -> Result<(), NotSlack> {
        let now = DateTime::from_timestamp(1_531_420_618 + late_by, 0).unwrap();
        let secrets: Vec<String> = secrets.iter().map(|&secret| secret.to_owned()).collect();
        Proof::read(headers, now)?.check(&secrets, body.as_bytes())
    }

    #[test]
    fn slacks_own_example_is_slacks() {
        let good = headers(TIMESTAMP, SIGNATURE);

        assert_eq!(check(&good, 0, &[SECRET], BODY), Ok(()));
        assert_eq!(check(&good, 0, &["new", SECRET], BODY), Ok(()));
        assert_eq!(check(&good, 0, &["new"], BODY), Err(NotSlack::Wrong));
        assert_eq!(check(&good, 0, &[], BODY), Err(NotSlack::Wrong));
        assert_eq!(check(&good, 0, &[SECRET], &BODY.replace("U2C", "U3C")), Err(NotSlack::Wrong));
    }

    #[test]
    fn five_minutes_are_the_most_either_way() {
        let good = headers(TIMESTAMP, SIGNATURE);

        assert_eq!(check(&good, 300, &[SECRET], BODY), Ok(()));
        assert_eq!(check(&good, -300, &[SECRET], BODY), Ok(()));
        assert_eq!(check(&good, 301, &[SECRET], BODY), Err(NotSlack::Stale));
        assert_eq!(check(&good, -301, &[SECRET], BODY), Err(NotSlack::Stale));
    }

    #[test]
    fn what_cannot_be_read_proves_nothing() {
        let none = HeaderMap::new();
        let mut twice = headers(TIMESTAMP, SIGNATURE);
        twice.append(SIGNATURE_HEADER, SIGNATURE.parse().unwrap());

        assert_eq!(check(&none, 0, &[SECRET], BODY), Err(NotSlack::Missing));
        assert_eq!(check(&twice, 0, &[SECRET], BODY), Err(NotSlack::Malformed));
        for (timestamp, signature) in [
            ("+1531420618", SIGNATURE),
            ("soon", SIGNATURE),
            ("99999999999999999999", SIGNATURE),
            (TIMESTAMP, "v1=00"),
            (TIMESTAMP, "v0=zz"),
            (TIMESTAMP, &SIGNATURE.to_uppercase().replace("V0", "v0")),
        ] {
            let result = check(&headers(timestamp, signature), 0, &[SECRET], BODY);
            assert_eq!(result, Err(NotSlack::Malformed), "{timestamp} {signature}");
        }
        assert_eq!(check(&headers(TIMESTAMP, "v0="), 0, &[SECRET], BODY), Err(NotSlack::Wrong));
    }
}
