//! When rows are equal: the digest of a row, and the number for many.

use std::collections::BTreeMap;

use super::super::flavor::Flavor;
use super::super::sql::quote_name;
use super::column::Column;
use super::range::Bound;

/// The digest of a row. Two different rows never have the same text.
///
/// NULL is not the empty text, and the length of each text marks its end.
#[must_use]
pub fn row(flavor: &Flavor, columns: &[Column]) -> String {
    let mut parts = Vec::new();
    let (mut lengths, mut nulls) = (Vec::new(), Vec::new());
    for column in columns {
        let name = quote_name(&column.name);
        let (part, has_length) = column.digested(flavor);
        parts.push(part);
        if has_length {
            lengths.push(format!("LENGTH({name})"));
        }
        if column.nullable {
            nulls.push(format!("ISNULL({name})"));
        }
    }
    if !lengths.is_empty() {
        parts.push(format!("CONCAT_WS(',', {})", lengths.join(", ")));
    }
    if !nulls.is_empty() {
        parts.push(format!("CONCAT({})", nulls.join(", ")));
    }
    flavor.digest(&format!("CONCAT_WS('#', {})", parts.join(", ")))
}

/// The digest of 128 bits for all rows, in any order.
///
/// It is 64 bits of their digests joined by exclusive or, and the next 64 bits added, so that two equal
/// rows do not cancel out.
#[must_use]
pub fn rows(flavor: &Flavor, columns: &[Column]) -> String {
    let row = row(flavor, columns);
    let half = |from: u32| format!("CAST(CONV(SUBSTRING({row}, {from}, 16), 16, 10) AS UNSIGNED)");
    format!("CONCAT(LOWER(HEX(BIT_XOR({}))), '.', COALESCE(SUM({}), 0))", half(1), half(17))
}

/// A row that is not the same on both nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// Which row: the values of its key, or its digest in a table without a key.
    pub id: Bound,
    /// Its digest here, or how often it is there in a table without a key.
    pub here: Option<String>,
    /// The same at the primary.
    pub there: Option<String>,
}

/// Digests of rows by their ids.
pub type Prints = BTreeMap<Bound, String>;

/// The rows that are not the same, of two lists of digests by id.
#[must_use]
pub fn differing(here: &Prints, there: &Prints) -> Vec<RowDifference> {
    let ids = here.keys().chain(there.keys().filter(|id| !here.contains_key(*id)));
    ids.filter(|id| here.get(*id) != there.get(*id))
        .map(|id| RowDifference {
            id: id.clone(),
            here: here.get(id).cloned(),
            there: there.get(id).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::flavor::ServerVersion;
    use super::super::tests::column;
    use super::*;

    #[test]
    fn a_row_cannot_be_mistaken_for_another_one() {
        let old = Flavor::of(&ServerVersion::parse("5.6.24").expect("a version")).expect("a row");
        let mut text = column("b", "varchar");
        text.nullable = true;
        let columns = [column("a", "int"), text, column("f", "float"), column("t", "longtext")];
        assert_eq!(
            row(old, &columns),
            "MD5(CONCAT_WS('#', `a`, CAST(`b` AS BINARY), `f` + 0e0, MD5(`t`), \
             CONCAT_WS(',', LENGTH(`b`)), CONCAT(ISNULL(`b`))))"
        );
    }
}
