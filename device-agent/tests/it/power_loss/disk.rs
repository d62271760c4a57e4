//! A disk as a recording makes it: what is certain to be on it, and what a power cut may still take away.
//!
//! What was written to a file is certain once the file was synced; a name once its folder was. Until then
//! any of the writes may be missing or torn, each by itself; of the names in one folder the last ones may
//! be missing, as every journalling file system keeps their order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rand::{Rng, rngs::StdRng};

/// One recorded call.
#[derive(Debug, Clone)]
pub struct Call {
    pub kind: u8,
    inode: u64,
    offset: u64,
    path: PathBuf,
    second: PathBuf,
    pub data: Vec<u8>,
}

impl Call {
    pub fn writes_to(&self, name: &str) -> bool {
        self.kind == b'W' && self.path.ends_with(name)
    }
}

/// What a power cut leaves.
#[derive(Debug, Clone, Copy)]
pub enum Left {
    /// Everything that was done.
    All,
    /// What was synced, and nothing else.
    Certain,
    /// What was synced, and by chance some of the rest, some of that torn.
    Some,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

enum NameChange {
    Add(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct Content {
    certain: Vec<u8>,
    /// Offset and bytes; without bytes the file was cut to the offset's length.
    uncertain: Vec<(usize, Option<Vec<u8>>)>,
}

pub struct Disk {
    root: PathBuf,
    contents: Vec<Content>,
    by_inode: HashMap<u64, usize>,
    /// Told by their paths: a folder may have the inode of a file that is gone.
    folders: BTreeSet<PathBuf>,
    certain: BTreeMap<PathBuf, Node>,
    uncertain: BTreeMap<PathBuf, Vec<NameChange>>,
}

/// Reads what the recorder wrote; a record that was cut off by the agent's end is left out.
pub fn read_log(bytes: &[u8]) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut rest = bytes;
    while let Some((call, behind)) = read_call(rest) {
        calls.push(call);
        rest = behind;
    }
    calls
}

fn read_call(bytes: &[u8]) -> Option<(Call, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (inode, rest) = rest.split_first_chunk::<8>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let mut lengths = [0; 3];
    let mut rest = rest;
    for length in &mut lengths {
        let (bytes, behind) = rest.split_first_chunk::<4>()?;
        *length = u32::from_ne_bytes(*bytes) as usize;
        rest = behind;
    }
    let (path, rest) = rest.split_at_checked(lengths[0])?;
    let (second, rest) = rest.split_at_checked(lengths[1])?;
    let (data, rest) = rest.split_at_checked(lengths[2])?;
    let text = |bytes: &[u8]| PathBuf::from(String::from_utf8(bytes.to_vec()).unwrap());
    let call = Call {
        kind: *kind,
        inode: u64::from_ne_bytes(*inode),
        offset: u64::from_ne_bytes(*offset),
        path: text(path),
        second: text(second),
        data: data.to_vec(),
    };
    Some((call, rest))
}

impl Disk {
    /// What stands below the folder now, all of it certain.
    pub fn of(root: &Path) -> Self {
        let root = root.canonicalize().unwrap();
        let mut disk = Self {
            root: root.clone(),
            contents: Vec::new(),
            by_inode: HashMap::new(),
            folders: BTreeSet::from([root.clone()]),
            certain: BTreeMap::new(),
            uncertain: BTreeMap::new(),
        };
        let mut folders = vec![root];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let node = if path.is_dir() {
                    folders.push(path.clone());
                    disk.folders.insert(path.clone());
                    Node::Folder
                } else {
                    let inode = path.metadata().unwrap().ino();
                    disk.new_file(inode, fs::read(&path).unwrap())
                };
                disk.certain.insert(path, node);
            }
        }
        disk
    }

    /// Takes one call over. True: another state than before is possible now.
    pub fn apply(&mut self, call: &Call) -> bool {
        let path = call.path.clone();
        match call.kind {
            b'O' => return false,
            b'P' => {
                let name = path.to_string_lossy();
                assert!(name.ends_with("-shm"), "only what a power cut may take is written through memory");
                return false;
            }
            b'C' => {
                let node = self.new_file(call.inode, Vec::new());
                self.change(NameChange::Add(path, node));
            }
            b'M' => {
                self.folders.insert(path.clone());
                self.change(NameChange::Add(path, Node::Folder));
            }
            b'U' => self.change(NameChange::Remove(path)),
            b'R' => self.change(NameChange::Rename(path, call.second.clone())),
            b'W' | b'T' => {
                let bytes = (call.kind == b'W').then(|| call.data.clone());
                let content = self.content(call.inode);
                content.uncertain.push((usize::try_from(call.offset).unwrap(), bytes));
            }
            b'S' if self.folders.contains(&path) => {
                for change in self.uncertain.remove(&path).unwrap_or_default() {
                    rename(&mut self.certain, &change);
                }
            }
            b'S' => {
                let Some(&number) = self.by_inode.get(&call.inode) else { return false };
                let content = &mut self.contents[number];
                for change in std::mem::take(&mut content.uncertain) {
                    put(&mut content.certain, &change);
                }
            }
            kind => panic!("the replay does not know {} of {}", kind as char, call.second.display()),
        }
        true
    }

    /// Builds what a power cut at this moment may leave behind.
    pub fn build(&self, left: Left, dice: &mut StdRng, at: &Path) {
        let mut names = self.certain.clone();
        for changes in self.uncertain.values() {
            let kept = match left {
                Left::All => changes.len(),
                Left::Certain => 0,
                Left::Some => dice.random_range(0..=changes.len()),
            };
            changes.iter().take(kept).for_each(|change| rename(&mut names, change));
        }
        let mut folders = BTreeSet::from([self.root.clone()]);
        for (path, node) in &names {
            // In order of their names folders come before what is in them.
            if !folders.contains(path.parent().unwrap()) || path.to_string_lossy().ends_with("-shm") {
                continue;
            }
            let there = at.join(path.strip_prefix(&self.root).unwrap());
            match node {
                Node::Folder => {
                    folders.insert(path.clone());
                    fs::create_dir(there).unwrap();
                }
                Node::File(number) => {
                    let content = self.contents[*number].after(left, dice);
                    crate::capture::put(&there, &content);
                    fs::set_permissions(there, fs::Permissions::from_mode(0o600)).unwrap();
                }
            }
        }
    }

    fn new_file(&mut self, inode: u64, certain: Vec<u8>) -> Node {
        self.contents.push(Content { certain, uncertain: Vec::new() });
        let number = self.contents.len() - 1;
        self.by_inode.insert(inode, number);
        Node::File(number)
    }

    fn content(&mut self, inode: u64) -> &mut Content {
        let number = self.by_inode[&inode];
        &mut self.contents[number]
    }

    fn change(&mut self, change: NameChange) {
        let (NameChange::Add(path, _) | NameChange::Remove(path) | NameChange::Rename(path, _)) = &change;
        let folder = path.parent().unwrap().to_owned();
        if let NameChange::Rename(_, to) = &change {
            assert_eq!(to.parent().unwrap(), folder, "a rename stays in its folder");
        }
        self.uncertain.entry(folder).or_default().push(change);
    }
}

impl Content {
    fn after(&self, left: Left, dice: &mut StdRng) -> Vec<u8> {
        let mut content = self.certain.clone();
        for change in &self.uncertain {
            match left {
                Left::All => put(&mut content, change),
                Left::Certain => {}
                Left::Some => match (dice.random_range(0..8), change) {
                    (0..3, _) => {}
                    (3, (offset, Some(bytes))) => {
                        let half = bytes[..bytes.len() / 2].to_vec();
                        put(&mut content, &(*offset, Some(half)));
                    }
                    _ => put(&mut content, change),
                },
            }
        }
        content
    }
}

fn put(content: &mut Vec<u8>, (offset, bytes): &(usize, Option<Vec<u8>>)) {
    match bytes {
        None => content.resize(*offset, 0),
        Some(bytes) => {
            let end = offset + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn rename(names: &mut BTreeMap<PathBuf, Node>, change: &NameChange) {
    match change {
        NameChange::Add(path, node) => drop(names.insert(path.clone(), *node)),
        NameChange::Remove(path) => drop(names.remove(path)),
        NameChange::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}
