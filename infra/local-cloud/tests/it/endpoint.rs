//! STS and S3 on a port of their own, with a template of the test's.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{Builder, tls};
use axum::{Router, body::Body, extract::State, response::Response};
use chrono::{DateTime, Utc};
use local_cloud::{
    keys::{Keys, Principal, RoleRef},
    policy::Document,
    s3, sigv4,
    sts::Sts,
    template::{Pseudo, Resources, Template},
};
use parking_lot::Mutex;
use s3s::service::S3Service;
use tempfile::TempDir;
use tokio::task::JoinSet;

pub const ACCOUNT: &str = "123456789012";
pub const BUCKET: &str = "plain";
pub const LOCKED: &str = "locked";

const TEMPLATE: &str = r#"
Resources:
  Plain: { Type: AWS::S3::Bucket, Properties: { BucketName: plain } }
  Locked:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: locked
      ObjectLockEnabled: true
      BucketEncryption: { ServerSideEncryptionConfiguration: [{ BucketKeyEnabled: true, ServerSideEncryptionByDefault: { SSEAlgorithm: aws:kms, KMSMasterKeyID: a-key } }] }
  LockedPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Locked
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - { Effect: Deny, Principal: "*", Action: "s3:*", Resource: "*", Condition: { Bool: { "aws:SecureTransport": "false" } } }
          - { Effect: Deny, Principal: "*", Action: s3:PutObject, Resource: "arn:aws:s3:::locked/once/*", Condition: { "Null": { "s3:if-none-match": "true" } } }
  Writer:
    Type: AWS::IAM::Role
    Properties:
      RoleName: writer
      AssumeRolePolicyDocument: { Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: { AWS: "arn:aws:iam::123456789012:root" }, Action: sts:AssumeRole }] }
      Policies:
        - PolicyName: own
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - { Effect: Allow, Action: s3:PutObject, Resource: "arn:aws:s3:::locked/once/*" }
              - { Effect: Allow, Action: s3:ListBucketVersions, Resource: "arn:aws:s3:::locked", Condition: { StringLike: { "s3:prefix": "once/*" } } }
              - { Effect: Allow, Action: "s3:*", Resource: "arn:aws:s3:::plain/things/${credentials-iot:ThingName}/*" }
  Deleter:
    Type: AWS::IAM::Role
    Properties:
      RoleName: deleter
      AssumeRolePolicyDocument: { Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: { AWS: "arn:aws:iam::123456789012:root" }, Action: sts:AssumeRole }] }
      Policies:
        - PolicyName: delete
          PolicyDocument: { Version: "2012-10-17", Statement: [{ Effect: Allow, Action: s3:DeleteObjectVersion, Resource: "arn:aws:s3:::locked/*" }] }
  Closed:
    Type: AWS::IAM::Role
    Properties:
      RoleName: closed
      AssumeRolePolicyDocument: { Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: { Service: credentials.iot.amazonaws.com }, Action: sts:AssumeRole }] }
"#;

pub struct Endpoint {
    pub url: String,
    pub keys: Keys,
    pub resources: Resources,
    now: Arc<Mutex<DateTime<Utc>>>,
    dir: TempDir,
    _server: JoinSet<()>,
}

impl Endpoint {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// Goes on with the same state in a new process, so to say.
    pub async fn restart(self) -> Self {
        let Self { dir, _server: mut server, .. } = self;
        server.shutdown().await;
        Self::start_in(dir).await
    }

    async fn start_in(dir: TempDir) -> Self {
        // Only the first test of the process gets to install it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pseudo = Pseudo { account_id: ACCOUNT.to_owned(), region: "ap-northeast-1".to_owned() };
        let resources = Template::load(TEMPLATE, &BTreeMap::new(), &pseudo).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the SDK signs by the real time")]
        let now = Arc::new(Mutex::new(Utc::now()));
        let clock = {
            let now = now.clone();
            Arc::new(move || *now.lock())
        };
        let keys = Keys::open(dir.path(), ACCOUNT, clock()).unwrap();
        keys.add_long_lived("AKIDADMIN", "admin-secret", Principal::administrator(ACCOUNT));
        for role in &resources.roles {
            keys.add_role(role_ref(role));
        }
        let s3 =
            s3::service(&dir.path().join("s3"), keys.clone(), &resources.buckets, clock.clone()).unwrap();
        let sts = Sts::new(keys.clone(), resources.roles.clone(), "ap-northeast-1");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(dispatch).with_state((s3, Arc::new(sts), clock as s3::Now));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, keys, resources, now, dir, _server: server }
    }

    pub fn advance(&self, by: chrono::Duration) {
        *self.now.lock() += by;
    }

    pub fn now(&self) -> DateTime<Utc> {
        *self.now.lock()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn admin() -> Credentials {
        Credentials::new("AKIDADMIN", "admin-secret", None, None, "test")
    }

    /// A session of a role of the template, with what a credentials provider would know of it.
    pub fn session(&self, role: &str, context: &[(&str, &str)], duration: chrono::Duration) -> Credentials {
        let role = role_ref(self.resources.role(role).unwrap());
        let context = context.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let issued = self.keys.issue(&role, "test", duration, context, self.now()).unwrap();
        Credentials::new(
            issued.access_key_id,
            issued.secret_access_key,
            Some(issued.session_token),
            None,
            "test",
        )
    }

    pub fn sdk(&self, credentials: Credentials) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("ap-northeast-1"))
            .endpoint_url(&self.url)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .http_client(
                Builder::new()
                    .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
                    .build_https(),
            )
            .build()
    }

    pub fn s3(&self, credentials: Credentials) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.sdk(credentials))
    }

    pub fn sts(&self, credentials: Credentials) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.sdk(credentials))
    }
}

fn role_ref(role: &local_cloud::template::Role) -> RoleRef {
    let policies = role.policies.iter().map(|policy| Document::from_value(policy).unwrap()).collect();
    RoleRef { arn: role.arn.clone(), name: role.name.clone(), policies }
}

async fn dispatch(
    State((s3, sts, now)): State<(S3Service, Arc<Sts>, s3::Now)>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if sigv4::scope_service(&parts).as_deref() == Some("sts") {
        let body = axum::body::to_bytes(body, 100_000).await.unwrap();
        return sts.call(&parts, &body, now()).map(Body::from);
    }
    let request = axum::http::Request::from_parts(parts, s3s::Body::http_body_unsync(body));
    s3.call(request).await.unwrap().map(Body::new)
}
