//! Uploaded files: an address to send the bytes to, then the file, as in Slack's second upload protocol.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::people::{BOT_USER, TEAM_ID};
use super::{Refusal, fresh_hex, fresh_id};

#[derive(Debug, Default)]
pub struct Files {
    files: HashMap<String, File>,
    /// upload address -> file
    uploads: HashMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct File {
    pub id: String,
    pub name: String,
    pub title: String,
    pub announced: usize,
    pub created: u64,
    pub content: Option<Bytes>,
    pub complete: bool,
}

impl Files {
    /// Announces a file; answers its id and the path its bytes go to.
    pub fn announce(&mut self, name: &str, length: usize, created: u64) -> (String, String) {
        let id = fresh_id('F');
        let path = format!("/upload/v1/{}", fresh_hex(24));
        let file = File {
            id: id.clone(),
            name: name.to_owned(),
            title: name.to_owned(),
            announced: length,
            created,
            content: None,
            complete: false,
        };
        self.files.insert(id.clone(), file);
        self.uploads.insert(path.clone(), id.clone());
        (id, path)
    }

    /// Takes the bytes. They must be as many as were announced.
    pub fn receive(&mut self, path: &str, content: Bytes) -> Result<usize, Refusal> {
        let id = self.uploads.get(path).ok_or_else(|| Refusal::new("upload_not_found"))?;
        let file = self.files.get_mut(id).ok_or_else(|| Refusal::new("file_not_found"))?;
        if content.len() != file.announced {
            return Err(Refusal::new("length_mismatch"));
        }
        let length = content.len();
        file.content = Some(content);
        Ok(length)
    }

    pub fn complete(&mut self, id: &str, title: Option<&str>) -> Result<(), Refusal> {
        let file = self.files.get_mut(id).ok_or_else(|| Refusal::new("file_not_found"))?;
        if file.content.is_none() {
            return Err(Refusal::new("file_upload_size_restricted"));
        }
        file.complete = true;
        if let Some(title) = title {
            title.clone_into(&mut file.title);
        }
        self.uploads.retain(|_, upload| upload != id);
        Ok(())
    }

    /// A file that is wholly there.
    pub fn find(&self, id: &str) -> Option<&File> {
        self.files.get(id).filter(|file| file.complete)
    }

    pub fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        self.files.remove(id).map(|_| ()).ok_or_else(|| Refusal::new("file_not_found"))
    }
}

impl File {
    pub fn mimetype(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
            Some("png") => "image/png",
            Some("jpg" | "jpeg") => "image/jpeg",
            Some("gif") => "image/gif",
            Some("csv") => "text/csv",
            Some("json") => "application/json",
            Some("txt" | "log" | "diff" | "md") => "text/plain",
            Some("pdf") => "application/pdf",
            _ => "application/octet-stream",
        }
    }

    pub fn whole(&self, base: &str) -> Value {
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        let name: String = self.name.chars().map(safe).collect();
        let address = format!("{base}/files-pri/{TEAM_ID}-{}/{name}", self.id);
        let ending = self.name.rsplit_once('.').map_or("binary", |(_, ending)| ending);
        json!({
            "id": self.id, "created": self.created, "timestamp": self.created, "name": self.name, "title": self.title,
            "mimetype": self.mimetype(), "filetype": ending, "pretty_type": ending.to_uppercase(), "user": BOT_USER,
            "user_team": TEAM_ID, "editable": false, "size": self.content.as_ref().map_or(0, Bytes::len),
            "mode": "hosted", "is_external": false, "external_type": "", "is_public": true,
            "public_url_shared": false, "display_as_bot": false, "username": "",
            "url_private": address, "url_private_download": format!("{address}?download=1"),
            "permalink": format!("{base}/_local/files/{}", self.id),
        })
    }
}
