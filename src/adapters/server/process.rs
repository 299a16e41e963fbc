//! The bundled server as a process: is it running, start, stop, boot without a network.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, datadir};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::error_log::ErrorLog;
use crate::adapters::server::quiet;
use crate::adapters::server::session::greeting_of_socket;
use crate::adapters::system;
use crate::domain::flavor::ServerVersion;
use crate::domain::snapshot::BlindReason;
use crate::domain::start_script::{self, Wired};
use crate::failure::{Failure, Kind};

/// How often a server that is starting or stopping is looked at.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// How long after its script a server may take to lock its data before it counts as gone.
pub(super) const LOCK_GRACE: Duration = Duration::from_secs(15);

/// How long a start script that was cut off may go on without a server.
const SCRIPT_GRACE: Duration = Duration::from_secs(3);

/// How long the product's stop script may take to have an effect.
const STOP_SCRIPT_GRACE: Duration = Duration::from_secs(10);

/// How long a server may take until it listens to a signal that ends it.
const HEARING_GRACE: Duration = Duration::from_secs(15);

/// How often a server that is still stopping begins its waits anew: most need a second or two.
const ANEW_EVERY: Duration = Duration::from_secs(5);

/// How long a server that has met a fault may take to end.
pub(super) const ENDING_GRACE: Duration = Duration::from_secs(5);

/// How long a server that has other options than were meant may take to end cleanly.
const UNWANTED_GRACE: Duration = Duration::from_secs(120);

/// What is said of a script whose options did not reach the server.
const NOT_HANDED: &str = "the start script does not pass the options of pmp-ha to the database";

/// The account of an offline boot. It is dropped before the boot ends.
pub const BOOT_USER: &str = "pmp_ha_boot";

/// What a server's program is called.
const PROGRAMS: [&str; 3] = ["mysqld", "mariadbd", "mysqld-debug"];

/// The bundled server of a home.
pub struct Database<'a> {
    pub(super) home: &'a Home,
    pub(super) interrupt: &'a Interrupt,
}

impl<'a> Database<'a> {
    /// The server of `home`.
    #[must_use]
    pub fn of(home: &'a Home, interrupt: &'a Interrupt) -> Self {
        Self { home, interrupt }
    }

    /// The process that holds the data, if one does.
    pub fn pid(&self) -> Result<Option<u32>> {
        datadir::holder(&self.home.data())
    }

    /// The process that holds the data and serves them. A killed one answers nobody any more, and
    /// holds them until its last thread has ended: that is waited for.
    pub async fn serving_pid(&self) -> Result<Option<u32>> {
        let begun = Instant::now();
        while let Some(pid) = self.pid()? {
            if system::is_alive(pid) || begun.elapsed() > LOCK_GRACE {
                return Ok(Some(pid));
            }
            self.interrupt.sleep(TICK).await?;
        }
        Ok(None)
    }

    /// Returns whether the server has ended after a session was lost; a killed one takes a moment.
    pub async fn is_gone(&self) -> Result<bool> {
        let begun = Instant::now();
        while self.serving_pid().await?.is_some() {
            let answers = greeting_of_socket(&self.home.socket(), Duration::from_secs(1)).await.is_ok();
            if answers || begun.elapsed() > ENDING_GRACE {
                return Ok(false);
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(true)
    }

    /// Runs `mysqld --version`.
    pub async fn version(&self) -> Result<ServerVersion> {
        let program = self.home.path(system::SERVER);
        let mut command = tokio::process::Command::from(system::program(&program));
        command.args(["--no-defaults", "--version"]).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(20), command.output())
            .await
            .map_err(|_| anyhow!("{} --version did not end within 20 s", program.display()))?
            .with_context(|| format!("cannot run {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        ServerVersion::parse(text.trim())
            .ok_or_else(|| anyhow!("{} --version says {:?}", program.display(), text.trim()))
    }

    /// Starts the server with the product's own script and waits until it answers.
    pub async fn start(&self, deadline: Duration) -> Result<u32> {
        let script = self.home.start_script();
        self.make_tmp()?;
        let answers =
            || async { greeting_of_socket(&self.home.socket(), Duration::from_secs(2)).await.is_ok() };
        self.launch(&script, &self.home.tmp(), deadline, answers, None).await
    }

    pub(super) fn make_tmp(&self) -> Result<()> {
        let tmp = self.home.tmp();
        if !tmp.is_dir() {
            system::private_dir(&tmp)?;
            system::give_to(&tmp, system::owner(&self.home.data())?)?;
        }
        Ok(())
    }

    /// Runs a start script, and waits until the server answers.
    ///
    /// `tmp` is for the socket and temporary files. If this fails or is interrupted, [`Self::pid`]
    /// finds a server that the script started before this returns. A server that did not get what was
    /// `meant` is ended.
    pub(super) async fn launch<F>(
        &self,
        script: &Path,
        tmp: &Path,
        deadline: Duration,
        answers: impl FnMut() -> F,
        meant: Option<&Wired>,
    ) -> Result<u32>
    where
        F: Future<Output = bool>,
    {
        let log = ErrorLog::mark(self.home);
        let port = self
            .home
            .database_params()
            .map_err(|why| anyhow!("cannot use conf/database_params.conf: {why}"))?
            .port;
        self.drop_stale_socket_lock(&tmp.join(start_script::SOCKET))?;
        let output = self.home.path("logs/pmp-ha-startdb.log");
        if let Some(folder) = output.parent() {
            fs::create_dir_all(folder)?;
        }
        let args = [port.to_string(), tmp.to_string_lossy().into_owned()];
        let mut child = system::spawn_script(script, &args, &output)?;
        let up = self.wait_for_answer(&mut child, deadline, answers, &log, &output, meant).await;
        if up.is_err() {
            self.wait_for_lock(&mut child).await?;
        }
        up.and_then(|pid| self.require_account(pid).map(|()| pid))
    }

    /// Ends a server that was started with other options than were meant.
    pub(super) async fn refuse_server(&self, pid: u32, wrong: &[String]) -> anyhow::Error {
        let mut failure = Failure::new(Kind::Failed, NOT_HANDED);
        failure.because.extend(wrong.iter().map(|wrong| format!("process {pid}: {wrong}")));
        // What was started is ended, whoever wants to stop.
        let ended = self.end(pid, UNWANTED_GRACE, &Interrupt::default()).await;
        failure
            .because(match ended {
                Ok(()) => format!("process {pid} was ended; nothing was done inside its database"),
                Err(error) => format!("process {pid} still runs: {error:#}"),
            })
            .hint("Write mysqld's options into the line of bin/startDB.sh that starts it, each as a separate word.")
            .into()
    }

    /// Returns whether a boot failed because of the start script, before any work in the database.
    #[must_use]
    pub fn was_not_let_in(error: &anyhow::Error) -> bool {
        error.downcast_ref::<Failure>().is_some_and(|failure| failure.what == NOT_HANDED)
    }

    /// Refuses a server that acts as root on the data of another account.
    fn require_account(&self, pid: u32) -> Result<()> {
        let owner = system::owner(&self.home.data())?;
        if owner.is_root() || !system::acts_as_root(pid) {
            return Ok(());
        }
        let name = owner.name();
        bail!(
            Failure::new(Kind::Failed, "the database runs as root")
                .code("database-runs-as-root")
                .because(format!("process {pid} runs as root, and its data belong to {name}"))
                .hint(format!("Make the start script pass `--user={name}` to mysqld."))
        )
    }

    /// Waits until a script that was cut off has brought up a server that holds its data, or none. One that
    /// runs on without a server is ended: nobody waits for what it waits for.
    async fn wait_for_lock(&self, child: &mut Child) -> Result<()> {
        let begun = Instant::now();
        while self.pid()?.is_none() && begun.elapsed() < LOCK_GRACE {
            // The server is a child of its script, and of the same group.
            let runs_on = ended(child)?.is_none();
            if !runs_on && !system::is_group_alive(child.id()) {
                break;
            }
            if runs_on
                && begun.elapsed() > SCRIPT_GRACE
                && system::server_of_group(child.id(), &PROGRAMS).is_none()
            {
                system::kill_group(child.id());
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    /// Waits until a server that a run started before it was cut off holds its data, or has ended. At first it
    /// is a shell with one of these `words`, the script or an option, and only its child becomes a server.
    pub(super) async fn wait_for_start(&self, words: &[String]) -> Result<()> {
        let owners = self.home.owners();
        let starts = || words.iter().any(|word| !system::processes_with(word, &owners).is_empty());
        let begun = Instant::now();
        while self.pid()?.is_none() && starts() && begun.elapsed() < LOCK_GRACE {
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    async fn wait_for_answer<F>(
        &self,
        child: &mut Child,
        deadline: Duration,
        mut answers: impl FnMut() -> F,
        log: &ErrorLog,
        output: &Path,
        meant: Option<&Wired>,
    ) -> Result<u32>
    where
        F: Future<Output = bool>,
    {
        let begun = Instant::now();
        let mut script_ended = None;
        let mut last_holder = None;
        let mut unread = meant;
        let gone = loop {
            self.interrupt.check()?;
            let holder = self.pid()?;
            if let Some(meant) = unread
                && let Some(pid) = holder.or_else(|| system::server_of_group(child.id(), &PROGRAMS))
            {
                let words = system::command_line_of(pid);
                // One that becomes another program at this moment has no words. It is read at the next look.
                if !words.is_empty() {
                    let wrong = start_script::not_reached(&meant.option, &meant.asked, &words);
                    // One that has our option file lets us in, and what came with that is taken out first.
                    if !words.contains(&meant.option) && system::is_alive(pid) {
                        return Err(self.refuse_server(pid, &wrong).await);
                    }
                    unread = None;
                }
            }
            last_holder = holder.or(last_holder);
            if let Some(pid) = holder
                && answers().await
            {
                return Ok(pid);
            }
            if script_ended.is_none() {
                script_ended = ended(child)?.map(|ok| (ok, Instant::now()));
            }
            if let (Some((ok, since)), None) = (script_ended, holder) {
                // MySQL 8 and later let go of the lock for a moment while they start.
                let died = last_holder.map_or(since.elapsed() > LOCK_GRACE, |pid| !system::is_alive(pid));
                if !ok || died || log.says_aborting() {
                    break "the server ended while it was starting".to_owned();
                }
            }
            if begun.elapsed() > deadline {
                break format!("it does not answer after {} s", deadline.as_secs());
            }
            self.interrupt.sleep(TICK).await?;
        };
        let mut failure = Failure::new(Kind::Failed, "the database did not start")
            .code("database-not-started")
            .because(gone);
        failure.because.extend(log.complaints().into_iter().map(|line| format!("its log says: {line}")));
        bail!(failure.hint(format!("Read {} and {}.", log.path().display(), output.display())))
    }

    /// A killed `MySQL` 5.7 or later leaves its number beside its socket, and none starts while
    /// any process has that number: after a power failure a stranger may well have it.
    fn drop_stale_socket_lock(&self, socket: &Path) -> Result<()> {
        let starting = self.servers_with(&format!("--socket={}", socket.display()));
        if self.pid()?.is_none() && starting.is_empty() {
            remove(&socket.with_extension("sock.lock"))?;
        }
        Ok(())
    }

    /// Stops the server, and waits until it is gone. Returns whether it ran.
    ///
    /// It uses the product's own script, or SIGTERM if that has no effect.
    pub async fn stop(&self, deadline: Duration) -> Result<bool> {
        let datadir = format!("--datadir={}", self.home.data().display());
        self.wait_for_start(&[self.home.start_script().display().to_string(), datadir.clone()]).await?;
        // A server that is still starting may not hold the lock yet; its command line tells it.
        let starting = self.servers_with(&datadir).into_iter().next();
        let Some(pid) = self.pid()?.or(starting) else {
            return Ok(false);
        };
        if self.offline_boots().contains(&pid) {
            // It does not listen where the product's script looks for it.
            self.end(pid, deadline, self.interrupt).await?;
            return Ok(true);
        }
        self.wait_until_it_hears(pid, self.interrupt).await?;
        // ignored: a server that does not let us in stops all the same, only later
        let _ = quiet::before_stop(self.home).await;
        let stopped = self.run_stop_script(deadline, pid).await;
        if stopped.is_err() {
            // ignored: a server that is about to end lets nobody in, and needs no events
            let _ = quiet::events_on(self.home).await;
        }
        stopped.map(|()| true)
    }

    async fn run_stop_script(&self, deadline: Duration, pid: u32) -> Result<()> {
        let params = self
            .home
            .database_params()
            .map_err(|why| anyhow!("cannot use conf/database_params.conf: {why}"))?;
        let script = self.home.path("bin").join(system::STOP_SCRIPT);
        if script.is_file() {
            // Never with the password: it would stand in the process list.
            let args =
                [params.port.to_string(), params.username, self.home.tmp().to_string_lossy().into_owned()];
            let mut child = system::spawn_script(&script, &args, &self.home.path("logs/pmp-ha-stopdb.log"))?;
            let begun = Instant::now();
            while begun.elapsed() < STOP_SCRIPT_GRACE && self.pid()?.is_some() {
                if ended(&mut child)?.is_some_and(|ok| !ok) {
                    break;
                }
                self.interrupt.sleep(TICK).await?;
            }
        }
        self.end(pid, deadline, self.interrupt).await
    }

    /// Asks the process to end cleanly, and waits until it has unlocked the data.
    ///
    /// It stops waiting if the operator interrupts it.
    pub(super) async fn end(&self, pid: u32, deadline: Duration, interrupt: &Interrupt) -> Result<()> {
        self.wait_until_it_hears(pid, interrupt).await?;
        let begun = Instant::now();
        let holds = || -> Result<bool> { Ok(self.pid()?.is_some() || system::is_alive(pid)) };
        if holds()? {
            system::terminate(pid)?;
        }
        let mut anew = 1;
        while holds()? {
            // MySQL 5.6 may wait for a session whose connection it has closed itself, until the session's own
            // time limit: eight hours.
            if begun.elapsed() > anew * ANEW_EVERY {
                system::wait_anew(pid)?;
                anew += 1;
            }
            if begun.elapsed() > deadline {
                let held = format!("process {pid} still holds its data after {} s", deadline.as_secs());
                let mut failure = Failure::new(Kind::Failed, "the database did not stop")
                    .code("database-not-stopped")
                    .because(held);
                let lines = ErrorLog::whole(self.home).last_lines();
                failure.because.extend(lines.iter().map(|line| format!("its log says: {line}")));
                bail!(failure.hint("Wait: it is writing its pages to the disk. Do not kill it."));
            }
            interrupt.sleep(TICK).await?;
        }
        Ok(())
    }

    /// Waits until a server that is starting answers: `MariaDB` locks itself up for good when
    /// SIGTERM meets it just before that. One that is ending, or frozen, does not answer.
    async fn wait_until_it_hears(&self, pid: u32, interrupt: &Interrupt) -> Result<()> {
        let begun = Instant::now();
        let words = system::command_line_of(pid);
        let given = words.iter().find_map(|word| word.strip_prefix("--socket="));
        let socket = given.map_or_else(|| self.home.socket(), PathBuf::from);
        while system::is_alive(pid) && begun.elapsed() < HEARING_GRACE {
            let greeting = greeting_of_socket(&socket, Duration::from_secs(1)).await;
            let deaf = [BlindReason::Unreachable, BlindReason::Silent];
            if greeting.map_or_else(|blind| !deaf.contains(&blind.why), |_| true) {
                break;
            }
            interrupt.sleep(TICK).await?;
        }
        Ok(())
    }

    /// The servers that were given this argument. A stranger's process with the same words is none.
    pub(super) fn servers_with(&self, argument: &str) -> Vec<u32> {
        let mut found = system::processes_with(argument, &self.home.owners());
        found.retain(|pid| system::runs_program(*pid, &PROGRAMS));
        found
    }

    /// The lines of the server's error log that speak of one of `words`, the first few of them.
    #[must_use]
    pub fn said(&self, words: &[&str]) -> Vec<String> {
        const SHOWN: usize = 3;
        const LONGEST: usize = 300;
        let text = ErrorLog::whole(self.home).since();
        let speaks = |line: &&str| {
            let line = line.to_lowercase();
            words.iter().any(|word| line.contains(word))
        };
        let shown = |line: &str| line.trim().chars().take(LONGEST).collect();
        text.lines().filter(speaks).map(shown).take(SHOWN).collect()
    }
}

/// Whether the script has ended, and if so, whether it ended well.
fn ended(child: &mut Child) -> Result<Option<bool>> {
    Ok(child.try_wait()?.map(|status| status.success()))
}
