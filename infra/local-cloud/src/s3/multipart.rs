//! Multipart uploads: parts as files of their own, joined when the upload is completed.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rusqlite::{Connection, OptionalExtension as _, params};
use s3s::{
    S3Request, S3Response, S3Result,
    crypto::{Checksum as _, Crc32, Crc32c, Md5, Sha1, Sha256},
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
        CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, ListPartsInput, ListPartsOutput, Part,
        UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use super::{
    asked::asked,
    claims::Claims,
    content::Draft,
    index::{internal, parse, parse_date},
    meta::{Algorithm, Meta, Object, timestamp},
    object::sse,
    store::{self, Store},
};

/// The smallest part, but for the last.
const SMALLEST: u64 = 5 * 1024 * 1024;

struct StoredPart {
    number: i32,
    object: Object,
    modified: chrono::DateTime<chrono::Utc>,
}

impl Store {
    pub async fn begin(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?.clone();
        let algorithm = input.checksum_algorithm.as_ref().and_then(|one| Algorithm::named(one.as_str()));
        let full = input.checksum_type.as_ref().is_some_and(|one| one.as_str() == ChecksumType::FULL_OBJECT);
        let (key, checksum_algorithm) = (input.key, input.checksum_algorithm);
        let meta = Meta {
            checksums: algorithm.map(|algorithm| (algorithm, String::new())).into_iter().collect(),
            composite: algorithm.is_some_and(|algorithm| algorithm != Algorithm::Crc64Nvme) && !full,
            ..asked!(input, &bucket, self.now())
        };
        let upload_id = hex::encode(rand::random::<[u8; 32]>());
        let (id, of, name, now) = (upload_id.clone(), key.clone(), bucket.name.clone(), self.now());
        let kept = meta.clone();
        self.blocking(move |store| {
            let text = serde_json::to_string(&kept).map_err(internal)?;
            store.index().write(|db| {
                let values = params![id, name, of, now.to_rfc3339(), text];
                db.execute("insert into upload values (?1, ?2, ?3, ?4, ?5)", values).map_err(internal)
            })
        })
        .await?;
        let sse = sse(&meta);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket.name),
            key: Some(key),
            upload_id: Some(upload_id),
            checksum_type: meta.checksum_type(),
            checksum_algorithm,
            server_side_encryption: sse.0,
            ssekms_key_id: sse.1,
            bucket_key_enabled: sse.2,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub async fn take_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        check_number(input.part_number)?;
        let (bucket, key, upload_id) = (input.bucket, input.key, input.upload_id);
        let (b, k, id) = (bucket.clone(), key.clone(), upload_id.clone());
        let meta = self.blocking(move |store| store.index().read(|db| upload(db, &b, &k, &id))).await?;
        let mut claims = Claims::read(&request.headers, input.content_length, input.content_md5)?;
        claims.wanted.extend(meta.checksums.keys());
        let draft = self.contents().receive(input.body, claims, request.trailing_headers).await?;
        let number = input.part_number;
        let object =
            self.blocking(move |store| store.keep_part(&bucket, &key, &upload_id, number, draft)).await?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(object.e_tag()),
            checksum_crc32: object.meta.checksum(Algorithm::Crc32),
            checksum_crc32c: object.meta.checksum(Algorithm::Crc32c),
            checksum_crc64nvme: object.meta.checksum(Algorithm::Crc64Nvme),
            checksum_sha1: object.meta.checksum(Algorithm::Sha1),
            checksum_sha256: object.meta.checksum(Algorithm::Sha256),
            ..UploadPartOutput::default()
        }))
    }

    /// Makes a draft a part of an upload, in the place of one that had its number. Blocks.
    pub fn keep_part(
        &self,
        bucket: &str,
        key: &str,
        upload_id: &str,
        number: i32,
        draft: Draft,
    ) -> S3Result<Object> {
        let checksums = draft.checksums.clone();
        let (size, etag) = (draft.size, hex::encode(draft.md5));
        let content = self.contents().keep(draft)?;
        let object = Object { content, size, etag, meta: Meta { checksums, ..Meta::default() } };
        let text = serde_json::to_string(&object).map_err(internal)?;
        let replaced = self.index().write(|db| {
            // It may have been completed or aborted while the bytes came in.
            upload(db, bucket, key, upload_id)?;
            let replaced = parts(db, upload_id)?.into_iter().find(|part| part.number == number);
            let values = params![upload_id, number, text, self.now().to_rfc3339()];
            db.execute("insert or replace into part values (?1, ?2, ?3, ?4)", values).map_err(internal)?;
            Ok(replaced)
        });
        match replaced {
            Ok(Some(replaced)) => self.contents().remove(&replaced.object.content),
            Ok(None) => {}
            Err(error) => {
                self.contents().remove(&object.content);
                return Err(error);
            }
        }
        Ok(object)
    }

    pub async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?.clone();
        let condition = store::condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let (key, upload_id) = (input.key.clone(), input.upload_id);
        let versioning = bucket.versioning;
        let version = self
            .blocking(move |store| {
                let (mut meta, stored) = store
                    .index()
                    .read(|db| Ok((upload(db, &bucket.name, &key, &upload_id)?, parts(db, &upload_id)?)))?;
                let chosen = choose(&named, &stored)?;
                let wanted: BTreeSet<Algorithm> = meta.checksums.keys().copied().collect();
                let contents: Vec<String> = chosen.iter().map(|part| part.object.content.clone()).collect();
                let draft = store.contents().join(&contents, &wanted)?;
                meta.checksums =
                    if meta.composite { composite(&chosen, &wanted) } else { draft.checksums.clone() };
                meta.parts = i32::try_from(chosen.len()).ok();
                let mut of_parts = Md5::new();
                for part in &chosen {
                    of_parts.update(&hex::decode(&part.object.etag).unwrap_or_default());
                }
                let etag = format!("{}-{}", hex::encode(of_parts.finalize()), chosen.len());
                let version = store.commit(&bucket, &key, draft, etag, meta, condition.as_ref())?;
                store.drop_upload(&upload_id)?;
                Ok(version)
            })
            .await?;
        let Some(object) = &version.object else { return Err(s3_error!(InternalError)) };
        let sse = sse(&object.meta);
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
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
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    pub async fn abort(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.blocking(move |store| {
            store.index().read(|db| upload(db, &input.bucket, &input.key, &input.upload_id))?;
            store.drop_upload(&input.upload_id)
        })
        .await?;
        Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), http::StatusCode::NO_CONTENT))
    }

    pub async fn parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let max = usize::try_from(input.max_parts.unwrap_or(1_000)).unwrap_or(1_000).min(1_000);
        let after = input.part_number_marker.unwrap_or(0);
        let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        let (meta, stored) = self
            .blocking(move |store| {
                store.index().read(|db| Ok((upload(db, &bucket, &key, &id)?, parts(db, &id)?)))
            })
            .await?;
        let mut rest = stored.into_iter().filter(|part| part.number > after);
        let listed: Vec<StoredPart> = rest.by_ref().take(max).collect();
        let more = rest.next().is_some();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: i32::try_from(max).ok(),
            part_number_marker: Some(after),
            is_truncated: Some(more),
            next_part_number_marker: listed.last().map(|part| part.number),
            checksum_algorithm: meta
                .checksums
                .keys()
                .next()
                .map(|one| ChecksumAlgorithm::from_static(one.name())),
            parts: Some(
                listed
                    .into_iter()
                    .map(|part| Part {
                        part_number: Some(part.number),
                        size: i64::try_from(part.object.size).ok(),
                        e_tag: Some(part.object.e_tag()),
                        last_modified: Some(timestamp(part.modified)),
                        ..Part::default()
                    })
                    .collect(),
            ),
            ..ListPartsOutput::default()
        }))
    }

    fn drop_upload(&self, upload_id: &str) -> S3Result<()> {
        let gone = self.index().write(|db| {
            let gone = parts(db, upload_id)?;
            db.execute("delete from upload where upload_id = ?1", [upload_id]).map_err(internal)?;
            Ok(gone)
        })?;
        for part in gone {
            self.contents().remove(&part.object.content);
        }
        Ok(())
    }
}

pub fn check_number(number: i32) -> S3Result<()> {
    if (1..=10_000).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
}

pub fn upload(db: &Connection, bucket: &str, key: &str, upload_id: &str) -> S3Result<Meta> {
    db.query_row(
        "select meta from upload where upload_id = ?1 and bucket = ?2 and key = ?3",
        params![upload_id, bucket, key],
        |row| parse(row, 0),
    )
    .optional()
    .map_err(internal)?
    .ok_or_else(|| {
        s3_error!(
            NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
             completed."
        )
    })
}

fn parts(db: &Connection, upload_id: &str) -> S3Result<Vec<StoredPart>> {
    let mut statement = db
        .prepare_cached("select number, object, modified from part where upload_id = ?1 order by number")
        .map_err(internal)?;
    let rows = statement.query_map([upload_id], |row| {
        Ok(StoredPart { number: row.get(0)?, object: parse(row, 1)?, modified: parse_date(row, 2)? })
    });
    rows.map_err(internal)?.collect::<Result<_, _>>().map_err(internal)
}

/// The parts that the client names, in its order, which must be that of their numbers.
fn choose<'a>(named: &[CompletedPart], stored: &'a [StoredPart]) -> S3Result<Vec<&'a StoredPart>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    if !named.is_sorted_by(|left, right| left.part_number < right.part_number) {
        return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
    }
    let mut chosen = Vec::with_capacity(named.len());
    for part in named {
        let etag = part.e_tag.as_ref().map(ETag::value);
        let found = stored.iter().find(|one| {
            Some(one.number) == part.part_number
                && Some(one.object.etag.as_str()) == etag
                && same_sums(part, one)
        });
        chosen.push(found.ok_or_else(|| {
            s3_error!(InvalidPart, "One or more of the specified parts could not be found.")
        })?);
    }
    if chosen.iter().rev().skip(1).any(|part| part.object.size < SMALLEST) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ));
    }
    Ok(chosen)
}

fn same_sums(named: &CompletedPart, stored: &StoredPart) -> bool {
    [
        (Algorithm::Crc32, &named.checksum_crc32),
        (Algorithm::Crc32c, &named.checksum_crc32c),
        (Algorithm::Crc64Nvme, &named.checksum_crc64nvme),
        (Algorithm::Sha1, &named.checksum_sha1),
        (Algorithm::Sha256, &named.checksum_sha256),
    ]
    .into_iter()
    .all(|(algorithm, sum)| sum.is_none() || *sum == stored.object.meta.checksum(algorithm))
}

/// The checksum of the parts' checksums, with their count.
fn composite(parts: &[&StoredPart], wanted: &BTreeSet<Algorithm>) -> BTreeMap<Algorithm, String> {
    let mut sums = BTreeMap::new();
    for algorithm in wanted {
        let bytes: Vec<u8> = parts
            .iter()
            .filter_map(|part| BASE64_STANDARD.decode(part.object.meta.checksum(*algorithm)?).ok())
            .flatten()
            .collect();
        let sum = match algorithm {
            Algorithm::Crc32 => BASE64_STANDARD.encode(Crc32::checksum(&bytes)),
            Algorithm::Crc32c => BASE64_STANDARD.encode(Crc32c::checksum(&bytes)),
            Algorithm::Sha1 => BASE64_STANDARD.encode(Sha1::checksum(&bytes)),
            Algorithm::Sha256 => BASE64_STANDARD.encode(Sha256::checksum(&bytes)),
            Algorithm::Crc64Nvme => continue,
        };
        sums.insert(*algorithm, format!("{sum}-{}", parts.len()));
    }
    sums
}
