//! What a rule does with a message, read from the API's JSON.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Http(HttpAction),
    /// The topic may hold templates; a reserved one is written with `$$`.
    Republish {
        role: String,
        topic: String,
        qos: u8,
    },
    /// The key may hold templates.
    PutObject {
        role: String,
        bucket: String,
        key: String,
    },
    /// Known to AWS, not to this cloud.
    Unsupported(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAction {
    pub url: String,
    /// Where the destination was confirmed; a prefix of `url`.
    pub confirmation_url: String,
    /// Values may hold templates.
    pub headers: Vec<(String, String)>,
}

impl Action {
    /// AWS's name for it, for error actions.
    pub fn name(&self) -> &str {
        match self {
            Self::Http(_) => "HttpAction",
            Self::Republish { .. } => "RepublishAction",
            Self::PutObject { .. } => "S3Action",
            Self::Unsupported(name) => name,
        }
    }

    /// What it works on, for error actions.
    pub fn resource(&self) -> &str {
        match self {
            Self::Http(http) => &http.url,
            Self::Republish { topic, .. } => topic,
            Self::PutObject { bucket, .. } => bucket,
            Self::Unsupported(_) => "",
        }
    }

    pub fn read(action: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(http) = action.get("http") {
            let url = text(&http["url"]);
            let confirmation_url =
                http["confirmationUrl"].as_str().map_or_else(|| url.clone(), str::to_owned);
            let headers = http["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let headers =
                headers.iter().map(|header| (text(&header["key"]), text(&header["value"]))).collect();
            return Self::Http(HttpAction { url, confirmation_url, headers });
        }
        if let Some(republish) = action.get("republish") {
            let qos = u8::from(republish["qos"].as_u64() == Some(1));
            let (role, topic) = (text(&republish["roleArn"]), text(&republish["topic"]));
            return Self::Republish { role, topic, qos };
        }
        if let Some(s3) = action.get("s3") {
            let (role, bucket, key) = (text(&s3["roleArn"]), text(&s3["bucketName"]), text(&s3["key"]));
            return Self::PutObject { role, bucket, key };
        }
        let name = action.as_object().and_then(|map| map.keys().next());
        Self::Unsupported(name.cloned().unwrap_or_default())
    }
}
