//! Figures for Prometheus, on a listener of their own. Labels are routes, states and codes: never a thing,
//! a pharmacy, a path or a person.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
    routing::get,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{fleet::Fleet, server};

/// How often figures are gathered that nobody counts as they happen.
const EVERY: Duration = Duration::from_secs(5);
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// From here on everything that is counted is kept; once a process.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS)?;
    Ok(builder.install_recorder()?)
}

/// `/metrics`, and nothing else.
pub fn router(handle: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(async move || handle.render()))
}

/// Serves the figures and gathers what the pool and the followers are at.
pub async fn serve(
    listener: TcpListener,
    handle: PrometheusHandle,
    fleet: Fleet,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let gather = async {
        let mut timer = tokio::time::interval(EVERY);
        loop {
            timer.tick().await;
            handle.run_upkeep();
            let idle = u32::try_from(fleet.db().num_idle()).unwrap_or(u32::MAX);
            metrics::gauge!("recehub_db_connections").set(fleet.db().size());
            metrics::gauge!("recehub_db_connections_in_use").set(fleet.db().size().saturating_sub(idle));
            let followers = u32::try_from(fleet.followers_now()).unwrap_or(u32::MAX);
            metrics::gauge!("recehub_event_followers").set(followers);
        }
    };
    tokio::select! {
        () = gather => {}
        () = server::serve(listener, router(handle.clone()), server::HEADER_TIME, stop) => {}
    }
    Ok(())
}

/// Counts each request by its route and answer, and how long it took.
pub async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method(&request).to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let labels = [("method", method), ("route", route), ("status", status)];
    metrics::counter!("recehub_http_requests_total", &labels).increment(1);
    metrics::histogram!("recehub_http_request_seconds", &labels[..2]).record(started.elapsed());
    response
}

/// One of the few that mean something: a caller may send any word as its method.
pub fn method(request: &Request) -> &'static str {
    match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, middleware, routing::get};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_is_counted_by_its_route_and_not_by_its_address() {
        let handle = install().unwrap();
        let app =
            Router::new().route("/v1/devices/{thing}", get(async || "x")).layer(middleware::from_fn(measure));
        let ask = Request::get("/v1/devices/canary").body(Body::empty()).unwrap();
        app.oneshot(ask).await.unwrap();

        let ask = Request::get("/metrics").body(Body::empty()).unwrap();
        let figures =
            router(handle).oneshot(ask).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        let figures = String::from_utf8(figures.to_vec()).unwrap();

        let counted =
            r#"recehub_http_requests_total{method="GET",route="/v1/devices/{thing}",status="200"} 1"#;
        assert!(figures.contains(counted), "{figures}");
        assert!(figures.contains("recehub_http_request_seconds_bucket"));
        assert!(!figures.contains("canary"));
    }

    #[test]
    fn a_word_that_is_no_method_is_no_label() {
        let ask = |method: &str| Request::builder().method(method).body(Body::empty()).unwrap();

        assert_eq!((method(&ask("PUT")), method(&ask("CANARY"))), ("PUT", "_OTHER"));
    }
}
