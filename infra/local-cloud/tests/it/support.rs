//! A cloud of a test's own, and the real clients pointed at it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_iot::config::{BehaviorVersion, Region};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, tls::Provider};
use clap::Parser as _;
use local_cloud::boot::LocalCloud;
use local_cloud::clock::Clock;
use local_cloud::config::Config;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS, TlsConfiguration, Transport,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tempfile::TempDir;

pub const ADMIN: (&str, &str) = ("AKIAADMINADMINADMIN1", "admin-secret");
pub const READER: (&str, &str) = ("AKIAREADERREADERREAD", "reader-secret");
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestCloud {
    pub cloud: Option<LocalCloud>,
    pub folder: TempDir,
    flags: Vec<String>,
}

/// A device with its certificate.
#[derive(Clone)]
pub struct Device {
    pub name: String,
    pub certificate_id: String,
    pub certificate_arn: String,
    pub certificate: String,
    pub key: String,
}

impl TestCloud {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With more flags of the command line.
    pub async fn with(flags: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let mut cloud = Self { cloud: None, folder: TempDir::new().unwrap(), flags };
        cloud.boot().await;
        cloud
    }

    async fn boot(&mut self) {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixture.yaml");
        let mut arguments = vec!["local-cloud".to_owned(), "--allow-http-destinations".to_owned()];
        for (flag, value) in [
            ("--state", self.folder.path().join("state").display().to_string()),
            ("--template", template.display().to_string()),
            ("--admin-key", format!("{}:{}", ADMIN.0, ADMIN.1)),
            ("--role-key", format!("ReaderRole={}:{}", READER.0, READER.1)),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        arguments.extend(self.flags.clone());
        let config = Config::try_parse_from(arguments).unwrap();
        self.cloud = Some(LocalCloud::start(&config, Clock::system()).await.unwrap());
    }

    /// Ends the cloud and starts it again on the same state (and other ports).
    pub async fn restart(&mut self) {
        self.cloud.take().unwrap().stop().await;
        self.boot().await;
    }

    pub fn running(&self) -> &LocalCloud {
        self.cloud.as_ref().unwrap()
    }

    pub fn iot(&self) -> aws_sdk_iot::Client {
        self.iot_as(ADMIN)
    }

    pub fn iot_as(&self, key: (&str, &str)) -> aws_sdk_iot::Client {
        let config = aws_sdk_iot::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("ap-northeast-1"))
            .endpoint_url(format!("http://{}", self.running().endpoint))
            .credentials_provider(Credentials::new(key.0, key.1, None, None, "test"))
            .retry_config(aws_sdk_iot::config::retry::RetryConfig::disabled())
            .http_client(http_client())
            .build();
        aws_sdk_iot::Client::from_conf(config)
    }

    pub fn data(&self) -> aws_sdk_iotdataplane::Client {
        self.data_as(ADMIN)
    }

    pub fn data_as(&self, key: (&str, &str)) -> aws_sdk_iotdataplane::Client {
        let config = aws_sdk_iotdataplane::Config::builder()
            .behavior_version(aws_sdk_iotdataplane::config::BehaviorVersion::latest())
            .region(aws_sdk_iotdataplane::config::Region::new("ap-northeast-1"))
            .endpoint_url(format!("http://{}", self.running().endpoint))
            .credentials_provider(Credentials::new(key.0, key.1, None, None, "test"))
            .retry_config(aws_sdk_iotdataplane::config::retry::RetryConfig::disabled())
            .http_client(http_client())
            .build();
        aws_sdk_iotdataplane::Client::from_conf(config)
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("ap-northeast-1"))
            .endpoint_url(format!("http://{}", self.running().endpoint))
            .force_path_style(true)
            .credentials_provider(Credentials::new(ADMIN.0, ADMIN.1, None, None, "test"))
            .http_client(http_client())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Makes a thing with a certificate that is attached to it and has the device policy.
    pub async fn device(&self, name: &str) -> Device {
        let iot = self.iot();
        iot.create_thing().thing_name(name).send().await.unwrap();
        let device = self.certificate(name).await;
        iot.attach_policy().policy_name("device").target(&device.certificate_arn).send().await.unwrap();
        iot.attach_thing_principal()
            .thing_name(name)
            .principal(&device.certificate_arn)
            .thing_principal_type(aws_sdk_iot::types::ThingPrincipalType::ExclusiveThing)
            .send()
            .await
            .unwrap();
        device
    }

    /// An ACTIVE certificate that is attached to nothing.
    pub async fn certificate(&self, name: &str) -> Device {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let csr = params.serialize_request(&key).unwrap().pem().unwrap();
        let issued = self
            .iot()
            .create_certificate_from_csr()
            .certificate_signing_request(csr)
            .set_as_active(true)
            .send();
        let issued = issued.await.unwrap();
        Device {
            name: name.to_owned(),
            certificate_id: issued.certificate_id().unwrap().to_owned(),
            certificate_arn: issued.certificate_arn().unwrap().to_owned(),
            certificate: issued.certificate_pem().unwrap().to_owned(),
            key: key.serialize_pem(),
        }
    }

    pub async fn set_status(&self, device: &Device, status: aws_sdk_iot::types::CertificateStatus) {
        let update =
            self.iot().update_certificate().certificate_id(&device.certificate_id).new_status(status);
        update.send().await.unwrap();
    }

    /// TLS as the device speaks it.
    pub fn tls(&self, device: &Device) -> rustls::ClientConfig {
        self.tls_of(device, rustls::DEFAULT_VERSIONS)
    }

    /// TLS of these versions only.
    pub fn tls_of(
        &self,
        device: &Device,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.running().ca_file).unwrap()).unwrap();
        let certificate = CertificateDer::from_pem_slice(device.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(device.key.as_bytes()).unwrap();
        rustls::ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .unwrap()
    }

    pub fn options(&self, device: &Device, client_id: &str) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, "localhost", self.running().mqtt.port());
        let tls = TlsConfiguration::Rustls(Arc::new(self.tls(device)));
        options.set_transport(Transport::tls_with_config(tls));
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(1024 * 1024, 1024 * 1024);
        options
    }

    /// Connects as the device itself.
    pub async fn connect(&self, device: &Device) -> Mqtt {
        Mqtt::connect(self.options(device, &device.name)).await.unwrap()
    }

    /// An HTTPS client that shows the device's certificate.
    pub fn https(&self, device: &Device) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(&std::fs::read(&self.running().ca_file).unwrap()).unwrap();
        let identity = format!("{}{}", device.certificate, device.key);
        reqwest::Client::builder()
            .tls_certs_only([root])
            .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
            .build()
            .unwrap()
    }

    pub fn provider(&self) -> String {
        format!("https://localhost:{}", self.running().credentials.port())
    }

    pub fn admin(&self) -> SocketAddr {
        self.running().admin
    }
}

pub fn http_client() -> aws_sdk_iot::config::SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// A connected MQTT client; the test drives it step by step.
pub struct Mqtt {
    pub client: AsyncClient,
    pub events: EventLoop,
    pub session_present: bool,
    inbox: Vec<Publish>,
}

impl Mqtt {
    pub async fn connect(options: MqttOptions) -> Result<Self, rumqttc::ConnectionError> {
        let (client, mut events) = AsyncClient::new(options, 100);
        loop {
            let event = tokio::time::timeout(PATIENCE, events.poll()).await.expect("CONNACK in time")?;
            if let Event::Incoming(Packet::ConnAck(ack)) = event {
                return Ok(Self { client, events, session_present: ack.session_present, inbox: Vec::new() });
            }
        }
    }

    /// Subscribes; answers the SUBACK's codes.
    pub async fn subscribe(&mut self, filter: &str) -> Vec<rumqttc::SubscribeReasonCode> {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        match self.until(|packet| matches!(packet, Packet::SubAck(_))).await {
            Ok(Packet::SubAck(ack)) => ack.return_codes,
            other => panic!("no SUBACK: {other:?}"),
        }
    }

    /// Publishes at `QoS` 1 and waits for the PUBACK, or for the end of the connection.
    pub async fn publish(
        &mut self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
    ) -> Result<(), rumqttc::ConnectionError> {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.into()).await.unwrap();
        self.until(|packet| matches!(packet, Packet::PubAck(_))).await.map(|_| ())
    }

    /// The next message on `topic`; what comes on others is kept for later.
    pub async fn message(&mut self, topic: &str) -> Publish {
        loop {
            if let Some(at) = self.inbox.iter().position(|publish| publish.topic == topic) {
                return self.inbox.remove(at);
            }
            let next = self.until(|packet| matches!(packet, Packet::Publish(_)));
            let Ok(Packet::Publish(_)) = next.await else { panic!("the connection ended") };
        }
    }

    /// The next message on any topic.
    pub async fn any(&mut self) -> Publish {
        if self.inbox.is_empty() {
            let next = self.until(|packet| matches!(packet, Packet::Publish(_)));
            let Ok(Packet::Publish(_)) = next.await else { panic!("the connection ended") };
        }
        self.inbox.remove(0)
    }

    pub async fn json(&mut self, topic: &str) -> Value {
        serde_json::from_slice(&self.message(topic).await.payload).unwrap()
    }

    /// Whether nothing has come on `topic`, once a message to oneself has made the whole way after it.
    pub async fn nothing_on(&mut self, topic: &str) -> bool {
        self.subscribe("dt/echo").await;
        self.publish("dt/echo", "echo").await.unwrap();
        self.message("dt/echo").await;
        self.inbox.iter().all(|publish| publish.topic != topic)
    }

    /// Waits until the server ends the connection.
    pub async fn ended(&mut self) {
        let ended = async { while self.events.poll().await.is_ok() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the connection ends in time");
    }

    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Result<Packet, rumqttc::ConnectionError> {
        loop {
            let event =
                tokio::time::timeout(PATIENCE, self.events.poll()).await.expect("a packet in time")?;
            if let Event::Incoming(packet) = event {
                if let Packet::Publish(publish) = &packet {
                    self.inbox.push(publish.clone());
                }
                if wanted(&packet) {
                    return Ok(packet);
                }
            }
        }
    }
}

/// Tries until it holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let tried = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, tried).await.is_ok(), "never: {what}");
}
