//! Whether the binlogs of a source reach back to a point of its history.

use anyhow::{Context, Result};

use crate::adapters::server::session::Session;
use crate::domain::coordinates::{Coordinates, MariaDbPosition};
use crate::domain::sql::quote;

/// Returns whether a replica could continue from `from`. Needs the right to see binlogs.
pub async fn reach_back_to(session: &mut Session, from: &Coordinates) -> Result<bool> {
    match from {
        Coordinates::FilePosition { file, position } => {
            let logs = session.binary_logs().await?;
            let size = logs.iter().find(|row| row.get("Log_name").as_ref() == Some(file));
            let size = size.and_then(|row| row.get("File_size")?.parse::<u64>().ok());
            Ok(size.is_some_and(|size| size >= *position))
        }
        Coordinates::Gtid { executed } => {
            let query = format!("SELECT GTID_SUBSET(@@GLOBAL.gtid_purged, {}) AS held", quote(executed));
            Ok(session.one(query).await?.and_then(|row| row.get("held")).as_deref() == Some("1"))
        }
        Coordinates::MariaDbGtid { position } => {
            let logs = session.binary_logs().await?;
            let oldest = logs.first().and_then(|row| row.get("Log_name")).context("it has no binlog")?;
            // Behind the head of a binlog, what came before it is summed up.
            let query = format!("SELECT BINLOG_GTID_POS({}, 4) AS begins", quote(&oldest));
            let begins = session.one(query).await?.and_then(|row| row.get("begins"));
            let begins = begins.filter(|position| !position.is_empty());
            Ok(begins.is_none_or(|begins| MariaDbPosition::parse(position).covers_all(&begins)))
        }
    }
}
