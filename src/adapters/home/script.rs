//! The start script of a home, and the installation's own option file that it names.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use super::Home;
use crate::adapters::bytes::digest::{Sha256, hash_file};
use crate::adapters::system;
use crate::domain::digest::Sha256Hex;
use crate::domain::option_file::{Include, file_lets_everybody_in, includes};
use crate::domain::settings::taken_in;
use crate::domain::start_script::{self, Gate, Installation, NotWirable, Wired, everybody_is_let_in_by};

/// The option files that a server also reads beside an extra one.
const GLOBAL: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];

/// How many option files may take in each other.
const FILES: usize = 100;

impl Home {
    /// Wires the text of a start script of this home to an option file of ours.
    pub fn wire(&self, script: &str, option_file: &Path, gate: Option<&Gate>) -> Result<Wired, NotWirable> {
        let home = self.root().to_string_lossy();
        let installation = Installation { home: &home, is_file: &|path| Path::new(path).is_file() };
        start_script::wire(script, &option_file.to_string_lossy(), gate, &installation)
    }

    /// The option file of the installation's own that the start script names, which ours takes in.
    #[must_use]
    pub fn own_option_file(&self) -> Option<String> {
        let script = system::read_text(&self.start_script(), system::SMALL).ok()?;
        // A script that cannot be wired uses no option file of ours.
        self.wire(&script, &self.option_file(), None).ok()?.own_file
    }

    /// The place that makes the server accept every login: in the start script or an option file.
    #[must_use]
    pub fn lets_everybody_in(&self) -> Option<String> {
        let script = system::read_text(&self.start_script(), system::SMALL).ok()?;
        if let Some(option) = everybody_is_let_in_by(&script) {
            return Some(format!("{} has {option}", self.start_script().display()));
        }
        let wired = self.wire(&script, &self.option_file(), None).ok()?;
        let mut roots = Vec::from_iter(wired.own_file.map(PathBuf::from));
        if wired.option.starts_with(start_script::OPTIONS[1]) {
            roots.extend(GLOBAL.map(PathBuf::from));
        }
        let files = roots.iter().flat_map(|root| option_files(root));
        let lets_in = |path: &PathBuf| text_of(path).is_some_and(|text| file_lets_everybody_in(&text));
        files.into_iter().find(lets_in).map(|path| format!("{} has skip-grant-tables", path.display()))
    }

    /// The installation's own option file, if it or a file that it includes has changed.
    #[must_use]
    pub fn changed_own_option_file(&self) -> Option<String> {
        let ours = system::read_text(&self.option_file(), system::SMALL).ok()?;
        let (path, noted) = taken_in(&ours)?;
        let now = hash_of_option_files(Path::new(path)).map(|hash| hash.to_string());
        (!now.is_ok_and(|now| now == noted)).then(|| path.to_owned())
    }
}

/// What an option file and those that it takes in say, as one hash.
pub fn hash_of_option_files(root: &Path) -> Result<Sha256Hex> {
    let files = option_files(root);
    if files.len() == 1 {
        return hash_file(root);
    }
    let mut hash = Sha256::default();
    for file in &files {
        // ignored: one that is not there is no reason for a server to stop either, and counts as empty
        let text = system::read_bytes(file, system::SMALL).unwrap_or_default();
        let name = file.as_os_str().as_encoded_bytes();
        for part in [name, &text] {
            hash.update(&u64::try_from(part.len())?.to_be_bytes());
            hash.update(part);
        }
    }
    Ok(hash.finish())
}

/// The text of an option file. One byte of another encoding in a comment hides nothing.
fn text_of(path: &Path) -> Option<String> {
    let bytes = system::read_bytes(path, system::SMALL).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// An option file, and those that it takes in, in the order of their names in each folder.
fn option_files(root: &Path) -> Vec<PathBuf> {
    let mut out = vec![root.to_path_buf()];
    let mut at = 0;
    while let Some(path) = out.get(at).cloned() {
        at += 1;
        for include in text_of(&path).map(|text| includes(&text)).unwrap_or_default() {
            let mut found = match include {
                Include::File(path) => vec![PathBuf::from(path)],
                Include::Folder(path) => {
                    let entries = fs::read_dir(path).into_iter().flatten().flatten();
                    entries
                        .map(|entry| entry.path())
                        .filter(|path| path.extension().is_some_and(|e| e == "cnf"))
                        .collect()
                }
            };
            found.sort();
            found.retain(|path| !out.contains(path));
            out.extend(found);
        }
        if out.len() > FILES {
            break;
        }
    }
    out
}
