//! The position of a key in the file: for errors, and for `config show`.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The key, with the tables around it.
    pub key: String,
    /// Why it cannot be used.
    pub why: String,
}

/// The keys of a file, each with its line. The elements of an array are numbered: `alarm.email.0.server`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    keys: BTreeMap<String, (usize, Range<usize>)>,
}

impl Places {
    /// Reads a file. One that is no TOML has no keys.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            places.add_table(text, "", table.get_ref());
        }
        places
    }

    fn add_table(&mut self, text: &str, above: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
            let (begin, end) = (key.span().start, value.span().end.max(key.span().end));
            let line = line_of(text, begin);
            self.keys.insert(name.clone(), (line, begin..end));
            self.add_value(text, &name, value.get_ref());
        }
    }

    fn add_value(&mut self, text: &str, name: &str, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.add_table(text, name, table),
            DeValue::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    if let DeValue::Table(table) = item.get_ref() {
                        let name = format!("{name}.{number}");
                        self.keys.insert(name.clone(), (line_of(text, item.span().start), item.span()));
                        self.add_table(text, &name, table);
                    }
                }
            }
            _ => {}
        }
    }

    /// Returns the line of a key, or of the nearest table around it.
    #[must_use]
    pub fn line(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some((line, _)) = self.keys.get(key) {
                return Some(*line);
            }
            key = key.rsplit_once('.')?.0;
        }
    }

    /// Returns the line of a key that the file has.
    #[must_use]
    pub fn exact(&self, key: &str) -> Option<usize> {
        self.keys.get(key).map(|(line, _)| *line)
    }

    /// Returns the innermost key around a byte of the file.
    #[must_use]
    pub fn key_at(&self, at: usize) -> Option<&str> {
        let around = self.keys.iter().filter(|(_, (_, span))| span.start <= at && at < span.end);
        around.min_by_key(|(_, (_, span))| span.len()).map(|(name, _)| name.as_str())
    }
}

/// Returns the line of a byte, from 1.
#[must_use]
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// A key as people write it, without the numbers of arrays.
#[must_use]
pub fn shown(key: &str) -> String {
    let parts: Vec<&str> = key.split('.').filter(|part| part.parse::<usize>().is_err()).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_name_and_by_its_place() {
        let text = "[health]\nmax_lag = 3\n\n[[alarm.email]]\nto = [\"a\"]\n[[alarm.email]]\nport = 7\n";
        let places = Places::of(text);
        assert_eq!(places.line("health.max_lag"), Some(2));
        assert_eq!(places.line("alarm.email.1.port"), Some(7));
        assert_eq!(places.line("alarm.email.0.server"), Some(4));
        assert_eq!((places.exact("alarm.email.0.server"), places.line("fence.command")), (None, None));
        let at = text.find('7').expect("there");
        assert_eq!(places.key_at(at), Some("alarm.email.1.port"));
        assert_eq!(shown("alarm.email.1.port"), "alarm.email.port");
    }
}
