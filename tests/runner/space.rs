//! The space of a test: a network with only a loopback, processes that end with the test, and a folder
//! in memory with the same path in every space. An environment variable names the folder to the test.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Names the folder of the space.
const SPACE: &str = "PMP_HA_TEST_SPACE";

/// Names a folder on the disk, which is removed after the test.
const DISK: &str = "PMP_HA_TEST_DISK";

/// Says that a test may mount.
const MAY_MOUNT: &str = "PMP_HA_TEST_INSIDE";

/// What a test may need at most, in MB: two servers of MySQL 9.7, and three copies of its data.
const MEMORY_OF_A_TEST: u64 = 1600;

/// What a test may announce at most: four servers of `MySQL`, each with 2 600. Without them a server does not start.
const REQUESTS_OF_A_TEST: u64 = 10_400;

/// A test waits for half of its time. More of them at once would be no faster on two cores.
const MOST_JOBS: u64 = 8;

/// The command that makes a new space, before what is to run in it.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
}

/// Whether this account may make a space, or why not.
pub fn is_permitted() -> Result<(), String> {
    match unshare().arg("true").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

/// How many tests this machine can hold at once: its memory, and the requests to disks that its kernel takes.
pub fn fitting_jobs() -> usize {
    let jobs =
        (available_memory() / MEMORY_OF_A_TEST).min(requests() / REQUESTS_OF_A_TEST).clamp(2, MOST_JOBS);
    usize::try_from(jobs).expect("a small number")
}

/// How many asynchronous requests all processes together may announce to the kernel.
fn requests() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/fs/aio-max-nr").unwrap_or_default();
    text.trim().parse().unwrap_or(u64::MAX)
}

/// What is free, in MB.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.map_or(0, |kilobytes: u64| kilobytes / 1024)
}

/// This program once more, in a space, with one test to run and a folder on the disk.
pub fn command(program: &Path, name: &str, disk: &Path) -> Command {
    let mut command = unshare();
    command.env(DISK, disk);
    command.arg(std::env::current_exe().expect("a path")).arg("--inside").arg(name).arg(program);
    command
}

/// Runs a test; this is the first process of its space, whose end is the end of all others.
pub fn inside(program: &Path, name: &str) -> ExitCode {
    end_with_the_runner();
    let folder = folder();
    loopback_up();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "mode=755", "none"]).arg(&folder);
    assert!(mount.status().is_ok_and(|status| status.success()), "{mount:?}");
    let mut test = Command::new(program);
    test.args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=2"]);
    test.env(SPACE, &folder).env("TMPDIR", &folder).env(MAY_MOUNT, "1").stdin(std::process::Stdio::null());
    #[expect(clippy::zombie_processes, reason = "its end is waited for below, as that of every orphan")]
    let test = test.spawn().expect("the test program runs");
    let test = Pid::from_raw(i32::try_from(test.id()).expect("a pid"));
    let passed = loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == test => break code == 0,
            Ok(WaitStatus::Signaled(pid, _, _)) if pid == test => break false,
            // An orphan, which belongs to the first process.
            _ => {}
        }
    };
    println!("{WORKED}{:.2}", processor_seconds());
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Begins the line that says how many seconds the processors worked in a space.
pub const WORKED: &str = "processor seconds: ";

/// How many seconds the processors worked for the processes of this space, ended or not.
fn processor_seconds() -> f64 {
    const TICKS_A_SECOND: u32 = 100;
    // Of its own and of the children that it waited for: user, system, user, system.
    let ticks = |pid: &str| -> u32 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u32>().ok()).sum()
    };
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let all: u32 = names.filter(|name| name.parse::<u32>().is_ok()).map(|pid| ticks(&pid)).sum();
    f64::from(all) / f64::from(TICKS_A_SECOND)
}

/// Ends the space when the runner closes the other end of the standard input.
#[expect(clippy::exit, reason = "the thread that runs the test waits for it, and must not go on")]
fn end_with_the_runner() {
    std::thread::spawn(|| {
        // ignored: whatever ends the reading ends the space
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}

/// The folder, which is the same for every space of this account.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pmp-ha-tests.{}", nix::unistd::getuid()));
    std::fs::create_dir_all(&folder).expect("made");
    folder
}

/// Switches the loopback on, with a message to the kernel: the program `ip` is not on every machine.
fn loopback_up() {
    const NEW_LINK: u16 = 16;
    const REQUEST_WITH_ANSWER: u16 = 1 | 4;
    const UP: u32 = 1;
    const FIRST_INTERFACE: i32 = 1;
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_WITH_ANSWER.to_ne_bytes());
    message.extend([0; 8]); // sequence, sender
    message.extend([0; 4]); // family, type
    message.extend(FIRST_INTERFACE.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes()); // the flags that change
    let kernel = socket::socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )
    .expect("a socket");
    socket::send(kernel.as_raw_fd(), &message, MsgFlags::empty()).expect("sent");
    let mut answer = [0; 64];
    let length = socket::recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty()).expect("an answer");
    // A header of 16 bytes, then the number of the error.
    assert!(length >= 20 && answer[16..20] == [0; 4], "the loopback does not come up: {answer:?}");
}
