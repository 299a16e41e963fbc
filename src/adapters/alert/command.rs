//! A program of the administrator's, which gets the event on standard input.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::adapters::system;
use crate::config::channel::CommandConfig;
use crate::domain::alarm::AlarmEvent;
use crate::domain::alarm::event::one_line;

/// So much of what a failed program says is kept, in bytes.
const SAYS_AT_MOST: u64 = 2000;

/// How long the last words of a program that has ended may take.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The processes of a program, which are killed when this goes.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            system::kill_group(group);
        }
    }
}

/// The program with its arguments.
pub struct Program(Vec<String>);

impl Program {
    pub fn of(config: &CommandConfig) -> Self {
        Self(config.command.clone())
    }

    /// Runs it. Whoever stops waiting kills it.
    pub async fn run(&self, event: &AlarmEvent) -> Result<String> {
        let [program, arguments @ ..] = self.0.as_slice() else { bail!("no program is named") };
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .env("PMP_HA_EVENT", event.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        // Whoever stops waiting for it kills what it started as well.
        let mut group = Group(child.id());
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let text = format!("{:#}\n", event.json());
        let gives = async {
            if let Some(mut stdin) = stdin {
                // ignored: a program need not read what it is given
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let mut said = Vec::new();
        let reads = async {
            if let Some(mut stderr) = stderr {
                // ignored, here and below: what it said is only evidence
                let _ = (&mut stderr).take(SAYS_AT_MOST).read_to_end(&mut said).await;
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            }
        };
        let ends = async { tokio::join!(child.wait(), gives).0 };
        let status = {
            tokio::pin!(reads, ends);
            tokio::select! {
                status = &mut ends => {
                    // Something that it left running may hold its stderr open.
                    let _ = tokio::time::timeout(LAST_WORDS, &mut reads).await;
                    status?
                }
                () = &mut reads => ends.await?,
            }
        };
        // It has ended by itself: what it left running on purpose goes on.
        group.0 = None;
        if !status.success() {
            bail!("{program} ended with {status}: {}", one_line(&String::from_utf8_lossy(&said)));
        }
        Ok(format!("{program} ended with success"))
    }
}
