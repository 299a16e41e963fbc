//! `pmp-ha history`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::home::journal_file::JournalFile;
use crate::adapters::system;
use crate::cli::HistoryArgs;
use crate::domain::history::{Ending, Run, runs};

/// The runs of this home, newest last, right above the prompt.
#[derive(Serialize)]
struct History {
    runs: Vec<Run>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.runs.iter().try_for_each(|run| writeln!(f, "{run}"))
    }
}

pub fn run(context: &Context<'_>, args: &HistoryArgs) -> Result<()> {
    let home = context.home()?;
    // Whoever is at work holds it.
    let at_work = system::is_home_locked(home.root());
    let mut runs = runs(&JournalFile::at(home.journal()).read()?, at_work);
    if runs.is_empty() {
        context.ui.say(format!("No run has changed {} yet.", home.root().display()));
    }
    let is_open = runs.last().is_some_and(|run| run.outcome == Ending::Open);
    if let Some(limit) = args.limit {
        runs.drain(..runs.len().saturating_sub(limit));
    }
    context.ui.data(&History { runs })?;
    if is_open {
        context.ui.say("The last run was interrupted: `pmp-ha resume` finishes it or puts everything back.");
    }
    Ok(())
}
