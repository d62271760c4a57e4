//! Patterns for file names: `*` stands for anything, upper and lower case are the same.

/// Holding one means that its parts were taken apart: what stands between the stars, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    first: Vec<u8>,
    /// What follows each star.
    rest: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Reads patterns parted by commas; an empty text is none.
    pub fn read(text: &str) -> Self {
        let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
        Self(patterns.map(Pattern::read).collect())
    }

    /// True if a name is like one of them.
    pub fn matches(&self, name: &[u8]) -> bool {
        let name = name.to_ascii_lowercase();
        self.0.iter().any(|pattern| pattern.is_like(&name))
    }
}

impl Pattern {
    fn read(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split('*').map(|part| part.as_bytes().to_vec());
        Self { first: parts.next().unwrap_or_default(), rest: parts.collect() }
    }

    /// Each part is taken where it first fits, the last one at the end: no name takes long to judge.
    fn is_like(&self, name: &[u8]) -> bool {
        let Some((last, between)) = self.rest.split_last() else {
            return name == self.first;
        };
        let Some(mut left) = name.strip_prefix(self.first.as_slice()) else {
            return false;
        };
        for part in between {
            let Some(behind) = behind_first(left, part) else {
                return false;
            };
            left = behind;
        }
        left.ends_with(last)
    }
}

fn behind_first<'a>(name: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    (0..=name.len()).find_map(|skipped| name.get(skipped..)?.strip_prefix(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_by_their_beginning_end_middle_or_whole() {
        let patterns = Patterns::read(" *.bak , log*.txt,Thumbs.db,a*bc*bc");
        for name in ["x.BAK", ".bak", "log-1.TXT", "log.txt", "thumbs.DB", "abcbc", "a-bc-bc", "abc-bcbc"] {
            assert!(patterns.matches(name.as_bytes()), "{name}");
        }
        for name in ["x.bak.csv", "lo.txt", "log.tx", "Thumbs.db.csv", "abc", "bc*bc", ""] {
            assert!(!patterns.matches(name.as_bytes()), "{name}");
        }
        assert!(Patterns::read("*").matches(b"\x8f\x88"));
        assert!(!Patterns::read("").matches(b""));
    }
}
