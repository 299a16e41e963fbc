//! What an earlier release wrote is read by this one. `scripts/keep` keeps one of each, in `tests/kept`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Lab, Node, Ran, pmp_ha};

/// These name the machine, or the moment of reading.
const OF_THE_MOMENT: [&str; 4] = ["file", "target", "line", "seconds"];

#[test]
fn everything_that_an_earlier_release_wrote_is_read() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept");
    let mut releases: Vec<PathBuf> =
        std::fs::read_dir(kept).expect("a folder").flatten().map(|entry| entry.path()).collect();
    releases.sort();
    assert!(!releases.is_empty(), "nothing is kept");
    for release in releases {
        let lab = Lab::up("mysql-5.6");
        a_pack(&release);
        a_pair(&release, &lab.primary);
        an_interrupted_run(&release, &lab.secondary);
        schemas(&release);
    }
}

fn a_pack(release: &Path) {
    let pack = release.join("HAPack.zip");
    let seen = pmp_ha(&["--json", "inspect", &pack.to_string_lossy()]).ok();
    still_says(release, "inspect", &seen);
}

/// Pair, configuration, notes, history and journal of a primary that is stopped.
fn a_pair(release: &Path, node: &Node) {
    unpack(release, "home", node);
    for (name, words) in [
        ("events", &["--json", "events", "--since", "2020-01-01"][..]),
        ("history", &["--json", "history"]),
        ("config-show", &["--json", "config", "show"]),
    ] {
        still_says(release, name, &node.run(words).ok());
    }
    let seen = node.run(&["--json", "verify"]).exits(5);
    let seen: Value = serde_json::from_str(&seen.stdout).expect("JSON");
    assert_eq!(seen["node"]["role"], "primary", "{seen:#}");
    let found = node.findings();
    assert!(
        found.contains(&"local-down".to_owned()) && !found.contains(&"pair-file".to_owned()),
        "{found:?}"
    );
    node.run(&["config", "check"]).ok();
}

/// It was killed in the middle, and is taken back here.
fn an_interrupted_run(release: &Path, node: &Node) {
    unpack(release, "interrupted", node);
    // The run belongs to the home that it was begun in.
    let journal = node.path("replication/pmp-ha-journal.jsonl");
    let text = std::fs::read_to_string(&journal).expect("a journal");
    let plan: Value = serde_json::from_str(text.lines().next().expect("a record")).expect("JSON");
    let home = &plan["plan"]["home"];
    let old = home["path"].as_str().expect("a path");
    let here = std::fs::metadata(node.path("conf")).expect("a folder");
    let text = text
        .replace(&format!("\"device\":{}", home["device"]), &format!("\"device\":{}", here.dev()))
        .replace(&format!("\"inode\":{}", home["inode"]), &format!("\"inode\":{}", here.ino()))
        .replace(old, &node.home.to_string_lossy());
    std::fs::write(&journal, text).expect("written");
    let taken_back = node.run(&["resume", "-y"]).ok();
    assert!(taken_back.stdout.contains("as it was before the interrupted `pmp-ha pack`"), "{taken_back}");
    assert!(!node.path("conf/pmp-ha").exists() && !node.path("replication/pmp-ha-work").exists());
    assert_eq!(node.outcome().as_deref(), Some("rolled_back"));
}

fn unpack(release: &Path, name: &str, node: &Node) {
    let archive = release.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    Ran::from_command({
        tar.arg("-C").arg(&node.home).arg("--no-same-owner").arg("-xzf").arg(archive);
        tar
    })
    .ok();
}

/// Fails unless everything that a command of the release said is still said.
fn still_says(release: &Path, name: &str, now: &Ran) {
    let text = std::fs::read_to_string(release.join(format!("{name}.json"))).expect("kept");
    let before: Value = serde_json::from_str(&text).expect("JSON");
    let now: Value = serde_json::from_str(&now.stdout).expect("JSON");
    assert_eq!(missing(&before, &now, name), None);
}

/// What of a value another one does not have.
fn missing(before: &Value, now: &Value, at: &str) -> Option<String> {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => before
            .iter()
            .filter(|(key, _)| !OF_THE_MOMENT.contains(&key.as_str()))
            .find_map(|(key, value)| match now.get(key) {
                Some(now) => missing(value, now, &format!("{at}.{key}")),
                None => Some(format!("{at}.{key} is gone")),
            }),
        // New settings may stand between the old ones.
        (Value::Array(before), Value::Array(now)) => before
            .iter()
            .find(|one| now.iter().all(|other| missing(one, other, at).is_some()))
            .map(|one| format!("{at} no longer has {one}")),
        _ => (before != now).then(|| format!("{at} was {before}, and is {now}")),
    }
}

/// Programs go on finding the fields that they know, unless the schema has another number.
fn schemas(release: &Path) {
    let now = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json");
    for entry in std::fs::read_dir(release.join("json")).expect("kept").flatten() {
        let name = entry.file_name();
        let read = |path: &Path| -> Value {
            let text =
                std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            serde_json::from_str(&text).expect("JSON")
        };
        let (before, after) = (fields(&read(&entry.path())), fields(&read(&now.join(&name))));
        let gone: Vec<&String> = before.difference(&after).collect();
        assert!(gone.is_empty(), "{}: {gone:?}", name.to_string_lossy());
    }
}

/// The fields of a schema, those that are always there with a mark.
fn fields(schema: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    add_fields(schema, "", &mut out);
    out
}

fn add_fields(schema: &Value, at: &str, out: &mut BTreeSet<String>) {
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        out.insert(at.clone());
        add_fields(of, &at, out);
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.insert(format!("{at}.{name} is always there"));
    }
    if schema.get("items").is_some() {
        add_fields(&schema["items"], &format!("{at}[]"), out);
    }
    for part in ["oneOf", "anyOf", "allOf"] {
        for of in schema[part].as_array().into_iter().flatten() {
            add_fields(of, at, out);
        }
    }
}
