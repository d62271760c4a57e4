//! AWS as people see it: the local cloud through the public SDK.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};

use crate::Testbed;

/// S3 with somebody's credentials.
pub fn s3(bed: &Testbed, who: Credentials) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&bed.cloud.endpoint)
        .region(Region::new(bed.cloud.region.clone()))
        .credentials_provider(who)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// S3 as the account's administrator sees it.
pub fn s3_as_admin(bed: &Testbed) -> aws_sdk_s3::Client {
    let key = &bed.secrets.admin_key;
    s3(bed, Credentials::new(&key.id, &key.secret, None, None, "testbed"))
}
