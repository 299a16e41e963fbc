//! A command that is held at every change before it makes it: there it can be killed, and its disk
//! can become full, at the same point in every run.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Ran;

/// A change that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The how many-th of the run, from 0.
    pub number: usize,
    /// Records of the journal that the run has written.
    pub records: usize,
    /// The thread that is about to make it, and is held.
    thread: Pid,
}

impl Change {
    /// The account that makes it. Only while it is held.
    pub fn account(&self) -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.thread)).expect("held");
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("a line");
        // Real, effective, saved, and the one that counts for files.
        line.split_whitespace().last().and_then(|uid| uid.parse().ok()).expect("a number")
    }

    /// The paths that it is about. Only while it is held.
    pub fn paths(&self) -> Vec<PathBuf> {
        let regs = ptrace::getregs(self.thread).expect("held");
        let fd = |number: u64| std::fs::read_link(format!("/proc/{}/fd/{number}", self.thread)).ok();
        let at = |folder: u64, name: u64| {
            let name = self.text(name)?;
            // The upper half of the register says nothing.
            let here = folder & 0xffff_ffff == u64::from(libc::AT_FDCWD.cast_unsigned());
            if here { Some(name) } else { Some(fd(folder)?.join(name)) }
        };
        let found = match regs.orig_rax.cast_signed() {
            libc::SYS_openat
            | libc::SYS_unlinkat
            | libc::SYS_mkdirat
            | libc::SYS_fchmodat
            | libc::SYS_fchownat => vec![at(regs.rdi, regs.rsi)],
            libc::SYS_renameat | libc::SYS_renameat2 | libc::SYS_linkat => {
                vec![at(regs.rdi, regs.rsi), at(regs.rdx, regs.r10)]
            }
            libc::SYS_rename | libc::SYS_link => vec![self.text(regs.rdi), self.text(regs.rsi)],
            libc::SYS_open
            | libc::SYS_unlink
            | libc::SYS_rmdir
            | libc::SYS_mkdir
            | libc::SYS_chmod
            | libc::SYS_chown
            | libc::SYS_lchown => vec![self.text(regs.rdi)],
            libc::SYS_symlink => vec![self.text(regs.rsi)],
            libc::SYS_kill => Vec::new(),
            _ => vec![fd(regs.rdi)],
        };
        found.into_iter().flatten().filter(|path| path.is_absolute()).collect()
    }

    /// The path at an address of the thread's memory.
    fn text(&self, address: u64) -> Option<PathBuf> {
        let mut memory = std::fs::File::open(format!("/proc/{}/mem", self.thread)).ok()?;
        memory.seek(std::io::SeekFrom::Start(address)).ok()?;
        let mut bytes = vec![0; 4096];
        let read = memory.read(&mut bytes).ok()?;
        let end = bytes[..read].iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes[..end].to_vec()).ok().map(PathBuf::from)
    }
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The change is made.
    Go,
    /// It is not: the command is killed.
    Kill,
}

/// A command that has ended.
pub struct Traced {
    pub ran: Ran,
    /// Every change that it made or was about to make.
    pub changes: Vec<Change>,
    pub killed: bool,
}

/// Runs a command on a home and asks `then` at each change to the file system, each statement for a
/// server and each signal, before it is made. Programs that the command runs are left alone.
#[track_caller]
pub fn traced(command: Command, home: &Path, mut then: impl FnMut(Change) -> Then) -> Traced {
    let shown = format!("{command:?}");
    let (mut out, mut err) = (file(), file());
    let mut command = held(&command);
    command.stdout(Stdio::from(out.try_clone().expect("a file")));
    command.stderr(Stdio::from(err.try_clone().expect("a file")));
    #[expect(clippy::zombie_processes, reason = "its end is waited for below, as that of its threads")]
    let mut child = command.spawn().expect("it runs");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let options = ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("a process of one's own may be traced");
    ptrace::interrupt(pid).expect("it is stopped");
    child.stdin.take().expect("a pipe").write_all(b"go\n").expect("it reads");

    let mut changes: Vec<Change> = Vec::new();
    let (mut records, mut killed) = (0, false);
    let code = loop {
        // Only what this thread has begun: other tests have children, too.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let (stopped, signal) = match waitpid(None, Some(flags)).expect("a traced process") {
            WaitStatus::Exited(ended, code) if ended == pid => break Some(code),
            WaitStatus::Signaled(ended, _, _) if ended == pid => break None,
            WaitStatus::PtraceSyscall(thread) => {
                if let Some(what) = about_to_change(thread, home) {
                    let change = Change { number: changes.len(), records, thread };
                    changes.push(change);
                    records += usize::from(what == What::Record);
                    if !killed && then(change) == Then::Kill {
                        nix::sys::signal::kill(pid, Signal::SIGKILL).expect("sent");
                        killed = true;
                    }
                }
                (thread, None)
            }
            WaitStatus::PtraceEvent(thread, _, _) => (thread, None),
            WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
            _ => continue,
        };
        if !killed {
            // ignored: a thread that has just ended says so next
            let _ = ptrace::syscall(stopped, signal);
        }
    };
    let ran = Ran::of_parts(shown, code, text(&mut out), text(&mut err));
    Traced { ran, changes, killed }
}

/// The command, begun by a shell that waits for a line: it may end sooner than it can be traced.
fn held(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read go; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir("/").stdin(Stdio::piped());
    shell
}

fn file() -> std::fs::File {
    tempfile::tempfile().expect("a file")
}

fn text(file: &mut std::fs::File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut bytes).expect("readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Record,
    Other,
}

/// The text that stands at an address of a thread that is held.
fn text_at(thread: Pid, address: u64) -> String {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; 4096];
    let read = std::fs::File::open(format!("/proc/{thread}/mem"))
        .and_then(|memory| memory.read_at(&mut bytes, address))
        .unwrap_or_default();
    let text = bytes[..read].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// What a thread that is held at a system call is about to change; nothing where the call is done
/// already, or only looks.
fn about_to_change(thread: Pid, home: &Path) -> Option<What> {
    let regs = ptrace::getregs(thread).ok()?;
    let entering = regs.rax.cast_signed() == -i64::from(libc::ENOSYS);
    if !entering {
        return None;
    }
    let creates = |flags: u64| (flags & u64::from(libc::O_CREAT.cast_unsigned()) != 0).then_some(What::Other);
    match regs.orig_rax.cast_signed() {
        libc::SYS_open => creates(regs.rsi),
        // The lock of the home comes before every look, and is no change of it.
        libc::SYS_openat if text_at(thread, regs.rsi).ends_with("/.pmp-ha.lock") => None,
        // Nothing that pmp-ha does depends on its log.
        libc::SYS_openat if text_at(thread, regs.rsi).ends_with("/logs/pmp-ha.log") => None,
        libc::SYS_openat => creates(regs.rdx),
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg => {
            let to = std::fs::read_link(format!("/proc/{thread}/fd/{}", regs.rdi)).ok()?;
            if to.ends_with("logs/pmp-ha.log") {
                None
            } else if to.ends_with("replication/pmp-ha-journal.jsonl") {
                Some(What::Record)
            } else {
                (to.starts_with(home) || to.to_string_lossy().starts_with("socket:")).then_some(What::Other)
            }
        }
        libc::SYS_kill => (regs.rsi != 0).then_some(What::Other),
        libc::SYS_rename
        | libc::SYS_renameat
        | libc::SYS_renameat2
        | libc::SYS_link
        | libc::SYS_linkat
        | libc::SYS_unlink
        | libc::SYS_unlinkat
        | libc::SYS_rmdir
        | libc::SYS_mkdir
        | libc::SYS_mkdirat
        | libc::SYS_chmod
        | libc::SYS_fchmod
        | libc::SYS_fchmodat
        | libc::SYS_chown
        | libc::SYS_fchown
        | libc::SYS_lchown
        | libc::SYS_fchownat
        | libc::SYS_symlink
        | libc::SYS_ftruncate
        | libc::SYS_fsync
        | libc::SYS_fdatasync => Some(What::Other),
        _ => None,
    }
}
