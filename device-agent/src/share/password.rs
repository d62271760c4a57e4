//! The share's password: made by the box, or chosen by people and sealed to the box's key.

use std::{fs, io, path::PathBuf};

use device_model::{
    outcome::code,
    share::{ShareSettings, check_password},
    thing_name::ThingName,
};
use rand::Rng;
use zeroize::Zeroizing;

use crate::{durable, identity::sealing::SealingKey, lan::Fault};

/// People type it into the receipt computer: nothing that looks like something else.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP: usize = 5;

pub struct Passwords {
    /// Where the one that the box made stands.
    pub own: PathBuf,
    pub thing: ThingName,
    pub sealing: SealingKey,
}

impl Passwords {
    pub fn of(&self, settings: &ShareSettings) -> Result<Zeroizing<String>, Fault> {
        let Some(sealed) = &settings.password_sealed else {
            return Ok(self.made()?);
        };
        let unreadable = |detail: String| Fault::new(code::PASSWORD_UNREADABLE, &detail);
        let opened = self.sealing.open(&self.thing, sealed).map_err(|error| unreadable(error.to_string()))?;
        let text = std::str::from_utf8(&opened).map_err(|_| unreadable("it is no text".to_owned()))?;
        check_password(text)
            .map_err(|fault| Fault::new(code::BAD_SETTINGS, &format!("the password {fault}")))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// The box's own, which stays the same for its life.
    fn made(&self) -> io::Result<Zeroizing<String>> {
        match fs::read_to_string(&self.own) {
            Ok(text) => Ok(Zeroizing::new(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = make();
                durable::replace(&self.own, made.as_bytes())?;
                Ok(made)
            }
            Err(error) => Err(error),
        }
    }
}

/// As `smbclient -A` reads it.
pub fn credentials(settings: &ShareSettings, password: &str) -> Zeroizing<String> {
    let ShareSettings { name, user, workgroup, .. } = settings;
    Zeroizing::new(format!(
        "# The share `{name}`\nusername = {user}\npassword = {password}\ndomain = {workgroup}\n"
    ))
}

fn make() -> Zeroizing<String> {
    let mut rng = rand::rng();
    let mut password = Zeroizing::new(String::with_capacity(GROUPS * (GROUP + 1)));
    for place in 0..GROUPS * GROUP {
        if place > 0 && place % GROUP == 0 {
            password.push('-');
        }
        password.push(char::from(LETTERS[rng.random_range(0..LETTERS.len())]));
    }
    password
}
