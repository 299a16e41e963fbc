//! Parse, run, exit code.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use pmp_ha::adapters::system;
use pmp_ha::cli::{self, Cli, Global};
use pmp_ha::commands;
use pmp_ha::failure::{Failure, Kind};
use pmp_ha::ui::Ui;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let nagios = cli.is_for_nagios();
    let ui = Ui::new(&cli.global, nagios);
    if cli.is_logged() {
        let words: Vec<String> = std::env::args().skip(1).collect();
        ui.begin_log(&format!("begin: pmp-ha {}, as {}", words.join(" "), system::user_name()));
    }
    match run(cli, &ui) {
        Ok(()) => {
            ui.end_log(0);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let failure = commands::explained(Failure::from_error(error));
            if !failure.kind.is_verdict() {
                ui.failure(&failure);
            }
            ui.end_log(failure.kind.code());
            if nagios { failure.exit_code_for_nagios() } else { failure.exit_code() }
        }
    }
}

fn run(cli: Cli, ui: &Ui) -> Result<()> {
    // Before there is a second thread: an account belongs to a thread.
    commands::begin(&cli)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let ran = runtime.block_on(commands::run(cli, ui));
    // A host name that is still being looked up must not hold back an answer that is there.
    runtime.shutdown_background();
    ran
}

/// Says what is wrong with a command line. A monitoring system and a program understand neither clap's
/// usage nor its colours, and a word that nobody knows gets a better hint than clap has.
fn not_understood(error: &clap::Error) -> ExitCode {
    let asked_for =
        |option: &str| std::env::args_os().take_while(|word| word != "--").any(|word| word == option);
    let (nagios, json) = (asked_for("--nagios"), asked_for("--json"));
    let is_help = !error.use_stderr();
    let unknown = unknown_command(error);
    if is_help || (!nagios && !json && unknown.is_none()) {
        error.exit();
    }
    let failure = if let Some(word) = unknown {
        Failure::new(Kind::Usage, format!("there is no command `{word}`")).hint(cli::tried::hint(&word))
    } else {
        let (what, tip) = said(error);
        let command = if nagios { "pmp-ha verify".to_owned() } else { command_of(error) };
        Failure::new(Kind::Usage, what).hint(format!("{tip}See `{command} --help`."))
    };
    Ui::new(&Global { json, ..Global::default() }, nagios).failure(&failure);
    if nagios { failure.exit_code_for_nagios() } else { failure.exit_code() }
}

/// What clap says is wrong, and its tip as a sentence, each in one line.
fn said(error: &clap::Error) -> (String, String) {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return ("a command or an argument is missing".into(), String::new());
    }
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let what = lines.iter().take_while(|line| !line.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let tips: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("tip: ")).collect();
    let tips = if tips.is_empty() { String::new() } else { format!("Tip: {}. ", tips.join("; ")) };
    (what.trim_start_matches("error: ").to_owned(), tips)
}

/// The command that was meant, by the usage that clap shows: `pmp-ha pack`.
fn command_of(error: &clap::Error) -> String {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let words = usage.trim_start_matches("Usage: ").split_whitespace();
    let names: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    if names.is_empty() { "pmp-ha".into() } else { names.join(" ") }
}

/// Returns the word that stands where a command of `pmp-ha` itself is wanted, and is none.
fn unknown_command(error: &clap::Error) -> Option<String> {
    let text = |kind| error.get(kind).map(ToString::to_string);
    let is_below = text(ContextKind::Usage).is_some_and(|usage| {
        let word = usage.trim_start_matches("Usage: ").split_whitespace().nth(1);
        word.is_some_and(|word| !word.starts_with(['[', '<']))
    });
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) if error.kind() == ErrorKind::InvalidSubcommand && !is_below => {
            Some(word.clone())
        }
        _ => None,
    }
}
