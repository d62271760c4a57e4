//! A login as the receipt computer would do it, from the box to itself.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use device_model::outcome::code;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    lan::Fault,
    share::samba::{Said, run},
};

const AGAIN: Duration = Duration::from_millis(200);
/// Of a single answer.
const ANSWER_SECONDS: &str = "5";
/// Of a whole login; smbclient would wait twice as long for an smbd that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries until it succeeds or the time is up; once at least.
pub async fn check(credentials: &Path, port: u16, patience: Duration) -> Result<(), Fault> {
    let name = share_name(credentials)?;
    let until = Instant::now() + patience;
    loop {
        let said = once(credentials, &name, port).await?;
        if said.succeeded {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(Fault::new(code::SHARE_LOGIN, &reason(&said)));
        }
        sleep(AGAIN).await;
    }
}

async fn once(credentials: &Path, name: &str, port: u16) -> Result<Said, Fault> {
    let service = format!("//127.0.0.1/{name}");
    let port = port.to_string();
    // Not this machine's configuration, which may be of another smbd.
    let words =
        [&service, "-s", "/dev/null", "-m", "SMB3", "-p", &port, "-t", ANSWER_SECONDS, "-c", "exit", "-A"];
    let login = run("smbclient", words.map(OsString::from).into_iter().chain([credentials.into()]), None);
    timeout(PATIENCE, login).await.unwrap_or_else(|_| {
        Err(Fault::new(code::SHARE_LOGIN, &format!("no answer for {} s", PATIENCE.as_secs())))
    })
}

/// It stands in the first line of the credentials, so that both always belong together.
fn share_name(credentials: &Path) -> Result<String, Fault> {
    let text = zeroize::Zeroizing::new(fs::read_to_string(credentials)?);
    let name = text.lines().next().and_then(|line| line.split('`').nth(1));
    name.map(str::to_owned).ok_or_else(|| Fault::new(code::SHARE_LOGIN, "there are no credentials"))
}

/// The status that smbd answered, and nothing else of what was said.
fn reason(said: &Said) -> String {
    let words = said.output.split_whitespace().chain(said.errors.split_whitespace());
    let trim = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    let status = words.map(trim).find(|word| word.starts_with("NT_STATUS_"));
    status.unwrap_or_else(|| "smbclient gives no reason".to_owned())
}
