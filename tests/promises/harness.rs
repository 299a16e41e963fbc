//! Labs, commands and conditions for the tests. Nothing in here sleeps instead of waiting.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::sql::Db;
use crate::wire::{Link, Links};

/// How long a test waits for a condition before it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

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

    /// Fails unless it ended with an error that names a full disk.
    #[track_caller]
    pub fn tells_of_a_full_disk(&self) {
        assert!(matches!(self.code, Some(1 | 3)), "{self}");
        for text in ["error: ", "No space left on device"] {
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
    let shown =
        args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    Ran::of(format!("pmp-ha {shown}"), command(args).output().expect("the binary runs"))
}

/// A folder with a primary and a secondary in it. It ends with the test.
pub struct Lab {
    pub server: String,
    pub primary: Node,
    pub secondary: Node,
    /// The folder of the lab itself.
    pub root: PathBuf,
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
        Self::up_with(server, "lab", 1)
    }

    /// Two stopped homes in a folder of the given name, the primary with so many MB of data.
    pub fn up_with(server: &str, name: &str, megabytes: u64) -> Self {
        let dir = tempfile::Builder::new().prefix("pmp-ha-test").tempdir().expect("a folder");
        let root = dir.path().join(name);
        let pristine = pristine(server, megabytes);
        let made = pmp_ha(&[
            "--json",
            "lab",
            "up",
            &root.to_string_lossy(),
            "--server",
            server,
            "--like",
            &pristine.to_string_lossy(),
        ])
        .ok();
        let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
        let node = |name: &str| Node {
            home: root.join(name),
            endpoint: made[name]["endpoint"].as_str().expect("an endpoint").to_owned(),
        };
        Self { server: server.to_owned(), primary: node("primary"), secondary: node("secondary"), root, dir }
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
        lab.set_up(&link.endpoint);
        (lab, link)
    }

    /// A pair whose nodes reach each other through links that the test holds, and through nothing
    /// else.
    pub fn pair_through_links(server: &str) -> (Self, Links) {
        let lab = Self::up(server);
        let links = Links::of(&lab);
        for node in [&lab.primary, &lab.secondary] {
            node.configure("[replication]\nconnect_retry = 1\n");
        }
        lab.install_through_links(&links);
        lab.start();
        lab.wait_alive();
        (lab, links)
    }

    /// A pack of names that lead through links, installed.
    pub fn install_through_links(&self, links: &Links) {
        self.primary.run(&["pack", &links.to_primary.endpoint, &links.to_secondary.endpoint]).ok();
        self.carry();
        self.secondary.run(&["install-pack", "--port-is-forwarded"]).ok();
        self.secondary.run(&["key", &self.key().to_string_lossy()]).ok();
    }

    /// The whole manual, with a name for the primary as the secondary is to reach it.
    pub fn set_up(&self, primary: &str) {
        self.install_through(primary);
        self.start();
        self.wait_alive();
    }

    /// Starts both nodes.
    pub fn start(&self) {
        self.primary.run(&["start"]).ok();
        self.secondary.run(&["start"]).ok();
    }

    /// Stops both nodes.
    pub fn stop(&self) {
        self.primary.run(&["stop"]).ok();
        self.secondary.run(&["stop"]).ok();
    }

    /// The manual up to its last step: a pair that is not started yet.
    pub fn installed(server: &str) -> Self {
        let lab = Self::up(server);
        lab.install();
        lab
    }

    /// The manual up to its last step, on homes that are there.
    pub fn install(&self) {
        self.install_through(&self.primary.endpoint);
    }

    fn install_through(&self, primary: &str) {
        self.primary.run(&["pack", primary, &self.secondary.endpoint]).ok();
        self.carry();
        self.secondary.run(&["install-pack"]).ok();
        self.secondary.run(&["key", &self.key().to_string_lossy()]).ok();
    }

    /// Waits until `verify` on both nodes says Alive twice.
    #[track_caller]
    pub fn wait_alive(&self) {
        wait_alive_both([&self.primary, &self.secondary]);
    }

    /// Whether `verify` on both nodes says Alive twice, or what it says.
    pub fn all_alive(&self) -> Result<(), String> {
        alive([&self.primary, &self.secondary])
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
        let home = self.root.join(name);
        // Of a lab without a vault, so that no two homes of a test have the same password.
        let like = pristine(&self.server, 0).join("primary");
        let made = pmp_ha(&[
            "--json",
            "lab",
            "home",
            &home.to_string_lossy(),
            "--server",
            &self.server,
            "--like",
            &like.to_string_lossy(),
        ])
        .ok();
        let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("JSON");
        Node { home, endpoint: made["endpoint"].as_str().expect("an endpoint").to_owned() }
    }
}

/// A lab that is never started, for copies: to make databases takes a server longer than most of what
/// is tested afterwards. It is made anew for every build of the binary.
fn pristine(server: &str, megabytes: u64) -> PathBuf {
    let built = std::fs::metadata(env!("CARGO_BIN_EXE_pmp-ha")).and_then(|meta| meta.modified());
    let built = built.expect("a time").duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let (labs, name) = (Path::new(env!("CARGO_TARGET_TMPDIR")), format!("{server}-{megabytes}"));
    let folder = labs.join(&name);
    let lab = folder.join(built.to_string());
    // Some tests run in a process of their own.
    let lock = std::fs::File::create(labs.join(format!("{name}.lock"))).expect("made");
    let _alone = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).expect("locked");
    if lab.exists() {
        return lab;
    }
    // Of an older binary.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("removed");
    }
    std::fs::create_dir_all(&folder).expect("made");
    // A run that is cut off leaves no half lab under the name.
    let half = folder.join("half");
    let size = megabytes.to_string();
    pmp_ha(&["lab", "up", &half.to_string_lossy(), "--server", server, "--size", &size]).ok();
    std::fs::rename(&half, &lab).expect("renamed");
    lab
}

/// Waits until `verify` on two nodes says Alive twice.
#[track_caller]
pub fn wait_alive_both(nodes: [&Node; 2]) {
    wait_until_or("both nodes say Alive, Alive", || alive(nodes));
}

/// Whether `verify` on two nodes says Alive twice, or what it says.
pub fn alive(nodes: [&Node; 2]) -> Result<(), String> {
    for node in nodes {
        let ran = node.run(&["verify"]);
        if !ran.stdout.starts_with("High Availability Status: Alive\nReplication Status: Alive\n") {
            return Err(ran.to_string());
        }
    }
    Ok(())
}

impl Drop for Lab {
    fn drop(&mut self) {
        let root = self.root.clone();
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
        self.running_pid().expect("a running server")
    }

    /// The process of this home's server, if there is one.
    pub fn running_pid(&self) -> Option<u32> {
        pid_in(&self.home)
    }

    /// Whether there is a process of its server.
    pub fn is_running(&self) -> bool {
        self.running_pid().is_some()
    }

    /// Kills the server as a power failure would, and waits until it is gone.
    #[track_caller]
    pub fn kill(&self) {
        let pid = self.pid();
        send_signal(pid, "KILL");
        wait_until("the killed server is gone", || !is_alive(pid));
    }

    /// Runs a statement as the tool's own account, which may do everything; the rows, tab-separated.
    #[track_caller]
    pub fn admin_sql(&self, statement: &str) -> String {
        let rows = Db::admin(self).rows(statement);
        let lines: Vec<String> =
            rows.into_iter().map(|row| row.into_values().collect::<Vec<_>>().join("\t")).collect();
        lines.join("\n")
    }

    /// Purges every binlog but the newest, which holds nothing of what came before.
    #[track_caller]
    pub fn drop_old_binlogs(&self) {
        let mut db = Db::admin(self);
        db.rows("FLUSH LOGS");
        let newest = db.rows("SHOW BINARY LOGS").pop().expect("a binlog");
        // MariaDB asks for a moment in which nobody reads the old ones.
        wait_until("the old binlogs are gone", || {
            db.rows(&format!("PURGE BINARY LOGS TO '{}'", newest["Log_name"]));
            db.rows("SHOW BINARY LOGS").len() == 1
        });
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

impl Node {
    /// Runs the binary, and fails unless it exits with `code`, says what, why and what to do,
    /// and leaves every file of the home as it was.
    #[track_caller]
    pub fn refuses(&self, args: &[&str], code: i32, texts: &[&str]) -> Ran {
        let before = self.fingerprint();
        let ran = self.run(args).exits(code).says(&["error: ", "because ", "hint: "]).says(texts);
        assert_same(&before, &self.fingerprint(), &ran.to_string());
        ran
    }

    /// Every file below the home whose path begins with one of `starts`, as [`Self::fingerprint`].
    pub fn fingerprint_of(&self, starts: &[&str]) -> BTreeMap<String, String> {
        let mut out = self.fingerprint();
        out.retain(|path, _| starts.iter().any(|start| path.starts_with(start)));
        out
    }

    /// The processes whose command line names this home, or a script in it.
    pub fn processes(&self) -> Vec<String> {
        let home = self.home.to_string_lossy();
        command_lines()
            .into_iter()
            .map(|(pid, line)| format!("{pid} {line}"))
            .filter(|line| line.contains(&*home))
            .collect()
    }

    /// The records of the journal.
    pub fn journal(&self) -> Vec<serde_json::Value> {
        std::fs::read_to_string(self.home.join("replication/pmp-ha-journal.jsonl"))
            .unwrap_or_default()
            .lines()
            .map(|line| serde_json::from_str(line).expect("a record"))
            .collect()
    }

    /// How the journal says that the last run ended: `done`, `rolled_back`, or nothing.
    pub fn outcome(&self) -> Option<String> {
        let last = self.journal().pop()?;
        Some(last["outcome"].as_str()?.to_owned())
    }

    /// The step (counted from 1) that had begun, and not ended, when a run was cut off.
    pub fn cut_in_step(&self) -> Option<u64> {
        let last = self.journal().pop()?;
        (last["record"] == "begin").then(|| last["step"].as_u64().expect("a number") + 1)
    }

    /// A path below the home.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.home.join(relative)
    }
}

/// Every process and its command line, the words parted by spaces.
pub fn command_lines() -> Vec<(u32, String)> {
    std::fs::read_dir("/proc")
        .expect("there")
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
}

/// Fails with the differences when two fingerprints are not the same.
#[track_caller]
pub fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>, what: &str) {
    let differs = |path: &&String| before.get(*path) != after.get(*path);
    let mut changed: Vec<&String> = before.keys().chain(after.keys()).filter(differs).collect();
    changed.dedup();
    assert!(changed.is_empty(), "changed: {changed:?}\nby {what}");
}

/// A file with another content, or a path that is not there, for as long as this lives.
pub struct Put {
    path: PathBuf,
    aside: Option<PathBuf>,
}

impl Put {
    /// Something else, or nothing, in the place of `path`; what was there comes back.
    fn aside(path: &Path) -> Self {
        let name = path.file_name().expect("a name").to_string_lossy();
        let aside = path.with_file_name(format!("{name}.put-aside"));
        let was_there = path.symlink_metadata().is_ok();
        if was_there {
            std::fs::rename(path, &aside).expect("moved");
        }
        Self { path: path.to_path_buf(), aside: was_there.then_some(aside) }
    }

    /// Takes a file or a folder away.
    pub fn gone(path: PathBuf) -> Self {
        Self::aside(&path)
    }

    /// Gives a file another content; its mode stays.
    pub fn content(path: PathBuf, content: impl AsRef<[u8]>) -> Self {
        let mode = std::fs::metadata(&path).map(|meta| meta.permissions()).ok();
        let put = Self::aside(&path);
        std::fs::write(&path, content).expect("written");
        if let Some(mode) = mode {
            std::fs::set_permissions(&path, mode).expect("set");
        }
        put
    }

    /// Exchanges a text in a file, which must be in it.
    #[track_caller]
    pub fn replaced(path: PathBuf, from: &str, to: &str) -> Self {
        let text = std::fs::read_to_string(&path).expect("a text");
        assert!(text.contains(from), "no {from:?} in {text}");
        Self::content(path, text.replace(from, to))
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        if self.path.is_dir() && !self.path.is_symlink() {
            std::fs::remove_dir_all(&self.path).expect("removed");
        } else if self.path.symlink_metadata().is_ok() {
            std::fs::remove_file(&self.path).expect("removed");
        }
        if let Some(aside) = &self.aside {
            std::fs::rename(aside, &self.path).expect("moved back");
        }
    }
}

/// Runs a command and sends it a signal as soon as `moment` holds for what it has said on stderr.
#[track_caller]
pub fn cut(
    mut command: Command,
    signal: nix::sys::signal::Signal,
    mut moment: impl FnMut(&str) -> bool,
) -> Ran {
    let shown = format!("{command:?}, cut off with {signal}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let said = Arc::new(Mutex::new(Vec::new()));
    let (mut stderr, heard) = (child.stderr.take().expect("a pipe"), Arc::clone(&said));
    let listener = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stderr.read(&mut buffer) {
            heard.lock().expect("no panic").extend(&buffer[..n]);
        }
    });
    let text = || String::from_utf8_lossy(&said.lock().expect("no panic")).into_owned();
    loop {
        if moment(&text()) {
            break;
        }
        assert!(
            child.try_wait().expect("a child").is_none(),
            "{shown}: it ended before the moment came; it said\n{}",
            text()
        );
        std::thread::sleep(Duration::from_micros(200));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, signal).expect("sent");
    let output = child.wait_with_output().expect("a child");
    listener.join().expect("no panic");
    let mut ran = Ran::of(shown, output);
    ran.stderr = text();
    ran
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
        while !self.said().contains(text) {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "{}: it ended before it said {text:?}\n{}", self.shown, self.said());
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

/// The binary as an account without rights: another one where this is root, else this one.
pub fn command_of_nobody(lab: &Lab, args: &[&str]) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return command(args);
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
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        let Some(meta) = unless_gone(std::fs::symlink_metadata(&path)) else { continue };
        let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
        let mode = meta.permissions().mode();
        let content = if meta.is_file() {
            let Some(bytes) = unless_gone(std::fs::read(&path)) else { continue };
            format!("{:?}", Sha256::digest(bytes))
        } else {
            String::new()
        };
        out.insert(name, format!("{mode:o} {content}"));
        if meta.is_dir() {
            walk(&path, root, out);
        }
    }
}

/// What was read, or nothing where a server removed the file after its folder was listed.
fn unless_gone<T>(read: std::io::Result<T>) -> Option<T> {
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.expect("readable")),
    }
}

/// Waits until a condition holds, and fails the test when it does not in time.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_until_or(what, || if holds() { Ok(()) } else { Err(String::new()) });
}

/// Waits until a condition holds, and fails the test with what was last seen when it does not.
#[track_caller]
pub fn wait_until_or(what: &str, look: impl FnMut() -> Result<(), String>) {
    wait_within(PATIENCE, what, look);
}

/// As [`wait_until_or`], with a patience of its own.
#[track_caller]
pub fn wait_within(patience: Duration, what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(seen) = look() {
        assert!(begun.elapsed() < patience, "waited {} s in vain until {what}\n{seen}", patience.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
