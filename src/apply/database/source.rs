//! What makes a running server a source, and what takes that back.

use anyhow::{Context, Result};
use fs_err as fs;

use super::options::check_settings;
use super::{accounts, channel, role};
use crate::adapters::home::{Credentials, read_membership};
use crate::adapters::server::session::Session;
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::coordinates::Coordinates;
use crate::domain::flavor::Flavor;
use crate::domain::manifest::NODE_FILES;
use crate::domain::own_schema;
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;

/// Says that the accounts of the primary may have been changed.
pub const ACCOUNTS_TOUCHED: &str = "accounts-touched";

/// Makes the tool's own schemas, with the events of this node. The accounts are there already.
pub async fn own_schema(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    for sql in own_schema::tables() {
        session.run(sql).await?;
    }
    programs(runner, flavor, session).await
}

/// Makes what runs inside the server again: the events of this node, and the procedure that the
/// monitor account may call.
pub async fn programs(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    for sql in own_schema::events(flavor, &runner.config.timing()).into_iter().chain(own_schema::procedure())
    {
        session.run(sql).await?;
    }
    accounts::let_monitor_ask(session).await
}

/// Makes the accounts and schemas of a primary, begins the way back anew, and marks the pack.
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
    accounts::make(flavor, session, &home.credentials()?, &membership.pair.schema).await?;
    own_schema(runner, flavor, session).await?;
    role::say_at_setup(runner, session).await?;
    channel::point_back(runner, flavor, session, &membership).await?;
    // One transaction in the binlog, so that there are coordinates on every server.
    session.run("SET SESSION sql_log_bin = 1").await?;
    session.run(format!("REPLACE INTO {OWN_SCHEMA}.pack VALUES (1, {})", quote(pack_id))).await?;
    session.run("SET SESSION sql_log_bin = 0").await
}

/// Puts accounts and way back to what they were before [`become_source`].
pub async fn unbecome_source(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let before = runner.saved().copy_of(NODE_FILES).filter(|dir| dir.join("credentials.toml").is_file());
    if let Some(before) = before {
        let credentials = Credentials::read(&before.join("credentials.toml"))?;
        let membership = read_membership(&fs::read_to_string(before.join("pair.toml"))?)?;
        let earlier = (&membership, &credentials.back);
        channel::put_back(runner, flavor, session, Some(earlier)).await?;
        accounts::make(flavor, session, &credentials, &membership.pair.schema).await
    } else {
        channel::put_back(runner, flavor, session, None).await?;
        accounts::drop_own(session).await
    }
}

/// Where the server's own binlogs end; `None` when it counts nothing.
pub async fn coordinates(flavor: &Flavor, session: &mut Session) -> Result<Option<Coordinates>> {
    let row = session.one(flavor.coordinates_query()).await?.context("the server names no coordinates")?;
    Ok(flavor.read_coordinates(|column| row.get(column)))
}
