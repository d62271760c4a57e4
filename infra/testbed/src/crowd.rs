//! Many large uploads at once, and what memory a process took meanwhile. Nothing is held whole on this side either.

use std::{fs, iter, time::Duration};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use device_model::upload::{
    ContentHash, DIGEST_HEADER, OBSERVED_AT_HEADER, PATH_HEADER, SEQUENCE_HEADER, UploadId,
};
use futures::future::try_join_all;
use reqwest::{Body, header};
use sha2::{Digest, Sha256};

use crate::Testbed;

const CHUNK: usize = 64 * 1024;
/// As long as the API itself takes.
const IN_TIME: Duration = Duration::from_mins(20);

/// Sends so many uploads of so many bytes, all at once; `who` answers the thing that sends the one of that number, and
/// its bearer token.
pub async fn upload(
    bed: &Testbed,
    many: usize,
    size: usize,
    who: impl Fn(usize) -> (String, String),
) -> Result<()> {
    // Hashed before the first is sent, so that all are on their way together.
    let mut puts = Vec::new();
    for number in 0..many {
        let (thing, token) = who(number);
        let mut hash = Sha256::new();
        chunks(number, size).for_each(|chunk| hash.update(chunk));
        let (path, hash) = (format!("large-{number}.csv"), ContentHash(hash.finalize().into()));
        let id = UploadId::of(&thing.parse()?, path.as_bytes(), hash);
        let body = futures::stream::iter(chunks(number, size).map(anyhow::Ok));
        let put = bed.api.http().put(format!("{}/v1/uploads/{id}", bed.fleet_api)).bearer_auth(token);
        let put = put
            .header(header::CONTENT_LENGTH, size)
            .header(DIGEST_HEADER, hash.to_digest_header())
            .header(PATH_HEADER, URL_SAFE_NO_PAD.encode(path))
            .header(OBSERVED_AT_HEADER, "2026-11-22T00:00:00Z")
            .header(SEQUENCE_HEADER, number + 1)
            .timeout(IN_TIME)
            .body(Body::wrap_stream(body));
        puts.push(async move { anyhow::Ok(put.send().await?.error_for_status()?) });
    }
    try_join_all(puts).await?;
    Ok(())
}

fn chunks(number: usize, size: usize) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let first = format!("{number:08}").into_bytes();
    let rest = iter::repeat_n(CHUNK, size.saturating_sub(first.len()) / CHUNK);
    let last = size.saturating_sub(first.len()) % CHUNK;
    iter::once(first).chain(rest.chain(iter::once(last)).map(|length| vec![b'x'; length]))
}

/// What a process holds now and the most that it has held since it was last asked, in bytes.
pub fn memory(pid: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.map(|kilobytes| kilobytes * 1024).with_context(|| format!("no {name}"))
    };
    let taken = (kilobytes("VmRSS:")?, kilobytes("VmHWM:")?);
    // The kernel begins anew to look for the most.
    fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/{pid}/clear_refs"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"5"))?;
    Ok(taken)
}
