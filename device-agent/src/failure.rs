//! Why a call to the cloud failed, sorted by what is to be done about it.

use std::time::Duration;

use reqwest::{Response, StatusCode, header::RETRY_AFTER};

#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// Nothing was answered: the line, the far end, or a time-out.
    #[error("the line failed: {0}")]
    Line(String),
    /// 401: the session is over, or the signature was not taken.
    #[error("the cloud does not know this session")]
    Unauthorized,
    /// 403: asking again changes nothing; someone must look.
    #[error("the cloud refuses this box")]
    Forbidden,
    /// 400, 413, 422: this entry will never be taken as it is.
    #[error("the cloud will never take this: {0}")]
    Unfit(StatusCode),
    /// 409, 429, 503: later.
    #[error("the cloud asks to come back later: {status}")]
    Busy { status: StatusCode, retry_after: Option<Duration> },
    /// Anything else, e.g. 500 or an answer that makes no sense.
    #[error("the cloud's answer is of no use: {0}")]
    Unusable(String),
    /// The box itself: its disk, or that it has too many files open.
    #[error("the box itself failed: {0}")]
    Local(String),
}

/// A wish to wait longer than this is not believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

impl Failure {
    /// The answer, if it is a success.
    pub fn unless_ok(answer: Response) -> Result<Response, Self> {
        let status = answer.status();
        match status.as_u16() {
            200..=299 => Ok(answer),
            401 => Err(Self::Unauthorized),
            403 => Err(Self::Forbidden),
            400 | 413 | 422 => Err(Self::Unfit(status)),
            // The API saw nothing move.
            408 => Err(Self::Line(status.to_string())),
            409 | 429 | 503 => Err(Self::Busy { status, retry_after: retry_after(&answer) }),
            _ => Err(Self::Unusable(status.to_string())),
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // The URL says nothing new, and an upload's would only repeat its id.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        if error.is_decode() { Self::Unusable(text) } else { Self::Line(text) }
    }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
