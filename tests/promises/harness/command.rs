//! Commands of the binary, and what they left.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Lab;

/// A command that has ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Ran {
    /// What a command that was put together by hand left.
    pub fn from_command(mut command: Command) -> Self {
        let shown = format!("{command:?}");
        Self::of(shown, command.output().expect("it runs"))
    }

    /// What is known of a command that was watched.
    pub fn of_parts(shown: String, code: Option<i32>, stdout: String, stderr: String) -> Self {
        Self { code, stdout, stderr, shown }
    }

    fn of(shown: String, output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr), shown }
    }

    /// Fails unless the exit code is `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Fails unless it ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Fails unless stderr holds every one of `texts`.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in\n{self}");
        }
        self
    }

    /// Fails unless it ended well and stdout holds every one of `texts`.
    #[track_caller]
    pub fn shows(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "no {text:?} in\n{self}");
        }
        self.ok()
    }

    /// Fails unless it ended with an error that names a full disk, or was refused because of one.
    #[track_caller]
    pub fn tells_of_a_full_disk(&self) {
        let says = if self.code == Some(4) { "there is no space" } else { "No space left on device" };
        assert!(matches!(self.code, Some(1 | 3 | 4)), "{self}");
        for text in ["error: ", says] {
            assert!(self.stderr.contains(text), "no {text:?} in\n{self}");
        }
    }

    /// Fails unless it was refused with an error, evidence and a hint that hold `texts`.
    #[track_caller]
    pub fn refused(self, texts: &[&str]) -> Self {
        self.exits(4).says(&["error: ", "because ", "hint: "]).says(texts)
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nexit code {:?}\n--- stdout\n{}--- stderr\n{}",
            self.shown, self.code, self.stdout, self.stderr
        )
    }
}

/// The binary with arguments, in an environment without a home of its own.
pub fn command<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmp-ha"));
    command.args(args).env_remove("PMP_HOME").stdin(Stdio::null()).current_dir("/");
    command
}

/// Runs the binary to its end.
pub fn pmp_ha<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    run(args, command(args))
}

/// The same, with a home in the environment: hints need not name it.
pub fn pmp_ha_in<S: AsRef<std::ffi::OsStr>>(home: &std::path::Path, args: &[S]) -> Ran {
    let mut command = command(args);
    command.env("PMP_HOME", home);
    run(args, command)
}

fn run<S: AsRef<std::ffi::OsStr>>(args: &[S], mut command: Command) -> Ran {
    let shown =
        args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let ran = Ran::of(format!("pmp-ha {shown}"), command.output().expect("the binary runs"));
    if ran.code.is_some() {
        super::json::check(&shown.split(' ').collect::<Vec<_>>(), &ran.stdout);
    }
    ran
}

/// Runs a command and sends it a signal as soon as `moment` holds for what it has said on stderr.
#[track_caller]
pub fn cut(command: Command, signal: nix::sys::signal::Signal, mut moment: impl FnMut(&str) -> bool) -> Ran {
    let mut going = Going::begin(command);
    going.shown = format!("{}, cut off with {signal}", going.shown);
    going.waits_until("the moment came", |said| moment(said));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(going.child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, signal).expect("sent");
    going.end()
}

/// A command that goes on, and what it has said so far on stderr.
pub struct Going {
    child: std::process::Child,
    said: Arc<Mutex<Vec<u8>>>,
    listener: std::thread::JoinHandle<()>,
    shown: String,
}

impl Going {
    /// Begins a command.
    pub fn begin(mut command: Command) -> Self {
        let shown = format!("{command:?}");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (mut stderr, heard) = (child.stderr.take().expect("a pipe"), Arc::clone(&said));
        let listener = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer) {
                heard.lock().expect("no panic").extend(&buffer[..n]);
            }
        });
        Self { child, said, listener, shown }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no panic")).into_owned()
    }

    /// Waits until it has said something; it must not end before.
    #[track_caller]
    pub fn waits_for(&mut self, text: &str) {
        self.waits_until(&format!("it said {text:?}"), |said| said.contains(text));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        super::send_signal(self.child.id(), signal);
    }

    /// Waits until `moment` holds for what it has said; it must not end before.
    #[track_caller]
    pub fn waits_until(&mut self, what: &str, mut moment: impl FnMut(&str) -> bool) {
        while !moment(&self.said()) {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{}: it ended before {what}; it said\n{}", self.shown, self.said());
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits until it has ended.
    pub fn end(self) -> Ran {
        let output = self.child.wait_with_output().expect("a child");
        self.listener.join().expect("no panic");
        let stderr = String::from_utf8_lossy(&self.said.lock().expect("no panic")).into_owned();
        Ran { stderr, ..Ran::of(self.shown, output) }
    }
}

/// The id of an account that owns nothing.
pub const NOBODY: u32 = 65534;

/// Whether this is root, and not only that of a space that somebody without rights has made.
pub fn is_root() -> bool {
    let accounts = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    nix::unistd::geteuid().is_root() && accounts.split_whitespace().nth(2) == Some("4294967295")
}

/// The binary as an account without rights: another one where this is root, else this one.
pub fn command_of_nobody(lab: &Lab, args: &[&str]) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return command(args);
    }
    if !is_root() {
        // There is no other account here; without its capabilities this one has no more rights than it.
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps=-all", "--bounding-set=-all", env!("CARGO_BIN_EXE_pmp-ha")]).args(args);
        command.env_remove("PMP_HOME").stdin(Stdio::null()).current_dir("/");
        return command;
    }
    // The build folder may be closed to others.
    let copy = lab.dir().join("pmp-ha-for-nobody");
    std::fs::copy(env!("CARGO_BIN_EXE_pmp-ha"), &copy).expect("copied");
    for open in [lab.dir(), &copy] {
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o755)).expect("set");
    }
    let mut command = Command::new(copy);
    command.args(args).env_remove("PMP_HOME").stdin(Stdio::null()).current_dir("/").uid(NOBODY).gid(NOBODY);
    command
}
