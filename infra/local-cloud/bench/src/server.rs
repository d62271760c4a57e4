//! A release `local-cloud` as a process of its own, and what an administrator does there.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

const KEY: (&str, &str) = ("AKIABENCHBENCHBENCH1", "bench-secret");
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Cloud {
    process: Child,
    folder: TempDir,
    http: reqwest::Client,
    ready: Value,
}

/// What a box needs to connect.
#[derive(Clone)]
pub struct Door {
    pub tls: TlsConnector,
    pub at: SocketAddr,
}

impl Cloud {
    /// Starts the one that was built beside this program, and keeps its state there: /tmp may be in memory.
    pub async fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("local-cloud");
        let folder = TempDir::new_in(program.parent().context("no folder")?)?;
        let ready_file = folder.path().join("ready.json");
        let process = Command::new(program)
            .arg("--state")
            .arg(folder.path().join("state"))
            .arg("--template")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml"))
            .arg("--admin-key")
            .arg(format!("{}:{}", KEY.0, KEY.1))
            .arg("--ready-file")
            .arg(&ready_file)
            .env("RUST_LOG", "warn")
            .spawn()
            .context("local-cloud cannot be started")?;
        let mut cloud = Self { process, folder, http: reqwest::Client::new(), ready: Value::Null };
        let started = Instant::now();
        while cloud.ready.is_null() {
            if started.elapsed() > PATIENCE {
                bail!("local-cloud is not ready");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            if let Ok(text) = std::fs::read(&ready_file) {
                cloud.ready = serde_json::from_slice(&text)?;
            }
        }
        Ok(cloud)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The way in for boxes: one certificate, under a policy that lets it be any of them.
    pub async fn door(&self) -> anyhow::Result<Door> {
        let made = self.call("POST", "iot", "/keys-and-certificate?setAsActive=true", Vec::new()).await?;
        let made: Value = serde_json::from_slice(&made)?;
        let target = json!({ "target": made["certificateArn"] }).to_string();
        self.call("PUT", "iot", "/target-policies/bench", target.into_bytes()).await?;

        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(text(&self.ready["caFile"]))?)?;
        let certificate = CertificateDer::from_pem_slice(text(&made["certificatePem"]).as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(text(&made["keyPair"]["PrivateKey"]).as_bytes())?;
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        let port = self.ready["mqttPort"].as_u64().and_then(|port| u16::try_from(port).ok());
        let at = SocketAddr::from(([127, 0, 0, 1], port.context("the ready file has no port")?));
        Ok(Door { tls: Arc::new(tls).into(), at })
    }

    /// A signed request that must be answered with success.
    pub async fn call(
        &self,
        method: &str,
        service: &str,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Vec<u8>> {
        let endpoint = self.ready["endpoint"].as_str().unwrap_or_default();
        let mut request =
            http::Request::builder().method(method).uri(format!("{endpoint}{path}")).body(body)?;
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
        let identity = Credentials::new(KEY.0, KEY.1, None, None, "bench").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("ap-northeast-1")
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let uri = request.uri().to_string();
        let signable =
            SignableRequest::new(method, uri, std::iter::empty(), SignableBody::Bytes(request.body()))?;
        sign(signable, &params)?.into_parts().0.apply_to_request_http1x(&mut request);
        let response = self.http.execute(request.try_into()?).await?.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }

    /// Bytes of memory that the process holds now.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// The seconds that the process's threads have been on a core.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanoseconds += text.split_whitespace().next().context("no schedstat")?.parse::<u64>()?;
        }
        Ok(nanoseconds as f64 / 1e9)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = ended {
            eprintln!("local-cloud did not end: {error}");
        }
    }
}
