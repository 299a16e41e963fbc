//! Which tables of two nodes belong together, and which are compared at all.

use std::collections::BTreeMap;

use super::super::pair::Pair;
use super::Shape;

/// The tables of a schema on one node.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// What each is made of, by its name as the server writes it.
    pub tables: BTreeMap<String, Shape>,
    /// Whether the server takes names for the same that differ in case (`lower_case_table_names`).
    pub folds: bool,
}

impl Catalogue {
    /// The table that the server finds under this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Shape> {
        self.tables.get(&self.found(name)?)
    }

    /// How the server writes the name of the table that it finds under this one.
    fn found(&self, name: &str) -> Option<String> {
        let same = |other: &&String| {
            other.as_str() == name || (self.folds && other.to_lowercase() == name.to_lowercase())
        };
        self.tables.keys().find(same).cloned()
    }

    /// The table that an operator or a message names: with the same case, otherwise with any.
    #[must_use]
    pub fn meant(&self, name: &str) -> Option<&String> {
        let exact = self.tables.get_key_value(name).map(|(name, _)| name);
        exact.or_else(|| self.tables.keys().find(|other| other.to_lowercase() == name.to_lowercase()))
    }
}

/// The tables of both nodes, sorted out. A table is the same one on both when the secondary finds it
/// under the name that the primary writes into its binlog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Both have it; by the primary's name.
    pub both: Vec<String>,
    /// The secondary does not find it.
    pub only_on_primary: Vec<String>,
    /// The primary does not have it.
    pub only_on_secondary: Vec<String>,
    /// The secondary writes into it for itself: it is not compared, and not repaired.
    pub left_out: Vec<String>,
}

/// Sorts the tables of both nodes.
///
/// `folds`: the secondary's server ignores case in names.
#[must_use]
pub fn sort_out(pair: &Pair, primary: &[String], secondary: &[String], folds: bool) -> Names {
    let spelt = |name: &String| if folds { name.to_lowercase() } else { name.clone() };
    let is_local = |name: &String| pair.local_tables.contains(name) && !pair.audit_tables.contains(name);
    let there: Vec<String> = secondary.iter().map(spelt).collect();
    let here: Vec<String> = primary.iter().map(spelt).collect();
    let mut out = Names::default();
    for name in primary {
        if is_local(name) {
            out.left_out.push(name.clone());
        } else if there.contains(&spelt(name)) {
            out.both.push(name.clone());
        } else {
            out.only_on_primary.push(name.clone());
        }
    }
    let only_there = secondary.iter().filter(|name| !here.contains(&spelt(name)) && !is_local(name));
    out.only_on_secondary.extend(only_there.cloned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_that_differ_in_case_are_two_tables_where_the_secondary_tells_them_apart() {
        let pair = Pair::example();
        let (primary, secondary) = (names(&["Case", "a"]), names(&["a", "case"]));
        let apart = sort_out(&pair, &primary, &secondary, false);
        assert_eq!(
            (apart.both, apart.only_on_primary, apart.only_on_secondary),
            (names(&["a"]), names(&["Case"]), names(&["case"]))
        );
        let folded = sort_out(&pair, &primary, &secondary, true);
        assert_eq!((folded.both, folded.only_on_secondary), (primary, vec![]));
    }

    #[test]
    fn a_table_is_meant_in_its_case_or_in_any() {
        let shape = |name: &str| (name.to_owned(), Shape { name: name.into(), ..Shape::default() });
        let catalogue = Catalogue { tables: [shape("Case"), shape("case")].into(), folds: false };
        assert_eq!(catalogue.meant("case").map(String::as_str), Some("case"));
        assert_eq!(catalogue.meant("CASE").map(String::as_str), Some("Case"));
        assert!(catalogue.get("CASE").is_none());
        assert!(Catalogue { folds: true, ..catalogue }.get("CASE").is_some());
    }
}
