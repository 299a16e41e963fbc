//! The TFA setting: whether it is still what it was when the database here was last started.
//!
//! The product reads it at its start only. Which query reads it is not public, and stands in the
//! configuration; what is remembered is a hash of the answer.

use std::time::Duration;

use anyhow::{Result, anyhow};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::adapters::bytes::digest::Sha256;
use crate::adapters::home::Home;
use crate::adapters::server::session::{Address, Session};
use crate::adapters::system;
use crate::config::Config;
use crate::domain::digest::Sha256Hex;
use crate::domain::snapshot::Tfa;

const DEADLINE: Duration = Duration::from_secs(2);

/// How far two computations of a server's start may lie apart, seconds: its uptime is whole seconds.
const SAME_START: u64 = 3;

#[derive(Serialize, Deserialize)]
struct Noted {
    /// When the server was started, seconds since 1970.
    started: u64,
    /// Of the answer to the query.
    hash: Sha256Hex,
}

/// Compares the setting with what was noted for this start of the server, and notes it if nothing was.
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
    let uptime = session.one("SHOW GLOBAL STATUS LIKE 'Uptime'").await?.and_then(|row| row.get("Value"));
    session.close().await;
    let uptime: u64 = uptime.and_then(|text| text.parse().ok()).unwrap_or(0);
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let started = now.saturating_sub(uptime);

    let mut digest = Sha256::default();
    for row in &rows {
        for value in row.values() {
            digest.update(value.unwrap_or("NULL").as_bytes());
            digest.update(&[0]);
        }
        digest.update(&[1]);
    }
    let hash = digest.finish();

    let path = home.replication().join("pmp-ha-tfa.json");
    let noted = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Noted>(&bytes).ok());
    match noted.filter(|noted| noted.started.abs_diff(started) <= SAME_START) {
        Some(noted) if noted.hash == hash => Ok(Tfa::AsAtStart),
        Some(_) => Ok(Tfa::Changed),
        None => {
            let text = serde_json::to_vec(&Noted { started, hash })?;
            system::write_atomic(&path, &text, 0o600, None)?;
            Ok(Tfa::NotedNow)
        }
    }
}
