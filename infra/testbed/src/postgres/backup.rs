//! A backup of the application's database, and the database put back to it.

use std::path::Path;

use anyhow::Result;
use sqlx::{Connection, PgConnection};

use super::{APPLICATION, OWNER, Postgres, SUPERUSER, binaries};
use crate::process::Program;

impl Postgres {
    pub async fn back_up(&self, file: &Path) -> Result<()> {
        let dump = self.tool("pg_dump")?.flag("--format", "custom").flag("--file", file.display());
        dump.output().await.map(drop)
    }

    /// Whatever came since is lost. Nobody may be connected but who can connect again.
    pub async fn restore(&self, file: &Path) -> Result<()> {
        let mut db = PgConnection::connect(&self.superuser_url(SUPERUSER)).await?;
        for statement in [
            format!("drop database {APPLICATION} with (force)"),
            format!("create database {APPLICATION} owner {OWNER}"),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut db).await?;
        }
        db.close().await?;
        self.tool("pg_restore")?
            .arg("--exit-on-error")
            .arg(file.display().to_string())
            .output()
            .await
            .map(drop)
    }

    /// One of Postgres's own programs, on the application's database.
    fn tool(&self, name: &str) -> Result<Program> {
        let path = binaries()?.join(name);
        anyhow::ensure!(path.is_file(), "{} is missing", path.display());
        let program = Program::new(name, path).flag("--host", "127.0.0.1").flag("--port", self.port);
        let program = program.flag("--username", SUPERUSER).flag("--dbname", APPLICATION);
        Ok(program.env("PGPASSWORD", &self.password))
    }
}
