//! Runs commands on the other machine with the system's `ssh`, and knows no password.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::domain::remote::{SshTarget, shell_line};
use crate::failure::{Failure, Kind};
use crate::ui::Progress;

/// The program.
const SSH: &str = "ssh";

/// So much of an answer is kept, in bytes.
const ANSWER_AT_MOST: usize = 4 << 20;

/// A line that is longer is said in parts.
const LINE_AT_MOST: usize = 64 << 10;

/// So many bytes are read of an output at a time.
const PART: usize = 4 << 10;

/// So many bytes are read of a file at a time.
const CHUNK: usize = 256 << 10;

/// The exit codes of `ssh` itself, and of a shell that finds no such program.
const NO_CONNECTION: i32 = 255;
const NO_PROGRAM: i32 = 127;

/// How the other machine is reached.
#[derive(Debug, Clone)]
pub struct Remote {
    target: SshTarget,
    config: Option<PathBuf>,
    /// Whether somebody can type a password.
    asks: bool,
}

/// What a command there left.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to its standard output, unless somebody listened to its lines.
    pub stdout: String,
    /// The last line of its standard error.
    pub last: String,
}

/// Which of its outputs a line stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Data,
    Talk,
}

impl Remote {
    /// The machine that `ssh` calls `target`. With `asks`, it may ask for a password on the terminal.
    #[must_use]
    pub fn new(target: SshTarget, config: Option<PathBuf>, asks: bool) -> Self {
        // Where root has become another account, ssh has no terminal.
        Self { target, config, asks: asks && system::became().is_none() }
    }

    /// Its name.
    #[must_use]
    pub fn target(&self) -> &SshTarget {
        &self.target
    }

    fn words(&self, line: &str) -> Vec<String> {
        let mut words = vec![SSH.to_owned()];
        if let Some(config) = &self.config {
            words.extend(["-F".to_owned(), config.display().to_string()]);
        }
        if !self.asks {
            words.extend(["-o".to_owned(), "BatchMode=yes".to_owned()]);
        }
        words.extend([self.target.to_string(), line.to_owned()]);
        words
    }

    /// The command line that runs `words` there, as somebody would type it.
    #[must_use]
    pub fn shown(&self, words: &[String]) -> String {
        let line = shell_line(words.iter().map(String::as_str));
        shell_line(self.words(&line).iter().map(String::as_str))
    }

    /// Runs a command there, and returns what it answers.
    ///
    /// # Errors
    /// Fails if the machine cannot be reached, or has no such program.
    pub async fn ask(&self, words: &[String], interrupt: &Interrupt) -> Result<Ended> {
        until(interrupt, Box::pin(self.run(words, None, |_, _| false))).await
    }

    /// Runs a command there, and tells each of its lines.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn follow(
        &self,
        words: &[String],
        interrupt: &Interrupt,
        mut line: impl FnMut(&str),
    ) -> Result<Ended> {
        let hears = |_, text: &str| {
            line(text);
            true
        };
        until(interrupt, Box::pin(self.run(words, None, hears))).await
    }

    /// Runs a command there that reads a file of this machine on its standard input.
    ///
    /// # Errors
    /// As [`Self::ask`]. A file that cannot be read to its end fails.
    pub async fn send(
        &self,
        words: &[String],
        file: &Path,
        progress: Progress,
        interrupt: &Interrupt,
    ) -> Result<Ended> {
        let file = system::open_regular(file)?;
        until(interrupt, Box::pin(self.run(words, Some((Box::new(file), progress)), |_, _| false))).await
    }

    async fn run(
        &self,
        words: &[String],
        input: Option<(Box<dyn Read + Send>, Progress)>,
        mut hears: impl FnMut(Output, &str) -> bool,
    ) -> Result<Ended> {
        let line = shell_line(words.iter().map(String::as_str));
        let all = self.words(&line);
        let mut command = Command::from(system::program(Path::new(SSH)));
        command.args(&all[1..]).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(|error| {
            Failure::new(Kind::Refused, "cannot reach the other machine")
                .code("no-ssh")
                .because(format!("the program {SSH} cannot be run: {error}"))
                .hint("Install OpenSSH's client, or omit --peer and set up each node separately.")
        })?;
        let gives = give(child.stdin.take(), input);
        let (mut stdout, mut last) = (String::new(), String::new());
        let listens = listen(&mut child, |output, text| {
            let is_heard = hears(output, text);
            match output {
                Output::Data if !is_heard && stdout.len() < ANSWER_AT_MOST => {
                    stdout.push_str(text);
                    stdout.push('\n');
                }
                Output::Talk if !text.trim().is_empty() => text.clone_into(&mut last),
                Output::Data | Output::Talk => {}
            }
        });
        let (sent, listened) = tokio::join!(gives, listens);
        listened?;
        let code = child.wait().await?.code().unwrap_or(NO_CONNECTION);
        self.reached(code, &last, words)?;
        // A command that has ended well need not have read all of it.
        if code == 0 {
            return Ok(Ended { code, stdout, last });
        }
        if let Err(error) = sent {
            bail!(error.context(format!("cannot send the file to {}: {last}", self.target)));
        }
        Ok(Ended { code, stdout, last })
    }

    fn reached(&self, code: i32, last: &str, words: &[String]) -> Result<()> {
        let target = &self.target;
        let program = words.first().map_or("pmp-ha", String::as_str);
        match code {
            NO_CONNECTION => bail!(
                Failure::new(Kind::Refused, format!("cannot reach {target} with ssh"))
                    .code("no-ssh")
                    .because(if last.is_empty() {
                        "ssh ended without a message".to_owned()
                    } else {
                        last.to_owned()
                    })
                    .hint(format!(
                        "Make `{}` work first. Without a terminal, it must work without a password.",
                        self.shown(&["true".to_owned()])
                    ))
            ),
            NO_PROGRAM => bail!(
                Failure::new(Kind::Refused, format!("cannot run {program} on {target}"))
                    .code("no-ssh")
                    .because(if last.is_empty() {
                        "its shell does not find this program".to_owned()
                    } else {
                        last.to_owned()
                    })
                    .hint("Install pmp-ha on that machine, or name its path there with --peer-program.")
            ),
            _ => Ok(()),
        }
    }
}

/// Ctrl-C reaches ssh as well: what it says then is not what happened.
async fn until<T>(interrupt: &Interrupt, work: impl Future<Output = Result<T>>) -> Result<T> {
    let ended = interrupt.or(work).await;
    interrupt.check()?;
    ended
}

/// Writes a file into a program, until it has all of it or reads no more.
async fn give(stdin: Option<ChildStdin>, input: Option<(Box<dyn Read + Send>, Progress)>) -> Result<()> {
    let (Some(mut stdin), Some((mut file, progress))) = (stdin, input) else { return Ok(()) };
    let (parts, mut coming) = mpsc::channel::<std::io::Result<Vec<u8>>>(4);
    let reads = tokio::task::spawn_blocking(move || {
        loop {
            let mut part = vec![0; CHUNK];
            let part = match file.read(&mut part) {
                Ok(0) => break,
                Ok(size) => {
                    part.truncate(size);
                    Ok(part)
                }
                Err(error) => Err(error),
            };
            let is_bad = part.is_err();
            if parts.blocking_send(part).is_err() || is_bad {
                break;
            }
        }
    });
    while let Some(part) = coming.recv().await {
        let part = part?;
        stdin.write_all(&part).await?;
        progress.add(part.len() as u64);
    }
    stdin.shutdown().await?;
    reads.await.context("cannot read the file")
}

/// Reads both outputs of a program to their ends, line by line.
async fn listen(child: &mut Child, mut line: impl FnMut(Output, &str)) -> Result<()> {
    let (mut stdout, mut stderr) =
        (OutputLines::of(child.stdout.take()), OutputLines::of(child.stderr.take()));
    while stdout.is_open() || stderr.is_open() {
        tokio::select! {
            more = stdout.more(), if stdout.is_open() => more?,
            more = stderr.more(), if stderr.is_open() => more?,
        }
        stdout.take(|text| line(Output::Data, text));
        stderr.take(|text| line(Output::Talk, text));
    }
    Ok(())
}

/// An output, and what has come of a line.
struct OutputLines<R> {
    output: Option<R>,
    rest: Vec<u8>,
}

impl<R: AsyncRead + Unpin> OutputLines<R> {
    fn of(output: Option<R>) -> Self {
        Self { output, rest: Vec::new() }
    }

    fn is_open(&self) -> bool {
        self.output.is_some()
    }

    async fn more(&mut self) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let mut part = vec![0; PART];
        let size = output.read(&mut part).await?;
        self.rest.extend_from_slice(&part[..size]);
        if size == 0 {
            self.output = None;
        }
        Ok(())
    }

    /// Hands out the whole lines, and at the end what is left.
    fn take(&mut self, mut line: impl FnMut(&str)) {
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let (size, skipped) = match end {
                Some(end) => (end, 1),
                None if self.rest.len() > LINE_AT_MOST => (self.rest.len(), 0),
                None if !self.is_open() && !self.rest.is_empty() => (self.rest.len(), 0),
                None => return,
            };
            let text: Vec<u8> = self.rest.drain(..size + skipped).take(size).collect();
            line(String::from_utf8_lossy(&text).trim_end_matches('\r'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_taken_apart_and_the_last_one_needs_no_end() {
        let text: &[u8] = b"one\r\ntwo\n\nthe last";
        let (mut lines, mut seen) = (OutputLines::of(Some(text)), Vec::new());
        while lines.is_open() {
            lines.more().await.expect("read");
            lines.take(|line| seen.push(line.to_owned()));
        }
        assert_eq!(seen, ["one", "two", "", "the last"]);
    }

    #[test]
    fn what_is_shown_is_what_is_run() {
        let remote = |config: Option<&str>, asks| {
            Remote::new("pmp@pmp-b".parse().expect("a target"), config.map(Into::into), asks)
        };
        let words = ["pmp-ha", "--home", "/opt/My PMP", "setup"].map(str::to_owned);
        assert_eq!(
            remote(None, true).shown(&words),
            r"ssh pmp@pmp-b 'pmp-ha --home '\''/opt/My PMP'\'' setup'"
        );
        assert_eq!(
            remote(Some("/etc/ssh.conf"), false).shown(&["true".to_owned()]),
            "ssh -F /etc/ssh.conf -o BatchMode=yes pmp@pmp-b true"
        );
    }
}
