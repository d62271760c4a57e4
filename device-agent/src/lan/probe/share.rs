//! Logs in at the box's own share as the receipt computer does, at the address where it will look for it.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// smbclient would wait for twenty seconds, whatever it is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to log in at the share.
#[derive(Debug, Clone)]
pub struct ShareLogin {
    pub smbclient: PathBuf,
    /// User and password, as smbclient reads them.
    pub credentials: PathBuf,
    pub port: u16,
}

impl ShareLogin {
    /// True if the box hosts a share that anybody could log in at.
    pub fn is_hosted(&self) -> bool {
        self.credentials.exists()
    }

    /// The word that it failed with.
    pub async fn works(&self, address: Ipv4Addr, share: Option<&str>) -> Result<(), String> {
        let place = format!("//{address}/{}", share.unwrap_or("IPC$"));
        let mut command = Command::new(&self.smbclient);
        let port = self.port.to_string();
        command
            .args([&place, "--configfile=/dev/null", "--use-kerberos=off", "-m", "SMB3", "-p", &port])
            .arg("-A")
            .arg(&self.credentials)
            .args(["-c", "exit"])
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true);
        match timeout(PATIENCE, command.output()).await {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => Err(status(&[output.stdout, output.stderr].concat())),
            Ok(Err(error)) => Err(format!("{} does not start: {error}", name(&self.smbclient))),
            Err(_) => Err(format!("no answer for {} s", PATIENCE.as_secs())),
        }
    }
}

/// Of what it says, no more than the word that the protocol has for it.
fn status(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let word = said.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
    let mut words = word.filter(|word| word.starts_with("NT_STATUS_"));
    words.next().unwrap_or("smbclient does not say why").to_owned()
}

fn name(program: &Path) -> std::borrow::Cow<'_, str> {
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_only_its_status_is_told() {
        let said = b"session setup failed: NT_STATUS_LOGON_FAILURE for rece\n";

        assert_eq!(status(said), "NT_STATUS_LOGON_FAILURE");
        assert_eq!(status(b"tree connect failed"), "smbclient does not say why");
    }
}
