//! `smb.conf` and the map of users, from a template. smbd logs nothing that it need not: names of files
//! are names of patients.

use std::path::{Path, PathBuf};

use device_model::{lan::ReservedRanges, share::ShareSettings};

use crate::config::hosting::Hosting;

const HEAD: &str = "# Written by device-agent; the next change writes it anew.";

/// What goes into the files.
pub struct Conf<'a> {
    pub hosting: &'a Hosting,
    pub share: &'a Path,
    pub users: &'a PathBuf,
    pub reserved: &'a ReservedRanges,
    pub settings: &'a ShareSettings,
}

impl Conf<'_> {
    pub fn text(&self) -> String {
        let Hosting { account, port, include, .. } = self.hosting;
        let ShareSettings { name, workgroup, .. } = self.settings;
        // First what the machine wants, so that nothing of it outweighs what follows.
        let include = include.iter().map(|file| format!("include = {}", file.display()));
        let global = [
            "server role = standalone".to_owned(),
            format!("workgroup = {workgroup}"),
            format!("smb ports = {port}"),
            "disable netbios = yes".to_owned(),
            // The pharmacy's side, and not the box's own line.
            format!("hosts allow = {}", self.allowed()),
            "server min protocol = SMB2_10".to_owned(),
            // smbd works as accounts of this machine: the share's user is mapped to the agent's.
            format!("username map = {}", self.users.display()),
            "map to guest = never".to_owned(),
            "load printers = no".to_owned(),
            "printcap name = /dev/null".to_owned(),
            "disable spoolss = yes".to_owned(),
            "log level = 0".to_owned(),
            "max log size = 1000".to_owned(),
            // No module looks on and tells.
            "vfs objects =".to_owned(),
        ];
        let share = [
            format!("path = {}", self.share.display()),
            "read only = no".to_owned(),
            format!("valid users = {account}"),
            // Without it a power cut takes what the receipt computer calls saved.
            "sync always = yes".to_owned(),
            "create mask = 0600".to_owned(),
            "directory mask = 0700".to_owned(),
        ];
        let mut lines = vec![HEAD.to_owned(), "[global]".to_owned()];
        lines.extend(include.chain(global).map(|line| format!("  {line}")));
        lines.push(format!("[{name}]"));
        lines.extend(share.map(|line| format!("  {line}")));
        lines.join("\n") + "\n"
    }

    /// `!`: no later line maps the same name to somebody else.
    pub fn user_map(&self) -> String {
        format!("!{} = {}\n", self.hosting.account, self.settings.user)
    }

    fn allowed(&self) -> String {
        let private = "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16";
        let reserved: Vec<String> = self.reserved.networks().iter().map(ToString::to_string).collect();
        if reserved.is_empty() {
            private.to_owned()
        } else {
            format!("{private} EXCEPT {}", reserved.join(" "))
        }
    }
}
