//! The hook of transitions: a program that is run when a status has turned.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::adapters::program;
use crate::config::hooks::HooksConfig;
use crate::domain::report::Report;

/// So many transitions wait for the hook at most.
const WAITING: usize = 32;

/// Runs the hook for one transition after the other. The watch does not wait for it.
pub struct TransitionHook {
    due: mpsc::Sender<String>,
    failures: mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
}

impl TransitionHook {
    /// Makes it ready; nothing if none is configured.
    #[must_use]
    pub fn open(config: &HooksConfig) -> Option<Self> {
        let command = config.transition.clone();
        if command.is_empty() {
            return None;
        }
        let deadline = Duration::from_secs(config.deadline);
        let (due, mut comes) = mpsc::channel::<String>(WAITING);
        let (tell, failures) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(text) = comes.recv().await {
                let environment = [("PMP_HA_EVENT", "transition")];
                if let Err(error) = program::run_within(deadline, &command, &environment, &text).await {
                    // ignored: nobody listens any more
                    let _ = tell.send(format!("the hook hooks.transition failed: {error:#}"));
                }
            }
        });
        Some(Self { due, failures, task })
    }

    /// Runs it, if something has changed in this report.
    #[must_use]
    pub fn see(&self, report: &Report) -> Option<String> {
        if !report.has_changed() {
            return None;
        }
        let text = serde_json::to_string(report).unwrap_or_default();
        let sent = self.due.try_send(format!("{text}\n"));
        sent.is_err().then(|| format!("{WAITING} transitions wait for hooks.transition: one is skipped"))
    }

    /// What the operator should know.
    pub fn warnings(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.failures.try_recv().ok()).collect()
    }

    /// Waits for what is under way, for a moment.
    pub async fn end(mut self, patience: Duration) -> Vec<String> {
        drop(std::mem::replace(&mut self.due, mpsc::channel(1).0));
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
        }
        self.warnings()
    }
}
