//! Where a schema may store the TFA setting. Its table is not public, so only names can help.

use crate::domain::sql::{quote, quote_name};

/// A column of the product's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnName {
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
}

/// Words of names that speak of TFA.
const WORDS: [&str; 6] = ["tfa", "twofactor", "two_factor", "2fa", "secondfactor", "second_factor"];

/// Columns with the name of a setting, and those with its value.
const NAMES: [&str; 6] = ["name", "param_name", "property", "prop_name", "paramname", "setting"];
const VALUES: [&str; 6] = ["value", "param_value", "val", "prop_value", "paramvalue", "setting_value"];

fn speaks_of_it(name: &str) -> bool {
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// A table of settings: each row has a name and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsTable {
    table: String,
    name: String,
    value: String,
}

/// Returns the tables of settings among these columns.
#[must_use]
pub fn settings_tables(columns: &[ColumnName]) -> Vec<SettingsTable> {
    let is_one_of =
        |list: &[&str], column: &ColumnName| list.contains(&column.column.to_lowercase().as_str());
    columns
        .iter()
        .filter(|column| is_one_of(&NAMES, column))
        .filter_map(|name| {
            let value =
                columns.iter().find(|column| column.table == name.table && is_one_of(&VALUES, column))?;
            let (table, name, value) = (name.table.clone(), name.column.clone(), value.column.clone());
            Some(SettingsTable { table, name, value })
        })
        .collect()
}

impl SettingsTable {
    /// The query for the names of settings that speak of TFA. It reads no value.
    #[must_use]
    pub fn names_query(&self) -> String {
        let name = quote_name(&self.name);
        let any: Vec<String> = WORDS
            .iter()
            .map(|word| format!("LOWER({name}) LIKE {}", quote(&format!("%{}%", word.replace('_', "\\_")))))
            .collect();
        format!("SELECT {name} AS name FROM {} WHERE {} LIMIT 5", quote_name(&self.table), any.join(" OR "))
    }

    /// The query that reads the setting of this name.
    #[must_use]
    pub fn query(&self, setting: &str) -> String {
        format!("SELECT {} FROM {} WHERE {} = {}", self.value, self.table, self.name, quote(setting))
    }
}

/// Returns queries for tables and columns that are named after TFA.
#[must_use]
pub fn named_after_it(columns: &[ColumnName]) -> Vec<String> {
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for ColumnName { table, column } in columns {
        let whole = speaks_of_it(table);
        if !whole && !speaks_of_it(column) {
            continue;
        }
        match tables.iter_mut().find(|(name, _)| name == table) {
            Some((_, columns)) => columns.push(column),
            None => tables.push((table, vec![column])),
        }
    }
    tables
        .into_iter()
        .map(|(table, columns)| {
            let columns = columns.join(", ");
            format!("SELECT {columns} FROM {table} ORDER BY {columns}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(all: &[(&str, &str)]) -> Vec<ColumnName> {
        all.iter()
            .map(|(table, column)| ColumnName { table: (*table).into(), column: (*column).into() })
            .collect()
    }

    #[test]
    fn names_lead_to_tables_columns_and_settings() {
        let seen = columns(&[
            ("Ptrx_Account", "PASSWORD"),
            ("Ptrx_TFA", "TYPE"),
            ("Ptrx_TFA", "ENABLED"),
            ("Ptrx_User", "USERID"),
            ("Ptrx_User", "Two_Factor"),
            ("Ptrx_Settings", "NAME"),
            ("Ptrx_Settings", "VALUE"),
            ("AaaLogin", "NAME"),
        ]);
        assert_eq!(
            named_after_it(&seen),
            [
                "SELECT TYPE, ENABLED FROM Ptrx_TFA ORDER BY TYPE, ENABLED",
                "SELECT Two_Factor FROM Ptrx_User ORDER BY Two_Factor"
            ]
        );
        let [table] = settings_tables(&seen).try_into().expect("one");
        assert!(table.names_query().starts_with("SELECT `NAME` AS name FROM `Ptrx_Settings` WHERE LOWER("));
        assert_eq!(table.query("TFA_TYPE"), "SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'TFA_TYPE'");
    }

    #[test]
    fn a_schema_without_it_gives_nothing() {
        assert!(named_after_it(&columns(&[("Ptrx_Account", "PASSWORD")])).is_empty());
        assert!(settings_tables(&columns(&[("AaaLogin", "NAME"), ("T", "VALUE")])).is_empty());
    }
}
