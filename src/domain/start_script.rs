//! The wiring of the product's start script.
//!
//! The script runs `mysqld --no-defaults`, so the server reads no option file. Wiring makes it read
//! ours; every other byte of the script stays.

/// What cannot be wired, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotWirable(pub String);

/// The folder, from the home, that the script is given for the socket of an offline boot. It is
/// another one than the product's, so that nobody who looks for the database finds it.
pub const BOOT_TMP: &str = "mysql/tmp/boot";

/// Its name in the product's own one.
pub const BOOT_FOLDER: &str = "boot";

/// How the script calls the socket in the folder that it is given.
pub const SOCKET: &str = "mysql.sock";

/// The longest path of a socket, in bytes: `sun_path` with its end, on Linux.
pub const LONGEST_SOCKET: usize = 107;

const NO_DEFAULTS: &str = "--no-defaults";
const DEFAULTS_FILE: &str = "--defaults-file=";

/// Options that would keep the peer out; the vendor's server listens on its own machine only.
const CLOSED: [&str; 4] = ["--bind-address", "--bind_address", "--skip-networking", "--skip_networking"];

/// How the option file of the tool is called in every home; a script with another one is not ours.
const OURS: &str = "/conf/pmp-ha/mysqld.cnf";

/// What the gate's line ends with, by which it is found again.
const GATE_MARK: &str = "# pmp-ha: is the other node the primary now?";

/// The start gate: a program that is asked before the server starts, and may refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Full path of this tool.
    pub program: String,
    /// The home that it is asked about.
    pub home: String,
}

impl Gate {
    /// Returns the gate as a line. If the tool was removed, the database still starts.
    fn line(&self) -> String {
        let Self { program, home } = self;
        format!("[ ! -x \"{program}\" ] || \"{program}\" --home \"{home}\" may-start || exit 4 {GATE_MARK}\n")
    }
}

/// Returns the script with `option_file` in place of `--no-defaults`, and without the options
/// that bind the server to its own machine, and with the gate before it, if there is one. A script
/// that is wired already is wired anew.
///
/// # Errors
/// When there is not exactly one line that starts the server with `--no-defaults` or with our
/// option file, so that nothing is guessed.
pub fn wire(script: &str, option_file: &str, gate: Option<&Gate>) -> Result<String, NotWirable> {
    let script = without_gate(script);
    match script.lines().filter(|line| starts_server(line)).collect::<Vec<_>>()[..] {
        [line] if line.contains(NO_DEFAULTS) || line.contains(OURS) => {}
        [_] => return Err(NotWirable("it passes its own option file to mysqld".into())),
        [] => return Err(NotWirable(format!("none of its lines starts mysqld with {NO_DEFAULTS}"))),
        ref lines => {
            return Err(NotWirable(format!("{} of its lines start mysqld with {NO_DEFAULTS}", lines.len())));
        }
    }
    let program = gate.map(|gate| gate.program.as_str()).unwrap_or_default();
    if let Some(bad) = option_file.chars().chain(program.chars()).find(|c| "\"$`\\\n".contains(*c)) {
        return Err(NotWirable(format!(
            "the path of the home or of this tool contains the character {bad:?}"
        )));
    }
    let gate = gate.map(|gate| (first_line_of_the_start(&script), gate.line()));
    let mut out = String::with_capacity(script.len() + option_file.len());
    let open_up = |line: String| CLOSED.iter().fold(line, |line, option| drop_option(&line, option));
    let mut goes_on = false;
    for (number, line) in script.split_inclusive('\n').enumerate() {
        if let Some((_, text)) = gate.as_ref().filter(|(before, _)| *before == number) {
            out.push_str(text);
        }
        if starts_server(line) {
            out.push_str(&open_up(replace_option(line, &format!("{DEFAULTS_FILE}\"{option_file}\""))));
        } else if goes_on {
            out.push_str(&open_up(line.to_owned()));
        } else {
            out.push_str(line);
        }
        goes_on = (goes_on || starts_server(line)) && line.trim_end().ends_with(['\\', '^']);
    }
    Ok(out)
}

fn without_gate(script: &str) -> String {
    script.split_inclusive('\n').filter(|line| !line.contains(GATE_MARK)).collect()
}

/// The line in which the command begins that starts the server: it may go on in the next ones.
fn first_line_of_the_start(script: &str) -> usize {
    let lines: Vec<&str> = script.lines().collect();
    let mut first = lines.iter().position(|line| starts_server(line)).unwrap_or(0);
    while first > 0 && lines[first - 1].trim_end().ends_with('\\') {
        first -= 1;
    }
    first
}

/// Returns whether the script is wired to the option file of this tool.
#[must_use]
pub fn is_wired(script: &str) -> bool {
    script.lines().any(|line| starts_server(line) && line.contains(OURS))
}

/// Returns whether a line starts the server. Ignores comments.
fn starts_server(line: &str) -> bool {
    let code = line.trim_start();
    let comment =
        code.starts_with('#') || code.starts_with("::") || code.to_ascii_lowercase().starts_with("rem ");
    // The client programs take these options, too.
    let client =
        ["mysqladmin", "mysqlcheck", "mysqldump", "mysql_upgrade"].iter().any(|name| code.contains(name));
    !comment && !client && (code.contains(NO_DEFAULTS) || code.contains(DEFAULTS_FILE))
}

fn replace_option(line: &str, with: &str) -> String {
    if line.contains(NO_DEFAULTS) {
        return line.replacen(NO_DEFAULTS, with, 1);
    }
    match line.find(DEFAULTS_FILE) {
        Some(at) => format!("{}{with}{}", &line[..at], &line[at + word_length(&line[at..])..]),
        None => line.to_owned(),
    }
}

fn drop_option(line: &str, option: &str) -> String {
    let Some(at) = line.find(option) else { return line.to_owned() };
    let before = line[..at].trim_end_matches(' ');
    let mut rest = &line[at + word_length(&line[at..])..];
    let takes_value = option.contains("bind");
    if takes_value && !line[at + option.len()..].starts_with('=') {
        // The value is the next word.
        rest = rest.trim_start_matches([' ', '\t']);
        rest = &rest[word_length(rest)..];
    }
    format!("{before}{rest}")
}

/// The length of a shell word that may hold quoted spaces.
fn word_length(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "#!/bin/sh\n# mysqld --no-defaults in a comment\n\
        \"$DB/bin/mysqld\" --no-defaults --basedir=\"$DB\" --bind-address=127.0.0.1 --port=$1 &\nexit 0\n";

    #[test]
    fn only_the_option_changes_and_the_server_opens_up() {
        let wired = wire(SCRIPT, "/opt/My PMP/conf/pmp-ha/mysqld.cnf", None).expect("wirable");
        assert_eq!(
            wired,
            "#!/bin/sh\n# mysqld --no-defaults in a comment\n\
             \"$DB/bin/mysqld\" --defaults-file=\"/opt/My PMP/conf/pmp-ha/mysqld.cnf\" --basedir=\"$DB\" --port=$1 &\nexit 0\n"
        );
        assert!(is_wired(&wired) && !is_wired(SCRIPT));
    }

    #[test]
    fn a_command_may_go_on_in_the_next_lines() {
        let script =
            "mysqld --no-defaults \\\n  --bind-address=127.0.0.1 \\\n  --port=1\necho --bind-address=x\n";
        let wired = wire(script, "/x", None).expect("wirable");
        assert_eq!(wired, "mysqld --defaults-file=\"/x\" \\\n \\\n  --port=1\necho --bind-address=x\n");
    }

    #[test]
    fn the_server_opens_up_however_it_was_closed() {
        for closed in [
            "--bind-address=127.0.0.1",
            "--bind_address=::1",
            "--bind-address 127.0.0.1",
            "--skip-networking",
        ] {
            let script = format!("mysqladmin --no-defaults ping\nmysqld --no-defaults {closed} --port=1\n");
            let wired = wire(&script, "/x", None).expect("wirable");
            assert_eq!(
                wired, "mysqladmin --no-defaults ping\nmysqld --defaults-file=\"/x\" --port=1\n",
                "{closed}"
            );
        }
    }

    fn gate() -> Gate {
        Gate { program: "/opt/pmp-ha".into(), home: "/a b".into() }
    }

    #[test]
    fn the_gate_stands_before_the_command_wherever_that_begins() {
        let line = "[ ! -x \"/opt/pmp-ha\" ] || \"/opt/pmp-ha\" --home \"/a b\" may-start || exit 4 # pmp-ha: is the other node the primary now?\n";
        let wired = wire("cd /x\nmysqld \\\n --no-defaults \\\n --port=1\nexit 0\n", "/c", Some(&gate()));
        let wanted = format!("cd /x\n{line}mysqld \\\n --defaults-file=\"/c\" \\\n --port=1\nexit 0\n");
        assert_eq!(wired, Ok(wanted));
    }

    #[test]
    fn wiring_again_changes_the_file_and_nothing_else() {
        let wired = wire(SCRIPT, "/a b/conf/pmp-ha/mysqld.cnf", Some(&gate())).expect("wirable");
        assert_eq!(wire(&wired, "/c/2.cnf", None), wire(SCRIPT, "/c/2.cnf", None));
        assert_eq!(wire(&wired, "/a b/conf/pmp-ha/mysqld.cnf", Some(&gate())), Ok(wired));
    }

    #[test]
    fn nothing_is_guessed() {
        assert!(wire("mysqld --port=1\n", "/x", None).is_err());
        assert!(wire("mysqld --no-defaults\nmysqld --no-defaults\n", "/x", None).is_err());
        assert!(wire("mysqld --defaults-file=/etc/my.cnf\n", "/x", None).is_err());
        assert!(wire(SCRIPT, "/a$b", None).is_err());
    }
}
