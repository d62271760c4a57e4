//! The canonical request: what a client hashed, rebuilt from what arrived.

use std::fmt::Write as _;

use http::request::Parts;

use super::{SigV4Error, signed::Signed};

pub fn request(parts: &Parts, signed: &Signed, payload: &str) -> Result<String, SigV4Error> {
    let mut text = format!("{}\n{}\n{}\n", parts.method, path(parts, signed), query(parts));
    for name in &signed.headers {
        let value = header(parts, name).ok_or_else(|| {
            SigV4Error::SignatureDoesNotMatch(format!("the signed header '{name}' is not in the request"))
        })?;
        text.push_str(name);
        text.push(':');
        text.push_str(&value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed.headers.join(";"));
    text.push('\n');
    text.push_str(payload);
    Ok(text)
}

/// S3 encodes each byte of the key once; the other services encode the path as sent once more, without dot segments.
fn path(parts: &Parts, signed: &Signed) -> String {
    let raw = parts.uri.path();
    if signed.service == "s3" {
        return encode(&decode(raw), true);
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in raw.split('/').skip(1) {
        match segment {
            "." | "" => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut normal = format!("/{}", segments.join("/"));
    if normal.len() > 1 && raw.ends_with('/') {
        normal.push('/');
    }
    encode(normal.as_bytes(), true)
}

fn query(parts: &Parts) -> String {
    let mut pairs: Vec<(String, String)> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (encode(&decode(name), false), encode(&decode(value), false)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Values trimmed, runs of spaces made one, several values joined by commas.
fn header(parts: &Parts, name: &str) -> Option<String> {
    let values: Vec<String> = parts
        .headers
        .get_all(name)
        .iter()
        .map(|value| {
            let value = String::from_utf8_lossy(value.as_bytes());
            value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    if values.is_empty() {
        // HTTP/2 has the host in the URI.
        return parts.uri.authority().filter(|_| name == "host").map(ToString::to_string);
    }
    Some(values.join(","))
}

pub fn decode(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

fn encode(bytes: &[u8], keep_slash: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            b'/' if keep_slash => text.push('/'),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}
