//! The undo file of a repair: statements that restore the secondary's old rows.
//!
//! Each row is written once, before its first change. The line that records it comes last, so that
//! rows lost in a crash are written again. The file contains vault data: mode 0600.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use crate::adapters::system;
use crate::domain::definitions::{Named, drop_it};
use crate::domain::sql::{Sql, quote_name};
use crate::domain::table::range::Bound;
use crate::domain::table::rows::{Rows, Values};

const HEAD: &str = "-- The rows of this secondary as they were before `pmp-ha repair`. To restore them, stop the\n\
-- applier and run this file as pmp_ha_admin through the local socket.\n\
SET SESSION sql_log_bin = 0;\n";

const SETTINGS: &str = "SET SESSION foreign_key_checks = 0, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n";

/// The largest file that is opened again, in bytes.
const LONGEST: u64 = 4 << 30;

/// An open file.
pub struct UndoFile {
    path: PathBuf,
    file: fs::File,
    saved: BTreeSet<String>,
}

impl UndoFile {
    /// Opens the file of a repair, new or existing.
    pub fn open(path: &Path) -> Result<Self> {
        Self::begin(path, HEAD)
    }

    /// Opens a file, new with this comment at its head, or existing.
    pub fn begin(path: &Path, head: &str) -> Result<Self> {
        let text = match system::read_bytes(path, LONGEST) {
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
    pub fn row(&mut self, table: &Rows<'_>, id: &Bound, before: &[Values]) -> Result<()> {
        let name = format!("{}.{}", table.schema, table.shape.name);
        let values: Vec<&str> = id.iter().map(|value| value.sql.as_str()).collect();
        let mark = format!("{name} {}", values.join(","));
        if self.saved.contains(&name) || self.saved.contains(&mark) {
            return Ok(());
        }
        let mut statements = vec![table.delete(&[id], None)];
        if !before.is_empty() {
            let rows: Vec<&Values> = before.iter().collect();
            statements.push(table.write("INSERT", &rows));
        }
        self.add(&statements, mark)
    }

    /// Writes how a table comes back from where it is kept; without such a place it was not there.
    pub fn table(&mut self, schema: &str, table: &str, kept: Option<&str>) -> Result<()> {
        let mark = format!("{schema}.{table}");
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

    /// Writes how a table comes back that was moved to where it is kept.
    pub fn moved(&mut self, schema: &str, table: &str, kept: &str) -> Result<()> {
        let full = format!("{}.{}", quote_name(schema), quote_name(table));
        self.add(&[Sql::new(format!("RENAME TABLE {kept} TO {full}"))], format!("{schema}.{table}"))
    }

    /// Writes how a view, a trigger, a routine or an event comes back. Its body may hold semicolons.
    pub fn definition(&mut self, schema: &str, what: &Named, session: &[Sql], create: &str) -> Result<()> {
        let mark = format!("{schema}.{} {}", what.1, what.0);
        if self.saved.contains(&mark) {
            return Ok(());
        }
        writeln!(self.file, "DELIMITER $$\nUSE {}$$", quote_name(schema))?;
        for sql in session {
            writeln!(self.file, "{}$$", sql.text())?;
        }
        writeln!(
            self.file,
            "{}$$\n{create}$$\nDELIMITER ;\nSET NAMES utf8mb4;",
            drop_it(schema, what).text()
        )?;
        self.add(&[], mark)?;
        self.file.write_all(SETTINGS.as_bytes()).map_err(Into::into)
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
