//! An option file of the installation's own, which ours takes in.
//!
//! The shell knows which file its words name, and this tool can only look for it. So the wired script
//! compares the two at each start, and starts nothing if they are not the same file.

use super::shell::{Quote, Shell, variable_of};
use super::{Installation, NotWirable};

/// What the line of the comparison ends with, by which it is found again.
const MARK: &str = "# pmp-ha: is this the option file that mysqld.cnf takes in?";

/// The folders of a home in which an option file may lie.
const FOLDERS: [&str; 6] = ["", "/mysql", "/conf", "/bin", "/mysql/data", "/mysql/bin"];

/// How many variables may name each other.
const DEPTH: usize = 8;

/// The installation's own option file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Its full path.
    pub path: String,
    /// How the script names it, as a word of the shell.
    word: String,
}

impl OwnFile {
    /// Finds the file that `word` names, in the option at `at`.
    pub fn find(
        script: &str,
        shell: &Shell<'_>,
        at: usize,
        word: &str,
        installation: &Installation<'_>,
    ) -> Result<Self, NotWirable> {
        let refuse = |why: &str| {
            Err(NotWirable(format!(
                "it passes its own option file {} to mysqld, {why}",
                word.trim_matches('"')
            )))
        };
        let plain: String = word.chars().filter(|c| !"\"'".contains(*c)).collect();
        let computed = plain.contains(['$', '`']);
        if plain.contains(['\\', '\n', '(']) || computed && shell.place(at).quote == Quote::Single {
            return refuse("which pmp-ha cannot find");
        }
        let mut found: Vec<String> = Self::candidates(script, &plain, installation.home, DEPTH);
        found.retain(|path| (installation.is_file)(path) && !path.contains(['"', '$', '`', '\\', '\n']));
        found.sort();
        found.dedup();
        match &found[..] {
            [path] => Ok(Self { path: path.clone(), word: format!("\"{plain}\"") }),
            [] => refuse("and pmp-ha finds no such file"),
            [..] => refuse(&format!("which may be {}", found.join(" or "))),
        }
    }

    /// Where the file may be that a word names.
    fn candidates(script: &str, word: &str, home: &str, depth: usize) -> Vec<String> {
        let Some(last) = word.rfind(['$', '`']) else {
            return if word.starts_with('/') { vec![word.to_owned()] } else { Vec::new() };
        };
        let name: &str = word[last..].trim_start_matches(['$', '{']);
        let length = name.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let rest = name[length..].trim_start_matches('}');
        if rest.starts_with('/') {
            return FOLDERS.iter().map(|folder| format!("{home}{folder}{rest}")).collect();
        }
        // The whole word is a variable.
        let value = script.lines().rev().filter_map(|line| {
            let line = line.trim_start().trim_start_matches("export ");
            (variable_of(line)? == &name[..length]).then(|| &line[length + 1..])
        });
        match value.map(|value| value.trim().trim_end_matches(';')).next() {
            Some(value) if last == 0 && rest.is_empty() && depth > 0 => {
                let value: String = value.chars().filter(|c| !"\"'".contains(*c)).collect();
                Self::candidates(script, &value, home, depth - 1)
            }
            _ => Vec::new(),
        }
    }

    /// The line that compares the file with the one that is taken in.
    pub fn check(&self) -> String {
        let Self { path, word } = self;
        format!(
            "[ {word} -ef \"{path}\" ] || {{ echo \"pmp-ha takes in another option file: {path}\" >&2; exit 4; }} {MARK}\n"
        )
    }
}

/// Takes the comparison out of a script, and returns what it compares.
pub fn without_check(script: &str) -> (String, Option<OwnFile>) {
    let mut own = None;
    let mut out = String::with_capacity(script.len());
    for line in script.split_inclusive('\n') {
        let noted = line.trim_end().strip_suffix(MARK).and_then(|line| {
            let (word, rest) = line.trim_start().strip_prefix("[ ")?.rsplit_once(" -ef \"")?;
            let (path, _) = rest.split_once('"')?;
            Some(OwnFile { path: path.to_owned(), word: word.to_owned() })
        });
        match noted {
            Some(noted) => own = Some(noted),
            None => out.push_str(line),
        }
    }
    (out, own)
}
