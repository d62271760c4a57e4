//! The other judge: one Python process, a draft a line.

use std::{
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use device_model::lan::LanDraft;
use serde_json::json;

use crate::Rules;

/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_mins(1);

type Answer = Vec<(String, String)>;

/// Hands each draft over with what Python found in it.
pub fn judge<'a>(
    asked: impl Iterator<Item = (LanDraft, &'a Rules)> + Clone + Send,
    mut each: impl FnMut(Answer, &LanDraft, &Rules),
) {
    // The tests' own environment; the module that is asked belongs to every Python.
    let python = std::env::var_os("RECEHUB_FOREIGN_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lan_oracle/judge.py");
    let mut child = Command::new(python)
        .arg("-I")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python 3 is needed");
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (answers, answered) = mpsc::channel();
    thread::scope(|scope| {
        let lines = asked.clone();
        scope.spawn(move || {
            let mut input = BufWriter::new(input);
            for (draft, rules) in lines {
                // Who hears no more has failed, and says so.
                if writeln!(input, "{}", json!({"draft": draft, "reserved": rules.reserved})).is_err() {
                    return;
                }
            }
        });
        scope.spawn(move || {
            for line in BufReader::new(output).lines() {
                if answers.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let end = Ended(child);
        for (draft, rules) in asked {
            let line = answered.recv_timeout(PATIENCE).expect("Python does not answer");
            each(serde_json::from_str(&line).unwrap(), &draft, rules);
        }
        drop(end);
    });
}

/// Ends the process whatever becomes of the test, so that nobody waits for its pipes.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
