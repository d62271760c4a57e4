//! Who the box is: its key, its certificate, its sealing key, and the TLS that they make.
//!
//! Both private keys are made on the box and never leave it.

pub mod enrolment;
pub mod sealing;
pub mod server_trust;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use device_model::{status::CertificateAge, thing_name::ThingName};
use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{clock::Clock, config::Home, identity::server_trust::ServerTrust};

/// Where the parts of the identity lie, each readable by the agent only.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    pub key: PathBuf,
    pub certificate: PathBuf,
    pub sealing_key: PathBuf,
}

/// A box that is enrolled.
pub struct Identity {
    /// For the credentials provider, MQTT and the fleet API alike: our CA only, our certificate.
    pub tls: Arc<ClientConfig>,
    pub sealing: sealing::SealingKey,
    certificate: CertificateDer<'static>,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("this box is not enrolled: {0} is missing; run `device-agent enroll --code CODE`")]
    NotEnrolled(PathBuf),
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{0} holds no usable PEM: {1}")]
    NotPem(PathBuf, String),
    #[error("{0} is the key of another certificate than {1}")]
    KeyOfAnother(PathBuf, PathBuf),
    #[error("the certificate is of {found:?}, not of {wanted}")]
    OtherThing { found: String, wanted: ThingName },
    #[error("{0}: {1}")]
    Unusable(PathBuf, String),
}

impl IdentityFiles {
    pub fn of(home: &Home) -> Self {
        Self {
            key: home.state_dir.join("device.key.pem"),
            certificate: home.state_dir.join("device.cert.pem"),
            sealing_key: home.state_dir.join("sealing.key"),
        }
    }
}

impl Identity {
    pub fn load(home: &Home, ca_file: &Path, clock: &Arc<Clock>) -> Result<Self, IdentityError> {
        let parts = Parts::read(home, ca_file, clock);
        let (certificate, key) = (parts.certificate?, parts.key?);
        let tls = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(parts.trust?)
            .with_client_auth_cert(vec![certificate.clone()], key)
            .map_err(|error| unfit(error, home))?;
        Ok(Self { tls: Arc::new(tls), sealing: parts.sealing?, certificate })
    }

    /// All that keeps it from being loaded.
    pub fn faults(home: &Home, ca_file: &Path, clock: &Arc<Clock>) -> Vec<IdentityError> {
        let Parts { certificate, key, trust, sealing } = Parts::read(home, ca_file, clock);
        let fit = match (certificate, key) {
            (Ok(certificate), Ok(key)) => vec![
                ClientConfig::builder()
                    .with_root_certificates(RootCertStore::empty())
                    .with_client_auth_cert(vec![certificate], key)
                    .map_err(|error| unfit(error, home))
                    .err(),
            ],
            (certificate, key) => vec![certificate.err(), key.err()],
        };
        fit.into_iter().chain([trust.err(), sealing.err()]).flatten().collect()
    }

    /// The certificate's serial and age, as they stand in the shadow `status`.
    pub fn certificate_age(&self, clock: &Clock) -> CertificateAge {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&self.certificate) else {
            return CertificateAge { serial: String::new(), age_days: 0 };
        };
        let seconds = clock.now().timestamp() - parsed.validity().not_before.timestamp();
        CertificateAge {
            serial: parsed.tbs_certificate.serial.to_str_radix(16),
            age_days: seconds.max(0) / 86_400,
        }
    }
}

/// Each as far as it can be read.
struct Parts {
    certificate: Result<CertificateDer<'static>, IdentityError>,
    key: Result<PrivateKeyDer<'static>, IdentityError>,
    trust: Result<Arc<ServerTrust>, IdentityError>,
    sealing: Result<sealing::SealingKey, IdentityError>,
}

impl Parts {
    fn read(home: &Home, ca_file: &Path, clock: &Arc<Clock>) -> Self {
        let files = IdentityFiles::of(home);
        Self {
            certificate: read_certificate(&files.certificate, &home.thing),
            key: read_pem(&files.key),
            trust: trust(ca_file, clock),
            sealing: sealing::SealingKey::load(&files.sealing_key),
        }
    }
}

fn read_certificate(path: &Path, wanted: &ThingName) -> Result<CertificateDer<'static>, IdentityError> {
    let certificate = read_pem(path)?;
    let found = common_name(&certificate).map_err(|error| IdentityError::Unusable(path.to_owned(), error))?;
    if found == wanted.as_str() {
        Ok(certificate)
    } else {
        Err(IdentityError::OtherThing { found, wanted: wanted.clone() })
    }
}

/// Why the certificate and the key do not make a client.
fn unfit(error: rustls::Error, home: &Home) -> IdentityError {
    let files = IdentityFiles::of(home);
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            IdentityError::KeyOfAnother(files.key, files.certificate)
        }
        other => IdentityError::Unusable(files.key, other.to_string()),
    }
}

/// A client that trusts the CA file and nothing else, without a certificate of its own.
pub fn anonymous_tls(ca_file: Option<&Path>, clock: &Arc<Clock>) -> Result<ClientConfig, IdentityError> {
    let builder = ClientConfig::builder();
    let builder = match ca_file {
        Some(ca_file) => builder.dangerous().with_custom_certificate_verifier(trust(ca_file, clock)?),
        None => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

fn trust(ca_file: &Path, clock: &Arc<Clock>) -> Result<Arc<ServerTrust>, IdentityError> {
    let unusable = |error: String| IdentityError::NotPem(ca_file.to_owned(), error);
    let text =
        fs::read(ca_file).map_err(|error| IdentityError::Unreadable { path: ca_file.to_owned(), error })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("no certificate in it".to_owned()));
    }
    let trust = ServerTrust::new(roots, Arc::clone(clock)).map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(trust))
}

fn read_pem<T: PemObject>(path: &Path) -> Result<T, IdentityError> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => IdentityError::NotEnrolled(path.to_owned()),
        _ => IdentityError::Unreadable { path: path.to_owned(), error },
    })?;
    T::from_pem_slice(&text).map_err(|error| IdentityError::NotPem(path.to_owned(), error.to_string()))
}

fn common_name(certificate: &CertificateDer<'_>) -> Result<String, String> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| format!("not X.509: {error}"))?;
    let name = parsed.subject().iter_common_name().next();
    name.and_then(|name| name.as_str().ok())
        .map(ToOwned::to_owned)
        .ok_or_else(|| "it has no common name".to_owned())
}
