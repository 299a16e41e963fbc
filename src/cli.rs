//! The command line: types only. Their doc comments are the help.

mod examples;
pub mod generate;
mod groups;
mod look;
mod practise;
mod repair;
mod roles;
mod set_up;
pub mod tried;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::domain::built_in::long_version;

pub use self::look::{
    AlertCommand, AlertTestArgs, ConfigCommand, DoctorArgs, EventsArgs, ExplainArgs, HistoryArgs,
    InspectArgs, MonitorArgs, SupportBundleArgs, VerifyArgs,
};
pub use self::practise::{
    CompletionsArgs, LabCommand, LabDownArgs, LabHomeArgs, LabSqlArgs, LabUpArgs, ManArgs, RehearseArgs,
};
pub use self::repair::{ReconfigureArgs, RepairArgs, RotateArgs};
pub use self::roles::{MayStartArgs, RecoverArgs, RejoinArgs, SwitchoverArgs};
pub use self::set_up::{
    InstallPackArgs, KeyArgs, KeyPurpose, KeygenArgs, OpeningArgs, PackArgs, ReceivePackArgs, SetupArgs,
    TeardownArgs,
};

/// The exit codes, as the help lists them.
const EXIT_CODES: &str = "\
Exit codes:
  0    done; `verify`: both are Alive
  1    failed; nothing changed
  2    wrong usage
  3    incomplete: run `pmp-ha resume`
  4    refused: a precondition is not met; a pack is damaged or untrusted
  5    not Alive, rows differ, or a rehearsal or the doctor found a fault
  6    `monitor` stopped a primary that the other node has replaced
  130  interrupted or not confirmed; everything was put back

`verify --nagios` uses the four exit codes of monitoring plugins.";

/// High availability for Password Manager Pro and its MySQL.
///
/// To set up a pair, run `setup` on the primary, then on the secondary. It guides you through `pack`,
/// `install-pack`, `key`, `start` and `verify`, which you can also run one by one.
#[derive(Debug, Parser)]
#[command(name = "pmp-ha", version, long_version = long_version(), max_term_width = 100, after_help = examples::TOP, after_long_help = long_end())]
pub struct Cli {
    /// The options that every command has.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Commands,
}

impl Cli {
    /// Returns whether the answer goes to a monitoring system.
    #[must_use]
    pub fn is_for_nagios(&self) -> bool {
        matches!(&self.command, Commands::Verify(args) if args.nagios)
    }

    /// Returns whether the command acts on a home, so that it writes to the home's log.
    #[must_use]
    pub fn is_logged(&self) -> bool {
        !self.global.dry_run
            && !matches!(&self.command, Commands::Key(args) if args.check)
            && !matches!(
                &self.command,
                Commands::Verify(_)
                    | Commands::Doctor(_)
                    | Commands::SupportBundle(_)
                    | Commands::Inspect(_)
                    | Commands::History(_)
                    | Commands::Events(_)
                    | Commands::Config(_)
                    | Commands::Explain(_)
                    | Commands::MayStart(_)
                    | Commands::Lab(_)
                    | Commands::Keygen(_)
                    | Commands::Completions(_)
                    | Commands::Man(_)
            )
    }
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The installation folder of Password Manager Pro. By default, the home around the current folder, or the one in /etc/init.d/pmp-service.
    #[arg(long, global = true, value_name = "DIR", env = "PMP_HOME", hide_env_values = true, value_parser = any_path())]
    pub home: Option<PathBuf>,
    /// The configuration file. By default <home>/conf/pmp-ha.toml, if it exists.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show what would be done, and change nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Do not ask for confirmation. With -q or --json, or without a terminal, pmp-ha never asks.
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only errors and the result. Ask nothing.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more details. With -vv, print the time before each message.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Colour the output: auto, always or never. With auto, `NO_COLOR`, `CLICOLOR` and `CLICOLOR_FORCE` apply.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub color: When,
    /// Show times in UTC. By default, pmp-ha shows them in the local time zone.
    #[arg(long, global = true)]
    pub utc: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal only.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The colours that a command line asks for, before it is parsed: for help and errors.
fn color(words: &[OsString]) -> ColorChoice {
    let mut words = words.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    let mut chosen = ColorChoice::Auto;
    while let Some(word) = words.next() {
        let value = if word == "--color" {
            words.next()
        } else {
            word.strip_prefix("--color=").map(|value| value.to_owned().into())
        };
        match value.as_deref() {
            Some("always") => chosen = ColorChoice::Always,
            Some("never") => chosen = ColorChoice::Never,
            _ => {}
        }
    }
    chosen
}

/// The end of the long help of the program.
fn long_end() -> String {
    format!("{}\n\n{EXIT_CODES}", examples::TOP)
}

/// The command line with the commands by task.
#[must_use]
pub fn command() -> clap::Command {
    groups::grouped(Cli::command())
}

/// Parses a command line.
///
/// # Errors
/// Returns the error of clap. Help and version are errors, too.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut command = command().color(color(&words));
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Parses a path, which may be empty: an empty `PMP_HOME` names no home.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Set up this node step by step, with explanations.
    ///
    /// Run it on the primary, then on the secondary; with --peer, one run sets up both. It checks
    /// everything first. You can leave it at any time: the next run continues with the first step that is
    /// not done. Each question has an option, so that it also works without a terminal.
    #[command(after_help = examples::SETUP)]
    Setup(SetupArgs),
    /// Make HAPack.zip on the primary, for the secondary.
    ///
    /// Stop Password Manager Pro and its database first, even with --restart. With --online they keep
    /// running. PRIMARY and SECONDARY are the names under which the two machines reach each other. The
    /// pack is <home>/replication/HAPack.zip.
    #[command(after_help = examples::PACK)]
    Pack(PackArgs),
    /// Install HAPack.zip on the secondary.
    ///
    /// Stop Password Manager Pro and its database first. pmp-ha verifies the whole pack before it
    /// replaces the data; a refused pack changes nothing. It deletes the old data of a fresh home unless
    /// you pass --keep. It keeps those of a home that was in a pair unless you pass --discard-old.
    #[command(after_help = examples::INSTALL_PACK)]
    InstallPack(InstallPackArgs),
    /// Show what a pack contains, and whether it is intact.
    ///
    /// It decompresses every file and compares it with its hashes. It shows no secret and changes nothing.
    /// Exit code 4: the pack is damaged, cannot be opened, or is not signed by the owner of --signed-by.
    /// Without a checked signature, an intact pack can still be forged.
    #[command(after_help = examples::INSPECT)]
    Inspect(InspectArgs),
    /// Create a key pair, to sign or to encrypt packs.
    #[command(after_help = examples::KEYGEN)]
    Keygen(KeygenArgs),
    /// Return to the kept state, or undo an interrupted run.
    ///
    /// Stop Password Manager Pro and its database first. A state is kept by `rejoin --pack`, and by
    /// `install-pack` with --keep or on a home that was in a pair. A second `rollback` undoes the first.
    /// An interrupted run is undone instead, or finished if it is past its point of no return.
    #[command(after_help = examples::ROLLBACK)]
    Rollback,
    /// Finish an interrupted run, or put everything back.
    ///
    /// This works for every command. Before its point of no return, the run is undone; after that point, it
    /// is finished. --dry-run shows which. An interrupted `repair` compares every table again.
    #[command(after_help = examples::RESUME)]
    Resume,
    /// List what pmp-ha did to this home, newest last.
    ///
    /// It shows when, who, what and the outcome. `start`, `stop` and `key` are not listed, because they
    /// leave nothing to undo.
    #[command(after_help = examples::HISTORY)]
    History(HistoryArgs),
    /// List what happened to the pair, as the monitor saw it.
    ///
    /// It shows each change of a status or a role, each alarm, each comparison and rehearsal. The newest
    /// is last. `history` lists what pmp-ha itself did.
    #[command(after_help = examples::EVENTS)]
    Events(EventsArgs),
    /// Write the encryption key's path to `conf/manage_key.conf`.
    ///
    /// It first checks that the file is a PMP key. If it can, it also checks that it is the key of the data.
    #[command(after_help = examples::KEY)]
    Key(KeyArgs),
    /// Start the bundled database with the product's own script.
    #[command(after_help = examples::START)]
    Start,
    /// Stop the bundled database with the product's own script.
    #[command(after_help = examples::STOP)]
    Stop,
    /// Show whether the pair is Alive or Failed, and why.
    ///
    /// Exit code 0: both statuses are Alive. `pmp-ha explain` explains every finding. docs/health.md
    /// describes the JSON and the line for monitoring systems.
    #[command(visible_alias = "status", after_help = examples::VERIFY)]
    Verify(VerifyArgs),
    /// Check this installation without changing it.
    ///
    /// It works on either node, before and after the setup, and without a pack. It ends with the next
    /// step. Exit code 5: something failed. docs/doctor.md explains each code.
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Collect logs and configuration for support, without secrets.
    ///
    /// FILE is a ZIP that only its owner can read. It contains the ends of the logs, the configuration with
    /// every secret masked, statuses, versions and the history. Review it before you send it.
    #[command(after_help = examples::SUPPORT_BUNDLE)]
    SupportBundle(SupportBundleArgs),
    /// Check the pair continuously, and announce every status change.
    ///
    /// It runs until Ctrl-C or a signal. It sends alarms through the channels of the configuration. It
    /// stops a primary that the other node has replaced, because such a primary must not serve.
    #[command(after_help = examples::MONITOR)]
    Monitor(MonitorArgs),
    /// Test the alarm channels.
    #[command(subcommand, after_help = examples::ALERT)]
    Alert(AlertCommand),
    /// Check or show the configuration.
    #[command(subcommand, after_help = examples::CONFIG)]
    Config(ConfigCommand),
    /// Explain a code that pmp-ha printed.
    ///
    /// pmp-ha prints codes in square brackets. Without CODE, it lists all codes. It needs no home.
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// Apply changed ports, tables and times, without a new pack.
    ///
    /// Run it on both nodes. It reads the ports of this node from its files, and the tables and times
    /// from conf/pmp-ha.toml.
    #[command(after_help = examples::RECONFIGURE)]
    Reconfigure(ReconfigureArgs),
    /// Recover from the loss of the primary.
    ///
    /// With --into, make a new primary in a fresh installation, from the secondary's data. Add --from to
    /// use the lost primary's own disk. With --promote, make the secondary the primary in its own home.
    #[command(after_help = examples::RECOVER)]
    Recover(RecoverArgs),
    /// Swap the roles of two working nodes, without loss.
    ///
    /// Run it on both nodes, in either order; each waits for the other. A failure before the handover
    /// leaves the pair unchanged.
    #[command(after_help = examples::SWITCHOVER)]
    Switchover(SwitchoverArgs),
    /// Give both nodes new certificates and passwords.
    ///
    /// Run it on the primary, and copy the file that it writes to the secondary. Run it there as well;
    /// each waits for the other. Both databases keep replicating; MySQL 5.6 and 5.7 restart twice on each
    /// node. Afterwards, the secrets in older packs and files are useless.
    #[command(after_help = examples::ROTATE)]
    Rotate(RotateArgs),
    /// Make an old primary the secondary of the promoted node.
    ///
    /// Run it on the old primary. If it has no rows that the new primary lacks, it replicates at once.
    /// Otherwise pmp-ha shows and saves these rows, and you install a new pack with --pack.
    #[command(after_help = examples::REJOIN)]
    Rejoin(RejoinArgs),
    /// Remove high availability from this node.
    ///
    /// Stop Password Manager Pro and its database first. It removes replication, the accounts and every file
    /// of pmp-ha, and restores the start script. The data stay. It does not change the other node: run it
    /// there as well.
    #[command(after_help = examples::TEARDOWN)]
    Teardown(TeardownArgs),
    /// Run by the start script: may this node start as the primary?
    #[command(hide = true, after_help = examples::MAY_START)]
    MayStart(MayStartArgs),
    /// Run by `setup --peer`: reads a pack from standard input.
    #[command(hide = true, after_help = examples::RECEIVE_PACK)]
    ReceivePack(ReceivePackArgs),
    /// Test a recovery on a throw-away copy of the data.
    ///
    /// Run it on the secondary, with its database running or stopped. With --pack it tests a pack, on
    /// either node. It changes nothing in the home and removes the copy. Exit code 5: it found a
    /// defect; docs/rehearsal.md explains each.
    #[command(after_help = examples::REHEARSE)]
    Rehearse(RehearseArgs),
    /// Make the secondary's rows equal to the primary's.
    ///
    /// Run it on the secondary while both databases run. It saves every row before it changes it, and
    /// sends audit rows that only the secondary has to the primary. It also restarts a failed applier.
    #[command(after_help = examples::REPAIR)]
    Repair(RepairArgs),
    /// Create homes with real servers on this machine, for tests.
    #[command(subcommand, after_help = examples::LAB)]
    Lab(LabCommand),
    /// Print a completion script for your shell.
    ///
    /// Save it in the folder that the shell searches. For bash, this is
    /// `/usr/share/bash-completion/completions/pmp-ha`. Packages install it.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write the manual pages into a folder.
    #[command(hide = true, after_help = examples::MAN)]
    Man(ManArgs),
}

#[cfg(test)]
mod tests;
