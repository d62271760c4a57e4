//! What the box is told of the smbd that it hosts its share with.

use std::path::PathBuf;

use crate::config::Reader;

pub const SMB_PORT: u16 = 445;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosting {
    /// The `smb.conf` that smbd was started with.
    pub conf: PathBuf,
    /// The account of this machine that owns the files of the share: the agent's own.
    pub account: String,
    pub port: u16,
    /// Settings of smbd that are the machine's and not the share's, in a file of its own.
    pub include: Option<PathBuf>,
    /// Whom to tell by a signal; if not given, `smbcontrol` finds smbd.
    pub pid_file: Option<PathBuf>,
}

impl Reader<'_> {
    /// `Some(None)`: the share is not the box's to change.
    #[expect(clippy::option_option, reason = "a fault and nothing said are two things")]
    pub(super) fn hosting(&mut self) -> Option<Option<Hosting>> {
        if self.may("RECEHUB_SHARE_CONF").is_none() {
            return Some(None);
        }
        let conf = self.absolute("RECEHUB_SHARE_CONF");
        let account = self.want("RECEHUB_SHARE_ACCOUNT");
        let port = self.or_default("RECEHUB_SHARE_PORT", SMB_PORT);
        let [include, pid_file] = ["RECEHUB_SHARE_INCLUDE", "RECEHUB_SMBD_PID_FILE"]
            .map(|name| if self.may(name).is_some() { self.absolute(name).map(Some) } else { Some(None) });
        Some(Some(Hosting {
            conf: conf?,
            account: account?,
            port: port?,
            include: include?,
            pid_file: pid_file?,
        }))
    }

    /// smbd has another working directory than we have.
    fn absolute(&mut self, name: &str) -> Option<PathBuf> {
        let path: PathBuf = self.want(name)?;
        if path.is_absolute() {
            return Some(path);
        }
        self.faults.push(format!("{name} must be an absolute path"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Option<Hosting>, Vec<String>> {
        let var =
            |asked: &str| set.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader::new(&var);
        reader.hosting().filter(|_| reader.faults.is_empty()).ok_or(reader.faults)
    }

    #[test]
    fn the_share_is_somebody_elses_unless_a_configuration_is_named() {
        assert_eq!(read(&[("RECEHUB_SHARE_PORT", "many")]), Ok(None));
        let hosting =
            read(&[("RECEHUB_SHARE_CONF", "/etc/samba/smb.conf"), ("RECEHUB_SHARE_ACCOUNT", "recehub")]);

        let Hosting { port, include, pid_file, .. } = hosting.unwrap().unwrap();

        assert_eq!((port, include, pid_file), (445, None, None));
    }

    #[test]
    fn everything_that_is_told_wrongly_is_named() {
        let faults = read(&[
            ("RECEHUB_SHARE_CONF", "smb.conf"),
            ("RECEHUB_SHARE_PORT", "0x1bd"),
            ("RECEHUB_SHARE_INCLUDE", "more.conf"),
            ("RECEHUB_SMBD_PID_FILE", "smbd.pid"),
        ])
        .unwrap_err();

        let names = ["SHARE_CONF", "SHARE_ACCOUNT", "SHARE_PORT", "SHARE_INCLUDE", "SMBD_PID_FILE"];
        assert_eq!(faults.len(), names.len(), "{faults:?}");
        for (fault, name) in faults.iter().zip(names) {
            assert!(fault.starts_with(&format!("RECEHUB_{name}")), "{fault}");
        }
    }
}
