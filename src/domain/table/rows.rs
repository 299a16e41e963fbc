//! The statements that read, write and delete rows.
//!
//! `verify --deep` and `repair` both use them, so they mean the same rows.
//!
//! A row is known by its id: the values of its key. In a table without a key it is known by its digest,
//! and what is compared is how often it is there.

use super::super::flavor::Flavor;
use super::super::sql::{Sql, quote, quote_name};
use super::column::Column;
use super::range::{Bound, KeyValue, Range, among, condition, key_values, read_key, width};
use super::{Key, Shape, equality};

/// The values of a row: hexadecimal, `None` for NULL. It has no `Debug` form: they are secrets.
pub struct Values(pub Vec<Option<String>>);

impl Values {
    /// How long they are in a statement, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|value| 10 + value.as_ref().map_or(0, String::len)).sum()
    }
}

/// The rows of a table, under the name that both nodes find it by.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    /// The servers.
    pub flavor: &'a Flavor,
    /// The schema of the product.
    pub schema: &'a str,
    /// What the table is made of.
    pub shape: &'a Shape,
    /// The key that orders it.
    pub key: Option<Key>,
}

impl<'a> Rows<'a> {
    /// The rows of a table of this shape.
    #[must_use]
    pub fn of(flavor: &'a Flavor, schema: &'a str, shape: &'a Shape) -> Self {
        Self { flavor, schema, shape, key: shape.key() }
    }

    /// Whether its rows are known by a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The table as statements name it.
    #[must_use]
    pub fn from(&self) -> String {
        format!("{}.{}", quote_name(self.schema), quote_name(&self.shape.name))
    }

    /// The rows of a range, after `FROM`.
    ///
    /// The servers do not always find the index with this order by themselves.
    #[must_use]
    pub fn within(&self, range: &Range) -> String {
        let index = self.key.as_ref().map(|key| format!(" FORCE INDEX ({})", quote_name(&key.index)));
        let range = self.key.as_ref().and_then(|key| condition(key, range));
        let range = range.map(|text| format!(" WHERE {text}"));
        format!("{}{}{}", self.from(), index.unwrap_or_default(), range.unwrap_or_default())
    }

    fn written(&self) -> impl Iterator<Item = &'a Column> {
        self.shape.columns.iter().filter(|column| !column.is_computed())
    }

    fn column_names(&self) -> String {
        self.written().map(|column| quote_name(&column.name)).collect::<Vec<_>>().join(", ")
    }

    fn digest(&self) -> String {
        equality::row(self.flavor, &self.shape.columns)
    }

    /// The expressions that [`Self::read_id`] reads.
    fn id(&self) -> String {
        match &self.key {
            Some(key) => key_values(key),
            None => format!("{} AS t0", self.digest()),
        }
    }

    /// Reads which row it is.
    pub fn read_id(&self, get: impl Fn(&str) -> Option<String>) -> Option<Bound> {
        match &self.key {
            Some(key) => read_key(key, get),
            None => get("t0").map(|text| vec![KeyValue { sql: quote(&text), text }]),
        }
    }

    /// The number of columns before the values in the query of [`Self::values_of`].
    #[must_use]
    pub fn before_values(&self) -> usize {
        self.key.as_ref().map_or(1, width) + 1
    }

    /// Says which rows have one of these ids.
    fn among(&self, ids: &[&Bound]) -> String {
        if let Some(key) = &self.key {
            return among(key, ids);
        }
        let digests = ids.iter().filter_map(|id| Some(id.first()?.sql.as_str()));
        format!("{} IN ({})", self.digest(), digests.collect::<Vec<_>>().join(", "))
    }

    /// The expressions for a number of rows, and for what is in them.
    #[must_use]
    pub fn figures(&self) -> String {
        format!("COUNT(*), {}", equality::rows(self.flavor, &self.shape.columns))
    }

    /// Asks for the number of rows (`pmp_ha_rows`) and for what is in them (`pmp_ha_sum`).
    #[must_use]
    pub fn summary(&self, range: &Range) -> Sql {
        Sql::new(format!(
            "SELECT COUNT(*) AS pmp_ha_rows, {} AS pmp_ha_sum FROM {}",
            equality::rows(self.flavor, &self.shape.columns),
            self.within(range)
        ))
    }

    /// Asks for the id and the `digest` of each row of a range.
    #[must_use]
    pub fn prints(&self, range: &Range) -> Sql {
        self.prints_from(&self.within(range))
    }

    /// As [`Self::prints`], for the rows of these ids.
    #[must_use]
    pub fn prints_of(&self, ids: &[&Bound]) -> Sql {
        self.prints_from(&format!("{} WHERE {}", self.from(), self.among(ids)))
    }

    fn prints_from(&self, from: &str) -> Sql {
        Sql::new(if self.has_key() {
            format!("SELECT {}, {} AS digest FROM {from}", self.id(), self.digest())
        } else {
            format!("SELECT {}, COUNT(*) AS digest FROM {from} GROUP BY t0", self.id())
        })
    }

    /// Queries the rows of these ids: the id, the `digest`, and each value as in [`Column::read`].
    ///
    /// A value that is too long for the server is NULL.
    #[must_use]
    pub fn values_of(&self, ids: &[&Bound]) -> Sql {
        let columns: Vec<String> = self.written().map(Column::read).collect();
        Sql::new(format!(
            "SELECT {}, {} AS digest, {} FROM {} WHERE {}",
            self.id(),
            self.digest(),
            columns.join(", "),
            self.from(),
            self.among(ids)
        ))
    }

    /// Queries whether a row of these ids (`pmp_ha_rows`) needs more than so many bytes.
    #[must_use]
    pub fn longer_than(&self, ids: &[&Bound], bytes: u64) -> Sql {
        // Two hexadecimal digits a byte, and what stands around a value.
        let length = |column: &Column| format!("10 + 2 * IFNULL(LENGTH({}), 0)", quote_name(&column.name));
        let lengths: Vec<String> = self.written().map(length).collect();
        Sql::new(format!(
            "SELECT COUNT(*) AS pmp_ha_rows FROM {} WHERE {} AND {} > {bytes}",
            self.from(),
            self.among(ids),
            lengths.join(" + ")
        ))
    }

    /// Writes rows: `INSERT`, or `REPLACE` where a row in the way has to go.
    #[must_use]
    pub fn write(&self, verb: &str, rows: &[&Values]) -> Sql {
        let literals = |row: &&Values| {
            let values = self.written().zip(&row.0).map(|(column, value)| column.literal(value.as_deref()));
            format!("({})", values.collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = rows.iter().map(literals).collect();
        Sql::new(format!("{verb} INTO {} ({}) VALUES {}", self.from(), self.column_names(), rows.join(", ")))
    }

    /// Removes the rows of these ids; in a table without a key at most `limit` of them.
    #[must_use]
    pub fn delete(&self, ids: &[&Bound], limit: Option<u64>) -> Sql {
        let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        Sql::new(format!("DELETE FROM {} WHERE {}{limit}", self.from(), self.among(ids)))
    }

    /// Copies the rows of these ids into another table of the same shape.
    #[must_use]
    pub fn copy_rows(&self, into: &str, ids: &[&Bound], limit: Option<u64>) -> Sql {
        let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        Sql::new(format!(
            "INSERT INTO {into} ({columns}) SELECT {columns} FROM {} WHERE {}{limit}",
            self.from(),
            self.among(ids),
            columns = self.column_names()
        ))
    }
}

/// The tables of `schema` that an error message of the applier names, in lower case.
#[must_use]
pub fn tables_named(message: &str, schema: &str) -> Vec<String> {
    let message = message.to_lowercase().replace('`', "");
    let start = format!("{}.", schema.to_lowercase());
    let mut out = Vec::new();
    for (at, _) in message.match_indices(&start) {
        let opens = message[..at].chars().next_back().is_none_or(|c| " '\"(,".contains(c));
        let name: String = message[at + start.len()..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || "_$".contains(*c))
            .collect();
        if opens && !name.is_empty() && !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::flavor::ServerVersion;
    use super::super::UniqueIndex;
    use super::super::tests::column;
    use super::*;

    fn old() -> &'static Flavor {
        Flavor::of(&ServerVersion::parse("5.6.24").expect("a version")).expect("a row")
    }

    fn shape(key: bool) -> Shape {
        let index = UniqueIndex { name: "PRIMARY".into(), columns: vec![Some("a".into())], usable: true };
        Shape {
            name: "x".into(),
            columns: vec![column("a", "int"), column("e", "enum")],
            unique: if key { vec![index] } else { vec![] },
            ..Shape::default()
        }
    }

    #[test]
    fn a_row_is_known_by_its_key_or_by_its_digest() {
        let (keyed, keyless) = (shape(true), shape(false));
        let rows = Rows::of(old(), "s", &keyed);
        let id = rows.read_id(|_| Some("7".into())).expect("an id");
        assert_eq!(rows.delete(&[&id], None).text(), "DELETE FROM `s`.`x` WHERE ((`a` = 7))");
        let rows = Rows::of(old(), "s", &keyless);
        let id = rows.read_id(|_| Some("ab".into())).expect("an id");
        assert_eq!(
            rows.delete(&[&id], Some(2)).text(),
            "DELETE FROM `s`.`x` WHERE MD5(CONCAT_WS('#', `a`, `e` + 0)) IN ('ab') LIMIT 2"
        );
    }

    #[test]
    fn a_member_is_written_by_its_number_and_not_by_its_digits() {
        let shape = shape(true);
        let rows = Rows::of(old(), "s", &shape);
        let values = Values(vec![Some("37".into()), Some("30".into())]);
        assert_eq!(
            rows.write("INSERT", &[&values]).text(),
            "INSERT INTO `s`.`x` (`a`, `e`) VALUES (UNHEX('37'), CAST(UNHEX('30') AS UNSIGNED))"
        );
    }

    #[test]
    fn the_tables_are_found_in_what_each_server_says() {
        for message in [
            "Could not execute Write_rows event on table passtrix.ptrx_settings; Duplicate entry 'a' for key",
            "Error executing row event: 'Table 'passtrix.Ptrx_Settings' doesn't exist'",
            "Error 'Table `passtrix`.`ptrx_settings` doesn't exist'",
        ] {
            assert_eq!(tables_named(message, "passtrix"), ["ptrx_settings"], "{message}");
        }
        assert_eq!(
            tables_named("on table mypasstrix.x; passtrix. nothing", "passtrix"),
            Vec::<String>::new()
        );
    }
}
