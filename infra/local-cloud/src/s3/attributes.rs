//! `GetObjectAttributes`: what is known of an object without its bytes.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        Checksum, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
        ObjectAttributes, StorageClass,
    },
};

use super::{
    meta::{Algorithm, timestamp},
    store::Store,
};

impl Store {
    pub async fn attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = &request.input;
        let versioning = self.bucket(&input.bucket)?.versioning;
        let found = self.wanted(&request, &input.bucket, &input.key, input.version_id.as_deref()).await?;
        let (version, object) = (&found.version, &found.object);
        let asked = |what: &str| request.input.object_attributes.iter().any(|one| one.as_str() == what);
        let meta = &object.meta;
        let checksum = Checksum {
            checksum_crc32: meta.checksum(Algorithm::Crc32),
            checksum_crc32c: meta.checksum(Algorithm::Crc32c),
            checksum_crc64nvme: meta.checksum(Algorithm::Crc64Nvme),
            checksum_sha1: meta.checksum(Algorithm::Sha1),
            checksum_sha256: meta.checksum(Algorithm::Sha256),
            checksum_type: meta.checksum_type(),
        };
        let class = meta.storage_class.clone().unwrap_or_else(|| StorageClass::STANDARD.to_owned());
        let parts = meta.parts.map(|total| GetObjectAttributesParts {
            total_parts_count: Some(total),
            ..GetObjectAttributesParts::default()
        });
        Ok(S3Response::new(GetObjectAttributesOutput {
            checksum: asked(ObjectAttributes::CHECKSUM).then_some(checksum),
            e_tag: asked(ObjectAttributes::ETAG).then(|| object.e_tag()),
            last_modified: Some(timestamp(version.modified)),
            object_parts: parts.filter(|_| asked(ObjectAttributes::OBJECT_PARTS)),
            object_size: i64::try_from(object.size).ok().filter(|_| asked(ObjectAttributes::OBJECT_SIZE)),
            storage_class: asked(ObjectAttributes::STORAGE_CLASS).then(|| class.into()),
            version_id: versioning.then(|| version.id.clone()),
            ..GetObjectAttributesOutput::default()
        }))
    }
}
