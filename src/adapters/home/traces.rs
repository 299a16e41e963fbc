//! The tool's own files in a home, but for `conf/pmp-ha`, the start script and the data.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use super::Home;
use super::journal_file::JournalFile;
use crate::adapters::system;
use crate::domain::journal::Record;
use crate::domain::traces::{holds_rows, is_carried, is_own};

/// The logs of the tool, and of the starts and stops that it made.
const LOGS: [&str; 2] = ["pmp-ha-startdb.log", "pmp-ha-stopdb.log"];

/// The tool's own files, from the home.
#[derive(Debug, Default)]
pub struct Traces {
    /// Those that hold nothing that somebody may want.
    pub files: Vec<String>,
    /// Those with rows that were saved before they were changed.
    pub saved_rows: Vec<String>,
}

/// Lists the files. Of packs and secrets, only those that a run on this home has named: the vendor's packs
/// have the same name.
pub fn of(home: &Home) -> Result<Traces> {
    let mut traces = Traces::default();
    for name in names(&home.replication())? {
        if holds_rows(&name) {
            traces.saved_rows.push(format!("replication/{name}"));
        } else if is_own(&name) {
            traces.files.push(format!("replication/{name}"));
        }
    }
    for record in JournalFile::at(home.journal()).read()? {
        let Record::Open { plan, .. } = record else { continue };
        for path in plan.carried() {
            let Ok(relative) = Path::new(path).strip_prefix(home.root()) else { continue };
            let relative = relative.to_string_lossy().into_owned();
            let name = relative.strip_prefix("replication/").unwrap_or(&relative);
            if is_carried(name) && home.path(&relative).is_file() && !traces.files.contains(&relative) {
                traces.files.push(relative);
            }
        }
    }
    traces.files.sort();
    traces.saved_rows.sort();
    Ok(traces)
}

/// Returns whether there is a journal or a log of the tool.
#[must_use]
pub fn has_history(home: &Home) -> bool {
    home.journal().is_file() || logs(home).iter().any(|log| log.is_file())
}

/// The logs of the tool, as far as they are there.
#[must_use]
pub fn logs(home: &Home) -> Vec<PathBuf> {
    let is_one = |name: &String| {
        let number = name.strip_prefix("pmp-ha.log.").is_some_and(|number| number.parse::<u8>().is_ok());
        name == "pmp-ha.log" || number || LOGS.contains(&name.as_str())
    };
    let folder = home.path("logs");
    // ignored: a folder that cannot be read shows no log
    let names = names(&folder).unwrap_or_default();
    names.iter().filter(|name| is_one(name)).map(|name| folder.join(name)).collect()
}

/// Returns whether a folder `replication` has the mode that only this tool gives it.
#[must_use]
pub fn made_by_pmp_ha(folder: &Path) -> bool {
    folder.symlink_metadata().is_ok_and(|meta| meta.is_dir())
        && system::mode(folder).is_ok_and(|mode| mode == 0o711)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}
