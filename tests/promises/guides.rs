//! The lines of the tutorial and of the pages of `docs/how-to`, typed as they stand there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::sql::Db;
use crate::harness::{Lab, Node, Ran, command, pristine, wait_until, wait_until_or};

/// What the pages say does not depend on the server.
const ANY: &str = "mariadb-10.11";

/// The pages, in the order in which one pair lives through them.
const PAGES: [&str; 8] =
    ["set-up", "watch", "nightly-pack", "repair", "switch-roles", "rotate", "upgrade", "remove"];

/// Those that only lead to the lines of the runbook, which have a test of their own.
const WITHOUT_LINES: [&str; 2] = ["install", "recover"];

/// A line to type, and what is expected of it.
#[derive(Debug)]
struct Line {
    /// `pmp-a$ ls` has `pmp-a`; `$ ls` has nothing.
    on: String,
    types: String,
    exits: i32,
    with_the_next: bool,
    /// What must be in the output.
    shows: Vec<String>,
}

impl Line {
    /// Reads `pmp-b$ pmp-ha verify  # exit 5`.
    fn read(line: &str) -> Option<Self> {
        let (on, rest) = line.split_once("$ ")?;
        let is_prompt = on.is_empty() || matches!(on, "pmp-a" | "pmp-b");
        let (types, remark) = rest.split_once("  #").unwrap_or((rest, ""));
        is_prompt.then(|| Self {
            on: on.to_owned(),
            types: types.trim().to_owned(),
            exits: remark.trim().strip_prefix("exit ").map_or(0, |code| code.parse().expect("a code")),
            with_the_next: remark.contains("both at once"),
            shows: Vec::new(),
        })
    }
}

#[derive(Debug)]
enum Block {
    Scene(String),
    Lines(Vec<Line>),
}

/// The blocks of a page that somebody types.
fn blocks(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(path).expect("there");
    let (mut out, mut open): (Vec<Block>, Option<(&str, Vec<&str>)>) = (Vec::new(), None);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("<!-- scene: ") {
            out.push(Block::Scene(name.trim_end_matches(" -->").to_owned()));
        } else if let Some(kind) = line.strip_prefix("```") {
            match open.take() {
                None => open = Some((kind, Vec::new())),
                Some(("", typed)) => out.push(Block::Lines(lines(&typed))),
                Some(_) => {}
            }
        } else if let Some((_, typed)) = &mut open {
            typed.push(line);
        }
    }
    out
}

fn lines(typed: &[&str]) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    for text in typed {
        match Line::read(text) {
            Some(line) => out.push(line),
            None => out.last_mut().expect("a command comes first").shows.push((*text).to_owned()),
        }
    }
    out
}

/// Runs a line until it says what it should: a status and a row come in their own time. Everything else is
/// done when it ends.
fn is_as_written(line: &Line, mut run: impl FnMut() -> Ran) -> Ran {
    let mut ran = run();
    let as_written = |ran: &Ran| {
        ran.code == Some(line.exits) && line.shows.iter().all(|text| ran.stdout.contains(text.as_str()))
    };
    if line.types.contains(" verify") || line.types.contains("SELECT ") {
        wait_until_or(&format!("`{}` is as it is written", line.types), || {
            if !as_written(&ran) {
                ran = run();
            }
            if as_written(&ran) { Ok(()) } else { Err(ran.to_string()) }
        });
    }
    assert!(as_written(&ran), "{line:?}\n{ran}");
    ran
}

#[test]
fn every_line_of_the_tutorial_does_what_it_says() {
    let dir = tempfile::Builder::new().prefix("pmp-ha-test").tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_BIN_EXE_pmp-ha")).parent().expect("a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
    // A new database takes ten seconds; a copy is the same.
    let sample = format!("lab up lab --like {}", pristine(ANY, 1).display());
    let mut names: Vec<(&str, String)> = Vec::new();
    let mut seen = 0;
    for block in blocks("tutorial.md") {
        let Block::Lines(lines) = block else { panic!("not for a tutorial: {block:?}") };
        for line in lines {
            let mut types = line.types.replace("lab up lab", &sample);
            for (name, endpoint) in &names {
                types = types.replace(name, endpoint);
            }
            let ran = is_as_written(&line, || {
                let mut shell = Command::new("sh");
                shell.args(["-c", &types]).current_dir(dir.path()).env("PATH", &path).env_remove("PMP_HOME");
                Ran::from_command(shell)
            });
            if line.types.contains("lab up") {
                let endpoint = |name: &str| {
                    let line = ran.stdout.lines().find(|line| line.starts_with(name)).expect("a node");
                    line.split_whitespace().nth(1).expect("an endpoint").to_owned()
                };
                names = vec![("PRIMARY", endpoint("primary")), ("SECONDARY", endpoint("secondary"))];
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} lines");
}

/// The pair that lives through the pages.
struct Stage(Lab);

impl Stage {
    fn node(&self, name: &str) -> &Node {
        if name == "pmp-a" { &self.0.primary } else { &self.0.secondary }
    }

    fn set(&self, scene: &str) {
        match scene {
            "two-homes" => {}
            "drift" => {
                let mut db = Db::admin(&self.0.secondary);
                db.rows("SET SESSION sql_log_bin = 0");
                db.rows("INSERT INTO passtrix.Ptrx_Settings VALUES ('GUIDE', 'in the way')");
                self.0.primary.sql("INSERT INTO Ptrx_Settings VALUES ('GUIDE', 'right')");
            }
            other => panic!("a page has a scene that is not known: {other}"),
        }
    }

    fn command(&self, line: &Line) -> Command {
        let node = self.node(&line.on);
        let words: Vec<String> = line.types.split_whitespace().map(|word| self.word(word)).collect();
        let mut out = if words[0] == "pmp-ha" {
            command(&words[1..])
        } else {
            let mut other = Command::new(&words[0]);
            other.args(&words[1..]).stdin(Stdio::null());
            other
        };
        out.env("PMP_HOME", &node.home).current_dir(&node.home);
        out
    }

    fn word(&self, word: &str) -> String {
        match word {
            "pmp-a" | "pmp-b" => self.node(word).endpoint.clone(),
            "KEY" => self.0.key().to_string_lossy().into_owned(),
            word => word.to_owned(),
        }
    }

    /// `scp FILE pmp-b:HOME/`: both nodes are on this machine.
    fn carry(&self, line: &Line) {
        let words: Vec<&str> = line.types.split_whitespace().collect();
        let from: PathBuf = self.node(&line.on).path(words[1]);
        let (to, _) = words[2].split_once(':').expect("a node and its home");
        wait_until("the file is there", || from.exists());
        std::fs::copy(&from, self.node(to).path(from.file_name().expect("a name").to_str().expect("text")))
            .expect("copied");
    }

    fn type_in(&self, lines: &[Line]) {
        let mut going_on = Vec::new();
        for line in lines {
            if line.types.starts_with("scp ") {
                self.carry(line);
                continue;
            }
            if line.with_the_next {
                going_on.push((line, self.command(line).spawn().expect("it runs")));
                continue;
            }
            is_as_written(line, || Ran::from_command(self.command(line)));
            for (line, mut child) in going_on.drain(..) {
                assert_eq!(child.wait().expect("it ends").code(), Some(line.exits), "{line:?}");
            }
        }
    }
}

#[test]
fn every_line_of_the_guides_does_what_it_says() {
    let stage = Stage(Lab::up(ANY));
    let mut seen = 0;
    for page in PAGES {
        for block in blocks(&format!("how-to/{page}.md")) {
            match block {
                Block::Scene(name) => stage.set(&name),
                Block::Lines(lines) => {
                    seen += lines.len();
                    stage.type_in(&lines);
                }
            }
        }
    }
    assert!(seen > 30, "{seen} lines");
    // What the last page leaves: an ordinary installation with its data, and nothing of pmp-ha.
    let primary = &stage.0.primary;
    assert_eq!(primary.sql("SELECT VALUE FROM Ptrx_Settings WHERE NAME = 'GUIDE'"), "right");
    primary.sql("INSERT INTO Ptrx_Settings VALUES ('ALONE', 'writable')");
    assert_eq!(primary.sql("SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'pmp\\_ha\\_%'"), "0");
    for node in [primary, &stage.0.secondary] {
        let script = std::fs::read_to_string(node.path("bin/startDB.sh")).expect("there");
        assert!(!script.contains("pmp-ha"), "{script}");
        assert!(!node.path("conf/pmp-ha").exists());
    }
}

#[test]
fn no_page_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to");
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let page = entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(PAGES.contains(&page.as_str()) || WITHOUT_LINES.contains(&page.as_str()), "{page}");
    }
}
