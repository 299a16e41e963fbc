//! `pmp-ha config`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::alert::{self, AlarmChannel, DeadMan};
use crate::adapters::pack::signature::Verifier;
use crate::adapters::system;
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
            (Some(file), []) => write!(f, "{file} is valid, and has no alarm channel"),
            (Some(file), names) => write!(f, "{file} is valid; alarms go to {}", names.join(", ")),
        }
    }
}

pub async fn run(context: &Context<'_>, command: ConfigCommand) -> Result<()> {
    let home = context.home()?;
    let (config, source) = context.config_with_source(&home)?;
    match command {
        ConfigCommand::Show => context.ui.data(&Effective::of(&config, &source)),
        ConfigCommand::Check => {
            // The secrets and certificates that the file names are read as well.
            let channels = alert::open(&config.alarm, &source, &home.alarms())?;
            let dead_man = alert::dead_man(&config.alarm, &source)?;
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
            let names = channels.iter().map(|channel| channel.name.clone()).collect();
            if !context.global.dry_run {
                let not_working = async { Ok(not_working(channels, dead_man).await) };
                if let Some(failure) = source.all_wrong(&context.interrupt.or(not_working).await?) {
                    return Err(failure.into());
                }
            }
            context.ui.done(&Checked {
                file: source.path.exists().then(|| source.path.display().to_string()),
                channels: names,
            })
        }
    }
}

/// Tries every receiver at once, each within its deadline, and returns those that do not work.
async fn not_working(channels: Vec<AlarmChannel>, dead_man: Option<DeadMan>) -> Vec<Complaint> {
    let mut tasks = tokio::task::JoinSet::new();
    for (number, channel) in channels.into_iter().enumerate() {
        tasks.spawn(async move { (number, channel.receiver.clone(), channel.reach().await) });
    }
    if let Some(switch) = dead_man {
        tasks.spawn(async move { (usize::MAX, switch.key.to_owned(), switch.reach().await) });
    }
    let mut tried = tasks.join_all().await;
    tried.sort_by_key(|(number, ..)| *number);
    let failed = tried.into_iter().filter_map(|(_, key, reached)| reached.err().map(|error| (key, error)));
    failed.map(|(key, error)| Complaint { key, why: format!("does not work now: {error:#}") }).collect()
}
