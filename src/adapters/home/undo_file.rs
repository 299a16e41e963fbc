//! The file of a repair: statements that bring the rows of a secondary back as they were.
//!
//! Each row is written once, before its first change. The line that says so comes last, so that
//! what a crash cut off is written again. The values of the vault stand in it: mode 0600.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use crate::adapters::system;
use crate::domain::rows::{Shape, Values};
use crate::domain::sql::{Sql, quote_name};

const HEAD: &str = "-- The rows of this secondary as they were before `pmp-ha repair`. To bring them back, stop the\n\
-- applier and run this file as pmp_ha_admin through the local socket.\n\
SET SESSION sql_log_bin = 0;\n";

const SETTINGS: &str = "SET SESSION foreign_key_checks = 0, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n";

/// An open file.
pub struct UndoFile {
    path: PathBuf,
    file: fs::File,
    saved: BTreeSet<String>,
}

impl UndoFile {
    /// Begins the file of a repair, or goes on with one.
    pub fn open(path: &Path) -> Result<Self> {
        Self::begin(path, HEAD)
    }

    /// Begins a file with these lines of comment at its head, or goes on with one.
    pub fn begin(path: &Path, head: &str) -> Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut file = system::append_private(path)?;
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        if whole == 0 {
            file.write_all(head.as_bytes())?;
            file.write_all(SETTINGS.as_bytes())?;
            let folder = path.parent().unwrap_or(Path::new("/"));
            system::give_to(path, system::owner(folder)?)?;
        }
        let text = String::from_utf8_lossy(&text[..whole]);
        let saved = text.lines().filter_map(|line| line.strip_prefix("-- saved ")).map(ToOwned::to_owned);
        Ok(Self { path: path.to_path_buf(), saved: saved.collect(), file })
    }

    /// Writes the rows that one id stands for as they are, unless they are written already.
    pub fn row(&mut self, schema: &str, shape: &Shape, id: &str, before: &[Values]) -> Result<()> {
        let table = format!("{}.{}", schema, shape.name.to_lowercase());
        let mark = format!("{table} {id}");
        if self.saved.contains(&table) || self.saved.contains(&mark) {
            return Ok(());
        }
        let mut statements = vec![shape.delete(schema, &[id], None)];
        if !before.is_empty() {
            let rows: Vec<&Values> = before.iter().collect();
            statements.push(shape.write("INSERT", schema, &rows));
        }
        self.add(&statements, mark)
    }

    /// Writes how a table comes back from where it is kept; without such a place it was not there.
    pub fn table(&mut self, schema: &str, table: &str, kept: Option<&str>) -> Result<()> {
        let mark = format!("{schema}.{}", table.to_lowercase());
        if self.saved.contains(&mark) {
            return Ok(());
        }
        let full = format!("{}.{}", quote_name(schema), quote_name(table));
        let mut statements = vec![Sql::new(format!("DROP TABLE IF EXISTS {full}"))];
        if let Some(kept) = kept {
            statements.push(Sql::new(format!("CREATE TABLE {full} LIKE {kept}")));
            statements.push(Sql::new(format!("INSERT INTO {full} SELECT * FROM {kept}")));
        }
        self.add(&statements, mark)
    }

    fn add(&mut self, statements: &[Sql], mark: String) -> Result<()> {
        for statement in statements {
            writeln!(self.file, "{};", statement.text())?;
        }
        writeln!(self.file, "-- saved {mark}")?;
        self.saved.insert(mark);
        Ok(())
    }

    /// Waits until everything is on the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_all()?;
        system::sync_dir(self.path.parent().unwrap_or(Path::new("/")))
    }
}
