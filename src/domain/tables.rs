//! Lists of tables with wildcards: which tables are audit tables.

use serde::{Deserialize, Serialize};

/// Table names in which `*` matches any characters and `?` one, ignoring case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TablePatterns(Vec<String>);

impl TablePatterns {
    /// A list that is written in the program itself.
    #[must_use]
    pub fn new<const N: usize>(patterns: [&str; N]) -> Self {
        Self(patterns.map(ToOwned::to_owned).into())
    }

    /// Returns whether a table is in the list.
    #[must_use]
    pub fn contains(&self, table: &str) -> bool {
        let table: Vec<char> = table.to_lowercase().chars().collect();
        self.0.iter().any(|pattern| {
            let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
            matches(&pattern, &table)
        })
    }

    /// The list as the server's replication filters want it. Where table names keep their case the
    /// server compares with regard to it, so that the usual spellings are given: as it is written, small,
    /// large, and with a large letter at the beginning of each part.
    #[must_use]
    pub fn filters(&self, schema: &str) -> Vec<String> {
        let mut out = Vec::new();
        let spellings = |pattern: &String| {
            [pattern.clone(), pattern.to_lowercase(), pattern.to_uppercase(), with_large_letters(pattern)]
        };
        for pattern in self.0.iter().flat_map(spellings) {
            let table: String = pattern
                .chars()
                .map(|c| match c {
                    '*' => "%".to_owned(),
                    '?' => "_".to_owned(),
                    '_' | '%' => format!("\\{c}"),
                    other => other.to_string(),
                })
                .collect();
            let filter = format!("{}.{table}", schema.replace('_', "\\_"));
            if !out.contains(&filter) {
                out.push(filter);
            }
        }
        out
    }
}

impl TryFrom<Vec<String>> for TablePatterns {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        for pattern in &patterns {
            let odd = |c: &char| !(c.is_alphanumeric() || "_$*?".contains(*c));
            if let Some(odd) = pattern.chars().find(odd) {
                return Err(format!("the name of a table cannot contain '{odd}': '{pattern}'"));
            }
            if pattern.chars().all(|c| "*?".contains(c)) {
                return Err(format!("'{pattern}' would match every table"));
            }
        }
        Ok(Self(patterns))
    }
}

impl From<TablePatterns> for Vec<String> {
    fn from(patterns: TablePatterns) -> Self {
        patterns.0
    }
}

/// Writes the first letter of each part large, and the others small.
fn with_large_letters(pattern: &str) -> String {
    let mut first = true;
    let change = |c: char| {
        let large = std::mem::replace(&mut first, !c.is_alphanumeric());
        if large { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
    };
    pattern.chars().map(change).collect()
}

/// Returns whether a server's filter pattern admits a table, given as `schema.table`.
#[must_use]
pub fn lets_pass(filter: &str, table: &str, case_counts: bool) -> bool {
    let fold = |text: &str| if case_counts { text.to_owned() } else { text.to_lowercase() };
    let text: Vec<char> = fold(table).chars().collect();
    let mut pattern = Vec::new();
    let mut escaped = false;
    for c in fold(filter).chars() {
        match c {
            '\\' if !escaped => escaped = true,
            _ => {
                pattern.push(match c {
                    '%' if !escaped => PatternPart::Any,
                    '_' if !escaped => PatternPart::One,
                    other => PatternPart::Just(other),
                });
                escaped = false;
            }
        }
    }
    passes(&pattern, &text)
}

/// A part of a server's pattern.
enum PatternPart {
    Any,
    One,
    Just(char),
}

fn passes(pattern: &[PatternPart], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([PatternPart::Any, rest @ ..], _) => (0..=text.len()).any(|skipped| passes(rest, &text[skipped..])),
        ([PatternPart::One, rest @ ..], [_, tail @ ..]) => passes(rest, tail),
        ([PatternPart::Just(first), rest @ ..], [head, tail @ ..]) if first == head => passes(rest, tail),
        _ => false,
    }
}

fn matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        (['?', rest @ ..], [_, tail @ ..]) => matches(rest, tail),
        ([first, rest @ ..], [head, tail @ ..]) if first == head => matches(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_characters_and_case_does_not_count() {
        let audit = TablePatterns::new(["*audit", "AaaAccSession", "x?z"]);
        for inside in ["Ptrx_UserAudit", "ptrx_resourceaudit", "audit", "aaaaccsession", "xyz"] {
            assert!(audit.contains(inside), "{inside}");
        }
        for outside in ["ptrx_auditconfig", "aaaaccsessions", "xz", "", "ptrx_account"] {
            assert!(!audit.contains(outside), "{outside}");
        }
    }

    #[test]
    fn filters_escape_what_the_server_takes_for_a_wildcard() {
        let patterns = TablePatterns::new(["ptrx_*audiT", "a?"]);
        assert_eq!(
            patterns.filters("pass_trix"),
            [
                "pass\\_trix.ptrx\\_%audiT",
                "pass\\_trix.ptrx\\_%audit",
                "pass\\_trix.PTRX\\_%AUDIT",
                "pass\\_trix.Ptrx\\_%Audit",
                "pass\\_trix.a_",
                "pass\\_trix.A_"
            ]
        );
    }

    #[test]
    fn a_filter_lets_pass_what_the_server_would_let_pass() {
        let filters = TablePatterns::new(["*audit"]).filters("pass_trix");
        let any = |table: &str, case| filters.iter().any(|filter| lets_pass(filter, table, case));
        for table in ["pass_trix.ptrx_useraudit", "pass_trix.Ptrx_UserAudit", "pass_trix.USERAUDIT"] {
            assert!(any(table, true), "{table}");
        }
        assert!(!any("pass_trix.userAUdit", true) && any("pass_trix.userAUdit", false));
        assert!(!any("passxtrix.audit", true) && !any("pass_trix.audits", false));
        assert!(lets_pass("a.b_c%", "a.bxcd", true) && !lets_pass("a.b\\_c", "a.bxc", true));
    }

    #[test]
    fn a_list_that_would_let_everything_back_is_refused() {
        for bad in ["*", "**", "?*", "a.b", "a b", "a'"] {
            assert!(TablePatterns::try_from(vec![bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
