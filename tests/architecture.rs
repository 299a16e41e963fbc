//! Who may import whom, and where what may be said.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

use std::collections::BTreeSet;
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
        // Tests, in a file of their own or at the end of one, may use what they like.
        } else if path.extension().is_some_and(|suffix| suffix == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).expect("readable");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
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
    nobody_in("src", &["packfile/read.rs"], &["zip::"]);
    nobody_in("src", &["packfile/deflate.rs"], &["flate2::"]);
    nobody_in("src", &["adapters/signature.rs", "adapters/digest.rs"], &["aws_lc_rs::"]);
    nobody_in("src", &["adapters/digest.rs", "adapters/tree_hash.rs"], &["blake3::"]);
    nobody_in("src", &["adapters/direct.rs"], &["memmap2::"]);
    nobody_in("src", &["adapters/sealed.rs"], &["age::"]);
    nobody_in("src", &["adapters/tls.rs"], &["rcgen::"]);
    nobody_in("src", &["adapters/datadir.rs"], &["reflink_copy::"]);
    nobody_in("src", &["adapters/old_tls.rs"], &["openssl::"]);
    nobody_in(
        "src",
        &["system/mod.rs", "system/disk.rs", "system/process.rs", "system/socket.rs"],
        &[
            "nix::",
            "std::os::unix",
            "libc::",
            "tokio::signal",
            "UnixStream",
            "UnixListener",
            "tempfile::",
            "/proc/",
        ],
    );
    nobody_in("src", &["ui.rs"], &["dialoguer::", "indicatif::", "io::stdout", "io::stderr"]);
}

/// The string literals of a source, each with what follows it.
fn literals(code: &str) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    let mut rest = code;
    while let Some(begin) = rest.find('"') {
        let text = &rest[begin + 1..];
        let mut escaped = false;
        let end = text.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        rest = &text[end + 1..];
        out.push((&text[..end], rest));
    }
    out
}

/// The codes of findings: what stands before an `About` or a `Severity`, and whatever in the judge
/// looks like one because of its hyphens.
fn codes() -> BTreeSet<String> {
    let is_word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let mut out = BTreeSet::new();
    for (path, code) in sources("src/domain") {
        let uncommented: Vec<&str> =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (text, after) in literals(&uncommented.join("\n")).into_iter().filter(|(text, _)| is_word(text)) {
            let next = after.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
            let stands_like_one =
                ["About::", "Severity::", "about,", "severity,"].iter().any(|start| next.starts_with(start));
            // A field of the table of codes, before the next one.
            let field = next
                .split_once(": \"")
                .map(|(name, _)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            let in_the_table = path.ends_with("judge/channel.rs") && field == Some(true);
            if stands_like_one
                || in_the_table
                || (text.contains('-') && path.to_string_lossy().contains("/judge/"))
            {
                out.insert(text.to_owned());
            }
        }
    }
    out
}

#[test]
fn the_handbook_explains_every_finding_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/health.md");
    let text = std::fs::read_to_string(path).expect("readable");
    let sections: Vec<(&str, &str)> = text
        .split("\n### ")
        .skip(1)
        .map(|section| section.split_once('\n').expect("a heading and a text"))
        .map(|(heading, body)| (heading, body.split("\n## ").next().unwrap_or_default().trim()))
        .collect();
    let headings: Vec<String> = sections.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let codes = codes();
    assert!(codes.len() > 20 && codes.contains("no-pair") && codes.contains("lagging"), "{codes:?}");
    // Sorted, so that a code is found, and added, without thinking.
    assert_eq!(headings, codes.into_iter().collect::<Vec<_>>(), "headings of docs/health.md and codes");
    for (heading, body) in sections {
        let severity = ["**Failed**, ", "**Unknown**, ", "**Warning**, ", "**Note**, "];
        assert!(severity.iter().any(|word| body.starts_with(word)), "{heading}: {body}");
    }
}

/// Cargo compiles only the files of a test program that another one names: what is in no list would
/// be tested by nobody, and nobody would notice.
#[test]
fn every_file_of_the_tests_is_in_a_list_of_modules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let list = ["main.rs", "mod.rs", "lib.rs"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file());
        let text = list.as_ref().map(|path| std::fs::read_to_string(path).expect("readable"));
        for entry in std::fs::read_dir(&folder).expect("readable").flatten() {
            let path = entry.path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let is_source = path.extension().is_some_and(|suffix| suffix == "rs");
            if path.is_dir() {
                folders.push(path);
            } else if is_source && Some(&path) != list.as_ref() {
                // A folder without a list holds programs: Cargo finds those of `tests`, and
                // `Cargo.toml` names the others.
                let Some(text) = &text else { continue };
                let is_named =
                    text.lines().any(|line| line.trim_start_matches("pub ").trim() == format!("mod {name};"));
                assert!(is_named, "{} has no line `mod {name};`", list.as_ref().expect("a list").display());
            }
        }
    }
}
