//! The SDK's clients, all on one HTTP stack: rustls with ring.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::{Builder, tls};

/// Credentials, region and endpoint come from the SDK's own default chain.
pub async fn load() -> SdkConfig {
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(provider).build_https())
        .load()
        .await
}

/// Control calls: short answers, quickly or not at all.
fn brisk() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(12))
        .build()
}

pub fn shadows(config: &SdkConfig) -> aws_sdk_iotdataplane::Client {
    let builder = aws_sdk_iotdataplane::config::Builder::from(config).timeout_config(brisk());
    aws_sdk_iotdataplane::Client::from_conf(builder.build())
}

pub fn things(config: &SdkConfig) -> aws_sdk_iot::Client {
    let builder = aws_sdk_iot::config::Builder::from(config).timeout_config(brisk());
    aws_sdk_iot::Client::from_conf(builder.build())
}

/// A body comes as fast as a cellular line brings it, and cannot be sent twice: no operation
/// time-out, no stalled-stream check and no retry here; the upload route keeps the time.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let builder = s3_builder(config)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).build());
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// S3 for what is small: checkpoints of the audit log, lists, metadata.
pub fn s3_brisk(config: &SdkConfig) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(s3_builder(config).timeout_config(brisk()).build())
}

/// Checksums are ours to give; a local S3 has no name of its own for each bucket.
fn s3_builder(config: &SdkConfig) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::from(config)
        .force_path_style(config.endpoint_url().is_some())
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(aws_sdk_s3::config::ResponseChecksumValidation::WhenRequired)
}
