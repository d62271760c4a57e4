//! What is never captured, by its name alone.

/// Office's lock files, half-written copies, Windows' thumbnails, and whatever is hidden.
const DEFAULT: &str = "~$*,*.tmp,Thumbs.db,.*";

/// Patterns in which `*` stands for anything; upper and lower case are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excludes(Vec<Vec<u8>>);

impl Excludes {
    /// Reads patterns parted by commas; an empty text leaves nothing out.
    pub fn read(text: &str) -> Self {
        let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
        Self(patterns.map(|pattern| pattern.to_ascii_lowercase().into_bytes()).collect())
    }

    /// True if a file or folder of this name is left out.
    pub fn matches(&self, name: &[u8]) -> bool {
        let name = name.to_ascii_lowercase();
        self.0.iter().any(|pattern| is_like(pattern, &name))
    }
}

impl Default for Excludes {
    fn default() -> Self {
        Self::read(DEFAULT)
    }
}

fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => {
            (0..=name.len()).any(|skipped| is_like(rest, name.get(skipped..).unwrap_or(b"")))
        }
        Some((byte, rest)) => {
            name.split_first().is_some_and(|(first, name)| first == byte && is_like(rest, name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_out_by_their_beginning_end_or_whole() {
        let default = Excludes::default();
        for name in ["~$open.xlsx", "x.TMP", "THUMBS.DB", ".hidden"] {
            assert!(default.matches(name.as_bytes()), "{name}");
        }
        for name in ["rx.csv", "tmp", "x.tmp.csv", "Thumbs.db.csv"] {
            assert!(!default.matches(name.as_bytes()), "{name}");
        }
        assert!(!Excludes::read("").matches(b".hidden"));
        assert!(Excludes::read(" *.bak , log*.txt").matches(b"log-1.TXT"));
    }
}
