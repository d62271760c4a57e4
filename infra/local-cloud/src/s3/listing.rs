//! Listings: keys in the order of their bytes, prefixes folded at the delimiter, pages that go on where they ended.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::Connection;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        self, CommonPrefix, DeleteMarkerEntry, EncodingType, ListObjectVersionsInput,
        ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
        ListObjectsV2Output, ObjectVersion, Owner,
    },
    s3_error,
};

use super::{
    index,
    meta::{Version, timestamp},
    store::Store,
};

/// What is listed.
struct Query {
    bucket: String,
    prefix: String,
    delimiter: Option<String>,
    max: usize,
    /// Every version, not only what is there now.
    versions: bool,
}

/// Where a page begins: after `key`, or within it after one of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    key: String,
    version_id: Option<String>,
}

#[derive(Default)]
struct Page {
    /// With whether it is the current one.
    versions: Vec<(Version, bool)>,
    prefixes: Vec<String>,
    next: Option<Place>,
}

/// Sorts after every key that begins with what stands before it.
const LAST: char = char::MAX;

fn page(db: &Connection, query: &Query, from: Option<&Place>) -> S3Result<Page> {
    let mut page = Page::default();
    let mut place = from.cloned();
    if query.max == 0 {
        return Ok(page);
    }
    loop {
        let within = place.as_ref().and_then(|place| Some((place.key.clone(), place.version_id.clone()?)));
        let mut found = None;
        if let Some((key, version_id)) = within {
            let last = index::place_of(&version_id);
            let older = last.map(|last| index::older(db, &query.bucket, &key, last)).transpose()?.flatten();
            found = older.map(|version| (version, false));
        }
        if found.is_none() {
            let after =
                place.as_ref().map(|place| place.key.as_str()).filter(|key| *key >= query.prefix.as_str());
            let (key, inclusive) = after.map_or((query.prefix.as_str(), true), |key| (key, false));
            found = index::first_from(db, &query.bucket, key, inclusive)?.map(|version| (version, true));
        }
        let Some((version, latest)) = found.filter(|(version, _)| version.key.starts_with(&query.prefix))
        else {
            return Ok(page);
        };
        let seen = Place { key: version.key.clone(), version_id: query.versions.then(|| version.id.clone()) };
        if !query.versions && version.object.is_none() {
            place = Some(seen);
            continue;
        }
        if page.versions.len() + page.prefixes.len() == query.max {
            page.next = place;
            return Ok(page);
        }
        let folded = query.delimiter.as_deref().and_then(|delimiter| {
            let rest = &version.key[query.prefix.len()..];
            rest.find(delimiter).map(|at| version.key[..query.prefix.len() + at + delimiter.len()].to_owned())
        });
        place = Some(if let Some(prefix) = folded {
            let key = format!("{prefix}{LAST}");
            page.prefixes.push(prefix);
            Place { key, version_id: None }
        } else {
            page.versions.push((version, latest));
            seen
        });
    }
}

/// A marker that ends with the delimiter is the prefix that the last page ended with: all of it was listed.
fn after(marker: String, delimiter: Option<&str>) -> String {
    match delimiter.filter(|delimiter| !delimiter.is_empty()) {
        Some(delimiter) if marker.ends_with(delimiter) => format!("{marker}{LAST}"),
        _ => marker,
    }
}

impl Store {
    async fn page(&self, query: Query, from: Option<Place>) -> S3Result<Page> {
        self.bucket(&query.bucket)?;
        self.blocking(move |store| store.index().read(|db| page(db, &query, from.as_ref()))).await
    }

    pub async fn list(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let from = match &input.continuation_token {
            Some(token) => {
                let key =
                    BASE64_URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                Some(key.ok_or_else(|| {
                    s3_error!(InvalidArgument, "The continuation token provided is incorrect")
                })?)
            }
            None => input.start_after.clone(),
        };
        let query =
            query(&input.bucket, input.prefix.clone(), input.delimiter.clone(), input.max_keys, false)?;
        let page = self.page(query, from.map(|key| Place { key, version_id: None })).await?;
        let url = Encode::new(input.encoding_type.as_ref());
        let count = page.versions.len() + page.prefixes.len();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(url.text(&input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| url.text(&delimiter)),
            max_keys: Some(input.max_keys.unwrap_or(1_000).min(1_000)),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            start_after: input.start_after.map(|key| url.text(&key)),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(|place| BASE64_URL_SAFE_NO_PAD.encode(place.key)),
            contents: Some(page.versions.iter().filter_map(|(version, _)| url.object(version)).collect()),
            common_prefixes: Some(url.prefixes(&page.prefixes)),
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        }))
    }

    pub async fn list_old(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let query =
            query(&input.bucket, input.prefix.clone(), input.delimiter.clone(), input.max_keys, false)?;
        let delimiter = input.delimiter.as_deref();
        let from = input.marker.clone().map(|key| Place { key: after(key, delimiter), version_id: None });
        let page = self.page(query, from).await?;
        let url = Encode::new(input.encoding_type.as_ref());
        let next = page.next.map(|place| place.key.trim_end_matches(LAST).to_owned());
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(url.text(&input.prefix.unwrap_or_default())),
            marker: Some(url.text(&input.marker.unwrap_or_default())),
            max_keys: Some(input.max_keys.unwrap_or(1_000).min(1_000)),
            is_truncated: Some(next.is_some()),
            next_marker: next.filter(|_| input.delimiter.is_some()).map(|key| url.text(&key)),
            delimiter: input.delimiter.map(|delimiter| url.text(&delimiter)),
            contents: Some(page.versions.iter().filter_map(|(version, _)| url.object(version)).collect()),
            common_prefixes: Some(url.prefixes(&page.prefixes)),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        }))
    }

    pub async fn list_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let query =
            query(&input.bucket, input.prefix.clone(), input.delimiter.clone(), input.max_keys, true)?;
        let from = input.key_marker.clone().filter(|key| !key.is_empty()).map(|key| Place {
            key: after(key, input.delimiter.as_deref()),
            version_id: input.version_id_marker.clone().filter(|id| !id.is_empty()),
        });
        let page = self.page(query, from).await?;
        let url = Encode::new(input.encoding_type.as_ref());
        let markers = page.versions.iter().filter(|(version, _)| version.object.is_none());
        Ok(S3Response::new(ListObjectVersionsOutput {
            name: Some(input.bucket),
            prefix: Some(url.text(&input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| url.text(&delimiter)),
            key_marker: Some(url.text(&input.key_marker.unwrap_or_default())),
            version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
            max_keys: Some(input.max_keys.unwrap_or(1_000).min(1_000)),
            is_truncated: Some(page.next.is_some()),
            next_key_marker: page.next.as_ref().map(|place| url.text(place.key.trim_end_matches(LAST))),
            next_version_id_marker: page.next.as_ref().and_then(|place| place.version_id.clone()),
            delete_markers: Some(
                markers
                    .map(|(version, latest)| DeleteMarkerEntry {
                        is_latest: Some(*latest),
                        key: Some(url.text(&version.key)),
                        last_modified: Some(timestamp(version.modified)),
                        owner: Some(owner()),
                        version_id: Some(version.id.clone()),
                    })
                    .collect(),
            ),
            versions: Some(
                page.versions.iter().filter_map(|(version, latest)| url.version(version, *latest)).collect(),
            ),
            common_prefixes: Some(url.prefixes(&page.prefixes)),
            encoding_type: input.encoding_type,
            ..ListObjectVersionsOutput::default()
        }))
    }
}

fn query(
    bucket: &str,
    prefix: Option<String>,
    delimiter: Option<String>,
    max: Option<i32>,
    versions: bool,
) -> S3Result<Query> {
    let max = usize::try_from(max.unwrap_or(1_000)).map_err(|_| {
        s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647")
    })?;
    Ok(Query {
        bucket: bucket.to_owned(),
        prefix: prefix.unwrap_or_default(),
        delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()),
        max: max.min(1_000),
        versions,
    })
}

/// Keys as they stand, or percent-encoded when the client asked for `encoding-type=url`.
struct Encode(bool);

/// As S3 does it: the slash stays.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl Encode {
    fn new(kind: Option<&EncodingType>) -> Self {
        Self(kind.is_some_and(|kind| kind.as_str() == EncodingType::URL))
    }

    fn text(&self, text: &str) -> String {
        if self.0 { utf8_percent_encode(text, ENCODED).to_string() } else { text.to_owned() }
    }

    fn prefixes(&self, prefixes: &[String]) -> Vec<CommonPrefix> {
        prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(self.text(prefix)) }).collect()
    }

    fn object(&self, version: &Version) -> Option<dto::Object> {
        let object = version.object.as_ref()?;
        Some(dto::Object {
            key: Some(self.text(&version.key)),
            size: i64::try_from(object.size).ok(),
            e_tag: Some(object.e_tag()),
            last_modified: Some(timestamp(version.modified)),
            storage_class: Some(object.meta.storage_class.clone().unwrap_or("STANDARD".to_owned()).into()),
            ..dto::Object::default()
        })
    }

    fn version(&self, version: &Version, latest: bool) -> Option<ObjectVersion> {
        let object = version.object.as_ref()?;
        Some(ObjectVersion {
            key: Some(self.text(&version.key)),
            version_id: Some(version.id.clone()),
            is_latest: Some(latest),
            size: i64::try_from(object.size).ok(),
            e_tag: Some(object.e_tag()),
            last_modified: Some(timestamp(version.modified)),
            owner: Some(owner()),
            storage_class: Some(object.meta.storage_class.clone().unwrap_or("STANDARD".to_owned()).into()),
            ..ObjectVersion::default()
        })
    }
}

pub fn owner() -> Owner {
    Owner { display_name: None, id: Some("0".repeat(64)) }
}
