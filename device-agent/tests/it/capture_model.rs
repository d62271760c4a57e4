//! Capture against a model of the share: random sequences of what a client can do to it, from printed
//! seeds. At every quiet moment the newest observation of each path is what stands there, and nothing
//! was ever captured that did not stand there whole.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use device_agent::capture::{
    Capture,
    poll::Poll,
    source::Source,
    spool::{Entry, Spool},
    watch::Watch,
};
use device_model::upload::ContentHash;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IteratorRandom};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{capture_of, entries, eventually, light_folder, spool_in};

const SEEDS: u64 = 300;
const POLLED_SEEDS: u64 = 60;
const AT_ONCE: usize = 6;
const QUIET_MOMENTS: usize = 4;
const STEPS_BETWEEN: usize = 12;
const EVERY: Duration = Duration::from_millis(3);
const SETTLE: Duration = Duration::from_millis(2);

type Id = usize;

/// What a client believes of the share: every file by what it is, not by its name.
#[derive(Default)]
struct Model {
    folders: Vec<String>,
    names: BTreeMap<String, Id>,
    contents: HashMap<Id, Vec<u8>>,
    /// Open for writing; of one file there may be several.
    handles: Vec<(Id, File)>,
    next: Id,
    /// What stood at a path while nobody was writing to it.
    stood: HashSet<(Vec<u8>, ContentHash)>,
    story: Vec<String>,
}

struct Run {
    seed: u64,
    share: TempDir,
    random: StdRng,
    model: Model,
}

impl Model {
    fn is_written(&self, id: Id) -> bool {
        self.handles.iter().any(|(open, _)| *open == id)
    }

    fn standing(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        let closed = self.names.iter().filter(|(_, id)| !self.is_written(**id));
        closed.map(|(path, id)| (path, &self.contents[id]))
    }

    fn look(&mut self) {
        let stands: Vec<_> = self
            .standing()
            .map(|(path, content)| (path.clone().into_bytes(), ContentHash::of(content)))
            .collect();
        self.stood.extend(stands);
    }

    fn place(&mut self, path: String, content: Vec<u8>) -> Id {
        // The kernel shows a new file before it counts who opened it: for a moment it stands there empty,
        // with nobody writing to it.
        self.stood.insert((path.clone().into_bytes(), ContentHash::of(b"")));
        self.next += 1;
        self.names.insert(path, self.next);
        self.contents.insert(self.next, content);
        self.next
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let model = Model { folders: vec![String::new()], ..Model::default() };
        Self { seed, share: light_folder(), random: StdRng::seed_from_u64(seed), model }
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        self.share.path().join(path)
    }

    fn any_file(&mut self) -> Option<(String, Id)> {
        let names = self.model.names.iter();
        names.choose(&mut self.random).map(|(path, id)| (path.clone(), *id))
    }

    /// A path where no folder stands: few names, so that they meet.
    fn any_path(&mut self) -> String {
        let folder = self.model.folders.iter().choose(&mut self.random).cloned().unwrap_or_default();
        format!("{folder}{}.csv", ["a", "b", "処方"][self.random.random_range(0..3)])
    }

    fn some_content(&mut self) -> Vec<u8> {
        // Few contents, so that a path comes back to what it held.
        vec![b'a' + self.random.random_range(0..4); self.random.random_range(0..4)]
    }

    fn step(&mut self) {
        let done = match self.random.random_range(0..13) {
            0..=2 => Some(self.save()),
            3 => self.append(),
            4 => self.rename(),
            5 => Some(self.replace()),
            6 => self.delete(),
            7 => self.open(),
            8 => self.write_to_open(),
            9 => self.close_one(),
            10 => self.make_folder(),
            11 => self.remove_folder(),
            _ => self.rename_folder(),
        };
        self.model.story.extend(done);
        self.model.look();
    }

    /// Created, or overwritten in place.
    fn save(&mut self) -> String {
        let (path, content) = (self.any_path(), self.some_content());
        let mut file = File::create(self.on_disk(&path)).unwrap();
        file.write_all(&content).unwrap();
        let told = format!("save {path} {}", content.escape_ascii());
        match self.model.names.get(&path) {
            Some(id) => drop(self.model.contents.insert(*id, content)),
            None => drop(self.model.place(path, content)),
        }
        told
    }

    fn append(&mut self) -> Option<String> {
        let (path, id) = self.any_file()?;
        let more = self.some_content();
        File::options().append(true).open(self.on_disk(&path)).unwrap().write_all(&more).unwrap();
        self.model.contents.get_mut(&id).unwrap().extend(&more);
        Some(format!("append {path} {}", more.escape_ascii()))
    }

    fn rename(&mut self) -> Option<String> {
        let (from, id) = self.any_file()?;
        let to = self.any_path();
        fs::rename(self.on_disk(&from), self.on_disk(&to)).unwrap();
        self.model.names.remove(&from);
        self.model.names.insert(to.clone(), id);
        Some(format!("rename {from} {to}"))
    }

    /// Written under a name of its own, then moved over another.
    fn replace(&mut self) -> String {
        let (draft, to, content) = (self.any_path(), self.any_path(), self.some_content());
        let draft = format!("{draft}.new");
        File::create(self.on_disk(&draft)).unwrap().write_all(&content).unwrap();
        let id = self.model.place(draft.clone(), content);
        self.model.look();
        fs::rename(self.on_disk(&draft), self.on_disk(&to)).unwrap();
        self.model.names.remove(&draft);
        self.model.names.insert(to.clone(), id);
        format!("replace {to} by {draft}")
    }

    fn delete(&mut self) -> Option<String> {
        let (path, _) = self.any_file()?;
        fs::remove_file(self.on_disk(&path)).unwrap();
        self.model.names.remove(&path);
        Some(format!("delete {path}"))
    }

    fn open(&mut self) -> Option<String> {
        let (path, id) = self.any_file()?;
        let file = File::options().append(true).open(self.on_disk(&path)).unwrap();
        self.model.handles.push((id, file));
        Some(format!("open {path}"))
    }

    fn write_to_open(&mut self) -> Option<String> {
        let more = self.some_content();
        let (id, file) = self.model.handles.iter_mut().choose(&mut self.random)?;
        file.write_all(&more).unwrap();
        self.model.contents.get_mut(id).unwrap().extend(&more);
        Some(format!("write to #{id} {}", more.escape_ascii()))
    }

    fn close_one(&mut self) -> Option<String> {
        let which = (0..self.model.handles.len()).choose(&mut self.random)?;
        let (id, file) = self.model.handles.swap_remove(which);
        drop(file);
        Some(format!("close #{id}"))
    }

    fn make_folder(&mut self) -> Option<String> {
        let parent = self.model.folders.iter().choose(&mut self.random).cloned()?;
        let folder = format!("{parent}{}/", ["x", "y"][self.random.random_range(0..2)]);
        if self.model.folders.contains(&folder) || folder.len() > 8 {
            return None;
        }
        fs::create_dir(self.on_disk(&folder)).unwrap();
        self.model.folders.push(folder.clone());
        Some(format!("mkdir {folder}"))
    }

    /// With all that is below it.
    fn remove_folder(&mut self) -> Option<String> {
        let gone = self.model.folders.iter().filter(|folder| !folder.is_empty()).choose(&mut self.random)?;
        let gone = gone.clone();
        fs::remove_dir_all(self.on_disk(&gone)).unwrap();
        self.model.folders.retain(|folder| !folder.starts_with(&gone));
        self.model.names.retain(|path, _| !path.starts_with(&gone));
        Some(format!("rm {gone}"))
    }

    fn rename_folder(&mut self) -> Option<String> {
        let from = self.model.folders.iter().filter(|folder| !folder.is_empty()).choose(&mut self.random)?;
        let from = from.clone();
        let to = format!("{}/", ["x", "y", "z", "x/y"][self.random.random_range(0..4)]);
        let parent = to.trim_end_matches('/').rfind('/').map_or("", |slash| &to[..=slash]);
        let taken = self.model.folders.contains(&to) || to.starts_with(&from);
        if taken || !self.model.folders.iter().any(|folder| folder == parent) {
            return None;
        }
        fs::rename(self.on_disk(&from), self.on_disk(&to)).unwrap();
        let moved = |path: &String| match path.strip_prefix(&from) {
            Some(rest) => format!("{to}{rest}"),
            None => path.clone(),
        };
        self.model.folders = self.model.folders.iter().map(moved).collect();
        self.model.names = self.model.names.iter().map(|(path, id)| (moved(path), *id)).collect();
        Some(format!("rename {from} {to}"))
    }

    async fn play<S: Source>(mut self, source: impl FnOnce(&Capture) -> S) {
        let state = light_folder();
        let spool = spool_in(state.path()).await;
        let capture = capture_of(self.share.path(), &spool);
        let source = source(&capture);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(capture.run(source, stop.clone()));
        for _ in 0..QUIET_MOMENTS {
            for _ in 0..STEPS_BETWEEN {
                self.step();
                // Now and then the agent gets a moment in the middle of it all.
                for _ in 0..self.random.random_range(0..4) {
                    tokio::task::yield_now().await;
                }
            }
            self.is_quiet(&spool).await;
        }
        self.model.handles.clear();
        self.model.look();
        self.is_quiet(&spool).await;
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
        self.is_true(&entries(&spool).await);
    }

    /// Waits until the newest observation of each path is what stands there.
    async fn is_quiet(&self, spool: &Spool) {
        let what = format!("all is captured; seed {}: {:#?}", self.seed, self.model.story);
        eventually(&what, || async {
            let seen = entries(spool).await;
            let newest: HashMap<&[u8], ContentHash> =
                seen.iter().map(|entry| (entry.path.as_slice(), entry.hash)).collect();
            let is_there = |(path, content): (&String, &Vec<u8>)| {
                newest.get(path.as_bytes()) == Some(&ContentHash::of(content))
            };
            self.model.standing().all(is_there).then_some(())
        })
        .await;
    }

    fn is_true(&self, seen: &[Entry]) {
        for entry in seen {
            assert!(
                self.model.stood.contains(&(entry.path.clone(), entry.hash)),
                "seed {}: {} was captured with {} bytes that never stood there whole: {:#?}",
                self.seed,
                entry.path.escape_ascii(),
                entry.size,
                self.model.story,
            );
        }
        for (one, next) in seen.iter().zip(seen.iter().skip(1)) {
            assert!(one.sequence < next.sequence, "seed {}", self.seed);
        }
    }
}

async fn play_all<S: Source>(seeds: u64, source: impl Fn(&Capture) -> S + Copy + Send + Sync + 'static) {
    let mut seeds = 0..seeds;
    let mut runs = JoinSet::new();
    loop {
        while runs.len() < AT_ONCE
            && let Some(seed) = seeds.next()
        {
            runs.spawn(async move { Run::new(seed).play(source).await });
        }
        let Some(ended) = runs.join_next().await else { break };
        if let Err(failed) = ended {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_a_watched_share_ends_in_the_spool() {
    play_all(SEEDS, |capture| Watch::new(capture.share.clone(), Arc::clone(&capture.scope)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_a_polled_share_ends_in_the_spool() {
    play_all(POLLED_SEEDS, |capture| {
        Poll::new(capture.share.clone(), Arc::clone(&capture.scope), EVERY, SETTLE)
    })
    .await;
}
