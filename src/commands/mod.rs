//! The commands, one file each: parse, observe, decide, then show or apply.

mod alert;
mod config;
mod configuration;
mod doctor;
mod events;
mod explain;
mod generate;
mod history;
mod inspect;
mod install_pack;
mod key;
mod keygen;
mod lab;
mod may_start;
mod monitor;
mod monitor_unit;
mod pack;
mod page_address;
mod port;
mod promote;
mod protection;
mod receive_pack;
mod reconfigure;
mod recover;
mod rehearse;
mod rejoin;
mod repair;
mod resume;
mod return_channel;
mod rollback;
mod rotate;
mod service;
mod setup;
mod setup_peer;
mod support_bundle;
mod switchover;
mod teardown;
mod verify;
mod verify_deep;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Result, bail};

use crate::adapters::chronicle::{Chronicle, Entries};
use crate::adapters::clock;
use crate::adapters::home::{Home, entry, log_file};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::other_node;
use crate::adapters::pack::Opening;
use crate::adapters::pack::signature::Verifier;
use crate::adapters::system;
use crate::apply::{Runner, Settled, cut_off_run, refuse_half_exchanged};
use crate::cli::{Cli, Commands, Global, LabCommand, OpeningArgs};
use crate::config::{Config, ConfigFile, PackConfig};
use crate::domain::chronicle::occurrence::{Happening, Occurrence};
use crate::domain::pair::Role;
use crate::domain::plan::Plan;
use crate::domain::snapshot::{Blind, BlindReason};
use crate::domain::words::one_line;
use crate::failure::{Failure, Kind};
use crate::ui::Ui;

/// What every command works with.
struct Context<'a> {
    ui: &'a Ui,
    interrupt: Interrupt,
    global: Global,
}

/// Decides under which account this process acts.
///
/// Root becomes the home's owner before it does anything else.
///
/// # Errors
/// Refuses a home in which somebody else would direct what root does.
pub fn begin(cli: &Cli) -> Result<()> {
    system::protect_this_process()?;
    if let Commands::Lab(LabCommand::Down(args)) = &cli.command {
        return entry::enter_folder(&args.dir);
    }
    let home = match &cli.command {
        // It writes there; what it reads may belong to nobody else.
        Commands::Recover(args) if args.into.is_some() => args.into.as_deref().map(Home::open),
        Commands::Lab(LabCommand::Sql(args)) => Some(Home::open(&args.dir)),
        Commands::Keygen(_)
        | Commands::Lab(_)
        | Commands::Explain(_)
        | Commands::Completions(_)
        | Commands::Man(_) => None,
        // A unit is root's; nothing of the home is read or written for it.
        Commands::Monitor(args) if args.install || args.uninstall => None,
        _ => Some(cli.global.find_home()),
    };
    match home {
        Some(Ok(home)) => entry::enter(&home),
        // The command says so, if it needs one.
        Some(Err(_)) | None => Ok(()),
    }
}

/// Adds to a failure as whom this process acted, where that may be its cause.
#[must_use]
pub fn explained(failure: Failure) -> Failure {
    const DENIED: [&str; 2] = ["Permission denied", "Operation not permitted"];
    let says = |text: &String| DENIED.iter().any(|words| text.contains(words));
    let is_denied = says(&failure.what) || failure.because.iter().any(says);
    match system::became() {
        Some(name) if is_denied => failure
            .because(format!("root works on this home as its owner, {name}"))
            .hint(format!("Check its owner with `ls -ld`. If it is yours, run `chown --no-dereference {name}` on it, or put it where {name} can use it.")),
        _ => failure,
    }
}

/// Runs the command from the command line.
pub async fn run(cli: Cli, ui: &Ui) -> Result<()> {
    let context = Context { ui, interrupt: Interrupt::listen()?, global: cli.global };
    let (interrupt, stop) = (context.interrupt.clone(), ui.stop());
    tokio::spawn(async move {
        interrupt.wanted().await;
        stop.store(true, Ordering::SeqCst);
    });
    match cli.command {
        Commands::Setup(args) => Box::pin(setup::run(&context, args)).await,
        Commands::ReceivePack(args) => receive_pack::run(&context, args).await,
        Commands::Pack(args) => pack::run(&context, args).await,
        Commands::InstallPack(args) => install_pack::run(&context, args).await,
        Commands::Inspect(args) => inspect::run(&context, args).await,
        Commands::Keygen(args) => keygen::run(&context, &args),
        Commands::Rollback => rollback::run(&context).await,
        Commands::Rotate(args) => Box::pin(rotate::run(&context, args)).await,
        Commands::Resume => Box::pin(resume::run(&context)).await,
        Commands::History(args) => history::run(&context, &args),
        Commands::Events(args) => events::run(&context, &args),
        Commands::Key(args) if args.check => Box::pin(key::check_only(&context, args)).await,
        Commands::Key(args) => key::run(&context, args),
        Commands::Start => service::start(&context).await,
        Commands::Stop => service::stop(&context).await,
        Commands::Verify(args) if args.deep => Box::pin(verify_deep::run(&context, args)).await,
        Commands::Reconfigure(args) => reconfigure::run(&context, args).await,
        Commands::Verify(args) => Box::pin(verify::run(&context, args)).await,
        Commands::Recover(args) if args.promote => Box::pin(promote::run(&context, args)).await,
        Commands::Recover(args) => recover::run(&context, args).await,
        Commands::Switchover(args) => Box::pin(switchover::run(&context, args)).await,
        Commands::SupportBundle(args) => Box::pin(support_bundle::run(&context, args)).await,
        Commands::Teardown(args) => Box::pin(teardown::run(&context, args)).await,
        Commands::Rejoin(args) => rejoin::run(&context, args).await,
        Commands::Doctor(args) => Box::pin(doctor::run(&context, args)).await,
        Commands::Monitor(args) => Box::pin(monitor::run(&context, args)).await,
        Commands::Alert(command) => alert::run(&context, command).await,
        Commands::Config(command) => config::run(&context, command).await,
        Commands::MayStart(args) => may_start::run(&context, &args).await,
        Commands::Rehearse(args) => Box::pin(rehearse::run(&context, args)).await,
        Commands::Repair(args) => Box::pin(repair::run(&context, args)).await,
        Commands::Lab(command) => lab::run(&context, command).await,
        Commands::Explain(args) => explain::run(&context, &args),
        Commands::Completions(args) => generate::completions(&context, &args),
        Commands::Man(args) => generate::manual(&context, &args),
    }
}

impl Global {
    /// Returns whether no home was named, so that this program finds it. `PMP_HOME` may be empty.
    fn names_no_home(&self) -> bool {
        self.home.as_ref().is_none_or(|path| path.as_os_str().is_empty())
    }

    fn find_home(&self) -> Result<Home> {
        if let Some(named) = self.home.as_ref().filter(|_| !self.names_no_home()) {
            return Home::open(named);
        }
        let here = std::env::current_dir().unwrap_or_default();
        if let Some(around) = here.ancestors().find(|folder| Home::is_at(folder)) {
            return Home::open(around);
        }
        match system::home_of_service() {
            Some(root) => Home::open(&root),
            None => bail!(
                Failure::new(Kind::Usage, "no PMP home was named")
                    .code("no-home")
                    .because(format!(
                        "neither {} nor a folder above it is a PMP home, and {} does not exist",
                        here.display(),
                        system::SERVICE_LINK
                    ))
                    .hint("Name the installation folder with --home or PMP_HOME.")
            ),
        }
    }
}

impl Context<'_> {
    /// Returns whether no home was named, so that this program finds it.
    fn names_no_home(&self) -> bool {
        self.global.names_no_home()
    }

    /// Returns the home that the command is about. Root works on no home that it has not entered.
    fn home(&self) -> Result<Home> {
        let home = self.global.find_home()?;
        entry::enter(&home)?;
        self.keep_log(&home);
        Ok(home)
    }

    /// Returns the home whose path alone matters: root need not enter it.
    fn home_that_is_only_named(&self) -> Result<Home> {
        self.global.find_home()
    }

    /// Opens the log of the home, if this command has something to tell it.
    fn keep_log(&self, home: &Home) {
        if !self.ui.wants_log() {
            return;
        }
        match log_file::open(home) {
            Ok(Some(sink)) => self.ui.keep_log(sink),
            Ok(None) => {}
            Err(error) => self.ui.warn(format!("no log is written: {error:#}")),
        }
    }

    fn config(&self, home: &Home) -> Result<Config> {
        self.config_with_source(home).map(|(config, _)| config)
    }

    /// The same, with the place of each setting in its file.
    fn config_with_source(&self, home: &Home) -> Result<(Config, ConfigFile)> {
        configuration::read(self.global.config.as_deref(), home.root())
    }

    /// Finishes or undoes an interrupted run. A dry run only announces it.
    async fn settled(&self, runner: &mut Runner<'_>) -> Result<Settled> {
        if self.global.dry_run {
            refuse_half_exchanged(runner.home())?;
            return Ok(Settled::Nothing);
        }
        runner.settle().await
    }

    /// Refuses on a primary that the other node has replaced. An unreachable node is no reason to
    /// refuse.
    async fn still_primary(&self, home: &Home) -> Result<()> {
        let Some(membership) = home.membership()?.filter(|own| own.role == Role::Primary) else {
            return Ok(());
        };
        match other_node::standing_of(home, &membership).await.map(may_start::why_not) {
            Ok(Some(why)) => bail!(may_start::refusal(&membership, &why)),
            Err(Blind { why: BlindReason::NotBuiltIn(part), evidence }) => {
                self.ui.warn(format!(
                    "pmp-ha cannot check whether the other node has replaced this one: {evidence}. {}",
                    part.hint()
                ));
                Ok(())
            }
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Adds to the chronicle of the monitor, if one has watched this home.
    fn remember(&self, home: &Home, what: Happening) {
        let chronicle = Chronicle::at(home.chronicle());
        if !chronicle.has_begun() {
            return;
        }
        let entries =
            Entries { occurrences: vec![Occurrence { at: clock::seconds(), what }], ..Entries::default() };
        if let Err(error) = chronicle.add(&entries) {
            self.ui.warn(format!("this result could not be added to the events of this node: {error:#}"));
        }
    }

    /// Shows the plan and asks for confirmation. Returns whether to carry it out.
    fn agreed(&self, plan: &Plan) -> Result<bool> {
        if self.global.dry_run {
            self.ui.data(plan)?;
            return Ok(false);
        }
        // The plan has its warnings: whoever reads it needs them once.
        if self.ui.can_ask() {
            self.ui.say(plan);
        } else {
            self.ui.detail(plan);
            if !self.ui.tells_details() {
                plan.warnings.iter().for_each(|warning| self.ui.warn(one_line(warning)));
            }
        }
        self.ui.confirm("Do this?")?;
        Ok(true)
    }
}

/// The command of a run that was interrupted on this home; one that works at this moment holds the lock.
fn interrupted_here(home: &Home) -> Option<String> {
    let run = cut_off_run(home).ok().flatten()?;
    (!system::is_home_locked(home.root())).then(|| run.plan.command.to_string())
}

/// Returns the keys that open a pack and check its signature.
fn opening(args: OpeningArgs, config: &PackConfig) -> Result<Opening> {
    if let Some(path) = args.identity.as_ref().filter(|path| !system::is_readable(path)) {
        bail!(
            Failure::new(Kind::Refused, "cannot use the identity")
                .code("identity-unusable")
                .because(format!("{} cannot be read", path.display()))
                .hint("Name the private key that opens the pack, or omit --identity for a pack that is not encrypted.")
        );
    }
    let signed_by = args.signed_by.as_ref().or(config.signed_by.as_ref());
    Ok(Opening {
        identity: args.identity.or_else(|| config.identity.clone()),
        signed_by: signed_by.map(|path| Verifier::read(path)).transpose()?,
    })
}

/// Reads a password from a file that only its owner can read.
fn read_password_file(path: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    let refused = |why: String| {
        Failure::new(Kind::Refused, "cannot use the password file")
            .code("password-file")
            .because(why)
            .hint("Name a file of mode 0600 whose first line is the password.")
    };
    let text = system::read_text(path, system::SMALL).map_err(|error| refused(error.to_string()))?;
    if system::mode(path)? & 0o077 != 0 {
        bail!(refused(format!("other users than its owner can read {}", path.display())));
    }
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
        _ => bail!(refused(format!("{} is empty", path.display()))),
    }
}

/// Returns an absolute path, whether or not it exists.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
