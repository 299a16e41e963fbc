//! What an administrator sees, as whole screens in `tests/screens`: reviewed like code.
//!
//! `UPDATE_SCREENS=1 cargo test --test screens` writes them anew. No server is needed.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pmp_ha::domain::health::{About, Finding, Health, Severity, Status};
use pmp_ha::domain::journal::{Outcome, Record};
use pmp_ha::domain::plan::{HomeIdentity, Plan, Step};
use pmp_ha::domain::refusal::Refusal;
use pmp_ha::domain::report::Report;
use pmp_ha::domain::words::wrapped;
use pmp_ha::failure::{Failure, Kind};
use serde_json::Value;

#[path = "promises/harness/json.rs"]
mod json;

/// The window.
const COLUMNS: usize = 80;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens").join(name)
}

/// Compares a screen with the one that was reviewed.
#[track_caller]
fn is_the_screen(name: &str, seen: &str) {
    let path = file(name);
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::write(&path, seen).expect("written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = wanted.lines().zip(seen.lines()).find(|(wanted, seen)| wanted != seen);
    assert!(
        wanted == seen,
        "{} differs, first in {differs:?}. UPDATE_SCREENS=1 takes it over",
        path.display()
    );
    for line in seen.lines() {
        // Commands are never broken, and what has no space cannot be.
        let is_command =
            ["$ ", "more: "].iter().any(|mark| line.trim_start().starts_with(mark)) || line.contains('`');
        let is_json = line.trim_start().starts_with('"');
        assert!(line.chars().count() <= COLUMNS || is_command || is_json, "too long for a window: {line}");
    }
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program where no home is.
fn run(args: &[&str]) -> Ran {
    run_in(args, "UTC0")
}

/// The same, in a time zone.
fn run_in(args: &[&str], zone: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmp-ha"));
    for name in ["PMP_HOME", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"] {
        command.env_remove(name);
    }
    let output =
        command.args(args).env("COLUMNS", "80").env("TZ", zone).current_dir("/").output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran = Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
    json::check(args, &ran.stdout);
    ran
}

/// A text as the window shows it. JSON is for programs, and never wrapped.
fn in_the_window(text: &str) -> String {
    if text.starts_with('{') { text.to_owned() } else { wrapped(text, COLUMNS) }
}

/// A screen of a command that was run.
fn screen(args: &[&str], out: &mut String) {
    let ran = run(args);
    // ignored: it is a text in memory
    let _ = writeln!(out, "$ pmp-ha {}", args.join(" "));
    out.push_str(&in_the_window(&ran.stdout));
    out.push_str(&in_the_window(&ran.stderr));
    if ran.code != Some(0) {
        // ignored: it is a text in memory
        let _ = writeln!(out, "[exit code {}]", ran.code.expect("an exit code"));
    }
    out.push('\n');
}

#[test]
fn the_help_of_every_command() {
    let mut out = String::new();
    let mut root = pmp_ha::cli::command();
    root.build();
    let mut open = vec![(root, String::new())];
    while let Some((command, names)) = open.pop() {
        let help = command.clone().term_width(COLUMNS).render_help().to_string();
        // The options that every command has are on the first screen, and the same on the others.
        let own = help.split("\nOptions of every command:\n").next().filter(|_| !names.is_empty());
        let end = help.rsplit_once("\nExamples:\n").map_or("", |(_, examples)| examples);
        let _ = if let Some(own) = own {
            writeln!(out, "$ pmp-ha {names} -h\n{own}\nExamples:\n{end}\n")
        } else {
            let long = command.clone().term_width(COLUMNS).render_long_help();
            writeln!(out, "$ pmp-ha --help\n{long}\n\n$ pmp-ha -h\n{help}\n")
        };
        let shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
        let mut below: Vec<_> = command.get_subcommands().filter(shown).cloned().collect();
        below.reverse();
        open.extend(below.into_iter().map(|sub| {
            let name = format!("{names} {}", sub.get_name()).trim().to_owned();
            (sub, name)
        }));
    }
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    is_the_screen("help.txt", &(lines.join("\n") + "\n"));
}

/// Compares a generated document with the one in `docs`.
#[track_caller]
fn is_the_document(name: &str, text: &str) {
    let path = file("../../docs").join(name);
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/{name} is not what is generated; UPDATE_SCREENS=1 writes it");
}

#[test]
fn the_reference_of_the_commands() {
    let mut out = String::from(
        "# Commands\n\n<!-- Generated from the command line by tests/screens.rs. Do not edit. -->\n\n\
         Every command with its options, as `pmp-ha COMMAND --help` shows them. \
         [operations.md](operations.md)\nsays how the commands behave.\n",
    );
    let mut root = pmp_ha::cli::command();
    root.build();
    let mut open = vec![(root, "pmp-ha".to_owned())];
    while let Some((command, name)) = open.pop() {
        let help = command.clone().term_width(COLUMNS).render_long_help().to_string();
        // The options of every command are in the first section, and left out of the others.
        let all = name == "pmp-ha";
        let (own, rest) = help.split_once("\nOptions of every command:\n").unwrap_or((&help, ""));
        let end = rest.rsplit_once("\nExamples:\n").map_or("", |(_, examples)| examples);
        let text = if all { help.clone() } else { format!("{own}\nExamples:\n{end}") };
        let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
        // ignored: it is a text in memory
        let _ = writeln!(out, "\n## {name}\n\n```text\n{}\n```", lines.join("\n"));
        let shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
        let mut below: Vec<_> = command.get_subcommands().filter(shown).cloned().collect();
        below.reverse();
        open.extend(below.into_iter().map(|sub| {
            let name = format!("{name} {}", sub.get_name());
            (sub, name)
        }));
    }
    assert!(out.matches("\n## ").count() > 25);
    is_the_document("commands.md", &out);
}

#[test]
fn the_reference_of_the_configuration() {
    let template = std::fs::read_to_string(file("../../templates/pmp-ha.toml")).expect("readable");
    let path = file("../../docs/configuration.md");
    let page = std::fs::read_to_string(path).expect("readable");
    let (before, rest) = page.split_once("```toml\n").expect("the template");
    let (_, after) = rest.split_once("```\n").expect("its end");
    is_the_document("configuration.md", &format!("{before}```toml\n{template}```\n{after}"));
}

#[test]
fn what_is_wrong_with_a_command_line() {
    let mut out = String::new();
    for word in ["status-of", "check", "promote", "failover", "restore", "unpack", "swichover", "xyzzy"] {
        screen(&[word], &mut out);
    }
    screen(&["verify"], &mut out);
    screen(&["explain", "laging"], &mut out);
    screen(&["explain", "xyzzy"], &mut out);
    screen(&["--json", "promote"], &mut out);
    screen(&["--json", "verify", "--every"], &mut out);
    screen(&["--json", "verify"], &mut out);
    screen(&["verify", "--nagios", "--frobnicate"], &mut out);
    screen(&["--json", "pack"], &mut out);
    screen(&["--json", "pack", "--onlin", "a", "b"], &mut out);
    screen(&["--json", "config"], &mut out);
    screen(&["recover"], &mut out);
    screen(&["recover", "--fenced"], &mut out);
    is_the_screen("usage.txt", &out);
}

#[test]
fn what_explain_says() {
    let mut out = String::new();
    screen(&["explain", "receiver-connecting", "wrong-key", "home-in-use"], &mut out);
    screen(&["explain", "[applier-stopped]"], &mut out);
    is_the_screen("explain.txt", &out);
    let listed = run(&["explain"]);
    for code in ["receiver-connecting", "wrong-key", "home-in-use"] {
        assert!(listed.stdout.lines().any(|line| line.starts_with(&format!("  {code} "))), "{code}");
    }
    assert!(listed.stdout.lines().all(|line| line.chars().count() <= COLUMNS), "{}", listed.stdout);
    assert_eq!(run(&["--json", "explain"]).code, Some(0));
}

#[test]
fn a_verdict_a_plan_and_a_refusal() {
    let mut out = String::new();
    let mut show = |title: &str, text: &dyn std::fmt::Display| {
        // ignored: it is a text in memory
        let _ = writeln!(out, "== {title}\n{}\n", wrapped(&text.to_string(), COLUMNS).trim_end());
    };
    let finding = |code, severity, what: &str, evidence: &str, hint: &str| Finding {
        code,
        about: About::HighAvailability,
        severity,
        what: what.into(),
        evidence: evidence.into(),
        hint: hint.into(),
    };
    let health = Health {
        high_availability: Status::Failed,
        replication: Status::Unknown,
        summary: "pmp-b.example.com:2345 replicates from pmp-a.example.com:2345".into(),
        findings: vec![
            finding(
                "receiver-connecting",
                Severity::Failed,
                "the receiver cannot connect to the primary",
                "error 2003: cannot connect to pmp-a.example.com:2345, which was last seen two minutes ago by this node",
                "Start the primary's database with `pmp-ha start`, or mend the network. The pair heals by itself.",
            ),
            finding(
                "disk-low",
                Severity::Warning,
                "the disk is filling",
                "3.1 GB of 100 GB are free",
                "Free some.",
            ),
        ],
    };
    show("a pair that failed", &Report::new(health, "2026-02-03T04:05:06Z".into(), "0.1.0"));
    let plan = Plan {
        command: pmp_ha::domain::plan::Command::Repair,
        home: HomeIdentity { path: "/opt/ManageEngine/PMP".into(), device: 1, inode: 2 },
        warnings: vec!["rows that only the secondary has are deleted; they are saved before".into()],
        steps: vec![Step::SwapData, Step::SwapKept { name: "data.before-20260203T040506Z".into() }],
        point_of_no_return: 2,
    };
    show("a plan", &plan);
    let refusals = vec![
        Refusal::new(
            "cannot make a pack",
            "process 4711 of Password Manager Pro runs in this home",
            "Stop Password Manager Pro and its database (`pmp-ha stop`), then try again.",
        )
        .code("home-in-use"),
        Refusal::new("cannot make a pack", "the disk is full", "Free 1.2 GB more, then try again.")
            .code("no-space"),
    ];
    show("a refusal", &format!("error: {}", Failure::refused(refusals)));
    let incomplete =
        Failure::new(Kind::Incomplete, "`pmp-ha install-pack` is not complete: cannot start the database")
            .because("the server ended with exit code 1")
            .hint("Fix the cause. Then run `pmp-ha resume`.");
    show("a run that is not complete", &format!("error: {incomplete}"));
    is_the_screen("answers.txt", &out);
}

/// A folder that looks like a home, without a server.
fn made_up_home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    for folder in ["bin", "conf", "mysql/bin", "mysql/data", "mysql/tmp", "logs", "replication"] {
        std::fs::create_dir_all(home.path().join(folder)).expect("made");
    }
    let plan = Plan {
        command: pmp_ha::domain::plan::Command::InstallPack,
        home: HomeIdentity { path: "/opt/ManageEngine/PMP".into(), device: 1, inode: 2 },
        warnings: vec![],
        steps: vec![Step::SwapData],
        point_of_no_return: 1,
    };
    let at = |time: &str| format!("2026-02-03T{time}Z");
    let records = [
        Record::Open { at: at("23:05:06"), by: "pmp".into(), plan: plan.clone() },
        Record::Begin { step: 0 },
        Record::Done { step: 0 },
        Record::Close { at: at("23:05:16"), outcome: Outcome::Done },
        Record::Open { at: at("23:30:00"), by: "root".into(), plan },
    ];
    let lines: Vec<String> =
        records.iter().map(|record| serde_json::to_string(record).expect("JSON")).collect();
    std::fs::write(home.path().join("replication/pmp-ha-journal.jsonl"), lines.join("\n") + "\n")
        .expect("written");
    home
}

#[test]
fn what_commands_say_of_a_home_without_a_server() {
    let home = made_up_home();
    let path = home.path().to_str().expect("a text").to_owned();
    let mut out = String::new();
    let mut show = |args: &[&str], zone: &str| {
        let args = [&["--home", path.as_str()], args].concat();
        let ran = run_in(&args, zone);
        // ignored: it is a text in memory
        let _ = writeln!(out, "$ pmp-ha {}", args[2..].join(" "));
        for said in [ran.stdout, ran.stderr] {
            out.push_str(&in_the_window(&said.replace(&path, "/opt/ManageEngine/PMP")));
        }
        // ignored: it is a text in memory
        let _ = writeln!(out, "[exit code {}]\n", ran.code.expect("an exit code"));
    };
    show(&["verify"], "UTC0");
    show(&["history"], "UTC0");
    show(&["history", "--limit", "1"], "CET-1");
    show(&["history", "--limit", "1", "--utc"], "CET-1");
    show(&["--json", "history", "--limit", "1"], "CET-1");
    show(&["start"], "UTC0");
    show(&["--json", "stop", "--dry-run"], "UTC0");
    show(&["config", "check"], "UTC0");
    show(&["switchover", "--dry-run"], "UTC0");
    is_the_screen("home.txt", &out);
    let log = std::fs::read_to_string(home.path().join("logs/pmp-ha.log")).expect("a log");
    let acted = log.lines().filter(|line| line.contains("] begin: ")).count();
    assert_eq!(acted, 1, "one command acts:\n{log}");
    assert!(
        log.contains("] begin: pmp-ha --home ") && log.contains("] error: cannot start the database"),
        "{log}"
    );
    assert!(log.lines().last().is_some_and(|line| line.contains("] end: exit code 4 after ")), "{log}");
}

#[test]
fn colours_follow_the_option_and_the_environment() {
    let colours = |args: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmp-ha"));
        command.args(args).env_remove("PMP_HOME").env_remove("NO_COLOR").current_dir("/");
        let output = command.envs(environment.iter().copied()).output().expect("it runs");
        [output.stdout, output.stderr].concat().contains(&b'\x1b')
    };
    assert!(!colours(&["verify"], &[]));
    assert!(colours(&["verify"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colours(&["verify"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(colours(&["verify", "--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!colours(&["--color=never", "verify"], &[("CLICOLOR_FORCE", "1")]));
    assert!(colours(&["--color=always", "verify", "--help"], &[]));
    assert!(!colours(&["--color=always", "--json", "explain"], &[]));
}

#[test]
fn completions_and_manual_pages_are_generated() {
    for (shell, text) in [
        ("bash", "receiver-connecting"),
        ("zsh", "receiver-connecting"),
        ("fish", "install-pack"),
        ("powershell", "install-pack"),
    ] {
        let ran = run(&["completions", shell]);
        assert!(ran.code == Some(0) && ran.stdout.contains(text), "{shell}: {}", ran.stderr);
    }
    assert_eq!(run(&["--json", "completions", "bash"]).code, Some(0));
    // In a real bash: the words so far, and what it completes.
    let script = run(&["completions", "bash"]).stdout;
    for (words, wanted) in [
        ("verify --w", "--watch"),
        ("explain receiver-c", "receiver-connecting"),
        ("lab up --server mysql-5", "mysql-5.6"),
        ("inst", "install-pack"),
    ] {
        let (before, last) = words.rsplit_once(' ').unwrap_or(("", words));
        let previous = before.rsplit(' ').next().filter(|word| !word.is_empty()).unwrap_or("pmp-ha");
        let ask = format!(
            "{script}\nCOMP_WORDS=(pmp-ha {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _pmp__ha pmp-ha {last} {previous}; echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash").args(["-c", &ask]).output().expect("bash");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.split_whitespace().any(|word| word == wanted), "{words}: {said}{output:?}");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_str().expect("a text");
    assert_eq!(run(&["--dry-run", "--json", "man", folder]).code, Some(0));
    assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
    assert_eq!(run(&["man", folder]).code, Some(0));
    let page = std::fs::read_to_string(dir.path().join("pmp-ha-install-pack.1")).expect("a page");
    assert!(page.contains("HAPack.zip"), "{page}");
}

#[test]
fn the_version_says_what_was_built() {
    let said = run(&["--version"]).stdout;
    for line in ["built in: ", "left out: ", "commit: ", "date: ", "target: x86_64", "TLS: rustls 0."] {
        assert!(said.lines().any(|each| each.starts_with(line)), "no {line:?} in {said}");
    }
    assert!(said.contains("with AWS-LC (aws-lc-sys 0."), "{said}");
}

/// Every code that the program can print has its section, and the other way round.
#[test]
fn the_handbook_explains_every_refusal_and_no_other() {
    let mut used = std::collections::BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            let codes = text.split(".code(\"").skip(1).filter_map(|rest| rest.split('"').next());
            used.extend(codes.map(ToOwned::to_owned));
        }
    }
    // Those of a kind of failure, and those that a table chooses.
    let kinds = [Kind::Failed, Kind::Usage, Kind::Incomplete, Kind::Refused, Kind::Interrupted];
    used.extend(kinds.map(|kind| kind.word().to_owned()));
    let document = std::fs::read_to_string(file("../../docs/refusals.md")).expect("readable");
    let headings: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings, used.iter().map(String::as_str).collect::<Vec<_>>(), "docs/refusals.md and codes");
}

#[test]
fn the_schemas_are_listed_and_find_a_field_that_they_do_not_know() {
    let list = std::fs::read_to_string(file("../../docs/json/README.md")).expect("readable");
    for entry in std::fs::read_dir(file("../../docs/json")).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().extension().is_some_and(|ending| ending == "json") {
            assert!(list.contains(&format!("[{name}]({name})")), "{name} is not in docs/json/README.md");
        }
    }
    let right = serde_json::json!({"schema": 1, "home": "/x", "running": true, "process": 7});
    assert_eq!(json::complaint("service", &right), None);
    for (field, value) in [("more", Value::Bool(true)), ("process", "7".into()), ("schema", 2.into())] {
        let mut wrong = right.clone();
        wrong[field] = value;
        assert!(json::complaint("service", &wrong).is_some_and(|why| why.contains(field)), "{field}");
    }
    assert!(json::complaint("service", &serde_json::json!({"schema": 1})).is_some());
}
