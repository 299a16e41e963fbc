//! The journal on disk: JSON lines, each synced before the effect it announces.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::adapters::system;
use crate::domain::journal::Record;

/// The journal of a home.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
}

impl JournalFile {
    /// Opens the journal at `path`, which may not exist yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads every record. Ignores an incomplete last line, because its effect had not begun.
    pub fn read(&self) -> Result<Vec<Record>> {
        let text = match system::read_text(&self.path, system::LARGE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        text[..whole]
            .lines()
            .enumerate()
            .map(|(number, line)| {
                serde_json::from_str(line)
                    .with_context(|| format!("cannot read line {} of {}", number + 1, self.path.display()))
            })
            .collect()
    }

    /// Appends a record and waits until it is on the disk.
    pub fn append(&self, record: &Record) -> Result<()> {
        let is_new = !self.path.exists();
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        self.drop_cut_line()?;
        let mut file = system::append_private(&self.path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        if is_new {
            // A run as root must not lock out the account of the product.
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            system::give_to(&self.path, system::owner(folder)?)?;
            system::sync_dir(self.path.parent().unwrap_or(Path::new("/")))?;
        }
        Ok(())
    }

    fn drop_cut_line(&self) -> Result<()> {
        let Ok(text) = system::read_bytes(&self.path, system::LARGE) else {
            return Ok(());
        };
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            system::open_for_a_cut(&self.path)?.set_len(whole as u64)?;
        }
        Ok(())
    }
}
