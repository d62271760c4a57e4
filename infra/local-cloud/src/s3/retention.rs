//! Object Lock: retention and legal hold.

use chrono::{DateTime, Utc};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DefaultRetention, GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput,
        GetObjectRetentionInput, GetObjectRetentionOutput, ObjectLockConfiguration, ObjectLockEnabled,
        ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRule,
        PutObjectRetentionInput, PutObjectRetentionOutput, Timestamp,
    },
    s3_error,
};

use super::{
    index,
    meta::{Meta, Retention, date, timestamp},
    store::Store,
};
use crate::template::Bucket;

/// What a put asks to be locked.
pub struct Lock {
    pub retention: Option<Retention>,
    pub legal_hold: bool,
}

pub fn of_put(
    bucket: &Bucket,
    mode: Option<ObjectLockMode>,
    until: Option<&Timestamp>,
    legal_hold: Option<&ObjectLockLegalHoldStatus>,
    now: DateTime<Utc>,
) -> S3Result<Lock> {
    let retention = retention(mode.map(|mode| mode.as_str().to_owned()), until, now)?;
    let legal_hold = legal_hold.is_some_and(|status| status.as_str() == ObjectLockLegalHoldStatus::ON);
    if (retention.is_some() || legal_hold) && !bucket.object_lock {
        return Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
    }
    Ok(Lock { retention, legal_hold })
}

pub fn legal_hold(meta: &Meta) -> Option<ObjectLockLegalHoldStatus> {
    meta.legal_hold.then(|| ObjectLockLegalHoldStatus::from_static(ObjectLockLegalHoldStatus::ON))
}

fn retention(
    mode: Option<String>,
    until: Option<&Timestamp>,
    now: DateTime<Utc>,
) -> S3Result<Option<Retention>> {
    match (mode, until.and_then(date)) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) if ["GOVERNANCE", "COMPLIANCE"].contains(&mode.as_str()) => {
            if until <= now {
                return Err(s3_error!(InvalidArgument, "The retain until date must be in the future!"));
            }
            Ok(Some(Retention { mode, until }))
        }
        (Some(_), Some(_)) => Err(s3_error!(InvalidArgument, "Unknown wormMode directive.")),
        _ => Err(s3_error!(
            InvalidArgument,
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        )),
    }
}

/// A retention may grow; while it holds it may shrink only in the GOVERNANCE mode, by who may bypass it.
fn may_follow(old: Option<&Retention>, new: Option<&Retention>, now: DateTime<Utc>, bypass: bool) -> bool {
    let Some(old) = old.filter(|old| old.until > now) else { return true };
    let governed = old.mode == "GOVERNANCE";
    let grows = new.is_some_and(|new| new.until >= old.until && (new.mode == old.mode || governed));
    grows || (governed && bypass)
}

impl Store {
    pub async fn retention_of(
        &self,
        request: S3Request<GetObjectRetentionInput>,
    ) -> S3Result<S3Response<GetObjectRetentionOutput>> {
        let input = request.input;
        self.lockable(&input.bucket)?;
        let version = self
            .blocking(move |store| {
                let (bucket, key, version_id) = (&input.bucket, &input.key, input.version_id.as_deref());
                store.index().read(|db| index::find(db, bucket, key, version_id))
            })
            .await?;
        let kept = version.object.and_then(|object| object.meta.retention).ok_or_else(|| {
            s3_error!(
                NoSuchObjectLockConfiguration,
                "The specified object does not have a ObjectLock configuration"
            )
        })?;
        Ok(S3Response::new(GetObjectRetentionOutput {
            retention: Some(ObjectLockRetention {
                mode: Some(kept.mode.into()),
                retain_until_date: Some(timestamp(kept.until)),
            }),
        }))
    }

    pub async fn retain(
        &self,
        request: S3Request<PutObjectRetentionInput>,
    ) -> S3Result<S3Response<PutObjectRetentionOutput>> {
        let input = request.input;
        self.lockable(&input.bucket)?;
        let bypass = input.bypass_governance_retention.unwrap_or(false);
        let asked = input.retention.unwrap_or_default();
        let new = retention(
            asked.mode.map(|mode| mode.as_str().to_owned()),
            asked.retain_until_date.as_ref(),
            self.now(),
        )?;
        self.blocking(move |store| {
            let (bucket, key, version_id) = (&input.bucket, &input.key, input.version_id.as_deref());
            store.index().write(|db| {
                index::change_meta(db, bucket, key, version_id, |meta| {
                    if !may_follow(meta.retention.as_ref(), new.as_ref(), store.now(), bypass) {
                        return Err(s3_error!(
                            AccessDenied,
                            "Access Denied because object protected by object lock."
                        ));
                    }
                    meta.retention = new;
                    Ok(())
                })
            })
        })
        .await?;
        Ok(S3Response::new(PutObjectRetentionOutput::default()))
    }

    pub fn lock_configuration(
        &self,
        request: &S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        let bucket = self.bucket(&request.input.bucket)?;
        if !bucket.object_lock {
            return Err(s3_error!(
                ObjectLockConfigurationNotFoundError,
                "Object Lock configuration does not exist for this bucket"
            ));
        }
        let rule = bucket.retention.clone().map(|(mode, days)| ObjectLockRule {
            default_retention: Some(DefaultRetention {
                days: i32::try_from(days).ok(),
                mode: Some(mode.into()),
                years: None,
            }),
        });
        Ok(S3Response::new(GetObjectLockConfigurationOutput {
            object_lock_configuration: Some(ObjectLockConfiguration {
                object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
                rule,
            }),
        }))
    }

    fn lockable(&self, bucket: &str) -> S3Result<()> {
        if self.bucket(bucket)?.object_lock {
            return Ok(());
        }
        Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"))
    }
}
