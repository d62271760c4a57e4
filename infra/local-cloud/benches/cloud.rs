//! What the cloud can carry: shadow updates over MQTT, idle connections in memory, durable puts. Prints figures, judges
//! nothing. The cloud is a process of its own, so that its memory is its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_credential_types::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::BytesMut;
use futures::future::try_join_all;
use rumqttc::mqttbytes::v4::{Connect, Packet, Publish, Subscribe};
use rumqttc::mqttbytes::{Error as CodecError, QoS};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const KEY: (&str, &str) = ("AKIABENCHBENCHBENCH1", "bench-secret");
const REGION: &str = "ap-northeast-1";
/// Clients that update a shadow each, one update after the other.
const UPDATERS: usize = 10;
const UPDATES: usize = 500;
const IDLE: usize = 5_000;
const PUTTERS: usize = 8;
const PUTS: usize = 250;
const BODY: usize = 5 * 1024;

#[tokio::main]
async fn main() -> Result<()> {
    ensure!(
        rustls::crypto::ring::default_provider().install_default().is_ok(),
        "a TLS provider is set already"
    );
    let cloud = Cloud::start().await?;
    let device = cloud.device().await?;
    shadows(&device).await?;
    puts(&cloud).await?;
    idle(&cloud, &device).await
}

async fn shadows(device: &Device) -> Result<()> {
    let started = Instant::now();
    let clients = (0..UPDATERS).map(|number| update_often(device, format!("bench-{number}")));
    let mut took: Vec<Duration> = try_join_all(clients).await?.into_iter().flatten().collect();
    let whole = started.elapsed();
    took.sort_unstable();
    println!(
        "shadow updates over MQTT, {UPDATERS} clients: {:.0} a second, p50 {:?}, p99 {:?}",
        per_second(took.len(), whole),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
    );
    Ok(())
}

async fn update_often(device: &Device, thing: String) -> Result<Vec<Duration>> {
    let mut line = device.connect(&thing).await?;
    let shadow = format!("$aws/things/{thing}/shadow/name/lan/update");
    line.write(&Packet::Subscribe(Subscribe::new(format!("{shadow}/accepted"), QoS::AtMostOnce))).await?;
    line.read(|packet| matches!(packet, Packet::SubAck(_))).await?;
    let mut took = Vec::with_capacity(UPDATES);
    for number in 0..UPDATES {
        let body = json!({ "state": { "reported": { "number": number } } }).to_string();
        let started = Instant::now();
        line.write(&Packet::Publish(Publish::new(&shadow, QoS::AtMostOnce, body))).await?;
        line.read(|packet| matches!(packet, Packet::Publish(_))).await?;
        took.push(started.elapsed());
    }
    Ok(took)
}

async fn puts(cloud: &Cloud) -> Result<()> {
    let s3 = aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new(REGION))
            .endpoint_url(cloud.text("endpoint")?)
            .force_path_style(true)
            .credentials_provider(Credentials::new(KEY.0, KEY.1, None, None, "bench"))
            .http_client(
                aws_smithy_http_client::Builder::new()
                    .tls_provider(Provider::Rustls(CryptoMode::Ring))
                    .build_https(),
            )
            .build(),
    );
    let started = Instant::now();
    let clients = (0..PUTTERS).map(|client| {
        let s3 = s3.clone();
        async move {
            for number in 0..PUTS {
                let body = ByteStream::from(vec![b'x'; BODY]);
                let put = s3.put_object().bucket("versioned").key(format!("{client}/{number}"));
                put.if_none_match("*").body(body).send().await?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(clients).await?;
    let rate = per_second(PUTTERS * PUTS, started.elapsed());
    println!("S3 puts of {BODY} bytes, durable, {PUTTERS} clients: {rate:.0} a second");
    Ok(())
}

async fn idle(cloud: &Cloud, device: &Device) -> Result<()> {
    let before = cloud.resident_mb()?;
    let started = Instant::now();
    let mut lines = Vec::with_capacity(IDLE);
    for start in (0..IDLE).step_by(100) {
        let some = (start..start + 100).map(|number| device.connect_owned(format!("idle-{number}")));
        lines.extend(try_join_all(some).await?);
    }
    let took = started.elapsed();
    println!(
        "memory: {before:.0} MB before, {:.0} MB with {} idle mutual-TLS connections (made in {took:.1?})",
        cloud.resident_mb()?,
        lines.len(),
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts here are small")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

struct Cloud {
    process: Child,
    ready: Value,
    _folder: TempDir,
}

impl Cloud {
    async fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("ready.json");
        let process = Command::new(env!("CARGO_BIN_EXE_local-cloud"))
            .arg("--state")
            .arg(folder.path().join("state"))
            .arg("--template")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixture.yaml"))
            .args(["--admin-key", &format!("{}:{}", KEY.0, KEY.1)])
            .arg("--ready-file")
            .arg(&file)
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .spawn()?;
        let mut cloud = Self { process, ready: Value::Null, _folder: folder };
        for _ in 0..500 {
            if let Ok(text) = std::fs::read(&file) {
                cloud.ready = serde_json::from_slice(&text)?;
                return Ok(cloud);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("the cloud is not ready in time")
    }

    fn text(&self, name: &str) -> Result<&str> {
        self.ready[name].as_str().with_context(|| format!("the ready file has no {name}"))
    }

    /// One certificate that may do everything: it is the connections that are counted.
    async fn device(&self) -> Result<Device> {
        let config = aws_sdk_iot::Config::builder()
            .behavior_version(aws_sdk_iot::config::BehaviorVersion::latest())
            .region(aws_sdk_iot::config::Region::new(REGION))
            .endpoint_url(self.text("endpoint")?)
            .credentials_provider(Credentials::new(KEY.0, KEY.1, None, None, "bench"))
            .http_client(
                aws_smithy_http_client::Builder::new()
                    .tls_provider(Provider::Rustls(CryptoMode::Ring))
                    .build_https(),
            )
            .build();
        let iot = aws_sdk_iot::Client::from_conf(config);
        let document = json!({ "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": "iot:*", "Resource": "*" }] });
        iot.create_policy().policy_name("bench").policy_document(document.to_string()).send().await?;
        let made = iot.create_keys_and_certificate().set_as_active(true).send().await?;
        let arn = made.certificate_arn().context("no ARN")?;
        iot.attach_policy().policy_name("bench").target(arn).send().await?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.text("caFile")?)?)?;
        let certificate = made.certificate_pem().context("no certificate")?;
        let key = made.key_pair().and_then(|pair| pair.private_key()).context("no key")?;
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes())?],
            PrivateKeyDer::from_pem_slice(key.as_bytes())?,
        )?;
        let port = self.ready["mqttPort"].as_u64().context("no port")?;
        Ok(Device { tls: TlsConnector::from(Arc::new(tls)), port: u16::try_from(port)? })
    }

    fn resident_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if self.process.kill().is_ok() {
            let _ = self.process.wait();
        }
    }
}

struct Device {
    tls: TlsConnector,
    port: u16,
}

impl Device {
    async fn connect_owned(&self, client_id: String) -> Result<Line> {
        self.connect(&client_id).await
    }

    async fn connect(&self, client_id: &str) -> Result<Line> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, tcp).await?;
        let mut line = Line { stream, inbox: BytesMut::new() };
        let mut connect = Connect::new(client_id);
        connect.clean_session = true;
        connect.keep_alive = 1200;
        line.write(&Packet::Connect(connect)).await?;
        line.read(|packet| matches!(packet, Packet::ConnAck(_))).await?;
        Ok(line)
    }
}

struct Line {
    stream: TlsStream<TcpStream>,
    inbox: BytesMut,
}

impl Line {
    async fn write(&mut self, packet: &Packet) -> Result<()> {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).map_err(|error| anyhow::anyhow!("{error}"))?;
        self.stream.write_all(&bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads until the packet that is waited for.
    async fn read(&mut self, wanted: impl Fn(&Packet) -> bool) -> Result<()> {
        loop {
            match Packet::read(&mut self.inbox, usize::MAX) {
                Ok(packet) if wanted(&packet) => return Ok(()),
                Ok(_) => {}
                Err(CodecError::InsufficientBytes(_)) => {
                    ensure!(self.stream.read_buf(&mut self.inbox).await? > 0, "the connection has ended");
                }
                Err(error) => anyhow::bail!("{error}"),
            }
        }
    }
}
