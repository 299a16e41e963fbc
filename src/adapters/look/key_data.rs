//! Checks in the running database whether a key is that of its data.
//!
//! The statement holds the key. It gets into no log of the server, and nobody reads it there later.

use std::time::Duration;

use anyhow::Result;

use crate::adapters::home::{Home, read_key};
use crate::adapters::server::session::{Address, Session, StatementFailed};
use crate::config::Config;
use crate::domain::home::KeyFile;
use crate::domain::pair::Membership;
use crate::domain::plan::KEY_PLACEHOLDER;
use crate::domain::procedures::key::AskedData;
use crate::domain::sql::{quote, quote_name};

/// How long one answer of the server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long the question may take beside others.
const IN_PASSING: Duration = Duration::from_secs(2);

/// Checks each key of a file, because a rotation leaves the older key there.
///
/// # Errors
/// If the server does not do as it is told. The error holds no key.
pub async fn ask(home: &Home, schema: &str, keys: &[String], query: &str) -> Result<AskedData> {
    let admin = home.credentials()?.admin;
    let mut session = match Session::open(&Address::Socket(home.socket()), &admin, DEADLINE).await {
        Ok(session) => session,
        Err(blind) => {
            let why = format!("the account {} cannot log in: {}", admin.user, blind.evidence);
            return Ok(AskedData::Not(why));
        }
    };
    session = session.with_deadline(DEADLINE);
    let asked = asked(&mut session, schema, keys, query).await;
    session.close().await;
    asked
}

/// Returns the configured key file of this home if the data show that another key decrypts them.
///
/// This happens after a rotation of the key on the primary. If that cannot be checked in time, there is
/// no finding.
pub async fn of_others(home: &Home, membership: &Membership, config: &Config) -> Option<String> {
    let query = config.product.key_query.trim();
    let path = home.key_path().filter(|_| !query.is_empty())?;
    let Ok(KeyFile::Key(keys)) = read_key(&path) else { return None };
    let asked = ask(home, &membership.pair.schema, &keys, query);
    let asked = tokio::time::timeout(IN_PASSING, asked).await.ok()?.ok()?;
    (asked == AskedData::AnotherOpens).then(|| path.display().to_string())
}

async fn asked(session: &mut Session, schema: &str, keys: &[String], query: &str) -> Result<AskedData> {
    let is_on = |variables: &std::collections::BTreeMap<String, String>, name: &str| {
        variables.get(name).is_some_and(|value| value.eq_ignore_ascii_case("on") || value == "1")
    };
    let variables = session.variables().await?;
    if is_on(&variables, "slow_query_log") {
        return Ok(AskedData::Not(
            "the server logs slow statements (slow_query_log), and the key could get into that log".into(),
        ));
    }
    session.run("SET SESSION sql_log_bin = 0, sql_log_off = 1").await?;
    // A server keeps a sample of each kind of statement there, from MySQL 5.6 on.
    if is_on(&variables, "performance_schema") && variables.contains_key("performance_schema_digests_size") {
        session
            .run(
                "UPDATE performance_schema.threads SET INSTRUMENTED = 'NO' WHERE PROCESSLIST_ID = CONNECTION_ID()",
            )
            .await?;
    }
    session.run(format!("USE {}", quote_name(schema))).await?;
    for key in keys {
        session.run("START TRANSACTION READ ONLY").await?;
        let answer = session.one(query.replace(KEY_PLACEHOLDER, &quote(key))).await;
        session.run("ROLLBACK").await?;
        match answer {
            Ok(row) if row.as_ref().is_some_and(|row| row.values().next().flatten() == Some("1")) => {
                return Ok(AskedData::Opens);
            }
            Ok(_) => {}
            Err(error) => {
                // The server's message may quote the key.
                let code = error.downcast_ref::<StatementFailed>().and_then(|failed| failed.code);
                let why = code.map_or_else(|| "it did not answer".to_owned(), |code| format!("error {code}"));
                return Ok(AskedData::QueryFails(why));
            }
        }
    }
    Ok(AskedData::AnotherOpens)
}
