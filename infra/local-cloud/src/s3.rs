//! S3 on the s3s crate, with a durable backend of its own.
//!
//! s3s speaks the protocol and verifies signatures; `access` asks the policies; `store` and its siblings keep the
//! objects: bytes as files, everything else in one SQLite index whose transactions make conditional writes atomic.

mod access;
mod actions;
mod asked;
mod attributes;
mod backend;
mod claims;
mod content;
mod index;
mod listing;
mod log;
mod meta;
mod multipart;
mod object;
mod retention;
mod store;
mod tagging;
mod uploads;

use std::{borrow::Cow, path::Path, sync::Arc};

use chrono::{DateTime, Utc};
use s3s::{
    S3Result,
    host::{S3Host, VirtualHost},
    service::{S3Service, S3ServiceBuilder},
};

use crate::{keys::Keys, template::Bucket};
use access::Access;
use store::Store;

/// Where the time comes from.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Makes the service: a tower and hyper service, cheap to clone. Objects live in `data_dir`.
pub fn service(data_dir: &Path, keys: Keys, buckets: &[Bucket], now: Now) -> anyhow::Result<S3Service> {
    let access = Access::new(keys, buckets, now.clone())?;
    let store = Store::open(data_dir, buckets, access.clone(), now)?;
    let mut builder = S3ServiceBuilder::new(store);
    builder.set_auth(access.clone());
    builder.set_access(access);
    builder.set_host(BeforeLocalhost);
    Ok(builder.build())
}

/// `bucket.localhost` names a bucket; under any other host it is the first part of the path.
struct BeforeLocalhost;

impl S3Host for BeforeLocalhost {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let plain = VirtualHost::new(host);
        Ok(match name.strip_suffix(".localhost") {
            Some(bucket) => plain.with_bucket(Cow::Borrowed(bucket)),
            None => plain,
        })
    }
}
