//! Finds out whether the TFA setting has changed since the database here was last started.
//!
//! The product reads it only at its start. The query is not public, so it is in the configuration.
//! A hash of the answer is compared with the one that was noted after the start. Looking notes nothing.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::adapters::bytes::digest::Sha256;
use crate::adapters::home::{Home, remembered};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::server::session::{Address, Session};
use crate::adapters::system;
use crate::config::Config;
use crate::domain::snapshot::{Tfa, TfaNote};

const DEADLINE: Duration = Duration::from_secs(2);

/// Compares the setting with that recorded for this start of the server.
pub async fn look(home: &Home, config: &Config) -> Tfa {
    if config.product.tfa_query.trim().is_empty() {
        return Tfa::NotWatched;
    }
    match compare(home, &config.product.tfa_query).await {
        Ok(tfa) => tfa,
        Err(error) => Tfa::Unknown(format!("{error:#}")),
    }
}

async fn compare(home: &Home, query: &str) -> Result<Tfa> {
    let reader = home.credentials()?.reader;
    let session = Session::open(&Address::Socket(home.socket()), &reader, DEADLINE).await;
    let mut session = session
        .map_err(|blind| anyhow!("the account {} cannot log in: {}", reader.user, blind.evidence))?
        .with_deadline(DEADLINE);
    session
        .run(format!("USE {}", crate::domain::sql::quote_name(&home.require_membership()?.pair.schema)))
        .await?;
    let rows = session
        .query(query)
        .await
        // What failed is the operator's own text, of which nothing is quoted.
        .map_err(|error| anyhow!("product.tfa_query in conf/pmp-ha.toml does not work: {error:#}"))?;
    session.close().await;
    let pid = Database::of(home, &Interrupt::default()).pid()?.context("no database runs here")?;
    let server = (pid, system::started_at(pid).context("its start time is unknown")?);

    let mut digest = Sha256::default();
    for row in &rows {
        for value in row.values() {
            digest.update(value.unwrap_or("NULL").as_bytes());
            digest.update(&[0]);
        }
        digest.update(&[1]);
    }
    let seen = TfaNote { server, hash: digest.finish() };
    let noted = remembered::tfa::noted(home);
    Ok(match noted.filter(|noted| noted.server == seen.server) {
        Some(noted) if noted.hash == seen.hash => Tfa::AsAtStart,
        Some(_) => Tfa::Changed,
        None => Tfa::NotNoted(seen),
    })
}
