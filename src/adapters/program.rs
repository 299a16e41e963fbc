//! A program of the administrator's, which gets a text on standard input.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::adapters::system;
use crate::domain::words::one_line;

/// So much of what a failed program says is kept, in bytes.
const SAYS_AT_MOST: usize = 2000;

/// How long the last words of a program that has ended may take.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// So much of an answer is read, bytes.
const ANSWER_AT_MOST: u64 = 64 << 10;

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
    let mut command = prepared(words, environment)?;
    let child = command.stdout(Stdio::null()).spawn().with_context(|| cannot_run(words))?;
    let group = Group(child.id());
    talk(child, Some(group), words, text).await.map(|_| ())
}

/// The same, and returns what it answers on its standard output.
///
/// # Errors
/// As [`run`].
pub async fn ask(words: &[String], environment: &[(&str, &str)], text: &str) -> Result<String> {
    let mut command = prepared(words, environment)?;
    let child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_run(words))?;
    let group = Group(child.id());
    talk(child, Some(group), words, text).await
}

/// A program that continues if pmp-ha stops waiting, because its work happens elsewhere.
pub struct Elsewhere {
    child: Child,
    words: Vec<String>,
}

impl Elsewhere {
    /// Starts it, with further arguments.
    ///
    /// # Errors
    /// Fails if it cannot be run.
    pub fn begin(words: &[String], further: &[&str]) -> Result<Self> {
        let mut command = prepared(words, &[])?;
        command.args(further).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(false);
        let child = command.spawn().with_context(|| cannot_run(words))?;
        Ok(Self { child, words: words.to_vec() })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn ends(self) -> Result<()> {
        talk(self.child, None, &self.words, "").await.map(|_| ())
    }
}

fn cannot_run(words: &[String]) -> String {
    format!("{} cannot be run", name(words))
}

fn name(words: &[String]) -> &str {
    words.first().map_or("it", String::as_str)
}

fn prepared(words: &[String], environment: &[(&str, &str)]) -> Result<Command> {
    let [program, arguments @ ..] = words else { bail!("no program is named") };
    require_trusted(words)?;
    let mut command = Command::from(system::program(program.as_ref()));
    if system::became().is_none() {
        // Where root has become another account, it has a session of its own, and so a group.
        command.process_group(0);
    }
    command
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Gives a program its text, reads what it says without keeping more than a bound, and waits for its end.
async fn talk(mut child: Child, mut group: Option<Group>, words: &[String], text: &str) -> Result<String> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let gives = async {
        if let Some(mut stdin) = stdin {
            // ignored: a program need not read what it is given
            let _ = stdin.write_all(text.as_bytes()).await;
        }
    };
    let (mut answer, mut said) = (Vec::new(), Vec::new());
    let reads = async { tokio::join!(beginning(stdout, &mut answer), end(stderr, &mut said)) };
    let ends = async { tokio::join!(child.wait(), gives).0 };
    let status = {
        tokio::pin!(reads, ends);
        tokio::select! {
            status = &mut ends => {
                // Something that it left running may hold its outputs open.
                let _ = tokio::time::timeout(LAST_WORDS, &mut reads).await;
                status?
            }
            _ = &mut reads => ends.await?,
        }
    };
    // It has ended by itself: what it left running on purpose goes on.
    if let Some(group) = &mut group {
        group.0 = None;
    }
    if !status.success() {
        bail!("{} ended with {status}: {}", name(words), one_line(&String::from_utf8_lossy(&said)));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Reads all of an output, and keeps its beginning.
async fn beginning(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    if let Some(mut output) = output {
        // ignored, here and below: what cannot be read was not said
        let _ = (&mut output).take(ANSWER_AT_MOST).read_to_end(kept).await;
        let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    }
}

/// Reads all of an output, and keeps its end: what is wrong is said last.
async fn end(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    if let Some(mut output) = output {
        let mut part = [0; SAYS_AT_MOST];
        while let Ok(size @ 1..) = output.read(&mut part).await {
            kept.extend_from_slice(&part[..size]);
            kept.drain(..kept.len().saturating_sub(SAYS_AT_MOST));
        }
    }
}

/// Refuses a program that somebody else could exchange, where it would run as root. A file that is named to
/// it counts, too: it may be what it runs.
fn require_trusted(words: &[String]) -> Result<()> {
    if !system::is_root() {
        return Ok(());
    }
    let program = name(words);
    let itself = if program.contains('/') { Some(program.into()) } else { system::found_in_path(program) };
    let itself = itself.map(|path| (path, String::new()));
    let named = words.iter().skip(1).map(|word| (PathBuf::from(word), format!(" with {word}")));
    for (file, with) in itself.into_iter().chain(named.filter(|(path, _)| path.is_file())) {
        let file = fs::canonicalize(&file).with_context(|| cannot_run(words))?;
        for path in file.ancestors() {
            if let Some(why) = system::changed_by(path, path != file)? {
                bail!("root does not run {program}{with}: {} {why}", path.display());
            }
        }
    }
    Ok(())
}

/// Runs it within a time.
///
/// # Errors
/// Also fails if it takes longer.
pub async fn run_within(
    deadline: Duration,
    words: &[String],
    environment: &[(&str, &str)],
    text: &str,
) -> Result<()> {
    within(deadline, words, run(words, environment, text)).await
}

/// Runs it with a time limit.
///
/// # Errors
/// Also fails if it takes longer.
pub async fn ask_within(
    deadline: Duration,
    words: &[String],
    environment: &[(&str, &str)],
    text: &str,
) -> Result<String> {
    within(deadline, words, ask(words, environment, text)).await
}

async fn within<T>(deadline: Duration, words: &[String], runs: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(deadline, runs).await {
        Ok(ran) => ran,
        Err(_) => bail!("{} did not end within {} s", name(words), deadline.as_secs()),
    }
}
