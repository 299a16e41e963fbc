//! Working off what a secondary had received and not applied when it stopped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::adapters::home::Home;
use crate::adapters::mysql::{Row, Session};
use crate::domain::coordinates::MariaDbPosition;
use crate::domain::flavor::{Flavor, Positioning};
use crate::domain::settings::RELAY_LOG;
use crate::failure::{Failure, Kind};

/// How long the applier may make no progress.
const STALL: Duration = Duration::from_secs(60);

/// How many events are read at a time.
const EVENTS: usize = 1000;

/// Applies everything that stands in the relay logs.
///
/// # Errors
/// Refuses when the applier stops at an error, before anything was changed for good.
pub(super) async fn work_off(home: &Home, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let Some(row) = session.one(flavor.show_replica_status()).await? else { return Ok(()) };
    let column = |row: &Row, name: &str| row.get(&flavor.column(name)).unwrap_or_default();
    if column(&row, "Source_Host").is_empty() {
        return Ok(());
    }
    if flavor.positioning == Positioning::MariaDbGtid {
        let Some((file, position)) = first_not_applied(home, session).await? else {
            return Ok(());
        };
        session.run(flavor.read_relay_log_from(&file, &position)).await?;
    }
    session.run(flavor.start_applier()).await?;
    let mut last = (String::new(), Instant::now());
    loop {
        let row = session.one(flavor.show_replica_status()).await?.context("the replica status is gone")?;
        let error = column(&row, "Last_SQL_Errno");
        if error != "0" {
            bail!(
                Failure::new(Kind::Refused, "what the secondary had received cannot all be applied")
                    .because(format!("error {error}: {}", column(&row, "Last_SQL_Error")))
                    .hint("Nothing was changed. If the rest of what was received is to be given up, add --accept-loss.")
            );
        }
        if column(&row, "Replica_SQL_Running_State").contains("has read all relay log") {
            return Ok(());
        }
        let at = format!("{} {}", column(&row, "Relay_Log_File"), column(&row, "Relay_Log_Pos"));
        if at != last.0 {
            last = (at, Instant::now());
        } else if last.1.elapsed() > STALL {
            bail!("the applier makes no progress at {}", last.0);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Finds the first transaction of `MariaDB`'s relay logs that is not applied; `None` when all are.
///
/// Where the applier stopped stands in a file that lags behind the data after a crash, so it is
/// not believed: the GTID position in the data decides.
async fn first_not_applied(home: &Home, session: &mut Session) -> Result<Option<(String, String)>> {
    let row = session.one("SELECT @@GLOBAL.gtid_slave_pos AS position").await?.unwrap_or_default();
    let applied = MariaDbPosition::parse(&row.get("position").unwrap_or_default());
    let index = fs::read_to_string(home.data().join(format!("{RELAY_LOG}.index")))?;
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
        let file = crate::domain::sql::quote(file);
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
