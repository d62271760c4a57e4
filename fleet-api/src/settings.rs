//! Where settings come from: the environment, and a file for what the environment does not say.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet, path::Path};

use anyhow::Context;

/// Names and their values.
#[derive(Default)]
pub struct Settings {
    file: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
}

impl Settings {
    /// Reads the file, if one is given: NAME=value lines, with `#` for comments and quotes for values
    /// that hold spaces or `$`.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else {
            return Ok(Self::default());
        };
        let unreadable = || format!("the configuration file {} cannot be read", path.display());
        let lines = dotenvy::from_path_iter(path).with_context(unreadable)?;
        // What dotenvy says quotes the line, and a line may hold a secret.
        let file = lines.collect::<Result<_, _>>().map_err(|error| match error {
            dotenvy::Error::LineParse(_, _) => anyhow::anyhow!("a line is not like NAME=value"),
            other => other.into(),
        });
        Ok(Self { file: file.with_context(unreadable)?, asked: RefCell::default() })
    }

    /// The environment goes first; what is empty counts as not given.
    pub fn get(&self, name: &str) -> Option<String> {
        self.asked.borrow_mut().insert(name.to_owned());
        let given = |text: &String| !text.is_empty();
        let environment = std::env::var(name).ok().filter(given);
        environment.or_else(|| self.file.get(name).cloned().filter(given))
    }

    pub fn want(&self, name: &str) -> anyhow::Result<String> {
        self.get(name).with_context(|| format!("{name} is not set"))
    }

    /// What the file says and nobody has asked for: typing errors, most likely.
    pub fn unasked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        self.file.keys().filter(|name| !asked.contains(*name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn what_the_environment_does_not_say_the_file_says() {
        let file = file("# a comment\nRECEHUB_TEST_ONLY='a $b c'\nRECEHUB_TEST_TYPO=1\nPATH=/nowhere\n");
        let settings = Settings::load(Some(file.path())).unwrap();

        assert_eq!(settings.get("RECEHUB_TEST_ONLY").as_deref(), Some("a $b c"));
        assert_ne!(settings.get("PATH").as_deref(), Some("/nowhere"));
        assert!(settings.want("RECEHUB_TEST_ABSENT").is_err());
        assert_eq!(settings.unasked(), ["RECEHUB_TEST_TYPO"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_without_its_lines() {
        let error = |file: &Path| format!("{:#}", Settings::load(Some(file)).err().unwrap());

        assert!(error(Path::new("/nowhere/at/all")).contains("/nowhere/at/all"));
        assert!(!error(file("SECRET canary = x").path()).contains("canary"));
    }
}
