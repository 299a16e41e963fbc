//! The only door for output: data to stdout, talk to stderr, questions to a terminal only.

mod ask;
mod dress;
mod log;
mod progress;
pub mod screen;

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Global;
use crate::domain::hints::with_home;
use crate::domain::nagios;
use crate::domain::words::printable;
use crate::failure::Failure;

use self::dress::{Dress, Wishes};
use self::log::Log;
pub use self::progress::Progress;
use self::progress::Shows;

/// The number of the schema of every JSON that has no number of its own.
const SCHEMA: u32 = 1;

/// A value with the number of its schema.
#[derive(Serialize)]
struct Numbered<'a, T> {
    schema: u32,
    #[serde(flatten)]
    value: &'a T,
}

/// What a dry run would do, where there is no plan.
#[derive(Serialize)]
struct Would<'a> {
    schema: u32,
    dry_run: bool,
    #[serde(rename = "would")]
    act: &'a str,
}

/// How a run talks.
#[derive(Debug, Clone)]
pub struct Ui {
    json: bool,
    nagios: bool,
    quiet: bool,
    verbose: u8,
    yes: bool,
    terminal: bool,
    /// Whether the operator wants to stop, who is asked something.
    stop: Arc<AtomicBool>,
    /// Whether it is a part of another command, which alone has stdout.
    inner: bool,
    work: Shows,
    out: Dress,
    err: Dress,
    log: Log,
    /// The home that the command line names: commands in hints name it, too.
    home: Option<String>,
    begun: Instant,
    /// Whether stdout has its JSON: it holds one object.
    told: Arc<AtomicBool>,
}

impl Ui {
    /// Prints as the global options require, or for a monitoring system, which reads only stdout.
    #[must_use]
    pub fn new(options: &Global, nagios: bool) -> Self {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let Global { json, quiet, verbose, yes, color, utc, .. } = *options;
        let wishes = Wishes::of_this_process();
        let dress = |is_terminal: bool| Dress {
            colours: !nagios && wishes.want_colours(color, is_terminal && can_paint()),
            // Whoever reads lines for machines reads one kind of time.
            utc: utc || nagios,
        };
        let work = match (quiet || nagios, std::io::stderr().is_terminal() && can_paint()) {
            (true, _) => Shows::Nothing,
            (false, true) if !json => Shows::painted(),
            (false, _) => Shows::Lines,
        };
        Self {
            json: json && !nagios,
            nagios,
            quiet,
            verbose,
            yes,
            terminal,
            stop: Arc::default(),
            inner: false,
            work,
            out: dress(std::io::stdout().is_terminal()),
            err: dress(std::io::stderr().is_terminal()),
            log: Log::default(),
            home: named_home(options),
            begun: Instant::now(),
            told: Arc::default(),
        }
    }

    /// How a command prints if another one runs it: its result is a message, and it may ask.
    #[must_use]
    pub fn inside(&self) -> Self {
        Self { json: false, yes: !self.can_ask(), inner: true, told: Arc::default(), ..self.clone() }
    }

    /// Begins a log, with the command line as its first line. Its file comes with the home.
    pub fn begin_log(&self, line: &str) {
        self.log.begin();
        self.log.add(line);
    }

    /// Whether a log waits for its file.
    #[must_use]
    pub fn wants_log(&self) -> bool {
        self.log.waits()
    }

    /// Writes the log there.
    pub fn keep_log(&self, sink: Box<dyn Write + Send>) {
        self.log.open(sink);
    }

    /// Writes how the command ended into the log.
    pub fn end_log(&self, code: u8) {
        self.log.add(&format!("end: exit code {code} after {:.1} s", self.begun.elapsed().as_secs_f64()));
    }

    /// Writes the result of a command: for people, or as JSON. A closed pipe is not an error.
    pub fn data(&self, value: &(impl Display + Serialize)) -> Result<()> {
        if self.inner {
            self.say_as_a_part(value);
            return Ok(());
        }
        self.told.store(true, Ordering::Relaxed);
        let text =
            if self.json { format!("{}\n", numbered(value)?) } else { self.to_be_typed(&value.to_string()) };
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.text(&format!("{text}{newline}")).map(|_| ())
    }

    /// A text whose commands work as they stand.
    fn to_be_typed(&self, text: &str) -> String {
        self.home.as_ref().map_or_else(|| text.to_owned(), |home| with_home(text, home))
    }

    /// Writes text to stdout. Returns whether anybody reads it.
    pub fn text(&self, text: &str) -> Result<bool> {
        // A server's words, a file's name: whatever is quoted, it is not for the terminal to execute.
        if self.json { self.paint(text) } else { self.paint(&self.out.on(&printable(text), out_width())) }
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

    /// Makes a text fit a window of so many columns, with no colours yet: they have no width.
    fn wrapped(&self, text: &str, columns: usize) -> String {
        Dress { colours: false, ..self.out }.on(&printable(text), Some(columns))
    }

    /// Gives a line its colours. The words say the same without them.
    fn coloured(&self, line: &str) -> String {
        Dress { utc: true, ..self.out }.on(line, None)
    }

    /// Prints what was done: a sentence for people on stderr, or JSON on stdout.
    pub fn done(&self, value: &(impl Display + Serialize)) -> Result<()> {
        if self.json {
            return self.data(value);
        }
        if self.inner {
            self.say_as_a_part(value);
        } else {
            self.say(value);
        }
        Ok(())
    }

    /// Says the result of a part of another command, which alone knows what comes next.
    fn say_as_a_part(&self, value: &impl Display) {
        let text = format!("\n{value}");
        let own = text.split("\nnext: ").next().unwrap_or_default();
        self.say(own.trim());
    }

    /// Prints what a dry run without a plan would do: `would …` for people, or JSON.
    pub fn would(&self, act: &str) -> Result<()> {
        if self.json {
            let value = Would { schema: SCHEMA, dry_run: true, act };
            return self.paint(&format!("{}\n", serde_json::to_string_pretty(&value)?)).map(|_| ());
        }
        self.say(format!("would {act}"));
        Ok(())
    }

    /// Prints a sentence about what happens.
    pub fn say(&self, text: impl Display) {
        let text = text.to_string();
        self.log.add(&text);
        if !self.quiet {
            self.to_stderr(&text);
        }
    }

    /// Whether what only -v wants to know is shown.
    #[must_use]
    pub fn tells_details(&self) -> bool {
        self.verbose > 0 && !self.quiet
    }

    /// Prints details for -v and the log.
    pub fn detail(&self, text: impl Display) {
        let text = text.to_string();
        self.log.add(&text);
        if self.tells_details() {
            self.to_stderr(&text);
        }
    }

    /// Prints a warning. The command continues.
    pub fn warn(&self, text: impl Display) {
        let text = format!("warning: {text}");
        self.log.add(&text);
        self.to_stderr(&text);
    }

    /// Prints how a command failed, with JSON on stdout if that is wanted.
    pub fn failure(&self, failure: &Failure) {
        let failure = &failure.in_plain_words();
        if self.nagios {
            let line = nagios::no_verdict(&failure.what, &failure.because, failure.hint.as_deref());
            // ignored: the exit code says it as well
            let _ = self.text(&line);
            return;
        }
        if self.json && !self.told.load(Ordering::Relaxed) {
            let value = serde_json::json!({
                "schema": SCHEMA,
                "error": {
                    "code": failure.first_code(),
                    "codes": failure.codes,
                    "exit_code": failure.kind.code(),
                    "what": failure.what,
                    "because": failure.because,
                    "hint": failure.hint,
                }
            });
            // ignored: there is nowhere left to report it
            let _ = writeln!(std::io::stdout().lock(), "{value:#}");
        }
        let text = format!("error: {failure}");
        self.log.add(&text);
        self.to_stderr(&text);
    }

    /// A bar for work of `bytes` bytes. Its one word stands in front.
    #[must_use]
    pub fn progress(&self, word: &str, bytes: u64) -> Progress {
        self.work.work(word, Some(bytes), to_stderr)
    }

    /// A wait of unknown length: its words, and the seconds so far.
    #[must_use]
    pub fn spinner(&self, words: &str) -> Progress {
        self.work.work(words, None, to_stderr)
    }

    fn to_stderr(&self, text: &str) {
        // ignored: a closed stderr leaves nowhere to say so
        let _ = self.work.aside(|| {
            let text = self.err.on(&printable(&self.to_be_typed(text)), err_width());
            let time = if self.verbose > 1 {
                format!("{:>7.1} s  ", self.begun.elapsed().as_secs_f64())
            } else {
                String::new()
            };
            writeln!(std::io::stderr().lock(), "{time}{text}")
        });
    }
}

/// The JSON of a value, with the number of a schema in front if it has none.
fn numbered(value: &impl Serialize) -> Result<String> {
    let has_one = serde_json::to_value(value)?.get("schema").is_some();
    Ok(if has_one {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string_pretty(&Numbered { schema: SCHEMA, value })?
    })
}

/// The home that the command line names. One that the environment names is named for the next command, too.
fn named_home(options: &Global) -> Option<String> {
    let by_environment = std::env::var_os("PMP_HOME");
    let named = options.home.as_ref().filter(|home| !home.as_os_str().is_empty())?;
    let is_named_here = by_environment.is_none_or(|path| path.as_os_str() != named.as_os_str());
    is_named_here.then(|| named.display().to_string())
}

/// The width of the window that shows stdout.
fn out_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0.into())
}

/// The width of the window that shows stderr.
fn err_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| width.0.into())
}

/// Whether a terminal does more than write on.
fn can_paint() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// The columns and rows of the window that shows stdout.
fn window() -> (usize, usize) {
    terminal_size::terminal_size_of(std::io::stdout())
        .map_or((80, 24), |(columns, rows)| (usize::from(columns.0), usize::from(rows.0)))
}

fn to_stderr(text: &str) {
    let text = printable(text);
    // ignored: a closed stderr leaves nowhere to say so
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
