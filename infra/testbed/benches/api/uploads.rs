//! 5 KB through the API, with session, ledger and receipt, beside a plain PUT into the same S3.

use anyhow::Result;
use aws_sdk_s3::primitives::ByteStream;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use device_model::upload::{
    ContentHash, DIGEST_HEADER, OBSERVED_AT_HEADER, PATH_HEADER, SEQUENCE_HEADER, UploadId,
};
use reqwest::{Method, header};
use testbed::{Testbed, aws};

use crate::{clients::measured, fleet};

const SIZE: usize = 5 * 1024;

pub async fn compare(bed: &Testbed) -> Result<()> {
    let (s3, bucket) = (aws::s3_as_admin(bed), bed.cloud.output("BucketName")?);
    let raw = measured(async |client, turn| {
        let body = ByteStream::from(content(client, turn, b'r'));
        let put = s3.put_object().bucket(bucket).key(format!("bench/{client}/{turn}")).body(body);
        put.send().await?;
        Ok(())
    });
    let raw = raw.await?;
    println!("5 KB, plain PUT into S3: {raw}");
    let through = measured(async |client, turn| {
        let (thing, body) = (fleet::thing(client), content(client, turn, b'a'));
        let (path, hash) = (format!("{turn}.csv"), ContentHash::of(&body));
        let id = UploadId::of(&thing.parse()?, path.as_bytes(), hash);
        let put = bed
            .api
            .http()
            .request(Method::PUT, format!("{}/v1/uploads/{id}", bed.fleet_api))
            .header(header::AUTHORIZATION, format!("Bearer bench-session-{client}"))
            .header(DIGEST_HEADER, hash.to_digest_header())
            .header(PATH_HEADER, URL_SAFE_NO_PAD.encode(path))
            .header(OBSERVED_AT_HEADER, "2026-11-22T00:00:00Z")
            .header(SEQUENCE_HEADER, turn + 1);
        put.body(body).send().await?.error_for_status()?.bytes().await?;
        Ok(())
    });
    let through = through.await?;
    let part = through.a_second / raw.a_second;
    println!("5 KB through the API: {through}: {part:.2} of the plain PUT (goal: 0.6)");
    Ok(())
}

/// Never the same twice.
fn content(client: usize, turn: usize, what: u8) -> Vec<u8> {
    let mut content = format!("{client} {turn} ").into_bytes();
    content.resize(SIZE, what);
    content
}
