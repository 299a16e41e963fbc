//! Reads on the primary what the secondary has sent it, from where the last look stopped.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::errant::{event, is_torn};
use super::relay_files;
use crate::adapters::home::Home;
use crate::adapters::home::remembered::returned::remembered_of;
use crate::adapters::server::session::{Address, Row, Session, StatementFailed};
use crate::domain::errant::FIRST_EVENT;
use crate::domain::flavor::{Flavor, ServerVersion};
use crate::domain::pair::{Membership, Role};
use crate::domain::relay_log::number_of;
use crate::domain::returned::{RelayPlace, Returned, mark_of};
use crate::domain::settings::{OWN_SCHEMA, RELAY_LOG};
use crate::domain::snapshot::ReturnedWrites;
use crate::domain::sql::quote;

/// The number of events to ask for at once.
const EVENTS_A_LOOK: usize = 2000;

/// The time limit for the reading of one `verify`. The next one continues.
const BUDGET: Duration = Duration::from_millis(800);

/// Continues reading the relay logs of the primary's server, and writes nothing.
///
/// It begins `after` an earlier check, otherwise where the last recorded check of this home stopped.
pub async fn read_on(
    session: &mut Session,
    flavor: &Flavor,
    home: &Home,
    membership: &Membership,
    after: Option<Returned>,
) -> Result<ReturnedWrites> {
    let begun = Instant::now();
    let mut reading = after.unwrap_or_else(|| remembered_of(home, membership));
    if membership.role == Role::Primary {
        if is_encrypted(session).await? {
            // It would show what the secondary wants to be seen, and its files say nothing.
            bail!("its server encrypts its relay logs (encrypt_binlog): pmp-ha cannot read their files");
        }
        let status = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
        let is_new = reading.hears(&status.get(&flavor.column("Source_UUID")).unwrap_or_default());
        let (home, membership) = (home.clone(), membership.clone());
        let read = move || relay_files::read_on(&home, &membership, reading, begun + BUDGET);
        let mut reading = tokio::task::spawn_blocking(read).await??;
        if is_new {
            // Also behind what the former secondary had sent.
            reading.expects_a_beginning();
        }
        let more = reading.behind;
        return Ok(ReturnedWrites { reading, more });
    }
    hear(session, &mut reading).await?;
    if !flavor.shows_relay_logs() {
        // Only the primary itself can read them.
        return Ok(ReturnedWrites { reading, more: false });
    }
    let status = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
    let Some(current) = status.get("Relay_Log_File").as_deref().and_then(number_of) else {
        return Ok(ReturnedWrites { reading, more: false });
    };
    let (mut number, mut from) = match begins(session, &mut reading).await? {
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
                    break;
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

/// Whether the server encrypts its relay logs: then only it can read them.
async fn is_encrypted(session: &mut Session) -> Result<bool> {
    let row = session.one("SHOW GLOBAL VARIABLES LIKE 'encrypt\\_binlog'").await?;
    Ok(row.and_then(|row| row.get("Value")).is_some_and(|value| value == "ON"))
}

/// How long a look may take before a server is stopped.
const BEFORE_A_STOP: Duration = Duration::from_secs(3);

/// Continues reading before the server of a primary is stopped: `MariaDB` drops its relay logs at a start.
/// Returns what has to be remembered. It is `None` if nothing could be read: `verify` says why.
pub async fn before_a_stop(home: &Home, membership: &Membership) -> Option<Returned> {
    if membership.role != Role::Primary {
        return None;
    }
    tokio::time::timeout(BEFORE_A_STOP, read_now(home, membership)).await.ok()?.ok()?
}

async fn read_now(home: &Home, membership: &Membership) -> Result<Option<Returned>> {
    let account = home.credentials()?.monitor;
    let opened = Session::open(&Address::Socket(home.socket()), &account, BEFORE_A_STOP).await;
    let mut session = opened.map_err(|blind| anyhow!(blind.evidence))?;
    let row = session.one("SELECT VERSION() AS version").await?.unwrap_or_default();
    let version = row.get("version").and_then(|text| ServerVersion::parse(&text));
    let Some(flavor) = version.and_then(|version| Flavor::of(&version)) else { return Ok(None) };
    let mut reading = None;
    if !flavor.limits_the_applier() {
        reading = Some(read_on(&mut session, flavor, home, membership, None).await?.reading);
    }
    session.close().await;
    Ok(reading)
}

/// The place from which reading continues, if one of those that are known is still there.
async fn begins(session: &mut Session, reading: &mut Returned) -> Result<Option<(u64, u64)>> {
    for place in reading.places() {
        if let Some(at) = begins_at(session, &place).await? {
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
    reading.place = RelayPlace { file: text("file"), position, mark: text("mark"), ..RelayPlace::default() };
    reading.cleared = id;
    Ok(())
}
