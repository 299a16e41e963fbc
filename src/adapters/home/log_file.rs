//! The log of a home: `logs/pmp-ha.log`, and older ones beside it.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use fs_err as fs;

use super::Home;
use crate::adapters::system;

/// The log.
const FILE: &str = "logs/pmp-ha.log";

/// A log of this size makes room for a new one.
const FULL: u64 = 1 << 20;

/// How many older logs are kept, as `pmp-ha.log.1` to `pmp-ha.log.4`, the newest first.
const KEPT: u32 = 4;

/// Opens the log for adding. `None`: the home has no folder for it.
///
/// # Errors
/// If the folder or the file is a link, a pipe or somebody else's: nothing is followed out of the home.
pub fn open(home: &Home) -> Result<Option<Box<dyn Write + Send>>> {
    let file = home.path(FILE);
    let folder = home.path("logs");
    if !folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return Ok(None);
    }
    if system::is_root()
        && let Some(why) = system::changed_by(&folder, false)?
    {
        anyhow::bail!("{} {why}", folder.display());
    }
    rotate(&file)?;
    let log = system::append_private(&file)?;
    system::require_owner(&log, system::owner(home.root())?)?;
    anyhow::ensure!(log.metadata()?.is_file(), "{} is not a regular file", file.display());
    Ok(Some(Box::new(log)))
}

/// Moves a full log aside, and the older ones by one.
fn rotate(file: &Path) -> Result<()> {
    let Ok(meta) = file.symlink_metadata() else { return Ok(()) };
    anyhow::ensure!(meta.is_file(), "{} is not a regular file", file.display());
    if meta.len() < FULL {
        return Ok(());
    }
    let numbered = |number: u32| file.with_extension(format!("log.{number}"));
    for number in (1..KEPT).rev().filter(|number| numbered(*number).symlink_metadata().is_ok()) {
        fs::rename(numbered(number), numbered(number + 1))?;
    }
    Ok(fs::rename(file, numbered(1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_moves_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("pmp-ha.log");
        rotate(&file).expect("nothing to do");
        for round in 1..=6_u64 {
            fs::write(&file, vec![b'x'; usize::try_from(FULL + round).expect("small")]).expect("written");
            rotate(&file).expect("moved");
            assert!(!file.exists());
        }
        let size = |number: u32| {
            file.with_extension(format!("log.{number}")).metadata().map(|meta| meta.len() - FULL).ok()
        };
        assert_eq!((1..=5).map(size).collect::<Vec<_>>(), [Some(6), Some(5), Some(4), Some(3), None]);
        fs::write(&file, "small").expect("written");
        rotate(&file).expect("nothing to do");
        assert!(file.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, outside) = (dir.path().join("pmp-ha.log"), dir.path().join("outside"));
        fs::write(&outside, "").expect("written");
        system::link(&outside, &file).expect("a link");
        assert!(rotate(&file).is_err());
        assert!(system::append_private(&file).is_err());
    }
}
