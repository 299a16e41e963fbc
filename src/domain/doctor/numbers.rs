//! How many numbers are left to the tables whose rows a server numbers.
//!
//! Whoever may insert a row may name its number. The next row takes the one behind it, until there is none.

use super::advice::Points;
use super::report::{DoctorTopic, Grade};
use super::scene::{DoctorScene, NumberedTable};

/// With fewer numbers than this, or than a hundredth of all, the table is as good as full.
const FEW: u64 = 1_000_000;

impl NumberedTable {
    /// The largest number of the column; `None` if its type is no whole number.
    fn largest(&self) -> Option<u64> {
        let kind = self.kind.to_lowercase();
        let bits = match kind.split(|c: char| !c.is_ascii_alphabetic()).next()? {
            "tinyint" => 8,
            "smallint" => 16,
            "mediumint" => 24,
            "int" => 32,
            "bigint" => 64,
            _ => return None,
        };
        let bits = if kind.contains("unsigned") { bits } else { bits - 1 };
        Some(u64::MAX >> (64 - bits))
    }

    fn grade(&self) -> Option<Grade> {
        let largest = self.largest()?;
        let left = largest.saturating_sub(self.next);
        if left < FEW.min(largest / 100).max(1) {
            Some(Grade::Failed)
        } else {
            (left < largest / 10).then_some(Grade::Warning)
        }
    }
}

impl Points {
    pub(super) fn numbers(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::RowNumbers;
        let tables = match &scene.numbers {
            None => return,
            Some(Ok(tables)) => tables,
            Some(Err(why)) => {
                return self.found(
                    (topic, Grade::Unknown, "row-numbers-not-read"),
                    "cannot see how many numbers the tables have left",
                    why,
                    "See the other points. pmp-ha uses the account that compares data.",
                );
            }
        };
        let mut all_right = true;
        for (table, grade) in tables.iter().filter_map(|table| Some((table, table.grade()?))) {
            all_right = false;
            let what =
                if grade == Grade::Failed { "has no numbers left" } else { "is running out of numbers" };
            let hint = if table.is_audit {
                "Find the rows with the largest numbers. The secondary may have sent a row that is not genuine: `pmp-ha explain row-numbers-used-up` explains how to correct that."
            } else {
                "Ask the product's support what to do with the oldest rows."
            };
            self.found(
                (
                    topic,
                    grade,
                    if grade == Grade::Failed { "row-numbers-used-up" } else { "row-numbers-low" },
                ),
                format!("the table {} {what} for new rows", table.table),
                format!("the next number is {}, and the type of its column is {}", table.next, table.kind),
                hint,
            );
        }
        if all_right {
            self.ok(topic, format!("{} tables number their rows, and have numbers left", tables.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grade(kind: &str, next: u64) -> Option<Grade> {
        NumberedTable { table: "t".into(), kind: kind.into(), next, is_audit: true }.grade()
    }

    #[test]
    fn a_table_is_full_when_its_type_holds_no_further_number() {
        for (kind, next, graded) in [
            ("bigint(20)", 4_000, None),
            ("bigint", 1 << 62, None),
            ("bigint(20)", u64::MAX >> 1, Some(Grade::Failed)),
            ("BIGINT(20) UNSIGNED", u64::MAX >> 1, None),
            ("bigint unsigned", u64::MAX, Some(Grade::Failed)),
            ("int(11)", 2_147_483_000, Some(Grade::Failed)),
            ("int(11)", 2_000_000_000, Some(Grade::Warning)),
            ("int unsigned", 2_147_483_647, None),
            ("mediumint", 8_388_607, Some(Grade::Failed)),
            ("smallint", 32_500, Some(Grade::Failed)),
            ("tinyint", 5, None),
            ("tinyint", 127, Some(Grade::Failed)),
            ("tinyint", 120, Some(Grade::Warning)),
            ("double", u64::MAX, None),
        ] {
            assert_eq!(grade(kind, next), graded, "{kind} {next}");
        }
    }
}
