//! Blocks writes with a lock, and copies the files while they do not change.
//!
//! The lock stops statements, but not the server's own threads. So the copy waits until every page
//! is on the disk and the redo log no longer moves. If the log has moved after the copy, the copy
//! is useless and is made again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Copying, Replication, session};
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, datadir};
use crate::adapters::server::session::Session;
use crate::adapters::{look, system};
use crate::apply::database::{backlog, sent, source};
use crate::apply::files::copy;
use crate::apply::work::Runner;
use crate::domain::coordinates::Coordinates;
use crate::domain::flavor::Flavor;
use crate::domain::redo::Redo;
use crate::domain::snapshot::Receiver;
use crate::failure::{Failure, Kind};

/// What makes the server write its pages to the disk, in an order in which each fits to the others;
/// they are put back in the other order.
const HURRY: [(&str, &str); 4] = [
    ("innodb_io_capacity_max", "20000"),
    ("innodb_io_capacity", "20000"),
    ("innodb_max_dirty_pages_pct_lwm", "0"),
    ("innodb_max_dirty_pages_pct", "0"),
];

/// The number of attempts to copy.
const TRIES: usize = 5;

/// Dirty pages that a moment under the lock writes away.
const FEW_PAGES: u64 = 100;

/// The time limit for few dirty pages before writes are stopped.
const FLUSH_GRACE: Duration = Duration::from_secs(30);

/// The time limit for the log to come to rest while writes are stopped.
const REST_GRACE: Duration = Duration::from_secs(10);

/// Writes every page and moves the checkpoint at once, where the server has that; else it comes by
/// itself a moment later.
const CHECKPOINT_NOW: &str = "innodb_log_checkpoint_now";

/// Between two checkpoints that are asked for: what the server does beside the lock may need one more.
const CHECKPOINT_AGAIN: Duration = Duration::from_millis(500);

/// How long the lock may wait for a statement that still runs: new writes wait behind it. A signal is heard
/// between two waits.
const LOCK_WAIT: u64 = 2;

/// The number of waits for the lock in one attempt.
const LOCK_WAITS: usize = 5;

/// What is shown meanwhile.
const PAGES: &str = "the server writes its pages to the disk";

const TICK: Duration = Duration::from_millis(20);

/// How long the log has to stand still before it counts as at rest.
const STANDS_STILL: Duration = Duration::from_millis(100);

/// The server's variables before the copy changed them, and the threads it stopped.
#[derive(Serialize, Deserialize)]
struct BeforeCopy {
    variables: Vec<(String, String)>,
    receiver: bool,
    applier: bool,
}

fn note(home: &Home) -> PathBuf {
    home.work().join("before-the-lock.json")
}

/// Copies the data. Returns the copy's position and how long writes had to wait.
pub(super) async fn copy(copying: &Copying<'_>) -> Result<(Option<Coordinates>, Duration)> {
    let flavor = copying.flavor().await?;
    let interrupt = copying.runner.interrupt;
    let mut session = interrupt.or(session(copying.home)).await?.until(interrupt);
    hurry(copying, flavor, &mut session).await?;
    let copied = tries(copying, flavor, &mut session).await;
    // After a signal, the undo takes it back in a session of its own.
    copying.runner.interrupt.check()?;
    restore(copying.runner, flavor, &mut session).await?;
    session.close().await;
    copied
}

/// Notes how the server is, and sets it so that the pages get to the disk quickly and nothing but
/// statements writes.
async fn hurry(copying: &Copying<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let note = note(copying.runner.home);
    let rests = copying.replication != Replication::GoesOn;
    if !note.exists() {
        let now = session.variables().await?;
        let replica = look::rows::replica(session, flavor).await?;
        let before = BeforeCopy {
            variables: HURRY
                .iter()
                .filter_map(|(name, _)| Some(((*name).to_owned(), now.get(*name)?.clone())))
                .collect(),
            receiver: rests && replica.as_ref().is_some_and(|replica| replica.receiver != Receiver::Stopped),
            applier: rests && replica.is_some_and(|replica| replica.applier_runs),
        };
        system::write_atomic(&note, &serde_json::to_vec(&before)?, 0o600, None)?;
    }
    // What comes from the other node is written by the server itself, past the lock.
    if copying.replication == Replication::RestsWhenCaughtUp {
        session.run(flavor.stop_receiver()).await?;
        backlog::wait_until_caught_up(flavor, session, copying.runner.interrupt).await?;
    }
    if rests {
        session.run(flavor.stop_replica()).await?;
    }
    let has = session.variables().await?;
    for (name, value) in HURRY.iter().filter(|(name, _)| has.contains_key(*name)) {
        session.run(format!("SET GLOBAL {name} = {value}")).await?;
    }
    if flavor.has_lock_wait_timeout() {
        session.run(format!("SET SESSION lock_wait_timeout = {LOCK_WAIT}")).await?;
    }
    Ok(())
}

/// Restores the variables, and restarts the replication threads that ran before.
pub(super) async fn restore(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let note = note(runner.home);
    let text = match system::read_bytes(&note, system::SMALL) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let before: BeforeCopy = serde_json::from_slice(&text)?;
    for (name, value) in before.variables.iter().rev() {
        session.run(format!("SET GLOBAL {name} = {value}")).await?;
    }
    if before.receiver
        && let Some(membership) = runner.home.membership()?
    {
        sent::lets_go(runner, flavor, session, &membership).await?;
    }
    match (before.receiver, before.applier) {
        (true, true) => session.run(flavor.start_replica()).await?,
        (true, false) => session.run(flavor.start_receiver()).await?,
        (false, true) => session.run(flavor.start_applier()).await?,
        (false, false) => {}
    }
    remove(&note)
}

async fn tries(
    copying: &Copying<'_>,
    flavor: &Flavor,
    session: &mut Session,
) -> Result<(Option<Coordinates>, Duration)> {
    let mut blocked = Duration::ZERO;
    let mut last = String::new();
    for _ in 0..TRIES {
        wait_for_few_pages(copying.runner, session).await?;
        let begun = Instant::now();
        if let Err(error) = lock(copying.runner, session).await? {
            blocked += begun.elapsed();
            last = format!("{error:#}");
            continue;
        }
        let copied = copy_at_rest(copying, flavor, session).await;
        session.run("UNLOCK TABLES").await?;
        blocked += begun.elapsed();
        match copied? {
            Ok(coordinates) => return Ok((coordinates, blocked)),
            Err(why) => last = why,
        }
        remove(&copying.target)?;
    }
    bail!(
        Failure::new(Kind::Failed, "cannot copy the running database")
            .because(format!("{TRIES} copies failed: {last}"))
            .hint("Try again when there are fewer writes, or stop the database first.")
    )
}

/// Takes the lock, or returns why it cannot be had.
async fn lock(runner: &Runner<'_>, session: &mut Session) -> Result<Result<()>> {
    let mut last = Ok(());
    for _ in 0..LOCK_WAITS {
        runner.interrupt.check()?;
        last = session.run("FLUSH TABLES WITH READ LOCK").await;
        if last.is_ok() {
            break;
        }
    }
    Ok(last)
}

/// Copies under the lock, or returns why the copy is useless.
async fn copy_at_rest(
    copying: &Copying<'_>,
    flavor: &Flavor,
    session: &mut Session,
) -> Result<Result<Option<Coordinates>, String>> {
    let runner = copying.runner;
    let Some(rest) = wait_for_rest(runner, flavor, session).await? else {
        return Ok(Err(format!(
            "under the lock, its pages did not reach the disk within {} s",
            REST_GRACE.as_secs()
        )));
    };
    let coordinates = source::coordinates(flavor, session).await?;
    let (from, to, files) = (copying.home.data(), copying.target.clone(), copy::files(copying.home)?);
    let progress = runner.ui.progress("copying", files.iter().map(|(_, size)| size).sum());
    let interrupt = runner.interrupt.clone();
    tokio::task::spawn_blocking(move || datadir::copy_quickly(&from, &to, &files, &progress, &interrupt))
        .await??;
    let after = redo(session).await?;
    Ok(if after == rest {
        Ok(coordinates)
    } else {
        Err(format!("its log moved from {} to {} during the copy", rest.end, after.end))
    })
}

async fn wait_for_few_pages(runner: &Runner<'_>, session: &mut Session) -> Result<()> {
    let _waiting = runner.ui.spinner(PAGES);
    let begun = Instant::now();
    while begun.elapsed() < FLUSH_GRACE && dirty_pages(session).await? > FEW_PAGES {
        runner.interrupt.sleep(TICK).await?;
    }
    Ok(())
}

/// Waits until every page is on the disk and the log no longer moves; `None` if it still moves.
async fn wait_for_rest(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<Option<Redo>> {
    let _waiting = runner.ui.spinner(PAGES);
    let can_ask = session.one(format!("SHOW GLOBAL VARIABLES LIKE '{CHECKPOINT_NOW}'")).await?.is_some();
    let begun = Instant::now();
    let mut last = redo(session).await?;
    let mut since = begun;
    let mut asked: Option<Instant> = None;
    while begun.elapsed() < REST_GRACE {
        if can_ask && asked.is_none_or(|asked| asked.elapsed() > CHECKPOINT_AGAIN) {
            session.run(format!("SET GLOBAL {CHECKPOINT_NOW} = ON")).await?;
            asked = Some(Instant::now());
        }
        runner.interrupt.sleep(TICK).await?;
        let now = redo(session).await?;
        let rests = now.is_at_rest(flavor.checkpoint_record()) && dirty_pages(session).await? == 0;
        if now != last || !rests {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() >= STANDS_STILL {
            return Ok(Some(now));
        }
    }
    Ok(None)
}

async fn redo(session: &mut Session) -> Result<Redo> {
    let row = session.one("SHOW ENGINE INNODB STATUS").await?.context("InnoDB has no status")?;
    Redo::parse(&row.get("Status").unwrap_or_default())
        .context("InnoDB does not report the position of its log")
}

async fn dirty_pages(session: &mut Session) -> Result<u64> {
    let row = session.one("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'").await?;
    let number = row.and_then(|row| row.get("Value")).and_then(|value| value.parse().ok());
    number.context("InnoDB does not report its dirty pages")
}
