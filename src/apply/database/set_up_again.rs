//! Prepares a secondary that a pack sets up again, while its pair has gone on.

use anyhow::Result;

use super::guard;
use crate::adapters::look::other_node;
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::flavor::{Flavor, Positioning};
use crate::domain::pair::Membership;
use crate::domain::set_up_again::{at_each_start, close, count_from, counted_on, due};
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;

/// Makes the row numbers of a new secondary continue after a gap, and closes the return channel.
///
/// It closes the channel only if the primary must first begin it again. The server is booted without a
/// network.
pub async fn prepare(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    goes_on: bool,
) -> Result<()> {
    let membership = runner.home.require_membership()?;
    count_on(flavor, session, &membership).await?;
    if goes_on && flavor.positioning == Positioning::FilePosition {
        for sql in close(&runner.home.credentials()?.back.user) {
            session.run(sql).await?;
        }
    }
    if may_lack_rows(runner, session, &membership).await? {
        session.run(due()).await?;
    }
    Ok(())
}

/// Sets where each audit table counts on.
async fn count_on(flavor: &Flavor, session: &mut Session, membership: &Membership) -> Result<()> {
    let pair = &membership.pair;
    if let Some(sql) = flavor.counts_as_they_are() {
        session.run(sql).await?;
    }
    for table in guard::tables_in(session, pair, |name| pair.audit_tables.contains(name)).await? {
        let (schema, name) = (quote(&pair.schema), quote(&table));
        let row = session
            .one(format!(
                "SELECT t.AUTO_INCREMENT AS next, c.COLUMN_TYPE AS kind FROM information_schema.TABLES t \
                 JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME \
                 WHERE t.TABLE_SCHEMA = {schema} AND t.TABLE_NAME = {name} AND c.EXTRA LIKE '%auto_increment%'"
            ))
            .await?
            .unwrap_or_default();
        let next = row.get("next").and_then(|next| next.parse().ok());
        let (Some(next), Some(kind)) = (next, row.get("kind")) else { continue };
        let statement = count_from(&pair.schema, &table, counted_on(next, &kind));
        session.run(statement.clone()).await?;
        if let Some(note) = at_each_start(flavor, &table, &statement) {
            session.run(note).await?;
        }
    }
    Ok(())
}

/// Whether the primary may have got rows from the former secondary since the pack was made. Where it can be
/// asked, the heartbeat that it got last tells: it is the one in the pack, or a later one.
async fn may_lack_rows(runner: &Runner<'_>, session: &mut Session, membership: &Membership) -> Result<bool> {
    let heard = format!("SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = {}", membership.this().number);
    let in_the_pack = session.one(heard.as_str()).await?.and_then(|row| row.get("beat"));
    let Ok(mut primary) = other_node::open(runner.home, membership).await else { return Ok(true) };
    let now = primary.one(heard).await.ok().flatten().and_then(|row| row.get("beat"));
    primary.close().await;
    Ok(now.is_none() || now != in_the_pack)
}
