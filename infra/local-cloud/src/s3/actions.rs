//! Which IAM actions an operation needs, and the condition keys that a request brings with it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use http::{HeaderMap, Uri};

use crate::policy::Context;

/// The actions that the caller must be allowed on the resource of the path.
pub fn of(operation: &str, uri: &Uri, headers: &HeaderMap) -> Vec<String> {
    let has = |name: &str| headers.contains_key(name);
    let versioned =
        uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("versionId=")));
    let version = |plain: &'static str, of_version: &'static str| if versioned { of_version } else { plain };
    let mut actions = vec![match operation {
        "GetObject" | "HeadObject" => version("GetObject", "GetObjectVersion"),
        "DeleteObject" => version("DeleteObject", "DeleteObjectVersion"),
        "PutObject"
        | "CopyObject"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload" => "PutObject",
        "GetObjectAttributes" => version("GetObjectAttributes", "GetObjectVersionAttributes"),
        "GetObjectTagging" => version("GetObjectTagging", "GetObjectVersionTagging"),
        "PutObjectTagging" => version("PutObjectTagging", "PutObjectVersionTagging"),
        "DeleteObjectTagging" => version("DeleteObjectTagging", "DeleteObjectVersionTagging"),
        "ListParts" => "ListMultipartUploadParts",
        "ListObjects" | "ListObjectsV2" | "HeadBucket" => "ListBucket",
        "ListObjectVersions" => "ListBucketVersions",
        "ListMultipartUploads" => "ListBucketMultipartUploads",
        "ListBuckets" => "ListAllMyBuckets",
        "GetObjectLockConfiguration" => "GetBucketObjectLockConfiguration",
        // Asked for each key by the operation itself.
        "DeleteObjects" => return Vec::new(),
        other => other,
    }];
    if actions == ["PutObject"] {
        let retention = ["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"];
        for (needed, action) in [
            (retention.iter().any(|name| has(name)), "PutObjectRetention"),
            (has("x-amz-object-lock-legal-hold"), "PutObjectLegalHold"),
            (has("x-amz-tagging"), "PutObjectTagging"),
            (has("if-match"), "GetObject"),
        ] {
            if needed {
                actions.push(action);
            }
        }
    }
    if operation == "GetObjectAttributes" {
        actions.push(version("GetObject", "GetObjectVersion"));
    }
    if has("x-amz-bypass-governance-retention") {
        actions.push("BypassGovernanceRetention");
    }
    actions.into_iter().map(|action| format!("s3:{action}")).collect()
}

/// Adds the `s3:` condition keys.
pub fn describe(
    context: &mut Context,
    operation: &str,
    headers: &HeaderMap,
    query: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) {
    for (header, key) in [
        ("if-none-match", "s3:if-none-match"),
        ("if-match", "s3:if-match"),
        ("x-amz-acl", "s3:x-amz-acl"),
        ("x-amz-content-sha256", "s3:x-amz-content-sha256"),
        ("x-amz-copy-source", "s3:x-amz-copy-source"),
        ("x-amz-metadata-directive", "s3:x-amz-metadata-directive"),
        ("x-amz-object-lock-legal-hold", "s3:object-lock-legal-hold"),
        ("x-amz-object-lock-mode", "s3:object-lock-mode"),
        ("x-amz-object-lock-retain-until-date", "s3:object-lock-retain-until-date"),
        ("x-amz-server-side-encryption", "s3:x-amz-server-side-encryption"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
        ("x-amz-storage-class", "s3:x-amz-storage-class"),
    ] {
        if let Some(value) = headers.get(header).and_then(|value| value.to_str().ok()) {
            context.set(key, value);
        }
    }
    for (parameter, key) in [
        ("prefix", "s3:prefix"),
        ("delimiter", "s3:delimiter"),
        ("max-keys", "s3:max-keys"),
        ("versionId", "s3:VersionId"),
    ] {
        if let Some(value) = query.get(parameter) {
            context.set(key, value);
        }
    }
    let until = headers.get("x-amz-object-lock-retain-until-date").and_then(|value| value.to_str().ok());
    if let Some(until) = until.and_then(|until| DateTime::parse_from_rfc3339(until).ok()) {
        let days = (until.to_utc() - now).num_days();
        context.set("s3:object-lock-remaining-retention-days", days.to_string());
    }
    // The parts of a multipart upload make no object yet; its completion does.
    match operation {
        "PutObject" | "CopyObject" | "CompleteMultipartUpload" => {
            context.set("s3:ObjectCreationOperation", "true");
        }
        "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" => {
            context.set("s3:ObjectCreationOperation", "false");
        }
        _ => {}
    }
    let by_header = headers.contains_key("authorization");
    context.set("s3:authType", if by_header { "REST-HEADER" } else { "REST-QUERY-STRING" });
    context.set("s3:signatureversion", "AWS4-HMAC-SHA256");
}
