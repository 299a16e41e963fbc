//! How and where the server stores its data, queried in a boot before any change.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::adapters::home::datadir;
use crate::adapters::look::left_out;
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::datafiles::{FileClass, classify};
use crate::domain::datastore;
use crate::domain::flavor::Flavor;
use crate::failure::{Failure, Kind};

/// How many files are named in a message.
const NAMED: usize = 5;

/// Refuses a server with a tablespace that the data directory, as it is packed, does not have.
pub async fn require_everything_here(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
) -> Result<()> {
    let data = runner.home.data();
    let listed = datadir::list(&data)?.files;
    let packed: BTreeSet<&str> = listed.iter().map(|(path, _)| path.as_str()).collect();
    // ignored: a server that does not tell is packed as before
    let rows = session.query(datastore::files_query(flavor.layout)).await.unwrap_or_default();
    let mut left_out = Vec::new();
    let named = datastore::system_files(&session.variables().await?);
    for path in rows.iter().filter_map(|row| row.get("path")).chain(named) {
        let inside = datastore::below(&data.to_string_lossy(), &path);
        let carried = inside.is_some_and(|inside| {
            // Temporary tablespaces are made anew.
            let passing = inside.starts_with("#innodb_temp/") || inside.starts_with("ibtmp");
            passing || packed.contains(inside) && classify(inside) == FileClass::Data
        });
        // One whose file is gone has nothing that could be lost.
        if !carried && data.join(&path).exists() && !left_out.contains(&path) {
            left_out.push(path);
        }
    }
    if left_out.is_empty() {
        return Ok(());
    }
    left_out.truncate(NAMED);
    bail!(
        Failure::new(Kind::Failed, "the pack would not contain all of the data")
            .because(format!("these tablespaces are not in mysql/data: {}", left_out.join(", ")))
            .hint("Move them into mysql/data, or drop them if nobody needs them.")
    )
}

/// Refuses a server that leaves changes out of its binlog: a secondary would never get them.
pub async fn require_whole_binlog(flavor: &Flavor, session: &mut Session) -> Result<()> {
    let status = session.one(flavor.binlog_end_query()).await?;
    let options = status.as_ref().map_or_else(Vec::new, left_out::of_binlog);
    if options.is_empty() {
        return Ok(());
    }
    bail!(
        Failure::new(
            Kind::Failed,
            "the database leaves changes out of its binlog, so a secondary would lack them"
        )
        .because(format!("its installation has {}", options.join(", ")))
        .hint("Remove the option from bin/startDB.sh, or from the option file that it names.")
    )
}

/// Refuses a server that would read the primary's files by other rules.
pub async fn require_alike(session: &mut Session) -> Result<()> {
    // ignored: data of an older version have noted nothing
    let rows = session.query(datastore::ASK).await.unwrap_or_default();
    let noted: BTreeMap<String, String> =
        rows.iter().filter_map(|row| Some((row.get("name")?, row.get("value")?))).collect();
    let differences = datastore::differences(&noted, &session.variables().await?);
    if differences.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Kind::Failed, "this server stores data differently from the primary's");
    failure.because = differences;
    bail!(failure.hint(
        "Give both installations the same option, in bin/startDB.sh or in the option file that it names."
    ))
}
