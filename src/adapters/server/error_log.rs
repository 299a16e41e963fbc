//! What a server writes about itself, in its error log.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::adapters::home::Home;
use crate::adapters::system;

/// How much of a server's log is read, from its end, in bytes. A start writes a few thousand.
const LONGEST_LOG: u64 = 4 << 20;

/// How many lines of a log are shown.
const SHOWN: usize = 4;

/// The content of the server's error log from a moment on.
pub(super) struct ErrorLog {
    path: PathBuf,
    from: u64,
    data: PathBuf,
    output: PathBuf,
}

impl ErrorLog {
    /// From now on.
    pub(super) fn mark(home: &Home) -> Self {
        let data = home.data();
        let path = newest_log(&data).unwrap_or_else(|| data.join("*.err"));
        let from = fs::metadata(&path).map_or(0, |meta| meta.len());
        Self { path, from, data, output: home.path("logs/pmp-ha-startdb.log") }
    }

    /// From its beginning on.
    pub(super) fn whole(home: &Home) -> Self {
        Self { from: 0, ..Self::mark(home) }
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        newest_log(&self.data).unwrap_or_else(|| self.path.clone())
    }

    /// The new content of the error log, and the output of the start script.
    pub(super) fn since(&self) -> String {
        let path = self.path();
        let from = if path == self.path { self.from } else { 0 };
        readable(&path, from) + &readable(&self.output, 0)
    }

    /// The last lines of all, of whatever kind.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let text = readable(&self.path(), self.from);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(SHOWN)..].iter().map(ToString::to_string).collect()
    }

    pub(super) fn says_aborting(&self) -> bool {
        self.since().contains("Aborting")
    }

    /// The last lines that are errors, or the last lines of all.
    pub(super) fn complaints(&self) -> Vec<String> {
        let text = self.since();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let errors: Vec<&str> =
            lines.iter().copied().filter(|line| line.contains("ERROR") || line.contains("rror:")).collect();
        let chosen = if errors.is_empty() { &lines } else { &errors };
        chosen[chosen.len().saturating_sub(SHOWN)..].iter().map(ToString::to_string).collect()
    }
}

/// What a log says behind its first `from` bytes, without dumps of pages: they hold the product's data, which
/// are nobody's business here.
fn readable(path: &Path, from: u64) -> String {
    // ignored: a log that cannot be read says nothing
    let new = system::read_end(path, from, LONGEST_LOG).unwrap_or_default();
    let text = String::from_utf8_lossy(&new);
    text.split_inclusive('\n').filter(|line| !line.contains("; hex ")).collect()
}

fn newest_log(data: &Path) -> Option<PathBuf> {
    let in_folder = |folder: PathBuf, suffix: &'static str| {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(move |entry| entry.file_name().to_string_lossy().ends_with(suffix))
            .filter_map(|entry| {
                Some((
                    entry.metadata().ok().filter(std::fs::Metadata::is_file)?.modified().ok()?,
                    entry.path(),
                ))
            })
    };
    in_folder(data.to_path_buf(), ".err")
        .chain(in_folder(data.join("tmp"), ".out"))
        .max()
        .map(|(_, path)| path)
}
