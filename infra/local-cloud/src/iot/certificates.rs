//! `CreateCertificateFromCsr`, `CreateKeysAndCertificate`, and the life of a certificate.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::error::IotError;
use super::{Answer, Caller, Iot, Page, Params, body, is_true, things};
use crate::ca::Issued;
use crate::state::certificates::Certificate;

pub async fn from_csr(State(iot): State<Iot>, caller: Caller, Query(params): Params, bytes: Bytes) -> Answer {
    caller.demand(&iot, "iot:CreateCertificateFromCsr", "*")?;
    let body = body(&bytes)?;
    let csr = body["certificateSigningRequest"].as_str().unwrap_or_default();
    let issued = iot
        .ca
        .sign_csr(csr, iot.hub.clock.now())
        .map_err(|error| IotError::invalid(&format!("Invalid certificate signing request: {error}")))?;
    Ok(Json(add(&iot, issued, is_true(params.get("setAsActive")))?))
}

pub async fn with_keys(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    caller.demand(&iot, "iot:CreateKeysAndCertificate", "*")?;
    let (ca, now) = (Arc::clone(&iot.ca), iot.hub.clock.now());
    // The search for two primes would hold up every connection of this thread.
    let made = tokio::task::spawn_blocking(move || ca.make_key_and_certificate(now)).await;
    let (issued, keys) =
        made.map_err(anyhow::Error::from).flatten().map_err(|error| IotError::internal(&error))?;
    let mut out = add(&iot, issued, is_true(params.get("setAsActive")))?;
    out["keyPair"] = json!({ "PublicKey": keys.public, "PrivateKey": keys.private });
    Ok(Json(out))
}

pub async fn describe(State(iot): State<Iot>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.demand(&iot, "iot:DescribeCertificate", &format!("cert/{id}"))?;
    things::throttle(&iot, "DescribeCertificate")?;
    let it = find(&iot, &id)?;
    let mut out = summary(&iot, &it);
    out["certificatePem"] = json!(it.pem);
    out["ownedBy"] = json!(iot.hub.account.id);
    out["lastModifiedDate"] = json!(it.modified);
    out["customerVersion"] = json!(1);
    out["generationId"] = json!(it.id);
    out["validity"] = json!({ "notBefore": it.not_before, "notAfter": it.not_after });
    Ok(Json(json!({ "certificateDescription": out })))
}

pub async fn list(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    caller.demand(&iot, "iot:ListCertificates", "*")?;
    let page = Page::read(&params, "pageSize", "marker")?;
    let after = match page.after.split_once('/') {
        None => None,
        Some((created, id)) => {
            let created = created.parse().map_err(|_| IotError::invalid("Invalid marker"))?;
            Some((created, id.to_owned()))
        }
    };
    let mut found =
        iot.hub.store.certificates(after, is_true(params.get("isAscendingOrder")), page.limit + 1)?;
    let next = page.cut(&mut found, |it| format!("{}/{}", it.created, it.id));
    let certificates: Vec<_> = found.iter().map(|it| summary(&iot, it)).collect();
    Ok(Json(json!({ "certificates": certificates, "nextMarker": next })))
}

pub async fn update(
    State(iot): State<Iot>,
    caller: Caller,
    Path(id): Path<String>,
    Query(params): Params,
) -> Answer {
    caller.demand(&iot, "iot:UpdateCertificate", &format!("cert/{id}"))?;
    let status = params.get("newStatus").map(String::as_str).unwrap_or_default();
    if !["ACTIVE", "INACTIVE", "REVOKED"].contains(&status) {
        return Err(IotError::invalid("The new status must be ACTIVE, INACTIVE or REVOKED"));
    }
    find(&iot, &id)?;
    if !iot.hub.store.set_certificate_status(&id, status, iot.hub.clock.now().timestamp())? {
        let message = format!("The status of a revoked certificate cannot be changed. id={id}");
        return Err(IotError::certificate_state(message));
    }
    if status != "ACTIVE" {
        iot.hub.broker.disconnect_certificate(&id);
    }
    Ok(Json(json!({})))
}

pub async fn delete(
    State(iot): State<Iot>,
    caller: Caller,
    Path(id): Path<String>,
    Query(params): Params,
) -> Answer {
    caller.demand(&iot, "iot:DeleteCertificate", &format!("cert/{id}"))?;
    let it = find(&iot, &id)?;
    if it.active() {
        let message = format!("Certificate must be deactivated (not ACTIVE) before deletion. id={id}");
        return Err(IotError::certificate_state(message));
    }
    let arn = iot.hub.account.certificate_arn(&id);
    let things = !iot.hub.store.attachments_of_principal(&arn)?.is_empty();
    let policies = !iot.hub.store.policies_of_target(&arn)?.is_empty();
    if things || (policies && !is_true(params.get("forceDelete"))) {
        let message = format!("Things or policies must be detached before deletion (id={id})");
        return Err(IotError::delete_conflict(message));
    }
    iot.hub.store.delete_certificate(&id, &arn)?;
    iot.hub.broker.disconnect_certificate(&id);
    Ok(Json(json!({})))
}

fn find(iot: &Iot, id: &str) -> Result<Certificate, IotError> {
    if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(IotError::invalid("Invalid certificate ID"));
    }
    iot.hub
        .store
        .certificate(id)?
        .ok_or_else(|| IotError::not_found(format!("Certificate id {id} does not exist")))
}

fn add(iot: &Iot, issued: Issued, active: bool) -> Result<Value, IotError> {
    let now = iot.hub.clock.now().timestamp();
    let it = Certificate {
        id: issued.id,
        pem: issued.pem,
        status: if active { "ACTIVE" } else { "INACTIVE" }.to_owned(),
        created: now,
        modified: now,
        not_before: issued.not_before,
        not_after: issued.not_after,
    };
    iot.hub.store.add_certificate(&it)?;
    let arn = iot.hub.account.certificate_arn(&it.id);
    Ok(json!({ "certificateArn": arn, "certificateId": it.id, "certificatePem": it.pem }))
}

fn summary(iot: &Iot, it: &Certificate) -> Value {
    json!({
        "certificateArn": iot.hub.account.certificate_arn(&it.id),
        "certificateId": it.id,
        "status": it.status,
        "certificateMode": "DEFAULT",
        "creationDate": it.created,
    })
}
