//! Every route on one page, and what holds for all of them: limits, time-outs, refusals as problem+json.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};
use tracing::field::Empty;

use crate::{
    error::ApiError,
    fleet::Fleet,
    limits::BODY_LIMIT,
    metrics, openapi,
    request_id::{self, RequestId},
    routes::{
        audit, changes, device, devices, events, feed, health, lan, pharmacies, places, stats, uploads,
    },
    telemetry::traces,
};

/// Everything but an upload is a small JSON document.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Slack's requests are small and it waits three seconds only: a body that trickles in is no Slack's.
const SLACK_TIMEOUT: Duration = Duration::from_secs(10);
/// 64 MiB over a cellular line take a while.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(20);

/// A million rows take some seconds, and others may be before.
const VERIFICATION_TIMEOUT: Duration = Duration::from_mins(5);

/// All routes. `slack` is whatever stands below `/slack`.
pub fn router(fleet: Fleet, slack: Router) -> Router {
    let uploads_in = Router::new()
        .route("/v1/uploads/{id}", put(uploads::receive).get(uploads::one))
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(|request, next| within(UPLOAD_TIMEOUT, request, next)));
    let verification = Router::new()
        .route("/v1/audit/verify", get(audit::verify))
        .layer(DefaultBodyLimit::max(0))
        // Each takes a connection for as long as it lasts.
        .layer(tower::limit::GlobalConcurrencyLimitLayer::new(1))
        .layer(middleware::from_fn(|request, next| within(VERIFICATION_TIMEOUT, request, next)));
    let rest = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/pharmacies", get(pharmacies::list).post(pharmacies::add))
        .route("/v1/pharmacies/{code}", get(pharmacies::one).patch(pharmacies::edit))
        .route("/v1/pharmacies/{code}/assignments", get(places::of_pharmacy))
        .route("/v1/devices", get(devices::list).post(devices::register))
        .route("/v1/devices/{thing}", get(devices::one))
        .route("/v1/devices/{thing}/revoke", post(devices::revoke))
        .route("/v1/devices/{thing}/replace", post(places::replace))
        .route("/v1/devices/{thing}/pharmacy", put(places::move_box))
        .route("/v1/devices/{thing}/assignments", get(places::of_box))
        .route("/v1/devices/{thing}/tags", put(places::tag))
        .route("/v1/devices/{thing}/lan", get(lan::show).put(lan::change))
        .route("/v1/changes", get(changes::list))
        .route("/v1/changes/{id}", get(changes::one))
        .route("/v1/changes/{id}/cancel", post(changes::cancel))
        .route("/v1/changes/{id}/retry", post(changes::retry))
        .route("/v1/changes/{id}/revert", post(changes::revert))
        .route("/v1/uploads", get(uploads::list))
        .route("/v1/uploads/{id}/path", get(uploads::path))
        .route("/v1/stats", get(stats::show))
        .route("/v1/events", get(feed::follow))
        .route("/v1/audit", get(audit::list))
        .route("/v1/audit/export", get(audit::take))
        .route("/v1/device/enroll", post(device::enroll))
        .route("/v1/device/nonce", post(device::nonce))
        .route("/v1/device/login", post(device::login))
        .route("/iot/events", post(events::receive))
        // AWS writes a slash before the query of a confirmation.
        .route("/iot/events/", post(events::receive))
        .layer(DefaultBodyLimit::max(usize::try_from(BODY_LIMIT).unwrap_or(usize::MAX)))
        .layer(middleware::from_fn(|request, next| within(TIMEOUT, request, next)));
    rest.merge(uploads_in)
        .merge(verification)
        .method_not_allowed_fallback(async || ApiError::WrongMethod)
        .fallback(async || ApiError::UnknownRoute)
        .with_state(fleet)
        .merge(openapi::page())
        .nest("/slack", bounded(slack, SLACK_TIMEOUT))
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::Internal(anyhow::anyhow!("a handler panicked")).into_response()
        }))
        .layer(middleware::from_fn(metrics::measure))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_request(())
                .on_response(note_answer)
                .on_failure(()),
        )
        .layer(middleware::from_fn(request_id::name))
}

/// The matched route, never the address: a query may hold what people typed.
fn span(request: &Request) -> tracing::Span {
    let route = request.extensions().get::<axum::extract::MatchedPath>();
    let route = route.map_or("-", axum::extract::MatchedPath::as_str);
    let id = request.extensions().get::<RequestId>();
    let method = metrics::method(request);
    let span = tracing::info_span!(
        "http",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request.id = id.map_or("-", RequestId::as_str)
    );
    traces::continue_from(request.headers(), &span);
    span
}

fn note_answer(answer: &Response, _: Duration, span: &tracing::Span) {
    span.record("http.response.status_code", answer.status().as_u16());
    if answer.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

fn bounded(routes: Router, time: Duration) -> Router {
    routes.layer(middleware::from_fn(move |request, next| within(time, request, next)))
}

async fn within(time: Duration, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(time, next.run(request)).await;
    answer.unwrap_or_else(|_| ApiError::TooSlow.into_response())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let slack = Router::new().route("/commands", post(async |_: Bytes| ()));
        let endless = futures::stream::pending::<std::io::Result<Bytes>>();
        let request = Request::post("/commands").body(Body::from_stream(endless)).unwrap();

        let answer = bounded(slack, Duration::from_millis(50)).oneshot(request).await.unwrap();

        assert_eq!(answer.status(), 408);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}
