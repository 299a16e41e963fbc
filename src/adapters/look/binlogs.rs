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
            // What it received is in no binlog of its own. A new secondary passes what a former one sent.
            let query = "SELECT @@GLOBAL.gtid_purged AS purged, @@GLOBAL.server_uuid AS own";
            let row = session.one(query).await?.unwrap_or_default();
            let (purged, own) = (row.get("purged").unwrap_or_default(), row.get("own").unwrap_or_default());
            let purged = transactions_of(&purged, &own);
            let query = format!("SELECT GTID_SUBSET({}, {}) AS held", quote(&purged), quote(executed));
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

/// The part of a set of GTIDs that one server wrote.
fn transactions_of(set: &str, uuid: &str) -> String {
    let parts = set.split(',').map(str::trim);
    let own: Vec<&str> =
        parts.filter(|part| part.split(':').next().is_some_and(|of| of.eq_ignore_ascii_case(uuid))).collect();
    own.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_wrote_itself_is_in_its_binlogs() {
        let set = "aaaa:1-52:tag:1,\nbbbb:1-22:30-31";
        assert_eq!(transactions_of(set, "AAAA"), "aaaa:1-52:tag:1");
        assert_eq!(transactions_of(set, "bbbb"), "bbbb:1-22:30-31");
        assert_eq!(
            (transactions_of(set, "cccc"), transactions_of("", "aaaa")),
            (String::new(), String::new())
        );
    }
}
