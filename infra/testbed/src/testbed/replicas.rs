//! More fleet APIs beside the first one.

use anyhow::Result;

use crate::{
    boxes::ApiClient,
    ports::free_port,
    process::{Process, Program},
    testbed::{Testbed, wait_until_ready},
};

/// One more fleet API on the same database and the same AWS. The hints of the cloud's rules go to the
/// first one alone, so it looks for itself every second.
pub struct Replica {
    pub url: String,
    pub process: Process,
}

impl Testbed {
    pub async fn start_replica(&self) -> Result<Replica> {
        self.start_replica_with(self.api_program()).await
    }

    /// Where one stood before.
    pub async fn start_replica_at(&self, url: &str) -> Result<Replica> {
        self.start_replica_as(url, self.api_program()).await
    }

    /// One that is configured otherwise: `program` is [`Self::api_program`] and more.
    pub async fn start_replica_with(&self, program: Program) -> Result<Replica> {
        let port = free_port()?;
        self.start_replica_as(&format!("http://127.0.0.1:{port}"), program).await
    }

    async fn start_replica_as(&self, url: &str, program: Program) -> Result<Replica> {
        let program = program.arg("serve");
        let program = program
            .env("FLEET_API_LISTEN", url.trim_start_matches("http://"))
            .env("RECEHUB_RECONCILE_SECONDS", 1);
        let mut process =
            program.start(&self.folder.join("log").join(url.rsplit(':').next().unwrap_or("replica")))?;
        wait_until_ready(&mut process, &ApiClient::new(url, &self.api_token)?).await?;
        Ok(Replica { url: url.to_owned(), process })
    }
}
