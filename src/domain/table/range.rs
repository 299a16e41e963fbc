//! Ranges of keys: their bounds, and the conditions and queries that speak of them.

use serde::{Deserialize, Serialize};

use super::super::sql::{Sql, quote, quote_name};
use super::column::KeyKind;
use super::{Key, KeyColumn};

/// The value of a key's column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyValue {
    /// For people; bytes as `0x…`.
    pub text: String,
    /// As it is written into a statement: just this value, whatever the character sets.
    pub sql: String,
}

/// The values of a key, one a column.
pub type Bound = Vec<KeyValue>;

/// The keys above `lower` up to and with `upper`; `None` is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The greatest key that is not in it.
    pub lower: Option<Bound>,
    /// The greatest key that is in it.
    pub upper: Option<Bound>,
}

/// A bound as the servers keep it for other commands: a JSON array of texts.
#[must_use]
pub fn as_json(bound: &Bound) -> String {
    let texts: Vec<&str> = bound.iter().map(|value| value.text.as_str()).collect();
    serde_json::Value::from(texts).to_string()
}

/// The expressions that read a key's values, `t0`, `h0`, `t1` …: text, and bytes if they count.
#[must_use]
pub fn key_values(key: &Key) -> String {
    let of = |(index, column): (usize, &KeyColumn)| {
        let name = quote_name(&column.name);
        match column.kind {
            KeyKind::Number | KeyKind::Quoted => format!("{name} AS t{index}"),
            KeyKind::Float => format!("{name} + 0e0 AS t{index}"),
            KeyKind::Code => format!("{name} + 0 AS t{index}"),
            KeyKind::Text => format!("{name} AS t{index}, HEX({name}) AS h{index}"),
            KeyKind::Bytes => format!("HEX({name}) AS t{index}"),
        }
    };
    key.columns.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
}

/// Reads a row of [`key_values`].
pub fn read_key(key: &Key, get: impl Fn(&str) -> Option<String>) -> Option<Bound> {
    let value = |(index, column): (usize, &KeyColumn)| {
        let text = get(&format!("t{index}"))?;
        Some(match column.kind {
            KeyKind::Number | KeyKind::Code => KeyValue { sql: text.clone(), text },
            KeyKind::Float => {
                let exponent = if text.contains('e') { "" } else { "e0" };
                KeyValue { sql: format!("{text}{exponent}"), text }
            }
            KeyKind::Quoted => KeyValue { sql: quote(&text), text },
            KeyKind::Text => {
                let bytes = get(&format!("h{index}"))?;
                KeyValue { sql: format!("_{} X'{bytes}'", column.charset), text }
            }
            KeyKind::Bytes => KeyValue { sql: format!("X'{text}'"), text: format!("0x{text}") },
        })
    };
    key.columns.iter().enumerate().map(value).collect()
}

/// The condition for the keys of a range; `None` for all keys.
#[must_use]
pub fn condition(key: &Key, range: &Range) -> Option<String> {
    let lower = range.lower.as_ref().map(|bound| compared(key, bound, ">", ">"));
    let upper = range.upper.as_ref().map(|bound| compared(key, bound, "<", "<="));
    let both: Vec<String> = lower.into_iter().chain(upper).collect();
    (!both.is_empty()).then(|| both.join(" AND "))
}

/// `(a > x) OR (a = x AND b > y) …`; the server's own row comparison does not use the index.
fn compared(key: &Key, bound: &Bound, strictly: &str, at_last: &str) -> String {
    let last = key.columns.len().saturating_sub(1);
    let term = |(index, column): (usize, &KeyColumn), how: &str| {
        let value = bound.get(index).map_or("NULL", |value| value.sql.as_str());
        format!("{} {how} {value}", quote_name(&column.name))
    };
    let alternatives: Vec<String> = (0..=last)
        .map(|depth| {
            let how = if depth == last { at_last } else { strictly };
            let mut terms: Vec<String> =
                key.columns.iter().enumerate().take(depth).map(|column| term(column, "=")).collect();
            terms.extend(key.columns.iter().enumerate().nth(depth).map(|column| term(column, how)));
            format!("({})", terms.join(" AND "))
        })
        .collect();
    if alternatives.len() == 1 {
        return alternatives.concat();
    }
    // The first column alone says where in the index to look.
    let first = key.columns.iter().enumerate().next().map(|column| term(column, &format!("{strictly}=")));
    format!("{} AND ({})", first.unwrap_or_default(), alternatives.join(" OR "))
}

/// The condition for the rows of these keys.
#[must_use]
pub fn among(key: &Key, bounds: &[&Bound]) -> String {
    let of = |bound: &&Bound| {
        let equal = key
            .columns
            .iter()
            .zip(bound.iter())
            .map(|(column, value)| format!("{} = {}", quote_name(&column.name), value.sql));
        format!("({})", equal.collect::<Vec<_>>().join(" AND "))
    };
    format!("({})", bounds.iter().map(of).collect::<Vec<_>>().join(" OR "))
}

/// How many columns [`key_values`] gives.
#[must_use]
pub fn width(key: &Key) -> usize {
    key.columns.len() + key.columns.iter().filter(|column| column.kind == KeyKind::Text).count()
}

fn names(key: &Key) -> Vec<String> {
    key.columns.iter().map(|column| quote_name(&column.name)).collect()
}

fn r#where(key: &Key, range: &Range) -> String {
    condition(key, range).map(|text| format!(" WHERE {text}")).unwrap_or_default()
}

/// Asks for the key that so many rows of the range stand before.
#[must_use]
pub fn boundary_query(from: &str, key: &Key, range: &Range, offset: u64) -> Sql {
    Sql::new(format!(
        "SELECT {} FROM {from} FORCE INDEX ({}){} ORDER BY {} LIMIT {offset}, 1",
        key_values(key),
        quote_name(&key.index),
        r#where(key, range),
        names(key).join(", ")
    ))
}

/// Asks for the greatest key.
#[must_use]
pub fn greatest_query(from: &str, key: &Key) -> Sql {
    let down: Vec<String> = names(key).into_iter().map(|name| format!("{name} DESC")).collect();
    Sql::new(format!(
        "SELECT {} FROM {from} FORCE INDEX ({}) ORDER BY {} LIMIT 1",
        key_values(key),
        quote_name(&key.index),
        down.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: &[(&str, KeyKind)]) -> Key {
        let column = |(name, kind): &(&str, KeyKind)| KeyColumn {
            name: (*name).into(),
            kind: *kind,
            charset: "latin1".into(),
        };
        Key { index: "PRIMARY".into(), columns: columns.iter().map(column).collect() }
    }

    fn number(value: u32) -> KeyValue {
        KeyValue { text: value.to_string(), sql: value.to_string() }
    }

    #[test]
    fn a_range_is_open_below_and_closed_above() {
        let one = key(&[("a", KeyKind::Number)]);
        assert_eq!(condition(&one, &Range::default()), None);
        let range = Range { lower: Some(vec![number(1)]), upper: Some(vec![number(9)]) };
        assert_eq!(condition(&one, &range).as_deref(), Some("(`a` > 1) AND (`a` <= 9)"));
    }

    #[test]
    fn a_key_of_several_columns_is_compared_column_by_column() {
        let three = key(&[("a", KeyKind::Number), ("b", KeyKind::Number), ("c", KeyKind::Number)]);
        let range = Range { lower: None, upper: Some(vec![number(1), number(2), number(3)]) };
        assert_eq!(
            condition(&three, &range).as_deref(),
            Some("`a` <= 1 AND ((`a` < 1) OR (`a` = 1 AND `b` < 2) OR (`a` = 1 AND `b` = 2 AND `c` <= 3))")
        );
    }

    #[test]
    fn each_value_is_written_so_that_it_means_itself() {
        let kinds = [KeyKind::Text, KeyKind::Float, KeyKind::Bytes, KeyKind::Quoted];
        let key = key(&kinds.map(|kind| ("k", kind)));
        assert_eq!(key_values(&key), "`k` AS t0, HEX(`k`) AS h0, `k` + 0e0 AS t1, HEX(`k`) AS t2, `k` AS t3");
        let row = [("t0", "é'"), ("h0", "E927"), ("t1", "1.5"), ("t2", "00FF"), ("t3", "2026-01-01")];
        let get = |name: &str| row.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let bound = read_key(&key, get).expect("a key");
        let sql: Vec<&str> = bound.iter().map(|value| value.sql.as_str()).collect();
        assert_eq!(sql, ["_latin1 X'E927'", "1.5e0", "X'00FF'", "'2026-01-01'"]);
        assert_eq!(as_json(&bound), r#"["é'","1.5","0x00FF","2026-01-01"]"#);
    }
}
