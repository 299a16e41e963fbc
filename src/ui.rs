//! The only door for output: data to stdout, talk to stderr, questions to a terminal only.

mod progress;
mod screen;

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::cli::Global;
use crate::domain::nagios;
use crate::domain::words::printable;
use crate::failure::{Failure, Kind};

pub use self::progress::Progress;
use self::progress::Shows;
pub use self::screen::Screen;

/// How a run talks.
#[derive(Debug, Clone)]
pub struct Ui {
    json: bool,
    nagios: bool,
    quiet: bool,
    verbose: bool,
    yes: bool,
    terminal: bool,
    work: Shows,
}

impl Ui {
    /// Talks as the global options want it, or to a monitoring system, which hears stdout only.
    #[must_use]
    pub fn new(options: &Global, nagios: bool) -> Self {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let Global { json, quiet, verbose, yes, .. } = *options;
        let work = match (quiet || nagios, std::io::stderr().is_terminal() && can_paint()) {
            (true, _) => Shows::Nothing,
            (false, true) if !json => Shows::painted(),
            (false, _) => Shows::Lines,
        };
        Self { json: json && !nagios, nagios, quiet, verbose, yes, terminal, work }
    }

    /// Writes the result of a command: for people, or as JSON. A closed pipe is not an error.
    pub fn data(&self, value: &(impl Display + Serialize)) -> Result<()> {
        let text =
            if self.json { format!("{}\n", serde_json::to_string_pretty(value)?) } else { value.to_string() };
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.text(&format!("{text}{newline}")).map(|_| ())
    }

    /// Writes text to stdout. Returns whether anybody reads it.
    pub fn text(&self, text: &str) -> Result<bool> {
        // A server's words, a file's name: whatever is quoted, it is not for the terminal to execute.
        if self.json { self.paint(text) } else { self.paint(&printable(text)) }
    }

    /// Writes text to stdout as it is.
    fn paint(&self, text: &str) -> Result<bool> {
        let written = self.work.aside(|| {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        });
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a value as JSON in one line, one of many. Returns whether anybody reads it.
    pub fn line(&self, value: &impl Serialize) -> Result<bool> {
        self.text(&format!("{}\n", serde_json::to_string(value)?))
    }

    /// Whether stdout is a screen that can be painted anew.
    fn can_repaint(&self) -> bool {
        !self.json && std::io::stdout().is_terminal() && can_paint()
    }

    /// Gives the two statuses of a line their colours. The words say the same without them.
    fn coloured(&self, line: &str) -> String {
        const COLOURS: [(&str, &str); 3] =
            [("Alive", "\x1b[1;32m"), ("Failed", "\x1b[1;31m"), ("Unknown", "\x1b[1;33m")];
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if wants_none || !line.contains(" Status: ") {
            return line.to_owned();
        }
        let paint = |text: String, (word, colour): (&str, &str)| {
            text.replace(word, &format!("{colour}{word}\x1b[0m"))
        };
        COLOURS.into_iter().fold(line.to_owned(), paint)
    }

    /// Says what was done: a sentence for people on stderr, the same as JSON on stdout.
    pub fn done(&self, value: &(impl Display + Serialize)) -> Result<()> {
        if self.json {
            return self.data(value);
        }
        self.say(value);
        Ok(())
    }

    /// Says a sentence about what happens.
    pub fn say(&self, text: impl Display) {
        if !self.quiet {
            self.to_stderr(&text.to_string());
        }
    }

    /// Says something that only -v wants to know.
    pub fn detail(&self, text: impl Display) {
        if self.verbose && !self.quiet {
            self.to_stderr(&text.to_string());
        }
    }

    /// Says what the operator should know although the command goes on.
    pub fn warn(&self, text: impl Display) {
        self.to_stderr(&format!("warning: {text}"));
    }

    /// Says how a command failed, also in JSON on stdout if that is wanted.
    pub fn failure(&self, failure: &Failure) {
        if self.nagios {
            let line = nagios::no_verdict(&failure.what, &failure.because, failure.hint.as_deref());
            // ignored: the exit code says it as well
            let _ = self.text(&line);
            return;
        }
        if self.json {
            let value = serde_json::json!({
                "error": { "what": failure.what, "because": failure.because, "hint": failure.hint }
            });
            // ignored: there is nowhere left to report it
            let _ = writeln!(std::io::stdout().lock(), "{value:#}");
        }
        self.to_stderr(&format!("error: {failure}"));
    }

    /// Whether a question can be asked.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.terminal && !self.yes && !self.quiet && !self.json
    }

    /// Asks for agreement, on a terminal only. Elsewhere giving the command was the agreement:
    /// each of them can be undone.
    pub fn confirm(&self, question: &str) -> Result<()> {
        if !self.can_ask() {
            return Ok(());
        }
        let refused = || Failure::interrupted().because("it was not confirmed; nothing was changed");
        if !can_paint() {
            let answer = typed(&format!("{question} [y/N]"))?.to_lowercase();
            return if ["y", "yes"].contains(&answer.as_str()) { Ok(()) } else { Err(refused().into()) };
        }
        match dialoguer::Confirm::new().with_prompt(question).default(false).interact_opt() {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false) | None) => bail!(refused()),
            Err(dialoguer::Error::IO(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                bail!(Failure::interrupted())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for a text, on a terminal only; elsewhere `otherwise` is the failure.
    pub fn ask(&self, question: &str, otherwise: Failure) -> Result<String> {
        if !self.can_ask() {
            bail!(otherwise);
        }
        if !can_paint() {
            return typed(&format!("{question}:"));
        }
        match dialoguer::Input::<String>::new().with_prompt(question).interact_text() {
            Ok(text) => Ok(text),
            Err(dialoguer::Error::IO(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                bail!(Failure::interrupted())
            }
            Err(error) => {
                Err(anyhow::Error::from(error).context(Failure::new(Kind::Failed, "cannot read your answer")))
            }
        }
    }

    /// A bar for work of `bytes` bytes. Its one word stands in front.
    #[must_use]
    pub fn progress(&self, word: &str, bytes: u64) -> Progress {
        self.work.work(word, Some(bytes))
    }

    /// A wait of unknown length: its words, and the seconds so far.
    #[must_use]
    pub fn spinner(&self, words: &str) -> Progress {
        self.work.work(words, None)
    }

    fn to_stderr(&self, text: &str) {
        self.work.aside(|| to_stderr(text));
    }
}

/// Whether a terminal does more than write on. `NO_COLOR` is no matter: it is about colours only.
fn can_paint() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// The columns and rows of the window that shows stdout.
fn window() -> (usize, usize) {
    terminal_size::terminal_size_of(std::io::stdout())
        .map_or((80, 24), |(columns, rows)| (usize::from(columns.0), usize::from(rows.0)))
}

/// Asks in plain characters and reads a line. The end of the input is an empty one.
fn typed(question: &str) -> Result<String> {
    {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{question} ")?;
        stderr.flush()?;
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn to_stderr(text: &str) {
    let text = printable(text);
    // ignored: a closed stderr leaves nowhere to say so
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
