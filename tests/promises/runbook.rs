//! The runbook's own lines, typed as they stand there.

use crate::harness::sql::Db;
use crate::harness::wire::Links;
use crate::harness::{Lab, Node, Ran, command, wait_until, wait_until_or};

/// What the runbook says does not depend on the server.
const ANY: &str = "mariadb-10.11";

/// A line of the runbook.
struct Line {
    node: char,
    /// What is carried to which node; nothing for a command of pmp-ha.
    carries: Option<(String, char)>,
    args: Vec<String>,
    exits: i32,
    with_the_next: bool,
}

/// The blocks of the runbook, each with the scene that comes before it, if one does.
fn blocks() -> Vec<(Option<String>, Vec<Line>)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md");
    let text = std::fs::read_to_string(path).expect("there");
    let (mut out, mut scene, mut block) = (Vec::new(), None, None);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("<!-- scene: ") {
            scene = Some(name.trim_end_matches(" -->").to_owned());
        } else if line == "```" {
            match block.take() {
                None => block = Some(Vec::new()),
                Some(lines) => out.push((scene.take(), lines)),
            }
        } else if let Some(lines) = &mut block
            && let Some(line) = line.strip_prefix("pmp-")
        {
            lines.push(parse(line));
        }
    }
    out.retain(|(_, lines)| !lines.is_empty());
    out
}

/// Reads `b$ pmp-ha verify  # exit 5`.
fn parse(line: &str) -> Line {
    let (node, rest) = line.split_once("$ ").expect("a command");
    let (words, remark) = rest.split_once('#').unwrap_or((rest, ""));
    let carried = words.strip_prefix("scp ").and_then(|words| words.split_once(" pmp-"));
    let words = words.strip_prefix("pmp-ha ").unwrap_or_default();
    assert!(carried.is_some() || !words.is_empty(), "{line}");
    Line {
        node: node.chars().next().expect("a node"),
        carries: carried.map(|(file, to)| (file.to_owned(), to.chars().next().expect("a node"))),
        args: words.split_whitespace().map(ToOwned::to_owned).collect(),
        exits: remark.trim().strip_prefix("exit ").map_or(0, |code| code.parse().expect("a code")),
        with_the_next: remark.contains("both at once"),
    }
}

/// What the lines are typed on.
struct Stage {
    lab: Lab,
    links: Links,
    fresh: Node,
}

impl Stage {
    fn set(scene: &str, before: Option<Self>) -> Self {
        if let ("healed", Some(stage)) = (scene, before) {
            stage.links.open();
            return stage;
        }
        let (lab, links) = Lab::pair_through_links(ANY);
        let fresh = lab.fresh_home("fresh");
        let stage = Self { lab, links, fresh };
        let (a, b) = (&stage.lab.primary, &stage.lab.secondary);
        match scene {
            "alive" => {}
            "secondary-killed" => b.kill(),
            "cut" => stage.links.cut(),
            // The forwarder between is a machine of its own that still listens.
            "primary-killed" | "primary-lost" => {
                a.kill();
                b.configure("[fence]\ncommand = [\"/bin/echo\", \"fenced\"]\n");
            }
            "applier-failed" => {
                let mut db = Db::admin(b);
                db.rows("SET SESSION sql_log_bin = 0");
                db.rows("INSERT INTO passtrix.Ptrx_Settings VALUES ('RUNBOOK', 'in the way')");
                a.sql("INSERT INTO Ptrx_Settings VALUES ('RUNBOOK', 'right')");
            }
            "two-primaries" | "old-primary-has-more" => {
                stage.links.cut();
                if scene == "old-primary-has-more" {
                    a.sql("INSERT INTO Ptrx_Settings VALUES ('ALONE', 'x')");
                }
                b.run(&["recover", "--promote", "--fenced"]).ok();
                stage.links.open();
            }
            other => panic!("the runbook has a scene that is not known: {other}"),
        }
        stage
    }

    fn node(&self, name: char) -> &Node {
        match name {
            'a' => &self.lab.primary,
            'b' => &self.lab.secondary,
            'c' => &self.fresh,
            other => panic!("no node {other}"),
        }
    }

    fn command(&self, line: &Line) -> std::process::Command {
        let mut args: Vec<String> = line.args.iter().map(|word| self.word(word)).collect();
        if line.args[0] == "install-pack" {
            // The links between the two nodes forward their ports.
            args.push("--port-is-forwarded".into());
        }
        let mut out = command(&args);
        out.env("PMP_HOME", &self.node(line.node).home);
        out
    }

    fn word(&self, word: &str) -> String {
        let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        match word {
            "pmp-a" => self.links.to_primary.endpoint.clone(),
            "pmp-b" => self.links.to_secondary.endpoint.clone(),
            "PMP-B" => path(self.lab.secondary.home.clone()),
            "PMP-C" => path(self.fresh.home.clone()),
            "KEY" => path(self.lab.key()),
            "HAPack.zip" => path(self.lab.secondary.path("replication/HAPack.zip")),
            word => word.to_owned(),
        }
    }

    /// `scp FILE pmp-b:HOME/`: both nodes are on this machine.
    fn carry(&self, from: char, file: &str, to: char) {
        let from = self.node(from).path(file);
        wait_until("the file is there", || from.exists());
        let name = from.file_name().expect("a name");
        std::fs::copy(&from, self.node(to).home.join(name)).expect("copied");
    }

    fn type_in(&self, lines: &[Line]) {
        let mut going_on = Vec::new();
        for line in lines {
            if let Some((file, to)) = &line.carries {
                self.carry(line.node, file, *to);
                continue;
            }
            if line.with_the_next {
                going_on.push((line, self.command(line).spawn().expect("it runs")));
                continue;
            }
            // The verdict changes in its own time; everything else is done when it ends.
            if line.args.first().is_some_and(|word| word == "verify") {
                wait_until_or(
                    &format!("pmp-{}$ {} exits with {}", line.node, line.args.join(" "), line.exits),
                    || {
                        let ran = Ran::from_command(self.command(line));
                        if ran.code == Some(line.exits) { Ok(()) } else { Err(ran.to_string()) }
                    },
                );
            } else {
                Ran::from_command(self.command(line)).exits(line.exits);
            }
            for (line, mut child) in going_on.drain(..) {
                assert_eq!(
                    child.wait().expect("it ends").code(),
                    Some(line.exits),
                    "{}",
                    line.args.join(" ")
                );
            }
        }
    }
}

#[test]
fn every_line_of_the_runbook_does_what_it_says() {
    let blocks = blocks();
    assert!(blocks.len() >= 12, "{} blocks", blocks.len());
    let mut stage = None;
    for (scene, lines) in blocks {
        if let Some(scene) = scene {
            stage = Some(Stage::set(&scene, stage.take()));
        }
        stage.as_ref().expect("a scene comes first").type_in(&lines);
    }
}
