//! What everything stands on, crashing and starting again with the state that it had.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    cloud::start_cloud,
    testbed::{Testbed, wait_until_ready},
};

impl Testbed {
    pub async fn kill_api(&mut self) -> Result<()> {
        self.api_process.take().context("the fleet API does not run")?.kill().await
    }

    pub async fn start_api(&mut self) -> Result<()> {
        let process = self.api_program.clone().arg("serve").start(&self.folder.join("log"))?;
        wait_until_ready(self.api_process.insert(process), &self.api).await
    }

    /// Starts the fleet API anew with some of its settings changed, from now on.
    pub async fn restart_api_with(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        self.kill_api().await?;
        for (name, value) in settings {
            self.api_program = self.api_program.clone().env(name, value);
        }
        self.start_api().await
    }

    pub async fn kill_cloud(&mut self) -> Result<()> {
        self.cloud_process.take().context("the local cloud does not run")?.kill().await
    }

    pub async fn start_cloud(&mut self) -> Result<()> {
        let (process, _) = start_cloud(&self.folder, &self.cloud_program).await?;
        self.cloud_process = Some(process);
        Ok(())
    }

    /// See [`crate::postgres::Postgres::crash`].
    pub async fn crash_postgres(&mut self) -> Result<()> {
        self.postgres.crash().await
    }

    pub async fn start_postgres(&mut self) -> Result<()> {
        self.postgres.start_again().await
    }

    /// What the database holds now, in a file.
    pub async fn back_up(&self, file: &Path) -> Result<()> {
        self.postgres.back_up(file).await
    }

    /// Puts the database back to a backup; the API must not run.
    pub async fn restore(&mut self, file: &Path) -> Result<()> {
        anyhow::ensure!(self.api_process.is_none(), "the fleet API still runs");
        self.postgres.restore(file).await
    }
}
