//! The undo file of a repair: statements that restore the secondary's old rows.
//!
//! Each row is written once, before its first change. The line that records it comes last, so that
//! rows lost in a crash are written again. The file contains vault data: mode 0600.
//!
//! Names and bodies come from a database, and somebody may choose them. None leaves its comment or ends a
//! statement: what marks a line, and what ends a body, has a word that is random in each file.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;

use crate::adapters::{random, system};
use crate::domain::definitions::{Named, drop_it};
use crate::domain::sql::{Sql, quote_name};
use crate::domain::table::range::Bound;
use crate::domain::table::rows::{Rows, Values};
use crate::domain::words::printable;

const HEAD: &str = "-- The rows of this secondary as they were before `pmp-ha repair`. To restore them, stop the\n\
-- applier and run this file as pmp_ha_admin through the local socket.\n\
SET SESSION sql_log_bin = 0;\n";

const SETTINGS: &str = "SET SESSION foreign_key_checks = 0, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n";

/// The largest file that is opened again, in bytes.
const LONGEST: u64 = 4 << 30;

/// How the line begins that tells the word of the file. A file of an earlier version has none.
const WORD: &str = "-- word ";

/// The letters of the word. The client takes no more than 15 as the end of a statement.
const LETTERS: usize = 12;

/// An open file.
pub struct UndoFile {
    path: PathBuf,
    file: fs::File,
    /// Begins the line that records something.
    mark: String,
    /// Ends a body, which may hold semicolons.
    end: String,
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
        let text = String::from_utf8_lossy(&text[..whole]).into_owned();
        // Nobody's words stand above it.
        let mut word = text.lines().find_map(|line| line.strip_prefix(WORD)).map(ToOwned::to_owned);
        let new = random::id()[..LETTERS].to_owned();
        if whole == 0 {
            file.write_all(head.as_bytes())?;
            writeln!(file, "{WORD}{new}")?;
            word = Some(new.clone());
            file.write_all(SETTINGS.as_bytes())?;
            let folder = path.parent().unwrap_or(Path::new("/"));
            system::give_to(path, system::owner(folder)?)?;
        }
        let end = format!("$${}", word.as_ref().unwrap_or(&new));
        let mark = word.map_or_else(|| "-- saved ".to_owned(), |word| format!("-- saved {word} "));
        let saved = text.lines().filter_map(|line| line.strip_prefix(&mark)).map(ToOwned::to_owned).collect();
        Ok(Self { path: path.to_path_buf(), saved, file, mark, end })
    }

    /// Writes the rows of one id as they are, unless they are already written.
    pub fn row(&mut self, table: &Rows<'_>, id: &Bound, before: &[Values]) -> Result<()> {
        let name = escaped(&format!("{}.{}", table.schema, table.shape.name));
        let values: Vec<&str> = id.iter().map(|value| value.sql.as_str()).collect();
        let mark = format!("{name} {}", escaped(&values.join(",")));
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
        let mark = escaped(&format!("{schema}.{table}"));
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
        self.add(&[Sql::new(format!("RENAME TABLE {kept} TO {full}"))], escaped(&format!("{schema}.{table}")))
    }

    /// Writes how a view, a trigger, a routine or an event comes back. Its body may hold semicolons.
    pub fn definition(&mut self, schema: &str, what: &Named, session: &[Sql], create: &str) -> Result<()> {
        let mark = escaped(&format!("{schema}.{} {}", what.1, what.0));
        if self.saved.contains(&mark) {
            return Ok(());
        }
        let end = &self.end;
        writeln!(self.file, "DELIMITER {end}\nUSE {}{end}", quote_name(schema))?;
        for sql in session {
            writeln!(self.file, "{}{end}", sql.text())?;
        }
        writeln!(
            self.file,
            "{}{end}\n{create}{end}\nDELIMITER ;\nSET NAMES utf8mb4;",
            drop_it(schema, what).text()
        )?;
        self.add(&[], mark)?;
        self.file.write_all(SETTINGS.as_bytes()).map_err(Into::into)
    }

    fn add(&mut self, statements: &[Sql], mark: String) -> Result<()> {
        for statement in statements {
            writeln!(self.file, "{};", statement.text())?;
        }
        writeln!(self.file, "{}{mark}", self.mark)?;
        self.saved.insert(mark);
        Ok(())
    }

    /// Waits until everything is on the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_all()?;
        system::sync_dir(self.path.parent().unwrap_or(Path::new("/")))
    }
}

/// A text on one line, different for different texts.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // The characters that `printable` hides, and line ends, which it does not.
        let is_shown = printable(c.encode_utf8(&mut [0; 4])).starts_with(c);
        if c != '\\' && !c.is_control() && is_shown {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::definitions::ObjectKind;

    const NAME: &str = "x\ncreate database injected; -- y\n-- saved passtrix.t\u{1b}[2J";

    #[test]
    fn no_name_leaves_its_comment_or_is_taken_for_another_mark() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("undo.sql");
        let mut undo = UndoFile::open(&path).expect("opened");
        undo.moved("passtrix", NAME, "`kept`").expect("written");
        undo.table("passtrix", NAME, None).expect("known already");
        drop(undo);
        let text = fs::read_to_string(&path).expect("there");
        // The statement quotes the name, on as many lines as it has; the mark is one.
        let mark = text.lines().last().expect("a mark");
        assert!(mark.starts_with("-- saved ") && mark.contains("create database injected"), "{text}");
        assert!(!mark.contains('\u{1b}') && mark.ends_with("[2J"), "{text}");
        assert_eq!(text.matches("create database injected").count(), 2, "{text}");

        // What the statement holds is no mark when the file is opened again.
        let mut again = UndoFile::open(&path).expect("opened");
        assert_eq!(again.saved.len(), 1);
        again.table("passtrix", NAME, None).expect("known");
        assert_eq!(fs::read_to_string(&path).expect("there"), text);
        again.table("passtrix", "t", None).expect("written");
        assert!(fs::read_to_string(&path).expect("there").contains("DROP TABLE IF EXISTS `passtrix`.`t`"));
    }

    #[test]
    fn no_body_ends_itself() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("undo.sql");
        let mut undo = UndoFile::open(&path).expect("opened");
        let body = "CREATE PROCEDURE p() SELECT '$$'$$ DROP DATABASE passtrix$$";
        undo.definition("passtrix", &(ObjectKind::Procedure, "p".into()), &[], body).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        let end = text.lines().find_map(|line| line.strip_prefix("DELIMITER ")).expect("an end");
        assert!((6..=15).contains(&end.len()) && !body.contains(end), "{text}");
        assert!(text.contains(&format!("\n{body}{end}\nDELIMITER ;")), "{text}");
    }

    #[test]
    fn a_file_of_an_earlier_version_is_gone_on_with() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("undo.sql");
        fs::write(&path, "SET x;\n-- saved passtrix.t\nSET half").expect("written");
        let mut undo = UndoFile::open(&path).expect("opened");
        undo.table("passtrix", "t", None).expect("known");
        undo.table("passtrix", "u", None).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        assert!(
            text.starts_with("SET x;\n-- saved passtrix.t\nDROP TABLE")
                && text.ends_with("-- saved passtrix.u\n"),
            "{text}"
        );
    }
}
