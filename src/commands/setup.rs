//! `pmp-ha setup`: leads through the manual on this node, by the commands that there are.
//!
//! It keeps nothing of its own. What is there tells which step is next, before each of them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use super::install_pack::Peeked;
use super::setup_peer::OtherSide;
use super::{Context, absolute, doctor, install_pack, key, opening, pack, service, verify};
use crate::adapters::home::Home;
use crate::adapters::home::journal_file::JournalFile;
use crate::adapters::look;
use crate::adapters::server::process::Database;
use crate::adapters::system;
use crate::apply::{cut_off_run, refuse_cut_off_run};
use crate::cli::{Global, InstallPackArgs, KeyArgs, PackArgs, SetupArgs};
use crate::config::Config;
use crate::domain::doctor::report::{DoctorReport, Grade};
use crate::domain::health::Status;
use crate::domain::journal::done_runs;
use crate::domain::pair::{Endpoint, Membership, Role};
use crate::domain::plan::Command;
use crate::domain::procedures::key::{Expected, check};
use crate::domain::procedures::setup::{
    SetupItem, SetupScene, SetupStep, StepState, in_the_way, next_of, outline, takes_up,
};
use crate::domain::report::{Report, Verdict};
use crate::failure::{Failure, Kind};

/// How often the pair is looked at while it is waited for.
const PAUSE: Duration = Duration::from_secs(1);

/// So often somebody may answer wrongly, or say that the product is stopped while it runs.
const TRIES: usize = 5;

/// What a run of `setup` came to.
#[derive(Serialize)]
struct SetUp {
    home: String,
    role: Role,
    dry_run: bool,
    steps: Vec<SetupItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high_availability: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<Status>,
    /// What you carry to the other node.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    carry: Vec<Carried>,
    next: String,
}

#[derive(Serialize)]
struct Carried {
    file: String,
    to: String,
}

impl fmt::Display for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dry_run {
            writeln!(f, "Set up {}, the {}", self.home, self.role)?;
            for (number, item) in self.steps.iter().enumerate() {
                let how = match item.state {
                    StepState::Done => "done: ",
                    StepState::ByYou => "yours: ",
                    StepState::Due => "",
                };
                writeln!(f, "  {}. {how}{}. {}", number + 1, item.what, item.why)?;
            }
        }
        if let (Some(high_availability), Some(replication)) = (self.high_availability, self.replication) {
            writeln!(f, "High Availability Status: {high_availability}")?;
            writeln!(f, "Replication Status: {replication}")?;
        }
        if !self.carry.is_empty() {
            writeln!(f, "Copy to the other node:")?;
        }
        for Carried { file, to } in &self.carry {
            writeln!(f, "  {file}")?;
            writeln!(f, "    {to}")?;
        }
        write!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: SetupArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let talk = context.ui.inside();
    let inner = Context {
        ui: &talk,
        interrupt: context.interrupt.clone(),
        global: Global { home: Some(home.root().to_path_buf()), json: false, ..context.global.clone() },
    };
    let open = cut_off_run(&home)?.map(|run| run.plan.command);
    if open.is_some_and(|command| !takes_up(command)) {
        refuse_cut_off_run(&home)?;
    }
    let role = match open {
        Some(Command::Pack) => Role::Primary,
        Some(Command::InstallPack) => Role::Secondary,
        _ => home.membership()?.map_or_else(|| home.role(), |own| own.role),
    };
    refuse_answers_of_the_other_role(role, &args)?;
    let other = OtherSide::new(&inner, &args);
    let mut guide = Guide { context, inner: &inner, home, config, args, role, other };
    Box::pin(guide.run()).await.map_err(|error| {
        let failure = Failure::from_error(error);
        if failure.kind != Kind::Interrupted || failure.hint.is_some() {
            return failure.into();
        }
        failure.hint("Run `pmp-ha setup` again at any time: it resumes at this step.").into()
    })
}

/// Refuses an answer to a question that is not asked on this node: something was mixed up.
fn refuse_answers_of_the_other_role(role: Role, args: &SetupArgs) -> Result<()> {
    let given: &[(&str, bool)] = match role {
        Role::Primary => &[
            ("--pack", args.pack.is_some()),
            ("--db-password-file", args.db_password_file.is_some()),
            ("--identity", args.opening.identity.is_some()),
            ("--signed-by", args.opening.signed_by.is_some()),
            ("--key", args.key.is_some() && args.peer.is_none()),
        ],
        Role::Secondary => &[
            ("--primary", args.primary.is_some()),
            ("--secondary", args.secondary.is_some()),
            ("--new-pack", args.new_pack),
            ("--peer", args.peer.is_some()),
        ],
    };
    let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
    let (of, where_to) = match role {
        Role::Primary => ("secondary", "Omit it here, and pass it on the secondary."),
        Role::Secondary => ("primary", "Omit it here. If you want to run this on the primary, run it there."),
    };
    bail!(
        Failure::new(Kind::Usage, format!("{option} is for the {of}"))
            .because(format!("this node is the {role}"))
            .hint(where_to)
    )
}

/// A run on one node.
struct Guide<'a> {
    context: &'a Context<'a>,
    /// What the commands get that it runs.
    inner: &'a Context<'a>,
    home: Home,
    config: Config,
    /// The answers, as they are given.
    args: SetupArgs,
    role: Role,
    other: Option<OtherSide<'a>>,
}

impl Guide<'_> {
    async fn run(&mut self) -> Result<()> {
        let ui = self.inner.ui;
        let report = self.check().await?;
        let mut steps = outline(self.role, &self.look().await?);
        if self.context.global.dry_run {
            return self.told(steps, None);
        }
        self.show(&steps);
        self.be_answered(&steps, &report).await?;
        let mut done = BTreeSet::new();
        while let Some(item) = next_of(&steps).filter(|item| item.state == StepState::Due) {
            if !done.insert(item.step) {
                bail!(
                    Failure::new(Kind::Failed, format!("this step ran, but it is not done: {}", item.what))
                        .because("a check of this home shows it")
                        .hint("Somebody else may be working on this home: check with `pmp-ha doctor`.")
                );
            }
            let number = steps.iter().take_while(|other| other.step != item.step).count() + 1;
            ui.say(format!("\nStep {number} of {}: {}. {}", steps.len(), item.what, item.why));
            if item.step == SetupStep::Verify {
                break;
            }
            self.act(item.step).await?;
            steps = outline(self.role, &self.look().await?);
            if item.step == SetupStep::OtherNode {
                // It was done there. Whether this node has seen it already, the next step tells.
                steps
                    .iter_mut()
                    .filter(|other| other.step == item.step)
                    .for_each(|it| it.state = StepState::Done);
            }
        }
        let verdict = match next_of(&steps).map(|item| item.step) {
            Some(SetupStep::Verify) => Some(self.wait_alive().await?),
            None => Some(Verdict::ALIVE),
            Some(_) => None,
        };
        if verdict == Some(Verdict::ALIVE)
            && let Some(verify) = steps.iter_mut().find(|item| item.step == SetupStep::Verify)
        {
            verify.state = StepState::Done;
        }
        self.told(steps, verdict)?;
        if verdict.is_some_and(|verdict| verdict != Verdict::ALIVE) {
            bail!(Failure::new(Kind::NotAlive, "the pair is not Alive"));
        }
        Ok(())
    }

    /// Checks everything that can be seen, before anything is asked or done.
    async fn check(&self) -> Result<DoctorReport> {
        let ui = self.inner.ui;
        ui.say(format!("{} is the {}. pmp-ha checks it first.", self.home.root().display(), self.role));
        let spinner = ui.spinner("this node is checked");
        let looked = doctor::examined(self.inner, &self.home, &self.config, self.args.secondary.as_ref());
        let report = self.inner.interrupt.or(Box::pin(looked)).await?;
        drop(spinner);
        ui.detail(&report);
        let in_the_way = in_the_way(&report.points);
        if !in_the_way.is_empty() {
            bail!(Failure::refused(in_the_way));
        }
        for point in report.points.iter().filter(|point| point.grade == Grade::Warning) {
            let evidence = point.evidence.as_deref().unwrap_or("it was seen");
            let hint = point.hint.as_deref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            ui.warn(format!(
                "{} [{}]\n  because {evidence}{hint}",
                point.what,
                point.code.unwrap_or_default()
            ));
        }
        Ok(report)
    }

    fn show(&self, steps: &[SetupItem]) {
        let ui = self.inner.ui;
        ui.say(format!("The steps on the {}:", self.role));
        for (number, item) in steps.iter().enumerate() {
            let how = match item.state {
                StepState::Done => "  (nothing to do)",
                StepState::ByYou => "  (by you)",
                StepState::Due if item.step == SetupStep::Check => "  (done)",
                StepState::Due => "",
            };
            ui.say(format!("  {}. {}{how}", number + 1, item.what));
        }
    }

    /// Looks at what is there.
    async fn look(&self) -> Result<SetupScene> {
        let (home, member) = (&self.home, self.home.membership()?);
        let cut_off = cut_off_run(home)?.map(|run| run.plan.command);
        let database_runs = Database::of(home, &self.inner.interrupt).serving_pid().await?.is_some();
        let is_alive = member.is_some()
            && database_runs
            && cut_off.is_none()
            && self.report().await?.verdict() == Verdict::ALIVE;
        let wants_another_pack = match self.role {
            Role::Primary => {
                self.args.new_pack || member.as_ref().is_some_and(|own| self.has_other_names(own))
            }
            Role::Secondary => match &self.args.pack {
                Some(file) => !self.peeked(file)?.is_installed,
                None => false,
            },
        };
        Ok(SetupScene {
            cut_off,
            key_is_right: self.key_is_right(member.as_ref()),
            member: member.map(|own| own.role),
            product_runs: !look::home::product_processes(home).is_empty(),
            database_runs,
            wants_another_pack,
            is_alive,
            has_peer: self.other.is_some(),
        })
    }

    /// Whether the names on the command line are others than those of the pair.
    fn has_other_names(&self, own: &Membership) -> bool {
        let differs = |named: Option<&Endpoint>, role| {
            let node = own.pair.node(role);
            named.is_some_and(|named| {
                named.host != node.host || named.port.is_some_and(|port| port != node.db_port)
            })
        };
        differs(self.args.primary.as_ref(), Role::Primary)
            || differs(self.args.secondary.as_ref(), Role::Secondary)
    }

    fn peeked(&self, file: &Path) -> Result<Peeked> {
        let opening = opening(self.args.opening.clone(), &self.config.pack)?;
        install_pack::peek(&self.home, &absolute(file), &opening)
    }

    /// Whether the configuration names a key that can be the one of the data. A key outside of the home may
    /// be away after each start.
    fn key_is_right(&self, member: Option<&Membership>) -> bool {
        let (Some(path), Some(own)) = (self.home.key_path(), member) else { return false };
        let expected = Expected::from(own.key_fingerprint.clone());
        let is_known = matches!(expected, Expected::Fingerprint(_));
        let scene = look::home::key(&self.home, &path, expected);
        let is_named =
            self.args.key.as_ref().is_none_or(|named| {
                look::home::key(&self.home, named, Expected::AskTheData).path == scene.path
            });
        let can_be = match check(&scene) {
            Ok(_) => is_known || !scene.inside_home,
            Err(_) => scene.file.is_err() && !scene.inside_home,
        };
        is_named && can_be
    }

    async fn report(&self) -> Result<Report> {
        match Box::pin(verify::look(self.inner, &self.home, &self.config, false)).await? {
            Some(report) => Ok(report),
            None => bail!(Failure::interrupted()),
        }
    }

    /// Asks every question before the first change. Without a terminal, an option must have the answer.
    async fn be_answered(&mut self, steps: &[SetupItem], report: &DoctorReport) -> Result<()> {
        let is_due = |step| steps.iter().any(|item| item.step == step && item.state == StepState::Due);
        if is_due(SetupStep::Pack) {
            let own = self.home.membership()?;
            let known = |role| own.as_ref().map(|own| own.pair.node(role).to_string());
            let here = known(Role::Primary).unwrap_or_else(system::host_name);
            let (primary, secondary) = (self.args.primary.take(), self.args.secondary.take());
            self.args.primary = Some(self.named(primary, "primary", Some(&here), own.is_some())?);
            let there = known(Role::Secondary);
            self.args.secondary =
                Some(self.named(secondary, "secondary", there.as_deref(), own.is_some())?);
        }
        let mut expected =
            self.home.membership()?.map_or(Expected::AskTheData, |own| own.key_fingerprint.into());
        if is_due(SetupStep::InstallPack) {
            let file = self.pack_file()?;
            // It is opened before anything is stopped.
            expected =
                self.peeked(&file)?.key_fingerprint.map_or(Expected::AskTheData, Expected::Fingerprint);
            self.args.pack = Some(file);
        }
        if is_due(SetupStep::Stop) {
            self.require_permission_to_stop()?;
        }
        if is_due(SetupStep::OtherNode)
            && let Some(other) = &self.other
        {
            let primary = match (&self.args.primary, self.home.membership()?) {
                (Some(named), _) => shown(named),
                (None, Some(own)) => own.this().to_string(),
                (None, None) => system::host_name(),
            };
            let there = Box::pin(other.check(&primary, report)).await?;
            if there.wants_key && self.args.key.is_none() {
                let question = format!("Full path of the primary's pmp_key.key on {}", other.name());
                self.args.key =
                    Some(self.ask(&question, "--key", "the encryption key on the secondary")?.into());
            }
        }
        if is_due(SetupStep::Key) {
            self.args.key = Some(self.key_file(&expected)?);
        }
        Ok(())
    }

    /// Returns a file that can be the key of the data. Somebody at a terminal may try again.
    fn key_file(&mut self, expected: &Expected) -> Result<PathBuf> {
        let mut given = self.args.key.take();
        for tried in 1.. {
            let path = match given.take() {
                Some(path) => path,
                None => {
                    self.ask("Full path of the primary's pmp_key.key", "--key", "the encryption key")?.into()
                }
            };
            let Err(why) = check(&look::home::key(&self.home, &path, expected.clone())) else {
                return Ok(path);
            };
            if tried == TRIES || !self.inner.ui.can_ask() {
                bail!(Failure::from(why));
            }
            self.inner.ui.warn(why);
        }
        bail!(unanswered("--key", "the encryption key"))
    }

    /// Asks a question whose answer is an option, too.
    fn ask(&self, question: &str, option: &str, what: &str) -> Result<String> {
        self.inner.ui.ask(question, unanswered(option, what))
    }

    /// Returns the name of a node. A pair that is there has names, which need no question.
    fn named(
        &self,
        given: Option<Endpoint>,
        role: &str,
        default: Option<&str>,
        is_known: bool,
    ) -> Result<Endpoint> {
        if let Some(given) = given {
            return Ok(given);
        }
        if let (true, Some(known)) = (is_known, default) {
            return known.parse().map_err(|why: String| Failure::new(Kind::Failed, why).into());
        }
        let ui = self.inner.ui;
        let question = match role {
            "primary" => "Name under which the secondary reaches this machine, HOST or HOST:DBPORT",
            _ => "Name of the secondary's machine, HOST or HOST:DBPORT",
        };
        let option = format!("--{role}");
        for _ in 0..TRIES {
            let missing = unanswered(&option, &format!("the name of the {role}"));
            let answer = ui.ask_with(question, default, missing)?;
            match answer.parse::<Endpoint>() {
                Ok(endpoint) => return Ok(endpoint),
                Err(why) => ui.warn(format!("{answer} is not a name: {why}")),
            }
        }
        bail!(unanswered(&option, &format!("the name of the {role}")))
    }

    fn pack_file(&self) -> Result<PathBuf> {
        let found = install_pack::find_pack(&self.home, self.args.pack.as_deref());
        let file = match found {
            Err(error) if self.args.pack.is_none() => {
                let mut missing = Failure::from_error(error);
                missing.hint = Some(
                    "Run `pmp-ha setup` on the primary: it makes the pack. Copy it into this home, or name it with --pack."
                        .into(),
                );
                absolute(Path::new(&self.inner.ui.ask("Full path of HAPack.zip", missing)?))
            }
            found => found?,
        };
        Ok(file)
    }

    fn require_permission_to_stop(&self) -> Result<()> {
        if self.inner.ui.can_ask() {
            return Ok(());
        }
        if let Some(why) = self.product_at_work() {
            bail!(why);
        }
        if self.args.stop {
            return Ok(());
        }
        bail!(
            Failure::new(Kind::Usage, "the database runs, and the next step needs it stopped")
                .because("there is no terminal to ask whether it may be stopped")
                .hint("Pass --stop, or run `pmp-ha stop` first.")
        )
    }

    /// The product itself, which only its own script stops.
    fn product_at_work(&self) -> Option<Failure> {
        let (pid, program) = look::home::product_processes(&self.home).into_iter().next()?;
        Some(
            Failure::new(Kind::Refused, "Password Manager Pro runs, and the next step needs it stopped")
                .code("home-in-use")
                .because(format!("process {pid} ({program}) works in {}", self.home.root().display()))
                .hint("Stop it with its own script. Then run `pmp-ha setup` again: it resumes at this step."),
        )
    }

    async fn act(&mut self, step: SetupStep) -> Result<()> {
        let inner = self.inner;
        match step {
            SetupStep::Check | SetupStep::Carry | SetupStep::Verify => Ok(()),
            SetupStep::Stop => self.stop().await,
            SetupStep::Pack => {
                let (Some(primary), Some(secondary)) = (&self.args.primary, &self.args.secondary) else {
                    bail!(unanswered("--primary", "the name of the primary"));
                };
                let args = PackArgs {
                    primary: primary.clone(),
                    secondary: secondary.clone(),
                    restart: true,
                    online: false,
                    new_secrets: false,
                    dense: false,
                    sign_with: None,
                    encrypt_to: None,
                };
                Box::pin(pack::run(inner, args)).await?;
                self.args.new_pack = false;
                Ok(())
            }
            SetupStep::InstallPack => {
                let args = InstallPackArgs {
                    file: self.args.pack.clone(),
                    in_place: false,
                    trust_unpacked: false,
                    older: false,
                    keep: false,
                    discard_old: false,
                    db_password_file: self.args.db_password_file.clone(),
                    port_is_forwarded: self.args.port_is_forwarded,
                    opening: self.args.opening.clone(),
                };
                Box::pin(install_pack::run(inner, args)).await
            }
            SetupStep::Key => {
                key::run(inner, KeyArgs { path: self.args.key.take(), check: false })?;
                Ok(())
            }
            SetupStep::Start => Box::pin(service::start(inner)).await,
            SetupStep::OtherNode => {
                let Some(other) = &self.other else { return Ok(()) };
                let file = self.made_pack()?.ok_or_else(|| {
                    Failure::new(Kind::Refused, "there is no pack here")
                        .code("pack-missing")
                        .because("the last pack is gone, or was never made")
                        .hint("Pass --new-pack: pmp-ha makes another one.")
                })?;
                let there = Box::pin(other.send(&file)).await?;
                Box::pin(other.set_up(&there, &self.args)).await
            }
        }
    }

    async fn stop(&self) -> Result<()> {
        let ui = self.inner.ui;
        for _ in 0..TRIES {
            let Some(why) = self.product_at_work() else { break };
            if !ui.can_ask() {
                bail!(why);
            }
            ui.say(format!("Password Manager Pro runs: {}.", why.because.join(", ")));
            ui.confirm("Stop it with its own script. Is it stopped now?")?;
        }
        if let Some(why) = self.product_at_work() {
            bail!(why);
        }
        let database = Database::of(&self.home, &self.inner.interrupt);
        if database.serving_pid().await?.is_none() {
            return Ok(());
        }
        if !self.args.stop {
            ui.confirm("Stop the database now?")?;
        }
        Box::pin(service::stop(self.inner)).await
    }

    /// The pack that was made here last, if it is still there.
    fn made_pack(&self) -> Result<Option<PathBuf>> {
        let records = JournalFile::at(self.home.journal()).read()?;
        let made = done_runs(&records).into_iter().find_map(|(_, plan)| Some(plan.pack()?.0.to_owned()));
        Ok(made.map(PathBuf::from).filter(|path| path.is_file()))
    }

    async fn wait_alive(&self) -> Result<Verdict> {
        let ui = self.inner.ui;
        let (begun, patience) = (Instant::now(), Duration::from_secs(self.args.wait));
        let spinner = ui.spinner("waiting until both nodes are Alive");
        let report = loop {
            let report = self.report().await?;
            if report.verdict() == Verdict::ALIVE || begun.elapsed() >= patience {
                break report;
            }
            self.inner.interrupt.sleep(PAUSE).await?;
        };
        drop(spinner);
        if report.verdict() != Verdict::ALIVE {
            ui.say(&report);
        }
        Ok(report.verdict())
    }

    /// Tells what a run came to, and what to do next.
    fn told(&self, steps: Vec<SetupItem>, verdict: Option<Verdict>) -> Result<()> {
        let own = self.home.membership()?;
        let is_left_to_you = verdict.is_none() && !self.context.global.dry_run;
        let carry = if is_left_to_you { self.to_carry(own.as_ref())? } else { Vec::new() };
        let peer = own.as_ref().map_or_else(|| "the other node".to_owned(), |own| own.peer().host.clone());
        let next = if self.context.global.dry_run {
            "run it without --dry-run".to_owned()
        } else if verdict == Some(Verdict::ALIVE) {
            "start Password Manager Pro on both nodes, and delete the copies of the pack; `pmp-ha monitor` watches the pair".to_owned()
        } else if is_left_to_you {
            format!(
                "start Password Manager Pro here; then run `pmp-ha setup` on {peer}, and `pmp-ha verify` on either node"
            )
        } else {
            "follow the hints, and run `pmp-ha verify`; the pair recovers by itself when the cause is gone"
                .to_owned()
        };
        self.context.ui.data(&SetUp {
            home: self.home.root().display().to_string(),
            role: self.role,
            dry_run: self.context.global.dry_run,
            steps,
            high_availability: verdict.map(|verdict| verdict.high_availability),
            replication: verdict.map(|verdict| verdict.replication),
            carry,
            next,
        })
    }

    fn to_carry(&self, own: Option<&Membership>) -> Result<Vec<Carried>> {
        let there = own.map_or("the secondary", |own| own.peer().host.as_str());
        let pack = match self.made_pack()? {
            Some(file) => Carried {
                file: file.display().to_string(),
                to: format!(
                    "into the home of Password Manager Pro on {there}; it contains the vault's data, so protect it while you copy it"
                ),
            },
            None => Carried {
                file: "the pack, which is no longer here".to_owned(),
                to: "if the secondary does not have it, run `pmp-ha setup --new-pack`".to_owned(),
            },
        };
        let key = self
            .home
            .key_path()
            .map_or_else(|| "pmp_key.key of this node".to_owned(), |path| path.display().to_string());
        let key = Carried {
            file: key,
            to: format!(
                "outside the home on {there}; copy it separately from the pack, because together they give access to the vault"
            ),
        };
        Ok(vec![pack, key])
    }
}

fn unanswered(option: &str, what: &str) -> Failure {
    Failure::new(Kind::Usage, format!("{what} is not known"))
        .because("there is no terminal to ask for it")
        .hint(format!("Pass {option}. `pmp-ha setup --help` lists the answers."))
}

/// An endpoint as it is typed.
fn shown(endpoint: &Endpoint) -> String {
    let host =
        if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    endpoint.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}
