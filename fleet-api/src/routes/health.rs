//! Whether the process lives, and whether what it leans on answers.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::fleet::Fleet;

const PATIENCE: Duration = Duration::from_secs(3);

pub async fn alive() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

pub async fn ready(State(fleet): State<Fleet>) -> Response {
    let (postgres, s3, iot) = tokio::join!(
        up("postgres", fleet.postgres_ready()),
        up("s3", fleet.bucket_ready()),
        up("iot", fleet.shadows_ready()),
    );
    let word = |up: bool| if up { "up" } else { "down" };
    let dependencies = json!({"postgres": word(postgres), "s3": word(s3), "iot": word(iot)});
    if postgres && s3 && iot {
        return Json(json!({"status": "ready", "dependencies": dependencies})).into_response();
    }
    let problem = json!({"type": "urn:recehub:problem:not-ready", "title": "not ready", "status": 503,
        "detail": "something that the fleet API leans on does not answer", "dependencies": dependencies});
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::SERVICE_UNAVAILABLE, kind, Json(problem).into_response().into_body()).into_response()
}

async fn up(what: &str, check: impl Future<Output = anyhow::Result<()>>) -> bool {
    let error = match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "it did not answer in time".to_owned(),
    };
    tracing::warn!(error, "{what} is not ready");
    false
}
