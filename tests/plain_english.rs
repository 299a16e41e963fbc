//! Keeps the sentences short in the documents and in the help of every command.
//!
//! It measures lengths only. It finds a sentence that should be two, not one that is wrong.

#![expect(clippy::disallowed_methods, reason = "a test that cannot read a file fails with its line")]

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use pmp_ha::cli::Cli;

/// The most words of a sentence. We aim for 25; the rest is for sentences that list names.
const LONGEST: usize = 35;

/// The highest mean of words per sentence in one document or help.
const HIGHEST_MEAN: usize = 16;

#[test]
fn the_documents_are_in_plain_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    collect(&root.join("docs"), &mut paths);
    paths.sort();
    assert!(paths.len() > 5, "{paths:?}");
    let mut complaints = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root).expect("below the root").display().to_string();
        let text = std::fs::read_to_string(&path).expect("readable");
        complaints.extend(judge(&name, &sentences(&blocks_of_markdown(&text))));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_help_is_in_plain_english() {
    let mut complaints = Vec::new();
    for (command, help) in helps() {
        let name = format!("pmp-ha {} --help", command.join(" ")).replace("  ", " ");
        complaints.extend(judge(&name, &sentences(&blocks_of_help(&help))));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// A reader takes in the whole of it at once.
#[test]
fn the_readme_stays_short() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let lines = std::fs::read_to_string(path).expect("readable").lines().count();
    assert!(lines <= 120, "README.md has {lines} lines; a page of docs/ has room for what is new");
}

#[test]
fn the_readme_names_every_command() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).expect("readable");
    let is_named = |name: &str| {
        readme.lines().any(|line| {
            let mut names = line.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
            line.starts_with('|') && names.any(|each| each == name)
        })
    };
    let missing: Vec<String> = helps()
        .into_iter()
        .map(|(command, _)| command.join(" "))
        .filter(|command| {
            command.split(' ').next_back().is_some_and(|name| !name.is_empty() && !is_named(name))
        })
        .collect();
    assert!(missing.is_empty(), "no table of README.md has {missing:?}");
}

/// Returns every command with its help, the program itself first.
fn helps() -> Vec<(Vec<String>, String)> {
    let mut out: Vec<(Vec<String>, String)> = Vec::new();
    let mut open = vec![vec![]];
    while let Some(command) = open.pop() {
        let help = help(&command);
        open.extend(subcommands(&command).into_iter().map(|sub| [command.clone(), vec![sub]].concat()));
        out.push((command, help));
    }
    assert!(out.len() > 20, "only {} commands", out.len());
    out
}

/// Finds the documents.
fn collect(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.extension().is_some_and(|suffix| suffix == "md") {
            out.push(path);
        }
    }
}

fn help(command: &[String]) -> String {
    let ran =
        Command::new(env!("CARGO_BIN_EXE_pmp-ha")).args(command).arg("--help").output().expect("it runs");
    assert!(ran.status.success(), "{command:?}: {ran:?}");
    String::from_utf8(ran.stdout).expect("text")
}

/// Returns the commands below a command that its help shows.
fn subcommands(names: &[String]) -> Vec<String> {
    let mut command = Cli::command();
    for name in names {
        command = command.find_subcommand(name).cloned().unwrap_or_else(|| panic!("no command {name}"));
    }
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name().into()).collect()
}

/// Returns what is too long in a document or help.
fn judge(name: &str, sentences: &[Sentence]) -> Vec<String> {
    let mut out: Vec<String> = sentences
        .iter()
        .filter(|sentence| sentence.words > LONGEST)
        .map(|sentence| format!("{name}: {} words in one sentence: {}", sentence.words, sentence.text))
        .collect();
    let words: usize = sentences.iter().map(|sentence| sentence.words).sum();
    if words > HIGHEST_MEAN * sentences.len() {
        let tenths = words * 10 / sentences.len();
        out.push(format!("{name}: {}.{} words a sentence on average", tenths / 10, tenths % 10));
    }
    out
}

#[derive(Debug, PartialEq, Eq)]
struct Sentence {
    text: String,
    words: usize,
}

/// Returns the paragraphs and list items of a Markdown text, each on one line.
/// Leaves out headings, tables, comments and fenced code.
fn blocks_of_markdown(text: &str) -> Vec<String> {
    let mut out = Blocks::default();
    let (mut fenced, mut commented) = (false, false);
    for line in text.lines() {
        let line = line.trim().trim_start_matches("> ");
        if line.starts_with("```") || line.starts_with("~~~") {
            fenced = !fenced;
            out.end();
        } else if fenced {
        } else if commented || line.starts_with("<!--") {
            commented = !line.contains("-->");
            out.end();
        } else if line.is_empty() || line.starts_with('|') || line.starts_with('#') {
            out.end();
        } else if let Some(item) = item(line, out.in_list || out.block.is_empty()) {
            out.end();
            out.in_list = true;
            out.add(item);
        } else {
            out.add(line);
        }
    }
    out.end();
    out.done
}

/// Returns the text of a list item. A number starts an item only if it does not cut a paragraph.
fn item(line: &str, may_be_numbered: bool) -> Option<&str> {
    if let Some(rest) = ["- ", "* ", "+ "].iter().find_map(|bullet| line.strip_prefix(bullet)) {
        return Some(rest);
    }
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = rest.len() < line.len() && may_be_numbered;
    rest.strip_prefix(". ").filter(|_| numbered)
}

/// Returns the paragraphs and the descriptions of options and commands in a help.
/// Leaves out usage, examples, defaults and the names of options.
fn blocks_of_help(help: &str) -> Vec<String> {
    let mut out = Blocks::default();
    let mut example = false;
    for line in help.lines() {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim());
        if line.is_empty() || (line.starts_with('[') && line.ends_with(']')) {
            out.end();
            example &= indent > 0;
        } else if line.starts_with("Example") && line.ends_with(':') {
            out.end();
            example = true;
        } else if example || line.starts_with("Usage:") || line.starts_with("$ ") || is_section(line, indent)
        {
            out.end();
        } else if let Some(item) = line.strip_prefix("- ") {
            out.end();
            out.add(item);
        } else if indent == 2 || line.starts_with('-') {
            // `-y, --yes  Do not ask`: a name, two spaces, a description. Or the description is on the next line.
            out.end();
            if let Some((_, rest)) = line.split_once("  ") {
                out.add(rest.trim());
            }
        } else {
            out.add(line);
        }
    }
    out.end();
    out.done
}

fn is_section(line: &str, indent: usize) -> bool {
    indent == 0 && line.ends_with(':')
}

#[derive(Default)]
struct Blocks {
    done: Vec<String>,
    block: String,
    in_list: bool,
}

impl Blocks {
    fn add(&mut self, line: &str) {
        if !self.block.is_empty() {
            self.block.push(' ');
        }
        self.block.push_str(line);
    }

    fn end(&mut self) {
        self.in_list = false;
        if !self.block.is_empty() {
            self.done.push(std::mem::take(&mut self.block));
        }
    }
}

fn sentences(blocks: &[String]) -> Vec<Sentence> {
    blocks.iter().flat_map(|block| sentences_of(block)).collect()
}

/// Splits a block at full stops, question marks and exclamation marks. `Some code` is one word.
fn sentences_of(block: &str) -> Vec<Sentence> {
    let mut out = Vec::new();
    let (mut text, mut words, mut in_code) = (Vec::new(), 0, false);
    for word in block.split_whitespace() {
        if !in_code && word.chars().any(char::is_alphanumeric) {
            words += 1;
        }
        in_code ^= word.matches('`').count() % 2 == 1;
        text.push(word);
        if !in_code && ends_a_sentence(word) {
            out.push(Sentence { text: std::mem::take(&mut text).join(" "), words });
            words = 0;
        }
    }
    out.push(Sentence { text: text.join(" "), words });
    out.retain(|sentence| sentence.words > 0);
    out
}

fn ends_a_sentence(word: &str) -> bool {
    let word = word.trim_end_matches([')', ']', '"', '\'', '*', '_', '”', '’']);
    let bare = word.trim_start_matches(['(', '[', '"', '\'', '*', '_', '“', '‘']);
    word.ends_with(['.', '!', '?']) && !["e.g.", "i.e.", "vs.", "cf.", "..."].contains(&bare)
}

#[cfg(test)]
mod the_check {
    use super::*;

    fn texts(markdown: &str) -> Vec<(String, usize)> {
        sentences(&blocks_of_markdown(markdown)).into_iter().map(|each| (each.text, each.words)).collect()
    }

    #[track_caller]
    fn splits(markdown: &str, wanted: &[(&str, usize)]) {
        let wanted: Vec<(String, usize)> =
            wanted.iter().map(|(text, words)| ((*text).to_owned(), *words)).collect();
        assert_eq!(texts(markdown), wanted);
    }

    #[test]
    fn a_line_break_is_no_end_and_a_full_stop_is() {
        splits(
            "One two\nthree. Four (five six).\n\nSeven",
            &[("One two three.", 3), ("Four (five six).", 3), ("Seven", 1)],
        );
        splits(
            "It fails. pmp-ha restores it! Why? **Because.** So.",
            &[("It fails.", 2), ("pmp-ha restores it!", 3), ("Why?", 1), ("**Because.**", 1), ("So.", 1)],
        );
    }

    #[test]
    fn a_dot_inside_of_a_word_or_of_code_is_no_end() {
        splits(
            "MySQL 5.6 reads `a. b. c` and conf/x.toml, e.g. [this](that.md).",
            &[("MySQL 5.6 reads `a. b. c` and conf/x.toml, e.g. [this](that.md).", 8)],
        );
        splits(
            "Run `pmp-ha --home DIR verify`. Then wait – a while.",
            &[("Run `pmp-ha --home DIR verify`.", 2), ("Then wait – a while.", 4)],
        );
    }

    #[test]
    fn each_item_of_a_list_is_a_sentence_of_its_own() {
        splits(
            "It does:\n- one thing\n  and more\n* two\n1. three\n2. four\n   five\n\n3. six",
            &[
                ("It does:", 2),
                ("one thing and more", 4),
                ("two", 1),
                ("three", 1),
                ("four five", 2),
                ("six", 1),
            ],
        );
        // A year at the beginning of a line ends no sentence but its own.
        splits("The standard of\n2020. Then more.", &[("The standard of 2020.", 4), ("Then more.", 2)]);
    }

    #[test]
    fn code_tables_headings_and_comments_are_no_sentences() {
        splits(
            "# A heading\nText.\n```sh\nls -l # not. this.\n```\n| a. | b. |\n| --- | --- |\n<!-- a\nb. -->\n> Quoted\n> text.",
            &[("Text.", 1), ("Quoted text.", 2)],
        );
    }

    #[test]
    fn a_help_is_read_in_both_of_its_forms() {
        let long = "Does it.\n\nIn one go, and\nfast.\n\nUsage: x [OPTIONS] <A>\n\nArguments:\n  <A>\n          The first.\n\nOptions:\n      --b <C>\n          Two of\n          them. And more.\n          \n          [default: 1]\n\n          Possible values:\n          - one: the first\n          - two: the second\n\nExit codes: 0 done.";
        let found: Vec<String> = sentences(&blocks_of_help(long)).into_iter().map(|each| each.text).collect();
        assert_eq!(
            found,
            [
                "Does it.",
                "In one go, and fast.",
                "The first.",
                "Two of them.",
                "And more.",
                "Possible values:",
                "one: the first",
                "two: the second",
                "Exit codes: 0 done."
            ]
        );
        let short = "Does it\n\nUsage: x <COMMAND>\n\nCommands:\n  up    Make one.\n        Or two.\n  down  Remove it\n  help  Print this\n\nOptions:\n  -y, --yes   Ask\n              not [env: A=]\n\nExample:\n  $ x up a\n";
        let found: Vec<String> =
            sentences(&blocks_of_help(short)).into_iter().map(|each| each.text).collect();
        assert_eq!(
            found,
            ["Does it", "Make one.", "Or two.", "Remove it", "Print this", "Ask not [env: A=]"]
        );
        assert_eq!(subcommands(&["lab".into()]), ["up", "home", "sql", "down"]);
    }

    #[test]
    fn it_complains_of_a_long_sentence_and_of_a_high_mean_and_of_nothing_else() {
        let of = |words: usize| format!("{}end.", "word ".repeat(words - 1));
        let complaints = |text: &str| judge("x.md", &sentences(&blocks_of_markdown(text)));
        assert_eq!(complaints(&format!("{} {} {}", of(35), of(9), of(4))), Vec::<String>::new());
        let long = of(36);
        assert_eq!(
            complaints(&format!("{long} {}", of(2))),
            [
                format!("x.md: 36 words in one sentence: {long}"),
                "x.md: 19.0 words a sentence on average".into()
            ]
        );
        assert_eq!(complaints(&of(16)), Vec::<String>::new());
        assert_eq!(complaints(&of(17)), ["x.md: 17.0 words a sentence on average"]);
    }
}
