//! What is seen of work that takes time: on terminals of several widths, and without one.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::cli::OnTerminal;
use crate::harness::{Lab, Ran, assert_same, wait_until};

const ANY: &str = "mariadb-11.8";

/// A terminal, as much of one as is needed to read what stands on it, and what stood there before.
struct Screen {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// The lines that were painted and wiped out again, in their order, and where they stood.
    painted: Vec<String>,
    /// The rows on which a line goes on that was too wide for the one above.
    too_wide: Vec<usize>,
}

impl Screen {
    fn of(columns: u16, bytes: &str) -> Self {
        let (rows, painted, too_wide) = (vec![Vec::new()], Vec::new(), Vec::new());
        let mut screen = Self { columns: columns.into(), rows, row: 0, column: 0, painted, too_wide };
        let mut rest = bytes.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.down(1),
                '\u{1b}' => screen.obey(&mut rest),
                c => screen.write(c),
            }
        }
        screen
    }

    fn down(&mut self, by: usize) {
        self.row += by;
        self.rows.resize(self.rows.len().max(self.row + 1), Vec::new());
    }

    fn write(&mut self, c: char) {
        if self.column == self.columns {
            self.down(1);
            self.column = 0;
            self.too_wide.push(self.row);
        }
        let line = &mut self.rows[self.row];
        line.resize(line.len().max(self.column + 1), ' ');
        line[self.column] = c;
        self.column += 1;
    }

    fn obey(&mut self, rest: &mut std::str::Chars<'_>) {
        assert_eq!(rest.next(), Some('['), "a sequence that this terminal does not know");
        let mut number = String::new();
        let order = loop {
            match rest.next().expect("a whole sequence") {
                c if c.is_ascii_digit() || "?;".contains(c) => number.push(c),
                c => break c,
            }
        };
        let by = number.parse().unwrap_or(1);
        match order {
            'A' => self.row = self.row.checked_sub(by).expect("a row above"),
            'B' => self.down(by),
            'K' => {
                let wiped = self.rows[self.row].drain(..).collect::<String>();
                if !wiped.trim().is_empty() {
                    assert!(!self.too_wide.contains(&self.row), "{wiped:?} is the rest of a wider line");
                    self.painted.push(wiped);
                }
            }
            'J' => self.rows.truncate(self.row + 1),
            'h' | 'l' => {}
            'm' => panic!("a colour"),
            other => panic!("a sequence that this terminal does not know: {number}{other}"),
        }
    }

    /// What stands on it.
    fn text(&self) -> String {
        let lines: Vec<String> = self.rows.iter().map(|row| row.iter().collect()).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// The first painted line that has all of these.
    #[track_caller]
    fn has_painted(&self, parts: &[&str]) -> &str {
        let found = self.painted.iter().find(|line| parts.iter().all(|part| line.contains(part)));
        found.unwrap_or_else(|| panic!("no painted line with {parts:?} in {:#?}", self.painted))
    }
}

/// Runs a command on a terminal to its end.
fn seen(mut command: Command, columns: u16, kind: &str) -> (Option<i32>, String) {
    command.env("TERM", kind).env("NO_COLOR", "1");
    let terminal = OnTerminal::run_in_columns(command, columns);
    let screen = terminal.shown();
    let code = terminal.exit_code();
    let text = || String::from_utf8_lossy(&screen.lock().expect("no panic")).into_owned();
    // What was written last may still be on its way.
    wait_until("its last line is on the screen", || text().ends_with('\n'));
    (code, text())
}

#[test]
fn a_bar_and_a_wait_fit_the_terminal_and_say_how_far_they_are() {
    let lab = Lab::up(ANY);
    let (primary, secondary) = (&lab.primary, &lab.secondary);
    for columns in [60, 80, 120] {
        let shown = |command: Command, waits: &[&str], bars: &[&str]| {
            let (code, bytes) = seen(command, columns, "xterm");
            assert_eq!(code, Some(0), "{bytes}");
            let screen = Screen::of(columns, &bytes);
            for words in waits {
                let line = screen.has_painted(&[" s  ", words]);
                assert!(line.trim_start_matches(['|', '/', '-', '\\', ' ']).starts_with("0 s  "), "{line:?}");
            }
            for word in bars {
                let line = screen.has_painted(&[word, " [", "] ", "% of "]);
                assert!(line.chars().count() > usize::from(columns) * 3 / 4, "{line:?} leaves room unused");
            }
            for line in &screen.painted {
                assert!(!line.contains("0/0") && line.chars().any(char::is_alphabetic), "{line:?}");
                // A wait has no bar.
                assert_eq!(line.contains('['), line.contains("% of "), "{line:?}");
            }
            let left = screen.text();
            assert!(!left.contains("% of ") && !left.contains(" s  the database"), "{left}");
        };
        let names = ["-y", "pack", &primary.endpoint, &secondary.endpoint];
        shown(primary.command(&names), &["the database is booted without a network"], &["packing"]);
        lab.carry();
        shown(secondary.command(&["-y", "install-pack"]), &["the database is booted"], &["extracting"]);
        shown(secondary.command(&["start"]), &["the database is starting"], &[]);
        let frozen = secondary.freeze();
        let mut stop = secondary.command(&["stop"]);
        stop.env("TERM", "xterm");
        let terminal = OnTerminal::run_in_columns(stop, columns);
        wait_until("the seconds are counted", || {
            Screen::of(columns, &terminal.screen())
                .painted
                .iter()
                .any(|line| line.contains(" 2 s  the database is stopping"))
        });
        drop(frozen);
        assert_eq!(terminal.exit_code(), Some(0));
    }
}

#[test]
fn without_a_terminal_a_wait_says_every_ten_seconds_that_it_lasts_and_with_q_nothing() {
    let lab = Lab::up(ANY);
    let into_a_file = |mut command: Command, name: &str| {
        let path = lab.dir().join(name);
        let file = File::create(&path).expect("made");
        let child = command.stdout(Stdio::piped()).stderr(file).spawn().expect("it runs");
        (child, path)
    };
    // One of the two says nothing at all: it is looked at when the other one has said its line.
    lab.start();
    let frozen = (lab.primary.freeze(), lab.secondary.freeze());
    let (told, told_in) = into_a_file(lab.primary.command(&["--json", "stop"]), "told");
    let (quiet, quiet_in) = into_a_file(lab.secondary.command(&["-q", "stop"]), "quiet");
    let read = |path| std::fs::read_to_string(path).expect("readable");
    wait_until("ten seconds have passed", || read(&told_in).contains('\n'));
    drop(frozen);
    let (told, quiet) = (told.wait_with_output().expect("ended"), quiet.wait_with_output().expect("ended"));
    assert!(told.status.success() && quiet.status.success(), "{told:?} {quiet:?}");
    assert_eq!(read(&told_in), "  the database is stopping: 10 s so far\n");
    assert_eq!(read(&quiet_in), "");
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).expect("nothing but JSON");
    assert_eq!(json["running"], false);
}

#[test]
fn a_terminal_that_cannot_paint_is_asked_in_plain_characters() {
    let lab = Lab::up(ANY);
    let before = lab.primary.fingerprint();
    let names = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
    for (answer, code) in [("n\n", 130), ("\n", 130), ("y\n", 0)] {
        let mut command = lab.primary.command(&names);
        command.env("TERM", "dumb");
        let mut terminal = OnTerminal::run_in_columns(command, 60);
        terminal.answer("Do this? [y/N] ", answer);
        let screen = terminal.shown();
        assert_eq!(terminal.exit_code(), Some(code), "{answer:?}");
        let screen = String::from_utf8_lossy(&screen.lock().expect("no panic")).into_owned();
        assert!(!screen.contains('\u{1b}'), "{screen}");
        if code != 0 {
            assert_same(&before, &lab.primary.fingerprint(), &screen);
        }
    }
}

#[test]
fn a_terminal_that_cannot_paint_gets_plain_lines_and_one_that_shows_json_no_bar() {
    let lab = Lab::up(ANY);
    let pack = |options: &[&str]| {
        let names = ["pack", &lab.primary.endpoint, &lab.secondary.endpoint];
        lab.primary.command(&[options, &names].concat())
    };
    for (options, kind) in
        [(&["-y"][..], "dumb"), (&["-y"], ""), (&["--json"], "xterm"), (&["-y", "-q"], "xterm")]
    {
        let (code, bytes) = seen(pack(options), 60, kind);
        let ran = Ran::of_parts(format!("{options:?} on {kind:?}"), code, bytes.clone(), String::new()).ok();
        assert!(!bytes.contains('\u{1b}') && !bytes.contains("% of "), "{ran}");
    }
}
