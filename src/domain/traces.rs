//! The tool's own files in a home, outside `conf/pmp-ha`, the start script and the data.

/// The start of the names of the tool's own files.
const OWN: &str = "pmp-ha-";

/// Files in the folder `replication` that a run still needs: they go with its end.
const OF_THE_RUN: [&str; 2] = ["pmp-ha-journal.jsonl", "pmp-ha-work"];

/// Packs, and what carries new secrets.
const CARRIED: [&str; 6] = [
    "HAPack.zip",
    "HAPack.zip.age",
    "HAPack.zip.part",
    "HAPack.zip.age.part",
    "HASecrets.toml",
    "HASecrets.toml.age",
];

/// Returns whether a file in `replication` is the tool's own, and no run needs it.
#[must_use]
pub fn is_own(name: &str) -> bool {
    name.starts_with(OWN) && !name.contains('/') && !OF_THE_RUN.contains(&name)
}

/// Returns whether a name is one that packs and secrets are carried under.
#[must_use]
pub fn is_carried(name: &str) -> bool {
    CARRIED.contains(&name)
}

/// Returns whether it may hold rows that were saved before a repair or a rejoin.
#[must_use]
pub fn holds_rows(name: &str) -> bool {
    name.starts_with(OWN) && std::path::Path::new(name).extension().is_some_and(|end| end == "sql")
}

/// Returns whether a teardown may remove this path, which is from the home.
#[must_use]
pub fn may_go(path: &str) -> bool {
    match path.split_once('/') {
        None => is_carried(path),
        Some(("replication", name)) => is_carried(name) || is_own(name),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tool_s_own_files_may_go() {
        for path in [
            "HAPack.zip",
            "replication/HAPack.zip.age",
            "replication/pmp-ha-kept",
            "replication/pmp-ha-repair-20260102T030405Z.sql",
            "replication/pmp-ha-events.redb",
        ] {
            assert!(may_go(path), "{path}");
        }
        for path in [
            "replication/pmp-ha-journal.jsonl",
            "replication/pmp-ha-work",
            "replication/notes.txt",
            "replication/pmp-ha-x/../../conf",
            "replication/../conf/server.xml",
            "conf/pmp-ha",
            "mysql/data",
            "/etc/passwd",
            "replication",
            "",
        ] {
            assert!(!may_go(path), "{path}");
        }
        assert!(
            holds_rows("pmp-ha-repair-x.sql") && !holds_rows("HAPack.zip") && !holds_rows("pmp-ha-x.json")
        );
    }
}
