//! What two nodes say to each other while they exchange their roles, and what they do about it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::adapters::interrupt::Interrupt;
use crate::adapters::look;
use crate::adapters::look::other_node::Watched;
use crate::adapters::server::session::Session;
use crate::apply::database::session::admin_session;
use crate::apply::database::{align, guard, options};
use crate::apply::work::Runner;
use crate::domain::own_schema::{CLOCK, beat_now, say_turn, withdraw_turn};
use crate::domain::pair::Membership;
use crate::domain::plan::Exchange;
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;
use crate::domain::turn::{Phase, Turn, Wait, wait_for};
use crate::failure::{Failure, Kind};

/// How often the other node's turn is read: writes wait meanwhile.
const TICK: Duration = Duration::from_millis(30);

/// How often a word is repeated, so that the other node sees that who said it is there.
const REPEAT: Duration = Duration::from_secs(1);

/// How long the other node may take for what it does at once.
const PROMPT: Duration = Duration::from_secs(60);

/// How long sessions that were ended may take to be gone.
const ENDING: Duration = Duration::from_secs(20);

/// Does a part of an exchange.
pub async fn apply(runner: &mut Runner<'_>, step: &Exchange) -> Result<()> {
    match step {
        Exchange::Meet { run: Some(run), wait } => meet_as_secondary(runner, run, *wait).await,
        Exchange::Meet { run: None, wait } => meet_as_primary(runner, *wait).await,
        Exchange::TakeUp { run } => {
            runner.taking.run = Some(run.clone());
            Ok(())
        }
        Exchange::RefuseWrites { account } => refuse_writes(runner, account).await,
        Exchange::AwaitCaughtUp { at_most } => {
            let patience = Duration::from_secs(*at_most);
            await_phase(runner, Phase::CaughtUp, patience).await.map(|_| ())
        }
        Exchange::HandOver => hand_over(runner).await,
        Exchange::CatchUp => catch_up(runner).await,
        Exchange::AwaitHandOver => {
            let turn = await_phase(runner, Phase::HandedOver, PROMPT).await?;
            runner.taking.mark = turn.mark;
            Ok(())
        }
    }
}

/// Takes a part of an exchange back.
pub async fn undo(runner: &mut Runner<'_>, step: &Exchange) -> Result<()> {
    match step {
        Exchange::Meet { .. } | Exchange::CatchUp => withdraw(runner).await,
        Exchange::RefuseWrites { account } => {
            // It is what it was: the primary, whose application may do what it could.
            align::apply(runner, account).await?;
            withdraw(runner).await
        }
        Exchange::TakeUp { .. }
        | Exchange::AwaitCaughtUp { .. }
        | Exchange::AwaitHandOver
        | Exchange::HandOver => Ok(()),
    }
}

async fn session(runner: &Runner<'_>) -> Result<Session> {
    let mut session = admin_session(runner.home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    Ok(session)
}

fn run_of(runner: &Runner<'_>) -> Result<String> {
    runner.taking.run.clone().context("the exchange has no name")
}

async fn say(runner: &mut Runner<'_>, phase: Phase) -> Result<()> {
    let mut session = session(runner).await?;
    if runner.taking.run.is_none() {
        // A run that goes on after it was cut off finds its exchange where it said it.
        runner.taking.run = said_run(&mut session).await?;
    }
    session.run(say_turn(&run_of(runner)?, phase)).await?;
    session.close().await;
    Ok(())
}

/// Says that this node is the primary no more, on the running database or in an offline boot: what a
/// run that was cut off has decided stands, and a start as the primary may be refused by now.
async fn hand_over(runner: &mut Runner<'_>) -> Result<()> {
    if runner.database().pid()?.is_some() {
        return say(runner, Phase::HandedOver).await;
    }
    let flavor = runner.flavor().await?;
    let options = options::node_options(runner, flavor, &runner.home.require_membership()?);
    let database = runner.database();
    let (start, stop) = (runner.config.start_deadline(), runner.config.stop_deadline());
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    let run = said_run(&mut session).await?.context("the exchange has no name")?;
    session.run(say_turn(&run, Phase::HandedOver)).await?;
    database.end_offline_boot(session, stop).await
}

/// The exchange that this node last spoke of.
async fn said_run(session: &mut Session) -> Result<Option<String>> {
    let row =
        session.one(format!("SELECT run FROM {OWN_SCHEMA}.turn WHERE node = @@GLOBAL.server_id")).await?;
    Ok(row.and_then(|row| row.get("run")))
}

async fn withdraw(runner: &mut Runner<'_>) -> Result<()> {
    if runner.database().pid()?.is_none() {
        // Nobody reads it, and when it can be read again it is too old to count.
        return Ok(());
    }
    let mut session = session(runner).await?;
    session.run(withdraw_turn()).await?;
    session.close().await;
    Ok(())
}

fn other(runner: &Runner<'_>) -> Result<Watched> {
    Ok(Watched::of(runner.home, &runner.home.require_membership()?))
}

fn gave_up(because: String, hint: &str) -> anyhow::Error {
    Failure::new(Kind::Failed, "the roles were not exchanged").because(because).hint(hint.to_owned()).into()
}

fn host(membership: &Membership) -> String {
    membership.peer().host.clone()
}

/// Says a word again and again, and looks at the other node's turn, until `seen` is satisfied.
async fn until<T>(
    runner: &mut Runner<'_>,
    phase: Phase,
    patience: Duration,
    what: &str,
    mut seen: impl FnMut(Option<&Turn>) -> Result<Option<T>>,
) -> Result<T> {
    let interrupt = runner.interrupt.clone();
    let run = run_of(runner)?;
    let (mut here, mut there) = (session(runner).await?, other(runner)?);
    let begun = Instant::now();
    let mut said: Option<Instant> = None;
    loop {
        if said.is_none_or(|at| at.elapsed() > REPEAT) {
            here.run(say_turn(&run, phase)).await?;
            said = Some(Instant::now());
        }
        let turn = there.turn().await;
        if let Some(out) = seen(turn.as_ref().ok().and_then(Option::as_ref))? {
            here.close().await;
            there.close().await;
            return Ok(out);
        }
        if begun.elapsed() > patience {
            let told = match turn {
                Ok(Some(turn)) => {
                    format!("its last word is '{}', {} s old", turn.phase, turn.age / 1_000_000)
                }
                Ok(None) => "it says nothing".into(),
                Err(blind) => format!("it cannot be asked: {}", blind.evidence),
            };
            let host = host(&runner.home.require_membership()?);
            return Err(gave_up(
                format!("{host} {what} within {} s: {told}", patience.as_secs()),
                "Everything is as it was. Run `pmp-ha switchover` on both nodes again.",
            ));
        }
        interrupt.sleep(TICK).await?;
    }
}

async fn meet_as_secondary(runner: &mut Runner<'_>, run: &str, wait: u64) -> Result<()> {
    runner.taking.run = Some(run.to_owned());
    let spinner = runner.ui.spinner("waiting for the primary: run `pmp-ha switchover` there");
    let run = run.to_owned();
    until(runner, Phase::Ready, Duration::from_secs(wait), "did not take part", |turn| {
        Ok((wait_for(Phase::Ready, &run, turn) == Wait::Over).then_some(()))
    })
    .await?;
    drop(spinner);
    say(runner, Phase::Met).await
}

async fn meet_as_primary(runner: &mut Runner<'_>, wait: u64) -> Result<()> {
    let spinner = runner.ui.spinner("waiting for the secondary: run `pmp-ha switchover` there");
    let begun = Instant::now();
    let patience = Duration::from_secs(wait);
    let mut there = other(runner)?;
    let run = loop {
        let turn = there.turn().await.ok().flatten();
        if let Some(turn) = turn.filter(|turn| turn.phase == Phase::Ready && turn.age < Turn::STALE) {
            break turn.run;
        }
        if begun.elapsed() > patience {
            let host = host(&runner.home.require_membership()?);
            return Err(gave_up(
                format!("{host} did not take part within {wait} s"),
                "Everything is as it was. Run `pmp-ha switchover` on both nodes.",
            ));
        }
        runner.interrupt.sleep(TICK).await?;
    };
    there.close().await;
    runner.taking.run = Some(run.clone());
    until(runner, Phase::Ready, PROMPT, "did not answer", |turn| match wait_for(Phase::Met, &run, turn) {
        Wait::Over => Ok(Some(())),
        Wait::Longer => Ok(None),
        Wait::InVain => Err(withdrawn()),
    })
    .await?;
    drop(spinner);
    Ok(())
}

fn withdrawn() -> anyhow::Error {
    gave_up(
        "the other node has withdrawn".into(),
        "Everything is as it was. See there why, then run `pmp-ha switchover` on both nodes again.",
    )
}

/// Keeps the application from writing, and marks in the binlog where its last write is behind.
async fn refuse_writes(runner: &mut Runner<'_>, account: &str) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let flavor = runner.flavor().await?;
    let mut session = session(runner).await?;
    session.run("SET SESSION sql_mode = ''").await?;
    runner.taking.refused = Some((Instant::now(), Duration::ZERO));
    let run = run_of(runner)?;
    session.run(say_turn(&run, Phase::Met)).await?;
    session
        .run(format!("UPDATE {OWN_SCHEMA}.turn SET refused_since = {CLOCK} WHERE node = @@GLOBAL.server_id"))
        .await?;
    guard::quiet_events(&mut session).await?;
    guard::set(flavor, &mut session, account, &membership.pair).await?;
    wait_until_ended(runner.interrupt, &mut session, account).await?;
    // Logged: the secondary sees it behind everything that was written until now.
    session.run("SET SESSION sql_log_bin = 1").await?;
    session.run(beat_now()).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    session
        .run(format!(
            "UPDATE {OWN_SCHEMA}.turn SET mark = (SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = @@GLOBAL.server_id) \
             WHERE node = @@GLOBAL.server_id"
        ))
        .await?;
    session.run(say_turn(&run, Phase::Refusing)).await?;
    session.close().await;
    Ok(())
}

/// A session that was ended may still come to the end of its statement.
async fn wait_until_ended(interrupt: &Interrupt, session: &mut Session, account: &str) -> Result<()> {
    let begun = Instant::now();
    let open = format!(
        "SELECT COUNT(*) AS open FROM information_schema.PROCESSLIST WHERE USER = {} AND COMMAND NOT IN ('Sleep', 'Binlog Dump', 'Binlog Dump GTID')",
        quote(account)
    );
    loop {
        let row = session.one(open.clone()).await?.unwrap_or_default();
        // A session that came since has the new rights already; what counts is what goes on.
        if row.get("open").as_deref() == Some("0") {
            return Ok(());
        }
        if begun.elapsed() > ENDING {
            bail!("sessions of '{account}' do not end: something writes for a long time");
        }
        interrupt.sleep(TICK).await?;
    }
}

async fn await_phase(runner: &mut Runner<'_>, wanted: Phase, patience: Duration) -> Result<Turn> {
    let run = run_of(runner)?;
    let (own, what) = match wanted {
        Phase::CaughtUp => (Phase::Refusing, "had not applied everything"),
        _ => (Phase::CaughtUp, "did not hand the role over"),
    };
    until(runner, own, patience, what, |turn| match (wait_for(wanted, &run, turn), turn) {
        (Wait::Over, Some(turn)) => Ok(Some(turn.clone())),
        (Wait::InVain, _) => Err(withdrawn()),
        _ => Ok(None),
    })
    .await
}

/// Waits until the primary refuses writes, and until everything that it wrote is applied here.
async fn catch_up(runner: &mut Runner<'_>) -> Result<()> {
    let run = run_of(runner)?;
    let turn = until(runner, Phase::Met, PROMPT, "did not refuse writes", |turn| match turn {
        Some(turn) if turn.run == run && turn.phase == Phase::HandedOver => Ok(Some(turn.clone())),
        Some(turn) if wait_for(Phase::Refusing, &run, Some(turn)) == Wait::Over => Ok(Some(turn.clone())),
        Some(turn) if wait_for(Phase::Refusing, &run, Some(turn)) == Wait::InVain => Err(withdrawn()),
        _ => Ok(None),
    })
    .await?;
    let before = Duration::from_micros(u64::try_from(turn.refusing_for).unwrap_or(0));
    runner.taking.refused = Some((Instant::now(), before));
    let membership = runner.home.require_membership()?;
    let flavor = runner.flavor().await?;
    let mut here = session(runner).await?;
    let beat = format!("SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = {}", membership.peer().number);
    let begun = Instant::now();
    loop {
        let row = here.one(beat.clone()).await?.unwrap_or_default();
        if row.get("beat").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) >= turn.mark {
            break;
        }
        let status = here.one(flavor.show_replica_status()).await?.unwrap_or_default();
        let view = look::pair::parse_replica(flavor, &status);
        if view.applier_error.0 != 0 {
            return Err(gave_up(
                format!(
                    "what the primary wrote cannot be applied: error {}: {}",
                    view.applier_error.0, view.applier_error.1
                ),
                "Everything is as it was. Run `pmp-ha repair` here.",
            ));
        }
        if begun.elapsed() > PROMPT {
            return Err(gave_up(
                format!("what the primary wrote was not applied within {} s", PROMPT.as_secs()),
                "Everything is as it was. Wait until the lag is small (`pmp-ha verify`), then try again.",
            ));
        }
        runner.interrupt.sleep(Duration::from_millis(10)).await?;
    }
    here.run(say_turn(&run, Phase::CaughtUp)).await?;
    here.close().await;
    Ok(())
}
