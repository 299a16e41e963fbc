//! Parse, run, exit code.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use pmp_ha::cli::{Cli, Global};
use pmp_ha::commands;
use pmp_ha::failure::{Failure, Kind};
use pmp_ha::ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let nagios = cli.is_for_nagios();
    let ui = Ui::new(&cli.global, nagios);
    match run(cli, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = commands::explained(Failure::from_error(error));
            if !failure.kind.is_verdict() {
                ui.failure(&failure);
            }
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

/// A monitoring system understands neither clap's usage nor its exit code.
fn not_understood(error: &clap::Error) -> ExitCode {
    let is_help = !error.use_stderr();
    if is_help || !std::env::args_os().any(|word| word == "--nagios") {
        error.exit();
    }
    let text = error.to_string();
    let what = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let failure = Failure::new(Kind::Usage, what).hint("See `pmp-ha verify --help`.");
    Ui::new(&Global::default(), true).failure(&failure);
    failure.exit_code_for_nagios()
}
