//! SQL text with values: the only quoting function, and text that must not be printed.

use std::fmt;

/// A statement. `Debug` shows only its first words, because it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Sql(String);

impl Sql {
    /// Wraps the text of one statement.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the server only.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The first words, safe for messages: enough to know the statement, no value in it.
    #[must_use]
    pub fn name(&self) -> String {
        self.0
            .split_whitespace()
            .take_while(|word| !word.contains(['\'', '=', '(', '`']))
            .take(4)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sql({} …)", self.name())
    }
}

impl From<&str> for Sql {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What each session of the tool sets when it logs in, whatever an administrator has made the server's
/// default: commit at once, write, and answer wholly.
///
/// Every account may set these. A comment with a version is a part of the statement for one family only.
pub const OWN_DEFAULTS: [&str; 2] = [
    "SET SESSION autocommit = 1, completion_type = 0, sql_mode = '', sql_select_limit = 18446744073709551615, \
     max_join_size = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0, sql_auto_is_null = 0, \
     group_concat_max_len = 1048576, lc_messages = 'en_US' \
     /*!50708 , max_execution_time = 0 */ /*M!100101 , max_statement_time = 0 */",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE",
];

/// The same for a program inside the server, whose session begins with the server's defaults, too.
pub const OWN_DEFAULTS_INSIDE: &str = "SET SESSION autocommit = 1, completion_type = 0, sql_safe_updates = 0, \
     max_join_size = 18446744073709551615, sql_big_selects = 1;\n\
     SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE;\n";

/// Quotes a value as a string literal, right under every `sql_mode` but `NO_BACKSLASH_ESCAPES`,
/// which the sessions of this tool never set.
#[must_use]
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for c in value.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{1a}' => out.push_str("\\Z"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Quotes a name (schema, table, column) with backticks.
#[must_use]
pub fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_leaves_no_way_out_of_the_literal() {
        assert_eq!(quote(r"a'b\c"), r"'a''b\\c'");
        assert_eq!(quote("x\n\0"), r"'x\n\0'");
        assert_eq!(quote_name("a`b"), "`a``b`");
    }

    #[test]
    fn the_debug_form_of_a_statement_shows_no_value() {
        let sql = Sql::new("CHANGE MASTER TO MASTER_PASSWORD='secret'");
        assert_eq!(format!("{sql:?}"), "Sql(CHANGE MASTER TO …)");
        let sql = Sql::new("SET PASSWORD FOR 'root'@'localhost' = PASSWORD('secret')");
        assert!(!format!("{sql:?}").contains("secret"));
    }
}
