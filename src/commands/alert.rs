//! `pmp-ha alert`

use std::fmt;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::alert::{self, AlarmChannel};
use crate::adapters::clock;
use crate::adapters::home::Home;
use crate::adapters::system;
use crate::cli::{AlertCommand, AlertTestArgs};
use crate::domain::alarm::AlarmEvent;
use crate::domain::alarm::event::RESTART;
use crate::domain::report::PairNode;
use crate::failure::{Failure, Kind};

pub async fn run(context: &Context<'_>, command: AlertCommand) -> Result<()> {
    match command {
        AlertCommand::Test(args) => test(context, args).await,
    }
}

/// What happened to each message.
#[derive(Serialize)]
struct SentMessages {
    channels: Vec<Tried>,
}

#[derive(Serialize)]
struct Tried {
    channel: String,
    sent: bool,
    seconds: f64,
    what: String,
}

impl fmt::Display for SentMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Tried { channel, sent, seconds, what } in &self.channels {
            let word = if *sent { "sent" } else { "FAILED" };
            writeln!(f, "{channel}: {word} in {seconds:.1} s: {what}")?;
        }
        Ok(())
    }
}

async fn test(context: &Context<'_>, args: AlertTestArgs) -> Result<()> {
    let home = context.home()?;
    let (config, source) = context.config_with_source(&home)?;
    let folder = home.alarms();
    let mut channels = alert::open(&config.alarm, &source, &folder)?;
    let known: Vec<String> = channels.iter().map(|channel| channel.name.clone()).collect();
    if let Some(unknown) = args.channels.iter().find(|name| !known.contains(name)) {
        bail!(
            Failure::new(Kind::Usage, format!("there is no channel {unknown}"))
                .because(format!("{} has {}", source.path.display(), listed(&known)))
                .hint("`pmp-ha config show` shows every channel.")
        );
    }
    channels.retain(|channel| args.channels.is_empty() || args.channels.contains(&channel.name));
    if channels.is_empty() {
        bail!(
            Failure::new(Kind::Refused, "no alarm channel is configured")
                .code("no-channel")
                .because(format!("{} has none", source.path.display()))
                .hint("docs/alarms.md and templates/pmp-ha.toml show how to set up each channel.")
        );
    }
    if context.global.dry_run {
        let names: Vec<String> = channels.iter().map(|channel| channel.name.clone()).collect();
        return context.ui.would(&format!("send a test through {}", listed(&names)));
    }
    system::private_dir(&folder)?;
    let event = event_of(&home)?;
    let mut tasks = tokio::task::JoinSet::new();
    for (number, channel) in channels.into_iter().enumerate() {
        let event = event.clone();
        tasks.spawn(async move { (number, tried(&channel, &event).await) });
    }
    let mut tried = context.interrupt.or(async { Ok(tasks.join_all().await) }).await?;
    tried.sort_by_key(|(number, _)| *number);
    let outcome = SentMessages { channels: tried.into_iter().map(|(_, tried)| tried).collect() };
    context.ui.data(&outcome)?;
    let failed: Vec<String> =
        outcome.channels.iter().filter(|tried| !tried.sent).map(|tried| tried.channel.clone()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        Failure::new(Kind::Failed, format!("{} of {} channels failed", failed.len(), outcome.channels.len()))
            .because(format!("nothing was sent through {}", listed(&failed)))
            .hint(format!(
                "Correct the configuration, the secret or the receiver, then try again. {RESTART}"
            ))
    )
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "no channel".into() } else { names.join(", ") }
}

fn event_of(home: &Home) -> Result<AlarmEvent> {
    let membership = home.membership()?;
    let (node, peer) = membership.as_ref().map(PairNode::of).map(|[node, peer]| (node, peer)).unzip();
    Ok(AlarmEvent::test(clock::seconds(), node, peer))
}

async fn tried(channel: &AlarmChannel, event: &AlarmEvent) -> Tried {
    let begun = Instant::now();
    let sent = channel.send(event).await;
    Tried {
        channel: channel.name.clone(),
        sent: sent.is_ok(),
        seconds: begun.elapsed().as_secs_f64(),
        what: sent.unwrap_or_else(|error| format!("{error:#}")),
    }
}
