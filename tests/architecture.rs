//! Who may import whom, and where what may be said.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut out);
    assert!(!out.is_empty(), "no source in {folder}");
    out
}

fn collect(dir: &Path, out: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let text = std::fs::read_to_string(&path).expect("readable");
            // Tests at the end of a file may use what they like.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            out.push((path, code));
        }
    }
}

#[track_caller]
fn nobody_in(folder: &str, except: &[&str], says: &[&str]) {
    for (path, text) in sources(folder) {
        if except.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        for word in says {
            let line =
                text.lines().position(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(line.is_none(), "{}:{}: {word}", path.display(), line.unwrap_or_default() + 1);
        }
    }
}

#[test]
fn the_domain_is_pure() {
    let outside = [
        "crate::adapters",
        "crate::apply",
        "crate::commands",
        "crate::config",
        "crate::failure",
        "crate::lab",
        "crate::ui",
        "tokio",
        "fs_err",
        "std::fs",
        "std::process",
        "std::env",
        "std::net::Tcp",
        "std::net::Udp",
        "SystemTime",
        "Instant",
        "rand::",
        "println",
        "mysql_async",
        "anyhow",
    ];
    nobody_in("src/domain", &[], &outside);
}

#[test]
fn adapters_know_neither_commands_nor_plans_being_applied() {
    nobody_in("src/adapters", &[], &["crate::commands", "crate::apply", "crate::lab", "crate::cli"]);
}

#[test]
fn each_outside_thing_has_one_door() {
    nobody_in("src", &["adapters/mysql.rs"], &["mysql_async::"]);
    nobody_in("src", &["adapters/packfile.rs"], &["zip::"]);
    nobody_in("src", &["adapters/tls.rs"], &["rcgen::"]);
    nobody_in(
        "src",
        &["adapters/system.rs"],
        &["nix::", "std::os::unix", "libc::", "tokio::signal", "UnixStream", "/proc/"],
    );
    nobody_in("src", &["ui.rs"], &["dialoguer::", "indicatif::", "io::stdout", "io::stderr"]);
}
