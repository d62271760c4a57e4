//! What a client may ask of a shadow, checked; and the refusals, with AWS's codes and texts.

use serde_json::{Map, Value, json};

/// Levels of objects and arrays below `desired` or `reported`.
const MAX_DEPTH: usize = 6;
const MAX_CLIENT_TOKEN: usize = 64;

/// A refusal, as the shadow service words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ShadowError {
    pub code: u16,
    pub message: String,
}

impl ShadowError {
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn bad(message: &str) -> Self {
        Self::new(400, message)
    }

    pub fn too_large() -> Self {
        Self::new(413, "The payload exceeds the maximum size allowed")
    }

    pub fn no_shadow(thing: &str, name: &str) -> Self {
        let name = if name.is_empty() { thing } else { name };
        Self::new(404, format!("No shadow exists with name: '{name}'"))
    }

    pub fn version_conflict() -> Self {
        Self::new(409, "Version conflict")
    }

    /// More requests of one connection at once than the service takes.
    pub fn too_many() -> Self {
        Self::new(429, "Too many requests")
    }

    pub fn internal() -> Self {
        Self::new(500, "Internal service failure")
    }

    /// The body of a message on `.../rejected`.
    pub fn rejection(&self, client_token: Option<&str>, now: i64) -> Value {
        let mut body = json!({ "code": self.code, "message": self.message, "timestamp": now });
        if let Some(token) = client_token {
            body["clientToken"] = json!(token);
        }
        body
    }
}

/// What the update does to one side.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// `null`: the side goes.
    Clear,
    Merge(Map<String, Value>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub desired: Option<Change>,
    pub reported: Option<Change>,
    pub version: Option<i64>,
    pub client_token: Option<String>,
    /// The `state` as it came, for the answer.
    pub state: Value,
}

/// The client token of a payload, whatever else is wrong with it: a rejection carries it too.
pub fn client_token(payload: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(payload).ok()?;
    body.get("clientToken")?.as_str().filter(|token| token.len() <= MAX_CLIENT_TOKEN).map(str::to_owned)
}

/// A get's payload, empty or an object: answers the client token in it.
pub fn parse_get(payload: &[u8]) -> Result<Option<String>, ShadowError> {
    if payload.is_empty() { Ok(None) } else { token_of(&object(payload)?) }
}

fn version_of(body: &Map<String, Value>) -> Result<Option<i64>, ShadowError> {
    match body.get("version") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(version) if version >= 0 => Ok(Some(version)),
            _ => Err(ShadowError::bad("Invalid version")),
        },
    }
}

pub fn parse_update(payload: &[u8]) -> Result<Update, ShadowError> {
    let body = object(payload)?;
    let client_token = token_of(&body)?;
    let state = body.get("state").ok_or_else(|| ShadowError::bad("Missing required node: state"))?;
    let version = version_of(&body)?;
    let (desired, reported) = match state {
        // Both sides go; AWS does not document it, and does it.
        Value::Null => (Some(Change::Clear), Some(Change::Clear)),
        Value::Object(sides) if sides.keys().all(|key| key == "desired" || key == "reported") => (
            side(sides.get("desired"), "Desired node must be an object")?,
            side(sides.get("reported"), "Reported node must be an object")?,
        ),
        Value::Object(_) => return Err(ShadowError::bad("State contains an invalid node")),
        _ => return Err(ShadowError::bad("State node must be an object")),
    };
    Ok(Update { desired, reported, version, client_token, state: state.clone() })
}

fn object(payload: &[u8]) -> Result<Map<String, Value>, ShadowError> {
    let text = std::str::from_utf8(payload)
        .map_err(|_| ShadowError::new(415, "Unsupported documented encoding; supported encoding is UTF-8"))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(ShadowError::bad("Invalid JSON")),
    }
}

fn token_of(body: &Map<String, Value>) -> Result<Option<String>, ShadowError> {
    match body.get("clientToken") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) if token.len() <= MAX_CLIENT_TOKEN => Ok(Some(token.clone())),
        Some(_) => Err(ShadowError::bad("Invalid clientToken")),
    }
}

fn side(value: Option<&Value>, complaint: &str) -> Result<Option<Change>, ShadowError> {
    match value {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Change::Clear)),
        Some(Value::Object(patch)) => {
            for value in patch.values() {
                check(value, 1)?;
            }
            Ok(Some(Change::Merge(patch.clone())))
        }
        Some(_) => Err(ShadowError::bad(complaint)),
    }
}

fn check(value: &Value, depth: usize) -> Result<(), ShadowError> {
    let inner: Vec<&Value> = match value {
        Value::Object(map) => map.values().collect(),
        Value::Array(items) if items.iter().any(Value::is_null) => {
            return Err(ShadowError::bad("State contains an invalid node"));
        }
        Value::Array(items) => items.iter().collect(),
        _ => return Ok(()),
    };
    if depth >= MAX_DEPTH && !inner.is_empty() {
        return Err(ShadowError::bad("JSON contains too many levels of nesting; maximum is 6"));
    }
    inner.into_iter().try_for_each(|value| check(value, depth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(payload: &str) -> (u16, String) {
        let error = parse_update(payload.as_bytes()).unwrap_err();
        (error.code, error.message)
    }

    #[test]
    fn each_fault_has_awss_own_words() {
        let token = |length: usize| format!(r#"{{"state":{{}},"clientToken":"{}"}}"#, "x".repeat(length));
        assert!(parse_update(token(64).as_bytes()).is_ok());
        for (payload, code, text) in [
            ("{", 400, "Invalid JSON"),
            ("[]", 400, "Invalid JSON"),
            ("{}", 400, "Missing required node: state"),
            (r#"{"state":1}"#, 400, "State node must be an object"),
            (r#"{"state":{"desired":1}}"#, 400, "Desired node must be an object"),
            (r#"{"state":{"reported":[]}}"#, 400, "Reported node must be an object"),
            (r#"{"state":{"wanted":{}}}"#, 400, "State contains an invalid node"),
            (r#"{"state":{"desired":{"a":[null]}}}"#, 400, "State contains an invalid node"),
            (r#"{"state":{},"version":"1"}"#, 400, "Invalid version"),
            (r#"{"state":{},"version":1.5}"#, 400, "Invalid version"),
            (r#"{"state":{},"clientToken":1}"#, 400, "Invalid clientToken"),
            (&token(65), 400, "Invalid clientToken"),
            (r#"{"state":{},"version":-1}"#, 400, "Invalid version"),
        ] {
            assert_eq!(refusal(payload), (code, text.to_owned()), "{payload}");
        }
        let latin = parse_update(b"{\"state\":{\"desired\":{\"a\":\"\xe9\"}}}").unwrap_err();
        assert_eq!(latin.code, 415);
    }

    #[test]
    fn what_stands_beside_the_known_keys_is_passed_over() {
        let body = br#"{"state":{"reported":{"a":1}},"metadata":{},"timestamp":1,"mine":[]}"#;

        let update = parse_update(body).unwrap();

        assert_eq!((update.version, update.client_token), (None, None));
        assert_eq!(update.state, json!({"reported": {"a": 1}}));
    }

    #[test]
    fn six_levels_are_taken_and_seven_are_not() {
        let nested = |levels: usize| {
            let inner = (1..levels).fold("1".to_owned(), |inner, _| format!(r#"{{"k":{inner}}}"#));
            format!(r#"{{"state":{{"desired":{{"k":{inner}}}}}}}"#)
        };

        assert!(parse_update(nested(6).as_bytes()).is_ok());
        let list = |levels: usize| {
            let inner = (1..levels).fold("1".to_owned(), |inner, _| format!("[{inner}]"));
            format!(r#"{{"state":{{"reported":{{"k":{inner}}}}}}}"#)
        };
        assert!(parse_update(list(6).as_bytes()).is_ok());
        assert_eq!(refusal(&list(7)).1, "JSON contains too many levels of nesting; maximum is 6");
        assert_eq!(refusal(&nested(7)).1, "JSON contains too many levels of nesting; maximum is 6");
    }

    #[test]
    fn the_token_is_found_in_a_request_that_is_refused() {
        assert_eq!(client_token(br#"{"clientToken":"t1"}"#), Some("t1".to_owned()));
        assert_eq!(client_token(b"{"), None);
    }
}
