//! How a box gets its certificate.

use base64::{Engine, engine::general_purpose::STANDARD};
use device_model::enrolment::{EnrollAnswer, EnrollRequest, SEALING_KEY_CONTEXT, SealingKey};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::json;
use sqlx::Acquire;
use x509_parser::{
    certification_request::X509CertificationRequest, oid_registry::OID_EC_P256, pem::parse_x509_pem,
    prelude::FromDer,
};

use crate::{
    error::ApiError,
    fleet::{
        Fleet,
        actor::{Actor, Origin, Proof},
        audit::Entry,
        secret,
    },
    store::{audit_entries, certificates, enrolment_codes},
};

/// A P-256 request has less than 1 KB.
const MAX_CSR: usize = 8 * 1024;

impl Fleet {
    /// Issues the certificate for which an operator gave out a code. Nothing but the public halves of
    /// the box's keys comes here. A code serves once, whoever asks again: a box whose answer was lost is
    /// revoked and registered anew.
    #[tracing::instrument(name = "fleet.enroll", skip_all, fields(thing.name = %request.thing))]
    pub async fn enroll(
        &self,
        request: EnrollRequest,
        ip: Option<std::net::IpAddr>,
    ) -> Result<EnrollAnswer, ApiError> {
        let fleet = self.clone();
        self.see_through(async move { fleet.issue(request, ip).await }).await
    }

    async fn issue(
        &self,
        request: EnrollRequest,
        ip: Option<std::net::IpAddr>,
    ) -> Result<EnrollAnswer, ApiError> {
        let key = request_key(&request.csr)?;
        let sealing_key = request.sealing_key.as_ref().map(|given| vouched_for(given, &key)).transpose()?;
        let (now, thing, code) = (self.clock().now(), request.thing, secret::hash(&request.code));
        let mut tx = self.db().begin().await?;
        let db = tx.acquire().await?;
        let held = enrolment_codes::hold(db, &code, &thing, now).await?;
        if held != Some(false) {
            return Err(ApiError::EnrolmentRefused);
        }
        let policy = &self.parts.rules.box_policy;
        let issued = self.parts.things.issue(&thing, &request.csr, policy).await;
        // The code is good again if this fails: the transaction ends without it.
        let issued = issued.map_err(|error| ApiError::unavailable("AWS IoT Core", error))?;
        let issued = issued.ok_or_else(|| ApiError::malformed("AWS IoT Core does not take the request"))?;
        let kept = async {
            let id = issued.certificate_id.as_str();
            certificates::add(db, id, &thing, sealing_key.as_deref(), now).await?;
            enrolment_codes::use_up(db, &code, id, now).await?;
            let by =
                Actor { ip, ..Actor::new(format!("thing:{thing}"), Proof::EnrolmentCode, Origin::Device) };
            let mut entry = Entry::new(now, &by, "device.enrolled").of(&thing);
            entry.after = Some(json!({"certificateId": id, "sealingKey": sealing_key.is_some()}));
            audit_entries::add(db, &entry).await.map(drop)
        };
        let kept = match kept.await {
            Ok(()) => tx.commit().await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            // Nobody knows this certificate: it must not stay good.
            if let Err(error) = self.parts.things.revoke(&issued.certificate_id).await {
                tracing::error!(error = format!("{error:#}"), "a stray certificate stayed active");
            }
            return Err(error.into());
        }
        tracing::info!(thing.name = %thing, "`{thing}` has its certificate");
        Ok(EnrollAnswer { thing, certificate_id: issued.certificate_id, certificate_pem: issued.pem })
    }
}

/// The public key of a signing request: P-256, and its holder signed the request.
fn request_key(csr: &str) -> Result<Vec<u8>, ApiError> {
    let refused = || ApiError::malformed("csr is not a PKCS#10 request in PEM, signed with a P-256 key");
    if csr.len() > MAX_CSR {
        return Err(refused());
    }
    let (_, pem) = parse_x509_pem(csr.as_bytes()).map_err(|_| refused())?;
    let (rest, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|_| refused())?;
    let info = &request.certification_request_info;
    let curve = info.subject_pki.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    if !rest.is_empty() || curve.as_ref() != Some(&OID_EC_P256) {
        return Err(refused());
    }
    let key = info.subject_pki.subject_public_key.data.to_vec();
    let signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key);
    signed.verify(info.raw, &request.signature_value.data).map_err(|_| refused())?;
    Ok(key)
}

/// The sealing key, if the holder of the certificate's key signed it.
fn vouched_for(given: &SealingKey, key: &[u8]) -> Result<Vec<u8>, ApiError> {
    let refused = || ApiError::malformed("sealingKey is not 32 bytes with a signature of the request's key");
    let public = STANDARD.decode(&given.public_key).map_err(|_| refused())?;
    let signature = STANDARD.decode(&given.signature).map_err(|_| refused())?;
    let message = [SEALING_KEY_CONTEXT, &public].concat();
    let signed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
    if public.len() != 32 || signed.verify(&message, &signature).is_err() {
        return Err(refused());
    }
    Ok(public)
}
