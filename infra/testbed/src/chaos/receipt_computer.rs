//! The receipt computer: saves by SMB, several files a session, dies in the middle of a save now and then,
//! and keeps a book of every content that ever stood closed on the share.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use device_model::{
    thing_name::ThingName,
    upload::{ContentHash, UploadId},
};
use tempfile::TempDir;

use crate::{
    chaos::prescriptions::{Content, Prescriptions, Step},
    samba::Share,
};

/// Before every so manieth session it dies first.
const DIES_BEFORE: usize = 5;
/// Files of these names are none yet.
const NOT_YET: &str = ".tmp";

pub struct ReceiptComputer {
    share: Share,
    prescriptions: Prescriptions,
    sessions: usize,
    /// What is put lies here first: smbclient takes it from files.
    local: TempDir,
    pub book: Book,
}

/// What stood on the share, by upload id.
pub struct Book {
    thing: ThingName,
    pub closed: HashMap<String, Closed>,
    /// What stands now, by path: the id.
    pub standing: BTreeMap<String, String>,
    /// Contents that were closed, the same ones again included.
    pub saves: usize,
    /// Saves that were cut short: what stood then is a piece of each, until it is saved again.
    pub torn: Vec<(String, Content)>,
}

/// A whole content of a path.
#[derive(Debug, Clone)]
pub struct Closed {
    pub path: String,
    pub hash: ContentHash,
}

impl ReceiptComputer {
    pub fn new(share: &Share, thing: &str, seed: u64) -> Result<Self> {
        Ok(Self {
            share: share.clone(),
            prescriptions: Prescriptions::new(seed),
            sessions: 0,
            local: tempfile::tempdir()?,
            book: Book {
                thing: thing.parse()?,
                closed: HashMap::new(),
                standing: BTreeMap::new(),
                saves: 0,
                torn: Vec::new(),
            },
        })
    }

    /// Saves at least so many files in one session.
    pub async fn session(&mut self, saves: usize) -> Result<()> {
        let mut steps = self.prescriptions.session(saves);
        if self.sessions.is_multiple_of(DIES_BEFORE) {
            steps.push(self.die_in_the_middle().await?);
        }
        self.sessions += 1;
        let mut commands = format!("lcd {}; ", self.local.path().display());
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Folder(path) => write!(commands, "mkdir \"{path}\"; ")?,
                Step::Save { path, content, draft } => {
                    let bytes = content.bytes();
                    let mut file = fs::File::create(self.local.path().join(number.to_string()))?;
                    file.write_all(&bytes)?;
                    let name = draft.as_ref().unwrap_or(path);
                    write!(commands, "put {number} \"{name}\"; ")?;
                    if draft.is_some() {
                        write!(commands, "rename \"{name}\" \"{path}\" -f; ")?;
                    }
                    self.book.enter(path, draft.as_deref(), ContentHash::of(&bytes));
                }
            }
        }
        self.share.client(&commands).output().await.context("the receipt computer cannot save")?;
        Ok(())
    }

    /// Dies in the middle of a file: half of it stands on the share, closed by the system. What is to be
    /// done then is to save it whole.
    async fn die_in_the_middle(&mut self) -> Result<Step> {
        let (path, content) = self.prescriptions.big_file();
        self.book.torn.push((path.clone(), content));
        let bytes = content.bytes();
        fs::File::create(self.local.path().join("half"))?.write_all(&bytes[..bytes.len() / 2])?;
        let command = format!("lcd {}; put half \"{path}\"", self.local.path().display());
        self.share.client(&command).output().await.context("the receipt computer cannot save")?;
        Ok(Step::Save { path, content, draft: None })
    }

    /// Fails unless what was saved last stands on the share, and nothing else.
    pub fn ensure_share_holds(&self) -> Result<()> {
        let mut found = BTreeMap::new();
        look(&self.share.folder, "", &self.book.thing, &mut found)?;
        let differ = found.iter().filter(|(path, id)| self.book.standing.get(*path) != Some(id)).count();
        let missing = self.book.standing.keys().filter(|path| !found.contains_key(*path)).count();
        ensure!(
            differ + missing == 0,
            "the share itself does not hold what was saved: {missing} files are missing, {differ} differ"
        );
        Ok(())
    }
}

impl Book {
    /// The path at which a content stood, whole or as a piece of one whose save was cut short.
    pub fn path_of(&self, id: &str, content: &[u8]) -> Option<&str> {
        let hash = ContentHash::of(content);
        if let Some(closed) = self.closed.get(id) {
            return (closed.hash == hash).then_some(&closed.path);
        }
        let torn = self.torn.iter().find(|(path, whole)| {
            UploadId::of(&self.thing, path.as_bytes(), hash).to_string() == id
                && whole.bytes().starts_with(content)
        });
        torn.map(|(path, _)| path.as_str())
    }

    fn enter(&mut self, path: &str, draft: Option<&str>, hash: ContentHash) {
        self.saves += 1;
        let draft = draft.filter(|name| !name.ends_with(NOT_YET));
        for path in draft.into_iter().chain([path]) {
            let id = UploadId::of(&self.thing, path.as_bytes(), hash).to_string();
            self.closed.insert(id, Closed { path: path.to_owned(), hash });
        }
        let id = UploadId::of(&self.thing, path.as_bytes(), hash).to_string();
        self.standing.insert(path.to_owned(), id);
    }
}

/// The files of a folder and below, with the upload ids of what they hold.
fn look(root: &Path, below: &str, thing: &ThingName, found: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = String::from_utf8_lossy(entry.file_name().as_bytes()).into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            look(root, &path, thing, found)?;
        } else {
            let hash = ContentHash::of(&fs::read(entry.path())?);
            found.insert(path.clone(), UploadId::of(thing, path.as_bytes(), hash).to_string());
        }
    }
    Ok(())
}
