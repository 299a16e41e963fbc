//! `pmp-ha config`

use anyhow::Result;

use super::Context;
use crate::adapters::{alert, system};
use crate::cli::ConfigCommand;
use crate::config::place::Complaint;
use crate::config::show::Effective;

pub fn run(context: &Context<'_>, command: ConfigCommand) -> Result<()> {
    let home = context.home()?;
    let (config, source) = context.config_with_source(&home)?;
    match command {
        ConfigCommand::Show => context.ui.data(&Effective::of(&config, &source)),
        ConfigCommand::Check => {
            // The secrets and certificates that the file names are read as well.
            let channels = alert::open(&config.alarm, &source, &home.alarms())?;
            alert::dead_man(&config.alarm, &source)?;
            for (key, command) in config.hooks.all() {
                if let Some(program) =
                    command.first().filter(|program| !system::is_runnable(program.as_ref()))
                {
                    let why = format!("names {program}, which cannot be run");
                    return Err(source.wrong(&Complaint { key: key.to_owned(), why }).into());
                }
            }
            let names: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
            let said = match (source.path.exists(), names.is_empty()) {
                (false, _) => "there is no configuration file: the defaults are in effect".to_owned(),
                (true, true) => format!("{} is right, and has no channel for alarms", source.path.display()),
                (true, false) => {
                    format!("{} is right; alarms go to {}", source.path.display(), names.join(", "))
                }
            };
            context.ui.done(&said)
        }
    }
}
