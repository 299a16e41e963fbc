//! What a teardown removes: the wiring of the script, the node files, and the tool's files.

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::node_files::SCRIPTS;
use crate::adapters::home::Home;
use crate::adapters::home::saved::remove;
use crate::adapters::home::traces;
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::manifest::NODE_FILES;
use crate::domain::start_script::is_wired;

/// Puts the start script back as it was before it was ever wired. One that an upgrade has brought stays.
pub fn unwire(runner: &Runner<'_>) -> Result<()> {
    let home = runner.home;
    for path in SCRIPTS {
        runner.saved().save(path)?;
    }
    let (script, before) = (home.start_script(), home.path(SCRIPTS[1]));
    let text = system::read_text(&script, system::SMALL)?;
    if is_wired(&text) {
        let old = system::read_text(&before, system::SMALL)
            .with_context(|| format!("cannot read {}", before.display()))?;
        let (mode, owner) = (system::mode(&before)?, system::owner(&before)?);
        system::write_atomic(&script, old.as_bytes(), mode, Some(owner))?;
    }
    remove(&before)?;
    system::sync_dir(&home.path("bin"))
}

/// Removes the node files.
pub fn drop_node_files(runner: &Runner<'_>) -> Result<()> {
    runner.saved().save(NODE_FILES)?;
    remove(&runner.home.node_files())?;
    system::sync_dir(&runner.home.path("conf"))
}

/// Removes files of the tool. Whatever is no such file stays.
pub fn drop_files(home: &Home, files: &[String]) -> Result<()> {
    for file in files {
        if !crate::domain::traces::may_go(file) {
            bail!("{file} is not a file of pmp-ha");
        }
        remove(&home.path(file))?;
    }
    system::sync_dir(&home.replication())
}

/// Removes the journal, the logs and the lock, after the run was closed: the last traces.
///
/// Killed in between, the rest goes with the next teardown.
pub fn forget(home: &Home) -> Result<()> {
    for file in traces::logs(home) {
        remove(&file)?;
    }
    remove(&home.journal())?;
    let folder = home.replication();
    if traces::made_by_pmp_ha(&folder) && fs::read_dir(&folder)?.next().is_none() {
        fs::remove_dir(&folder)?;
    }
    remove(&home.root().join(system::LOCK_FILE))?;
    system::sync_dir(home.root())
}
