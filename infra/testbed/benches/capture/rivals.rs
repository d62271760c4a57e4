//! What people copy files into S3 with. They copy and no more: no spool, no ledger, no receipt, and
//! nobody tells them of a file but this bench.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result};
use testbed::{Testbed, process::Program};

/// How many copies at once, as many as the agent has under way at most.
const AT_ONCE: usize = 8;

pub struct Rival {
    pub name: &'static str,
    program: Program,
    to: String,
    /// Arguments for a copy of one file, before its source and its target.
    one: &'static [&'static str],
    /// Arguments for a copy of a folder.
    all: Vec<String>,
    /// What a folder's files are called, after its name.
    every: &'static str,
}

impl Rival {
    /// Those whose programs the environment names: `RECEHUB_RCLONE`, `RECEHUB_S5CMD`.
    pub fn all(bed: &Testbed) -> Result<Vec<Self>> {
        let bucket = bed.cloud.output("BucketName")?;
        let (key, endpoint) = (&bed.secrets.admin_key, &bed.cloud.endpoint);
        let mut rivals = Vec::new();
        if let Some(path) = std::env::var_os("RECEHUB_RCLONE") {
            let option = |name: &str| format!("RCLONE_CONFIG_BENCH_{name}");
            let program = Program::new("rclone", path)
                .env("RCLONE_CONFIG", "/dev/null")
                .env(&option("TYPE"), "s3")
                .env(&option("PROVIDER"), "Other")
                .env(&option("ENDPOINT"), endpoint)
                .env(&option("REGION"), &bed.cloud.region)
                .env(&option("ACCESS_KEY_ID"), &key.id)
                .env(&option("SECRET_ACCESS_KEY"), &key.secret)
                .env(&option("NO_CHECK_BUCKET"), "true");
            let all = ["copy", "--transfers", &AT_ONCE.to_string()].map(str::to_owned).to_vec();
            let to = format!("bench:{bucket}/bench/rclone/");
            rivals.push(Self { name: "rclone", program, to, one: &["copyto"], all, every: "" });
        }
        if let Some(path) = std::env::var_os("RECEHUB_S5CMD") {
            let program = Program::new("s5cmd", path)
                .env("S3_ENDPOINT_URL", endpoint)
                .env("AWS_REGION", &bed.cloud.region)
                .env("AWS_ACCESS_KEY_ID", &key.id)
                .env("AWS_SECRET_ACCESS_KEY", &key.secret);
            let all = ["--numworkers", &AT_ONCE.to_string(), "cp"].map(str::to_owned).to_vec();
            let to = format!("s3://{bucket}/bench/s5cmd/");
            rivals.push(Self { name: "s5cmd", program, to, one: &["cp"], all, every: "/*" });
        }
        Ok(rivals)
    }

    pub fn copy_of(&self, file: &Path) -> Result<Program> {
        let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        let program = self.one.iter().fold(self.program.clone(), |program, word| program.arg(*word));
        Ok(program.arg(file.display().to_string()).arg(format!("{}{name}", self.to)))
    }

    /// Copies a folder's files to a place of their own; answers how many a second.
    pub async fn copy_all(&self, folder: &Path, files: usize, round: usize) -> Result<f64> {
        let began = Instant::now();
        let program = self.all.iter().fold(self.program.clone(), Program::arg);
        let from = format!("{}{}", folder.display(), self.every);
        program.arg(from).arg(format!("{}{round}/", self.to)).output().await?;
        Ok(files as f64 / began.elapsed().as_secs_f64())
    }
}
