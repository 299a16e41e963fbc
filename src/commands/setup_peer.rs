//! The remote part of `setup --peer`: queries, the transfer, and commands there.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fs_err as fs;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::adapters::bytes::digest::hash_file_until;
use crate::adapters::remote::Remote;
use crate::cli::SetupArgs;
use crate::domain::doctor::report::{DoctorReport, DoctorTopic, Grade};
use crate::domain::pair::Role;
use crate::domain::procedures::setup::is_in_the_way;
use crate::failure::{Failure, Kind};

/// The point of `doctor` that tells which build of the product it is.
const BUILD: &str = "edition-not-shown";

/// The other machine, and pmp-ha there.
pub(super) struct OtherSide<'a> {
    context: &'a Context<'a>,
    remote: Remote,
    program: String,
    home: Option<PathBuf>,
}

/// What `doctor` there says, as far as it matters here.
#[derive(Deserialize)]
struct DoctorSaid {
    tool: String,
    role: Role,
    in_a_pair: bool,
    points: Vec<SeenPoint>,
}

#[derive(Deserialize)]
struct SeenPoint {
    topic: DoctorTopic,
    grade: Grade,
    code: Option<String>,
    what: String,
    evidence: Option<String>,
    hint: Option<String>,
}

impl SeenPoint {
    fn has(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

/// What the other node still wants to know.
pub(super) struct OtherNode {
    /// Whether it has no key yet that can be the one of the data.
    pub wants_key: bool,
}

#[derive(Deserialize)]
struct Arrived {
    file: String,
    was_there: bool,
}

#[derive(Deserialize)]
struct Failed {
    error: FailedWith,
}

#[derive(Deserialize)]
struct FailedWith {
    what: String,
    because: Vec<String>,
    hint: Option<String>,
}

impl<'a> OtherSide<'a> {
    pub(super) fn new(context: &'a Context<'a>, args: &SetupArgs) -> Option<Self> {
        let target = args.peer.clone()?;
        let remote = Remote::new(target, args.ssh_config.clone(), context.ui.can_ask());
        Some(Self { context, remote, program: args.peer_program.clone(), home: args.peer_home.clone() })
    }

    /// Its name for `ssh`.
    pub(super) fn name(&self) -> String {
        self.remote.target().to_string()
    }

    fn words(&self, more: &[&str]) -> Vec<String> {
        let home = self.home.as_ref().map(|home| ["--home".to_owned(), home.display().to_string()]);
        [self.program.clone()]
            .into_iter()
            .chain(home.into_iter().flatten())
            .chain(more.iter().map(ToString::to_string))
            .collect()
    }

    /// Shows the command before it runs.
    fn announce(&self, words: &[String], reads: Option<&Path>) {
        let from = reads.map(|file| format!(" < {}", file.display())).unwrap_or_default();
        self.context.ui.say(format!("  $ {}{from}", self.remote.shown(words)));
    }

    /// Checks the other node with its own `doctor`.
    ///
    /// # Errors
    /// Refuses a node on which the other half would fail.
    pub(super) async fn check(&self, primary: &str, here: &DoctorReport) -> Result<OtherNode> {
        let words = self.words(&["--json", "doctor", "--peer", primary]);
        self.announce(&words, None);
        let spinner = self.context.ui.spinner("the other node is checked");
        let ended = self.remote.ask(&words, &self.context.interrupt).await?;
        drop(spinner);
        let seen: DoctorSaid = self.understood(&ended.stdout, &ended.last)?;
        let name = self.name();
        if seen.role != Role::Secondary {
            bail!(
                self.refused(format!("the installation there is a {}", seen.role))
                    .code("other-node-not-ready")
                    .hint("Name the machine of the secondary with --peer, and its installation with --peer-home.")
            );
        }
        let own =
            here.points.iter().find(|point| point.code == Some(BUILD)).and_then(|p| p.evidence.as_ref());
        let its = seen.points.iter().find(|point| point.has(BUILD)).and_then(|p| p.evidence.as_ref());
        if let (Some(own), Some(its)) = (own, its)
            && own != its
        {
            bail!(
                self.refused(format!("its Password Manager Pro differs: here {own}, there {its}"))
                    .code("pack-other-build")
                    .hint("Install the same build on both machines.")
            );
        }
        if seen.tool != here.tool {
            self.context
                .ui
                .warn(format!("pmp-ha there has the version {}, and here {}", seen.tool, here.tool));
        }
        let stops = |p: &&SeenPoint| is_in_the_way(p.topic, p.grade, p.code.as_deref());
        let mut in_the_way = seen.points.iter().filter(stops).peekable();
        if let Some(first) = in_the_way.peek() {
            let hint = first.hint.clone().unwrap_or_default();
            let failure = Failure::new(Kind::Refused, format!("{name} cannot be set up yet")).hint(hint);
            bail!(in_the_way.fold(failure.code("other-node-not-ready"), |failure, point| {
                let evidence = point.evidence.as_deref().unwrap_or("its `pmp-ha doctor` reports this");
                failure.because(format!("{}: {evidence}", point.what))
            }));
        }
        let key = seen.points.iter().any(|p| p.topic == DoctorTopic::Key && p.grade == Grade::Failed);
        let says =
            if seen.points.iter().any(|p| p.grade == Grade::Warning) { "with warnings" } else { "ready" };
        self.context.ui.say(format!("  {name}: a secondary, {says}"));
        for point in seen.points.iter().filter(|p| p.grade == Grade::Warning && !p.has("name-slow")) {
            self.context.ui.warn(format!(
                "{name}: {}, because {}",
                point.what,
                point.evidence.as_deref().unwrap_or("its `pmp-ha doctor` reports this")
            ));
        }
        Ok(OtherNode { wants_key: !seen.in_a_pair || key })
    }

    /// Sends a pack, unless it is there. Returns its path there.
    pub(super) async fn send(&self, file: &Path) -> Result<String> {
        let size = fs::metadata(file)?.len();
        let (path, interrupt) = (file.to_path_buf(), self.context.interrupt.clone());
        let sha256 = tokio::task::spawn_blocking(move || hash_file_until(&path, &interrupt)).await??;
        let encrypted = file.extension().is_some_and(|end| end == "age");
        let (size_text, hash) = (size.to_string(), sha256.to_string());
        let mut more = vec!["--json", "receive-pack", &size_text, &hash];
        if encrypted {
            more.push("--encrypted");
        }
        let words = self.words(&more);
        self.announce(&words, Some(file));
        let progress = self.context.ui.progress("sending", size);
        let ended = self.remote.send(&words, file, progress, &self.context.interrupt).await?;
        let arrived: Arrived = self.understood(&ended.stdout, &ended.last)?;
        let how = if arrived.was_there { "was there already" } else { "has arrived, and is complete" };
        self.context.ui.say(format!("  {}:{} {how}", self.name(), arrived.file));
        Ok(arrived.file)
    }

    /// Runs `setup` there, and prints its output.
    pub(super) async fn set_up(&self, pack: &str, args: &SetupArgs) -> Result<()> {
        let wait = args.wait.to_string();
        let key = args.key.as_ref().map(|key| key.display().to_string());
        let mut more = vec!["--yes", "setup", "--pack", pack, "--wait", &wait];
        if let Some(key) = &key {
            more.extend(["--key", key]);
        }
        if args.stop {
            more.push("--stop");
        }
        if args.port_is_forwarded {
            more.push("--port-is-forwarded");
        }
        let words = self.words(&more);
        self.announce(&words, None);
        let (ui, name) = (self.context.ui, self.name());
        let ended = self
            .remote
            .follow(&words, &self.context.interrupt, |line| ui.say(format!("  {name}| {line}")))
            .await?;
        if ended.code == 0 {
            return Ok(());
        }
        bail!(
            Failure::new(Kind::Failed, format!("{name} is not set up"))
                .because(format!("`pmp-ha setup` there ended with exit code {}: {}", ended.code, ended.last))
                .hint("Follow its messages above on that node. Then run `pmp-ha setup` here again: it resumes there.")
        )
    }

    fn refused(&self, why: String) -> Failure {
        Failure::new(Kind::Refused, format!("{} cannot be set up", self.name())).because(why)
    }

    /// Reads an answer of pmp-ha there.
    fn understood<T: DeserializeOwned>(&self, text: &str, last: &str) -> Result<T> {
        if let Ok(answer) = serde_json::from_str(text) {
            return Ok(answer);
        }
        let failed = serde_json::from_str::<Failed>(text).map(|failed| failed.error).ok();
        let Some(FailedWith { what, because, hint }) = failed else {
            let said = if last.is_empty() { "pmp-ha does not understand its answer" } else { last };
            bail!(
                self.refused(format!("pmp-ha there did not answer: {said}"))
                    .code("other-node-not-ready")
                    .hint("Install the same version of pmp-ha on both machines.")
            );
        };
        let failure = self.refused(format!("pmp-ha there says: {what}")).code("other-node-not-ready");
        let failure = because.into_iter().fold(failure, Failure::because);
        bail!(failure.hint(hint.unwrap_or_else(|| "Fix that there first.".into())))
    }
}
