//! Whether the options that a script was to hand to the server have reached it.
//!
//! A script is read, and a shell executes it: what the server got is read back from its process and
//! from its variables.

use std::collections::BTreeMap;

use super::shell::{Quote, Shell};
use super::{CLOSED, DEFAULTS_EXTRA_FILE, DEFAULTS_FILE, NO_DEFAULTS};

/// An option that the script gives to the server: the whole word, or its name where the shell computes
/// the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Exactly this word.
    Word(String),
    /// A word that begins with this.
    Name(String),
}

/// Other words of `mysqld_safe`, which hands on what it does not know itself.
const HANDS_ON: [&str; 3] = ["mysqld_safe", "mariadbd-safe", "safe_mysqld"];

/// What a start line passes to the server in addition to the option file.
pub(super) fn asked(script: &str, shell: &Shell<'_>, at: usize) -> Vec<Asked> {
    let place = shell.place(at);
    if HANDS_ON.iter().any(|name| shell.statement(place.statement).contains(name)) {
        return Vec::new();
    }
    let words: Vec<String> = if place.quote == Quote::None {
        shell.words(place.statement).into_iter().map(|(_, word)| word.to_owned()).collect()
    } else {
        // The words between the quotes are made by another shell, or when the variable is used.
        let close = if place.quote == Quote::Double { b'"' } else { b'\'' };
        let from = script[..at].rfind(char::from(close)).map_or(at, |open| open + 1);
        let bytes = script.as_bytes();
        let closes = |end: &usize| {
            let other = shell.place(*end);
            bytes[*end] == close && bytes[end - 1] != b'\\' && other.statement == place.statement
        };
        let to = (at..bytes.len()).find(closes).unwrap_or(bytes.len());
        script[from..to].split_whitespace().map(ToOwned::to_owned).collect()
    };
    let ours = |word: &str| {
        let name = word.split('=').next().unwrap_or(word);
        CLOSED.contains(&name) || [NO_DEFAULTS, DEFAULTS_FILE, DEFAULTS_EXTRA_FILE].contains(&name)
    };
    let option = |word: String| {
        let bare = word.trim_start_matches(['"', '\'', '\\']).to_owned();
        let is_option = bare.starts_with("--") && bare.len() > 2 && !ours(bare.trim_end_matches(['"', '\'']));
        is_option.then(|| {
            if word.contains(['$', '`', '\\', '*', '?', '~', '{']) {
                let name = bare.split_inclusive('=').next().unwrap_or(&bare);
                Asked::Name(name.split(['$', '`', '"', '\'', '\\']).next().unwrap_or(name).to_owned())
            } else {
                Asked::Word(bare.replace(['"', '\''], ""))
            }
        })
    };
    words.into_iter().filter_map(option).collect()
}

/// Words with which the server makes data or speaks, and does not serve.
const NO_START: [&str; 8] = [
    "--bootstrap",
    "--initialize",
    "--initialize-insecure",
    "--help",
    "--version",
    "--print-defaults",
    "--verbose",
    "-V",
];

/// Whether the words of a process are those of a server that is to serve: one of `programs`.
#[must_use]
pub fn serves(words: &[String], programs: &[&str]) -> bool {
    let is_program = |word: &String| programs.contains(&word.rsplit('/').next().unwrap_or(word));
    words.iter().any(is_program) && !words.iter().any(|word| NO_START.contains(&word.as_str()))
}

/// Compares the words of a server's process with what it should get: `option`, and one list.
#[must_use]
pub fn not_reached(option: &str, asked: &[Vec<Asked>], words: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    if !words.iter().any(|word| word == option) {
        out.push(format!("it was not given {option}"));
    }
    let others = [NO_DEFAULTS, DEFAULTS_FILE, DEFAULTS_EXTRA_FILE];
    for word in words.iter().filter(|word| others.contains(&word.split('=').next().unwrap_or_default())) {
        if word != option {
            out.push(format!("it was given {word}"));
        }
    }
    let lacks = |list: &Vec<Asked>| -> Vec<String> {
        let missing = list.iter().filter_map(|asked| match asked {
            Asked::Word(word) => (!words.contains(word)).then_some(word),
            Asked::Name(name) => (!words.iter().any(|word| word.starts_with(name.as_str()))).then_some(name),
        });
        missing.map(|word| format!("it was not given {}", word.trim_end_matches('='))).collect()
    };
    out.extend(asked.iter().map(lacks).min_by_key(Vec::len).unwrap_or_default());
    out
}

/// Compares the variables of a server with those that it must have.
#[must_use]
pub fn not_in_force(wanted: &[(&str, &str)], variables: &BTreeMap<String, String>) -> Vec<String> {
    let differs = |(name, wanted): &&(&str, &str)| {
        let found = variables.get(*name).map_or("", String::as_str);
        let path = |text: &str| text.trim_end_matches('/').to_owned();
        !path(found).eq_ignore_ascii_case(&path(wanted))
    };
    let shown = |(name, wanted): &(&str, &str)| {
        let found = variables.get(*name).map_or("unknown to it", String::as_str);
        format!("its {name} is {found}, and not {wanted}")
    };
    wanted.iter().filter(differs).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_of(script: &str) -> Vec<Asked> {
        let shell = Shell::read(script).expect("readable");
        asked(script, &shell, script.find(NO_DEFAULTS).expect("in it"))
    }

    #[test]
    fn what_the_script_gives_is_known_by_its_words() {
        let word = |word: &str| Asked::Word(word.into());
        let name = |name: &str| Asked::Name(name.into());
        for (script, wanted) in [
            (
                "\"$D/mysqld\" --no-defaults --datadir=\"$D/data\" --port=\"1\" --bind-address=x --log-error=\"$(uname -n).err\" $O --skip-x &\n",
                vec![name("--datadir="), word("--port=1"), name("--log-error="), word("--skip-x")],
            ),
            (
                "O=\"--no-defaults --a=1 --b=$(c d)/e --f\"\nmysqld $O --later\n",
                vec![word("--a=1"), name("--b="), word("--f")],
            ),
            ("su a -c 'mysqld --no-defaults --a=1' --shell=x\n", vec![word("--a=1")]),
            ("mysqld_safe --no-defaults --ledir=x\n", vec![]),
        ] {
            assert_eq!(asked_of(script), wanted, "{script}");
        }
    }

    #[test]
    fn what_has_not_reached_the_server_is_named() {
        let words = |line: &str| line.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        let asked = [asked_of("mysqld --no-defaults --a=1 --b=$X\n"), asked_of("mysqld --no-defaults --c\n")];
        let missing = |line: &str| not_reached("--defaults-file=/x y", &asked, &words(line));
        assert_eq!(missing("mysqld --c"), ["it was not given --defaults-file=/x y"]);
        let given = |more: &str| {
            let mut all = words(more);
            all.push("--defaults-file=/x y".into());
            not_reached("--defaults-file=/x y", &asked, &all)
        };
        assert!(given("mysqld --c").is_empty() && given("mysqld --b=7 --a=1").is_empty());
        assert_eq!(given("mysqld --a=1"), ["it was not given --b"]);
        assert_eq!(given("mysqld --no-defaults --c"), ["it was given --no-defaults"]);
    }

    #[test]
    fn a_server_with_another_variable_is_not_the_one_that_was_meant() {
        let variables = BTreeMap::from([
            ("skip_networking".to_owned(), "OFF".to_owned()),
            ("datadir".to_owned(), "/a b/".to_owned()),
        ]);
        assert_eq!(
            not_in_force(&[("skip_networking", "ON"), ("datadir", "/a b")], &variables),
            ["its skip_networking is OFF, and not ON"]
        );
    }
}
