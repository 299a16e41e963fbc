//! Words that people type for a command that has another name.

use std::sync::LazyLock;

use crate::domain::words::nearest;

/// The intention of a person who types a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intention {
    /// To see something. The hint names no command that changes something.
    Look,
    /// To change something.
    Act,
}

use Intention::{Act, Look};

/// Words, the intention behind them, and the hint.
const TRIED: &[(&[&str], Intention, &str)] = &[
    (
        &["status", "stat", "state", "check", "health", "test", "validate", "ping", "lag"],
        Look,
        "To check that the pair is Alive, run `pmp-ha verify`.",
    ),
    (
        &["diagnose", "diagnostics", "preflight", "precheck", "examine", "next"],
        Look,
        "To check this installation and see the next step, run `pmp-ha doctor`.",
    ),
    (
        &["support", "bundle", "collect", "report", "sosreport"],
        Look,
        "To collect logs and configuration for support, run `pmp-ha support-bundle`.",
    ),
    (
        &["replication", "replica", "slave", "ha"],
        Look,
        "To see the state of replication, run `pmp-ha verify`.",
    ),
    (
        &["compare", "diff", "checksum"],
        Look,
        "To compare the data of both nodes, run `pmp-ha verify --deep`.",
    ),
    (&["watch", "tail", "follow", "top"], Look, "To watch the pair, run `pmp-ha verify --watch`."),
    (&["log", "logs", "journal", "runs", "list", "ls"], Look, "To see what was done, run `pmp-ha history`."),
    (
        &["show", "get", "info", "settings", "configuration", "configure", "set"],
        Look,
        "To see every setting, run `pmp-ha config show`. To see the pair, run `pmp-ha verify`.",
    ),
    (
        &["why", "what", "code", "codes", "error", "describe"],
        Look,
        "To explain a code, run `pmp-ha explain`.",
    ),
    (
        &["promote", "failover", "fail-over", "takeover", "take-over", "activate"],
        Act,
        "To make the secondary the primary, run `pmp-ha recover --promote` there. If both nodes work, run `pmp-ha switchover`.",
    ),
    (
        &["switch", "swap", "switch-over", "demote", "failback", "fail-back", "switchback"],
        Act,
        "To swap the roles of two working nodes, run `pmp-ha switchover`.",
    ),
    (
        &["restore", "revert", "undo", "back", "abort", "cancel"],
        Act,
        "To return to the kept state, run `pmp-ha rollback`. To replace a lost primary, see `pmp-ha recover --help`.",
    ),
    (&["continue", "finish", "retry", "complete"], Act, "To finish an interrupted run, run `pmp-ha resume`."),
    (
        &["unpack", "install", "unzip", "extract", "import", "apply", "load"],
        Act,
        "To install a pack on the secondary, run `pmp-ha install-pack`.",
    ),
    (
        &["set-up", "init", "wizard", "guide", "begin", "hasetup", "hasetup.sh"],
        Act,
        "To set up a pair step by step, run `pmp-ha setup`.",
    ),
    (
        &["create", "make", "export", "backup", "dump"],
        Act,
        "To make a pack on the primary, see `pmp-ha pack --help`.",
    ),
    (&["up", "run", "boot", "launch"], Act, "To start the database, run `pmp-ha start`."),
    (&["down", "halt", "kill", "shutdown", "quit"], Act, "To stop the database, run `pmp-ha stop`."),
    (&["restart", "reboot"], Act, "To restart the database, run `pmp-ha stop`, then `pmp-ha start`."),
    (
        &["fix", "heal", "resync", "sync", "synchronize", "skip"],
        Act,
        "To make the secondary's rows equal to the primary's, run `pmp-ha repair` there.",
    ),
    (
        &["join", "add", "attach", "follow-again", "reattach"],
        Act,
        "To make an old primary the secondary, run `pmp-ha rejoin` there.",
    ),
    (&["port", "ports", "reload"], Act, "To apply changed ports, run `pmp-ha reconfigure`."),
    (
        &["renew", "rekey", "secrets", "certificates", "certificate", "passwords"],
        Act,
        "To give both nodes new certificates and passwords, run `pmp-ha rotate` on the primary.",
    ),
    (&["alarm", "alarms", "mail", "notify"], Act, "To test the alarm channels, run `pmp-ha alert test`."),
    (&["drill", "dryrun", "simulate", "try"], Act, "To test a recovery on a copy, run `pmp-ha rehearse`."),
    (
        &["remove", "uninstall", "unpair", "unset", "leave", "detach", "disable", "dissolve", "purge"],
        Act,
        "To remove high availability from this node, see `pmp-ha teardown --help`.",
    ),
    (&["completion", "complete-shell"], Look, "To complete commands in a shell, run `pmp-ha completions`."),
];

/// Returns what to do instead of the command `word`, which does not exist.
#[must_use]
pub fn hint(word: &str) -> &'static str {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let command = super::command();
        command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name().into()).collect()
    });
    static NEAR: LazyLock<Vec<String>> = LazyLock::new(|| {
        NAMES
            .iter()
            .map(|name| format!("Did you mean `pmp-ha {name}`? See `pmp-ha {name} --help`."))
            .collect()
    });
    let word = word.to_lowercase();
    if let Some((_, _, hint)) = TRIED.iter().find(|(words, ..)| words.contains(&word.as_str())) {
        return hint;
    }
    let near = nearest(&word, NAMES.iter().map(String::as_str));
    let at = near.first().and_then(|near| NAMES.iter().position(|name| name == near));
    at.map_or("`pmp-ha --help` lists the commands.", |at| &NEAR[at])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The commands that a hint names.
    fn named(hint: &str) -> Vec<Vec<&str>> {
        let quoted = hint.split('`').skip(1).step_by(2);
        quoted.map(|line| line.split(' ').skip(1).filter(|word| *word != "--help").collect()).collect()
    }

    #[test]
    fn every_hint_names_commands_that_exist_and_no_word_is_one_or_stands_twice() {
        let command = crate::cli::command();
        let mut seen = BTreeSet::new();
        for (words, _, hint) in TRIED {
            assert!(!named(hint).is_empty(), "{hint}");
            for line in named(hint) {
                let found = line.first().and_then(|name| command.find_subcommand(name));
                assert!(found.is_some(), "{line:?}");
            }
            for word in *words {
                assert!(command.find_subcommand(word).is_none() || *word == "status", "{word} is a command");
                assert!(seen.insert(word), "{word} stands twice");
            }
        }
    }

    #[test]
    fn a_word_that_looks_proposes_nothing_that_acts() {
        let looks =
            ["verify", "doctor", "support-bundle", "explain", "inspect", "history", "config", "completions"];
        for (words, wish, hint) in TRIED.iter().filter(|(_, wish, _)| *wish == Look) {
            for line in named(hint) {
                assert!(looks.contains(&line[0]), "{words:?} {wish:?} {line:?}");
            }
        }
        for word in ["status", "check", "show", "log"] {
            assert!(!super::hint(word).contains("start"), "{word}");
        }
    }

    #[test]
    fn a_slip_of_a_finger_finds_the_command_and_anything_else_finds_the_list() {
        assert!(hint("swichover").contains("`pmp-ha switchover`"));
        assert!(hint("instal-pack").contains("`pmp-ha install-pack`"));
        assert!(hint("PROMOTE").contains("recover --promote"));
        assert_eq!(hint("xyzzy"), "`pmp-ha --help` lists the commands.");
    }
}
