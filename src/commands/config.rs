//! `pmp-ha config`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::pack::signature::Verifier;
use crate::adapters::{alert, system};
use crate::cli::ConfigCommand;
use crate::config::place::Complaint;
use crate::config::show::Effective;

/// A configuration that is right.
#[derive(Serialize)]
struct Checked {
    /// `None`: there is none, and the defaults are in effect.
    file: Option<String>,
    /// The channels for alarms.
    channels: Vec<String>,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.channels.as_slice()) {
            (None, _) => f.write_str("there is no configuration file: the defaults are in effect"),
            (Some(file), []) => write!(f, "{file} is right, and has no channel for alarms"),
            (Some(file), names) => write!(f, "{file} is right; alarms go to {}", names.join(", ")),
        }
    }
}

pub fn run(context: &Context<'_>, command: ConfigCommand) -> Result<()> {
    let home = context.home()?;
    let (config, source) = context.config_with_source(&home)?;
    match command {
        ConfigCommand::Show => context.ui.data(&Effective::of(&config, &source)),
        ConfigCommand::Check => {
            // The secrets and certificates that the file names are read as well.
            let channels = alert::open(&config.alarm, &source, &home.alarms())?;
            alert::dead_man(&config.alarm, &source)?;
            #[cfg(feature = "page")]
            crate::adapters::page::check(&config.page, &source)?;
            for (key, command) in config.programs() {
                if let Some(program) = command.first().filter(|program| !system::can_be_run(program)) {
                    let why = format!("names {program}, which cannot be run");
                    return Err(source.wrong(&Complaint { key, why }).into());
                }
            }
            if let Some(path) = &config.pack.signed_by {
                Verifier::read(path)?;
            }
            context.ui.done(&Checked {
                file: source.path.exists().then(|| source.path.display().to_string()),
                channels: channels.into_iter().map(|channel| channel.name).collect(),
            })
        }
    }
}
