//! The fleet at a glance, for a dashboard.

use chrono::TimeDelta;

use crate::{error::ApiError, fleet::Fleet, store::stats};

pub struct Stats {
    pub boxes: stats::Boxes,
    pub alarms: Vec<stats::Count>,
    pub versions: Vec<stats::Count>,
    pub changes: Vec<stats::Count>,
    pub uploads: stats::Uploads,
}

impl Fleet {
    #[tracing::instrument(name = "fleet.stats", skip_all)]
    pub async fn stats(&self) -> Result<Stats, ApiError> {
        let now = self.clock().now();
        let (hour_ago, day_ago) = (now - TimeDelta::hours(1), now - TimeDelta::days(1));
        let mut db = self.db().acquire().await?;
        Ok(Stats {
            boxes: stats::boxes(&mut db, now).await?,
            alarms: stats::alarms(&mut db).await?,
            versions: stats::versions(&mut db).await?,
            changes: stats::changes(&mut db, day_ago).await?,
            uploads: stats::uploads(&mut db, hour_ago, day_ago).await?,
        })
    }
}
