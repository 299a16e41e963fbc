//! Labs, commands and conditions for the tests. Nothing in here sleeps instead of waiting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::wire::Link;

/// How long a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Makes one test for each server out of a function that takes the server's name.
///
/// A server that is not there makes its tests fail; `scripts/test` leaves such tests out, says
/// so in its last lines, and fails itself when fewer than three servers are there.
#[macro_export]
macro_rules! on_every_server {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            #[test]
            fn mysql_5_6() { super::$name("mysql-5.6"); }
            #[test]
            fn mysql_9_7() { super::$name("mysql-9.7"); }
            #[test]
            fn mariadb_10_11() { super::$name("mariadb-10.11"); }
            #[test]
            fn mariadb_11_8() { super::$name("mariadb-11.8"); }
        }
    )+ };
}

/// A command that has ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Ran {
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
    let shown =
        args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    Ran::of(format!("pmp-ha {shown}"), command(args).output().expect("the binary runs"))
}

/// A folder with a primary and a secondary in it. It ends with the test.
pub struct Lab {
    pub server: String,
    pub primary: Node,
    pub secondary: Node,
    dir: TempDir,
}

/// One home of a lab.
#[derive(Clone)]
pub struct Node {
    pub home: PathBuf,
    /// HOST:DBPORT
    pub endpoint: String,
}

impl Lab {
    /// Two stopped homes, the primary with a little data.
    pub fn up(server: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pmp-ha-test").tempdir().expect("a folder");
        let root = dir.path().join("lab");
        let made =
            pmp_ha(&["--json", "lab", "up", &root.to_string_lossy(), "--server", server, "--size", "1"]).ok();
        let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
        let node = |name: &str| Node {
            home: root.join(name),
            endpoint: made[name]["endpoint"].as_str().expect("an endpoint").to_owned(),
        };
        Self { server: server.to_owned(), primary: node("primary"), secondary: node("secondary"), dir }
    }

    /// A folder for whatever a test needs besides.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `pack` on the primary.
    pub fn pack(&self) -> Ran {
        self.primary.run(&["pack", &self.primary.endpoint, &self.secondary.endpoint])
    }

    /// The pack that `pack` makes.
    pub fn pack_file(&self) -> PathBuf {
        self.primary.home.join("replication/HAPack.zip")
    }

    /// Carries the pack over, as a person would.
    pub fn carry(&self) {
        std::fs::copy(self.pack_file(), self.secondary.home.join("HAPack.zip")).expect("copied");
    }

    /// The primary's encryption key.
    pub fn key(&self) -> PathBuf {
        self.primary.home.join("conf/pmp_key.key")
    }

    /// The whole manual: both nodes run and are Alive.
    pub fn pair(server: &str) -> Self {
        let lab = Self::up(server);
        lab.set_up(&lab.primary.endpoint);
        lab
    }

    /// A pair whose secondary reaches the primary through a link that the test holds.
    pub fn pair_through_a_link(server: &str) -> (Self, Link) {
        let lab = Self::up(server);
        let link = Link::to(&lab.primary.endpoint);
        lab.secondary.configure("[replication]\nconnect_retry = 1\n");
        lab.set_up(&format!("127.0.0.1:{}", link.port));
        (lab, link)
    }

    /// The whole manual, with a name for the primary as the secondary is to reach it.
    pub fn set_up(&self, primary: &str) {
        self.primary.run(&["pack", primary, &self.secondary.endpoint]).ok();
        self.carry();
        self.secondary.run(&["install-pack"]).ok();
        self.secondary.run(&["key", &self.key().to_string_lossy()]).ok();
        self.primary.run(&["start"]).ok();
        self.secondary.run(&["start"]).ok();
        self.wait_alive();
    }

    /// Waits until `verify` on the secondary says Alive twice.
    pub fn wait_alive(&self) {
        wait_until("the secondary says Alive, Alive", || {
            self.secondary.verify() == ("Alive".into(), "Alive".into())
        });
    }

    /// Waits until a query gives the same on both nodes, and returns what.
    pub fn wait_same(&self, query: &str) -> String {
        let mut last = String::new();
        wait_until(&format!("{query} gives the same on both nodes"), || {
            last = self.primary.sql(query);
            last == self.secondary.sql(query)
        });
        last
    }

    /// One more fresh installation beside the two.
    pub fn fresh_home(&self, name: &str) -> Node {
        let home = self.dir().join("lab").join(name);
        let made = pmp_ha(&["--json", "lab", "home", &home.to_string_lossy(), "--server", &self.server]).ok();
        let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
        Node { home, endpoint: made["endpoint"].as_str().expect("an endpoint").to_owned() }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let root = self.dir.path().join("lab");
        // ignored: a test that failed half-way may have left anything; the servers are ended by id below
        let _ = command(&["lab", "down", &root.to_string_lossy()]).output();
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            if let Some(pid) = pid_in(&entry.path()) {
                send_signal(pid, "KILL");
            }
        }
    }
}

impl Node {
    /// Writes `conf/pmp-ha.toml`.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.home.join("conf/pmp-ha.toml"), text).expect("written");
    }

    /// The port of the database.
    pub fn port(&self) -> u16 {
        let port = self.endpoint.rsplit(':').next();
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    /// Freezes the server until what is returned is dropped.
    #[track_caller]
    pub fn freeze(&self) -> Frozen {
        let pid = self.pid();
        send_signal(pid, "STOP");
        Frozen(pid)
    }

    /// Runs the binary on this home.
    pub fn run(&self, args: &[&str]) -> Ran {
        let home = self.home.to_string_lossy();
        pmp_ha(&[&["--home", &home][..], args].concat())
    }

    /// The command line of the binary on this home, not yet run.
    pub fn command(&self, args: &[&str]) -> Command {
        let home = self.home.to_string_lossy();
        command(&[&["--home", &home][..], args].concat())
    }

    /// Runs a statement as the product would; the rows, tab-separated.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        pmp_ha(&["lab", "sql", &self.home.to_string_lossy(), statement]).ok().stdout.trim_end().to_owned()
    }

    /// The two words of `verify`.
    #[track_caller]
    pub fn verify(&self) -> (String, String) {
        let ran = self.run(&["verify"]);
        let mut lines = ran.stdout.lines();
        let mut word = |start: &str| match lines.next().and_then(|line| line.strip_prefix(start)) {
            Some(word) => word.to_owned(),
            None => panic!("no {start:?} where it should be in\n{ran}"),
        };
        (word("High Availability Status: "), word("Replication Status: "))
    }

    /// The codes of the findings of `verify`.
    pub fn findings(&self) -> Vec<String> {
        let ran = self.run(&["--json", "verify"]);
        let health: serde_json::Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON in\n{ran}"));
        let findings = health["findings"].as_array().expect("findings").iter();
        findings.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
    }

    /// The process of this home's server, from its own pid file.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        pid_in(&self.home).expect("a running server")
    }

    /// Kills the server as a power failure would, and waits until it is gone.
    #[track_caller]
    pub fn kill(&self) {
        let pid = self.pid();
        send_signal(pid, "KILL");
        wait_until("the killed server is gone", || !is_alive(pid));
    }

    /// Every file below the home with its mode and content, but for the journal: to see that
    /// nothing changed.
    pub fn fingerprint(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        walk(&self.home, &self.home, &mut out);
        out.retain(|path, _| path != "replication/pmp-ha-journal.jsonl");
        out
    }
}

/// A server that does nothing and has not ended.
pub struct Frozen(u32);

impl Drop for Frozen {
    fn drop(&mut self) {
        send_signal(self.0, "CONT");
    }
}

/// Sends a signal to a process of this test.
pub fn send_signal(pid: u32, signal: &str) {
    // ignored: the process may be gone already, which is what the caller wants
    let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).output();
}

/// Whether a process exists and has not ended.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

fn pid_in(home: &Path) -> Option<u32> {
    let pid = std::fs::read_to_string(home.join("mysql/data/mysql.pid")).ok()?.trim().parse().ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    // The number may belong to somebody else by now.
    String::from_utf8_lossy(&line).contains(&*home.to_string_lossy()).then_some(pid)
}

fn walk(dir: &Path, root: &Path, out: &mut BTreeMap<String, String>) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        let meta = std::fs::symlink_metadata(&path).expect("there");
        let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
        let mode = meta.permissions().mode();
        let content = if meta.is_file() {
            format!("{:?}", Sha256::digest(std::fs::read(&path).expect("readable")))
        } else {
            String::new()
        };
        out.insert(name, format!("{mode:o} {content}"));
        if meta.is_dir() {
            walk(&path, root, out);
        }
    }
}

/// Waits until a condition holds, and fails the test when it does not in time.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {} s in vain until {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
