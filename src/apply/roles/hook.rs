//! Runs the administrator's programs around a change of roles.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::adapters::program;
use crate::apply::work::Runner;
use crate::config::Config;
use crate::domain::plan::{HookChange, HookEvent, HookMoment};
use crate::failure::{Failure, Kind};

/// Runs the hook of a step. The one before a change stops it if it fails; the one after it is only reported.
pub async fn run(
    runner: &Runner<'_>,
    moment: HookMoment,
    command: &[String],
    change: &HookChange<'_>,
) -> Result<()> {
    let hooks = &runner.config.hooks;
    let (event, configured, key) = match moment {
        HookMoment::Before => (HookEvent::Before, &hooks.before, "hooks.before"),
        HookMoment::After => (HookEvent::After, &hooks.after, "hooks.after"),
    };
    let ran = if command == configured.as_slice() {
        let _spinner = runner.ui.spinner("your hook is running");
        let runs = Box::pin(tell(runner.config, configured, event, change));
        match moment {
            HookMoment::Before => runner.interrupt.or(runs).await,
            HookMoment::After => runs.await,
        }
    } else {
        // The plan may come back from a journal. What is run is what the configuration says.
        Err(anyhow!("the program in the plan is not that of {key}"))
    };
    match (ran, moment) {
        (Ok(()), _) => Ok(()),
        (Err(error), HookMoment::After) => {
            runner.ui.warn(format!("the role has changed, but the hook {key} failed: {error:#}"));
            Ok(())
        }
        (Err(error), HookMoment::Before) => match error.downcast::<Failure>() {
            Ok(interrupted) => bail!(interrupted),
            Err(error) => bail!(
                Failure::new(Kind::Refused, format!("the hook {key} refused this change"))
                    .because(format!("{error:#}"))
                    .hint("Correct what it reports, or the hook in conf/pmp-ha.toml. Then try again.")
                    .code("hook-refused")
            ),
        },
    }
}

/// Runs the hook for a change that was put back, if the hook for its beginning ran.
pub async fn put_back(runner: &Runner<'_>, change: &HookChange<'_>) {
    let after = &runner.config.hooks.after;
    if after.is_empty() {
        return;
    }
    let _spinner = runner.ui.spinner("your hook is running");
    if let Err(error) = tell(runner.config, after, HookEvent::PutBack, change).await {
        runner.ui.warn(format!("everything was put back, but the hook hooks.after failed: {error:#}"));
    }
}

/// Runs a hook, and gives it the event.
pub async fn tell(
    config: &Config,
    command: &[String],
    event: HookEvent,
    change: &HookChange<'_>,
) -> Result<()> {
    let role = match event {
        HookEvent::PutBack => Some(change.from),
        HookEvent::Before | HookEvent::After => change.to,
    };
    let role = role.map(|role| role.to_string()).unwrap_or_default();
    let environment = [("PMP_HA_EVENT", event.name()), ("PMP_HA_ROLE", role.as_str())];
    let text = format!("{:#}\n", change.json(event));
    program::run_within(Duration::from_secs(config.hooks.deadline), command, &environment, &text).await
}
