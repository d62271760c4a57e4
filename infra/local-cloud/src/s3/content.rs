//! The bytes of objects: received into a draft, verified, and only then given their place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::StreamExt as _;
use http::StatusCode;
use s3s::{
    S3Error, S3ErrorCode, S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256},
    dto::StreamingBlob,
    s3_error,
};
use tempfile::NamedTempFile;

use super::{
    claims::{Claims, sums_in},
    index::internal,
    meta::Algorithm,
};

/// The largest object that one request may put.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;
/// What is kept in memory of a body that is being received.
const PIECE: usize = 256 * 1024;

/// Two folders: `draft`, emptied at the start, and `objects`, in 256 shards.
#[derive(Debug, Clone)]
pub struct Contents {
    root: PathBuf,
}

/// Bytes that were received and verified, but are no object yet. Dropped, they are gone.
pub struct Draft {
    /// None of a small body.
    file: Option<NamedTempFile>,
    /// What comes after the file's.
    rest: Vec<u8>,
    pub size: u64,
    pub md5: [u8; 16],
    pub checksums: BTreeMap<Algorithm, String>,
}

impl Contents {
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let drafts = root.join("draft");
        if drafts.exists() {
            std::fs::remove_dir_all(&drafts)?;
        }
        std::fs::create_dir_all(&drafts)?;
        for shard in 0..=u8::MAX {
            std::fs::create_dir_all(root.join("objects").join(hex::encode([shard])))?;
        }
        File::open(root.join("objects"))?.sync_all()?;
        File::open(root)?.sync_all()?;
        Ok(Self { root: root.to_owned() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join("objects").join(name.get(..2).unwrap_or("00")).join(name)
    }

    fn draft(&self) -> S3Result<NamedTempFile> {
        NamedTempFile::new_in(self.root.join("draft")).map_err(internal)
    }

    /// Receives a body, streamed to disk unless it is small, and holds it against all that the client claims of it.
    pub async fn receive(
        &self,
        body: Option<StreamingBlob>,
        mut claims: Claims,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Draft> {
        claims.wanted.extend(claims.checksums.keys());
        let mut sums = Sums::new(&claims.wanted);
        let (mut file, mut rest) = (None, Vec::new());
        if let Some(mut body) = body {
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|error| broken(&error.to_string()))?;
                sums.update(&chunk);
                if sums.size > LARGEST {
                    return Err(s3_error!(EntityTooLarge));
                }
                rest.extend_from_slice(&chunk);
                if rest.len() >= PIECE {
                    file = Some(self.append(file, std::mem::take(&mut rest)).await?);
                }
            }
        }
        if claims.length.is_some_and(|length| u64::try_from(length) != Ok(sums.size)) {
            return Err(s3_error!(IncompleteBody));
        }
        if let Some(trailers) = trailers.and_then(|trailers| trailers.take()) {
            claims.checksums.extend(sums_in(&trailers));
        }
        let (size, md5, checksums) = sums.finish();
        claims.check(&md5, &checksums)?;
        Ok(Draft { file, rest, size, md5, checksums })
    }

    /// Writes where it holds nobody up.
    async fn append(&self, file: Option<NamedTempFile>, bytes: Vec<u8>) -> S3Result<NamedTempFile> {
        let contents = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file.map_or_else(|| contents.draft(), Ok)?;
            file.write_all(&bytes).map_err(internal)?;
            Ok(file)
        });
        written.await.map_err(internal)?
    }

    /// Makes a draft durable under a new name, to which nothing refers before it is. Blocks.
    pub fn keep(&self, draft: Draft) -> S3Result<String> {
        let name = hex::encode(rand::random::<[u8; 16]>());
        let path = self.path(&name);
        let kept = place(draft, &path);
        if kept.is_err() {
            self.remove(&name);
        }
        kept.map_err(internal)?;
        Ok(name)
    }

    /// Joins files to a new draft, in their order. Blocks.
    pub fn join(&self, names: &[String], wanted: &BTreeSet<Algorithm>) -> S3Result<Draft> {
        let files = names.iter().map(|name| Ok(self.open_content(name)?.take(u64::MAX)));
        self.gather(files, wanted)
    }

    /// A piece of a file as a new draft. Blocks.
    pub fn cut(&self, name: &str, start: u64, length: u64, wanted: &BTreeSet<Algorithm>) -> S3Result<Draft> {
        let mut file = self.open_content(name)?;
        file.seek(SeekFrom::Start(start)).map_err(internal)?;
        self.gather(std::iter::once(Ok(file.take(length))), wanted)
    }

    fn gather(
        &self,
        files: impl Iterator<Item = S3Result<std::io::Take<File>>>,
        wanted: &BTreeSet<Algorithm>,
    ) -> S3Result<Draft> {
        let mut draft = self.draft()?;
        let mut sums = Sums::new(wanted);
        let mut buffer = vec![0; 256 * 1024];
        for file in files {
            let mut file = file?;
            loop {
                let read = file.read(&mut buffer).map_err(internal)?;
                if read == 0 {
                    break;
                }
                sums.update(&buffer[..read]);
                draft.write_all(&buffer[..read]).map_err(internal)?;
            }
        }
        let (size, md5, checksums) = sums.finish();
        Ok(Draft { file: Some(draft), rest: Vec::new(), size, md5, checksums })
    }

    pub fn open_content(&self, name: &str) -> S3Result<File> {
        File::open(self.path(name)).map_err(internal)
    }

    /// Removes the files that nobody refers to: a crash came between their rename and their row, or after its delete.
    pub fn sweep(&self, kept: &BTreeSet<String>) -> std::io::Result<usize> {
        let mut swept = 0;
        for shard in std::fs::read_dir(self.root.join("objects"))? {
            for file in std::fs::read_dir(shard?.path())? {
                let file = file?;
                if file.file_name().to_str().is_some_and(|name| !kept.contains(name)) {
                    std::fs::remove_file(file.path())?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    /// A file that stays behind costs space until the next start.
    pub fn remove(&self, name: &str) {
        if let Err(error) = std::fs::remove_file(self.path(name)) {
            tracing::warn!(error = %error, "a deleted object's file is still there");
        }
    }
}

fn place(draft: Draft, path: &Path) -> std::io::Result<()> {
    let mut file = match draft.file {
        Some(file) => file.persist(path)?,
        None => File::options().write(true).create_new(true).mode(0o600).open(path)?,
    };
    file.write_all(&draft.rest)?;
    file.sync_data()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The running sums over a body.
struct Sums {
    size: u64,
    md5: Md5,
    others: ChecksumHasher,
}

impl Sums {
    /// CRC-64/NVME is what S3 keeps of an object whose client asked for nothing.
    fn new(wanted: &BTreeSet<Algorithm>) -> Self {
        let of = |algorithm| wanted.contains(&algorithm);
        let others = ChecksumHasher {
            crc32: of(Algorithm::Crc32).then(Crc32::new),
            crc32c: of(Algorithm::Crc32c).then(Crc32c::new),
            sha1: of(Algorithm::Sha1).then(Sha1::new),
            sha256: of(Algorithm::Sha256).then(Sha256::new),
            crc64nvme: (of(Algorithm::Crc64Nvme) || wanted.is_empty()).then(Crc64Nvme::new),
        };
        Self { size: 0, md5: Md5::new(), others }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.others.update(bytes);
    }

    fn finish(self) -> (u64, [u8; 16], BTreeMap<Algorithm, String>) {
        let sums = self.others.finalize();
        let checksums = [
            (Algorithm::Crc32, sums.checksum_crc32),
            (Algorithm::Crc32c, sums.checksum_crc32c),
            (Algorithm::Crc64Nvme, sums.checksum_crc64nvme),
            (Algorithm::Sha1, sums.checksum_sha1),
            (Algorithm::Sha256, sums.checksum_sha256),
        ];
        let checksums =
            checksums.into_iter().filter_map(|(algorithm, sum)| Some((algorithm, sum?))).collect();
        (self.size, self.md5.finalize(), checksums)
    }
}

/// A body that did not come as it was announced: s3s tells why in words only.
fn broken(why: &str) -> S3Error {
    if why.contains("Sha256Mismatch") {
        let mut error = S3Error::with_message(
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        error.set_status_code(StatusCode::BAD_REQUEST);
        return error;
    }
    if why.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch);
    }
    if why.contains("FormatError") || why.contains("TooLarge") || why.contains("TooMany") {
        return s3_error!(InvalidRequest, "The aws-chunked body is malformed.");
    }
    s3_error!(IncompleteBody)
}

/// A piece of a file as a body.
pub fn stream(file: File, start: u64, length: u64) -> S3Result<StreamingBlob> {
    use tokio::io::AsyncReadExt as _;
    let mut file = file;
    file.seek(SeekFrom::Start(start)).map_err(internal)?;
    let reader = tokio::fs::File::from_std(file).take(length);
    let stream = tokio_util::io::ReaderStream::with_capacity(reader, 64 * 1024);
    Ok(StreamingBlob::wrap::<_, std::io::Error>(stream.map(|chunk: std::io::Result<Bytes>| chunk)))
}
