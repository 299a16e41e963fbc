//! Processes: ends them, and starts programs. [`super::process_table`] finds them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::account::{became, program};
use super::private_file;

/// Returns whether a process of this id exists.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    // A zombie has ended, although its parent has not taken note of it yet. While other threads of it are ending,
    // it still holds its files and locks.
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')));
    let ended = zombie && fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() <= 1);
    !ended && i32::try_from(pid).is_ok_and(|pid| !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH)))
}

/// Returns when a process was started, in clock ticks since the machine booted.
///
/// Together with its id, this identifies a process.
#[must_use]
pub fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 22 of proc(5); the name in parentheses may hold spaces, and field 3 comes after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Returns whether a process of this group exists.
#[must_use]
pub fn is_group_alive(group: u32) -> bool {
    i32::try_from(group)
        .is_ok_and(|group| !matches!(nix::sys::signal::killpg(Pid::from_raw(group), None), Err(Errno::ESRCH)))
}

/// Asks a process to end cleanly.
pub fn terminate(pid: u32) -> Result<()> {
    // A holder in another PID namespace has no number here, and 0 would mean our own group.
    if pid == 0 {
        bail!("the process that uses the data runs in another container: stop it there");
    }
    match kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send SIGTERM to process {pid}")),
    }
}

/// Makes a process begin its waits anew: it stops for a moment, and continues.
///
/// A system call that waits is repeated then, and finds what was closed meanwhile. Source: `signal(7)`.
pub fn wait_anew(pid: u32) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(pid)?);
    for signal in [Signal::SIGSTOP, Signal::SIGCONT] {
        match kill(process, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot send {signal} to process {pid}"));
            }
        }
    }
    Ok(())
}

/// Kills every process of a group that this process made.
pub fn kill_group(group: u32) {
    if let Some(group) = i32::try_from(group).ok().filter(|group| *group > 1) {
        // ignored: they have ended already, which is what is wanted
        let _ = nix::sys::signal::killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// Kills a process.
pub fn kill_at_once(pid: u32) -> Result<()> {
    if pid == 0 {
        bail!("the process runs in another container: end it there");
    }
    match kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot end process {pid}")),
    }
}

/// Whether a process executes a program of one of these names.
///
/// If this account may not inspect the process, because it belongs to another account, the answer is
/// yes.
#[must_use]
pub fn runs_program(pid: u32, names: &[&str]) -> bool {
    let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { return true };
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The kernel's word for a program whose file was replaced since; and whoever brings his own libraries
    // runs a program by their loader.
    names.contains(&name.trim_end_matches(" (deleted)")) || name.starts_with("ld-")
}

/// Whether a process has its program, its working folder or an open file below `folder`.
///
/// If this account may not inspect the process, the answer is yes.
#[must_use]
pub fn works_in(pid: u32, folder: &Path) -> bool {
    let below = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(folder));
    let process = Path::new("/proc").join(pid.to_string());
    let Ok(open) = fs::read_dir(process.join("fd")) else { return true };
    ["exe", "cwd"].iter().any(|link| below(&process.join(link)))
        || open.flatten().any(|entry| below(&entry.path()))
}

/// Protects this process: its files are never writable for others, and it leaves no core dump.
///
/// Its memory contains passwords. Programs that it starts may dump as before.
pub fn protect_this_process() -> Result<()> {
    use nix::sys::stat::{Mode, umask};
    let others = Mode::S_IWGRP | Mode::S_IWOTH;
    let before = umask(others);
    umask(before | others);
    nix::sys::prctl::set_dumpable(false).context("cannot keep secrets out of core dumps")
}

/// Calls `act` whenever the operator, or the system, asks this process to stop. Needs a tokio runtime.
pub fn on_stop_signal(act: impl Fn() + Send + Sync + 'static) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let act = std::sync::Arc::new(act);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut stream = signal(kind)?;
        let act = std::sync::Arc::clone(&act);
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                act();
            }
        });
    }
    Ok(())
}

/// The changes of the size of the window.
#[derive(Debug)]
pub struct Resizes(tokio::signal::unix::Signal);

impl Resizes {
    /// Starts to listen. Needs a tokio runtime.
    pub fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::window_change())?))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// The command of a program that Ctrl-C on our terminal does not reach.
fn of_its_own_group(path: &Path) -> Command {
    let mut command = program(path);
    if became().is_none() {
        command.process_group(0);
    }
    // Otherwise it has a session of its own, and is the leader of its group.
    command
}

/// Starts a script with the shell, detached from this terminal, with its output in `log`.
pub fn spawn_script(script: &Path, args: &[String], log: &Path) -> Result<Child> {
    let out = private_file(log)?;
    let err = out.try_clone()?;
    let folder = script.parent().unwrap_or(Path::new("/"));
    of_its_own_group(Path::new("/bin/sh"))
        .arg(script)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::from(out.into_parts().0))
        .stderr(Stdio::from(err.into_parts().0))
        .spawn()
        .with_context(|| format!("cannot run {}", script.display()))
}

/// The name of this machine.
#[must_use]
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".into())
}

/// This program, by the path where its newest version is.
pub fn this_program() -> Result<PathBuf> {
    let running = std::env::current_exe().context("cannot find the path of this program")?;
    Ok(where_it_was_installed(running))
}

/// After an upgrade the kernel calls the program that still runs `PATH (deleted)`. The new one is at PATH, and
/// PATH belongs into a start script: nobody is ever found at the other.
fn where_it_was_installed(running: PathBuf) -> PathBuf {
    let told = running.as_os_str().as_bytes().strip_suffix(b" (deleted)");
    match told.map(|path| PathBuf::from(OsStr::from_bytes(path))) {
        Some(path) if !running.exists() => path,
        _ => running,
    }
}

/// Starts this program again, detached from this terminal. Its stdout can be read.
pub fn spawn_self(args: &[&str]) -> Result<Child> {
    of_its_own_group(&this_program()?)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run this program again")
}

/// Waits for the first line that a child prints.
pub fn first_line_of(child: &mut Child) -> Result<String> {
    let mut line = String::new();
    let stdout = child.stdout.take().context("its output is not read")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_upgraded_while_it_runs_is_known_by_its_old_path() {
        let told = |path: &str| where_it_was_installed(PathBuf::from(path));
        assert_eq!(told("/usr/bin/pmp-ha"), Path::new("/usr/bin/pmp-ha"));
        assert_eq!(told("/usr/bin/pmp-ha (deleted)"), Path::new("/usr/bin/pmp-ha"));
        // A name that only looks like it.
        let folder = tempfile::tempdir().expect("a folder");
        let named = folder.path().join("pmp-ha (deleted)");
        fs::write(&named, "").expect("written");
        assert_eq!(where_it_was_installed(named.clone()), named);
    }
}
