//! Leaves out one statement that cannot be executed here, at which the applier stopped.
//!
//! It is right only where every table and every definition is compared afterwards.

use anyhow::{Context, Result};

use crate::adapters::look::rows::Nodes;
use crate::domain::flavor::Positioning;
use crate::domain::sql::quote;

/// Makes the stopped applier continue after it; `message` is its error message.
pub async fn leave_out(nodes: &mut Nodes<'_>, message: &str) -> Result<()> {
    if nodes.flavor.positioning != Positioning::Gtid {
        return nodes.here.run("SET GLOBAL sql_slave_skip_counter = 1").await;
    }
    let named = match nodes.flavor.failed_transaction_query() {
        Some(query) => nodes.here.one(query).await?.and_then(|row| row.get("transaction")),
        None => None,
    };
    // A worker that is gone has left its words.
    let quoted = || message.split_once("transaction '").and_then(|(_, rest)| rest.split('\'').next());
    let name = named.or_else(|| quoted().map(ToOwned::to_owned)).filter(|name| is_gtid(name));
    let name = name.context("the server does not say at which transaction its applier stopped")?;
    nodes.here.run(format!("SET SESSION gtid_next = {}", quote(&name))).await?;
    nodes.here.run("BEGIN").await?;
    nodes.here.run("COMMIT").await?;
    nodes.here.run("SET SESSION gtid_next = 'AUTOMATIC'").await
}

/// Whether a text can be the name of a transaction.
pub fn is_gtid(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-:_".contains(c))
}
