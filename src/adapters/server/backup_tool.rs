//! The server's own backup tool as a process.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::system;
use crate::failure::{Failure, Kind};

/// How many of the tool's last lines are shown when it fails.
const SHOWN: usize = 4;

/// The argument that identifies a tool process that was left behind.
#[must_use]
pub fn target_argument(target: &Path) -> String {
    format!("--target-dir={}", target.display())
}

/// The command that copies the data of the running server of `home`; `work` is for its options.
///
/// The tool runs as the owner of the data: what that account has put there must not make root read for it.
pub fn backup(program: &Path, home: &Home, target: &Path, work: &Path) -> Result<Command> {
    let account = home.credentials()?.admin;
    let options = work.join("backup.cnf");
    // Never on the command line: it would stand in the process list.
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!(
        "[client]\nuser = \"{}\"\npassword = \"{}\"\nsocket = \"{}\"\n",
        quoted(&account.user),
        quoted(&account.password),
        quoted(&home.socket().to_string_lossy())
    );
    let owner = system::owner(&home.data())?;
    system::write_atomic(&options, text.as_bytes(), 0o600, None)?;
    system::show_to(&options, owner)?;
    system::show_to(work, owner)?;
    system::private_dir(target)?;
    system::give_to(target, owner)?;
    let mut command = Command::from(system::program_as(program, owner));
    command
        .arg(format!("--defaults-file={}", options.display()))
        .arg("--backup")
        .arg(target_argument(target))
        .arg(format!("--datadir={}", home.data().display()));
    Ok(command)
}

/// Returns the command that makes a copy consistent, as its owner.
pub fn prepare(program: &Path, target: &Path) -> Result<Command> {
    let mut command = Command::from(system::program_as(program, system::owner(target)?));
    command.arg("--no-defaults").arg("--prepare").arg(target_argument(target));
    Ok(command)
}

/// Runs the tool in `work` to its end.
pub async fn run(mut command: Command, work: &Path, interrupt: &Interrupt) -> Result<()> {
    let words = std::iter::once(command.as_std().get_program()).chain(command.as_std().get_args());
    // One that runs as another account has another program before it.
    let shown = words.take(2).find(|word| *word != system::APART).unwrap_or_default();
    let shown = shown.to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.current_dir(work);
    let mut child = command.spawn().with_context(|| format!("cannot run {shown}"))?;
    let mut lines = BufReader::new(child.stderr.take().context("it has no stderr")?).lines();
    let mut said = Vec::new();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            () = interrupt.wanted() => {
                // Its own end takes back the locks that it holds.
                child.kill().await?;
                bail!(Failure::interrupted());
            }
        };
        let Some(line) = line else { break };
        // A dump of a page holds the product's data, which are nobody's business here.
        if !line.contains("; hex ") {
            said.push(line);
        }
    }
    if child.wait().await?.success() {
        return Ok(());
    }
    let mut last = String::new();
    for line in &said[said.len().saturating_sub(SHOWN)..] {
        write!(last, "{}{line}", if last.is_empty() { "" } else { "; " })?;
    }
    bail!(Failure::new(Kind::Failed, format!("{shown} failed")).because(last))
}
