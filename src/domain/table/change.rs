//! What a repair does about a row that differs.

use std::cmp::Ordering;

use super::super::pair::Pair;
use super::super::plan::TableChange;
use super::equality::RowDifference;
use super::range::Bound;

/// How many keys a plan names for each table.
const SHOWN: usize = 10;

/// How many characters of a key are shown.
const SHOWN_KEY: usize = 60;

/// What has to be done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// The primary has it, and the secondary does not.
    Insert,
    /// Both have it, and the primary's holds.
    Update,
    /// Only the secondary has it.
    Delete,
    /// Only the secondary has it, and it must not be lost: it is sent to the primary once more.
    Merge,
}

/// What to do about a difference in this table, and for how many rows; `None` if nothing.
#[must_use]
pub fn change(
    pair: &Pair,
    table: &str,
    has_key: bool,
    difference: &RowDifference,
) -> Option<(Correction, u64)> {
    let only_here = if pair.audit_tables.contains(table) { Correction::Merge } else { Correction::Delete };
    if !has_key {
        let count = |side: &Option<String>| side.as_ref().and_then(|n| n.parse().ok()).unwrap_or(0u64);
        let (here, there) = (count(&difference.here), count(&difference.there));
        return match here.cmp(&there) {
            Ordering::Less => Some((Correction::Insert, there - here)),
            Ordering::Equal => None,
            Ordering::Greater => Some((only_here, here - there)),
        };
    }
    match (&difference.here, &difference.there) {
        (None, None) => None,
        (None, Some(_)) => Some((Correction::Insert, 1)),
        (Some(here), Some(there)) => (here != there).then_some((Correction::Update, 1)),
        (Some(_), None) => Some((only_here, 1)),
    }
}

/// Sums up what has to be done, for a plan.
#[must_use]
pub fn sum_up(pair: &Pair, table: &str, has_key: bool, differences: &[RowDifference]) -> Option<TableChange> {
    let mut out = TableChange { table: table.to_owned(), ..TableChange::default() };
    for difference in differences {
        let Some((change, rows)) = change(pair, table, has_key, difference) else { continue };
        match change {
            Correction::Insert => out.insert += rows,
            Correction::Update => out.update += rows,
            Correction::Delete => out.delete += rows,
            Correction::Merge => out.merge += rows,
        }
        if out.keys.len() < SHOWN {
            out.keys.push(shown(has_key, &difference.id));
        } else {
            out.more += 1;
        }
    }
    (!out.keys.is_empty()).then_some(out)
}

/// The key of a row for people.
#[must_use]
pub fn shown(has_key: bool, id: &Bound) -> String {
    if !has_key {
        return "a row without a key".into();
    }
    let parts: Vec<&str> = id.iter().map(|value| value.text.as_str()).collect();
    let mut shown: String = parts.join("/").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if let Some((cut, _)) = shown.char_indices().nth(SHOWN_KEY) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::range::KeyValue;
    use super::*;

    fn difference(here: Option<&str>, there: Option<&str>) -> RowDifference {
        let value = |text: &str| KeyValue { text: text.into(), sql: format!("'{text}'") };
        RowDifference {
            id: vec![value("12"), value("a")],
            here: here.map(Into::into),
            there: there.map(Into::into),
        }
    }

    #[test]
    fn what_is_done_depends_on_the_table_and_audit_rows_are_never_deleted() {
        let pair = Pair::example();
        let done = |name, here, there| change(&pair, name, true, &difference(here, there)).map(|c| c.0);
        assert_eq!(done("x", None, Some("1")), Some(Correction::Insert));
        assert_eq!(done("x", Some("2"), Some("1")), Some(Correction::Update));
        assert_eq!(done("x", Some("2"), None), Some(Correction::Delete));
        assert_eq!(done("Ptrx_UserAudit", Some("2"), None), Some(Correction::Merge));
        assert_eq!(done("ptrx_useraudit", Some("2"), Some("1")), Some(Correction::Update));
    }

    #[test]
    fn rows_without_a_key_are_counted() {
        let pair = Pair::example();
        let done = |here, there| change(&pair, "x", false, &difference(here, there));
        assert_eq!(done(Some("1"), Some("3")), Some((Correction::Insert, 2)));
        assert_eq!(done(Some("3"), None), Some((Correction::Delete, 3)));
        assert_eq!(done(Some("3"), Some("3")), None);
    }

    #[test]
    fn keys_are_shown_and_bounded() {
        assert_eq!(shown(true, &difference(None, None).id), "12/a");
        let many: Vec<RowDifference> = (0..12).map(|_| difference(None, Some("1"))).collect();
        let summed = sum_up(&Pair::example(), "x", true, &many).expect("a change");
        assert_eq!((summed.insert, summed.keys.len(), summed.more), (12, 10, 2));
    }
}
