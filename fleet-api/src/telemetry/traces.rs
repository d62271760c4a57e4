//! Spans for a collector that speaks OTLP over HTTP. Only our own spans go there, none of another crate's, and
//! no log line: what a span may hold is what stands at its beginning in our code.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use axum::http::HeaderMap;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tokio::runtime::Handle;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::DynFilterFn, registry::LookupSpan};

use crate::config::traces::TracesConfig;

/// A collector that takes longer loses the batch.
const IN_TIME: Duration = Duration::from_secs(5);
/// What is left at the end is given this long.
const AT_THE_END: Duration = Duration::from_secs(2);
/// Crates whose spans go out.
const OURS: [&str; 2] = ["fleet_api", "slack_app"];

/// The way to the collector. Its queue is bounded: what does not fit in is lost, and nobody waits for it.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    pub fn new(config: &TracesConfig, runtime: Handle) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(IN_TIME)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector { http, runtime, is_away: AtomicBool::new(false) })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.endpoint.as_str())
            .with_timeout(IN_TIME)
            .build()
            .context("traces cannot be sent")?;
        let resource = Resource::builder().with_service_name(config.service.clone());
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Self { provider })
    }

    pub fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let filter = DynFilterFn::new(|about, around| {
            let crate_name = about.target().split("::").next().unwrap_or_default();
            let is_ours = about.is_span() && OURS.contains(&crate_name);
            // The loops ask the database all day long: only what belongs to something greater is told.
            is_ours && (!about.name().starts_with("db.") || around.lookup_current().is_some())
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("fleet-api"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(filter.with_max_level_hint(tracing::Level::INFO))
            .boxed()
    }

    /// Sends what is left, and blocks for so long. The runtime must still run.
    pub fn finish(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(AT_THE_END) {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
    }
}

/// Makes `span` a part of the trace that the caller says it is in, by W3C's `traceparent`.
pub fn continue_from(headers: &HeaderMap, span: &tracing::Span) {
    let caller = TraceContextPropagator::new()
        .extract_with_context(&opentelemetry::Context::new(), &HeaderExtractor(headers));
    // Without a collector there is no trace to be a part of.
    let _ = span.set_parent(caller);
}

/// The library exports from a thread of its own, where no runtime is; our HTTP client wants one.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    is_away: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move { http.send_bytes(request).await }).await?;
        let is_away = sent.as_ref().map_or(true, |answer| !answer.status().is_success());
        // Told once, not with every batch.
        if is_away && !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!("the collector takes no traces; they are lost until it does");
        } else if !is_away && self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("the collector takes traces again");
        }
        sent
    }
}
