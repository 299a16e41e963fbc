//! Trying out, JSON, and questions: asked on a terminal, and nowhere else.

use serde_json::Value;

use crate::harness::OnTerminal;
use crate::harness::{Lab, Ran, assert_same};

const ANY: &str = "mariadb-10.11";

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error} in\n{ran}"))
}

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let lab = Lab::up(ANY);
    let fresh = lab.fresh_home("fresh");
    let pack = lab.pack_file().to_string_lossy().into_owned();
    let key = lab.key().to_string_lossy().into_owned();
    let into = fresh.home.to_string_lossy().into_owned();
    let shows = |node: &crate::harness::Node, args: &[&str], steps: usize| {
        let look = || (lab.primary.fingerprint(), lab.secondary.fingerprint(), fresh.fingerprint());
        let before = look();
        let journal = node.journal();
        let text = node.run(&[&["--dry-run"], args].concat()).ok();
        assert!(text.stdout.contains(&format!("  {steps}. ")), "{text}");
        let plan = json(&node.run(&[&["--dry-run", "--json"], args].concat()).ok());
        assert_eq!(plan["steps"].as_array().expect("steps").len(), steps);
        assert_eq!(plan["command"], args[0]);
        let after = look();
        for (before, after) in [(&before.0, &after.0), (&before.1, &after.1), (&before.2, &after.2)] {
            assert_same(before, after, &text.to_string());
        }
        assert_eq!(node.journal(), journal);
    };
    let names = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    shows(&lab.primary, &names, 4);
    lab.pack().ok();
    shows(&lab.primary, &names, 4);
    shows(&lab.secondary, &["install-pack", &pack], 6);
    lab.secondary.run(&["install-pack", &pack]).ok();
    the_log_tells_what_was_done(&lab);
    the_manuals_script_makes_the_pack(&lab);
    shows(&lab.secondary, &["recover", "--into", &into, "--key", &key], 7);
}

/// What acted is in the log, from its command line to its end; a dry run is not.
fn the_log_tells_what_was_done(lab: &Lab) {
    use std::os::unix::fs::PermissionsExt;
    let log = lab.secondary.path("logs/pmp-ha.log");
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<&str> = text.lines().filter_map(|line| line.split("] ").nth(1)).collect();
    assert!(lines[0].starts_with("begin: pmp-ha ") && lines[0].contains(" install-pack "), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("1/")), "{text}");
    assert!(lines.last().is_some_and(|line| line.starts_with("end: exit code 0 after ")), "{text}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("begin: ")).count(), 1, "{text}");
    assert_eq!(std::fs::metadata(&log).expect("there").permissions().mode() & 0o777, 0o600);
}

/// `HASetup.sh` of the manual, in the folder bin of the home and outside of any.
fn the_manuals_script_makes_the_pack(lab: &Lab) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/HASetup.sh");
    let in_home = lab.primary.path("bin/HASetup.sh");
    std::fs::copy(script, &in_home).expect("copied");
    let names = [lab.primary.endpoint.as_str(), lab.secondary.endpoint.as_str()];
    let run = |script: &std::path::Path, args: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.arg(script).args(args).env("PMP_HA", env!("CARGO_BIN_EXE_pmp-ha")).env_remove("PMP_HOME");
        Ran::from_command(command)
    };
    let plan = run(&in_home, &[names[0], names[1], "--dry-run"]).ok();
    assert!(plan.stdout.contains("  4. "), "{plan}");
    run(&in_home, &names[..1]).exits(2).says(&["usage: HASetup.sh <FQDN of PMP Primary Server>"]);
    run(script.as_ref(), &[&names[..], &["--dry-run"]].concat()).exits(2).says(&["no PMP home was named"]);
    std::fs::remove_file(in_home).expect("removed");
}

#[test]
fn json_is_what_stdout_holds_whether_it_went_well_or_not() {
    let lab = Lab::up(ANY);
    let names = ["--json", "pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    let packed = json(&lab.primary.run(&names).ok());
    assert_eq!(packed["file"], lab.pack_file().to_string_lossy().into_owned());
    assert_eq!(packed["sha256"].as_str().expect("a hash").len(), 64);
    let refused = lab.secondary.run(&names).exits(4);
    let error = &json(&refused)["error"];
    assert_eq!((error["code"].as_str(), error["exit_code"].as_u64()), (Some("not-primary"), Some(4)));
    assert_eq!(error["what"], "cannot make a pack");
    assert!(error["because"][0].as_str().expect("evidence").contains("not a primary"));
    assert!(!error["hint"].as_str().expect("a hint").is_empty());
    lab.carry();
    let installed = json(&lab.secondary.run(&["--json", "install-pack"]).ok());
    assert_eq!(installed["source"], lab.primary.endpoint);
    let verified = lab.secondary.run(&["--json", "verify"]).exits(5);
    assert!(json(&verified)["high_availability"].as_str().is_some(), "{verified}");
}

#[test]
fn on_a_terminal_the_key_is_asked_for() {
    let lab = Lab::up(ANY);
    let node = &lab.secondary;
    let mut terminal = OnTerminal::run(node.command(&["key"]));
    let key = lab.key().to_string_lossy().into_owned();
    terminal.answer("Full path of the primary's pmp_key.key", &format!("{key}\r"));
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(std::fs::read_to_string(node.path("conf/manage_key.conf")).expect("there"), key);
}

#[test]
fn on_a_terminal_nothing_is_done_that_was_not_agreed_to() {
    let lab = Lab::up(ANY);
    lab.pack().ok();
    lab.carry();
    let node = &lab.secondary;
    let before = node.fingerprint();
    for no in ["n", "\u{1b}"] {
        let mut terminal = OnTerminal::run(node.command(&["install-pack"]));
        terminal.answer("Do this?", no);
        assert_eq!(terminal.exit_code(), Some(130), "{no:?}");
        assert_same(&before, &node.fingerprint(), "install-pack, declined");
    }
    // Agreed to beforehand, it is not asked.
    let terminal = OnTerminal::run(node.command(&["install-pack", "--yes"]));
    assert_eq!(terminal.exit_code(), Some(0));
    let mut terminal = OnTerminal::run(node.command(&["install-pack"]));
    terminal.answer("Do this?", "y");
    assert_eq!(terminal.exit_code(), Some(0));
}
