//! The running databases of the pair, as a rehearsal reads them.
//!
//! It reads the content of their tables, the progress of the applier, and the latest pack. It never
//! writes.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::catalogue::catalogue;
use crate::adapters::look::pair::{parse_replica, peer_address};
use crate::adapters::look::{self, binlogs};
use crate::adapters::server::session::{Address, Session, StatementFailed};
use crate::apply::database::backlog;
use crate::domain::flavor::Flavor;
use crate::domain::manifest::Manifest;
use crate::domain::pair::Role;
use crate::domain::rehearsal::check::{Check, Code, Defect, Topic};
use crate::domain::rehearsal::checks::Packs;
use crate::domain::rehearsal::tables::{Counterpart, TableFigures, Tables};
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;
use crate::domain::table::names::Catalogue;
use crate::domain::table::range::Range;
use crate::domain::table::rows::Rows;
use crate::ui::Ui;

/// A table is read in one statement, however large it is.
pub(super) const WHOLE_TABLE: Duration = Duration::from_secs(24 * 3600);

const LOGIN: Duration = Duration::from_secs(5);

/// The running database as it is at a moment, to be read later.
///
/// It is read only when the copy is known to be readable: an altered page ends a server that reads it,
/// and that shall be the throw-away one.
pub(super) struct ConsistentRead(Session);

impl ConsistentRead {
    /// Takes one of the database of this home. It holds no lock.
    pub(super) async fn take(home: &Home, interrupt: &Interrupt) -> Result<Self> {
        let opened = look::rows::open_here(home).await?;
        let session =
            opened.map_err(|blind| anyhow!("the running database refuses the login: {}", blind.evidence))?;
        let mut session = session.until(interrupt);
        // A product may have made idle sessions short-lived.
        session.run("SET SESSION wait_timeout = 28800").await?;
        session.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
        session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        Ok(Self(session.with_deadline(WHOLE_TABLE)))
    }

    /// Reads every table of the product.
    ///
    /// It leaves out a table that was created again since, and a table of an engine without snapshots.
    pub(super) async fn tables(
        mut self,
        flavor: &Flavor,
        schema: &str,
        ui: &Ui,
        interrupt: &Interrupt,
    ) -> Result<Tables> {
        let tables = tables(&mut self.0, flavor, schema, Some("InnoDB"), ui, interrupt).await?;
        self.0.close().await;
        Ok(tables)
    }
}

/// Reads every table of the product, of one engine or of all.
async fn tables(
    session: &mut Session,
    flavor: &Flavor,
    schema: &str,
    engine: Option<&str>,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Tables> {
    let described = session
        .query(format!(
            "SELECT TABLE_NAME AS tbl, DATA_LENGTH AS bytes, ENGINE AS engine \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
            quote(schema)
        ))
        .await?;
    let shapes = catalogue(session, schema).await?;
    let chosen: Vec<(String, u64)> = described
        .iter()
        .filter(|row| engine.is_none() || row.get("engine").as_deref() == engine)
        .filter_map(|row| Some((row.get("tbl")?, row.get("bytes")?.parse().ok()?)))
        .collect();
    let progress = ui.progress("reading", chosen.iter().map(|(_, bytes)| bytes).sum());
    let mut out = Tables::new();
    for (name, bytes) in chosen {
        let Some(rows) = rows(flavor, schema, &shapes, &name) else { continue };
        match interrupt.or(figures(session, &rows)).await {
            Ok(figures) => out.extend([(name.to_lowercase(), figures)]),
            Err(error) if is_made_anew(&error) => {}
            Err(error) => return Err(error),
        }
        progress.add(bytes);
    }
    Ok(out)
}

/// Whether a table is not there any more as it was.
fn is_made_anew(error: &anyhow::Error) -> bool {
    const NO_SUCH_TABLE: u16 = 1146;
    const TABLE_DEF_CHANGED: u16 = 1412;
    let code = error.downcast_ref::<StatementFailed>().and_then(|failed| failed.code);
    code.is_some_and(|code| [NO_SUCH_TABLE, TABLE_DEF_CHANGED].contains(&code))
}

/// The rows of a table that the server can open.
pub(super) fn rows<'a>(
    flavor: &'a Flavor,
    schema: &'a str,
    tables: &'a Catalogue,
    name: &str,
) -> Option<Rows<'a>> {
    tables.get(name).filter(|shape| shape.is_there()).map(|shape| Rows::of(flavor, schema, shape))
}

/// Reads a table.
pub(super) async fn figures(session: &mut Session, table: &Rows<'_>) -> Result<TableFigures> {
    let row = session.one(table.summary(&Range::default())).await?.unwrap_or_default();
    let rows = row.get("pmp_ha_rows").and_then(|rows| rows.parse().ok());
    let figures = rows.zip(row.get("pmp_ha_sum")).map(|(rows, checksum)| TableFigures { rows, checksum });
    figures.with_context(|| format!("the server gave no checksum of {}", table.shape.name))
}

/// Reads every table of a running database of the pair: of this home, otherwise the other one.
pub(super) async fn tables_of_pair(
    home: &Home,
    flavor: &Flavor,
    runs_here: bool,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Counterpart> {
    let Some(membership) = home.membership()? else {
        return Ok(Counterpart::None("this home belongs to no pair yet".into()));
    };
    let schema = &membership.pair.schema;
    let (node, opened) = if runs_here {
        (membership.this(), look::rows::open_here(home).await)
    } else {
        (membership.peer(), look::rows::open_there(home, &membership).await)
    };
    let why = match opened {
        Ok(Ok(session)) => {
            let mut session = session.with_deadline(WHOLE_TABLE).until(interrupt);
            let now = tables(&mut session, flavor, schema, None, ui, interrupt).await?;
            session.close().await;
            return Ok(Counterpart::GoneOn { whom: node.to_string(), now });
        }
        Ok(Err(blind)) => blind.evidence,
        Err(error) => format!("{error:#}"),
    };
    Ok(Counterpart::None(format!("cannot read the database of {node}: {why}")))
}

/// Checks how far the applier of the running database is, and estimates its seconds of work.
pub(super) async fn applied(session: &mut Session, flavor: &Flavor) -> Result<(Check, Option<f64>)> {
    let Some(row) = session.one(flavor.show_replica_status()).await? else {
        let defect = Defect::new(
            Code::NotApplied,
            "the running database has no source to replicate from",
            "Install a new pack: `pmp-ha pack` on the primary, `pmp-ha install-pack` here, which keeps the old data.",
        );
        return Ok((Check::of(Topic::Received, vec![defect], ""), None));
    };
    let replica = parse_replica(flavor, &row);
    let (number, message) = &replica.applier_error;
    if *number != 0 {
        let defect = Defect::new(
            Code::NotApplied,
            format!("the applier of the running database stopped with error {number}: {message}"),
            "Run `pmp-ha repair` here: a recovery would fail there, too.",
        );
        return Ok((Check::of(Topic::Received, vec![defect], ""), None));
    }
    if backlog::has_read_all(flavor, session, &row).await? {
        let check = Check::passed(Topic::Received, "the running database has applied everything it received");
        return Ok((check, Some(0.0)));
    }
    let behind = replica.lag.map_or_else(|| "an unknown time".to_owned(), |lag| format!("{lag} s"));
    let evidence = format!("the running database is still applying it, and is {behind} behind");
    #[expect(clippy::cast_precision_loss, reason = "a lag in seconds is far below 2^52")]
    let seconds = replica.lag.map(|lag| lag as f64);
    Ok((Check::passed(Topic::Received, evidence), seconds))
}

/// What the databases of the pair say about the packs that were made.
pub async fn packs(home: &Home, manifest: &Manifest, runs_here: bool) -> Result<Packs> {
    let Some(membership) = home.membership()? else {
        return Ok(Packs::Unknown("this home belongs to no pair yet".into()));
    };
    let credentials = home.credentials()?;
    let there = peer_address(home, &membership).await;
    let here = Address::Socket(home.socket());
    let (whom, address, account) = if runs_here {
        (membership.this(), &here, &credentials.admin)
    } else {
        (membership.peer(), &there, &credentials.reader)
    };
    let mut session = match Session::open(address, account, LOGIN).await {
        Ok(session) => session,
        Err(blind) => return Ok(Packs::Unknown(format!("cannot read {whom}: {}", blind.evidence))),
    };
    let last = session.one(format!("SELECT pack_id FROM {OWN_SCHEMA}.pack WHERE node = 1")).await;
    session.close().await;
    let Some(last) = last?.and_then(|row| row.get("pack_id")) else {
        return Ok(Packs::Unknown(format!("{whom} does not name a pack")));
    };
    let (address, account) = match membership.role {
        Role::Primary => (&here, &credentials.admin),
        Role::Secondary => (&there, &credentials.monitor),
    };
    let reach = match Session::open(address, account, LOGIN).await {
        Err(_) => None,
        Ok(mut session) => {
            let reach = binlogs::reach_back_to(&mut session, &manifest.coordinates).await?;
            session.close().await;
            Some(reach)
        }
    };
    Ok(Packs::Known { whom: whom.to_string(), last, epoch: membership.pair.epoch, reach })
}
