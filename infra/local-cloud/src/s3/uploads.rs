//! Multipart uploads under way: their list, and parts that are copied instead of sent.

use std::collections::BTreeSet;

use rusqlite::params;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, CommonPrefix, CopyPartResult, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, MultipartUpload, UploadPartCopyInput, UploadPartCopyOutput,
    },
    s3_error,
};

use super::{
    index::{internal, parse, parse_date},
    listing,
    meta::{Algorithm, Meta, timestamp},
    multipart,
    object::sse,
    store::Store,
};

/// A line of the list.
enum Line {
    Upload(Box<MultipartUpload>),
    Folded(String),
}

impl Store {
    pub async fn uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let max = usize::try_from(input.max_uploads.unwrap_or(1_000)).unwrap_or(1_000).min(1_000);
        let name = self.bucket(&input.bucket)?.name.clone();
        let prefix = input.prefix.clone().unwrap_or_default();
        let key_marker = input.key_marker.clone().unwrap_or_default();
        let id_marker = input.upload_id_marker.clone().filter(|_| !key_marker.is_empty());
        let under_way = self.blocking(move |store| store.all_uploads(&name)).await?;
        let mut lines: Vec<Line> = Vec::new();
        let mut last = (None, None);
        let mut more = false;
        for upload in under_way {
            let (key, id) =
                (upload.key.clone().unwrap_or_default(), upload.upload_id.clone().unwrap_or_default());
            let passed = match &id_marker {
                Some(marker) => (key.as_str(), id.as_str()) <= (key_marker.as_str(), marker.as_str()),
                None => !key_marker.is_empty() && key <= key_marker,
            };
            let Some(rest) = key.strip_prefix(&prefix).filter(|_| !passed) else { continue };
            let folded = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
            let folded = folded.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
            let folded = folded.map(|length| key[..prefix.len() + length].to_owned());
            let known = matches!((&folded, lines.last()), (Some(new), Some(Line::Folded(old))) if new == old);
            if !known && lines.len() == max {
                more = true;
                break;
            }
            last = (Some(key), Some(id));
            match folded {
                Some(_) if known => {}
                Some(folded) => lines.push(Line::Folded(folded)),
                None => lines.push(Line::Upload(Box::new(upload))),
            }
        }
        let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
        for line in lines {
            match line {
                Line::Upload(upload) => uploads.push(*upload),
                Line::Folded(prefix) => prefixes.push(CommonPrefix { prefix: Some(prefix) }),
            }
        }
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            key_marker: Some(key_marker),
            upload_id_marker: input.upload_id_marker,
            max_uploads: i32::try_from(max).ok(),
            is_truncated: Some(more),
            next_key_marker: last.0.filter(|_| more),
            next_upload_id_marker: last.1.filter(|_| more),
            uploads: Some(uploads),
            common_prefixes: Some(prefixes),
            ..ListMultipartUploadsOutput::default()
        }))
    }

    fn all_uploads(&self, bucket: &str) -> S3Result<Vec<MultipartUpload>> {
        self.index().read(|db| {
            let mut statement = db
                .prepare_cached(
                    "select upload_id, key, initiated, meta from upload where bucket = ?1 order by key, upload_id",
                )
                .map_err(internal)?;
            let rows = statement.query_map(params![bucket], |row| {
                let meta: Meta = parse(row, 3)?;
                let algorithm = meta.checksums.keys().next();
                Ok(MultipartUpload {
                    upload_id: Some(row.get(0)?),
                    key: Some(row.get(1)?),
                    initiated: Some(timestamp(parse_date(row, 2)?)),
                    checksum_algorithm: algorithm.map(|one| ChecksumAlgorithm::from_static(one.name())),
                    checksum_type: meta.checksum_type(),
                    owner: Some(listing::owner()),
                    storage_class: Some(meta.storage_class.unwrap_or_else(|| "STANDARD".to_owned()).into()),
                    ..MultipartUpload::default()
                })
            });
            rows.map_err(internal)?.collect::<Result<_, _>>().map_err(internal)
        })
    }

    pub async fn copy_part(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let source = self.source(&request, &request.input.copy_source).await?;
        let copied = source.object;
        let input = request.input;
        multipart::check_number(input.part_number)?;
        self.bucket(&input.bucket)?;
        let (start, length) = piece(input.copy_source_range.as_deref(), copied.size)?;
        let content = copied.content.clone();
        let part = self
            .blocking(move |store| {
                let read = |db: &_| multipart::upload(db, &input.bucket, &input.key, &input.upload_id);
                let meta = store.index().read(read)?;
                let wanted: BTreeSet<Algorithm> = meta.checksums.keys().copied().collect();
                let draft = store.contents().cut(&content, start, length, &wanted)?;
                store.keep_part(&input.bucket, &input.key, &input.upload_id, input.part_number, draft)
            })
            .await?;
        let sse = sse(&copied.meta);
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(part.e_tag()),
                last_modified: Some(timestamp(self.now())),
                checksum_crc32: part.meta.checksum(Algorithm::Crc32),
                checksum_crc32c: part.meta.checksum(Algorithm::Crc32c),
                checksum_crc64nvme: part.meta.checksum(Algorithm::Crc64Nvme),
                checksum_sha1: part.meta.checksum(Algorithm::Sha1),
                checksum_sha256: part.meta.checksum(Algorithm::Sha256),
            }),
            copy_source_version_id: source.version_id,
            server_side_encryption: sse.0,
            ssekms_key_id: sse.1,
            bucket_key_enabled: sse.2,
            ..UploadPartCopyOutput::default()
        }))
    }
}

/// Start and length of `bytes=first-last`, which must lie within the source.
fn piece(range: Option<&str>, size: u64) -> S3Result<(u64, u64)> {
    let Some(range) = range else { return Ok((0, size)) };
    let ends = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    match ends {
        Some((first, last)) if first <= last && last < size => Ok((first, last - first + 1)),
        Some(_) => {
            Err(s3_error!(InvalidArgument, "Range specified is not valid for source object of size: {size}"))
        }
        None => Err(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_lies_within_its_source() {
        assert_eq!(piece(None, 9).unwrap(), (0, 9));
        assert_eq!(piece(Some("bytes=2-4"), 9).unwrap(), (2, 3));
        assert_eq!(piece(Some("bytes=8-8"), 9).unwrap(), (8, 1));
        for wrong in ["bytes=2-9", "bytes=4-2", "bytes=-4", "bytes=4-", "4-5", "bytes=a-b", ""] {
            assert!(piece(Some(wrong), 9).is_err(), "{wrong}");
        }
    }
}
