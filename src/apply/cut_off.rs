//! The gates: which commands refuse a home on which an earlier run was cut off.

use anyhow::{Result, bail};

use crate::adapters::home::Home;
use crate::adapters::home::journal_file::JournalFile;
use crate::adapters::system;
use crate::domain::journal::{Due, Progress, open_run};
use crate::failure::{Failure, Kind};

/// Returns the run on this home that was cut off, if there is one.
///
/// # Errors
/// Refuses when the journal speaks of another home, of which this one is a copy: its way back
/// does not lead here.
pub fn cut_off_run(home: &Home) -> Result<Option<Progress>> {
    let Some(run) = open_run(&JournalFile::at(home.journal()).read()?) else { return Ok(None) };
    let (_, inode) = system::identity(&home.path("conf"))?;
    if run.plan.home.path != home.root().to_string_lossy() || run.plan.home.inode != inode {
        bail!(
            Failure::new(Kind::Refused, "this home is a copy of one in which a run was cut off")
                .because(format!(
                    "its journal speaks of `pmp-ha {}` in {}",
                    run.plan.command, run.plan.home.path
                ))
                .hint(format!("Run `pmp-ha {}` again there, and copy the home anew.", run.plan.command))
        );
    }
    Ok(Some(run))
}

/// Refuses when a run on this home was cut off: its data may be half exchanged.
pub fn refuse_cut_off_run(home: &Home) -> Result<()> {
    let Some(run) = cut_off_run(home)? else { return Ok(()) };
    let command = &run.plan.command;
    bail!(
        Failure::new(Kind::Refused, "an earlier run on this home was cut off")
            .because(format!("the journal of `pmp-ha {command}` in {} is open", home.root().display()))
            .hint(format!(
                "Run `pmp-ha resume`, or `pmp-ha {command}` again: it goes on where it stopped, or puts everything back."
            ))
    );
}

/// Refuses when a run was cut off that may have left the files of this home half exchanged. A repair
/// does not: it works inside a database that runs.
pub fn refuse_half_exchanged(home: &Home) -> Result<()> {
    match cut_off_run(home)? {
        Some(run) if run.plan.is_repair() => Ok(()),
        _ => refuse_cut_off_run(home),
    }
}

/// Refuses when a run was cut off that keeps the database from being started. A pack that has let go
/// of the database already, or never held it, does not.
pub fn refuse_held_database(home: &Home) -> Result<()> {
    match cut_off_run(home)? {
        Some(run)
            if run.plan.is_online_pack()
                || (run.plan.starts_the_database() && matches!(run.due(), Due::Forward(_))) =>
        {
            Ok(())
        }
        _ => refuse_half_exchanged(home),
    }
}
