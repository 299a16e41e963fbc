//! A server's family and version, as it reports them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The family of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Oracle's line.
    #[serde(rename = "MySQL")]
    MySql,
    /// The MariaDB Foundation's line.
    #[serde(rename = "MariaDB")]
    MariaDb,
}

/// A server's family and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVersion {
    /// Its family.
    pub family: Family,
    /// Major, minor, patch.
    pub number: [u32; 3],
}

impl ServerVersion {
    /// Parses the output of `mysqld --version` or the answer of `SELECT VERSION()`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let after = text.split_once("Ver ").map_or(text, |(_, rest)| rest).trim_start();
        let word = after.split_whitespace().next()?;
        // MariaDB up to 10 greets with this in front, for the sake of old replicas.
        let word = word.strip_prefix("5.5.5-").unwrap_or(word);
        let family =
            if text.to_ascii_lowercase().contains("mariadb") { Family::MariaDb } else { Family::MySql };
        let mut number = [0; 3];
        let digits = word.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
        let parts: Vec<&str> = digits.split('.').collect();
        if parts.len() < 2 {
            return None;
        }
        for (slot, part) in number.iter_mut().zip(parts) {
            *slot = part.parse().ok()?;
        }
        Some(Self { family, number })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::MySql => "MySQL",
            Family::MariaDb => "MariaDB",
        };
        let [major, minor, patch] = self.number;
        write!(f, "{family} {major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_each_real_server_prints() {
        for (text, shown) in [
            (
                "mysqld  Ver 5.6.24 for linux-glibc2.5 on x86_64 (MySQL Community Server (GPL))",
                "MySQL 5.6.24",
            ),
            ("/usr/sbin/mysqld  Ver 9.7.4-1 for Linux on x86_64 (Debian)", "MySQL 9.7.4"),
            (
                "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                "MariaDB 10.11.19",
            ),
            ("11.8.6-MariaDB-0+deb13u1-log", "MariaDB 11.8.6"),
            ("5.5.5-10.11.19-MariaDB-0+deb12u1-log", "MariaDB 10.11.19"),
        ] {
            assert_eq!(ServerVersion::parse(text).map(|v| v.to_string()).as_deref(), Some(shown));
        }
        assert_eq!(ServerVersion::parse("what is this"), None);
    }
}
