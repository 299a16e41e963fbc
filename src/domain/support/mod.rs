//! What a bundle for support holds: files of a home, cut to size, without a secret.

mod forms;
pub mod mask;
mod names;

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use super::plan::Bytes;

/// The most of a log: its end, in bytes.
pub const LOG: u64 = 1 << 20;

/// The most logs, the newest ones.
pub const LOGS: usize = 60;

/// Files of the configuration, from the home. Passwords, keys and packs are in none of these places.
pub const CONFIGURATION: [&str; 13] = [
    "conf/pmp-ha.toml",
    "conf/pmp-ha/pair.toml",
    "conf/pmp-ha/mysqld.cnf",
    "conf/server.xml",
    "conf/serverstate.conf",
    "conf/manage_key.conf",
    "conf/customer-config.xml",
    "conf/wrapper_lin.conf",
    "conf/wrapper.conf",
    "bin/startDB.sh",
    "bin/startDB.sh.before-pmp-ha",
    "bin/stopDB.sh",
    "bin/pmp-service",
];

/// What pmp-ha remembers of a home.
pub const STATE: [&str; 7] = [
    "replication/pmp-ha-journal.jsonl",
    "replication/pmp-ha-errant.json",
    "replication/pmp-ha-returned-1.json",
    "replication/pmp-ha-returned-2.json",
    "replication/pmp-ha-deep.json",
    "replication/pmp-ha-web.json",
    "replication/pmp-ha-kept/kept.json",
];

/// Folders with logs, from the home, and the ends of the names of those in them. Without an end, all.
pub const LOG_FOLDERS: [(&str, &[&str]); 4] = [
    ("mysql/data", &[".err", ".out"]),
    ("mysql/data/tmp", &[".err", ".out", ".log"]),
    ("mysql/tmp", &[".err", ".out", ".log"]),
    ("logs", &[]),
];

/// The end of a log that begins with a whole line: half a line may hide half a secret.
#[must_use]
pub fn from_a_whole_line(bytes: &[u8], was_cut: bool) -> &[u8] {
    if !was_cut {
        return bytes;
    }
    bytes.iter().position(|byte| *byte == b'\n').map_or(&[], |at| &bytes[at + 1..])
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BundleEntry {
    /// Its name in the bundle.
    pub name: String,
    /// Its size in bytes.
    pub bytes: usize,
    /// Whether only the end of the file is there.
    pub cut: bool,
}

/// A bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// The file.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// What is in it.
    pub entries: Vec<BundleEntry>,
    /// What is not in it, and why.
    pub left_out: Vec<String>,
}

/// The list of a bundle, which is in it as well.
#[must_use]
pub fn list(entries: &[BundleEntry], left_out: &[String]) -> String {
    let mut out = String::from(
        "What pmp-ha collected for support. Passwords and keys are masked; packs and data are not in it.\n\n",
    );
    for BundleEntry { name, bytes, cut } in entries {
        let cut = if *cut { ", its end" } else { "" };
        // ignored: it is a text in memory
        let _ = writeln!(out, "{name}  {}{cut}", Bytes(*bytes as u64));
    }
    if !left_out.is_empty() {
        out.push_str("\nNot in it:\n");
        for line in left_out {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(&self.entries, &self.left_out))?;
        writeln!(f, "\n{}  {}", self.file, Bytes(self.size))?;
        writeln!(f, "next: review it, then send it to support")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_cut_begins_with_a_whole_line() {
        assert_eq!(from_a_whole_line(b"cret\nnext\n", true), b"next\n");
        assert_eq!(from_a_whole_line(b"whole\nnext\n", false), b"whole\nnext\n");
        assert_eq!(from_a_whole_line(b"one long line", true), b"");
    }

    #[test]
    fn no_file_with_a_secret_of_ours_is_collected() {
        for path in CONFIGURATION.iter().chain(&STATE) {
            for secret in ["credentials", "key.pem", "HAPack", "HASecrets", "pmp_key", ".sql"] {
                assert!(!path.contains(secret), "{path}");
            }
        }
    }
}
