//! A program of the administrator's, which gets the event on standard input.

use anyhow::Result;

use crate::adapters::program;
use crate::config::channel::CommandConfig;
use crate::domain::alarm::AlarmEvent;

/// The program with its arguments.
pub struct Program(Vec<String>);

impl Program {
    pub fn of(config: &CommandConfig) -> Self {
        Self(config.command.clone())
    }

    /// Runs it. Whoever stops waiting kills it.
    pub async fn run(&self, event: &AlarmEvent) -> Result<String> {
        let text = format!("{:#}\n", event.json());
        program::run(&self.0, &[("PMP_HA_EVENT", &event.name())], &text).await?;
        let program = self.0.first().map_or("it", String::as_str);
        Ok(format!("{program} ended with success"))
    }
}
