//! What came of a comparison.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::definitions::{ONLY_ON_PRIMARY, ObjectKind};
use super::super::table::Key;
use super::super::table::range::{Bound, Range};
use super::super::words::one_line;

/// What is different about a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum What {
    /// The secondary does not have it.
    OnlyOnPrimary,
    /// The primary does not have it.
    OnlyOnSecondary,
    /// Its columns or keys differ; its rows were not compared.
    Structure {
        /// In words.
        evidence: Vec<String>,
    },
    /// No table, but something of this name that is defined otherwise, or on one node only.
    Definition {
        /// What it is.
        of: ObjectKind,
        /// In words.
        evidence: String,
    },
    /// It cannot be read; its rows were not compared.
    Unreadable {
        /// What the servers say.
        evidence: Vec<String>,
    },
    /// Rows of a range of keys differ.
    Rows {
        /// The columns of the key; none where the table has none, and is compared as a whole.
        key: Vec<String>,
        /// The values of the greatest key below it; `None` is open.
        above: Option<Vec<String>>,
        /// The values of the greatest key in it; `None` is open.
        up_to: Option<Vec<String>>,
        /// Rows that the primary has in it.
        rows_on_primary: u64,
        /// Rows that the secondary has in it.
        rows_on_secondary: u64,
    },
}

impl What {
    /// A range whose rows differ.
    #[must_use]
    pub fn rows(key: Option<&Key>, range: &Range, rows_on_primary: u64, rows_on_secondary: u64) -> Self {
        let texts = |bound: &Bound| bound.iter().map(|value| value.text.clone()).collect();
        Self::Rows {
            key: key.map(Key::names).unwrap_or_default(),
            above: range.lower.as_ref().map(texts),
            up_to: range.upper.as_ref().map(texts),
            rows_on_primary,
            rows_on_secondary,
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDifference {
    /// The table, or the name of a view, a trigger, a routine or an event.
    pub table: String,
    /// What is different.
    #[serde(flatten)]
    pub what: What,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparisonReport {
    /// Whether both nodes have the same data.
    pub same: bool,
    /// How many tables were compared.
    pub tables: usize,
    /// How many rows of the primary.
    pub rows: u64,
    /// What is different.
    pub differences: Vec<TableDifference>,
    /// Tables whose rows belong to one node alone, and that were not compared.
    pub left_out: Vec<String>,
}

/// What a comparison would compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outline {
    /// The tables that both nodes should have.
    pub tables: Vec<String>,
    /// As in [`ComparisonReport`].
    pub left_out: Vec<String>,
    /// Tables that the primary does not have.
    pub only_on_secondary: Vec<String>,
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "would compare {}:", counted(self.tables.len() as u64, "table"))?;
        for table in &self.tables {
            writeln!(f, "  {}", one_line(table))?;
        }
        for table in &self.left_out {
            writeln!(f, "  left out: {}, into which the secondary writes for itself", one_line(table))?;
        }
        for table in &self.only_on_secondary {
            writeln!(f, "  only the secondary has {}", one_line(table))?;
        }
        Ok(())
    }
}

impl fmt::Display for ComparisonReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tables, rows) = (counted(self.tables as u64, "table"), counted(self.rows, "row"));
        let compared = format!("{tables}, {rows} compared");
        if self.same {
            writeln!(f, "{compared}, all the same")?;
        } else {
            let is_definition = |found: &&TableDifference| matches!(found.what, What::Definition { .. });
            let tables = self.differences.iter().filter(|found| !is_definition(found));
            let mut names: Vec<&str> = tables.map(|found| found.table.as_str()).collect();
            names.dedup();
            let definitions = self.differences.iter().filter(is_definition).count();
            let parts = [(names.len(), "table"), (definitions, "definition")];
            let parts: Vec<String> = parts
                .iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, what)| counted(*number as u64, what))
                .collect();
            writeln!(f, "{compared}, {} different", parts.join(" and "))?;
        }
        let mut last = "";
        for found in &self.differences {
            if found.table != last {
                writeln!(f, "  {}", one_line(&found.table))?;
                last = &found.table;
            }
            writeln!(f, "    {}", one_line(&found.what.to_string()))?;
        }
        for table in &self.left_out {
            writeln!(f, "  left out: {}, into which the secondary writes for itself", one_line(table))?;
        }
        let is_of_primary_alone = |found: &TableDifference| match &found.what {
            What::Definition { of, evidence } => *of != ObjectKind::View && evidence == ONLY_ON_PRIMARY,
            _ => false,
        };
        if self.differences.iter().any(is_of_primary_alone) {
            writeln!(
                f,
                "  hint: First find out who created what only the primary has, and do not copy it before: the secondary may have sent it, to run on the primary."
            )?;
        }
        let is_bad = |found: &&TableDifference| matches!(found.what, What::Unreadable { .. });
        if self.differences.iter().any(|found| !is_bad(&found)) {
            writeln!(f, "  hint: `pmp-ha repair` on the secondary makes it equal to the primary.")?;
        }
        if self.differences.iter().any(|found| is_bad(&found)) {
            writeln!(
                f,
                "  hint: `pmp-ha repair` leaves out what cannot be read. Repair or drop that table, or make a new pack."
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyOnPrimary => f.write_str("the secondary does not have this table"),
            Self::OnlyOnSecondary => f.write_str("only the secondary has this table"),
            Self::Structure { evidence } => write!(f, "structure differs: {}", evidence.join("; ")),
            Self::Definition { of, evidence } => write!(f, "{of}: {evidence}"),
            Self::Unreadable { evidence } => write!(f, "cannot be read: {}", evidence.join("; ")),
            Self::Rows { key, above, up_to, rows_on_primary, rows_on_secondary } => {
                let (here, there) = (counted(*rows_on_primary, "row"), counted(*rows_on_secondary, "row"));
                write!(
                    f,
                    "{}: {here} on the primary, {there} on the secondary",
                    in_words(key, above.as_deref(), up_to.as_deref())
                )
            }
        }
    }
}

fn in_words(key: &[String], above: Option<&[String]>, up_to: Option<&[String]>) -> String {
    let names = key.join(", ");
    match (above, up_to) {
        (None, None) => "the whole table".into(),
        (None, Some(upper)) => format!("{names} up to {}", upper.join(", ")),
        (Some(lower), None) => format!("{names} above {}", lower.join(", ")),
        (Some(lower), Some(upper)) => {
            format!("{names} above {} up to {}", lower.join(", "), upper.join(", "))
        }
    }
}

fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_no_line_of_its_own() {
        let forged = "z\nHigh Availability Status: Alive\u{85}\u{2028}\rerror: x";
        let found =
            TableDifference { table: forged.into(), what: What::Structure { evidence: vec![forged.into()] } };
        let left_out = vec![forged.to_owned()];
        let report = ComparisonReport {
            same: false,
            tables: 1,
            rows: 1,
            differences: vec![found],
            left_out: left_out.clone(),
        };
        let outline =
            Outline { tables: left_out.clone(), left_out: left_out.clone(), only_on_secondary: left_out };
        for (text, lines) in [(report.to_string(), 5), (outline.to_string(), 4)] {
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(
                text.lines().all(|line| !line.starts_with("High") && !line.starts_with("error")),
                "{text}"
            );
        }
    }

    #[test]
    fn the_report_names_each_table_once_with_its_ranges() {
        let bound = |text: &str| Some(vec![text.to_owned()]);
        let rows = |above, up_to, rows_on_secondary| TableDifference {
            table: "b".into(),
            what: What::Rows { key: vec!["ID".into()], above, up_to, rows_on_primary: 1, rows_on_secondary },
        };
        let mut report = ComparisonReport {
            same: false,
            tables: 4,
            rows: 2000,
            differences: vec![
                TableDifference { table: "a".into(), what: What::OnlyOnPrimary },
                TableDifference {
                    table: "v".into(),
                    what: What::Definition { of: ObjectKind::View, evidence: "the body differs".into() },
                },
                TableDifference {
                    table: "w".into(),
                    what: What::Definition { of: ObjectKind::View, evidence: ONLY_ON_PRIMARY.into() },
                },
                rows(None, bound("9"), 0),
                rows(bound("20"), bound("30"), 2),
            ],
            left_out: vec![],
        };
        assert_eq!(
            report.to_string(),
            "4 tables, 2000 rows compared, 2 tables and 2 definitions different\n  \
             a\n    the secondary does not have this table\n  \
             v\n    view: the body differs\n  \
             w\n    view: only the primary has it\n  \
             b\n    ID up to 9: 1 row on the primary, 0 rows on the secondary\n    \
             ID above 20 up to 30: 1 row on the primary, 2 rows on the secondary\n  \
             hint: `pmp-ha repair` on the secondary makes it equal to the primary.\n"
        );
        let evidence = ONLY_ON_PRIMARY.to_owned();
        report.differences[2].what = What::Definition { of: ObjectKind::Trigger, evidence };
        assert!(report.to_string().contains("do not copy it before"), "{report}");
        report.same = true;
        report.differences.clear();
        assert_eq!(report.to_string(), "4 tables, 2000 rows compared, all the same\n");
    }
}
