//! Checks a key against the recovered data. The query is not public, so it is in the configuration.

use anyhow::{Result, anyhow, bail};

use crate::adapters::home::{Home, read_key};
use crate::adapters::server::session::{Session, StatementFailed};
use crate::domain::home::KeyFile;
use crate::domain::plan::{KEY_PLACEHOLDER, KeyCheck};
use crate::domain::sql::{quote, quote_name};
use crate::failure::{Failure, Kind};

/// Asks, in the schema of the product.
///
/// # Errors
/// Refuses unless the answer is 1 for one of the keys in the file: a rotated one leaves the older one there.
pub async fn require(home: &Home, session: &mut Session, check: &KeyCheck) -> Result<()> {
    let keys = match read_key(check.key.as_ref()).map_err(|why| anyhow!("{}: {why}", check.key))? {
        KeyFile::Key(keys) => keys,
        KeyFile::NotAKey(why) => bail!("{} is not a PMP key: {why}", check.key),
    };
    let params =
        home.database_params().map_err(|why| anyhow!("cannot use conf/database_params.conf: {why}"))?;
    // The statement holds the key: the server, which goes down after this boot, must not log it.
    session.run("SET GLOBAL general_log = OFF").await?;
    session.run("SET GLOBAL slow_query_log = OFF").await?;
    session.run(format!("USE {}", quote_name(&params.schema))).await?;
    for key in &keys {
        // It is the operator's text, and this session may do everything.
        session.run("START TRANSACTION READ ONLY").await?;
        let answer = session.one(check.query.replace(KEY_PLACEHOLDER, &quote(key))).await;
        session.run("ROLLBACK").await?;
        let row = answer.map_err(|error| does_not_work(&error))?;
        if row.is_some_and(|row| row.values().next().flatten() == Some("1")) {
            return Ok(());
        }
    }
    bail!(
        Failure::new(Kind::Refused, "cannot use this encryption key")
            .code("key-of-another")
            .because(format!(
                "{} is a PMP key, but product.key_query shows that the data are encrypted with another key",
                check.key
            ))
            .hint("Each installation creates its own key. Use the lost primary's.")
    )
}

/// Returns only the error number: the server's message may quote the key.
fn does_not_work(error: &anyhow::Error) -> Failure {
    let code = error.downcast_ref::<StatementFailed>().and_then(|failed| failed.code);
    let why = code.map_or_else(|| "it did not answer".to_owned(), |code| format!("error {code}"));
    Failure::new(Kind::Refused, "cannot check that the key is that of the data")
        .code("key-query")
        .because(format!("product.key_query of the configuration does not work: {why}"))
        .hint("Correct the query, or leave it empty: then pmp-ha compares only the hash.")
}
