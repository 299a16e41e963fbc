//! What is seen of work that takes time: on terminals of several widths, and without one.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::harness::{Bare, Lab, OnTerminal, Ran, assert_same, wait_until};

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
    /// Whether it shows colours.
    colours: bool,
}

impl Screen {
    fn of(columns: u16, bytes: &str) -> Self {
        let (rows, painted, too_wide) = (vec![Vec::new()], Vec::new(), Vec::new());
        Self::read(
            Self { columns: columns.into(), rows, row: 0, column: 0, painted, too_wide, colours: false },
            bytes,
        )
    }

    fn read(mut screen: Self, bytes: &str) -> Self {
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
                let from = if number == "2" { 0 } else { self.column.min(self.rows[self.row].len()) };
                let wiped = self.rows[self.row].drain(from..).collect::<String>();
                if !wiped.trim().is_empty() {
                    assert!(!self.too_wide.contains(&self.row), "{wiped:?} is the rest of a wider line");
                    self.painted.push(wiped);
                }
            }
            'H' => (self.row, self.column) = (0, 0),
            // What stands behind the cursor and below it, or all.
            'J' if number == "2" => self.rows = vec![Vec::new()],
            'J' => self.rows.truncate(self.row + 1),
            'h' | 'l' => {}
            'm' if self.colours => {}
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

/// What the screen of a watcher shows, painted last.
fn last_of(terminal: &OnTerminal, columns: u16) -> Screen {
    let bytes = terminal.screen();
    // A painting that has only begun is none.
    let end = bytes.rfind("\u{1b}[J").map_or(0, |at| at + "\u{1b}[J".len());
    let begin = bytes[..end].rfind("\u{1b}[H").unwrap_or(0);
    let mut screen = Screen::of(columns, "");
    screen.colours = true;
    Screen::read(screen, &bytes[begin..end])
}

#[test]
fn a_watcher_has_a_screen_that_fits_the_window_and_leaves_no_trace() {
    let home = Bare::new();
    for (columns, no_colour) in [(60, "1"), (80, "1"), (120, "")] {
        let mut command = home.command(&["verify", "--watch", "1"]);
        command.env("TERM", "xterm").env("NO_COLOR", no_colour);
        let terminal = OnTerminal::run_in_columns(command, columns);
        wait_until("it is painted", || terminal.screen().contains("\u{1b}[J"));
        let words = ["High Availability Status: Unknown", "Replication Status: Unknown"];
        let shown = last_of(&terminal, columns);
        let text = shown.text();
        assert_eq!(text.lines().take(2).collect::<Vec<_>>(), words, "{text}");
        assert!(text.contains("[no-pair]") && !text.contains("more lines"), "{text}");
        assert_eq!(shown.too_wide, Vec::<usize>::new(), "{text}");
        assert_eq!(terminal.screen().contains("\u{1b}[1;33mUnknown\u{1b}[0m"), no_colour.is_empty());

        // A smaller window: the two words stay, and what has no room is counted.
        let before = terminal.screen().len();
        terminal.resize(40, 4);
        wait_until("it is painted anew at once", || terminal.screen()[before..].contains("more lines"));
        let text = last_of(&terminal, 40).text();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert_eq!(text.lines().take(2).collect::<Vec<_>>(), words, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");

        let signal = if columns == 60 { "INT" } else { "TERM" };
        crate::harness::send_signal(terminal.pid(), signal);
        let bytes = terminal.shown();
        assert_eq!(terminal.exit_code(), Some(0), "{signal}");
        let all = || String::from_utf8_lossy(&bytes.lock().expect("no panic")).into_owned();
        wait_until("the terminal is as it was", || all().ends_with("\u{1b}[?25h\u{1b}[?1049l"));
        let all = all();
        assert!(all.starts_with("\u{1b}[?1049h\u{1b}[?25l"), "{all:?}");
    }
}
