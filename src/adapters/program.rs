//! A program of the administrator's, which gets a text on standard input.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::adapters::system;
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

/// Runs a program with its arguments, and gives it `text`. Whoever stops waiting kills it, and what it
/// started.
///
/// # Errors
/// Fails unless it ends with success, with the last of what it said.
pub async fn run(words: &[String], environment: &[(&str, &str)], text: &str) -> Result<()> {
    let [program, arguments @ ..] = words else { bail!("no program is named") };
    require_trusted(program.as_ref())?;
    let mut command = tokio::process::Command::from(system::program(program.as_ref()));
    if system::became().is_none() {
        // Where root has become another account, it has a session of its own, and so a group.
        command.process_group(0);
    }
    let mut child = command
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut group = Group(child.id());
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
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
    Ok(())
}

/// Refuses a program that somebody else could exchange, where it would run as root.
fn require_trusted(program: &Path) -> Result<()> {
    if !system::is_root() || !program.is_absolute() {
        return Ok(());
    }
    let program = fs::canonicalize(program).with_context(|| format!("cannot run {}", program.display()))?;
    for path in program.ancestors() {
        if let Some(why) = system::changed_by(path, path != program)? {
            bail!("root does not run {}: {} {why}", program.display(), path.display());
        }
    }
    Ok(())
}

/// The same, within a time.
///
/// # Errors
/// Also fails if it takes longer.
pub async fn run_within(
    deadline: Duration,
    words: &[String],
    environment: &[(&str, &str)],
    text: &str,
) -> Result<()> {
    if let Ok(ran) = tokio::time::timeout(deadline, run(words, environment, text)).await {
        return ran;
    }
    let program = words.first().map_or("it", String::as_str);
    bail!("{program} did not end within {} s", deadline.as_secs())
}
