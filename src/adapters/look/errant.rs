//! Searches the secondary's binlog for errant writes, from where the last search stopped.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::log_events::whole;
use crate::adapters::home::{Home, remembered};
use crate::adapters::server::session::{Row, Session, StatementFailed};
use crate::domain::errant::{Event, FIRST_EVENT, Reading};
use crate::domain::pair::{Membership, Pair, Role};
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::snapshot::ErrantWrites;
use crate::domain::sql::quote;
use crate::domain::standing::BinlogPlace;

/// The number of events to ask for at once: without a limit, the query delays commits.
const EVENTS_A_LOOK: usize = 2000;

/// The time limit for the reading of one `verify`. The next one continues.
const BUDGET: Duration = Duration::from_millis(800);

/// Continues reading the binlog of the secondary's server, and writes nothing.
///
/// It begins `after` an earlier check, otherwise where the last recorded check stopped.
pub async fn read_on(
    session: &mut Session,
    home: &Home,
    membership: &Membership,
    after: Option<Reading>,
) -> Result<ErrantWrites> {
    let begun = Instant::now();
    let pack = session.one(format!("SELECT pack_id FROM {OWN_SCHEMA}.pack WHERE node = 1")).await?;
    let pack_id = pack.and_then(|row| row.get("pack_id")).context("the data do not name a pack")?;
    let node = membership.pair.node(Role::Secondary).number;
    // Whoever becomes the secondary has binlogs of its own, full of what it wrote as the primary.
    let history = format!("{pack_id} {node} {}", membership.pair.epoch);
    let cleared = cleared(session, node).await?;
    let logs = session.binary_logs().await?;
    let logs: Vec<(String, u64)> = logs
        .iter()
        .filter_map(|row| Some((row.get("Log_name")?, row.get("File_size")?.parse().ok()?)))
        .collect();
    let first = logs.first().map(|(name, _)| name.clone()).context("the server has no binlog")?;
    let there = |place: &&BinlogPlace| logs.iter().any(|(name, _)| *name == place.file);
    let beginning = BinlogPlace { file: first, position: FIRST_EVENT };
    let beginning = Reading::since(&history, cleared.as_ref().filter(there).unwrap_or(&beginning));
    let mut reading = after
        .or_else(|| remembered::errant::remembered(home))
        // Data that were installed anew have other binlogs of the same names, and what was found is gone.
        .filter(|old| old.history == history && logs.iter().any(|(name, size)| old.is_inside(name, *size)))
        .unwrap_or_else(|| beginning.clone());
    let is_remembered = reading != beginning;
    let begins_in = reading.file.clone();
    // Of the other node's binlogs there are no files here.
    let folder = (membership.role == Role::Secondary).then(|| home.data());
    let log = BinlogsOf { node, pair: &membership.pair, folder };

    let mut unread = 0;
    let newest = logs.last().map(|(name, _)| name.clone());
    for (index, (file, _)) in logs.iter().enumerate().skip_while(|(_, (name, _))| *name != begins_in) {
        if *file != reading.file {
            reading.next_file(file);
        }
        let is_over = newest.as_ref() != Some(file);
        let whole = match read_file(session, &mut reading, &log, Some(begun), is_over).await {
            // Other data: no event begins where the last look ended.
            Err(_) if is_remembered && *file == begins_in => {
                return Box::pin(read_on(session, home, membership, Some(beginning))).await;
            }
            whole => whole?,
        };
        if !whole {
            unread =
                logs[index..].iter().map(|(_, size)| *size).sum::<u64>().saturating_sub(reading.position);
            break;
        }
    }
    if let Some(place) = &cleared {
        reading.forget_before(place);
    }
    Ok(ErrantWrites { found: reading.found.clone(), total: reading.total, unread, reading })
}

/// Up to where nothing in the binlogs of a node counts any more.
async fn cleared(session: &mut Session, node: u32) -> Result<Option<BinlogPlace>> {
    let row = session
        .one(format!("SELECT file, position FROM {OWN_SCHEMA}.errant_cleared WHERE node = {node}"))
        .await?;
    Ok(row.and_then(|row| {
        Some(BinlogPlace { file: row.get("file")?, position: row.get("position")?.parse().ok()? })
    }))
}

/// Reads everything that this node wrote, from a position in its binlogs on.
pub async fn written_since(
    session: &mut Session,
    home: &Home,
    membership: &Membership,
    node: u32,
    since: &BinlogPlace,
) -> Result<Reading> {
    let logs = session.binary_logs().await?;
    let logs: Vec<String> = logs.iter().filter_map(|row| row.get("Log_name")).collect();
    let begin = logs.iter().position(|name| *name == since.file);
    let begin = begin.with_context(|| format!("the binlog {} is gone", since.file))?;
    let mut reading = Reading::since("", since);
    let log = BinlogsOf { node, pair: &membership.pair, folder: Some(home.data()) };
    for (index, file) in logs.iter().enumerate().skip(begin) {
        if *file != reading.file {
            reading.next_file(file);
        }
        read_file(session, &mut reading, &log, None, index + 1 < logs.len()).await?;
    }
    Ok(reading)
}

/// The next events of a file, no more than `most`.
async fn events(session: &mut Session, reading: &Reading, from: u64, most: usize) -> Result<Vec<Row>> {
    session.query(format!("SHOW BINLOG EVENTS IN {} FROM {from} LIMIT {most}", quote(&reading.file))).await
}

/// The error of `SHOW BINLOG EVENTS` whatever is wrong with a file.
const WRONG_OFFSET_OR_IO_ERROR: u16 = 1220;

/// Whether there is no such file, or no such event in it.
pub(super) fn is_torn(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<StatementFailed>()
        .is_some_and(|failed| failed.code == Some(WRONG_OFFSET_OR_IO_ERROR))
}

/// Whose binlogs are read.
struct BinlogsOf<'a> {
    node: u32,
    pair: &'a Pair,
    /// The folder with their files, if they are here.
    folder: Option<PathBuf>,
}

/// Reads one binlog to its end. Returns false if the time limit, counted from `begun`, ends first.
///
/// `is_over`: the server no longer appends to this file.
async fn read_file(
    session: &mut Session,
    reading: &mut Reading,
    log: &BinlogsOf<'_>,
    begun: Option<Instant>,
    is_over: bool,
) -> Result<bool> {
    let mut from = reading.continues_at();
    let mut at_once = EVENTS_A_LOOK;
    loop {
        if begun.is_some_and(|begun| begun.elapsed() > BUDGET) {
            return Ok(false);
        }
        let rows = match events(session, reading, from, at_once).await {
            Ok(rows) => rows,
            Err(error) if is_torn(&error) => {
                if at_once > 1 {
                    at_once = at_once.div_ceil(8);
                    continue;
                }
                let path = log.folder.as_ref().map(|folder| folder.join(&reading.file));
                // The server does not show an event that is too large, but it is in the file.
                if let Some(path) = path.filter(|path| path.exists())
                    && let Some((event, next)) = whole(&path, from)?
                {
                    reading.take(&event, log.node, log.pair);
                    (from, at_once) = (next, EVENTS_A_LOOK);
                    continue;
                }
                // A server that died in the middle of an event leaves it at the end of a file, and begins
                // another: up to there, and to nothing else, the file can be read.
                return if is_over { Ok(true) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        for event in rows.iter().filter_map(event) {
            from = event.end.max(from);
            reading.take(&event, log.node, log.pair);
        }
        if rows.len() < at_once {
            return Ok(true);
        }
    }
}

pub(super) fn event(row: &Row) -> Option<Event> {
    let number = |name: &str| row.get(name)?.parse::<u64>().ok();
    Some(Event {
        position: number("Pos")?,
        end: number("End_log_pos")?,
        kind: row.get("Event_type")?,
        server_id: u32::try_from(number("Server_id")?).ok()?,
        info: row.get("Info").unwrap_or_default(),
    })
}
