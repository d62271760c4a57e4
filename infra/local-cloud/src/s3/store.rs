//! The store: index and contents together, and the questions that every operation asks first.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use s3s::{
    S3Error, S3Request, S3Result,
    dto::{CopySource, ETagCondition},
    s3_error,
};

use super::{
    Now,
    access::{Access, Caller},
    content::{Contents, Draft},
    index::{self, Condition, Index, internal},
    meta::{Meta, Object, Retention, Version},
};
use crate::template::Bucket;

#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    index: Index,
    contents: Contents,
    buckets: BTreeMap<String, Bucket>,
    access: Access,
    now: Now,
}

/// A version that is an object.
pub struct Found {
    pub version: Version,
    pub object: Object,
}

pub struct Source {
    pub object: Object,
    /// None of a bucket without versions.
    pub version_id: Option<String>,
}

impl Store {
    pub fn open(dir: &Path, buckets: &[Bucket], access: Access, now: Now) -> anyhow::Result<Self> {
        let contents = Contents::open(dir)?;
        let index = Index::open(&dir.join("index.sqlite3"))?;
        let swept = contents.sweep(&index.contents()?)?;
        if swept > 0 {
            tracing::info!(files.swept = swept, "files that were no objects yet, or no more, are removed");
        }
        let buckets = buckets.iter().map(|bucket| (bucket.name.clone(), bucket.clone())).collect();
        Ok(Self(Arc::new(Inner { index, contents, buckets, access, now })))
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.0.now)()
    }

    pub fn index(&self) -> &Index {
        &self.0.index
    }

    pub fn contents(&self) -> &Contents {
        &self.0.contents
    }

    pub fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        self.0.buckets.values()
    }

    pub fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.0.buckets.get(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    /// Runs what waits for the disk where it holds nobody up.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(internal)?
    }

    /// Asks the policies once more, for a resource that is not the one of the path.
    pub fn check<T>(
        &self,
        request: &S3Request<T>,
        action: &str,
        bucket: &str,
        key: Option<&str>,
    ) -> S3Result<()> {
        match request.extensions.get::<Caller>() {
            Some(caller) => self.0.access.check_action(caller, action, bucket, key),
            None => Err(s3_error!(AccessDenied)),
        }
    }

    /// Whoever may not list a bucket is not told which keys it lacks.
    pub fn missing<T>(&self, request: &S3Request<T>, bucket: &str, error: S3Error) -> S3Error {
        match self.check(request, "s3:ListBucket", bucket, None) {
            Ok(()) => error,
            Err(denied) => denied,
        }
    }

    /// The version that a request speaks of, for who may read it.
    pub async fn wanted<T: Sync>(
        &self,
        request: &S3Request<T>,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> S3Result<Found> {
        let (of, key, version_id) = (bucket.to_owned(), key.to_owned(), version_id.map(str::to_owned));
        let found = self.blocking(move |store| {
            store.index().read(|db| index::find(db, &of, &key, version_id.as_deref()))
        });
        let version = found.await.map_err(|error| self.missing(request, bucket, error))?;
        let object = version.object.clone().ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok(Found { version, object })
    }

    /// What a copy copies from.
    pub async fn source<T: Sync>(&self, request: &S3Request<T>, from: &CopySource) -> S3Result<Source> {
        let CopySource::Bucket { bucket, key, version_id } = from else {
            return Err(s3_error!(NotImplemented, "only a bucket and a key can be copied from"));
        };
        let action = if version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        self.check(request, action, bucket, Some(key))?;
        let versioning = self.bucket(bucket)?.versioning;
        let found = self.wanted(request, bucket, key, version_id.as_deref()).await?;
        Ok(Source { object: found.object, version_id: versioning.then_some(found.version.id) })
    }

    /// Gives a verified draft its place: bytes first, then the row that makes them an object. Blocks.
    pub fn commit(
        &self,
        bucket: &Bucket,
        key: &str,
        draft: Draft,
        etag: String,
        mut meta: Meta,
        condition: Option<&Condition>,
    ) -> S3Result<Version> {
        let now = self.now();
        if let (None, Some((mode, days))) = (&meta.retention, &bucket.retention) {
            let until = now + Duration::days(i64::from(*days));
            meta.retention = Some(Retention { mode: mode.clone(), until });
        }
        let size = draft.size;
        let content = self.contents().keep(draft)?;
        let object = Object { content: content.clone(), size, etag, meta };
        match self.index().write(|db| index::put(db, bucket, key, object, now, condition)) {
            Ok((version, replaced)) => {
                if let Some(replaced) = replaced {
                    self.contents().remove(&replaced);
                }
                Ok(version)
            }
            Err(error) => {
                self.contents().remove(&content);
                Err(error)
            }
        }
    }
}

/// The condition that a write's headers set.
pub fn condition(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Option<Condition>> {
    match (if_match, if_none_match) {
        (None, None) => Ok(None),
        (None, Some(ETagCondition::Any)) => Ok(Some(Condition::Absent)),
        (Some(ETagCondition::Any), None) => Ok(Some(Condition::Matches(None))),
        (Some(ETagCondition::ETag(etag)), None) => {
            Ok(Some(Condition::Matches(Some(etag.value().to_owned()))))
        }
        _ => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented"
        )),
    }
}
