//! files.*: the upload in three steps, and the files themselves.

use std::sync::Arc;

use axum::extract::{FromRequest, Multipart, OriginalUri, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::Arguments;
use crate::state::{Answer, Refusal};
use crate::workspace::Workspace;

pub(super) fn announce(slack: &Workspace, arguments: &Arguments) -> Answer {
    let name = arguments.need("filename")?;
    let length = arguments.number("length").filter(|length| *length > 0);
    let length =
        length.and_then(|length| usize::try_from(length).ok()).ok_or_else(|| Refusal::missing("length"))?;
    let (id, path) = slack.state().files.announce(name, length, slack.now().as_secs());
    Ok(json!({"upload_url": format!("{}{path}", slack.url()), "file_id": id}))
}

pub(super) fn complete(slack: &Workspace, arguments: &Arguments) -> Answer {
    let wanted = arguments.json("files")?.ok_or_else(|| Refusal::missing("files"))?;
    let wanted =
        wanted.as_array().filter(|files| !files.is_empty()).ok_or_else(|| Refusal::missing("files"))?;
    let now = slack.now();
    let mut state = slack.state();
    let mut files = Vec::new();
    for file in wanted {
        let id = file["id"].as_str().unwrap_or("");
        state.files.complete(id, file["title"].as_str())?;
        files.extend(state.files.find(id).map(|file| file.whole(slack.url())));
    }
    let several = arguments.text("channels").and_then(|channels| channels.split(',').next());
    if let Some(channel) = arguments.text("channel_id").or(several) {
        let ts = state.ts(now);
        let room = state.rooms.find_mut(channel).ok_or_else(|| Refusal::new("channel_not_found"))?;
        room.may_write()?;
        let mut content = crate::state::rooms::Content::new();
        content.insert("text".to_owned(), json!(arguments.text("initial_comment").unwrap_or("")));
        content.insert("files".to_owned(), Value::Array(files.clone()));
        content.insert("upload".to_owned(), json!(true));
        room.app_says(ts, slack.app_name(), content, arguments.text("thread_ts"), None)?;
        let channel = room.id.clone();
        drop(state);
        slack.messages_changed(&channel);
    }
    Ok(json!({"files": files}))
}

pub(super) fn info(slack: &Workspace, arguments: &Arguments) -> Answer {
    let id = arguments.need("file")?;
    let state = slack.state();
    let file = state.files.find(id).ok_or_else(|| Refusal::new("file_not_found"))?;
    Ok(json!({"file": file.whole(slack.url()), "comments": []}))
}

pub(super) fn delete(slack: &Workspace, arguments: &Arguments) -> Answer {
    slack.state().files.delete(arguments.need("file")?)?;
    Ok(json!({}))
}

/// The second step: the bytes, raw or as the only part of a multipart form.
pub(crate) async fn receive(
    State(slack): State<Arc<Workspace>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Response {
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let content = if kind.starts_with("multipart/form-data") {
        only_part(request).await
    } else {
        Bytes::from_request(request, &()).await.ok()
    };
    let Some(content) = content else {
        return (StatusCode::BAD_REQUEST, "no content").into_response();
    };
    let mut came = slack.came("upload", "", &content);
    if let Some(response) = came.struck(&slack).await {
        return response;
    }
    came.note(&slack);
    let received = slack.state().files.receive(uri.path(), content);
    match received {
        Ok(length) => format!("OK - {length}").into_response(),
        Err(refusal) => (StatusCode::BAD_REQUEST, refusal.error).into_response(),
    }
}

async fn only_part(request: Request) -> Option<Bytes> {
    let mut form = Multipart::from_request(request, &()).await.ok()?;
    form.next_field().await.ok()??.bytes().await.ok()
}

/// `url_private`: for the app with its token. `/_local/files/{id}` shows the same to the page.
pub(crate) async fn private(
    State(slack): State<Arc<Workspace>>,
    Path((file, _name)): Path<(String, String)>,
    headers: axum::http::HeaderMap,
) -> Response {
    if super::authenticate(&slack, &headers, &Arguments::default()).is_err() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let id = file.split_once('-').map_or("", |(_, id)| id);
    serve(&slack, id)
}

pub(crate) async fn shown(State(slack): State<Arc<Workspace>>, Path(id): Path<String>) -> Response {
    serve(&slack, &id)
}

fn serve(slack: &Workspace, id: &str) -> Response {
    let state = slack.state();
    match state.files.find(id).and_then(|file| Some((file.mimetype(), file.content.clone()?))) {
        Some((mimetype, content)) => ([(header::CONTENT_TYPE, mimetype)], content).into_response(),
        None => (StatusCode::NOT_FOUND, "file_not_found").into_response(),
    }
}
