//! Saved copies of a home's small files and folders, as they were before a run changed them.
//!
//! Each one is saved completely before its first change. It can be restored at any time, any number
//! of times.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use crate::adapters::system;

/// The saved things of one home.
#[derive(Debug)]
pub struct Saved {
    home: PathBuf,
    store: PathBuf,
}

impl Saved {
    /// The store of the home, below its work folder.
    #[must_use]
    pub fn of(home: &Path, work: &Path) -> Self {
        Self { home: home.to_path_buf(), store: work.join("saved") }
    }

    fn slot(&self, path: &str) -> (PathBuf, PathBuf) {
        let name = path.replace('/', "--");
        (self.store.join(format!("{name}.copy")), self.store.join(format!("{name}.saved")))
    }

    /// Saves `path` (relative to the home), once: what is saved already stays.
    pub fn save(&self, path: &str) -> Result<()> {
        let (copy, done) = self.slot(path);
        if done.exists() {
            return Ok(());
        }
        system::private_dir(&self.store)?;
        let original = self.home.join(path);
        remove(&copy)?;
        let state: &[u8] = if original.exists() {
            copy_tree(&original, &copy)?;
            b"present"
        } else {
            b"absent"
        };
        system::write_atomic(&done, state, 0o600, None)
    }

    /// The copy of `path`, if it was saved and was there.
    #[must_use]
    pub fn copy_of(&self, path: &str) -> Option<PathBuf> {
        let (copy, done) = self.slot(path);
        (done.exists() && copy.exists()).then_some(copy)
    }

    /// Copies everything that is saved to the store of another work folder.
    pub fn copy_store(&self, work: &Path) -> Result<()> {
        copy_tree(&self.store, &work.join("saved"))
    }

    /// Restores `path` as it was saved. Does nothing if it was not saved.
    pub fn restore(&self, path: &str) -> Result<()> {
        let (copy, done) = self.slot(path);
        let original = self.home.join(path);
        match system::read_bytes(&done, system::LARGE).ok().as_deref() {
            Some(b"present") => {
                let next = original.with_file_name(format!(
                    ".{}.pmp-ha-back",
                    original.file_name().unwrap_or_default().to_string_lossy()
                ));
                remove(&next)?;
                copy_tree(&copy, &next)?;
                if !original.exists() || !next.is_dir() {
                    fs::rename(&next, &original)?;
                } else if !system::exchange(&next, &original)? {
                    remove(&original)?;
                    fs::rename(&next, &original)?;
                }
                remove(&next)?;
            }
            Some(_) => remove(&original)?,
            None => return Ok(()),
        }
        remove(&system::temporary_of(&original))?;
        system::sync_dir(original.parent().unwrap_or(&self.home))
    }
}

/// Removes a file or a folder with all that is in it, if it is there.
pub fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(meta) if meta.is_dir() => Ok(fs::remove_dir_all(path)?),
        Ok(_) => Ok(fs::remove_file(path)?),
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let mode = system::mode(from)?;
    if from.is_dir() {
        system::private_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        system::set_mode(to, mode)?;
    } else {
        system::write_atomic(to, &system::read_bytes(from, system::LARGE)?, mode, None)?;
    }
    system::give_to(to, system::owner(from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_comes_back_and_what_was_not_goes() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = dir.path();
        fs::create_dir_all(home.join("conf/x")).expect("made");
        fs::write(home.join("conf/x/a"), "old").expect("written");
        let saved = Saved::of(home, &home.join("work"));
        for path in ["conf/x", "conf/new"] {
            saved.save(path).expect("saved");
        }
        fs::write(home.join("conf/x/a"), "changed").expect("written");
        fs::write(home.join("conf/x/b"), "more").expect("written");
        fs::write(home.join("conf/new"), "new").expect("written");
        saved.save("conf/x").expect("the second time changes nothing");
        for _ in 0..2 {
            for path in ["conf/x", "conf/new", "conf/never-saved"] {
                saved.restore(path).expect("restored");
            }
        }
        assert_eq!(fs::read_to_string(home.join("conf/x/a")).expect("there"), "old");
        assert!(!home.join("conf/x/b").exists() && !home.join("conf/new").exists());
        assert_eq!(fs::read_dir(home.join("conf")).expect("there").count(), 1);
    }
}
