//! Looks at an installation without changing it.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::adapters::home::{Home, certificates};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::{home, pair, upkeep, web};
use crate::adapters::server::names::{resolve, reverse};
use crate::adapters::server::process::Database;
use crate::adapters::server::session::{Address, Session, greeting};
use crate::adapters::system;
use crate::config::Config;
use crate::domain::certificate::InUse;
use crate::domain::doctor::program::{HEAD, ServerProgram};
use crate::domain::doctor::scene::{
    DiskSeen, DoctorScene, LimitsSeen, NameSeen, NumberedTable, PeerSeen, TfaSeen, Whose,
};
use crate::domain::doctor::tfa::{ColumnName, named_after_it, settings_tables};
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::{Endpoint, Membership};
use crate::domain::procedures::Scene;
use crate::domain::procedures::key::Expected;
use crate::domain::sql::quote;
use crate::domain::start_script;

/// How long one answer of a server may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// The database port of an installation whose own is not known.
const PORT: u16 = 2345;

/// So many queries are proposed.
const PROPOSALS: usize = 3;

/// Looks at an installation. `peer` is the other node, if it was named.
pub async fn scene(
    home: &Home,
    config: &Config,
    peer: Option<&Endpoint>,
    cut_off: Option<String>,
    interrupt: &Interrupt,
) -> Result<DoctorScene> {
    let seen = home::scene(home, interrupt).await?;
    let membership = seen.membership.clone();
    let pid = Database::of(home, interrupt).pid()?;
    let (names, peer, tfa, numbers, snapshot) = tokio::join!(
        names(membership.as_ref(), peer),
        other_node(home, &seen, membership.as_ref(), peer),
        tfa(home, config, membership.as_ref(), pid),
        async {
            match (&membership, pid) {
                (Some(membership), Some(_)) => Some(numbers(home, membership).await),
                _ => None,
            }
        },
        async {
            match (&membership, pid) {
                (Some(membership), Some(_)) => {
                    pair::take(home, membership.clone(), config, interrupt).await.ok()
                }
                _ => None,
            }
        },
    );
    let fingerprint = membership.as_ref().and_then(|membership| membership.key_fingerprint.clone());
    let expected = if membership.is_some() { Expected::from(fingerprint) } else { Expected::AskTheData };
    Ok(DoctorScene {
        processes: home::processes(home, interrupt)?,
        now: jiff::Timestamp::now().as_second(),
        other_service: other_service(home),
        program: system::read_head(&home.path(system::SERVER), HEAD)
            .ok()
            .and_then(|head| ServerProgram::of(&head)),
        is_wired: system::read_text(&home.start_script(), system::SMALL)
            .is_ok_and(|script| start_script::is_wired(&script)),
        names,
        peer,
        disk: DiskSeen {
            binlogs: upkeep::binlog_files(home).unwrap_or_default(),
            keep_days: config.choices().keep_binlogs_days,
        },
        open_secrets: open_secrets(home),
        key: home.key_path().map(|path| home::key(home, &path, expected)),
        limits: limits(pid),
        tfa,
        numbers: numbers.map(|seen| seen.map_err(|error| format!("{error:#}"))),
        certificates: membership.as_ref().map(|own| own_certificates(home, own)).unwrap_or_default(),
        pair: snapshot.map(|snapshot| (snapshot, config.limits())),
        cut_off,
        pack_waits: home.path("HAPack.zip").is_file() || home.pack().is_file(),
        home: seen,
    })
}

/// The home of the service, if it is another one.
fn other_service(home: &Home) -> Option<String> {
    let service = system::home_of_service()?;
    (service != home.root()).then(|| service.display().to_string())
}

async fn names(membership: Option<&Membership>, peer: Option<&Endpoint>) -> Vec<NameSeen> {
    let this = membership.map_or_else(system::host_name, |own| own.this().host.clone());
    let other = peer.map(|peer| peer.host.clone()).or_else(|| Some(membership?.peer().host.clone()));
    let (this, other) = tokio::join!(name(Whose::This, this), async {
        match other {
            Some(host) => Some(name(Whose::Other, host).await),
            None => None,
        }
    });
    [Some(this), other].into_iter().flatten().collect()
}

async fn name(whose: Whose, host: String) -> NameSeen {
    let begun = Instant::now();
    let found = resolve(Endpoint { host: host.clone(), port: None }).await;
    let took = begun.elapsed();
    let is_address = host.parse::<IpAddr>().is_ok();
    let reverse = match found.addresses.as_ref().map(|all| all.first()) {
        Ok(Some(address)) if !is_address && !address.is_loopback() => reverse(*address).await,
        _ => Ok(Vec::new()),
    };
    NameSeen { whose, host, addresses: found.addresses, local: found.local, took, reverse }
}

async fn other_node(
    home: &Home,
    seen: &Scene,
    membership: Option<&Membership>,
    named: Option<&Endpoint>,
) -> Option<PeerSeen> {
    let own_port = seen.params.as_ref().map_or(PORT, |params| params.port);
    let (host, port) = match (named, membership) {
        (Some(named), _) => (named.host.clone(), named.port.unwrap_or(own_port)),
        (None, Some(own)) => (own.peer().host.clone(), own.peer().db_port),
        (None, None) => return None,
    };
    let web_port = membership.and_then(|own| own.peer().web_port).or(seen.web_port);
    let tls = home.connectors().ok().and_then(|all| all.first().map(|first| first.tls)).unwrap_or(true);
    let (database, web) = tokio::join!(greeting(&host, port, DEADLINE), async {
        match web_port {
            Some(port) => Some((port, web::asked(&host, port, tls).await)),
            None => None,
        }
    });
    let node = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Some(PeerSeen { node, database: database.map_err(|blind| blind.evidence), web })
}

/// Files with secrets that accounts can read besides the owner's and the server's.
fn open_secrets(home: &Home) -> Vec<String> {
    let mut files = vec![home.pack(), home.path("HAPack.zip"), home.journal()];
    let node_files = home.path(NODE_FILES);
    let entries = fs_err::read_dir(&node_files).into_iter().flatten().flatten();
    files.extend(entries.map(|entry| entry.path()).filter(|path| path.is_file()));
    files
        .into_iter()
        .filter_map(|path| {
            let mode = system::mode(&path).ok()?;
            // The group may be the server's, where the server has another account.
            (mode & 0o007 != 0).then(|| format!("{} has the mode {mode:o}", path.display()))
        })
        .collect()
}

fn limits(pid: Option<u32>) -> LimitsSeen {
    let of_server =
        pid.and_then(|pid| Some((format!("the database, process {pid},"), system::limits_of(Some(pid))?)));
    let (whose, limits) = of_server.unwrap_or_else(|| {
        ("a program of this account".to_owned(), system::limits_of(None).unwrap_or_default())
    });
    LimitsSeen { whose, open_files: limits.open_files, file_size: limits.file_size }
}

fn own_certificates(home: &Home, membership: &Membership) -> Vec<InUse> {
    let tls = home.tls_paths();
    let ends = |path: &str| certificates::read(Path::new(path)).and_then(|pem| certificates::ends(&pem)).ok();
    [
        ("the certificate of the pair's CA".to_owned(), true, &tls.ca),
        (format!("the certificate of {}", membership.this().host), false, &tls.cert),
    ]
    .into_iter()
    .filter_map(|(whose, is_ca, path)| Some(InUse { whose, is_ca, begins: None, ends: ends(path)? }))
    .collect()
}

async fn tfa(home: &Home, config: &Config, membership: Option<&Membership>, pid: Option<u32>) -> TfaSeen {
    if !config.product.tfa_query.trim().is_empty() {
        return TfaSeen::Watched;
    }
    let Some(membership) = membership else { return TfaSeen::NotSearched("this home is in no pair".into()) };
    if pid.is_none() {
        return TfaSeen::NotSearched("the database does not run here".into());
    }
    match proposals(home, membership).await {
        Ok(queries) => TfaSeen::NotWatched(queries),
        Err(error) => TfaSeen::NotSearched(format!("{error:#}")),
    }
}

/// Logs in with the account that may read the data.
async fn reading(home: &Home) -> Result<Session> {
    let reader = home.credentials()?.reader;
    let opened = Session::open(&Address::Socket(home.socket()), &reader, DEADLINE).await;
    let session =
        opened.map_err(|blind| anyhow!("the account {} cannot log in: {}", reader.user, blind.evidence))?;
    Ok(session.with_deadline(DEADLINE))
}

/// The tables of the vault whose rows the server numbers.
async fn numbers(home: &Home, membership: &Membership) -> Result<Vec<NumberedTable>> {
    let mut session = reading(home).await?;
    let variables = session.query("SHOW VARIABLES LIKE 'information\\_schema\\_stats\\_expiry'").await?;
    if !variables.is_empty() {
        // What this server remembers of a table may be a day old.
        session.run("SET SESSION information_schema_stats_expiry = 0").await?;
    }
    let schema = quote(&membership.pair.schema);
    let rows = session
        .query(format!(
            "SELECT c.TABLE_NAME AS tbl, c.COLUMN_TYPE AS kind, t.AUTO_INCREMENT AS next \
             FROM information_schema.COLUMNS c JOIN information_schema.TABLES t \
             ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME \
             WHERE c.TABLE_SCHEMA = {schema} AND t.TABLE_SCHEMA = {schema} AND c.EXTRA LIKE '%auto_increment%' \
             ORDER BY c.TABLE_NAME"
        ))
        .await?;
    session.close().await;
    let numbered = rows.iter().filter_map(|row| {
        let table = row.get("tbl")?;
        Some(NumberedTable {
            kind: row.get("kind")?,
            // A server says nothing of a table that never had a row.
            next: row.get("next").and_then(|text| text.parse().ok()).unwrap_or(1),
            is_audit: membership.pair.audit_tables.contains(&table),
            table,
        })
    });
    Ok(numbered.collect())
}

/// Queries that may read the TFA setting. Names are read, and no value.
async fn proposals(home: &Home, membership: &Membership) -> Result<Vec<String>> {
    let mut session = reading(home).await?;
    let schema = &membership.pair.schema;
    session.run(format!("USE {}", crate::domain::sql::quote_name(schema))).await?;
    let rows = session
        .query(format!(
            "SELECT TABLE_NAME AS tbl, COLUMN_NAME AS col FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
            quote(schema)
        ))
        .await?;
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let columns: Vec<ColumnName> = rows
        .iter()
        .filter_map(|row| Some(ColumnName { table: row.get("tbl")?, column: row.get("col")? }))
        .filter(|column| is_plain(&column.table) && is_plain(&column.column))
        .collect();
    let mut queries = Vec::new();
    for table in settings_tables(&columns) {
        let settings = session.query(table.names_query()).await?;
        let names = settings.iter().filter_map(|row| row.get("name")).filter(|name| is_plain(name));
        queries.extend(names.map(|name| table.query(&name)));
    }
    session.close().await;
    queries.extend(named_after_it(&columns));
    queries.truncate(PROPOSALS);
    Ok(queries)
}
