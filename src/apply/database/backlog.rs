//! The backlog: what a secondary has received but not applied.
//!
//! Applies it on a stopped secondary, and waits for it on a running one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::session::{Row, Session};
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::coordinates::MariaDbPosition;
use crate::domain::flavor::{Flavor, Positioning};
use crate::domain::settings::RELAY_LOG;
use crate::domain::sql::quote;
use crate::failure::{Failure, Kind};

/// The time limit without progress of the applier.
const STALL: Duration = Duration::from_secs(60);

/// How many events are read at a time.
const EVENTS: usize = 1000;

/// The time between two checks of the applier.
const TICK: Duration = Duration::from_millis(100);

/// The target of the applier.
enum Until<'a> {
    /// The end of the relay logs, which no longer grow.
    TheEnd,
    /// What had been received at this replica status.
    Received(&'a Row),
}

/// Applies everything in the relay logs of a server without a receiver.
///
/// # Errors
/// Refuses when the applier stops at an error, before anything was changed for good.
pub async fn work_off(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    if channel(flavor, session).await?.is_none() {
        return Ok(());
    }
    if flavor.positioning == Positioning::MariaDbGtid {
        let Some((file, position)) = first_not_applied(runner.home, session).await? else {
            return Ok(());
        };
        session.run(flavor.read_relay_log_from(&file, &position)).await?;
    }
    session.run(flavor.start_applier()).await?;
    wait_until_applied(flavor, session, runner.interrupt).await
}

/// Waits until the running applier has applied all relay logs, which no longer grow.
///
/// # Errors
/// Refuses when it stops at an error.
pub async fn wait_until_applied(flavor: &Flavor, session: &mut Session, interrupt: &Interrupt) -> Result<()> {
    wait(flavor, session, interrupt, Until::TheEnd).await.map_err(|stopped| match stopped {
        Stopped::At(why) => Failure::new(
            Kind::Refused,
            "some of what the secondary had received cannot be applied",
        )
        .code("cannot-apply")
        .because(why)
        .hint("Nothing was changed. To continue without the rest of what was received, add --accept-loss.")
        .into(),
        Stopped::Otherwise(error) => error,
    })
}

/// Continues if the rest of what was received may be given up.
pub fn given_up(runner: &Runner<'_>, worked_off: Result<()>, accept_loss: bool) -> Result<()> {
    let is_refusal = |error: &anyhow::Error| {
        error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind == Kind::Refused)
    };
    match worked_off {
        Err(error) if accept_loss && is_refusal(&error) => {
            runner.ui.warn(format!("left out because of --accept-loss: {}", Failure::from_error(error)));
            Ok(())
        }
        other => other,
    }
}

/// Waits until a running secondary has applied everything it has received so far.
///
/// # Errors
/// Refuses when its applier does not run, or stops.
pub async fn wait_until_caught_up(
    flavor: &Flavor,
    session: &mut Session,
    interrupt: &Interrupt,
) -> Result<()> {
    let Some(received) = channel(flavor, session).await? else { return Ok(()) };
    wait(flavor, session, interrupt, Until::Received(&received)).await.map_err(|stopped| match stopped {
        Stopped::At(why) => Failure::new(Kind::Refused, "the secondary does not apply what it has received").code("not-applying")
            .because(why)
            .hint("Stop its database (`pmp-ha stop`), then recover again. pmp-ha then applies as much as possible to the copy.")
            .into(),
        Stopped::Otherwise(error) => error,
    })
}

/// The replica status, where there is a source.
async fn channel(flavor: &Flavor, session: &mut Session) -> Result<Option<Row>> {
    let row = session.one(flavor.show_replica_status()).await?;
    Ok(row.filter(|row| !column(flavor, row, "Source_Host").is_empty()))
}

fn column(flavor: &Flavor, row: &Row, name: &str) -> String {
    row.get(&flavor.column(name)).unwrap_or_default()
}

/// Why the applier did not reach the target.
enum Stopped {
    /// By itself, with the reason.
    At(String),
    /// We could not wait.
    Otherwise(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Otherwise(error.into())
    }
}

async fn wait(
    flavor: &Flavor,
    session: &mut Session,
    interrupt: &Interrupt,
    until: Until<'_>,
) -> Result<(), Stopped> {
    let mut last = (String::new(), Instant::now());
    loop {
        let row = session.one(flavor.show_replica_status()).await?.context("the replica status is gone")?;
        let error = column(flavor, &row, "Last_SQL_Errno");
        if error != "0" {
            return Err(Stopped::At(format!("error {error}: {}", column(flavor, &row, "Last_SQL_Error"))));
        }
        if column(flavor, &row, "Replica_SQL_Running") == "No" {
            return Err(Stopped::At("its applier is stopped".into()));
        }
        let at =
            format!("{} {}", column(flavor, &row, "Relay_Log_File"), column(flavor, &row, "Relay_Log_Pos"));
        let stands = at == last.0;
        if is_applied(flavor, session, &row, &until, stands).await? {
            return Ok(());
        }
        if !stands {
            last = (at, Instant::now());
        } else if last.1.elapsed() > STALL {
            return Err(Stopped::At(format!("its applier makes no progress at {}", last.0)));
        }
        interrupt.sleep(TICK).await?;
    }
}

/// Returns whether the applier has reached the target.
///
/// The applier itself reports when it has read everything. That counts only if it `stands`: it may
/// not have noticed new events yet. A source that keeps sending prevents that report, so the
/// position is checked as well. The report is needed for a transaction that was received only in
/// part and is never applied. With several workers, what was read may not be applied yet, so the
/// GTIDs decide.
async fn is_applied(
    flavor: &Flavor,
    session: &mut Session,
    row: &Row,
    until: &Until<'_>,
    stands: bool,
) -> Result<bool> {
    let has_read_all = stands && has_read_all(flavor, session, row).await?;
    let then = match until {
        Until::TheEnd => row,
        Until::Received(then) => then,
    };
    Ok(match flavor.positioning {
        Positioning::FilePosition => {
            // Behind number 999999 the names grow longer.
            let place = |row: &Row, file: &str, byte: &str| {
                let file = column(flavor, row, file);
                (file.len(), file, column(flavor, row, byte).parse::<u64>().ok())
            };
            has_read_all
                || (matches!(until, Until::Received(_))
                    && place(row, "Relay_Source_Log_File", "Exec_Source_Log_Pos")
                        >= place(then, "Source_Log_File", "Read_Source_Log_Pos"))
        }
        Positioning::Gtid => {
            let received = column(flavor, then, "Retrieved_Gtid_Set").replace('\n', "");
            let asked =
                format!("SELECT GTID_SUBSET({}, @@GLOBAL.gtid_executed) AS applied", quote(&received));
            let applied = session.one(asked).await?.and_then(|row| row.get("applied"));
            let has_come = matches!(until, Until::Received(_)) && !received.is_empty();
            applied.as_deref() == Some("1") && (has_read_all || has_come)
        }
        Positioning::MariaDbGtid => {
            let received = column(flavor, then, "Gtid_IO_Pos");
            has_read_all
                || (matches!(until, Until::Received(_))
                    && !received.is_empty()
                    && MariaDbPosition::parse(&applied_by_mariadb(session).await?).covers_all(&received))
        }
    })
}

/// Whether the applier says that it has read all relay logs.
pub async fn has_read_all(flavor: &Flavor, session: &mut Session, row: &Row) -> Result<bool> {
    if flavor.status_has_applier_state() {
        return Ok(column(flavor, row, "Replica_SQL_Running_State").contains("has read all relay log"));
    }
    Ok(session.one(flavor.applier_state_query()).await?.is_some())
}

async fn applied_by_mariadb(session: &mut Session) -> Result<String> {
    let row = session.one("SELECT @@GLOBAL.gtid_slave_pos AS position").await?.unwrap_or_default();
    Ok(row.get("position").unwrap_or_default())
}

/// Finds the first transaction of `MariaDB`'s relay logs that is not applied; `None` if all are.
///
/// The file with the applier's position is out of date after a crash. So the GTID position in the
/// data decides.
async fn first_not_applied(home: &Home, session: &mut Session) -> Result<Option<(String, String)>> {
    let applied = MariaDbPosition::parse(&applied_by_mariadb(session).await?);
    let index = system::read_text(&home.data().join(format!("{RELAY_LOG}.index")), system::LARGE)?;
    for line in index.lines() {
        let name = line.rsplit('/').next().unwrap_or(line);
        if let Some(position) = search(session, &applied, name).await? {
            return Ok(Some((name.to_owned(), position)));
        }
    }
    Ok(None)
}

async fn search(session: &mut Session, applied: &MariaDbPosition, file: &str) -> Result<Option<String>> {
    let mut skip = 0;
    loop {
        let file = quote(file);
        let events = session.query(format!("SHOW RELAYLOG EVENTS IN {file} LIMIT {skip}, {EVENTS}")).await?;
        for event in &events {
            let begins = event.get("Event_type").as_deref() == Some("Gtid");
            if begins && !applied.covers(&event.get("Info").unwrap_or_default()) {
                return Ok(event.get("Pos"));
            }
        }
        if events.len() < EVENTS {
            return Ok(None);
        }
        skip += EVENTS;
    }
}
