//! The write guard: on the secondary, the application can only read, and insert audit rows.
//!
//! Its rights are saved row by row, and restored exactly.

use anyhow::{Context, Result};

use super::accounts;
use crate::adapters::server::session::Session;
use crate::domain::accounts::ADMIN_USER;
use crate::domain::flavor::Flavor;
use crate::domain::own_schema::Rights;
use crate::domain::pair::Pair;
use crate::domain::settings::{LOCAL_SCHEMA, OWN_SCHEMA};
use crate::domain::sql::{quote, quote_name};

/// Sets the guard on every account of the application's name, and records their remaining rights.
pub async fn set(flavor: &Flavor, session: &mut Session, account: &str, pair: &Pair) -> Result<()> {
    refuse(flavor, session, account, pair).await?;
    note_rights(flavor, session, account).await
}

/// Revokes the rights of every account of the application's name, and ends their sessions.
///
/// An open session would keep its old rights.
pub async fn refuse(flavor: &Flavor, session: &mut Session, account: &str, pair: &Pair) -> Result<()> {
    save(flavor, session, account).await?;
    let writable = writable_tables(session, pair).await?;
    for (table, column) in flavor.grants_that_revoke_leaves() {
        session.run(format!("DELETE FROM mysql.{table} WHERE {column} = {}", quote(account))).await?;
    }
    session.run("FLUSH NO_WRITE_TO_BINLOG PRIVILEGES").await?;
    let schema = quote_name(&pair.schema.replace('_', "\\_"));
    for (user, host) in accounts::named(session, &account.replace('_', "\\_")).await? {
        let who = format!("{}@{}", quote(&user), quote(&host));
        session.run(format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {who}")).await?;
        // The product's own stop script needs these.
        session.run(format!("GRANT SHUTDOWN, PROCESS ON *.* TO {who}")).await?;
        session.run(format!("GRANT SELECT ON {schema}.* TO {who}")).await?;
        for table in &writable {
            let table = format!("{}.{}", quote_name(&pair.schema), quote_name(table));
            session.run(format!("GRANT INSERT ON {table} TO {who}")).await?;
        }
    }
    accounts::end_sessions(session, account).await
}

/// Returns whether the application's rights are revoked and saved here, as on every secondary.
pub async fn is_set(session: &mut Session) -> Result<bool> {
    let there = format!("SHOW TABLES FROM {LOCAL_SCHEMA} LIKE 'guard'");
    let schema =
        session.one(format!("SHOW DATABASES LIKE {}", quote(&LOCAL_SCHEMA.replace('_', "\\_")))).await?;
    Ok(schema.is_some() && session.one(there).await?.is_some())
}

/// Restores the application's rights, byte for byte, if they were ever revoked.
pub async fn lift(flavor: &Flavor, session: &mut Session) -> Result<()> {
    if !is_set(session).await? {
        return Ok(());
    }
    session.run("SET SESSION time_zone = '+00:00'").await?;
    let rows = session
        .query(format!("SELECT account, tbl, cols, vals FROM {LOCAL_SCHEMA}.guard ORDER BY id"))
        .await?;
    let column = |row: &crate::adapters::server::session::Row, name: &str| {
        row.get(name).with_context(|| format!("a saved right has no {name}"))
    };
    let Some(first) = rows.first() else { return Ok(()) };
    let account = column(first, "account")?;
    // One write to the disk instead of one for each right, where the grant tables are transactional.
    session.run("BEGIN").await?;
    for (table, named) in flavor.grant_tables() {
        session.run(format!("DELETE FROM mysql.{table} WHERE {named} = {}", quote(&account))).await?;
    }
    for row in &rows {
        let (table, columns, values) = (column(row, "tbl")?, column(row, "cols")?, column(row, "vals")?);
        session.run(format!("INSERT INTO mysql.{table} ({columns}) VALUES ({values})")).await?;
    }
    session.run("COMMIT").await?;
    session.run("FLUSH NO_WRITE_TO_BINLOG PRIVILEGES").await?;
    session.run(format!("DROP TABLE {LOCAL_SCHEMA}.guard")).await
}

/// Saves every row of the account in the grant tables, as expressions that give its exact bytes.
pub async fn save(flavor: &Flavor, session: &mut Session, account: &str) -> Result<()> {
    session
        .run(format!(
            "CREATE TABLE IF NOT EXISTS {LOCAL_SCHEMA}.guard (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, \
             account VARCHAR(100) NOT NULL, tbl VARCHAR(64) NOT NULL, cols TEXT NOT NULL, vals LONGTEXT NOT NULL) \
             ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
        ))
        .await?;
    if session.one(format!("SELECT id FROM {LOCAL_SCHEMA}.guard LIMIT 1")).await?.is_some() {
        return Ok(());
    }
    session.run("SET SESSION time_zone = '+00:00'").await?;
    session.run("BEGIN").await?;
    for (table, named) in flavor.grant_tables() {
        let columns = columns(session, table, "%").await?;
        let shown: Vec<String> = columns
            .iter()
            .map(|(name, _)| {
                let name = quote_name(name);
                format!("HEX(CAST({name} AS BINARY)) AS {name}")
            })
            .collect();
        let names: Vec<String> = columns.iter().map(|(name, _)| quote_name(name)).collect();
        let query =
            format!("SELECT {} FROM mysql.{table} WHERE {named} = {}", shown.join(", "), quote(account));
        for row in session.query(query).await? {
            let values: Vec<String> = columns
                .iter()
                .zip(row.values())
                .map(|((_, kind), value)| match value {
                    None => "NULL".to_owned(),
                    // A JSON column takes no binary text.
                    Some(hex) if kind == "json" => format!("CONVERT(UNHEX('{hex}') USING utf8mb4)"),
                    Some(hex) => format!("UNHEX('{hex}')"),
                })
                .collect();
            session
                .run(format!(
                    "INSERT INTO {LOCAL_SCHEMA}.guard (account, tbl, cols, vals) VALUES ({}, {}, {}, {})",
                    quote(account),
                    quote(table),
                    quote(&names.join(", ")),
                    quote(&values.join(", "))
                ))
                .await?;
        }
    }
    session.run("COMMIT").await
}

/// Records the application's current rights, so that the monitor account can compare them later.
pub async fn note_rights(flavor: &Flavor, session: &mut Session, account: &str) -> Result<()> {
    note(flavor, session, account, Rights::OfTheApplication).await
}

/// Records the current rights of an account, so that the monitor account can compare them later.
pub(super) async fn note(flavor: &Flavor, session: &mut Session, account: &str, whose: Rights) -> Result<()> {
    let (view, at_setup) = (whose.view(), whose.at_setup());
    let mut parts = Vec::new();
    for [table, user, host, object, rights] in flavor.rights() {
        let rights = if rights == "{priv}" {
            let columns = columns(session, table, "%\\_priv").await?;
            let each: Vec<String> = columns
                .iter()
                .map(|(name, _)| {
                    let right = name.to_lowercase().trim_end_matches("_priv").to_uppercase();
                    format!("IF({} = 'Y', {}, NULL)", quote_name(name), quote(&right))
                })
                .collect();
            format!("CONCAT_WS(' ', {})", each.join(", "))
        } else {
            rights.to_owned()
        };
        let text = |expression: &str| format!("CONVERT({expression} USING utf8mb4)");
        parts.push(format!(
            "SELECT {} AS account, {} AS object, {} AS rights FROM mysql.{table} WHERE {user} = {}",
            text(&format!("CONCAT({user}, '@', {host})")),
            text(object),
            text(&rights),
            quote(account)
        ));
    }
    for sql in [
        format!(
            "CREATE OR REPLACE DEFINER='{ADMIN_USER}'@'localhost' SQL SECURITY DEFINER VIEW {OWN_SCHEMA}.{view} AS {}",
            parts.join(" UNION ALL ")
        ),
        format!("DROP TABLE IF EXISTS {OWN_SCHEMA}.{at_setup}"),
        format!("CREATE TABLE {OWN_SCHEMA}.{at_setup} ENGINE=InnoDB AS SELECT * FROM {OWN_SCHEMA}.{view}"),
    ] {
        session.run(sql).await?;
    }
    Ok(())
}

async fn columns(session: &mut Session, table: &str, like: &str) -> Result<Vec<(String, String)>> {
    let rows = session
        .query(format!(
            "SELECT COLUMN_NAME AS name, DATA_TYPE AS kind FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = {} AND COLUMN_NAME LIKE {} ORDER BY ORDINAL_POSITION",
            quote(table),
            quote(like)
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| Some((row.get("name")?, row.get("kind")?.to_lowercase()))).collect())
}

async fn writable_tables(session: &mut Session, pair: &Pair) -> Result<Vec<String>> {
    tables_in(session, pair, |name| pair.audit_tables.contains(name) || pair.local_tables.contains(name))
        .await
}

/// The tables of the product that are meant.
pub(super) async fn tables_in(
    session: &mut Session,
    pair: &Pair,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let rows = session
        .query(format!(
            "SELECT TABLE_NAME AS name FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = {} AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME",
            quote(&pair.schema)
        ))
        .await?;
    let mut names: Vec<String> = rows.iter().filter_map(|row| row.get("name")).collect();
    names.retain(|name| is_meant(name));
    Ok(names)
}

/// Disables the application's own events: they came with the copy and would write here, too.
pub async fn quiet_events(session: &mut Session) -> Result<()> {
    session
        .run(format!(
            "CREATE TABLE IF NOT EXISTS {LOCAL_SCHEMA}.sleeping_events (db VARCHAR(64) NOT NULL, \
             name VARCHAR(64) NOT NULL, PRIMARY KEY (db, name)) ENGINE=InnoDB DEFAULT CHARACTER SET utf8"
        ))
        .await?;
    let awake = format!(
        "SELECT EVENT_SCHEMA AS db, EVENT_NAME AS name FROM information_schema.EVENTS \
         WHERE STATUS = 'ENABLED' AND EVENT_SCHEMA <> '{OWN_SCHEMA}'"
    );
    for row in session.query(awake).await? {
        let (Some(db), Some(name)) = (row.get("db"), row.get("name")) else { continue };
        session
            .run(format!(
                "REPLACE INTO {LOCAL_SCHEMA}.sleeping_events VALUES ({}, {})",
                quote(&db),
                quote(&name)
            ))
            .await?;
        alter_event(session, &db, &name, "DISABLE ON SLAVE").await?;
    }
    Ok(())
}

/// Enables the events that [`quiet_events`] disabled, and those that came by replication since.
///
/// The server itself disables replicated events.
pub async fn wake_events(session: &mut Session) -> Result<()> {
    let replicated = format!(
        "SELECT EVENT_SCHEMA AS db, EVENT_NAME AS name FROM information_schema.EVENTS \
         WHERE STATUS IN ('SLAVESIDE_DISABLED', 'REPLICA_SIDE_DISABLED') \
         AND EVENT_SCHEMA NOT IN ('{OWN_SCHEMA}', '{LOCAL_SCHEMA}')"
    );
    for row in session.query(replicated).await? {
        let (Some(db), Some(name)) = (row.get("db"), row.get("name")) else { continue };
        alter_event(session, &db, &name, "ENABLE").await?;
    }
    let rows = session
        .query(
            "SELECT TABLE_NAME AS name FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = 'pmp_ha_local' AND TABLE_NAME = 'sleeping_events'",
        )
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    for row in session.query(format!("SELECT db, name FROM {LOCAL_SCHEMA}.sleeping_events")).await? {
        let (Some(db), Some(name)) = (row.get("db"), row.get("name")) else { continue };
        alter_event(session, &db, &name, "ENABLE").await?;
    }
    session.run(format!("DELETE FROM {LOCAL_SCHEMA}.sleeping_events")).await
}

/// Changes only the state of an event.
///
/// `ALTER EVENT` would take the definer, `sql_mode`, time zone and character set of the session, so
/// they are stated.
async fn alter_event(session: &mut Session, db: &str, name: &str, state: &str) -> Result<()> {
    let of_event = format!(
        "SELECT DEFINER AS definer, SQL_MODE AS mode, TIME_ZONE AS zone, CHARACTER_SET_CLIENT AS charset, \
         COLLATION_CONNECTION AS collation FROM information_schema.EVENTS \
         WHERE EVENT_SCHEMA = {} AND EVENT_NAME = {}",
        quote(db),
        quote(name)
    );
    let Some(row) = session.one(of_event).await? else { return Ok(()) };
    let get = |name: &str| row.get(name).unwrap_or_default();
    let definer = get("definer");
    let (user, host) = definer.rsplit_once('@').unwrap_or((&definer, "%"));
    session
        .run(format!("SET SESSION sql_mode = {}, time_zone = {}", quote(&get("mode")), quote(&get("zone"))))
        .await?;
    // A name beyond ASCII would be misread in another character set.
    if [db, name, definer.as_str()].iter().all(|text| text.is_ascii()) {
        let (charset, collation) = (quote(&get("charset")), quote(&get("collation")));
        session
            .run(format!("SET SESSION character_set_client = {charset}, collation_connection = {collation}"))
            .await?;
    }
    session
        .run(format!(
            "ALTER DEFINER = {}@{} EVENT {}.{} {state}",
            quote(user),
            quote(host),
            quote_name(db),
            quote_name(name)
        ))
        .await?;
    session.run("SET NAMES utf8mb4").await?;
    session.run("SET SESSION sql_mode = '', time_zone = 'SYSTEM'").await
}
