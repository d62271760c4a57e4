//! Where a collector is configured it is told what took how long, and nothing that is nobody's business; and
//! one that is away disturbs nobody.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use serde_json::json;
use testbed::{boxes::ApiClient, wait::until};
use tokio::{net::TcpListener, task::JoinSet};

use crate::support::{BOUND, bed, box_client::BoxClient, holds};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

type Taken = Arc<Mutex<Vec<Bytes>>>;

struct Collector {
    url: String,
    taken: Taken,
    _serving: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let taken = Taken::default();
        let take = async |State(taken): State<Taken>, headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            taken.lock().unwrap().push(body);
        };
        let app = Router::new().route("/v1/traces", post(take)).with_state(taken.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, taken, _serving: serving }
    }

    fn bytes(&self) -> Vec<u8> {
        self.taken.lock().unwrap().concat()
    }

    /// All spans, each with the name of the service that told it.
    fn spans(&self) -> Vec<(String, Span)> {
        let taken = self.taken.lock().unwrap();
        let told = taken
            .iter()
            .flat_map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap().resource_spans);
        let spans = told.flat_map(|of| {
            let resource = of.resource.unwrap();
            let service = resource.attributes.iter().find(|one| one.key == "service.name").unwrap();
            let service = text(service.value.as_ref().and_then(|value| value.value.as_ref()));
            let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(|span| (service.clone(), span)).collect::<Vec<_>>()
        });
        spans.collect()
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|one| one.key == name);
    text(found.and_then(|one| one.value.as_ref()).and_then(|value| value.value.as_ref()))
}

#[tokio::test]
async fn a_collector_is_told_what_took_how_long_and_no_name_of_a_file_and_no_token() {
    let bed = bed(1).await;
    let one = &bed.boxes[0];
    let collector = Collector::start().await;
    let program = bed.api_program().env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    let program = program.env("OTEL_BSP_SCHEDULE_DELAY", 200);
    let replica = bed.start_replica_with(program.env("OTEL_SERVICE_NAME", "canary-free")).await.unwrap();
    let api = ApiClient::new(&replica.url, &bed.api_token).unwrap();

    let mut hub = BoxClient::of(&bed, one);
    hub.door.clone_from(&replica.url);
    let token = hub.log_in().await.unwrap();
    let put = hub.upload(&token, "患者カナリア.csv".as_bytes(), b"canarycontent");
    let put = put.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let put = put.header("x-request-id", "asked-by-a-test").send().await.unwrap();
    assert_eq!(put.status(), 201);
    let seen = api.get(&format!("/v1/uploads?thing={}&canaryquery=1", one.thing)).await;
    let nowhere = api.get("/v1/canarypath").await;
    assert!(nowhere.is_err(), "{seen:?}");
    let lan = json!({"lan": {"mode": "dhcp"}, "share": {"name": "rx", "user": "rece", "password": "canaryword"},
        "reason": "canaryreason"});
    let wish = api.request(reqwest::Method::PUT, &format!("/v1/devices/{}/lan", one.thing)).json(&lan);
    let wish = wish.send().await.unwrap();
    assert_eq!(wish.status(), 202);
    let wanted = [
        "PUT /v1/uploads/{id}",
        "aws.s3.put",
        "GET -",
        "POST /v1/device/login",
        "aws.sts.get_caller_identity",
        "PUT /v1/devices/{thing}/lan",
    ];
    until("the spans are told", BOUND, || async {
        let spans = collector.spans();
        let names = names(&spans);
        Ok(wanted.iter().all(|name| names.contains(name)).then_some(()))
    })
    .await
    .unwrap();
    replica.process.stop().await.unwrap();

    let spans = collector.spans();
    let named = |name: &str| {
        let found = spans.iter().find(|(_, span)| span.name == name);
        found.unwrap_or_else(|| panic!("no span {name}: {:?}", names(&spans))).1.clone()
    };
    assert!(spans.iter().all(|(service, _)| service == "canary-free"));
    let receiving = named("PUT /v1/uploads/{id}");
    assert_eq!(hex::encode(&receiving.trace_id), TRACE);
    assert_eq!(hex::encode(&receiving.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(attribute(&receiving, "http.request.method"), "PUT");
    assert_eq!(attribute(&receiving, "http.route"), "/v1/uploads/{id}");
    assert_eq!(attribute(&receiving, "http.response.status_code"), "201");
    assert_eq!(attribute(&receiving, "request.id"), "asked-by-a-test");
    let storing = named("aws.s3.put");
    assert_eq!(hex::encode(&storing.trace_id), TRACE);
    assert!(storing.end_time_unix_nano > storing.start_time_unix_nano);
    assert_eq!(attribute(&named("GET -"), "http.response.status_code"), "404");
    named("POST /v1/device/login");
    named("aws.sts.get_caller_identity");
    // The wish was carried there and then, by this replica or by the other one.
    named("PUT /v1/devices/{thing}/lan");
    assert!(!spans.iter().any(|(_, span)| span.name.starts_with("db.") && span.parent_span_id.is_empty()));

    let bytes = collector.bytes();
    let secrets = ["カナリア", "canarycontent", "canaryquery", "canarypath", "canaryword", "canaryreason"];
    for secret in secrets.into_iter().chain([token.as_str(), bed.api_token.as_str()]) {
        assert!(!holds(&bytes, secret.as_bytes()), "{secret} is told to the collector");
    }
    bed.stop().await.unwrap();
}

fn names(spans: &[(String, Span)]) -> Vec<&str> {
    spans.iter().map(|(_, span)| span.name.as_str()).collect()
}

#[tokio::test]
async fn a_collector_that_is_away_or_says_nothing_disturbs_nobody() {
    let bed = bed(0).await;
    // One takes connections and never answers; at the other address nobody is.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [mute.local_addr().unwrap(), gone.local_addr().unwrap()];
    drop(gone);

    for address in addresses {
        let program =
            bed.api_program().env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{address}/"));
        let program = program.env("OTEL_BSP_MAX_QUEUE_SIZE", 64).env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 32);
        let mut replica = bed.start_replica_with(program).await.unwrap();
        let api = ApiClient::new(&replica.url, &bed.api_token).unwrap();
        // More than the queue holds.
        for _ in 0..200 {
            api.get("/v1/pharmacies").await.unwrap();
        }
        replica.process.ensure_alive().unwrap();

        let asked = Instant::now();
        replica.process.stop().await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(9), "it had to be killed");
    }
    bed.stop().await.unwrap();
}
