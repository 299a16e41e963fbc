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
use crate::adapters::look::pair::{parse_replica, peer_address};
use crate::adapters::server::session::{Address, Row, Session};
use crate::domain::flavor::Flavor;
use crate::domain::own_schema::CLOCK;
use crate::domain::pair::{Membership, Pair};
use crate::domain::rows::{Change, Column, Difference, Range, Shape, Values, differing};
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::snapshot::{Blind, Receiver, ReplicaView};
use crate::domain::sql::quote;

/// How many rows one statement sums up.
const CHUNK: usize = 2000;

/// How many rows one statement names.
pub const IDS: usize = 200;

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
    /// What the server says, with what its workers say.
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
    pub rows: BTreeMap<String, Vec<Difference>>,
    /// Tables that were asked for and could not be compared: one node lacks them, or has them otherwise.
    pub not_compared: Vec<String>,
    /// How many audit rows of this node have not reached the primary, whose way back stands still.
    pub on_their_way: usize,
}

/// The server of this secondary, and that of its primary.
pub struct Nodes<'a> {
    /// The secondary's: everything may be done, nothing is written to its binlog.
    pub here: Session,
    /// The primary's: the product's schema may be read.
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
        bail!("the server at {peer} is another one: its server id is {}", row.get("id").unwrap_or_default());
    }
    Ok(Ok(session))
}

impl<'a> Nodes<'a> {
    /// Puts the two sessions side by side.
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
                if !replica.applier_runs && number != 0 {
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

    /// What the tables of the product are made of, here and there, by name in lower case.
    pub async fn shapes(&mut self) -> Result<(BTreeMap<String, Shape>, BTreeMap<String, Shape>)> {
        let schema = self.pair.schema.clone();
        Ok((shapes(&mut self.here, &schema).await?, shapes(&mut self.there, &schema).await?))
    }

    /// The tables of the primary that are not here, or that are not made the same; with `settled`
    /// only those that are more than a delay.
    pub async fn other_shapes(&mut self, settled: bool) -> Result<Vec<String>> {
        let mut found: Option<Vec<String>> = None;
        for look in 0..2 {
            if look > 0 {
                let clock = self.clock_there().await?;
                self.wait_applied(clock).await?;
            }
            let (here, there) = self.shapes().await?;
            let differs = |(name, shape): &(&String, &Shape)| !here.get(*name).is_some_and(|h| h.fits(shape));
            let mut names: Vec<String> = there.iter().filter(differs).map(|(name, _)| name.clone()).collect();
            if let Some(before) = &found {
                names.retain(|name| before.contains(name));
            }
            if !settled || names.is_empty() {
                return Ok(names);
            }
            found = Some(names);
        }
        Ok(found.unwrap_or_default())
    }

    /// Compares tables that both nodes have, row by row. With `settled` only what is more than a
    /// delay counts; else everything that is different at this moment.
    pub async fn differences(&mut self, tables: &[String], settled: bool) -> Result<Found> {
        let (here, there) = self.shapes().await?;
        let mut pending = BTreeMap::new();
        let mut found = Found::default();
        for name in tables {
            let Some(shape) = here.get(name).filter(|shape| there.get(name).is_some_and(|o| shape.fits(o)))
            else {
                found.not_compared.push(name.clone());
                continue;
            };
            let rows = self.scan(shape).await.with_context(|| format!("cannot compare {name}"))?;
            if !rows.is_empty() {
                pending.insert(name.clone(), rows);
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
            self.look_again(&here, &mut pending, &mut found, look == LOOKS).await?;
        }
        Ok(found)
    }

    /// Sorts out which of the differences are only a delay, and which are not.
    async fn look_again(
        &mut self,
        shapes: &BTreeMap<String, Shape>,
        pending: &mut BTreeMap<String, Vec<Difference>>,
        found: &mut Found,
        last: bool,
    ) -> Result<()> {
        let clock = self.clock_there().await?;
        let audit = self.pair.audit_tables.clone();
        let comes = |(name, rows): (&String, &Vec<Difference>)| {
            audit.contains(name) && rows.iter().any(|row| row.here.is_some() && row.here != row.there)
        };
        let flowed = if pending.iter().any(comes) { self.wait_flowed_back().await? } else { true };
        self.wait_applied(clock).await?;
        for (name, rows) in std::mem::take(pending) {
            let shape = shapes.get(&name).context("a table is gone")?;
            let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            let here = self.prints_here(shape, &ids).await?;
            let there = self.prints_there(shape, &ids).await?;
            for row in rows {
                let now = Difference {
                    id: row.id.clone(),
                    here: here.get(&row.id).cloned(),
                    there: there.get(&row.id).cloned(),
                };
                let follows = shape.has_key()
                    && now.here.is_some()
                    && now.there.is_some()
                    && row.here.is_some()
                    && now.here != row.here
                    && now.there != row.there;
                if now.here == now.there || follows {
                    // A row that both nodes rewrite all the time is written as a whole each time.
                } else if !flowed && matches!(shape.change(&self.pair, &now), Some((Change::Merge, _))) {
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
    async fn scan(&mut self, shape: &Shape) -> Result<Vec<Difference>> {
        let schema = self.pair.schema.clone();
        let mut out = Vec::new();
        let mut range = Range::default();
        loop {
            self.interrupt.check()?;
            if shape.has_key() {
                let next = shape.next_bound(&schema, range.lower.as_deref(), CHUNK);
                range.upper = self.there.one(next).await?.and_then(|row| row.get("pmp_ha_id"));
            }
            let sql = shape.summary(&schema, &range);
            let (here, there) = tokio::join!(self.here.one(sql.clone()), self.there.one(sql));
            let sum = |row: Option<Row>| -> Result<(String, String)> {
                let row = row.unwrap_or_default();
                row.get("pmp_ha_rows").zip(row.get("pmp_ha_sum")).context("the server gave no checksum")
            };
            if sum(here?)? != sum(there?)? {
                let sql = shape.prints(&schema, &range);
                let (here, there) = tokio::join!(self.here.query(sql.clone()), self.there.query(sql));
                out.extend(differing(&by_id(&here?)?, &by_id(&there?)?));
            }
            match range.upper.take() {
                Some(upper) => range.lower = Some(upper),
                None => return Ok(out),
            }
        }
    }

    async fn prints_here(&mut self, shape: &Shape, ids: &[&str]) -> Result<BTreeMap<String, String>> {
        prints(&mut self.here, &self.pair.schema, shape, ids).await
    }

    async fn prints_there(&mut self, shape: &Shape, ids: &[&str]) -> Result<BTreeMap<String, String>> {
        prints(&mut self.there, &self.pair.schema, shape, ids).await
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

/// Reads whole rows by their ids: each with its id and its fingerprint.
pub async fn rows(
    session: &mut Session,
    schema: &str,
    shape: &Shape,
    ids: &[&str],
) -> Result<Vec<(String, String, Values)>> {
    let mut out = Vec::new();
    for ids in ids.chunks(IDS) {
        for row in session.query(shape.rows_of(schema, ids)).await? {
            let mut values = row.values();
            let (id, print) = (values.next().flatten(), values.next().flatten());
            let read = values.map(|value| match value {
                Some("N") => Ok(None),
                Some(value) => Ok(value.strip_prefix('V').map(ToOwned::to_owned)),
                None => Err(anyhow!("a value of {} is longer than max_allowed_packet allows", shape.name)),
            });
            let values = Values(read.collect::<Result<_>>()?);
            out.push((
                id.context("a row without an id")?.into(),
                print.context("no fingerprint")?.into(),
                values,
            ));
        }
    }
    Ok(out)
}

async fn prints(
    session: &mut Session,
    schema: &str,
    shape: &Shape,
    ids: &[&str],
) -> Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for ids in ids.chunks(IDS) {
        out.extend(by_id(&session.query(shape.prints_of(schema, ids)).await?)?);
    }
    Ok(out)
}

fn by_id(rows: &[Row]) -> Result<BTreeMap<String, String>> {
    rows.iter()
        .map(|row| row.get("pmp_ha_id").zip(row.get("pmp_ha_print")).context("a row without a fingerprint"))
        .collect()
}

async fn clock(session: &mut Session) -> Result<i64> {
    let row = session.one(format!("SELECT {CLOCK} AS clock")).await?.unwrap_or_default();
    row.get("clock").and_then(|text| text.parse().ok()).context("the server tells no time")
}

async fn beat(session: &mut Session, node: u32) -> Result<i64> {
    let row = session.one(format!("SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = {node}")).await?;
    Ok(row.and_then(|row| row.get("beat")).and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What the tables of a schema are made of, by name in lower case.
pub async fn shapes(session: &mut Session, schema: &str) -> Result<BTreeMap<String, Shape>> {
    let of_schema = format!("TABLE_SCHEMA = {}", quote(schema));
    let get = |row: &Row, name: &str| row.get(name).unwrap_or_default();
    let mut out = BTreeMap::new();
    let tables = format!(
        "SELECT TABLE_NAME AS tbl FROM information_schema.TABLES WHERE {of_schema} AND TABLE_TYPE = 'BASE TABLE'"
    );
    for row in session.query(tables).await? {
        let name = get(&row, "tbl");
        out.insert(
            name.to_lowercase(),
            Shape { name, columns: Vec::new(), key: Vec::new(), triggers: false },
        );
    }
    let columns = format!(
        "SELECT TABLE_NAME AS tbl, COLUMN_NAME AS name, DATA_TYPE AS kind, COLUMN_TYPE AS whole, IS_NULLABLE AS nullable, \
         CHARACTER_SET_NAME AS cset, COLLATION_NAME AS coll, EXTRA AS extra \
         FROM information_schema.COLUMNS WHERE {of_schema} ORDER BY TABLE_NAME, ORDINAL_POSITION"
    );
    for row in session.query(columns).await? {
        let Some(shape) = out.get_mut(&get(&row, "tbl").to_lowercase()) else { continue };
        let (charset, collation) = (get(&row, "cset"), get(&row, "coll"));
        let extra = get(&row, "extra").to_uppercase();
        let computed = ["VIRTUAL", "STORED", "PERSISTENT"].iter().any(|word| extra.contains(word));
        shape.columns.push(Column {
            name: get(&row, "name"),
            kind: get(&row, "kind").to_lowercase(),
            definition: format!("{} {} {collation} {computed}", get(&row, "whole"), get(&row, "nullable")),
            text: (!charset.is_empty()).then_some((charset, collation)),
            computed,
        });
    }
    let keys = format!(
        "SELECT TABLE_NAME AS tbl, INDEX_NAME AS idx, COLUMN_NAME AS name, NULLABLE AS nullable, SUB_PART AS part \
         FROM information_schema.STATISTICS WHERE {of_schema} AND NON_UNIQUE = 0 \
         ORDER BY TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"
    );
    let mut found: Vec<((String, String), Vec<String>, bool)> = Vec::new();
    for row in session.query(keys).await? {
        let index = (get(&row, "tbl").to_lowercase(), get(&row, "idx"));
        let whole = get(&row, "nullable") != "YES" && row.get("part").is_none() && row.get("name").is_some();
        match found.last_mut() {
            Some((last, names, usable)) if *last == index => {
                names.push(get(&row, "name"));
                *usable &= whole;
            }
            _ => found.push((index, vec![get(&row, "name")], whole)),
        }
    }
    if let Some(empty) = out.values().find(|shape| shape.columns.is_empty()) {
        bail!("the server does not say what the table {} is made of", empty.name);
    }
    for ((table, _), names, usable) in found {
        if let Some(shape) = out.get_mut(&table)
            && usable
            && shape.key.is_empty()
        {
            shape.key = Shape::usable_key(&shape.columns, &names);
        }
    }
    let triggers = format!(
        "SELECT EVENT_OBJECT_TABLE AS tbl FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {}",
        quote(schema)
    );
    for row in session.query(triggers).await? {
        if let Some(shape) = out.get_mut(&get(&row, "tbl").to_lowercase()) {
            shape.triggers = true;
        }
    }
    Ok(out)
}
