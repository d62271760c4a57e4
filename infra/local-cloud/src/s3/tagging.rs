//! Tags of objects.

use std::collections::BTreeMap;

use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
        PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
    },
    s3_error,
};

use super::{index, store::Store};

const MOST: usize = 10;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

pub type Tags = BTreeMap<String, String>;

/// The tags of an `x-amz-tagging` header, which is written as a query is.
pub fn of_header(header: Option<&str>) -> S3Result<Tags> {
    checked(url::form_urlencoded::parse(header.unwrap_or_default().as_bytes()).into_owned())
}

fn checked(pairs: impl Iterator<Item = (String, String)>) -> S3Result<Tags> {
    let mut tags = Tags::new();
    for (key, value) in pairs {
        if key.is_empty() || key.chars().count() > LONGEST_KEY {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > LONGEST_VALUE {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    if tags.len() > MOST {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("BadRequest".into()),
            "Object tags cannot be greater than 10",
        );
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return Err(error);
    }
    Ok(tags)
}

impl Store {
    pub async fn tags(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        let versioned = self.bucket(&input.bucket)?.versioning;
        let version = self
            .blocking(move |store| {
                let (bucket, key, version_id) = (&input.bucket, &input.key, input.version_id.as_deref());
                store.index().read(|db| index::find(db, bucket, key, version_id))
            })
            .await?;
        let tags = version.object.map(|object| object.meta.tags).unwrap_or_default();
        Ok(S3Response::new(GetObjectTaggingOutput {
            tag_set: tags
                .into_iter()
                .map(|(key, value)| Tag { key: Some(key), value: Some(value) })
                .collect(),
            version_id: versioned.then_some(version.id),
        }))
    }

    pub async fn tag(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = request.input;
        let pairs = input.tagging.tag_set.into_iter();
        let tags = checked(pairs.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())))?;
        let version_id = self.set_tags(input.bucket, input.key, input.version_id, tags).await?;
        Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
    }

    pub async fn untag(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = request.input;
        let version_id = self.set_tags(input.bucket, input.key, input.version_id, Tags::new()).await?;
        let output = DeleteObjectTaggingOutput { version_id };
        Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
    }

    async fn set_tags(
        &self,
        bucket: String,
        key: String,
        version_id: Option<String>,
        tags: Tags,
    ) -> S3Result<Option<String>> {
        let versioned = self.bucket(&bucket)?.versioning;
        let set = move |store: &Self| {
            store.index().write(|db| {
                index::change_meta(db, &bucket, &key, version_id.as_deref(), |meta| {
                    meta.tags = tags;
                    Ok(())
                })
            })
        };
        let id = self.blocking(set).await?.id;
        Ok(versioned.then_some(id))
    }
}
