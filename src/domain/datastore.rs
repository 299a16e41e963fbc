//! How a server stores its data: what must be equal on both nodes, and where its files are.

use std::collections::BTreeMap;

use super::datafiles::Layout;
use super::settings::OWN_SCHEMA;
use super::sql::{Sql, quote};

/// The variables that must be equal where the same files are read.
const EQUAL: [&str; 3] = ["lower_case_table_names", "innodb_page_size", FILES];

/// This one tells the sizes as well, which may differ.
const FILES: &str = "innodb_data_file_path";

/// How a server stores its data, as it reports.
#[must_use]
pub fn facts(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let fact = |name: &str| {
        let value = variables.get(name)?;
        let value = if name == FILES { names_of(value) } else { value.clone() };
        Some((name.to_owned(), value))
    };
    EQUAL.into_iter().filter_map(fact).collect()
}

/// The names of `ibdata1:12M;ibdata2:12M:autoextend`.
fn names_of(files: &str) -> String {
    let name = |part: &str| part.trim().split(':').next().unwrap_or_default().to_owned();
    files.split(';').map(name).collect::<Vec<_>>().join(";")
}

/// Compares what was noted of the server that the data come from with another one.
#[must_use]
pub fn differences(noted: &BTreeMap<String, String>, here: &BTreeMap<String, String>) -> Vec<String> {
    let here = facts(here);
    let differs = |(name, there): &(&String, &String)| here.get(*name).is_some_and(|value| value != *there);
    let shown = |(name, there): (&String, &String)| {
        format!("{name} is {} here, and {there} on the primary", here.get(name).map_or("", String::as_str))
    };
    noted.iter().filter(differs).map(shown).collect()
}

/// Notes the facts in the data themselves, so that they come with every copy. Must not be logged.
#[must_use]
pub fn note(facts: &BTreeMap<String, String>) -> Vec<Sql> {
    let table = format!(
        "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.storage (name VARCHAR(64) NOT NULL PRIMARY KEY, \
         value VARCHAR(1000) NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
    );
    let row = |(name, value): (&String, &String)| {
        format!("REPLACE INTO {OWN_SCHEMA}.storage VALUES ({}, {})", quote(name), quote(value))
    };
    std::iter::once(table).chain(facts.iter().map(row)).map(Sql::new).collect()
}

/// Queries what was recorded. Data of an older version have no such table.
pub const ASK: &str = "SELECT name, value FROM pmp_ha.storage";

/// Asks a server for the file of each tablespace.
#[must_use]
pub fn files_query(layout: Layout) -> &'static str {
    match layout {
        Layout::MariaDb => "SELECT FILENAME AS path FROM information_schema.INNODB_SYS_TABLESPACES",
        Layout::MySql8 => {
            "SELECT FILE_NAME AS path FROM information_schema.FILES WHERE FILE_NAME IS NOT NULL"
        }
        Layout::MySql5 => "SELECT PATH AS path FROM information_schema.INNODB_SYS_DATAFILES",
    }
}

/// Returns the files of the system tablespace and of the undo logs, as the server's variables name them. No
/// server lists all of them among its tablespaces.
#[must_use]
pub fn system_files(variables: &BTreeMap<String, String>) -> Vec<String> {
    let value = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
    let in_folder = |folder: &str, name: &str| match folder.trim_end_matches('/') {
        "" => name.to_owned(),
        _ if name.starts_with('/') => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    let names = names_of(value(FILES));
    let system = names.split(';').filter(|name| !name.is_empty());
    let undo = 1..=value("innodb_undo_tablespaces").parse::<u8>().unwrap_or_default();
    system
        .map(|name| in_folder(value("innodb_data_home_dir"), name))
        .chain(undo.map(|number| in_folder(value("innodb_undo_directory"), &format!("undo{number:03}"))))
        .collect()
}

/// The path of a tablespace from the data directory, or `None` if it is elsewhere.
#[must_use]
pub fn below<'a>(data: &str, path: &'a str) -> Option<&'a str> {
    let inside = match path.strip_prefix(data.trim_end_matches('/')) {
        Some(rest) => rest.strip_prefix('/')?,
        None if path.starts_with('/') => return None,
        None => path,
    };
    // MariaDB 11 says `.//undo001`.
    let inside = inside.trim_start_matches("./").trim_start_matches('/');
    (!inside.split('/').any(|part| part == "..")).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_variables_name_files_that_no_list_of_tablespaces_has() {
        let files = |pairs: &[(&str, &str)]| system_files(&variables(pairs));
        let two = (FILES, "ibdata1:12M;/else/ibdata2:10M:autoextend");
        assert_eq!(files(&[two]), ["ibdata1", "/else/ibdata2"]);
        assert_eq!(files(&[two, ("innodb_data_home_dir", "/disk/")]), ["/disk/ibdata1", "/else/ibdata2"]);
        let undo = [("innodb_undo_tablespaces", "2"), ("innodb_undo_directory", "./")];
        assert_eq!(files(&undo), ["./undo001", "./undo002"]);
        assert_eq!(files(&[]), [""; 0]);
    }

    #[test]
    fn what_must_be_equal_is_compared_and_sizes_are_not() {
        let there = facts(&variables(&[
            ("lower_case_table_names", "0"),
            ("innodb_page_size", "16384"),
            ("innodb_data_file_path", "ibdata1:10M;ibdata2:10M:autoextend"),
            ("port", "1"),
        ]));
        let same = variables(&[
            ("lower_case_table_names", "0"),
            ("innodb_page_size", "16384"),
            ("innodb_data_file_path", "ibdata1:76M;ibdata2:12M:autoextend"),
        ]);
        assert!(differences(&there, &same).is_empty());
        let other = variables(&[("lower_case_table_names", "1"), ("innodb_page_size", "16384")]);
        assert_eq!(differences(&there, &other), ["lower_case_table_names is 1 here, and 0 on the primary"]);
        assert!(differences(&BTreeMap::new(), &other).is_empty());
    }

    #[test]
    fn a_tablespace_lies_below_the_data_directory_or_elsewhere() {
        for (path, wanted) in [
            ("./a/b.ibd", Some("a/b.ibd")),
            (".//undo001", Some("undo001")),
            ("ibdata1", Some("ibdata1")),
            ("/d/a/b.ibd", Some("a/b.ibd")),
            ("/dx/b.ibd", None),
            ("/e/b.ibd", None),
            ("./../b.ibd", None),
            (".//undo001", Some("undo001")),
            ("/d//undo001", Some("undo001")),
            (".//../b.ibd", None),
        ] {
            assert_eq!(below("/d/", path), wanted, "{path}");
        }
    }
}
