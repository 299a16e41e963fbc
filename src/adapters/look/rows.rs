//! The rows of both nodes side by side: what differs, and whether it is more than a delay.
//!
//! It only reads. The primary goes on working meanwhile, so that a difference counts only when the
//! primary's row was the same in two reads and the secondary has applied the first of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::catalogue::fault_of_table;
use crate::adapters::look::pair::{parse_replica, peer_address};
use crate::adapters::server::session::{Address, Row, Session};
use crate::domain::flavor::Flavor;
use crate::domain::own_schema::CLOCK;
use crate::domain::pair::{Membership, Pair};
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::snapshot::{Blind, Receiver, ReplicaView};
use crate::domain::table::change::{Correction, change};
use crate::domain::table::equality::{Prints, RowDifference, differing};
use crate::domain::table::range::{Bound, Range, boundary_query};
use crate::domain::table::rows::{Rows, Values};
use crate::domain::table::structure::{LeftOut, Structure};

/// How many rows one statement sums up.
const CHUNK: u64 = 2000;

/// How many rows one statement names.
pub const IDS: usize = 200;

/// What a statement holds besides the values of one row: its key, the names of its columns.
const AROUND_A_ROW: u64 = 64 << 10;

/// How often a row that changes all the time is looked at before the look counts.
const LOOKS: usize = 6;

/// How often a wait looks.
const TICK: Duration = Duration::from_millis(100);

/// How long the other node's heartbeat may stand still.
const STALL: Duration = Duration::from_secs(60);

/// How long the way back may stand still before it counts as broken.
const BACK_STALL: Duration = Duration::from_secs(12);

/// How long the primary may take to let us in.
const LOGIN: Duration = Duration::from_secs(10);

/// Values are written as they were read: a zero stays a zero, an odd date an odd date.
const SESSION: &str =
    "SET SESSION time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'";

/// The applier stopped at an error.
#[derive(Debug)]
pub struct ApplierFailed {
    /// Its number.
    pub number: u32,
    /// The message of the server, with the messages of its workers.
    pub message: String,
}

impl fmt::Display for ApplierFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the applier stopped at error {}: {}", self.number, self.message)
    }
}

impl std::error::Error for ApplierFailed {}

/// What differs, by table.
#[derive(Debug, Default)]
pub struct Found {
    /// The rows.
    pub rows: BTreeMap<String, Vec<RowDifference>>,
    /// Named tables that cannot be compared: one node lacks them, or their structure differs.
    pub not_compared: Vec<String>,
    /// Tables that could not be read to their end.
    pub unreadable: Vec<LeftOut>,
    /// The number of audit rows that have not reached the primary, whose return channel is stopped.
    pub on_their_way: usize,
}

/// The server of this secondary, and that of its primary.
pub struct Nodes<'a> {
    /// The secondary's session: it may do everything, and writes nothing to its binlog.
    pub here: Session,
    /// The primary's session: it may read the product's schema.
    pub there: Session,
    /// Both are of this.
    pub flavor: &'static Flavor,
    /// The pair.
    pub pair: Pair,
    this: u32,
    peer: u32,
    interrupt: &'a Interrupt,
}

/// Makes a session read values as every other session here does.
pub async fn read_alike(session: &mut Session) -> Result<()> {
    session.run(SESSION).await
}

/// Logs in to the server of this home.
pub async fn open_here(home: &Home) -> Result<Result<Session, Blind>> {
    open_on(home, home.socket()).await
}

/// Logs in to the server of an offline boot of this home.
pub async fn open_booted(home: &Home) -> Result<Result<Session, Blind>> {
    open_on(home, home.boot_socket()).await
}

async fn open_on(home: &Home, socket: PathBuf) -> Result<Result<Session, Blind>> {
    let account = home.credentials()?.admin;
    let mut session = match Session::open(&Address::Socket(socket), &account, LOGIN).await {
        Ok(session) => session,
        Err(blind) => return Ok(Err(blind)),
    };
    session.run(SESSION).await?;
    session.run("SET SESSION sql_log_bin = 0, foreign_key_checks = 0").await?;
    Ok(Ok(session))
}

/// Logs in to the server of the other node.
pub async fn open_there(home: &Home, membership: &Membership) -> Result<Result<Session, Blind>> {
    let account = home.credentials()?.reader;
    let peer = membership.peer();
    let address = peer_address(home, membership).await;
    let mut session = match Session::open(&address, &account, LOGIN).await {
        Ok(session) => session,
        Err(blind) => return Ok(Err(blind)),
    };
    session.run(SESSION).await?;
    let row = session.one("SELECT @@GLOBAL.server_id AS id").await?.unwrap_or_default();
    if row.get("id") != Some(peer.number.to_string()) {
        bail!(
            "the server at {peer} is a different one: its server id is {}",
            row.get("id").unwrap_or_default()
        );
    }
    Ok(Ok(session))
}

impl<'a> Nodes<'a> {
    /// Combines the two sessions.
    #[must_use]
    pub fn of(
        here: Session,
        there: Session,
        flavor: &'static Flavor,
        membership: &Membership,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            here,
            there,
            flavor,
            pair: membership.pair.clone(),
            this: membership.this().number,
            peer: membership.peer().number,
            interrupt,
        }
    }

    /// The replica side of this secondary; the applier's error with what its workers say.
    pub async fn replica(&mut self) -> Result<Option<ReplicaView>> {
        replica(&mut self.here, self.flavor).await
    }

    /// The clock of the primary.
    pub async fn clock_there(&mut self) -> Result<i64> {
        clock(&mut self.there).await
    }

    /// Waits until everything is applied here that the primary had committed at `clock`.
    ///
    /// # Errors
    /// [`ApplierFailed`] when the applier stops at an error meanwhile.
    pub async fn wait_applied(&mut self, clock: i64) -> Result<()> {
        let mut last = (0, Instant::now());
        for tick in 0u64.. {
            self.interrupt.check()?;
            let beat = beat(&mut self.here, self.peer).await?;
            if beat >= clock {
                return Ok(());
            }
            if beat != last.0 {
                last = (beat, Instant::now());
            }
            if tick % 5 == 0 {
                let replica = self.replica().await?.context("the secondary has no source")?;
                let (number, message) = replica.applier_error;
                if !replica.applier_runs && (number != 0 || !message.is_empty()) {
                    return Err(ApplierFailed { number, message }.into());
                }
                let stopped = !replica.applier_runs || replica.receiver == Receiver::Stopped;
                if last.1.elapsed() > STALL || (stopped && tick > 20) {
                    let (number, message) = replica.receiver_error;
                    bail!(
                        "no heartbeat of the primary is applied here any more (receiver {:?}, error {number}: {message}; applier {})",
                        replica.receiver,
                        if replica.applier_runs { "runs" } else { "stopped" }
                    );
                }
            }
            self.interrupt.sleep(TICK).await?;
        }
        Ok(())
    }

    /// Waits until the primary has applied everything that is committed here now. Returns whether
    /// it has: its way back may stand still.
    async fn wait_flowed_back(&mut self) -> Result<bool> {
        let now = clock(&mut self.here).await?;
        let mut last = (0, Instant::now());
        loop {
            let beat = beat(&mut self.there, self.this).await?;
            if beat >= now {
                return Ok(true);
            }
            if beat != last.0 {
                last = (beat, Instant::now());
            }
            if last.1.elapsed() > BACK_STALL {
                return Ok(false);
            }
            self.interrupt.sleep(TICK).await?;
        }
    }

    /// Compares tables that both nodes have, row by row.
    ///
    /// With `settled`, only what is more than a delay counts; otherwise everything that differs at this
    /// moment.
    pub async fn differences(
        &mut self,
        structure: &Structure,
        tables: &[String],
        settled: bool,
    ) -> Result<Found> {
        let schema = self.pair.schema.clone();
        let mut pending = BTreeMap::new();
        let mut found = Found::default();
        for name in tables {
            let alike = structure.here.get(name).zip(structure.there.get(name));
            let Some((_, shape)) = alike.filter(|(here, there)| there.differences(here).is_empty()) else {
                found.not_compared.push(name.clone());
                continue;
            };
            match self.scan(&Rows::of(self.flavor, &schema, shape)).await {
                Ok(rows) if rows.is_empty() => {}
                Ok(rows) => {
                    pending.insert(name.clone(), rows);
                }
                Err(error) => found.unreadable.push((name.clone(), fault_of_table(error)?)),
            }
        }
        if !settled {
            found.rows = pending;
            return Ok(found);
        }
        for look in 1..=LOOKS {
            if pending.is_empty() {
                break;
            }
            self.look_again(structure, &mut pending, &mut found, look == LOOKS).await?;
        }
        Ok(found)
    }

    /// The tables with a differing row that is too long for a statement, and the longest statement.
    pub async fn too_long(&mut self, structure: &Structure, found: &Found) -> Result<(Vec<String>, u64)> {
        let (here, there) = (largest_packet(&mut self.here).await?, largest_packet(&mut self.there).await?);
        let most = here.min(there);
        let schema = self.pair.schema.clone();
        let mut out = Vec::new();
        for (name, differences) in &found.rows {
            let Some(shape) = structure.there.get(name) else { continue };
            let table = Rows::of(self.flavor, &schema, shape);
            let ids: Vec<&Bound> = differences.iter().map(|difference| &difference.id).collect();
            for ids in ids.chunks(IDS) {
                let sql = table.longer_than(ids, most.saturating_sub(AROUND_A_ROW));
                let (here, there) = tokio::join!(self.here.one(sql.clone()), self.there.one(sql));
                let is_there = |row: Option<Row>| {
                    row.and_then(|row| row.get("pmp_ha_rows")).is_some_and(|rows| rows != "0")
                };
                if is_there(here?) || is_there(there?) {
                    out.push(name.clone());
                    break;
                }
            }
        }
        Ok((out, most))
    }

    /// Sorts out which of the differences are only a delay, and which are not.
    async fn look_again(
        &mut self,
        structure: &Structure,
        pending: &mut BTreeMap<String, Vec<RowDifference>>,
        found: &mut Found,
        last: bool,
    ) -> Result<()> {
        let clock = self.clock_there().await?;
        let audit = self.pair.audit_tables.clone();
        let comes = |(name, rows): (&String, &Vec<RowDifference>)| {
            audit.contains(name) && rows.iter().any(|row| row.here.is_some() && row.here != row.there)
        };
        let flowed = if pending.iter().any(comes) { self.wait_flowed_back().await? } else { true };
        self.wait_applied(clock).await?;
        for (name, rows) in std::mem::take(pending) {
            let schema = self.pair.schema.clone();
            let shape = structure.there.get(&name).context("a table is gone")?;
            let table = Rows::of(self.flavor, &schema, shape);
            let ids: Vec<&Bound> = rows.iter().map(|row| &row.id).collect();
            let here = prints(&mut self.here, &table, &ids).await?;
            let there = prints(&mut self.there, &table, &ids).await?;
            for row in rows {
                let now = RowDifference {
                    id: row.id.clone(),
                    here: here.get(&row.id).cloned(),
                    there: there.get(&row.id).cloned(),
                };
                let follows = table.has_key()
                    && now.here.is_some()
                    && now.there.is_some()
                    && row.here.is_some()
                    && now.here != row.here
                    && now.there != row.there;
                if now.here == now.there || follows {
                    // A row that both nodes rewrite all the time is written as a whole each time.
                } else if !flowed
                    && matches!(
                        change(&self.pair, &name, table.has_key(), &now),
                        Some((Correction::Merge, _))
                    )
                {
                    found.on_their_way += 1;
                } else if now.there == row.there || last {
                    found.rows.entry(name.clone()).or_default().push(now);
                } else {
                    pending.entry(name.clone()).or_default().push(now);
                }
            }
        }
        Ok(())
    }

    /// Goes through a table on both nodes, chunk by chunk, and into the chunks that differ.
    async fn scan(&mut self, rows: &Rows<'_>) -> Result<Vec<RowDifference>> {
        let mut out = Vec::new();
        let mut range = Range::default();
        loop {
            self.interrupt.check()?;
            if let Some(key) = &rows.key {
                let next = boundary_query(&rows.from(), key, &range, CHUNK - 1);
                let next = self.there.one(next).await?;
                range.upper = next.map(|row| id_of(rows, &row)).transpose()?;
            }
            let sql = rows.summary(&range);
            let (here, there) = tokio::join!(self.here.one(sql.clone()), self.there.one(sql));
            let sum = |row: Option<Row>| -> Result<(String, String)> {
                let row = row.unwrap_or_default();
                row.get("pmp_ha_rows").zip(row.get("pmp_ha_sum")).context("the server gave no checksum")
            };
            if sum(here?)? != sum(there?)? {
                let sql = rows.prints(&range);
                let (here, there) = tokio::join!(self.here.query(sql.clone()), self.there.query(sql));
                out.extend(differing(&by_id(rows, &here?)?, &by_id(rows, &there?)?));
            }
            match range.upper.take() {
                Some(upper) => range.lower = Some(upper),
                None => return Ok(out),
            }
        }
    }
}

/// Looks at the replica side of a server.
pub async fn replica(session: &mut Session, flavor: &Flavor) -> Result<Option<ReplicaView>> {
    let Some(row) = session.one(flavor.show_replica_status()).await? else { return Ok(None) };
    let mut view = parse_replica(flavor, &row);
    if view.applier_error.0 != 0
        && let Some(query) = flavor.worker_errors_query()
    {
        let workers = session.query(query).await?;
        if let Some(number) = workers.iter().find_map(|row| row.get("number")?.parse().ok()) {
            view.applier_error.0 = number;
        }
        for message in workers.iter().filter_map(|row| row.get("message")) {
            view.applier_error.1.push_str("; ");
            view.applier_error.1.push_str(&message);
        }
    }
    Ok(Some(view))
}

/// Reads whole rows by their ids: each with its id and its digest.
pub async fn rows(
    session: &mut Session,
    table: &Rows<'_>,
    ids: &[&Bound],
) -> Result<Vec<(Bound, String, Values)>> {
    let mut out = Vec::new();
    for ids in ids.chunks(IDS) {
        for row in session.query(table.values_of(ids)).await? {
            let read = row.values().skip(table.before_values()).map(|value| match value {
                Some("N") => Ok(None),
                Some(value) => Ok(value.strip_prefix('V').map(ToOwned::to_owned)),
                None => {
                    Err(anyhow!("a value of {} is longer than max_allowed_packet allows", table.shape.name))
                }
            });
            let values = Values(read.collect::<Result<_>>()?);
            out.push((id_of(table, &row)?, row.get("digest").context("a row without a digest")?, values));
        }
    }
    Ok(out)
}

async fn prints(session: &mut Session, table: &Rows<'_>, ids: &[&Bound]) -> Result<Prints> {
    let mut out = Prints::new();
    for ids in ids.chunks(IDS) {
        out.extend(by_id(table, &session.query(table.prints_of(ids)).await?)?);
    }
    Ok(out)
}

fn id_of(table: &Rows<'_>, row: &Row) -> Result<Bound> {
    table.read_id(|name| row.get(name)).context("a key cannot be read")
}

fn by_id(table: &Rows<'_>, rows: &[Row]) -> Result<Prints> {
    rows.iter()
        .map(|row| Ok((id_of(table, row)?, row.get("digest").context("a row without a digest")?)))
        .collect()
}

async fn largest_packet(session: &mut Session) -> Result<u64> {
    let row = session.one("SELECT @@SESSION.max_allowed_packet AS bytes").await?.unwrap_or_default();
    row.get("bytes")
        .and_then(|text| text.parse().ok())
        .context("the server does not say its max_allowed_packet")
}

async fn clock(session: &mut Session) -> Result<i64> {
    let row = session.one(format!("SELECT {CLOCK} AS clock")).await?.unwrap_or_default();
    row.get("clock").and_then(|text| text.parse().ok()).context("the server does not report its time")
}

async fn beat(session: &mut Session, node: u32) -> Result<i64> {
    let row = session.one(format!("SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = {node}")).await?;
    Ok(row.and_then(|row| row.get("beat")).and_then(|text| text.parse().ok()).unwrap_or(0))
}
