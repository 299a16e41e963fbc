//! The purpose of each file in a data directory.
//!
//! A copy needs the data, but must not have the identity and the temporary state of one server.

use serde::{Deserialize, Serialize};

/// What a server leaves behind of a copy that it made of itself.
pub const CLONE_NOTES: &str = "#clone";

/// The layout of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// `MySQL` 5.x: accounts in `mysql/user.frm`, redo in `ib_logfile*`.
    MySql5,
    /// `MySQL` 8 and later: dictionary in `mysql.ibd`, redo in `#innodb_redo`.
    MySql8,
    /// `MariaDB`: accounts in `mysql/global_priv.frm`, Aria's log beside `InnoDB`'s.
    MariaDb,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileClass {
    /// Belongs to every copy.
    Data,
    /// Binlogs: needed only to bring a crashed server to a clean stop.
    Binlog,
    /// Relay logs, and how far they were applied.
    Relay,
    /// The server's identity, or state that is valid only while it runs. Never copied.
    Own,
}

/// Returns the purpose of the file at `path` (relative to the data directory, `/` between parts).
#[must_use]
pub fn classify(path: &str) -> FileClass {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if !folder.is_empty() {
        // `tmp` holds the product's own output files; the server's temporary tablespaces are its own.
        return match folder.split('/').next() {
            Some("tmp") if is_of_a_schema(name) => FileClass::Data,
            Some("#innodb_temp" | "tmp" | "lost+found") => FileClass::Own,
            _ => FileClass::Data,
        };
    }
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    match name {
        "auto.cnf"
        | "mysqld-auto.cnf"
        | "mysqld-auto.cnf.backup"
        | "ibtmp1"
        | "ib_buffer_pool"
        | "my.cnf" => {
            return FileClass::Own;
        }
        "master.info" | "relay-log.info" | "multi-master.info" => return FileClass::Relay,
        _ => {}
    }
    if ends(&[".pid", ".sock", ".sock.lock", ".err", ".pem", ".lower-test", ".log", ".out"]) {
        return FileClass::Own;
    }
    if (name.starts_with("master-") || name.starts_with("relay-log-")) && ends(&[".info"]) {
        return FileClass::Relay;
    }
    // Aria's own log is numbered like a binlog, and is data.
    if name.starts_with("aria_log") {
        return FileClass::Data;
    }
    // MariaDB 11.4 and later keep an index of GTIDs beside each binlog: `name.000001.idx`.
    let numbered = name
        .strip_suffix(".idx")
        .unwrap_or(name)
        .rsplit_once('.')
        .is_some_and(|(_, digits)| digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit()));
    let index = ends(&[".index", ".index_crash_safe", ".state", ".~rec~"]) || name.contains("-bin.~rec~");
    if numbered || index {
        return if name.contains("relay") { FileClass::Relay } else { FileClass::Binlog };
    }
    FileClass::Data
}

/// The suffixes of the files of which a schema consists.
const OF_A_SCHEMA: [&str; 16] = [
    "opt", "frm", "ibd", "MYD", "MYI", "MAD", "MAI", "TRG", "TRN", "CSV", "CSM", "ARZ", "MRG", "par", "sdi",
    "isl",
];

/// Returns whether a file in a folder belongs to a schema of that name: people call schemas `tmp`, too.
fn is_of_a_schema(name: &str) -> bool {
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
    !name.starts_with('#') && suffix.is_some_and(|suffix| OF_A_SCHEMA.contains(&suffix))
}

/// Returns whether it is a `table.isl`, in which `MySQL` 5.6 stores the path of a tablespace.
#[must_use]
pub fn is_link_file(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, suffix)| suffix == "isl")
}

impl Layout {
    /// Returns the files that a complete data directory of this layout has.
    #[must_use]
    pub fn essential(self) -> &'static [&'static str] {
        match self {
            Self::MySql5 => &["ibdata1", "ib_logfile0", "mysql/user.frm"],
            Self::MySql8 => &["ibdata1", "mysql.ibd"],
            Self::MariaDb => &["ibdata1", "ib_logfile0", "aria_log_control", "mysql/global_priv.frm"],
        }
    }

    /// Recognises the layout of a data directory by its files; `None` if it is unknown.
    pub fn detect(has: impl Fn(&str) -> bool) -> Option<Self> {
        if has("mysql.ibd") {
            Some(Self::MySql8)
        } else if has("aria_log_control") && has("mysql/global_priv.frm") {
            Some(Self::MariaDb)
        } else if has("mysql/user.frm") && !has("aria_log_control") {
            Some(Self::MySql5)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_into_a_copy() {
        for path in [
            "ibdata1",
            "ib_logfile0",
            "undo_001",
            "undo001",
            "mysql.ibd",
            "#innodb_redo/#ib_redo12",
            "passtrix/a.ibd",
            "passtrix/a.frm",
            "mysql/user.MYD",
            "aria_log_control",
            "aria_log.00000001",
            "#ib_16384_0.dblwr",
            "passtrix/db.opt",
            "tmp/db.opt",
            "tmp/a.ibd",
            "tmp/a.MYD",
        ] {
            assert_eq!(classify(path), FileClass::Data, "{path}");
        }
    }

    #[test]
    fn identity_and_passing_state_stay_behind() {
        for path in [
            "auto.cnf",
            "mysqld-auto.cnf",
            "host.err",
            "host.pid",
            "mysql.sock",
            "mysql.sock.lock",
            "ibtmp1",
            "server-key.pem",
            "#innodb_temp/temp_1.ibt",
            "tmp/mysql.out",
            "tmp/#sql_1a_0.MYD",
            "tmp/ibXYZ",
            "ib_buffer_pool",
        ] {
            assert_eq!(classify(path), FileClass::Own, "{path}");
        }
    }

    #[test]
    fn logs_of_replication_are_told_apart() {
        for path in [
            "pmp-ha-binlog.000001",
            "pmp-ha-binlog.index",
            "pmp-ha-binlog.000001.idx",
            "binlog.000123",
            "host-bin.1000000",
            "pmp-ha-binlog.state",
            "pmp-ha-binlog.000001.idx",
        ] {
            assert_eq!(classify(path), FileClass::Binlog, "{path}");
        }
        for path in [
            "pmp-ha-relay.000002",
            "pmp-ha-relay.index",
            "host-relay-bin.000001",
            "master.info",
            "relay-log.info",
            "master-from_a.info",
        ] {
            assert_eq!(classify(path), FileClass::Relay, "{path}");
        }
    }

    #[test]
    fn a_strange_folder_is_no_data_directory() {
        let with = |files: &'static [&'static str]| Layout::detect(|name| files.contains(&name));
        assert_eq!(with(&["ibdata1", "mysql/user.frm"]), Some(Layout::MySql5));
        assert_eq!(with(&["ibdata1", "mysql.ibd"]), Some(Layout::MySql8));
        assert_eq!(with(&["aria_log_control", "mysql/global_priv.frm"]), Some(Layout::MariaDb));
        assert_eq!(with(&["ibdata1"]), None);
        assert_eq!(with(&["aria_log_control", "mysql/user.frm"]), None);
    }
}
