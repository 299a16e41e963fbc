//! One home of a lab, and its server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::command::{Ran, command, pmp_ha_in};
use super::content::{self, assert_same};
use super::process::{Frozen, command_lines, is_alive, pid_in, send_signal};
use super::sql::Db;
use super::wait::wait_until;

/// One home of a lab.
#[derive(Clone)]
pub struct Node {
    pub home: PathBuf,
    /// HOST:DBPORT
    pub endpoint: String,
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
        pmp_ha_in(&self.home, &[&["--home", &home][..], args].concat())
    }

    /// The command line of the binary on this home, not yet run.
    pub fn command(&self, args: &[&str]) -> Command {
        let home = self.home.to_string_lossy();
        let mut out = command(&[&["--home", &home][..], args].concat());
        // As it is for whoever has it in the environment: hints need not name it.
        out.env("PMP_HOME", &self.home);
        out
    }

    /// Runs a statement as the product would; the rows, tab-separated.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        self.ran_sql(statement).unwrap_or_else(|why| panic!("{statement}: {why}"))
    }

    /// The rows of a statement, or `None` where it failed: a table may not have arrived yet.
    pub fn try_sql(&self, statement: &str) -> Option<String> {
        self.ran_sql(statement).ok()
    }

    /// What `pmp-ha lab sql` does, without a process for each statement: thousands of them would cost minutes.
    fn ran_sql(&self, statement: &str) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let rows = runtime.block_on(pmp_ha::lab::sql(&self.home, statement));
        rows.map(|rows| rows.to_string().trim_end().to_owned()).map_err(|why| format!("{why:?}"))
    }

    /// Whether the receiver and the applier of each channel of this node run, or what does not.
    /// A server tells it a hundred times as cheaply as `verify`.
    pub fn channels_run(&self) -> Result<(), String> {
        let mut db = Db::try_admin(self).map_err(|why| format!("{}: {why}", self.endpoint))?;
        let newer = db.try_rows("SHOW REPLICA STATUS");
        let channels = newer.or_else(|_| db.try_rows("SHOW SLAVE STATUS")).map_err(|why| why.to_string())?;
        let is_thread = |name: &str| name.ends_with("_IO_Running") || name.ends_with("_SQL_Running");
        let resting = channels.iter().flatten().find(|(name, state)| is_thread(name) && *state != "Yes");
        match resting {
            Some((name, state)) => Err(format!("{}: {name} is {state}", self.endpoint)),
            None => Ok(()),
        }
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
        let mut out = content::fingerprint_of(&self.home);
        out.retain(|path, _| {
            !["replication/pmp-ha-journal.jsonl", "logs/pmp-ha.log", LOCK_FILE].contains(&path.as_str())
        });
        out
    }
}

/// The lock of a home.
const LOCK_FILE: &str = ".pmp-ha.lock";

impl Node {
    /// Takes the lock of the home, as a command does that works on it.
    pub fn lock(&self) -> nix::fcntl::Flock<std::fs::File> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::File::options();
        let file = options.write(true).create(true).mode(0o600).open(self.path(LOCK_FILE)).expect("opened");
        let how = nix::fcntl::FlockArg::LockExclusiveNonblock;
        nix::fcntl::Flock::lock(file, how).map_err(|(_, error)| error).expect("nobody is at work")
    }

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
