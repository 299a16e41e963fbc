//! `pmp-ha switchover`

use std::fmt;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde::Serialize;

use super::Context;
use super::rotate::refuse_while_secrets_change;
use crate::adapters::home::Home;
use crate::adapters::look::other_node::{self, Watched};
use crate::adapters::look::rows::open_here;
use crate::adapters::program::Elsewhere;
use crate::adapters::server::process::Database;
use crate::adapters::{look, random};
use crate::apply::{Cost, OtherPart, Runner};
use crate::cli::SwitchoverArgs;
use crate::config::Config;
use crate::domain::flavor::Flavor;
use crate::domain::judge::{judge, no_pair};
use crate::domain::pair::Role;
use crate::domain::plan::Command;
use crate::domain::procedures::switchover::{SwitchoverScene, plan};
use crate::failure::{Failure, Kind};

/// The time limit for the other node after this one is done.
const OTHER_ENDS: Duration = Duration::from_secs(180);

#[derive(Serialize)]
struct Exchanged {
    home: String,
    role: Role,
    epoch: u64,
    /// On the new primary: seconds from the first refused write until it accepted writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_refused_seconds: Option<f64>,
    /// Seconds for which its database was down after that, if it had to be restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_seconds: Option<f64>,
    next: String,
}

impl fmt::Display for Exchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is now the {}, in epoch {}.", self.home, self.role, self.epoch)?;
        if let Some(seconds) = self.writes_refused_seconds {
            writeln!(f, "  writes were refused for {seconds:.2} s")?;
        }
        if let Some(seconds) = self.restart_seconds {
            writeln!(f, "  and for {seconds:.2} s more while this database restarted")?;
        }
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: SwitchoverArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    if context.settled(&mut runner).await?.finished(Command::Switchover).is_some() {
        return exchanged(context, &home, Cost::default());
    }
    refuse_while_secrets_change(&home, "swap the roles")?;
    let scene = Box::pin(observe(context, &home, &config, args.wait)).await?;
    let plan = plan(&scene).map_err(Failure::refused)?.with_hooks(&config.hooks.programs());
    if !context.agreed(&plan)? {
        return Ok(());
    }
    let peer_command = &config.switchover.peer_command;
    let asks = !args.answer && !peer_command.is_empty();
    let other = if asks { Some(answer(peer_command, args.wait)?) } else { None };
    if let Some(other) = &other {
        runner.listens_to(other.clone());
    }
    runner.drive(&plan).await?;
    // ignored: the server connects again by itself, only later
    let _ = runner.reconnect().await;
    if let Some(other) = other {
        ended(other).await?;
    }
    exchanged(context, &home, runner.cost())
}

async fn observe(context: &Context<'_>, home: &Home, config: &Config, wait: u64) -> Result<SwitchoverScene> {
    let scene = look::home::scene(home, &context.interrupt).await?;
    let mut out = SwitchoverScene {
        running: Database::of(home, &context.interrupt).serving_pid().await?.is_some(),
        health: no_pair("it was not checked"),
        other: Ok(None),
        turn: None,
        blocked: None,
        prepared: Vec::new(),
        run: random::id(),
        wait,
        refuse_at_most: config.switchover.refuse_at_most,
        home: scene,
    };
    let Some(own) = out.home.membership.clone() else { return Ok(out) };
    if out.running {
        (out.blocked, out.prepared) = in_the_way(context, home).await?;
    }
    let seen = look::pair::take(home, own.clone(), config, &context.interrupt).await?;
    out.health = judge(&seen, config.limits());
    out.other = other_node::ask(home, &own).await.map_err(|blind| blind.evidence);
    let mut watched = Watched::of(home, &own);
    out.turn = watched.turn().await.ok().flatten();
    watched.close().await;
    Ok(out)
}

/// By whom all writes to the database here are blocked, if they are, and what is prepared by XA.
async fn in_the_way(context: &Context<'_>, home: &Home) -> Result<(Option<String>, Vec<String>)> {
    let version = Database::of(home, &context.interrupt).version().await?;
    let (Some(flavor), Ok(mut session)) = (Flavor::of(&version), open_here(home).await?) else {
        return Ok((None, Vec::new()));
    };
    let blocked = look::locks::blocked(&mut session, flavor).await;
    let prepared = look::locks::prepared(&mut session, flavor).await;
    session.close().await;
    Ok((blocked?, prepared?))
}

/// Runs the other node's part on that node.
fn answer(words: &[String], wait: u64) -> Result<OtherPart> {
    let further = ["--yes", Command::Switchover.words(), "--answer", "--wait", &wait.to_string()];
    let program = Elsewhere::begin(words, &further).map_err(|error| {
        Failure::new(Kind::Failed, "cannot ask the other node to take part")
            .because(format!("{error:#}"))
            .hint("Correct switchover.peer_command in conf/pmp-ha.toml, or leave it empty and run `pmp-ha switchover` on both nodes.")
    })?;
    let (ends, part) = tokio::sync::watch::channel(None);
    tokio::spawn(async move {
        let end = program.ends().await.map_err(|error| format!("{error:#}"));
        // ignored: nobody waits for it any more
        let _ = ends.send(Some(end));
    });
    Ok(part)
}

async fn ended(mut other: OtherPart) -> Result<()> {
    let end = tokio::time::timeout(OTHER_ENDS, other.wait_for(Option::is_some))
        .await
        .map_err(|_| anyhow!("the other node did not finish its part within {} s", OTHER_ENDS.as_secs()))??;
    if let Some(Err(said)) = &*end {
        bail!(
            Failure::new(Kind::Incomplete, "this node has done its part; the other node has not")
                .because(said.clone())
                .hint("Run `pmp-ha switchover` there again: it resumes where it stopped.")
        );
    }
    Ok(())
}

fn exchanged(context: &Context<'_>, home: &Home, cost: Cost) -> Result<()> {
    let membership = home.require_membership()?;
    let seconds = |time: Option<Duration>| time.map(|time| (time.as_secs_f64() * 1000.0).round() / 1000.0);
    let primary = membership.role == Role::Primary;
    context.ui.data(&Exchanged {
        home: home.root().display().to_string(),
        role: membership.role,
        epoch: membership.pair.epoch,
        writes_refused_seconds: seconds(cost.writes_refused).filter(|_| primary),
        restart_seconds: seconds(cost.restarted_in),
        next: if primary {
            "restart Password Manager Pro here (it reads its role when it starts), and give its address to your users; then pmp-ha verify".into()
        } else {
            "restart Password Manager Pro here (it reads its role when it starts); then pmp-ha verify".into()
        },
    })
}
