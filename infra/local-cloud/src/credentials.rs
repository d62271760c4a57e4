//! The credentials provider: a role's temporary keys for whoever proves by mutual TLS to hold a thing's certificate.
//!
//! The data plane is served here too for callers with a certificate; at AWS that is another host's port 8443.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{SecondsFormat, TimeDelta};
use http::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::authority::Permissions;
use crate::ca::certificate_id;
use crate::faults::{Fault, Service};
use crate::front::{answered, cut};
use crate::hub::Hub;
use crate::iot::{Caller, Iot, data_plane};
use crate::keys::{Keys, RoleRef};
use crate::policy::{self, Context, Document, PolicyError};
use crate::template::Role;

const HANDSHAKE: Duration = Duration::from_secs(10);

/// A role, and which AWS services may take it on.
#[derive(Clone)]
pub struct KnownRole {
    pub role: RoleRef,
    pub max_session_seconds: u32,
    trust: Document,
}

impl KnownRole {
    pub fn new(role: &Role, reference: RoleRef) -> Result<Self, PolicyError> {
        let trust = Document::from_value(&role.trust)?;
        Ok(Self { role: reference, max_session_seconds: role.max_session_seconds, trust })
    }

    /// Whether an AWS service may take on the role, for the account that the role is of.
    pub fn trusts(&self, service: &str) -> bool {
        let account = self.role.arn.split(':').nth(4).unwrap_or_default();
        let context =
            Context::new().with("aws:PrincipalServiceName", service).with("aws:SourceAccount", account);
        let request =
            policy::Request { action: "sts:AssumeRole", resource: &self.role.arn, context: &context };
        policy::evaluate([&self.trust], &request).is_allowed()
    }
}

#[derive(Clone)]
struct Provider {
    hub: Hub,
    keys: Keys,
    roles: Arc<Vec<KnownRole>>,
}

/// Who the TLS handshake found.
#[derive(Clone)]
struct Peer {
    certificate: Arc<str>,
    address: SocketAddr,
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    iot: Iot,
    keys: Keys,
    roles: Vec<KnownRole>,
    stop: CancellationToken,
) {
    let provider = Provider { hub: iot.hub.clone(), keys, roles: Arc::new(roles) };
    let router = Router::new()
        .route("/role-aliases/{alias}/credentials", get(credentials))
        .with_state(provider)
        .fallback_service(data_plane(iot.clone()));
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    connections.spawn(connection(acceptor.clone(), stream, address, router.clone(), iot.hub.clone()));
                }
                Err(error) => tracing::warn!(error = %error, "a connection could not be accepted"),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    // Dropping the set ends the rest: no request here takes long.
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, address: SocketAddr, router: Router, hub: Hub) {
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(peer = %address, error = %error, "TLS handshake refused"),
        Err(_) => return,
    };
    let Some(certificate) = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) else {
        return;
    };
    let peer = Peer { certificate: certificate_id(certificate).into(), address };
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let (router, peer, hub) = (router.clone(), peer.clone(), hub.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(router, peer, &hub, request.map(Body::new)).await) }
    });
    let served = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    if let Err(error) = served.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(peer = %address, error = %error, "an HTTPS connection ended");
    }
}

async fn answer(router: Router, peer: Peer, hub: &Hub, mut request: Request<Body>) -> Response {
    hub.calls.note(Service::Credentials.into());
    let fault = hub.faults.next(Service::Credentials);
    match fault {
        Some(Fault::Refuse) => return cut(),
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return refusal(status, "a fault was asked for");
        }
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Cut) | None => {}
    }
    // The policy variables of a thing exist on MQTT connections only, so there is no client id here.
    let ip = peer.address.ip().to_string();
    let permissions = Permissions::of(hub.store.clone(), hub.account.clone(), &peer.certificate, None, &ip);
    let Ok(permissions) = permissions else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal failure");
    };
    let permissions = Arc::new(Mutex::new(permissions));
    request.extensions_mut().insert(Caller::Certificate { id: Arc::clone(&peer.certificate), permissions });
    let answer = answered(router, request).await;
    if fault == Some(Fault::Cut) { cut() } else { answer }
}

async fn credentials(
    State(provider): State<Provider>,
    caller: Caller,
    Path(alias): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Caller::Certificate { id, permissions } = caller else {
        return refusal(StatusCode::FORBIDDEN, "Access Denied");
    };
    let thing = headers.get("x-amzn-iot-thingname").map(|value| value.to_str().unwrap_or_default());
    let allowed = permissions.lock().allow("iot:AssumeRoleWithCertificate", &format!("rolealias/{alias}"));
    match issue(&provider, &id, thing, allowed, &alias) {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => *refused,
    }
}

fn issue(
    provider: &Provider,
    certificate: &str,
    thing: Option<&str>,
    allowed: bool,
    alias: &str,
) -> Result<Value, Box<Response>> {
    let refused = |status, message: &str| Box::new(refusal(status, message));
    let broken = |_| refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal failure");
    let store = &provider.hub.store;
    // A certificate that was made INACTIVE while its connection stood has no policies any more.
    if !allowed {
        return Err(refused(StatusCode::FORBIDDEN, "Access Denied"));
    }
    let mut context =
        BTreeMap::from([("credentials-iot:AwsCertificateId".to_owned(), certificate.to_owned())]);
    if let Some(thing) = thing {
        let arn = provider.hub.account.certificate_arn(certificate);
        let attached = store.attachments_of_principal(&arn).map_err(broken)?;
        if !attached.iter().any(|it| it.thing == thing) {
            return Err(refused(StatusCode::FORBIDDEN, "Access Denied"));
        }
        context.insert("credentials-iot:ThingName".to_owned(), thing.to_owned());
        if let Some(thing_type) = store.thing(thing).map_err(broken)?.and_then(|it| it.thing_type) {
            context.insert("credentials-iot:ThingTypeName".to_owned(), thing_type);
        }
    }
    let known = store.role_alias(alias).map_err(broken)?;
    let alias = known.ok_or_else(|| refused(StatusCode::NOT_FOUND, "Role alias does not exist"))?;
    let role = provider
        .roles
        .iter()
        .find(|it| it.role.arn == alias.role_arn && it.trusts("credentials.iot.amazonaws.com"));
    let role = role.ok_or_else(|| refused(StatusCode::FORBIDDEN, "Access Denied"))?;
    let seconds = alias.duration.min(i64::from(role.max_session_seconds));
    let duration = TimeDelta::seconds(seconds);
    let issued = provider.keys.issue(&role.role, certificate, duration, context, provider.hub.clock.now());
    let issued = issued.map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "credentials could not be issued");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "Internal failure")
    })?;
    Ok(json!({ "credentials": {
        "accessKeyId": issued.access_key_id,
        "secretAccessKey": issued.secret_access_key,
        "sessionToken": issued.session_token,
        "expiration": issued.expiration.to_rfc3339_opts(SecondsFormat::Secs, true),
    }}))
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}
