//! Reads on the primary what the secondary has sent it, from where the last look stopped.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::errant::{event, is_torn};
use super::log_events::whole;
use super::relay_read;
use crate::adapters::home::Home;
use crate::adapters::server::session::{Address, Row, Session, StatementFailed};
use crate::adapters::system;
use crate::adapters::system::{SMALL, read_bytes};
use crate::domain::errant::{Event, FIRST_EVENT};
use crate::domain::flavor::{Flavor, ServerVersion};
use crate::domain::pair::{Membership, Role};
use crate::domain::returned::{RelayPlace, Returned, mark_of};
use crate::domain::settings::{OWN_SCHEMA, RELAY_LOG};
use crate::domain::snapshot::{Observed, ReturnedWrites, Snapshot};
use crate::domain::sql::quote;

/// The number of events to ask for at once.
const EVENTS_A_LOOK: usize = 2000;

/// The time limit for the reading of one `verify`. The next one continues.
const BUDGET: Duration = Duration::from_millis(800);

/// Continues reading the relay logs of the primary's server: `after` an earlier look, or else from where a
/// look was last remembered in this home. It writes nothing.
pub async fn read_on(
    session: &mut Session,
    flavor: &Flavor,
    home: &Home,
    membership: &Membership,
    after: Option<Returned>,
) -> Result<ReturnedWrites> {
    let begun = Instant::now();
    let mut reading = after.unwrap_or_else(|| remembered_of(home, membership));
    if membership.role != Role::Primary {
        hear(session, &mut reading).await?;
    }
    if !flavor.shows_relay_logs() {
        let reading = relay_read::read_on(home, membership, reading, BUDGET)?;
        let more = reading.behind;
        return Ok(ReturnedWrites { reading, more });
    }
    let status = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
    let Some(current) = status.get("Relay_Log_File").as_deref().and_then(number_of) else {
        return Ok(ReturnedWrites { reading, more: false });
    };
    let (mut number, mut from) = match begins(session, home, membership, &mut reading).await? {
        Some(place) => place,
        None => (oldest(session, current).await?, FIRST_EVENT),
    };
    loop {
        let file = name_of(number);
        let mut at_once = EVENTS_A_LOOK;
        // The first one is known already, unless it is the first of the file.
        let mut known = usize::from(from != FIRST_EVENT);
        loop {
            if begun.elapsed() > BUDGET {
                reading.behind = true;
                return Ok(ReturnedWrites { reading, more: true });
            }
            let rows = match events(session, &file, from, at_once).await {
                Ok(rows) => rows,
                // A file that has been dropped since, or the end of one that a server has torn.
                Err(error) if is_torn(&error) => {
                    if at_once > 1 + known {
                        at_once = at_once.div_ceil(8).max(1 + known);
                        continue;
                    }
                    // Or one that the server does not show, because it is too large.
                    let Some((event, next)) = unshown(home, membership, &file, from, known)? else { break };
                    reading.take(&file, &event, &membership.pair);
                    (from, known, at_once) = (next, 0, EVENTS_A_LOOK);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for event in rows.iter().filter_map(event).skip(known) {
                from = event.position.max(from);
                reading.take(&file, &event, &membership.pair);
            }
            if rows.len() < at_once || rows.len() <= known {
                break;
            }
            known = 1;
        }
        number += 1;
        from = FIRST_EVENT;
        if number > current && !is_there(session, number).await? {
            reading.behind = false;
            return Ok(ReturnedWrites { reading, more: false });
        }
    }
}

/// An event that the server of this home does not show, and where the next one begins. Before it `known` events
/// were read already.
fn unshown(
    home: &Home,
    membership: &Membership,
    file: &str,
    from: u64,
    known: usize,
) -> Result<Option<(Event, u64)>> {
    // Whoever looks from the other node believes the primary that there is none.
    if membership.role != Role::Primary {
        return Ok(None);
    }
    let path = home.data().join(file);
    if !path.exists() {
        return Ok(None);
    }
    let mut at = from;
    for _ in 0..known {
        let Some((_, next)) = whole(&path, at)? else { return Ok(None) };
        at = next;
    }
    whole(&path, at)
}

/// How long a look may take before a server is stopped.
const BEFORE_A_STOP: Duration = Duration::from_secs(3);

/// Reads on before the server of a primary is stopped: `MariaDB` drops its relay logs at a start.
pub async fn note(home: &Home, membership: &Membership) {
    if membership.role == Role::Primary {
        // ignored: it keeps no server from being stopped, and `verify` says what cannot be read
        let _ = tokio::time::timeout(BEFORE_A_STOP, read_and_store(home, membership)).await;
    }
}

async fn read_and_store(home: &Home, membership: &Membership) -> Result<()> {
    let account = home.credentials()?.monitor;
    let opened = Session::open(&Address::Socket(home.socket()), &account, BEFORE_A_STOP).await;
    let mut session = opened.map_err(|blind| anyhow!(blind.evidence))?;
    let row = session.one("SELECT VERSION() AS version").await?.unwrap_or_default();
    let version = row.get("version").and_then(|text| ServerVersion::parse(&text));
    let Some(flavor) = version.and_then(|version| Flavor::of(&version)) else { return Ok(()) };
    if !flavor.limits_the_applier() {
        let read = read_on(&mut session, flavor, home, membership, None).await?;
        store(home, &read.reading)?;
    }
    session.close().await;
    Ok(())
}

/// The place from which reading continues, if one of those that are known is still there.
async fn begins(
    session: &mut Session,
    home: &Home,
    membership: &Membership,
    reading: &mut Returned,
) -> Result<Option<(u64, u64)>> {
    for place in reading.places() {
        let mut at = begins_at(session, &place).await?;
        if at.is_none() {
            let unshown = unshown(home, membership, &place.file, place.position, 0)?;
            let same = unshown.is_some_and(|(event, _)| mark_of(&event) == place.mark);
            at = number_of(&place.file).filter(|_| same).map(|number| (number, place.position));
        }
        if let Some(at) = at {
            reading.continues_at(&place);
            return Ok(Some(at));
        }
    }
    reading.begins_anew();
    Ok(None)
}

/// The place from which reading continues, if its relay log is still the one that was read.
async fn begins_at(session: &mut Session, place: &RelayPlace) -> Result<Option<(u64, u64)>> {
    let Some(number) = number_of(&place.file) else { return Ok(None) };
    let rows = match events(session, &place.file, place.position, 1).await {
        Ok(rows) => rows,
        Err(error) if is_torn(&error) || has_no_memory(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let same = rows.iter().filter_map(event).any(|event| mark_of(&event) == place.mark);
    Ok(same.then_some((number, place.position)))
}

/// The errors of a server without memory, of `MySQL` 5.6 and of later ones: a server that is asked for an
/// event in the middle of another one takes what stands there for its length.
///
/// Where an event does begin, this is no answer to go on from: an event that is too large must not hide
/// what comes after it.
fn has_no_memory(error: &anyhow::Error) -> bool {
    const NO_MEMORY: [u16; 2] = [5, 1037];
    let code = error.downcast_ref::<StatementFailed>().and_then(|failed| failed.code);
    code.is_some_and(|code| NO_MEMORY.contains(&code))
}

/// The number of the oldest relay log that is there: they are dropped from the oldest on.
async fn oldest(session: &mut Session, current: u64) -> Result<u64> {
    let (mut gone, mut there) = (0, current);
    while there - gone > 1 {
        let middle = u64::midpoint(gone, there);
        if is_there(session, middle).await? {
            there = middle;
        } else {
            gone = middle;
        }
    }
    Ok(there)
}

async fn is_there(session: &mut Session, number: u64) -> Result<bool> {
    match events(session, &name_of(number), FIRST_EVENT, 1).await {
        Ok(_) => Ok(true),
        Err(error) if is_torn(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn events(session: &mut Session, file: &str, from: u64, most: usize) -> Result<Vec<Row>> {
    session.query(format!("SHOW RELAYLOG EVENTS IN {} FROM {from} LIMIT {most}", quote(file))).await
}

fn name_of(number: u64) -> String {
    format!("{RELAY_LOG}.{number:06}")
}

fn number_of(file: &str) -> Option<u64> {
    file.strip_prefix(RELAY_LOG)?.strip_prefix('.')?.parse().ok()
}

/// On the secondary: takes over what the primary says that its administrator has acknowledged. Nobody who
/// looks from the primary goes by that.
async fn hear(session: &mut Session, reading: &mut Returned) -> Result<()> {
    let there = session.query(format!("SHOW TABLES FROM {OWN_SCHEMA} LIKE 'returned_cleared'")).await?;
    if there.is_empty() {
        return Ok(());
    }
    let row = session
        .one(format!(
            "SELECT id, file, position, mark FROM {OWN_SCHEMA}.returned_cleared WHERE node = @@GLOBAL.server_id"
        ))
        .await?
        .unwrap_or_default();
    let Some(id) = row.get("id").filter(|id| *id != reading.cleared) else { return Ok(()) };
    let position = row.get("position").and_then(|text| text.parse().ok()).unwrap_or(0);
    let text = |name: &str| row.get(name).unwrap_or_default();
    let history = std::mem::take(&mut reading.history);
    *reading = Returned::of(&history);
    reading.place = RelayPlace { file: text("file"), position, mark: text("mark") };
    reading.cleared = id;
    Ok(())
}

/// Each node has a file of its own, so that an exchange of roles forgets nothing.
fn notes(home: &Home, history: &str) -> PathBuf {
    let node = history.rsplit(' ').next().unwrap_or_default();
    home.replication().join(format!("pmp-ha-returned-{node}.json"))
}

/// What this home remembers of the relay logs of the pair's primary.
pub(super) fn remembered_of(home: &Home, membership: &Membership) -> Returned {
    let history = format!("{} {}", membership.pair.id, membership.pair.node(Role::Primary).number);
    remembered(home, &history).unwrap_or_else(|| Returned::of(&history))
}

fn remembered(home: &Home, history: &str) -> Option<Returned> {
    let old: Returned = serde_json::from_slice(&read_bytes(&notes(home, history), SMALL).ok()?).ok()?;
    (old.history == history).then_some(old)
}

/// Remembers in `home` how far the relay logs were read.
pub fn store(home: &Home, reading: &Returned) -> Result<()> {
    system::write_atomic(&notes(home, &reading.history), &serde_json::to_vec(reading)?, 0o600, None)
}

/// Remembers what a look has read, so that the next one continues there.
pub fn remember(home: &Home, seen: &Snapshot) {
    let servers = [&seen.local, &seen.peer].into_iter().filter_map(Observed::seen);
    for writes in servers.filter_map(|server| server.returned.as_ref()?.as_ref().ok()) {
        if remembered(home, &writes.reading.history).as_ref() != Some(&writes.reading) {
            // ignored: an account that may only look reads it again the next time
            let _ = store(home, &writes.reading);
        }
    }
}
