//! Questions to a person at a terminal.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Ui, can_paint, to_stderr};
use crate::adapters::system::TerminalModes;
use crate::failure::{Failure, Kind};

/// Between two looks whether the operator wants to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A question hides the cursor.
const SHOW_CURSOR: &str = "\x1b[?25h";

impl Ui {
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
        let question = question.to_owned();
        if !can_paint() {
            let answer = self.answered(move || typed(&format!("{question} [y/N]")))??.to_lowercase();
            return if ["y", "yes"].contains(&answer.as_str()) { Ok(()) } else { Err(refused().into()) };
        }
        let confirm = || dialoguer::Confirm::new().with_prompt(question).default(false).interact_opt();
        match self.answered(confirm)? {
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
        self.ask_with(question, None, otherwise)
    }

    /// The same, with an answer for those who only press Enter.
    pub fn ask_with(&self, question: &str, default: Option<&str>, otherwise: Failure) -> Result<String> {
        if !self.can_ask() {
            bail!(otherwise);
        }
        if !can_paint() {
            let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
            let question = format!("{question}{shown}:");
            let answer = self.answered(move || typed(&question))??;
            return Ok(if answer.is_empty() { default.unwrap_or_default().to_owned() } else { answer });
        }
        let (question, default) = (question.to_owned(), default.map(ToOwned::to_owned));
        let input = || {
            let input = dialoguer::Input::<String>::new().with_prompt(question);
            default.map_or(input.clone(), |default| input.default(default)).interact_text()
        };
        match self.answered(input)? {
            Ok(text) => Ok(text),
            Err(dialoguer::Error::IO(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                bail!(Failure::interrupted())
            }
            Err(error) => {
                Err(anyhow::Error::from(error).context(Failure::new(Kind::Failed, "cannot read your answer")))
            }
        }
    }

    /// What tells a question that the operator wants to stop.
    #[must_use]
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Asks in a thread of its own, because a signal ends no wait for a key.
    fn answered<T: Send + 'static>(&self, ask: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let modes = TerminalModes::of_the_input();
        let (says, hears) = mpsc::channel();
        // ignored: nobody may hear the answer any more
        std::thread::spawn(move || drop(says.send(ask())));
        loop {
            match hears.recv_timeout(LOOK) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) if !self.stop.load(Ordering::SeqCst) => {}
                Err(_) => break,
            }
        }
        if let Some(modes) = modes {
            modes.restore();
            if can_paint() {
                // ignored: a terminal that is gone needs no cursor
                let _ = write!(std::io::stderr().lock(), "{SHOW_CURSOR}");
            }
        }
        to_stderr("");
        bail!(Failure::interrupted())
    }
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
