//! A column: what must be equal on both nodes, and how its values are read and written.

use super::super::flavor::Flavor;
use super::super::sql::quote_name;

/// A column, as far as both nodes have to agree on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The bare type: `varchar`.
    pub kind: String,
    /// The whole type: `varchar(250)`.
    pub full_type: String,
    /// Whether it can be NULL.
    pub nullable: bool,
    /// The character set of a text.
    pub charset: Option<String>,
    /// Its collation.
    pub collation: Option<String>,
    /// A value of a row that says nothing about the row.
    pub default: Option<String>,
    /// `auto_increment`, `VIRTUAL GENERATED`, `on update CURRENT_TIMESTAMP`, …
    pub extra: String,
}

/// How the values of a key's column are read, and written into a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// As digits.
    Number,
    /// As digits with an exponent: a decimal point alone would be an exact number.
    Float,
    /// By its number: the order of an ENUM, SET or BIT is not that of its text.
    Code,
    /// Bytes of its own character set.
    Text,
    /// Bytes.
    Bytes,
    /// In quotes: dates, times, addresses.
    Quoted,
}

impl Column {
    /// Whether the server computes it. Nobody can write to it.
    #[must_use]
    pub fn is_computed(&self) -> bool {
        let extra = self.extra.to_uppercase();
        ["VIRTUAL", "STORED", "PERSISTENT"].iter().any(|word| extra.contains(word))
    }

    /// Whether its values stand for numbers that their text does not always tell apart.
    fn is_code(&self) -> bool {
        matches!(self.kind.as_str(), "bit" | "enum" | "set")
    }

    /// How its values work as a key; `None` if a statement cannot order them as the index does.
    #[must_use]
    pub fn key_kind(&self) -> Option<KeyKind> {
        Some(match self.kind.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => KeyKind::Number,
            "float" | "double" => KeyKind::Float,
            "enum" | "set" | "bit" => KeyKind::Code,
            "char" | "varchar" => KeyKind::Text,
            "binary" | "varbinary" => KeyKind::Bytes,
            "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => KeyKind::Quoted,
            _ => return None,
        })
    }

    /// What the value adds to the digest of its row: equal only for equal values.
    ///
    /// It comes with whether the digest needs its length as well.
    #[must_use]
    pub fn digested(&self, flavor: &Flavor) -> (String, bool) {
        let name = quote_name(&self.name);
        match self.kind.as_str() {
            // The text of a FLOAT has six digits, and it has more.
            "float" | "double" => (format!("{name} + 0e0"), false),
            // A value that no member stands for has no words of its own.
            "bit" | "enum" | "set" => (format!("{name} + 0"), false),
            // The bytes themselves, so that columns of different character sets can stand together.
            "char" | "varchar" | "binary" | "varbinary" => (format!("CAST({name} AS BINARY)"), true),
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" | "date"
            | "time" | "datetime" | "timestamp" => (name, false),
            // However large they are, the whole stays below max_allowed_packet, and is never NULL.
            _ => (flavor.digest(&name), false),
        }
    }

    /// Reads the value without losing a byte: `N` for NULL, otherwise `V` and hexadecimal digits.
    #[must_use]
    pub fn read(&self) -> String {
        let name = quote_name(&self.name);
        let bytes = match self.kind.as_str() {
            "float" | "double" => format!("CAST({name} + 0e0 AS BINARY)"),
            _ if self.is_code() => format!("CAST(CAST({name} AS UNSIGNED) AS BINARY)"),
            _ => format!("CAST({name} AS BINARY)"),
        };
        format!("IF({name} IS NULL, 'N', CONCAT('V', HEX({bytes})))")
    }

    /// Writes a value that [`Self::read`] gave; `None` is NULL.
    #[must_use]
    pub fn literal(&self, hex: Option<&str>) -> String {
        match hex {
            None => "NULL".to_owned(),
            // The member of this number, and not the one of these digits.
            Some(hex) if self.is_code() => format!("CAST(UNHEX('{hex}') AS UNSIGNED)"),
            // A JSON column takes no binary text.
            Some(hex) if self.kind == "json" => format!("CONVERT(UNHEX('{hex}') USING utf8mb4)"),
            Some(hex) => format!("UNHEX('{hex}')"),
        }
    }

    /// As people read it in a difference.
    #[must_use]
    pub fn in_words(&self) -> String {
        let null = if self.nullable { "" } else { " NOT NULL" };
        let collation = self.collation.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let default = self.default.as_ref().map(|text| format!(" DEFAULT {text}")).unwrap_or_default();
        let extra = if self.extra.is_empty() { String::new() } else { format!(" {}", self.extra) };
        format!("{}{collation}{null}{default}{extra}", self.full_type)
    }
}
