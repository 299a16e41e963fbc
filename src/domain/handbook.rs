//! The text of the handbook for each code: sections of the documents, for a terminal.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Serialize;

const HEALTH: &str = include_str!("../../docs/health.md");
const REHEARSAL: &str = include_str!("../../docs/rehearsal.md");
const DOCTOR: &str = include_str!("../../docs/doctor.md");
const REFUSALS: &str = include_str!("../../docs/refusals.md");

/// What a code is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HandbookPart {
    /// Of `verify`.
    Finding,
    /// Of `rehearse`.
    Defect,
    /// Of `doctor`.
    Examination,
    /// Why a command ended without doing what it was asked for.
    Refusal,
}

impl HandbookPart {
    /// Its codes, in words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Finding => "Findings of `pmp-ha verify`",
            Self::Defect => "Defects that `pmp-ha rehearse` finds",
            Self::Examination => "Points of `pmp-ha doctor`",
            Self::Refusal => "Reasons why a command is refused or fails",
        }
    }
}

/// One code and its text in the handbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HandbookEntry {
    /// The code.
    pub code: &'static str,
    /// What it is about.
    pub topic: HandbookPart,
    /// The first sentence that explains it.
    pub summary: String,
    /// All of it.
    pub text: String,
}

/// Returns every code of the handbook, by topic.
#[must_use]
pub fn entries() -> &'static [HandbookEntry] {
    static ENTRIES: LazyLock<Vec<HandbookEntry>> = LazyLock::new(|| {
        let of = |topic, document, heading| {
            sections(document, heading).into_iter().map(move |(code, text)| entry(topic, code, text))
        };
        of(HandbookPart::Finding, HEALTH, "## The findings")
            .chain(of(HandbookPart::Defect, REHEARSAL, "## The defects"))
            .chain(of(HandbookPart::Examination, DOCTOR, "## The codes"))
            .chain(of(HandbookPart::Refusal, REFUSALS, "## The reasons"))
            .collect()
    });
    &ENTRIES
}

/// Returns the codes that the handbook explains.
pub fn codes() -> impl Iterator<Item = &'static str> {
    entries().iter().map(|entry| entry.code)
}

fn entry(topic: HandbookPart, code: &'static str, section: &'static str) -> HandbookEntry {
    let mut text = plain(section);
    let summary = summary(&text);
    let tables = ["the table above", "the error numbers above"];
    if let Some(named) = tables.into_iter().find(|named| text.contains(named)) {
        text = text.replace(named, &named.replace("above", "below"));
        text.push('\n');
        text.push_str(&plain(thing("**Error numbers**")));
    }
    if text.to_lowercase().contains("set up the pair again") {
        text.push('\n');
        text.push_str(&plain(thing("**Set up the pair again.**")));
    }
    HandbookEntry { code, topic, summary, text }
}

/// Returns a part of "Things to type", from its first words to the next part.
fn thing(start: &str) -> &'static str {
    let from = HEALTH.find(start).map_or("", |at| &HEALTH[at..]);
    let from = from.split("\n## ").next().unwrap_or_default();
    let next = from.get(2..).and_then(|rest| rest.find("\n\n**")).map_or(from.len(), |at| at + 2);
    from[..next].trim_end()
}

/// Returns the sections of third order below a heading of second order: code and text.
fn sections(document: &'static str, heading: &str) -> Vec<(&'static str, &'static str)> {
    let mut out = Vec::new();
    let from = document.find(&format!("\n{heading}\n")).map_or("", |at| &document[at + 1..]);
    let from = from.split_once('\n').map_or("", |(_, rest)| rest);
    let until = from.split("\n## ").next().unwrap_or_default();
    for section in until.split("\n### ").skip(1) {
        if let Some((code, text)) = section.split_once('\n') {
            out.push((code.trim(), text.trim()));
        }
    }
    out
}

/// Returns the first sentence that says what a code means: after `Failed, Replication.` or `Exit code 1.`
fn summary(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let sentences: Vec<&str> = first.split_inclusive(". ").collect();
    let named = |sentence: &&str| {
        let words = sentence.split([',', '.', ' ']).next().unwrap_or_default();
        ["Failed", "Unknown", "Warning", "Note", "Exit"].contains(&words)
    };
    let says = sentences.iter().find(|sentence| !named(sentence)).or(sentences.first());
    says.map(|sentence| sentence.trim().to_owned()).unwrap_or_default()
}

/// Turns Markdown into plain text: a paragraph or an item a line, no links, no stars.
fn plain(markdown: &str) -> String {
    let mut out = String::new();
    let (mut fenced, mut open) = (false, false);
    for line in markdown.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") {
            (fenced, open) = (!fenced, end(&mut out, open));
        } else if fenced {
            // ignored: it is a text in memory
            let _ = if trimmed.is_empty() { writeln!(out) } else { writeln!(out, "  $ {line}") };
        } else if trimmed.is_empty() {
            open = end(&mut out, open);
            out.push('\n');
        } else if let Some(row) = trimmed.strip_prefix('|') {
            open = end(&mut out, open);
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            if !cells.iter().all(|cell| cell.starts_with("---")) {
                // ignored: it is a text in memory
                let _ = writeln!(out, "- {}", inline(&cells.join(": ")));
            }
        } else {
            let starts = trimmed.starts_with("- ");
            if starts {
                end(&mut out, open);
            } else if open {
                out.push(' ');
            }
            out.push_str(&inline(trimmed));
            open = true;
        }
    }
    end(&mut out, open);
    out.replace("  $ #", "  #")
}

/// Ends an open line. Returns that none is open.
fn end(out: &mut String, open: bool) -> bool {
    if open {
        out.push('\n');
    }
    false
}

/// Takes links and stars out of a line.
fn inline(text: &str) -> String {
    let text = text.replace("**", "");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let link = after
            .split_once("](")
            .and_then(|(words, target)| target.split_once(')').map(|(target, rest)| (words, target, rest)));
        match link {
            Some((words, target, after)) if !words.contains(['[', ']']) => {
                let file = target.split('#').next().unwrap_or_default();
                let is_document =
                    |name: &str| std::path::Path::new(name).extension().is_some_and(|end| end == "md");
                let is_named = file.is_empty() || is_document(words) || !is_document(file);
                out.push_str(words);
                if !is_named {
                    // ignored: it is a text in memory
                    let _ = write!(out, " (docs/{file})");
                }
                rest = after;
            }
            _ => {
                out.push('[');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn markdown_becomes_lines_for_a_terminal() {
        let text = "**Failed**, Replication. It\ndoes not `apply`.\n\n- See [the table](#x) and\n  [more](runbook.md#y).\n- Two [x] y\n\n```sh\npmp-ha stop\n# then\n```\n| a | b |\n| --- | --- |\n| 1 | two |\n";
        let wanted = "Failed, Replication. It does not `apply`.\n\n- See the table and more (docs/runbook.md).\n- Two [x] y\n\n  $ pmp-ha stop\n  # then\n- a: b\n- 1: two\n";
        assert_eq!(plain(text), wanted);
        assert_eq!(summary(&plain(text)), "It does not `apply`.");
    }

    #[test]
    fn every_code_has_a_text_and_a_summary_and_stands_once() {
        let mut seen = BTreeSet::new();
        for entry in entries() {
            assert!(seen.insert(entry.code), "{} stands twice", entry.code);
            assert!(entry.text.len() > 40 && entry.summary.len() > 15, "{entry:?}");
            assert!(!entry.text.contains("]("), "{}", entry.text);
        }
        assert!(seen.len() > 80, "only {}", seen.len());
        let of = |code: &str| entries().iter().find(|entry| entry.code == code).expect("there");
        assert!(of("applier-stopped").text.contains("1032, 1062"));
        assert!(of("applier-stopped").text.contains("`pmp-ha repair` on the secondary"));
        assert!(of("back-binlog-gone").text.contains("  $ pmp-ha install-pack"));
        assert!(!of("back-binlog-gone").text.contains("The primary is lost for good"));
        assert_eq!(of("wrong-key").topic, HandbookPart::Defect);
    }
}
