//! What two nodes say to each other while they exchange their roles, and what they do about it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::dialogue::{
    Dialogue, Patience, REPEAT, Silence, TICK, gave_up, host, other_part_goes_on, session, withdrawn,
};
use super::receiver::Incoming;
use crate::adapters::look;
use crate::adapters::server::session::Session;
use crate::apply::database::{align, guard, options, start};
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::own_schema::{CLOCK, beat_now, say_turn, withdraw_turn};
use crate::domain::plan::Exchange;
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;
use crate::domain::turn::{Phase, Turn, Wait, wait_for};

/// How often the operator's command on the other node is looked for.
const LOOK: Duration = Duration::from_millis(30);

/// How long the other node may take for what it does at once.
const PROMPT: Duration = Duration::from_secs(60);

/// How long sessions that were ended may take to be gone.
const ENDING: Duration = Duration::from_secs(8);

/// How often the secondary checks the primary and its own receiver while it applies.
const ASIDE: Duration = Duration::from_millis(500);

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
            let patience = Patience { whole: Duration::from_secs(*at_most), silence: Silence::GivenUp };
            await_phase(runner, Phase::CaughtUp, patience).await.map(|_| ())
        }
        Exchange::HandOver => hand_over(runner).await,
        Exchange::CatchUp => catch_up(runner).await,
        Exchange::AwaitHandOver => {
            let patience = Patience { whole: PROMPT, silence: Silence::Endured };
            let turn = await_phase(runner, Phase::HandedOver, patience).await?;
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
            // It is what it was: the primary, running, whose application may do what it could.
            if runner.database().is_gone().await? {
                // ignored: if it does not start, the offline boot that follows says why
                let _ = start::database(runner).await;
            }
            align::apply(runner, account).await?;
            withdraw(runner).await
        }
        Exchange::TakeUp { .. }
        | Exchange::AwaitCaughtUp { .. }
        | Exchange::AwaitHandOver
        | Exchange::HandOver => Ok(()),
    }
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
        let said = say(runner, Phase::HandedOver).await;
        if said.is_ok() || !runner.database().is_gone().await? {
            return said;
        }
        // It was killed just now.
    }
    let flavor = runner.flavor().await?;
    let options = options::node_options(runner, flavor, &runner.home.require_membership()?);
    let database = runner.database();
    let _waiting = runner.ui.spinner("the database is booted without a network");
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
    if runner.database().is_gone().await? {
        // Nobody reads it, and when it can be read again it is too old to count.
        return Ok(());
    }
    let mut session = session(runner).await?;
    session.run(withdraw_turn()).await?;
    session.close().await;
    Ok(())
}

async fn meet_as_secondary(runner: &mut Runner<'_>, run: &str, wait: u64) -> Result<()> {
    runner.taking.run = Some(run.to_owned());
    let spinner = runner.ui.spinner("waiting for `pmp-ha switchover` on the primary");
    let patience = Patience { whole: Duration::from_secs(wait), silence: Silence::Borne };
    let mut dialogue = Dialogue::begin(runner, Phase::Ready).await?;
    dialogue
        .until(runner, patience, "did not take part", |turn| {
            Ok((wait_for(Phase::Ready, run, turn) == Wait::Over).then_some(()))
        })
        .await?;
    drop(spinner);
    dialogue.here.run(say_turn(run, Phase::Met)).await?;
    dialogue.end(runner).await;
    Ok(())
}

async fn meet_as_primary(runner: &mut Runner<'_>, wait: u64) -> Result<()> {
    let spinner = runner.ui.spinner("waiting for `pmp-ha switchover` on the secondary");
    // This asks the server's program, which takes time: not while writes are refused.
    runner.flavor().await?;
    let begun = Instant::now();
    let patience = Duration::from_secs(wait);
    let mut there = runner.take_other()?;
    let run = loop {
        let turn = there.turn().await.ok().flatten();
        if let Some(turn) = turn.filter(|turn| turn.phase == Phase::Ready && turn.age < Turn::STALE) {
            break turn.run;
        }
        other_part_goes_on(runner)?;
        if begun.elapsed() > patience {
            let host = host(&runner.home.require_membership()?);
            return Err(gave_up(
                format!("{host} did not take part within {wait} s"),
                "Everything is as it was. Run `pmp-ha switchover` on both nodes.",
            ));
        }
        runner.interrupt.sleep(LOOK).await?;
    };
    runner.keep_other(there);
    runner.taking.run = Some(run.clone());
    let patience = Patience { whole: PROMPT, silence: Silence::GivenUp };
    let mut dialogue = Dialogue::begin(runner, Phase::Ready).await?;
    dialogue
        .until(runner, patience, "did not answer", |turn| match wait_for(Phase::Met, &run, turn) {
            Wait::Over => Ok(Some(())),
            Wait::Longer => Ok(None),
            Wait::InVain => Err(withdrawn()),
        })
        .await?;
    dialogue.end(runner).await;
    drop(spinner);
    Ok(())
}

/// Keeps the application from writing, and marks in the binlog where its last write is behind.
async fn refuse_writes(runner: &mut Runner<'_>, account: &str) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let flavor = runner.flavor().await?;
    let mut session = session(runner).await?;
    session.run("SET SESSION sql_mode = ''").await?;
    let run = run_of(runner)?;
    session.run(say_turn(&run, Phase::Met)).await?;
    guard::quiet_events(&mut session).await?;
    guard::save(flavor, &mut session, account).await?;
    runner.taking.refused = Some((Instant::now(), Duration::ZERO));
    session
        .run(format!("UPDATE {OWN_SCHEMA}.turn SET refused_since = {CLOCK} WHERE node = @@GLOBAL.server_id"))
        .await?;
    guard::refuse(flavor, &mut session, account, &membership.pair).await?;
    wait_until_ended(runner, &mut session, account).await?;
    // Their rows are in no binlog yet, or their ends would come from the application of another node.
    let prepared = look::locks::prepared(&mut session, flavor).await?;
    if !prepared.is_empty() {
        return Err(gave_up(
            format!("transactions that XA has prepared wait here for their end: {}", prepared.join("; ")),
            "Nothing was changed. End each one with `XA COMMIT` or `XA ROLLBACK`, as the application decides. Then run `pmp-ha switchover` on both nodes again.",
        ));
    }
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
    // The secondary catches up meanwhile.
    guard::note_rights(flavor, &mut session, account).await?;
    session.close().await;
    Ok(())
}

/// A session that was ended may still come to the end of its statement.
async fn wait_until_ended(runner: &Runner<'_>, session: &mut Session, account: &str) -> Result<()> {
    let (begun, mut said) = (Instant::now(), Instant::now());
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
            bail!("sessions of '{account}' do not end: a statement is still writing");
        }
        if said.elapsed() > REPEAT {
            session.run(say_turn(&run_of(runner)?, Phase::Met)).await?;
            said = Instant::now();
        }
        runner.interrupt.sleep(TICK).await?;
    }
}

async fn await_phase(runner: &mut Runner<'_>, wanted: Phase, patience: Patience) -> Result<Turn> {
    let run = run_of(runner)?;
    let (own, what, words) = match wanted {
        Phase::CaughtUp => {
            (Phase::Refusing, "had not applied everything", "waiting for the last writes to be applied")
        }
        _ => (Phase::CaughtUp, "did not hand over the role", "waiting for the primary to hand over"),
    };
    let _waiting = runner.ui.spinner(words);
    let mut dialogue = Dialogue::begin(runner, own).await?;
    let turn = dialogue
        .until(runner, patience, what, |turn| match (wait_for(wanted, &run, turn), turn) {
            (Wait::Over, Some(turn)) => Ok(Some(turn.clone())),
            (Wait::InVain, _) => Err(withdrawn()),
            _ => Ok(None),
        })
        .await?;
    dialogue.end(runner).await;
    Ok(turn)
}

/// Waits until the primary refuses writes, and until everything that it wrote is applied here.
async fn catch_up(runner: &mut Runner<'_>) -> Result<()> {
    let run = run_of(runner)?;
    let _waiting = runner.ui.spinner("the last writes of the primary are applied");
    // This asks the server's program, which takes time: not while writes are refused.
    let flavor = runner.flavor().await?;
    let membership = runner.home.require_membership()?;
    let patience = Patience { whole: PROMPT, silence: Silence::GivenUp };
    let mut dialogue = Dialogue::begin(runner, Phase::Met).await?;
    let turn = dialogue
        .until(runner, patience, "did not refuse writes", |turn| match turn {
            Some(turn) if turn.run == run && turn.phase == Phase::HandedOver => Ok(Some(turn.clone())),
            Some(turn) if wait_for(Phase::Refusing, &run, Some(turn)) == Wait::Over => Ok(Some(turn.clone())),
            Some(turn) if wait_for(Phase::Refusing, &run, Some(turn)) == Wait::InVain => Err(withdrawn()),
            _ => Ok(None),
        })
        .await?;
    let before = Duration::from_micros(u64::try_from(turn.refusing_for).unwrap_or(0));
    runner.taking.refused = Some((Instant::now(), before));
    let beat = format!("SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = {}", membership.peer().number);
    let begun = Instant::now();
    let (mut aside, mut incoming) = (Instant::now(), Incoming::new());
    loop {
        let row = dialogue.here.one(beat.clone()).await?.unwrap_or_default();
        if row.get("beat").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) >= turn.mark {
            break;
        }
        can_be_applied(flavor, &mut dialogue.here).await?;
        if aside.elapsed() > ASIDE {
            incoming.look(flavor, &mut dialogue.here).await?;
            let said = dialogue.look(runner).await?.ok().flatten();
            if wait_for(Phase::Refusing, &run, said.as_ref()) == Wait::InVain {
                return Err(withdrawn());
            }
            aside = Instant::now();
        }
        if dialogue.is_unheard() && turn.phase != Phase::HandedOver {
            return Err(gave_up(
                format!("{} no longer answers", membership.peer().host),
                "Everything is as it was. Run `pmp-ha switchover` on both nodes again.",
            ));
        }
        if begun.elapsed() > PROMPT {
            return Err(gave_up(
                format!("what the primary wrote was not applied within {} s", PROMPT.as_secs()),
                "Everything is as it was. Wait until the lag is small (`pmp-ha verify`), then try again.",
            ));
        }
        runner.interrupt.sleep(TICK).await?;
    }
    dialogue.here.run(say_turn(&run, Phase::CaughtUp)).await?;
    dialogue.end(runner).await;
    Ok(())
}

async fn can_be_applied(flavor: &Flavor, session: &mut Session) -> Result<()> {
    let status = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
    let view = look::pair::parse_replica(flavor, &status);
    if view.applier_error.0 == 0 {
        return Ok(());
    }
    Err(gave_up(
        format!(
            "cannot apply what the primary wrote: error {}: {}",
            view.applier_error.0, view.applier_error.1
        ),
        "Everything is as it was. Run `pmp-ha repair` here.",
    ))
}
