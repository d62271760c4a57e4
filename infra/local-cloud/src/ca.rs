//! The certificate authority: signs boxes' certificates and the server's own, and says which clients may connect.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
    SubjectPublicKeyInfo, date_time_ymd,
};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rustls::RootCertStore;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use crate::state::Store;

/// The authority with its key.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    file: PathBuf,
}

/// A certificate just signed. Times are seconds since 1970.
#[derive(Debug, Clone)]
pub struct Issued {
    pub id: String,
    pub pem: String,
    pub not_before: i64,
    pub not_after: i64,
}

/// A key pair as AWS hands it out, in PEM: PKCS#1, and the public key's `SubjectPublicKeyInfo`.
pub struct KeyPairPem {
    pub private: String,
    pub public: String,
}

/// The certificate id of AWS IoT: the SHA-256 of the certificate's DER.
pub fn certificate_id(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

impl Ca {
    /// Opens the authority kept in `folder`, or makes it.
    pub fn open(folder: &Path, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let (file, key_file) = (folder.join("ca.pem"), folder.join("ca.key.pem"));
        if !file.exists() {
            let key = KeyPair::generate()?;
            let root = root_params(now).self_signed(&key)?;
            replace(&key_file, key.serialize_pem().as_bytes())?;
            replace(&file, root.pem().as_bytes())?;
        }
        let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?).context("the CA's key is unreadable")?;
        let root = CertificateDer::from_pem_file(&file).context("the CA's certificate is unreadable")?;
        let issuer = Issuer::from_ca_cert_der(&root, key)?;
        Ok(Self { issuer, root, file: file.canonicalize()? })
    }

    /// Where clients find the root they are to trust.
    pub fn file(&self) -> &Path {
        &self.file
    }

    pub fn pem(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.file)?)
    }

    /// Signs a client's request; its subject is kept, whatever else it asks for is not. Keys are RSA from 2048 bits
    /// on, or on the curves P-256 and P-384.
    pub fn sign_csr(&self, csr: &str, now: DateTime<Utc>) -> Result<Issued, rcgen::Error> {
        let mut request = CertificateSigningRequestParams::from_pem(csr)?;
        if *request.public_key.algorithm() == PKCS_ED25519 {
            return Err(rcgen::Error::UnsupportedSignatureAlgorithm);
        }
        request.params = client_params(request.params.distinguished_name, now);
        issued(request.signed_by(&self.issuer)?.der())
    }

    /// Makes a key pair of RSA with 2048 bits and its certificate. It takes a good part of a second.
    pub fn make_key_and_certificate(&self, now: DateTime<Utc>) -> anyhow::Result<(Issued, KeyPairPem)> {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)?;
        let pem = KeyPairPem {
            private: key.to_pkcs1_pem(LineEnding::LF)?.to_string(),
            public: key.to_public_key().to_public_key_pem(LineEnding::LF)?,
        };
        let subject = SubjectPublicKeyInfo::from_pem(&pem.public)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "AWS IoT Certificate");
        let certificate = client_params(name, now).signed_by(&subject, &self.issuer)?;
        Ok((issued(certificate.der())?, pem))
    }

    /// TLS as the device endpoints speak it: client certificates of this authority only, and only ACTIVE ones. As at
    /// AWS, a client that does not say by SNI whom it means gets no answer.
    pub fn tls(
        &self,
        store: Store,
        now: DateTime<Utc>,
        alpn: &[&str],
    ) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let key = KeyPair::generate()?;
        let certificate = server_params(now)?.signed_by(&key, &self.issuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        let verifier = ActiveOnly { inner: WebPkiClientVerifier::builder(Arc::new(roots)).build()?, store };
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let chain = vec![certificate.der().clone(), self.root.clone()];
        let mut named = ResolvesServerCertUsingSni::new();
        let certified = CertifiedKey::new(chain, any_supported_type(&private)?);
        named.add(HOST, certified.clone())?;
        named.add(HOST_ELSEWHERE, certified)?;
        let mut config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(named));
        // A resumed session would skip the look at the certificate's status.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

fn issued(der: &CertificateDer<'_>) -> Result<Issued, rcgen::Error> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(der).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    Ok(Issued {
        id: certificate_id(der),
        pem: pem("CERTIFICATE", der),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    })
}

/// The name by which devices know this cloud.
const HOST: &str = "localhost";
/// The same for devices that are not on this machine, or must not think that they are.
const HOST_ELSEWHERE: &str = "local-cloud.test";

/// AWS's own authorities outlive everything, and boxes without a clock chip believe strange dates.
const LONG_AGO: Duration = Duration::from_hours(30 * 24);

/// rcgen counts in a type of its own, which is reached from a date it makes.
fn since_1970(now: DateTime<Utc>) -> Duration {
    Duration::from_secs(now.timestamp().unsigned_abs())
}

fn root_params(now: DateTime<Utc>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "local-cloud");
    params.distinguished_name.push(DnType::CommonName, "local-cloud root CA");
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now) - LONG_AGO;
    params.not_after = date_time_ymd(2050, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn server_params(now: DateTime<Utc>) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![HOST.to_owned(), HOST_ELSEWHERE.to_owned()])?;
    params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, HOST);
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now) - LONG_AGO;
    params.not_after = date_time_ymd(2050, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn client_params(name: DistinguishedName, now: DateTime<Utc>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&rand::random::<[u8; 16]>()));
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(now) - Duration::from_mins(2);
    // As AWS IoT does for every certificate it issues.
    params.not_after = date_time_ymd(2050, 1, 1) - Duration::from_secs(1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// The web PKI's checks, and then: is this certificate registered and ACTIVE?
#[derive(Debug)]
struct ActiveOnly {
    inner: Arc<dyn ClientCertVerifier>,
    store: Store,
}

impl ClientCertVerifier for ActiveOnly {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        match self.store.certificate(&certificate_id(end_entity)) {
            Ok(Some(certificate)) if certificate.active() => Ok(verified),
            Ok(Some(_)) => Err(rustls::CertificateError::Revoked.into()),
            Ok(None) => Err(rustls::CertificateError::UnknownIssuer.into()),
            Err(error) => Err(rustls::Error::General(error.to_string())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + &format!("-----END {label}-----\n")
}

/// Writes a file that only its owner reads: draft, sync, rename.
pub(crate) fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(content)?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    Ok(())
}
