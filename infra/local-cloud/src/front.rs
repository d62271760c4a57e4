//! The one HTTP endpoint: iot, iotdata, sts and s3, told apart by the service that a request is signed for.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Request, StatusCode};
use percent_encoding::percent_decode_str;
use s3s::service::S3Service;
use tower::ServiceExt as _;

use crate::faults::{Fault, Service};
use crate::hub::Hub;
use crate::iot::error::IotError;
use crate::iot::{Caller, Iot, control_plane, data_plane};
use crate::keys::Keys;
use crate::sigv4::{self, SigV4Error};
use crate::sts::Sts;

/// No request but S3's is larger.
const MAX_BODY: usize = 1024 * 1024;

#[derive(Clone)]
struct Front {
    hub: Hub,
    keys: Keys,
    iot: Router,
    data: Router,
    sts: Arc<Sts>,
    s3: S3Service,
}

pub fn router(iot: &Iot, keys: Keys, sts: Sts, s3: S3Service) -> Router {
    let front = Front {
        hub: iot.hub.clone(),
        keys,
        iot: control_plane(iot.clone()),
        data: data_plane(iot.clone()),
        sts: Arc::new(sts),
        s3,
    };
    Router::new().fallback(dispatch).with_state(front)
}

async fn dispatch(State(front): State<Front>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let scope = sigv4::scope_service(&parts);
    let service = match scope.as_deref() {
        Some("iot" | "execute-api") => Service::Iot,
        Some("iotdata" | "iotdevicegateway") => Service::IotData,
        Some("sts") => Service::Sts,
        // The page behind a confirmation's `enableUrl` is for anyone who has the token.
        None if parts.uri.path().starts_with("/confirmdestination/") => Service::Iot,
        _ => Service::S3,
    };
    front.hub.calls.note(service.into());
    match front.hub.faults.next(service) {
        Some(Fault::Refuse) => return cut(),
        Some(Fault::Status(status)) => return injected(service, status),
        Some(Fault::Cut) => {
            answer(front, service, scope.is_some(), parts, body).await;
            return cut();
        }
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        None => {}
    }
    answer(front, service, scope.is_some(), parts, body).await
}

async fn answer(front: Front, service: Service, signed: bool, parts: Parts, body: Body) -> Response {
    if service == Service::S3 {
        return s3(&front, Request::from_parts(parts, body)).await;
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return IotError::other(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            "The payload exceeds the maximum size allowed",
        )
        .into_response();
    };
    if service == Service::Sts {
        return front.sts.call(&parts, &body, front.hub.clock.now()).map(Body::from);
    }
    let (region, now) = (&front.hub.account.region, front.hub.clock.now());
    let caller = match sigv4::verify(&parts, Some(&body), &front.keys, region, now) {
        Ok(verified) => Caller::Signed {
            principal: Arc::new(verified.principal),
            access_key_id: verified.access_key_id.into(),
        },
        Err(SigV4Error::Missing) if !signed => Caller::Nobody,
        Err(error) => {
            return IotError::other(error.status(), error.json_code(), error.to_string()).into_response();
        }
    };
    let router = if service == Service::Iot { front.iot } else { front.data };
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(caller);
    answered(router, request).await
}

/// Has a router of the IoT APIs answer.
pub async fn answered(router: Router, request: Request<Body>) -> Response {
    if percent_decode_str(request.uri().path()).decode_utf8().is_err() {
        return IotError::invalid("The path of the request is not UTF-8").into_response();
    }
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn s3(front: &Front, request: Request<Body>) -> Response {
    let request = request.map(s3s::Body::http_body_unsync);
    match front.s3.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(error = ?error, "S3 could not answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer that breaks off: the client sees a closed connection.
pub fn cut() -> Response {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut on request")) });
    let mut response = Response::new(Body::from_stream(broken));
    response.headers_mut().insert(http::header::CONTENT_LENGTH, http::HeaderValue::from_static("1000"));
    response
}

fn injected(service: Service, status: u16) -> Response {
    if matches!(service, Service::Iot | Service::IotData) {
        return IotError::injected(status).into_response();
    }
    let code = if status == 503 { "ServiceUnavailable" } else { "InternalError" };
    let text = match service {
        Service::Sts => format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>a fault was asked for</Message></Error></ErrorResponse>"
        ),
        _ => format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>a fault was asked for</Message></Error>"
        ),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (status, [("content-type", "application/xml")], text).into_response()
}
