//! The only door for output: data to stdout, talk to stderr, questions to a terminal only.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::Global;
use crate::domain::nagios;
use crate::failure::{Failure, Kind};

/// How a run talks.
#[derive(Debug, Clone)]
pub struct Ui {
    json: bool,
    nagios: bool,
    quiet: bool,
    verbose: bool,
    yes: bool,
    terminal: bool,
}

impl Ui {
    /// Talks as the global options want it, or to a monitoring system, which hears stdout only.
    #[must_use]
    pub fn new(options: &Global, nagios: bool) -> Self {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let Global { json, quiet, verbose, yes, .. } = *options;
        Self { json: json && !nagios, nagios, quiet, verbose, yes, terminal }
    }

    /// Writes the result of a command: for people, or as JSON. A closed pipe is not an error.
    pub fn data(&self, value: &(impl Display + Serialize)) -> Result<()> {
        let text =
            if self.json { format!("{}\n", serde_json::to_string_pretty(value)?) } else { value.to_string() };
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        self.text(&format!("{text}{newline}")).map(|_| ())
    }

    /// Writes text to stdout as it is. Returns whether anybody reads it.
    pub fn text(&self, text: &str) -> Result<bool> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
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
    #[must_use]
    pub fn can_repaint(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// Paints the screen anew: over what is there, so that it does not flicker, and clears the rest.
    pub fn repaint(&self, text: &str) -> Result<bool> {
        const HOME: &str = "\x1b[H";
        const CLEAR_LINE: &str = "\x1b[K";
        const CLEAR_BELOW: &str = "\x1b[J";
        let lines: Vec<String> = text.lines().map(|line| format!("{line}{CLEAR_LINE}\n")).collect();
        self.text(&format!("{HOME}{}{CLEAR_BELOW}", lines.concat()))
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
            to_stderr(&text.to_string());
        }
    }

    /// Says something that only -v wants to know.
    pub fn detail(&self, text: impl Display) {
        if self.verbose && !self.quiet {
            to_stderr(&text.to_string());
        }
    }

    /// Says what the operator should know although the command goes on.
    pub fn warn(&self, text: impl Display) {
        to_stderr(&format!("warning: {text}"));
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
        to_stderr(&format!("error: {failure}"));
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
        match dialoguer::Confirm::new().with_prompt(question).default(false).interact_opt() {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false) | None) => {
                bail!(Failure::interrupted().because("you did not confirm; nothing was changed"))
            }
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

    /// A bar for work of `bytes` bytes.
    #[must_use]
    pub fn progress(&self, label: &str, bytes: u64) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(bytes), self.target());
        let style = ProgressStyle::with_template(
            "{msg:14} [{bar:32}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
        );
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(label.to_owned());
        Progress { bar: Some(bar) }
    }

    /// A spinner for work of unknown length.
    #[must_use]
    pub fn spinner(&self, label: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, self.target());
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Progress { bar: Some(bar) }
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.quiet || self.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
    }
}

fn to_stderr(text: &str) {
    // ignored: a closed stderr leaves nowhere to say so
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A progress bar that can be handed to another thread, or none at all.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { bar: None }
    }

    /// Goes on by `bytes`.
    pub fn add(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
