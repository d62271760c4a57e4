//! Chromium, worked as an operator works it, and what it shows.

use std::{path::PathBuf, process::Stdio, sync::Arc};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use testbed::{Testbed, ports::free_port, wait::until};
use tokio::process::{Child, Command};

use super::BOUND;

/// As wide as a laptop's window.
const WINDOW: &str = "--window-size=1280,860";

/// How an element is named in `WebDriver`, the W3C's protocol that chromedriver speaks.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const ENTER: &str = "\u{e007}";

/// One window of one user. The driver, and the browser with it, end with this.
pub struct Browser {
    session: Session,
    _driver: Child,
}

#[derive(Clone)]
struct Session {
    http: reqwest::Client,
    url: Arc<str>,
}

#[derive(Clone)]
pub struct Element {
    session: Session,
    id: String,
}

impl Browser {
    /// Looks at the local Slack as this user, at a channel or at `home`.
    pub async fn open(bed: &Testbed, user: &str, at: &str) -> Self {
        let port = free_port().unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("LANGUAGE", "ja")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is missing: `cargo xtask test` installs it");
        let url = format!("http://127.0.0.1:{port}");
        let http = bed.api.http();
        let session = until("a browser opens", BOUND, || async { Ok(connect(http, &url).await.ok()) });
        let session = session.await.unwrap();
        let user = &bed.slack.users[user];
        let page = format!("{}/?user={user}&at={at}", bed.slack.url);
        session.call(Method::POST, "url", &json!({"url": page})).await.unwrap();
        Self { session, _driver: driver }
    }

    /// The element, once it is there.
    pub async fn find(&self, css: &str) -> Element {
        let found = until(css, BOUND, || async { Ok(self.session.all(css).await?.into_iter().next()) });
        found.await.unwrap()
    }

    /// What the first such element shows, once it is there.
    pub async fn text(&self, css: &str) -> String {
        self.with_text(css, "", Element::text).await
    }

    /// Waits until the page shows this text in such an element.
    pub async fn sees(&self, css: &str, text: &str) {
        self.with_text(css, text, async |_| Ok(())).await;
    }

    /// Clicks what shows this text, however often it is drawn anew meanwhile.
    pub async fn click(&self, css: &str, text: &str) {
        self.with_text(css, text, Element::click).await;
    }

    /// Does something with what shows this text, however often it is drawn anew meanwhile.
    async fn with_text<T>(&self, css: &str, text: &str, act: impl AsyncFn(&Element) -> Result<T>) -> T {
        let what = format!("`{text}` in {css}");
        let done = until(&what, BOUND, || async {
            // It may be drawn anew while it is looked at.
            for element in self.session.all(css).await.unwrap_or_default() {
                if element.text().await.is_ok_and(|shown| shown.contains(text)) {
                    return Ok(act(&element).await.ok());
                }
            }
            Ok(None)
        });
        match done.await {
            Ok(done) => done,
            Err(error) => {
                let file = self.shoot("failed").await;
                panic!("{error:#}; the window is kept in {}", file.display());
            }
        }
    }

    /// What a script in the page answers.
    pub async fn execute(&self, script: &str) -> Result<Value> {
        self.session.call(Method::POST, "execute/sync", &json!({"script": script, "args": []})).await
    }

    /// Types a command into the box at the bottom and sends it.
    pub async fn command(&self, text: &str) {
        let box_below = self.find("textarea.say").await;
        box_below.send_keys(text).await.unwrap();
        self.find(".hints .hint-row").await;
        box_below.send_keys(ENTER).await.unwrap();
    }

    /// Puts text into a field of the modal, in the place of what stands there.
    pub async fn fill(&self, field: &str, text: &str) {
        let css =
            format!(".modal [data-action-id='{field}'] input, .modal [data-action-id='{field}'] textarea");
        let what = format!("`{text}` stands in {field}");
        let filled = until(&what, BOUND, || async {
            let Some(element) = self.session.all(&css).await?.into_iter().next() else {
                return Ok(None);
            };
            // It may be drawn anew while one types.
            let typed = async {
                element.clear().await?;
                element.send_keys(text).await?;
                element.value().await
            };
            Ok(typed.await.is_ok_and(|value| value == text).then_some(()))
        });
        filled.await.unwrap();
    }

    /// Chooses an option of a field by its words.
    pub async fn choose(&self, field: &str, words: &str) {
        self.press(&format!(".modal [data-action-id='{field}'] input.select")).await;
        self.click(".modal .list .option", words).await;
    }

    /// Clicks the first such element, however often it is drawn anew meanwhile.
    pub async fn press(&self, css: &str) {
        self.with_text(css, "", Element::click).await;
    }

    /// Goes on in the window that was opened from this one; tells which it came from.
    pub async fn follow(&self) -> String {
        let here = self.session.call(Method::GET, "window", &Value::Null).await.unwrap();
        let other = until("another window is open", BOUND, || async {
            let all = self.session.call(Method::GET, "window/handles", &Value::Null).await?;
            Ok(all.as_array().and_then(|all| all.iter().find(|one| **one != here).cloned()))
        });
        self.look_at(other.await.unwrap().as_str().unwrap()).await;
        here.as_str().unwrap().to_owned()
    }

    pub async fn look_at(&self, window: &str) {
        self.session.call(Method::POST, "window", &json!({"handle": window})).await.unwrap();
    }

    /// Asks for the page anew, as whoever comes back to it does.
    pub async fn reopen(&self) {
        let url = self.session.call(Method::GET, "url", &Value::Null).await.unwrap();
        self.session.call(Method::POST, "url", &json!({"url": url})).await.unwrap();
    }

    pub async fn submit(&self) {
        self.press(".modal button[type=submit]").await;
    }

    /// Keeps what the window shows below `target/screens`.
    pub async fn shoot(&self, name: &str) -> PathBuf {
        let folder = target().join("screens");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        let shot = self.session.call(Method::GET, "screenshot", &Value::Null).await.unwrap();
        let png = STANDARD.decode(shot.as_str().unwrap()).unwrap();
        assert!(png.len() > 10_000, "{name} shows next to nothing");
        let mut kept = std::fs::File::create(&file).unwrap();
        std::io::Write::write_all(&mut kept, &png).unwrap();
        file
    }

    pub async fn close(self) {
        self.session.call(Method::DELETE, "", &Value::Null).await.unwrap();
    }
}

impl Element {
    pub async fn click(&self) -> Result<()> {
        self.call(Method::POST, "click", &json!({})).await.map(drop)
    }

    pub async fn text(&self) -> Result<String> {
        let text = self.call(Method::GET, "text", &Value::Null).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// What stands in a field.
    pub async fn value(&self) -> Result<String> {
        let value = self.call(Method::GET, "property/value", &Value::Null).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    pub async fn clear(&self) -> Result<()> {
        self.call(Method::POST, "clear", &json!({})).await.map(drop)
    }

    pub async fn send_keys(&self, text: &str) -> Result<()> {
        self.call(Method::POST, "value", &json!({"text": text})).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        self.session.call(method, &format!("element/{}/{path}", self.id), body).await
    }
}

impl Session {
    async fn all(&self, css: &str) -> Result<Vec<Element>> {
        let wanted = json!({"using": "css selector", "value": css});
        let found = self.call(Method::POST, "elements", &wanted).await?;
        let ids = found.as_array().into_iter().flatten().filter_map(|element| element[ELEMENT].as_str());
        Ok(ids.map(|id| Element { session: self.clone(), id: id.to_owned() }).collect())
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/{path}", self.url);
        ask(&self.http, method, url.trim_end_matches('/'), body).await
    }
}

async fn connect(http: &reqwest::Client, driver: &str) -> Result<Session> {
    let arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--lang=ja", WINDOW];
    let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
    let opened = ask(http, Method::POST, &format!("{driver}/session"), &wanted).await?;
    let id = opened["sessionId"].as_str().context("there is no session")?;
    Ok(Session { http: http.clone(), url: format!("{driver}/session/{id}").into() })
}

async fn ask(http: &reqwest::Client, method: Method, url: &str, body: &Value) -> Result<Value> {
    let mut request = http.request(method, url);
    if !body.is_null() {
        request = request.json(body);
    }
    let mut answer: Value = request.send().await?.json().await?;
    let value = answer["value"].take();
    if let Some(error) = value["error"].as_str() {
        bail!("the browser says {error}");
    }
    Ok(value)
}

fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().find(|folder| folder.ends_with("target"));
    target.context("tests run below target").unwrap().to_owned()
}
