//! `pmp-ha recover --promote`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::home::Home;
use crate::adapters::look;
use crate::adapters::server::process::Database;
use crate::apply::Runner;
use crate::cli::RecoverArgs;
use crate::config::Config;
use crate::domain::lag;
use crate::domain::own_schema::{ASK_ROLE, read_role};
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::Command;
use crate::domain::procedures::promote::{Fencing, Loss, PrimarySeen, PromoteScene, plan};
use crate::domain::snapshot::Snapshot;
use crate::failure::Failure;

/// The result, as printed.
#[derive(Debug, Serialize)]
struct Promoted {
    /// The home that is now the primary.
    home: String,
    /// The new epoch.
    epoch: u64,
    /// What the old primary wrote and may be lost.
    loss: Lost,
    /// What the operator must do next.
    next: Vec<String>,
}

/// The possible loss, for the JSON.
#[derive(Debug, Serialize)]
struct Lost {
    /// The old primary's last heartbeat that was applied here, by its own clock, RFC 3339.
    /// Everything it committed before is here.
    since: Option<String>,
    /// How long ago that was, in seconds.
    seconds: Option<f64>,
    /// The same in a sentence.
    text: String,
}

impl fmt::Display for Promoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is now the primary, in epoch {}.", self.home, self.epoch)?;
        writeln!(f, "  {}", self.loss.text)?;
        for (number, next) in self.next.iter().enumerate() {
            writeln!(f, "{} {next}", if number == 0 { "next:" } else { "     " })?;
        }
        Ok(())
    }
}

pub async fn run(context: &Context<'_>, args: RecoverArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    if context.settled(&mut runner).await?.finished(Command::Promote).is_some() {
        return context.ui.data(&promoted(&home).await?);
    }
    let scene = Box::pin(observe(context, &home, &config, &args)).await?;
    let plan = plan(&scene).map_err(Failure::refused)?.with_hooks(&config.hooks.programs());
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.drive(&plan).await?;
    context.ui.data(&promoted(&home).await?)
}

async fn observe(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    args: &RecoverArgs,
) -> Result<PromoteScene> {
    let scene = look::home::scene(home, &context.interrupt).await?;
    let fencing = match (args.fenced, config.fence.command.as_slice()) {
        (true, _) => Fencing::ByOperator,
        (false, []) => Fencing::None,
        (false, command) => Fencing::ByCommand(command.to_vec()),
    };
    let running = Database::of(home, &context.interrupt).serving_pid().await?.is_some();
    let mut out = PromoteScene {
        home: scene,
        running,
        primary: PrimarySeen::NotSeen("it was not checked".into()),
        known: 0,
        fencing,
        loss: Loss { since: None, seconds: None },
        applier_error: None,
        accept_loss: args.accept_loss,
    };
    if let Some(membership) = out.home.membership.clone().filter(|own| own.role == Role::Secondary) {
        let seen = look::pair::take(home, membership, config, &context.interrupt).await?;
        out.primary = PrimarySeen::of(&seen.peer, &seen.local);
        out.known = known(&seen);
        out.loss = loss(&seen);
        out.applier_error = applier_error(&seen);
    }
    Ok(out)
}

/// Returns the primary's latest epoch, from its heartbeats and, if it can be asked, from itself.
fn known(seen: &Snapshot) -> u64 {
    let primary = seen.membership.pair.node(Role::Primary).number;
    let beat = seen.local.seen().and_then(|server| server.beat_of(primary)).map(|beat| beat.epoch);
    let said = seen.peer.seen().and_then(|server| server.says.as_ref());
    let said = said.filter(|said| said.role == Role::Primary).map(|said| said.epoch);
    beat.max(said).unwrap_or_default()
}

fn loss(seen: &Snapshot) -> Loss {
    let primary = seen.membership.pair.node(Role::Primary).number;
    let beat = seen.local.seen().and_then(|server| server.beat_of(primary)).filter(|beat| beat.beat > 0);
    Loss { since: beat.and_then(|beat| moment(beat.beat)), seconds: lag::of(seen, Role::Secondary) }
}

/// Formats a time of the servers' clocks as RFC 3339.
fn moment(micros: i64) -> Option<String> {
    Some(jiff::Timestamp::from_microsecond(micros).ok()?.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

fn applier_error(seen: &Snapshot) -> Option<String> {
    let (number, message) = &seen.local.seen()?.replica.as_ref()?.applier_error;
    (*number != 0).then(|| format!("error {number}: {message}"))
}

/// Returns the role of this home according to its database.
async fn promoted(home: &Home) -> Result<Promoted> {
    let membership = home.require_membership()?;
    let said = match look::rows::open_here(home).await? {
        Ok(mut session) => {
            let row = session.one(ASK_ROLE).await?;
            session.close().await;
            row.and_then(|row| read_role(|name| row.get(name)))
        }
        Err(_) => None,
    };
    let heard = said.as_ref().and_then(|said| said.heard);
    let now = jiff::Timestamp::now().as_microsecond();
    #[expect(clippy::cast_precision_loss, reason = "microseconds since a heartbeat are far below 2^52")]
    let seconds = heard.map(|heard| (now - heard) as f64 / 1e6);
    let loss = Loss { since: heard.and_then(moment), seconds };
    let text = loss.of(&membership.peer().host);
    Ok(Promoted {
        home: home.root().display().to_string(),
        epoch: membership.pair.epoch,
        loss: Lost { since: loss.since, seconds, text },
        next: next(home, &membership),
    })
}

fn next(home: &Home, membership: &Membership) -> Vec<String> {
    let (this, peer) = (&membership.this().host, &membership.peer().host);
    let key = match home.key_path() {
        Some(path) => {
            format!(
                "check that the encryption key can be read: conf/manage_key.conf names {}",
                path.display()
            )
        }
        None => "set the path of the encryption key: pmp-ha key PATH".into(),
    };
    let web = membership.this().web_port.or_else(|| home.web_port());
    let address = web.map_or_else(|| this.clone(), |port| format!("{this}:{port}"));
    vec![
        key,
        "restart Password Manager Pro here: it reads its role when it starts".into(),
        format!("give your users its address, https://{address}"),
        format!("when {peer} is repaired, run on it: pmp-ha rejoin"),
    ]
}
