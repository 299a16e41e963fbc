//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use pmp_ha::cli::Cli;
use pmp_ha::commands;
use pmp_ha::failure::{Failure, Kind};
use pmp_ha::ui::Ui;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli.global);
    match commands::run(cli, &ui).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = Failure::from_error(error);
            // What is not Alive was said by the command itself.
            if failure.kind != Kind::NotAlive {
                ui.failure(&failure);
            }
            failure.exit_code()
        }
    }
}
