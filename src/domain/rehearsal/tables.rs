//! Compares the tables of the copy with those of a database that keeps running.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::check::{Check, Code, Defect, Topic};

/// The number of tables that a sentence names.
const NAMED: usize = 5;

/// The content of a table: its rows, and a checksum that does not depend on their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableFigures {
    /// How many.
    pub rows: u64,
    /// Of all of them.
    pub checksum: String,
}

/// The figures of each table, by its name in lower case.
pub type Tables = BTreeMap<String, TableFigures>;

/// The running database that a copy is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counterpart {
    /// There is none, and why.
    None(String),
    /// It is the copied one, read before and after the copy.
    Copied {
        /// Before.
        before: Tables,
        /// After.
        after: Tables,
    },
    /// It has changed since the state of these data.
    GoneOn {
        /// Which.
        whom: String,
        /// As they are now.
        now: Tables,
    },
}

/// How a table of the copy compares with the running database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// Rows and checksum are the same.
    Equal,
    /// It was written to while it was copied, and its rows lie between those before and after.
    Between,
    /// The running database has changed since.
    GoneOn,
    /// It is another one.
    Differs,
    /// There was nothing to compare with.
    NotCompared,
}

/// A table in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableLine {
    /// Its name.
    pub table: String,
    /// In the copy.
    #[serde(flatten)]
    pub copy: TableFigures,
    /// In the running database; after the copy, where that was read twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<TableFigures>,
    /// Whether both are the same.
    pub comparison: Likeness,
}

/// Compares the tables. Returns a line for each table of the copy, and the check.
#[must_use]
pub fn compare(copy: &Tables, live: &Counterpart) -> (Vec<TableLine>, Check) {
    match live {
        Counterpart::None(why) => {
            let alone =
                |(name, figures): (&String, &TableFigures)| line(name, figures, None, Likeness::NotCompared);
            (copy.iter().map(alone).collect(), Check::not_done(Topic::Comparison, why))
        }
        Counterpart::Copied { before, after } => with_copied(copy, before, after),
        Counterpart::GoneOn { whom, now } => with_gone_on(copy, whom, now),
    }
}

fn line(name: &str, copy: &TableFigures, live: Option<&TableFigures>, comparison: Likeness) -> TableLine {
    TableLine { table: name.to_owned(), copy: copy.clone(), live: live.cloned(), comparison }
}

fn with_copied(copy: &Tables, before: &Tables, after: &Tables) -> (Vec<TableLine>, Check) {
    let mut lines = Vec::new();
    let mut defects = Vec::new();
    let names: BTreeSet<&String> = copy.keys().chain(before.keys()).chain(after.keys()).collect();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        let Some(here) = copy.get(name) else {
            // What was made or dropped meanwhile may be in the copy or not.
            if old.is_some() && new.is_some() {
                defects.push(differs(format!("{name} is not in the copy")));
            }
            continue;
        };
        let likeness = likeness(here, old, new);
        if likeness == Likeness::Differs {
            let rows = |figures: Option<&TableFigures>| figures.map_or(0, |figures| figures.rows);
            let (low, high) = (rows(old).min(rows(new)), rows(old).max(rows(new)));
            defects.push(differs(if old == new {
                format!("{name} has {} rows in the copy and {high} in the database, or different rows, although nobody wrote to it", here.rows)
            } else {
                format!("{name} has {} rows in the copy, but had {low} to {high} in the database during the copy", here.rows)
            }));
        }
        lines.push(line(name, here, new, likeness));
    }
    let evidence = [
        format!("{} tables equal those of the running database", count(&lines, Likeness::Equal)),
        rest(
            "written to during the copy; their row counts are between those before and after",
            &named(&lines, Likeness::Between),
        ),
        rest("not compared", &named(&lines, Likeness::NotCompared)),
    ]
    .concat();
    (lines, Check::of(Topic::Comparison, defects, evidence))
}

fn likeness(copy: &TableFigures, before: Option<&TableFigures>, after: Option<&TableFigures>) -> Likeness {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {
            if copy == before {
                Likeness::Equal
            } else {
                Likeness::Differs
            }
        }
        (Some(before), Some(after)) => {
            let within = before.rows.min(after.rows)..=before.rows.max(after.rows);
            if within.contains(&copy.rows) { Likeness::Between } else { Likeness::Differs }
        }
        (None, None) => Likeness::NotCompared,
        (Some(_), None) | (None, Some(_)) => Likeness::Between,
    }
}

fn with_gone_on(copy: &Tables, whom: &str, now: &Tables) -> (Vec<TableLine>, Check) {
    let of = |(name, here): (&String, &TableFigures)| {
        let there = now.get(name);
        let same = there == Some(here);
        line(name, here, there, if same { Likeness::Equal } else { Likeness::GoneOn })
    };
    let lines: Vec<TableLine> = copy.iter().map(of).collect();
    let evidence = [
        format!("{} tables equal those of {whom} now", count(&lines, Likeness::Equal)),
        rest("others have changed there since", &named(&lines, Likeness::GoneOn)),
    ]
    .concat();
    (lines, Check::passed(Topic::Comparison, evidence))
}

fn differs(evidence: String) -> Defect {
    Defect::new(
        Code::TableDiffers,
        evidence,
        "Run the rehearsal again when there are fewer writes. If the difference remains, `pmp-ha verify --deep` on the primary shows which rows differ.",
    )
}

fn count(lines: &[TableLine], which: Likeness) -> usize {
    lines.iter().filter(|line| line.comparison == which).count()
}

fn named(lines: &[TableLine], which: Likeness) -> Vec<&str> {
    lines.iter().filter(|line| line.comparison == which).map(|line| line.table.as_str()).collect()
}

/// Returns a sentence with the tables of one kind, if there are any.
fn rest(what: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => format!("; {what}: {shown}"),
        more => format!("; {what}: {shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(of: &[(&str, u64, &str)]) -> Tables {
        of.iter()
            .map(|(name, rows, sum)| {
                ((*name).to_owned(), TableFigures { rows: *rows, checksum: (*sum).to_owned() })
            })
            .collect()
    }

    fn likenesses(copy: &Tables, live: &Counterpart) -> (Vec<Likeness>, usize) {
        let (lines, check) = compare(copy, live);
        (lines.iter().map(|line| line.comparison).collect(), check.defects.len())
    }

    #[test]
    fn a_table_that_was_not_written_to_must_be_equal_and_another_lie_between() {
        use Likeness::{Between, Differs, Equal};
        let before = tables(&[("a", 2, "x"), ("b", 2, "x"), ("c", 5, "x"), ("d", 5, "x"), ("e", 1, "x")]);
        let after = tables(&[("a", 2, "x"), ("b", 2, "x"), ("c", 9, "y"), ("d", 9, "y"), ("f", 1, "x")]);
        let copy = tables(&[("a", 2, "x"), ("b", 2, "z"), ("c", 7, "z"), ("d", 4, "z")]);
        let live = Counterpart::Copied { before: before.clone(), after: after.clone() };
        assert_eq!(likenesses(&copy, &live), (vec![Equal, Differs, Between, Differs], 2));
        let lacks = tables(&[("a", 2, "x"), ("b", 2, "x"), ("d", 5, "x")]);
        let live = Counterpart::Copied { before, after };
        assert_eq!(likenesses(&lacks, &live), (vec![Equal, Equal, Between], 1));
        let more = tables(&[("new", 1, "x")]);
        let nothing = Counterpart::Copied { before: Tables::new(), after: Tables::new() };
        assert_eq!(likenesses(&more, &nothing), (vec![Likeness::NotCompared], 0));
    }

    #[test]
    fn a_database_that_has_gone_on_proves_equal_tables_and_accuses_none() {
        let copy = tables(&[("a", 2, "x"), ("b", 2, "x")]);
        let now = tables(&[("a", 2, "x"), ("b", 3, "y")]);
        let live = Counterpart::GoneOn { whom: "the primary".into(), now };
        assert_eq!(likenesses(&copy, &live), (vec![Likeness::Equal, Likeness::GoneOn], 0));
    }
}
