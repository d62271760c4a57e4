//! Put, get, head, delete and copy.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, Delete, DeleteObjectInput, DeleteObjectOutput,
        DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error, GetObjectInput,
        GetObjectOutput, MetadataDirective, PutObjectInput, PutObjectOutput, ServerSideEncryption,
        TaggingDirective, Timestamp,
    },
    s3_error,
};

use super::{
    asked::asked,
    claims::Claims,
    content,
    index::{self, Deleted},
    meta::{Algorithm, Meta, Object, Version, timestamp},
    retention,
    store::{self, Store},
};
use crate::template::Bucket;

impl Store {
    pub async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?.clone();
        let condition = store::condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let claims = Claims::read(&request.headers, input.content_length, input.content_md5)?;
        let asked = asked!(input, &bucket, self.now());
        if (asked.retention.is_some() || asked.legal_hold) && !claims.has_any() {
            return Err(s3_error!(
                InvalidRequest,
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
            ));
        }
        let draft = self.contents().receive(input.body, claims, request.trailing_headers).await?;
        let meta = Meta { checksums: draft.checksums.clone(), ..asked };
        let etag = hex::encode(draft.md5);
        let key = input.key;
        let versioning = bucket.versioning;
        let version = self
            .blocking(move |store| store.commit(&bucket, &key, draft, etag, meta, condition.as_ref()))
            .await?;
        let Some(object) = &version.object else { return Err(s3_error!(InternalError)) };
        let sse = sse(&object.meta);
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(object.e_tag()),
            version_id: versioning.then(|| version.id.clone()),
            checksum_crc32: object.meta.checksum(Algorithm::Crc32),
            checksum_crc32c: object.meta.checksum(Algorithm::Crc32c),
            checksum_crc64nvme: object.meta.checksum(Algorithm::Crc64Nvme),
            checksum_sha1: object.meta.checksum(Algorithm::Sha1),
            checksum_sha256: object.meta.checksum(Algorithm::Sha256),
            checksum_type: object.meta.checksum_type(),
            server_side_encryption: sse.0,
            ssekms_key_id: sse.1,
            bucket_key_enabled: sse.2,
            ..PutObjectOutput::default()
        }))
    }

    /// Get, and head: which is the same without the body.
    pub async fn get(
        &self,
        request: S3Request<GetObjectInput>,
        with_body: bool,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = &request.input;
        let versioning = self.bucket(&input.bucket)?.versioning;
        let found = self.wanted(&request, &input.bucket, &input.key, input.version_id.as_deref()).await?;
        let (version, object) = (&found.version, &found.object);
        check_conditions(input, version, object)?;
        let range = match &input.range {
            Some(range) => Some(
                range
                    .check(object.size)
                    .map_err(|_| s3_error!(InvalidRange, "The requested range is not satisfiable"))?,
            ),
            None => None,
        };
        let (start, end) = range.as_ref().map_or((0, object.size), |range| (range.start, range.end));
        let body = if with_body {
            let content = object.content.clone();
            let file = self.blocking(move |store| store.contents().open_content(&content)).await?;
            Some(content::stream(file, start, end - start)?)
        } else {
            None
        };
        let asked =
            input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == "ENABLED") && range.is_none();
        let checksum = |algorithm| asked.then(|| object.meta.checksum(algorithm)).flatten();
        let meta = object.meta.clone();
        let sse = sse(&object.meta);
        Ok(S3Response::new(GetObjectOutput {
            body,
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(end - start).ok(),
            content_range: range.map(|_| format!("bytes {start}-{}/{}", end - 1, object.size)),
            e_tag: Some(object.e_tag()),
            last_modified: Some(timestamp(version.modified)),
            version_id: versioning.then(|| version.id.clone()),
            checksum_crc32: checksum(Algorithm::Crc32),
            checksum_crc32c: checksum(Algorithm::Crc32c),
            checksum_crc64nvme: checksum(Algorithm::Crc64Nvme),
            checksum_sha1: checksum(Algorithm::Sha1),
            checksum_sha256: checksum(Algorithm::Sha256),
            checksum_type: asked.then(|| meta.checksum_type()).flatten(),
            server_side_encryption: sse.0,
            ssekms_key_id: sse.1,
            bucket_key_enabled: sse.2,
            object_lock_mode: meta.retention.as_ref().map(|retention| retention.mode.clone().into()),
            object_lock_retain_until_date: meta
                .retention
                .as_ref()
                .map(|retention| timestamp(retention.until)),
            object_lock_legal_hold_status: retention::legal_hold(&meta),
            content_type: Some(meta.content_type.unwrap_or_else(|| "binary/octet-stream".to_owned())),
            content_encoding: meta.content_encoding,
            content_disposition: meta.content_disposition,
            content_language: meta.content_language,
            cache_control: meta.cache_control,
            expires: meta.expires,
            website_redirect_location: meta.website_redirect_location,
            storage_class: meta.storage_class.map(Into::into),
            parts_count: meta.parts,
            tag_count: i32::try_from(meta.tags.len()).ok().filter(|count| *count > 0),
            metadata: (!meta.user.is_empty()).then_some(meta.user),
            ..GetObjectOutput::default()
        }))
    }

    pub async fn remove(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?.clone();
        let bypass = input.bypass_governance_retention.unwrap_or(false);
        let gone = self
            .blocking(move |store| store.delete_one(&bucket, &input.key, input.version_id.as_deref(), bypass))
            .await?;
        Ok(S3Response::with_status(
            DeleteObjectOutput {
                delete_marker: gone.marker.then_some(true),
                version_id: gone.version_id,
                ..DeleteObjectOutput::default()
            },
            http::StatusCode::NO_CONTENT,
        ))
    }

    pub async fn remove_many(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bucket = self.bucket(&request.input.bucket)?.clone();
        let bypass = request.input.bypass_governance_retention.unwrap_or(false);
        let Delete { objects, quiet } = request.input.delete.clone();
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for one in objects {
            let action = if one.version_id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
            let mut needed = [action].into_iter().chain(bypass.then_some("s3:BypassGovernanceRetention"));
            let allowed =
                needed.try_for_each(|action| self.check(&request, action, &bucket.name, Some(&one.key)));
            let (of, key, version_id) = (bucket.clone(), one.key.clone(), one.version_id.clone());
            let done = match allowed {
                Ok(()) => {
                    self.blocking(move |store| store.delete_one(&of, &key, version_id.as_deref(), bypass))
                        .await
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(gone) => deleted.push(DeletedObject {
                    delete_marker: gone.marker.then_some(true),
                    delete_marker_version_id: gone.version_id.filter(|_| gone.marker),
                    key: Some(one.key),
                    version_id: one.version_id,
                }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(one.key),
                    message: error.message().map(str::to_owned),
                    version_id: one.version_id,
                }),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!quiet.unwrap_or(false)).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        }))
    }

    fn delete_one(
        &self,
        bucket: &Bucket,
        key: &str,
        version_id: Option<&str>,
        bypass: bool,
    ) -> S3Result<Deleted> {
        let now = self.now();
        let gone = self.index().write(|db| match version_id {
            Some(version_id) => index::delete_version(db, &bucket.name, key, version_id, now, bypass),
            None => index::delete(db, bucket, key, now),
        })?;
        if let Some(content) = &gone.content {
            self.contents().remove(content);
        }
        Ok(gone)
    }

    pub async fn copy(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let source = self.source(&request, &request.input.copy_source).await?;
        let (object, source_version) = (source.object, source.version_id);
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?.clone();
        let replace = input.metadata_directive.is_some_and(|way| way.as_str() == MetadataDirective::REPLACE);
        let new_tags = input.tagging_directive.is_some_and(|way| way.as_str() == TaggingDirective::REPLACE);
        let asked = asked!(input, &bucket, self.now());
        let described = if replace { asked.clone() } else { object.meta.clone() };
        let tags = if new_tags { asked.tags } else { object.meta.tags.clone() };
        // A multipart object becomes a plain one: its checksum is then that of the whole.
        let wanted = object.meta.checksums.keys().copied().collect();
        let (key, versioning) = (input.key, bucket.versioning);
        let version = self
            .blocking(move |store| {
                let draft = store.contents().join(&[object.content], &wanted)?;
                let meta = Meta {
                    website_redirect_location: asked.website_redirect_location,
                    storage_class: asked.storage_class,
                    encryption: asked.encryption,
                    retention: asked.retention,
                    legal_hold: asked.legal_hold,
                    checksums: draft.checksums.clone(),
                    composite: false,
                    parts: None,
                    tags,
                    ..described
                };
                let etag = hex::encode(draft.md5);
                store.commit(&bucket, &key, draft, etag, meta, None)
            })
            .await?;
        let Some(object) = &version.object else { return Err(s3_error!(InternalError)) };
        let sse = sse(&object.meta);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(object.e_tag()),
                last_modified: Some(timestamp(version.modified)),
                ..CopyObjectResult::default()
            }),
            copy_source_version_id: source_version,
            version_id: versioning.then(|| version.id.clone()),
            server_side_encryption: sse.0,
            ssekms_key_id: sse.1,
            bucket_key_enabled: sse.2,
            ..CopyObjectOutput::default()
        }))
    }
}

pub type Sse = (Option<ServerSideEncryption>, Option<String>, Option<bool>);

pub fn sse(meta: &Meta) -> Sse {
    match meta.encryption.clone() {
        Some(one) => (Some(one.algorithm.into()), one.kms_key, one.bucket_key),
        None => (None, None, None),
    }
}

fn check_conditions(input: &GetObjectInput, version: &Version, object: &Object) -> S3Result<()> {
    let matches = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    // HTTP's dates know no fractions.
    let modified = timestamp(
        version.modified
            - chrono::Duration::nanoseconds(i64::from(version.modified.timestamp_subsec_nanos())),
    );
    let after = |date: &Timestamp| modified > *date;
    let failed = match (&input.if_match, &input.if_unmodified_since) {
        (Some(condition), _) => !matches(condition),
        (None, Some(date)) => after(date),
        (None, None) => false,
    };
    if failed {
        return Err(s3_error!(
            PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold"
        ));
    }
    let unchanged = match (&input.if_none_match, &input.if_modified_since) {
        (Some(condition), _) => matches(condition),
        (None, Some(date)) => !after(date),
        (None, None) => false,
    };
    if unchanged { Err(s3_error!(NotModified)) } else { Ok(()) }
}
