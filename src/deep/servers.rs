//! The two sessions of a comparison, and the waiting for what comes over replication.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::task::{Table, Task};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::catalogue::{self, folds};
use crate::adapters::look::pair::{parse_replica, peer_address};
use crate::adapters::server::session::{Address, Row, Session};
use crate::domain::deep::crc::{self, Piece};
use crate::domain::locks::LOCK_WORD;
use crate::domain::own_schema::CLOCK;
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::snapshot::Receiver;
use crate::domain::sql::quote;
use crate::domain::table::{Shape, columns_query, names_query, tables_query};
use crate::failure::{Failure, Kind};

const LOGIN_DEADLINE: Duration = Duration::from_secs(5);

/// A table without a key is read in one statement, however large it is.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// How long locks of the application may keep a statement from its rows.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// How long the figures of the secondary may take, as long as it replicates.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// How long nothing has to come before the secondary is asked whether it replicates at all.
const ASK_AFTER: Duration = Duration::from_secs(3);

/// The lock that keeps two comparisons apart, a statement of a killed one included.
const LOCK: &str = "pmp_ha.deep";

/// The figures of a piece: its rows, and the number for what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PieceFigures {
    pub(super) rows: u64,
    pub(super) crc: String,
}

/// A piece that was compared.
#[derive(Debug, Clone)]
pub(super) struct Compared {
    pub(super) chunk: u32,
    pub(super) here: PieceFigures,
    pub(super) there: PieceFigures,
    pub(super) took: Duration,
}

impl Compared {
    pub(super) fn same(&self) -> bool {
        self.here == self.there
    }

    pub(super) fn most_rows(&self) -> u64 {
        self.here.rows.max(self.there.rows)
    }
}

pub(super) struct Servers {
    /// The primary, where statements are replicated from.
    pub(super) here: Session,
    /// The secondary, which is only read.
    pub(super) there: Session,
    primary: u32,
    secondary: u32,
    /// Whether the secondary takes names for the same that differ in case.
    pub(super) folds: bool,
    /// The lock of a comparison.
    lock: String,
}

impl Servers {
    pub(super) async fn open(task: &Task<'_>) -> Result<Self> {
        let credentials = task.home.credentials()?;
        let peer = task.membership.peer();
        let unseen = |node: &str, evidence: String| {
            Failure::new(Kind::Refused, format!("cannot log in to the database of {node}"))
                .code("login-refused")
                .because(evidence)
                .hint("`pmp-ha verify` shows whether it runs and accepts this node.")
        };
        let socket = Address::Socket(task.home.socket());
        let here = Session::open(&socket, &credentials.admin, LOGIN_DEADLINE).await;
        let mut here =
            here.map_err(|blind| unseen("this node", blind.evidence))?.with_deadline(STATEMENT_DEADLINE);
        let address = peer_address(task.home, task.membership).await;
        let there = Session::open(&address, &credentials.reader, LOGIN_DEADLINE).await;
        let mut there = there.map_err(|blind| unseen(&peer.to_string(), blind.evidence))?;

        // Both compute with the same words; those of the primary go along with each statement.
        for session in [&mut here, &mut there] {
            session.run("SET NAMES utf8mb4").await?;
            session.run("SET SESSION time_zone = '+00:00', sql_mode = '', wait_timeout = 28800").await?;
        }
        // Replicated as a statement, which sees the rows that its locks hold still.
        here.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        here.run("SET SESSION binlog_format = 'STATEMENT', innodb_lock_wait_timeout = 1").await?;
        let folds = folds(&mut there).await?;
        let mut this = Self {
            here,
            there,
            folds,
            lock: String::new(),
            primary: task.membership.this().number,
            secondary: task.membership.peer().number,
        };
        this.require_own_table().await?;
        this.lock().await?;
        Ok(this)
    }

    /// Without its table on the secondary the first statement would stop the applier.
    async fn require_own_table(&mut self) -> Result<()> {
        let query = columns_query(OWN_SCHEMA, Some("checksum"));
        let (here, there) = (self.here.query(query.clone()).await?, self.there.query(query).await?);
        let named = |rows: &[Row]| rows.iter().filter_map(|row| row.get("name")).collect::<Vec<_>>();
        if here.is_empty() || named(&here) != named(&there) {
            bail!(
                Failure::new(Kind::Refused, "the tool's own tables are not on both nodes")
                    .code("other-version")
                    .because(format!("{OWN_SCHEMA}.checksum is missing or different"))
                    .hint(
                        "Another version set up the pair. Make a new pack with `pmp-ha pack`, and install it."
                    )
            );
        }
        Ok(())
    }

    async fn lock(&mut self) -> Result<()> {
        // Nobody else knows the word. A pair that was set up before has none.
        let word = self.here.one(LOCK_WORD).await.ok().flatten().and_then(|row| row.get("word"));
        self.lock = word.map_or_else(|| LOCK.to_owned(), |word| format!("{LOCK}.{word}"));
        let taken = self.here.one(format!("SELECT GET_LOCK({}, 5) AS taken", quote(&self.lock))).await?;
        if taken.and_then(|row| row.get("taken")).as_deref() == Some("1") {
            return Ok(());
        }
        bail!(
            Failure::new(Kind::Refused, "another comparison of the data is running")
                .code("home-busy")
                .because(format!("another session of the database holds the lock {LOCK}"))
                .hint("Wait until it has ended. If it was killed, its last statement may still run.")
        )
    }

    pub(super) async fn close(&mut self) {
        // ignored: the lock goes with the session, which may still be busy with what was cut off
        let release = self.here.run(format!("DO RELEASE_LOCK({})", quote(&self.lock)));
        let _ = tokio::time::timeout(Duration::from_secs(1), release).await;
    }

    pub(super) async fn tables_here(&mut self, schema: &str) -> Result<Vec<Table>> {
        read_tables(&mut self.here, schema).await
    }

    pub(super) async fn tables_there(&mut self, schema: &str) -> Result<Vec<Table>> {
        read_tables(&mut self.there, schema).await
    }

    /// What a table looks like on both nodes.
    pub(super) async fn shapes(&mut self, schema: &str, table: &str) -> Result<(Shape, Shape)> {
        let here = catalogue::shape(&mut self.here, schema, table, false).await?;
        Ok((here, catalogue::shape(&mut self.there, schema, table, self.folds).await?))
    }

    /// Why a table cannot be read, by the nodes that cannot. The statement that compares it would stop
    /// the applier.
    pub(super) async fn unreadable(
        &mut self,
        schema: &str,
        table: &str,
        on_primary: bool,
        on_secondary: bool,
    ) -> Result<Vec<String>> {
        let nodes = [(on_primary, "primary", &mut self.here), (on_secondary, "secondary", &mut self.there)];
        let mut out = Vec::new();
        for (has_it, node, session) in nodes {
            if has_it && let Some(why) = catalogue::unreadable(session, schema, table).await? {
                out.push(format!("the {node} reports: {why}"));
            }
        }
        Ok(out)
    }

    /// Compares a piece, at one point of replication.
    pub(super) async fn compare(
        &mut self,
        task: &Task<'_>,
        run: &str,
        piece: &Piece<'_>,
        chunk: u32,
    ) -> Result<Compared> {
        let took = self.insert(task.interrupt, run, piece, chunk).await?;
        let own = self.here.one(crc::own_query(run, piece.table(), chunk)).await?;
        let here = figures(&own.context("the figures of a piece are gone")?)?;
        self.here.run(crc::tell_source(run, piece.table(), chunk, here.rows, &here.crc)).await?;
        let there = self.arrival(task, run, piece.table(), chunk).await?;
        Ok(Compared { chunk, here, there, took })
    }

    async fn insert(
        &mut self,
        interrupt: &Interrupt,
        run: &str,
        piece: &Piece<'_>,
        chunk: u32,
    ) -> Result<Duration> {
        let first = Instant::now();
        loop {
            let begun = Instant::now();
            let stopped = async {
                while interrupt.check().is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let done = tokio::select! {
                done = self.here.run(piece.insert(run, chunk)) => done,
                () = stopped => { interrupt.check()?; Ok(()) }
            };
            let Err(error) = done else { return Ok(begun.elapsed()) };
            // Lock wait timeout, deadlock: the application comes first.
            let locked = ["error 1205:", "error 1213:"].iter().any(|code| error.to_string().contains(code));
            if !locked || first.elapsed() > LOCK_PATIENCE {
                return Err(error);
            }
            interrupt.sleep(Duration::from_millis(200)).await?;
        }
    }

    /// Waits until the secondary has computed a piece. It so follows its own pace.
    async fn arrival(&mut self, task: &Task<'_>, run: &str, table: &str, chunk: u32) -> Result<PieceFigures> {
        let begun = Instant::now();
        let mut asked = begun;
        let mut tick = Duration::from_millis(2);
        loop {
            if let Some(row) = self.there.one(crc::arrived_query(run, table, chunk)).await? {
                return figures(&row);
            }
            if asked.elapsed() > ASK_AFTER {
                replicates(task).await?;
                asked = Instant::now();
            }
            if begun.elapsed() > ARRIVAL_DEADLINE {
                bail!("the figures of the secondary did not arrive");
            }
            task.interrupt.sleep(tick).await?;
            tick = (tick * 2).min(Duration::from_millis(200));
        }
    }

    /// The time by the clock of the primary's heartbeats.
    pub(super) async fn clock(&mut self) -> Result<i64> {
        let row = self.here.one(format!("SELECT {CLOCK} AS clock")).await?;
        number(&row.unwrap_or_default(), "clock")
    }

    /// Waits until the secondary has applied all that the primary has written until now.
    pub(super) async fn secondary_caught_up(&mut self, task: &Task<'_>) -> Result<()> {
        let since = self.clock().await?;
        let query = format!("SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = {}", self.primary);
        let begun = Instant::now();
        loop {
            let row = self.there.one(query.clone()).await?.unwrap_or_default();
            if number(&row, "beat")? > since {
                return Ok(());
            }
            let came = "no heartbeat of the primary came to the secondary";
            in_time(task, begun, came)?;
            task.interrupt.sleep(Duration::from_millis(100)).await?;
        }
    }

    /// Whether all that was written on the secondary before `since` has come to the primary.
    pub(super) async fn has_come_back(&mut self, since: i64) -> Result<bool> {
        let query = format!("SELECT echo FROM {OWN_SCHEMA}.heartbeat WHERE node = {}", self.secondary);
        let row = self.here.one(query).await?.unwrap_or_default();
        Ok(number(&row, "echo")? > since)
    }
}

/// Fails when a heartbeat has taken longer than one of a healthy pair may take.
pub(super) fn in_time(task: &Task<'_>, begun: Instant, what: &str) -> Result<()> {
    let patience = Duration::from_secs(3 * task.config.limits().heartbeat);
    if begun.elapsed() <= patience {
        return Ok(());
    }
    Err(anyhow!("{what} within {} s", patience.as_secs()))
}

/// Fails when the secondary does not replicate, with its reason. Not to be let in proves nothing.
async fn replicates(task: &Task<'_>) -> Result<()> {
    let account = task.home.credentials()?.monitor;
    let address = peer_address(task.home, task.membership).await;
    let Ok(session) = Session::open(&address, &account, LOGIN_DEADLINE).await else { return Ok(()) };
    let mut session = session.with_deadline(LOGIN_DEADLINE);
    let row = session.one(task.flavor.show_replica_status()).await?;
    session.close().await;
    let replica = parse_replica(task.flavor, &row.context("the secondary is no longer a replica")?);
    if !replica.applier_runs {
        bail!("the applier of the secondary has stopped: {}", in_words(&replica.applier_error));
    }
    if replica.receiver == Receiver::Stopped {
        bail!("the receiver of the secondary has stopped: {}", in_words(&replica.receiver_error));
    }
    Ok(())
}

fn in_words((number, text): &(u32, String)) -> String {
    if *number == 0 { "without an error".into() } else { format!("error {number}: {text}") }
}

fn number(row: &Row, column: &str) -> Result<i64> {
    row.get(column).and_then(|text| text.parse().ok()).with_context(|| format!("no {column}"))
}

fn figures(row: &Row) -> Result<PieceFigures> {
    let rows = u64::try_from(number(row, "rows_here")?)?;
    Ok(PieceFigures { rows, crc: row.get("crc_here").context("no crc_here")? })
}

async fn read_tables(session: &mut Session, schema: &str) -> Result<Vec<Table>> {
    let named = session.query(names_query(schema, None)).await?;
    let sizes = session.query(tables_query(schema, None)).await?;
    let sizes: BTreeMap<String, &Row> = sizes.iter().filter_map(|row| Some((row.get("tbl")?, row))).collect();
    let table = |name: String| {
        let number = |column: &str| sizes.get(&name)?.get(column)?.parse::<u64>().ok();
        let bytes = number("bytes").unwrap_or(0).max(1);
        let row_bytes = bytes / number("estimate").unwrap_or(0).max(1);
        Table { name, bytes, row_bytes }
    };
    Ok(named.iter().filter_map(|row| row.get("tbl")).map(table).collect())
}
