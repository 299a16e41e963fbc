//! The wiring of the product's start script.
//!
//! The script runs `mysqld --no-defaults`, so the server reads no option file, or it names one of the
//! installation's own. Wiring makes it read ours; every other byte of the script stays.

mod everybody;
mod own_file;
mod reached;
mod shell;
#[cfg(test)]
mod tests;

pub use everybody::{everybody_is_let_in_by, lets_everybody_in};
use own_file::OwnFile;
pub use reached::{Asked, not_in_force, not_reached, serves};
use shell::{Quote, Shell};

/// What cannot be wired, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotWirable(pub String);

/// The folder for the socket of an offline boot, below the home.
///
/// It is not the product's folder, so that no client finds the database.
pub const BOOT_TMP: &str = "mysql/tmp/boot";

/// Its name in the product's own one.
pub const BOOT_FOLDER: &str = "boot";

/// How the script calls the socket in the folder that it is given.
pub const SOCKET: &str = "mysql.sock";

/// The longest path of a socket, in bytes: `sun_path` with its end, on Linux.
pub const LONGEST_SOCKET: usize = 107;

const NO_DEFAULTS: &str = "--no-defaults";
const DEFAULTS_FILE: &str = "--defaults-file";
const DEFAULTS_EXTRA_FILE: &str = "--defaults-extra-file";

/// The options that name an option file to the server.
pub const OPTIONS: [&str; 2] = [DEFAULTS_FILE, DEFAULTS_EXTRA_FILE];

/// Options that would keep the peer out; the vendor's server listens on its own machine only.
const CLOSED: [&str; 4] = ["--bind-address", "--bind_address", "--skip-networking", "--skip_networking"];

/// How the option file of the tool is called in every home; a script with another one is not ours.
const OURS: &str = "/conf/pmp-ha/mysqld.cnf";

/// What the gate's line ends with, by which it is found again.
const GATE_MARK: &str = "# pmp-ha: is the other node the primary now?";

/// The programs that are the server, or start it.
const SERVERS: [&str; 6] =
    ["mysqld", "mysqld-debug", "mariadbd", "mysqld_safe", "mariadbd-safe", "safe_mysqld"];

/// Programs that take the same options, and are not the server.
const OTHERS: [&str; 14] = [
    "mysql",
    "mysqladmin",
    "mysqlcheck",
    "mysqldump",
    "mysqlshow",
    "mysql_upgrade",
    "mysql_install_db",
    "mariadb",
    "mariadb-admin",
    "mariadb-check",
    "mariadb-install-db",
    "mariadb-upgrade",
    "my_print_defaults",
    "myisamchk",
];

/// Commands that only look at a text, or show it.
const TALK: [&str; 7] = ["echo", "printf", "logger", "grep", "[", "[[", "test"];

/// With one of these the server makes data or speaks, and does not serve.
const NO_START: [&str; 7] = [
    "--bootstrap",
    "--initialize",
    "--initialize-insecure",
    "--help",
    "--version",
    "--print-defaults",
    "--install",
];

/// The start gate: a program that runs before the server starts, and may refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Full path of this tool.
    pub program: String,
    /// The home that it checks.
    pub home: String,
}

impl Gate {
    /// Returns the gate as a line. If the tool was removed, the database still starts.
    fn line(&self) -> String {
        let Self { program, home } = self;
        format!("[ ! -x \"{program}\" ] || \"{program}\" --home \"{home}\" may-start || exit 4 {GATE_MARK}\n")
    }
}

/// The home whose script it is, and which files are there.
#[derive(Clone, Copy)]
pub struct Installation<'a> {
    /// Its path.
    pub home: &'a str,
    /// Whether a path is that of a file.
    pub is_file: &'a dyn Fn(&str) -> bool,
}

/// A script that hands our option file to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wired {
    /// Its text.
    pub script: String,
    /// The option with which the server gets our option file, as it reaches the server.
    pub option: String,
    /// The option file of the installation's own, which ours must take in.
    pub own_file: Option<String>,
    /// What else must reach the server: one list for each line that starts it.
    pub asked: Vec<Vec<Asked>>,
}

/// A place of the script that says which option file the server reads.
struct NamesOptionFile {
    at: usize,
    end: usize,
    /// The file that is named, as it is written.
    names: Option<String>,
    extra: bool,
}

/// A change of the script: these bytes are replaced.
struct Edit {
    from: usize,
    to: usize,
    text: String,
}

/// Returns the script with `option_file` in place of `--no-defaults` or of the installation's own
/// option file, without the options that bind the server to its own machine, and with the gate before
/// it, if there is one. A script that is wired already is wired anew.
///
/// # Errors
/// When something of it is not understood, so that nothing is guessed.
pub fn wire(
    script: &str,
    option_file: &str,
    gate: Option<&Gate>,
    installation: &Installation<'_>,
) -> Result<Wired, NotWirable> {
    let (script, noted) = own_file::without_check(&without_gate(script));
    let shell = Shell::read(&script).map_err(|why| NotWirable(why.into()))?;
    let starts = starts(&script, &shell);
    let Some(first) = starts.first() else {
        return Err(NotWirable(format!("none of its lines starts mysqld with {NO_DEFAULTS}")));
    };
    let program = gate.map(|gate| gate.program.as_str()).unwrap_or_default();
    if let Some(bad) = option_file.chars().chain(program.chars()).find(|c| "\"$`\\\n".contains(*c)) {
        return Err(NotWirable(format!(
            "the path of the home or of this tool contains the character {bad:?}"
        )));
    }
    let mut own: Option<OwnFile> = noted;
    for start in &starts {
        let Some(word) = start.names.as_deref().filter(|word| !word.contains(OURS)) else { continue };
        let found = OwnFile::find(&script, &shell, start.at, word, installation)?;
        if own.as_ref().is_some_and(|other| other.path != found.path) {
            return Err(NotWirable("it passes more than one option file of its own to mysqld".into()));
        }
        own = Some(found);
    }
    if starts.iter().any(|start| start.extra != first.extra || (start.names.is_none() && own.is_some())) {
        return Err(NotWirable("its lines that start mysqld do not read the same option files".into()));
    }
    let option = if first.extra { DEFAULTS_EXTRA_FILE } else { DEFAULTS_FILE };

    let mut edits = Vec::new();
    for start in &starts {
        let text = spelled(&shell, start.at, option, option_file)?;
        edits.push(Edit { from: start.at, to: start.end, text });
    }
    edits.extend(openings(&script, &shell, &starts));
    let line = line_before(&script, &shell, first.at).filter(|_| starts.len() == 1);
    if let Some(gate) = gate {
        let at = line.unwrap_or_else(|| first_line_of_code(&script));
        edits.push(Edit { from: at, to: at, text: gate.line() });
    }
    if let Some(own) = &own {
        for start in &starts {
            let Some(at) = line_before(&script, &shell, start.at) else {
                return Err(NotWirable(
                    "it names an option file in a line that contains other commands".into(),
                ));
            };
            edits.push(Edit { from: at, to: at, text: own.check() });
        }
    }
    Ok(Wired {
        script: edited(&script, edits),
        option: format!("{option}={option_file}"),
        own_file: own.map(|own| own.path),
        asked: starts.iter().map(|start| reached::asked(&script, &shell, start.at)).collect(),
    })
}

fn edited(script: &str, mut edits: Vec<Edit>) -> String {
    // What is put before a line comes before what changes in it; the order of those is kept.
    edits.sort_by_key(|edit| (edit.from, edit.to));
    let mut out = String::with_capacity(script.len() + 256);
    let mut done = 0;
    for Edit { from, to, text } in edits.into_iter().filter(|edit| edit.to <= script.len()) {
        if from >= done && to >= from {
            out.push_str(&script[done..from]);
            out.push_str(&text);
            done = to;
        }
    }
    out.push_str(&script[done..]);
    out
}

fn without_gate(script: &str) -> String {
    script.split_inclusive('\n').filter(|line| !line.contains(GATE_MARK)).collect()
}

/// Returns whether the script is wired to the option file of this tool.
#[must_use]
pub fn is_wired(script: &str) -> bool {
    let names_ours = |shell: &Shell<'_>| {
        starts(script, shell)
            .iter()
            .any(|start| start.names.as_deref().is_some_and(|word| word.contains(OURS)))
    };
    Shell::read(script).is_ok_and(|shell| names_ours(&shell))
}

/// Returns whether a wired script is this one, apart from what pmp-ha itself has put there.
#[must_use]
pub fn is_only_wired(script: &str, wired: &str) -> bool {
    let plain = |text: &str| own_file::without_check(&without_gate(text)).0;
    plain(script) == plain(wired)
}

/// Every place that says which option file the server reads.
fn starts(script: &str, shell: &Shell<'_>) -> Vec<NamesOptionFile> {
    let mut out = Vec::new();
    for option in [NO_DEFAULTS, DEFAULTS_FILE, DEFAULTS_EXTRA_FILE] {
        for at in shell.options(option).filter(|at| starts_server(shell, *at)) {
            let end = shell.word_end(at);
            let names = script[at..end].strip_prefix(option).and_then(|rest| rest.strip_prefix('='));
            // Without a value it is a word in a text.
            if option == NO_DEFAULTS || names.is_some_and(|word| !word.is_empty()) {
                let end = if option == NO_DEFAULTS { at + option.len() } else { end };
                let names = names.map(ToOwned::to_owned);
                out.push(NamesOptionFile { at, end, names, extra: option == DEFAULTS_EXTRA_FILE });
            }
        }
    }
    out.sort_by_key(|start| start.at);
    out
}

/// Whether the statement around a place starts the server, or sets a variable for one that does.
fn starts_server(shell: &Shell<'_>, at: usize) -> bool {
    let words = shell.words(shell.place(at).statement);
    let parts =
        || words.iter().flat_map(|(_, word)| word.split(|c: char| c.is_whitespace() || "\"'".contains(c)));
    let program = |part: &str| part.rsplit('/').next().unwrap_or(part).to_owned();
    let runs = |names: &[&str]| {
        parts()
            .filter(|part| !part.starts_with('-') && !part.contains('='))
            .any(|part| names.contains(&&*program(part)))
    };
    let talks = words.first().is_some_and(|(_, word)| TALK.contains(word));
    let serves = !parts().any(|part| NO_START.contains(&part));
    serves && !talks && (runs(&SERVERS) || !runs(&OTHERS))
}

/// How an option with our file is written at a place, so that it reaches the server as one word.
fn spelled(shell: &Shell<'_>, at: usize, option: &str, file: &str) -> Result<String, NotWirable> {
    let place = shell.place(at);
    let is_plain = file.chars().all(|c| c.is_alphanumeric() || "/._+,:@%=-".contains(c));
    let assigned = shell.is_assignment(place.word);
    let for_another_shell =
        shell.words(place.statement).iter().any(|(_, word)| *word == "-c" || *word == "--command");
    match place.quote {
        Quote::None if !assigned => Ok(format!("{option}=\"{file}\"")),
        _ if is_plain => Ok(format!("{option}={file}")),
        Quote::Double if !assigned && for_another_shell => Ok(format!("{option}=\\\"{file}\\\"")),
        Quote::Single if !assigned && for_another_shell && !file.contains('\'') => {
            Ok(format!("{option}=\"{file}\""))
        }
        _ => Err(NotWirable(format!(
            "it keeps mysqld's options in a variable or in quotes, which cannot contain the path {file}"
        ))),
    }
}

/// What opens the server up to the other node.
fn openings(script: &str, shell: &Shell<'_>, starts: &[NamesOptionFile]) -> Vec<Edit> {
    let bytes = script.as_bytes();
    let mut out = Vec::new();
    for option in CLOSED {
        for at in shell.options(option) {
            let place = shell.place(at);
            let concerns = starts.iter().any(|start| shell.place(start.at).statement == place.statement)
                || shell.is_assignment(place.word);
            if !concerns {
                continue;
            }
            let (mut from, mut to) = (at, shell.word_end(at));
            if option.contains("bind") && bytes.get(at + option.len()) != Some(&b'=') {
                // The value is the next word.
                let next = (to..bytes.len()).find(|next| !b" \t".contains(&bytes[*next]));
                to = next.map_or(to, |next| shell.word_end(next));
            }
            let quoted = from > 0 && place.word + 1 == from && b"\"'".contains(&bytes[from - 1]);
            if quoted && bytes.get(to) == Some(&bytes[from - 1]) {
                (from, to) = (from - 1, to + 1);
            }
            from -= script[..from].bytes().rev().take_while(|byte| *byte == b' ').count();
            out.push(Edit { from, to, text: String::new() });
        }
    }
    out
}

/// Where the line begins in which the statement around a place begins, if another line can stand before
/// it.
fn line_before(script: &str, shell: &Shell<'_>, at: usize) -> Option<usize> {
    let statement = shell.place(at).statement;
    let line = script[..statement].rfind('\n').map_or(0, |end| end + 1);
    let before =
        script[..line].lines().rev().map(str::trim_end).find(|line| !line.is_empty()).unwrap_or_default();
    let goes_on = ["&&", "||", "|", "\\", " in"].iter().any(|end| before.ends_with(end));
    let alone = script[line..statement].trim().is_empty() && shell.place(line).outermost;
    (alone && !goes_on).then_some(line)
}

/// The first line that is neither empty nor a comment.
fn first_line_of_code(script: &str) -> usize {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    script.split_inclusive('\n').take_while(|line| !is_code(line)).map(str::len).sum()
}
