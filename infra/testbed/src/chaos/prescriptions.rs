//! What a receipt computer saves in a day, drawn from a seed: names and sizes as they come, new files,
//! overwritten ones, some that go back to what they were, some renamed into place.

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

/// Both are in every name, or one of them: what must be seen in no log.
pub const CANARIES: [&str; 2] = ["kanariya", "金糸雀"];
/// The longest name that a file system of Linux takes, in bytes.
const LONGEST_NAME: usize = 255;

/// A content, as small as what makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    size: usize,
}

/// One thing that the receipt computer does. Paths are relative to the share.
#[derive(Debug, Clone)]
pub enum Step {
    Folder(String),
    Save {
        path: String,
        content: Content,
        /// Saved under this name, then renamed into place.
        draft: Option<String>,
    },
}

/// Draws steps without end.
pub struct Prescriptions {
    draw: StdRng,
    count: u64,
    folders: Vec<String>,
    /// Each path with what was saved there, oldest first.
    files: Vec<(String, Vec<Content>)>,
}

impl Content {
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; self.size];
        StdRng::seed_from_u64(self.seed).fill_bytes(&mut bytes);
        bytes
    }
}

impl Prescriptions {
    pub fn new(seed: u64) -> Self {
        Self { draw: StdRng::seed_from_u64(seed), count: 0, folders: Vec::new(), files: Vec::new() }
    }

    /// What is done in one session: so many saves, one or two more, and the folders they need.
    pub fn session(&mut self, saves: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut done = 0;
        while done < saves {
            let before = steps.len();
            match self.draw.random_range(0..100) {
                0..15 if !self.files.is_empty() => self.overwrite(&mut steps),
                15..25 if !self.files.is_empty() => self.put_back(&mut steps),
                25..32 => self.change_its_mind(&mut steps),
                _ => drop(self.new_file(&mut steps)),
            }
            done += steps[before..].iter().filter(|step| matches!(step, Step::Save { .. })).count();
        }
        steps
    }

    /// A file with a middle, at a path of its own.
    pub fn big_file(&mut self) -> (String, Content) {
        let path = format!("kanariya-big-{}.csv", self.files.len());
        let content = Content { seed: self.draw.next_u64(), size: self.draw.random_range(200_000..900_000) };
        self.files.push((path.clone(), vec![content]));
        (path, content)
    }

    fn new_file(&mut self, steps: &mut Vec<Step>) -> usize {
        let (folders, name) = self.name();
        let mut path = String::new();
        for folder in folders {
            path.push_str(&folder);
            if !self.folders.contains(&path) {
                self.folders.push(path.clone());
                steps.push(Step::Folder(path.clone()));
            }
            path.push('/');
        }
        self.files.push((format!("{path}{name}"), Vec::new()));
        let file = self.files.len() - 1;
        let content = self.content();
        self.save(steps, file, content);
        file
    }

    fn overwrite(&mut self, steps: &mut Vec<Step>) {
        let file = self.draw.random_range(0..self.files.len());
        let content = self.content();
        self.save(steps, file, content);
    }

    /// A, B, and A again.
    fn put_back(&mut self, steps: &mut Vec<Step>) {
        let file = self.draw.random_range(0..self.files.len());
        let contents = &self.files[file].1;
        let earlier = contents.len().checked_sub(2).map(|index| contents[index]);
        let content = earlier.unwrap_or_else(|| self.content());
        self.save(steps, file, content);
    }

    /// Three saves to one path faster than anyone may look.
    fn change_its_mind(&mut self, steps: &mut Vec<Step>) {
        let file = self.new_file(steps);
        let (first, other) = (self.files[file].1[0], self.content());
        self.save(steps, file, other);
        self.save(steps, file, first);
    }

    fn save(&mut self, steps: &mut Vec<Step>, file: usize, content: Content) {
        self.count += 1;
        let (path, contents) = &mut self.files[file];
        contents.push(content);
        let folder = path.rfind('/').map_or("", |end| &path[..=end]);
        let draft = match self.draw.random_range(0..8) {
            0 => Some(format!("{folder}kanariya-{}.tmp", self.count)),
            1 => Some(format!("{folder}kanariya-draft-{}", self.count)),
            _ => None,
        };
        steps.push(Step::Save { path: path.clone(), content, draft });
    }

    fn content(&mut self) -> Content {
        let size = match self.draw.random_range(0..100) {
            0..2 => 0,
            2..86 => self.draw.random_range(1_000..10_000),
            86..95 => self.draw.random_range(10_000..200_000),
            95..99 => self.draw.random_range(200_000..700_000),
            _ => self.draw.random_range(1_000_000..4_000_000),
        };
        Content { seed: self.draw.next_u64(), size }
    }

    /// Folders and a name in them that was not there before.
    fn name(&mut self) -> (Vec<String>, String) {
        let number = self.files.len();
        let day = self.draw.random_range(1..6);
        let flat = |name: String| (Vec::new(), name);
        match self.draw.random_range(0..8) {
            0 => flat(format!("処方箋_金糸雀花子_{number}.csv")),
            1 => flat(format!("金糸雀 太郎 (再発行) & 控え #{number}.txt")),
            2 => flat(longest(&format!("金糸雀-{number}-"), ".csv")),
            3 => (vec!["2026年".to_owned(), format!("11月{day}日")], format!("金糸雀{number}.csv")),
            4 => {
                let folders = ["kanariya".to_owned(), format!("受付{day}"), "控え".to_owned()];
                (folders.to_vec(), format!("rx-kanariya-{number}.nsi"))
            }
            // As a Mac writes it: the letter and its mark apart.
            5 => flat(format!("金糸雀-か\u{3099}-{number}.csv")),
            _ => flat(format!("kanariya-{number}.csv")),
        }
    }
}

fn longest(begin: &str, end: &str) -> String {
    let room = LONGEST_NAME - begin.len() - end.len();
    format!("{begin}{}{end}", "あ".repeat(room / "あ".len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_saves_the_same() {
        let saved = |seed| format!("{:?}", Prescriptions::new(seed).session(200));

        assert_eq!(saved(1), saved(1));
        assert_ne!(saved(1), saved(2));
    }

    #[test]
    fn every_name_is_one_that_linux_takes_and_holds_a_canary() {
        for step in Prescriptions::new(3).session(500) {
            let Step::Save { path, .. } = step else { continue };
            let name = path.rsplit('/').next().unwrap();
            assert!(name.len() <= LONGEST_NAME, "{name}");
            assert!(CANARIES.iter().any(|canary| name.contains(canary)), "{name}");
        }
    }
}
