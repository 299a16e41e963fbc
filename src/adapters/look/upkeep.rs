//! What is known of a home in addition to its pair: packs, binlogs, and the chronicle.

use crate::adapters::home::Home;
use crate::adapters::home::journal_file::JournalFile;
use crate::domain::alarm::UnixSeconds;
use crate::domain::chronicle::occurrence::{Happening, Occurrence};
use crate::domain::history::{Ending, runs};
use crate::domain::page::Upkeep;
use crate::domain::plan::Command;

/// Looks at the home. What cannot be read is absent.
#[must_use]
pub fn look(home: &Home, occurrences: &[Occurrence]) -> Upkeep {
    let latest = |what: fn(&Happening) -> Option<bool>| {
        occurrences.iter().rev().find_map(|found| what(&found.what).map(|good| (found.at, good)))
    };
    Upkeep {
        packed: packed(home),
        compared: latest(|what| match what {
            Happening::Compared { equal, .. } => Some(*equal),
            _ => None,
        }),
        rehearsed: latest(|what| match what {
            Happening::Rehearsed { good, .. } => Some(*good),
            _ => None,
        }),
        certificates: Vec::new(),
        binlogs: binlogs(home),
        free: None,
        alarms: None,
    }
}

/// When the last pack was made or installed here, by the journal.
fn packed(home: &Home) -> Option<UnixSeconds> {
    let records = JournalFile::at(home.journal()).read().ok()?;
    let is_of_packs = |command| matches!(command, Command::Pack | Command::InstallPack);
    let last = runs(&records, false)
        .into_iter()
        .rev()
        .find(|run| run.outcome == Ending::Done && is_of_packs(run.command))?;
    u64::try_from(last.at.parse::<jiff::Timestamp>().ok()?.as_second()).ok()
}

/// The size of the binlogs.
fn binlogs(home: &Home) -> Option<u64> {
    Some(binlog_files(home)?.iter().map(|(_, size)| size).sum())
}

/// The binlogs next to the data: when each was last written, and its size.
///
/// Times are in seconds since 1970, sizes in bytes. The name of a binlog ends in a number.
#[must_use]
pub fn binlog_files(home: &Home) -> Option<Vec<(i64, u64)>> {
    let entries = fs_err::read_dir(home.data()).ok()?;
    let is_binlog = |name: &str| {
        name.rsplit_once('.').is_some_and(|(base, number)| {
            number.len() == 6
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && base.contains("bin")
                && !base.contains("relay")
        })
    };
    let seconds = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let files = entries
        .flatten()
        .filter(|entry| is_binlog(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| entry.metadata().ok())
        .filter_map(|meta| Some((seconds(meta.modified().ok()?), meta.len())));
    Some(files.collect())
}
