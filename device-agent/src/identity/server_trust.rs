//! Whether a server is to be trusted, for a box that may not know what time it is.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::clock::Clock;

/// The usual judgement, at the time that the box's clock gives for it: see [`Clock::judge_at`].
pub struct ServerTrust {
    judge: Arc<WebPkiServerVerifier>,
    clock: Arc<Clock>,
}

impl ServerTrust {
    pub fn new(roots: RootCertStore, clock: Arc<Clock>) -> Result<Self, VerifierBuilderError> {
        Ok(Self { judge: WebPkiServerVerifier::builder(Arc::new(roots)).build()?, clock })
    }
}

impl ServerCertVerifier for ServerTrust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (mut begins, ends) = validity(end_entity)?;
        for certificate in intermediates {
            begins = begins.max(validity(certificate)?.0);
        }
        let at = self.clock.judge_at(begins).signed_duration_since(DateTime::UNIX_EPOCH);
        let at = UnixTime::since_unix_epoch(at.to_std().unwrap_or_default());
        let verified =
            self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)?;
        self.clock.believe_until(ends);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

impl fmt::Debug for ServerTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTrust").finish_non_exhaustive()
    }
}

fn validity(certificate: &CertificateDer<'_>) -> Result<(DateTime<Utc>, DateTime<Utc>), Error> {
    let bad = || Error::from(CertificateError::BadEncoding);
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| bad())?;
    let time = |at: x509_parser::time::ASN1Time| DateTime::from_timestamp(at.timestamp(), 0).ok_or_else(bad);
    Ok((time(parsed.validity().not_before)?, time(parsed.validity().not_after)?))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;

    /// Judges a certificate that is valid from the start of one year to the start of the other.
    fn judge(clock: &Arc<Clock>, (from, to): (i32, i32)) -> Result<(), Error> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().der().clone()).unwrap();
        let issuer = Issuer::from_params(&params, key);
        let mut params = CertificateParams::new(["fleet.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        drop(rustls::crypto::ring::default_provider().install_default());
        let name = "fleet.example".try_into().unwrap();
        ServerTrust::new(roots, Arc::clone(clock))
            .unwrap()
            .verify_server_cert(certificate.der(), &[], &name, &[], UnixTime::now())
            .map(drop)
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_box_that_does_not_know_the_time_takes_what_may_be_valid_since_the_floor() {
        for wall in ["1970-01-01T00:00:00Z", "2026-11-22T12:00:00Z", "2036-01-01T00:00:00Z"] {
            let wall = at(wall);
            let clock = Clock::reading(move || wall);
            clock.raise_floor(at("2026-06-01T00:00:00Z"));

            assert!(judge(&clock, (2026, 2027)).is_ok(), "{wall}: valid at the floor");
            assert!(judge(&clock, (2027, 2028)).is_ok(), "{wall}: made after the floor");
            let ended = judge(&clock, (2025, 2026)).unwrap_err();
            assert!(matches!(ended, Error::InvalidCertificate(CertificateError::ExpiredContext { .. })));
        }
    }

    #[test]
    fn a_box_that_knows_the_time_goes_by_that() {
        let clock = Clock::reading(|| at("1970-01-01T00:00:00Z"));
        clock.learn(at("2027-06-01T00:00:00Z"));

        assert!(judge(&clock, (2027, 2028)).is_ok());
        assert!(judge(&clock, (2026, 2027)).is_err());
        assert!(judge(&clock, (2028, 2029)).is_err());
    }

    #[test]
    fn the_time_is_believed_no_longer_than_the_certificate_lasts() {
        let clock = Clock::reading(|| at("2026-11-22T12:00:00Z"));
        judge(&clock, (2026, 2027)).unwrap();

        clock.learn(at("2027-01-02T00:00:00Z"));

        assert!(!clock.is_synced());
    }
}
