//! Makes a running server a source, and undoes that.

use anyhow::{Context, Result};

use super::options::check_settings;
use super::{accounts, channel, role, sent};
use crate::adapters::home::{Credentials, read_membership};
use crate::adapters::server::session::Session;
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::coordinates::Coordinates;
use crate::domain::flavor::Flavor;
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::Role;
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;
use crate::domain::{datastore, definitions, locks, own_schema, questions};

/// The note that the primary's accounts may have changed.
pub const ACCOUNTS_TOUCHED: &str = "accounts-touched";

/// Creates the tool's own schemas, with the events of this node. The accounts exist already.
pub async fn own_schema(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    for sql in own_schema::tables() {
        session.run(sql).await?;
    }
    programs(runner, flavor, session).await
}

/// Makes what runs inside the server again: the events of this node, the procedure that the monitor
/// account may call, and those that show definitions to the reader.
pub async fn programs(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    // The event of the primary makes them itself, on both nodes. Made here, they would not be replicated.
    if runner.home.require_membership()?.role == Role::Secondary {
        session.run(own_schema::HEARTBEAT_ROWS).await?;
    }
    session.run(locks::table_of_word()).await?;
    let events = own_schema::events(flavor, &runner.config.timing());
    let shown = definitions::procedures(&runner.home.require_membership()?.pair.schema);
    for sql in events
        .into_iter()
        .chain(own_schema::procedure(&runner.config.timing()))
        .chain(questions::make())
        .chain(shown)
    {
        session.run(sql).await?;
    }
    accounts::let_execute(session).await
}

/// Creates the accounts and schemas of a primary, resets the return channel, and marks the pack.
pub async fn become_source(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    pack_id: &str,
) -> Result<()> {
    let home = runner.home;
    check_settings(runner, flavor, session).await?;
    system::write_atomic(&home.work().join(ACCOUNTS_TOUCHED), b"", 0o600, None)?;
    let membership = home.require_membership()?;
    let credentials = home.credentials()?;
    let demand = accounts::demand(&home.node_files(), &membership)?;
    accounts::make(flavor, session, &credentials, &membership.pair.schema, &demand).await?;
    accounts::drop_others(session, &credentials).await?;
    own_schema(runner, flavor, session).await?;
    for sql in datastore::note(&datastore::facts(&session.variables().await?)) {
        session.run(sql).await?;
    }
    session.run(locks::forget_word()).await?;
    session.run(flavor.stop_replica()).await?;
    sent::lets_go(runner, flavor, session, &membership).await?;
    role::say_at_setup(runner, session).await?;
    channel::point_back(runner, flavor, session, &membership).await?;
    // One transaction in the binlog, so that there are coordinates on every server.
    session.run("SET SESSION sql_log_bin = 1").await?;
    session.run(format!("REPLACE INTO {OWN_SCHEMA}.pack VALUES (1, {})", quote(pack_id))).await?;
    session.run("SET SESSION sql_log_bin = 0").await
}

/// Restores accounts and return channel as they were before [`become_source`].
pub async fn unbecome_source(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let before = runner.saved().copy_of(NODE_FILES).filter(|dir| dir.join("credentials.toml").is_file());
    if let Some(before) = before {
        let credentials = Credentials::read(&before.join("credentials.toml"))?;
        let membership = read_membership(&system::read_text(&before.join("pair.toml"), system::SMALL)?)?;
        let earlier = (&membership, &credentials.back);
        channel::put_back(runner, flavor, session, Some(earlier)).await?;
        let demand = accounts::demand(&before, &membership)?;
        accounts::make(flavor, session, &credentials, &membership.pair.schema, &demand).await?;
        accounts::drop_others(session, &credentials).await
    } else {
        channel::put_back(runner, flavor, session, None).await?;
        accounts::drop_own(session).await
    }
}

/// Returns the end of the server's own binlogs; `None` if it has no coordinates.
pub async fn coordinates(flavor: &Flavor, session: &mut Session) -> Result<Option<Coordinates>> {
    let row = session.one(flavor.coordinates_query()).await?.context("the server names no coordinates")?;
    Ok(flavor.read_coordinates(|column| row.get(column)))
}
