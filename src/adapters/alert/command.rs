//! A program of the administrator's, which gets the event on standard input.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::channel::CommandConfig;
use crate::domain::alarm::AlarmEvent;
use crate::domain::alarm::event::one_line;

/// So much of what a failed program says is kept, in bytes.
const SAYS_AT_MOST: u64 = 2000;

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
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let text = format!("{:#}\n", event.json());
        let says = async {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                // ignored: what it said is only evidence
                let _ = (&mut stderr).take(SAYS_AT_MOST).read_to_end(&mut said).await;
                let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            }
            said
        };
        let gives = async {
            if let Some(mut stdin) = stdin {
                // ignored: a program need not read what it is given
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let (status, said, ()) = tokio::join!(child.wait(), says, gives);
        let status = status?;
        if !status.success() {
            bail!("{program} ended with {status}: {}", one_line(&String::from_utf8_lossy(&said)));
        }
        Ok(format!("{program} ended with success"))
    }
}
