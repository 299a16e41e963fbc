//! The steps that keep a state of the home, and return to it.

use anyhow::Result;
use fs_err as fs;

use super::node_files;
use crate::adapters::clock::now;
use crate::adapters::home::saved::Saved;
use crate::adapters::home::{KEY_FILE, ROLE_FILE, datadir, kept};
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::kept::Kept;
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::Role;

/// The small files that belong to the data.
///
/// The tool's own files, the start script, the role, the path of the key, and what `verify`
/// remembers.
const FILES: [&str; 10] = [
    NODE_FILES,
    node_files::SCRIPTS[0],
    node_files::SCRIPTS[1],
    ROLE_FILE,
    KEY_FILE,
    "replication/pmp-ha-errant.json",
    "replication/pmp-ha-returned-1.json",
    "replication/pmp-ha-returned-2.json",
    "replication/pmp-ha-deep.json",
    "replication/pmp-ha-tfa.json",
];

/// Saves the small files that no earlier step has saved.
fn save_all(runner: &Runner<'_>) -> Result<Saved> {
    let saved = runner.saved();
    FILES.iter().try_for_each(|path| saved.save(path))?;
    Ok(saved)
}

/// Makes the state before this run the kept state.
pub fn keep(runner: &Runner<'_>, from: Option<&str>, name: &str, then: &str) -> Result<()> {
    let home = runner.home;
    let saved = save_all(runner)?;
    if let Some(from) = from {
        let parent = datadir::parent(home);
        if parent.join(from).exists() {
            fs::rename(parent.join(from), parent.join(name))?;
        }
        system::sync_dir(&parent)?;
    } else {
        datadir::keep_old(home, name)?;
    }
    let state = Kept {
        format: Kept::FORMAT,
        data: name.to_owned(),
        until: now(),
        then: then.to_owned(),
        of_a_pair: saved.copy_of(NODE_FILES).is_some_and(|dir| dir.join("pair.toml").is_file()),
        fingerprint: home.fingerprint()?,
    };
    kept::write(home, &state, &saved)
}

/// Restores the kept small files.
pub fn restore(runner: &Runner<'_>) -> Result<()> {
    save_all(runner)?;
    let kept = kept::files(runner.home);
    FILES.iter().try_for_each(|path| kept.restore(path))?;
    match runner.home.membership()? {
        // What another secondary sent to the primary since then is not in these data.
        Some(own) if own.role == Role::Secondary => {
            system::write_atomic(&runner.home.compare_due(), b"", 0o600, None)
        }
        _ => Ok(()),
    }
}

/// Restores the small files as they were before [`restore`].
pub fn take_back(runner: &Runner<'_>) -> Result<()> {
    let saved = runner.saved();
    FILES.iter().try_for_each(|path| saved.restore(path))
}
