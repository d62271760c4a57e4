//! What a request says of the object that it makes: a put, a copy and a new multipart upload say it in the same words.

/// The `Meta` that a request asks for, taken out of its input: s3s has a type for each, with the same fields.
macro_rules! asked {
    ($input:ident, $bucket:expr, $now:expr) => {{
        let lock = $crate::s3::retention::of_put(
            $bucket,
            $input.object_lock_mode,
            $input.object_lock_retain_until_date.as_ref(),
            $input.object_lock_legal_hold_status.as_ref(),
            $now,
        )?;
        $crate::s3::meta::Meta {
            content_type: $input.content_type,
            content_encoding: $crate::s3::asked::without_chunked($input.content_encoding),
            content_disposition: $input.content_disposition,
            content_language: $input.content_language,
            cache_control: $input.cache_control,
            expires: $input.expires,
            website_redirect_location: $input.website_redirect_location,
            storage_class: $input.storage_class.map(|class| class.as_str().to_owned()),
            user: $input.metadata.unwrap_or_default(),
            encryption: Some($crate::s3::meta::Encryption::chosen(
                $input.server_side_encryption.map(|one| one.as_str().to_owned()),
                $input.ssekms_key_id,
                $input.bucket_key_enabled,
                $bucket,
            )),
            retention: lock.retention,
            legal_hold: lock.legal_hold,
            tags: $crate::s3::tagging::of_header($input.tagging.as_deref())?,
            ..$crate::s3::meta::Meta::default()
        }
    }};
}

pub(super) use asked;

/// `aws-chunked` was the way the body travelled, not how the object is encoded.
pub fn without_chunked(encoding: Option<String>) -> Option<String> {
    let left: Vec<String> = encoding?
        .split(',')
        .map(|one| one.trim().to_owned())
        .filter(|one| !one.is_empty() && !one.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!left.is_empty()).then(|| left.join(","))
}
