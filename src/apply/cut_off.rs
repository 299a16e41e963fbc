//! The gates: which commands refuse a home with an interrupted run.

use anyhow::{Result, bail};

use crate::adapters::home::Home;
use crate::adapters::home::journal_file::JournalFile;
use crate::adapters::system;
use crate::domain::journal::{Due, OpenRun, open_run};
use crate::failure::{Failure, Kind};

/// Returns the interrupted run of this home, if there is one.
///
/// # Errors
/// Refuses when the journal speaks of another home, of which this one is a copy: its way back
/// does not lead here. Refuses a plan that no run on this home would have made.
pub fn cut_off_run(home: &Home) -> Result<Option<OpenRun>> {
    let Some(run) = open_run(&JournalFile::at(home.journal()).read()?) else { return Ok(None) };
    let (_, inode) = system::identity(&home.path("conf"))?;
    if run.plan.home.path != home.root().to_string_lossy() || run.plan.home.inode != inode {
        bail!(
            Failure::new(Kind::Refused, "this home is a copy of one in which a run was interrupted")
                .code("journal-of-a-copy")
                .because(format!("its journal names `pmp-ha {}` in {}", run.plan.command, run.plan.home.path))
                .hint(format!("Run `pmp-ha {}` again there, then copy the home again.", run.plan.command))
        );
    }
    if let Some(why) = run.plan.stray(&run.plan.home.path) {
        bail!(
            Failure::new(Kind::Refused, "the journal of this home was altered")
                .code("journal-altered")
                .because(format!(
                    "the interrupted `pmp-ha {}` in {}: {why}",
                    run.plan.command,
                    home.journal().display()
                ))
                .hint("Find out who wrote it. No run of pmp-ha did. pmp-ha runs nothing from it.")
        );
    }
    Ok(Some(run))
}

/// Refuses if a run on this home was interrupted: its data may be half exchanged.
pub fn refuse_cut_off_run(home: &Home) -> Result<()> {
    let Some(run) = cut_off_run(home)? else { return Ok(()) };
    let command = &run.plan.command;
    bail!(
        Failure::new(Kind::Refused, "an earlier run on this home was interrupted").code("run-interrupted")
            .because(format!("the journal of `pmp-ha {command}` in {} is open", home.root().display()))
            .hint(format!(
                "Run `pmp-ha resume`, or `pmp-ha {command}` again: it resumes where it stopped, or puts everything back."
            ))
    );
}

/// Refuses if an interrupted run may have left the home's files half exchanged.
///
/// A repair does not: it works inside a running database.
pub fn refuse_half_exchanged(home: &Home) -> Result<()> {
    match cut_off_run(home)? {
        Some(run) if run.plan.is_repair() => Ok(()),
        _ => refuse_cut_off_run(home),
    }
}

/// Refuses if an interrupted run forbids a start of the database.
///
/// A pack that no longer needs the database stopped, or never did, does not.
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
