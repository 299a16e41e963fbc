//! What is done inside an offline boot of the server, and the proof that it starts afterwards.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use super::data::{Binlogs, SourceState, drop_binlogs, drop_new_binlogs, note_binlogs};
use super::node_files::{MONITOR_USER, REPLICATION_USER};
use super::{Runner, backlog};
use crate::adapters::home::{Credential, Credentials, Home};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::mysql::{Address, Session};
use crate::adapters::mysqld::{BOOT_USER, Database};
use crate::adapters::{snapshot, system};
use crate::domain::coordinates::Coordinates;
use crate::domain::flavor::{Account, Flavor, SourceSpec};
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::BootTask;
use crate::domain::settings::{OWN_SCHEMA, Setting, render, settings};
use crate::domain::snapshot::ChannelTls;
use crate::domain::sql::{quote, quote_name};
use crate::failure::{Failure, Kind};

/// Says that the server of the primary was booted for a pack, and with whose settings last.
const BOOT_BEGAN: &str = "boot-began";

const WITH_THE_PRODUCTS_SETTINGS: &[u8] = b"with the product's";

/// Says that the accounts of the primary may have been changed.
const ACCOUNTS_TOUCHED: &str = "accounts-touched";

/// Boots, does the task, stops cleanly.
pub(super) async fn run(runner: &Runner<'_>, task: &BootTask) -> Result<()> {
    let flavor = runner.flavor().await?;
    let spinner = runner.ui.spinner("the database is booted without a network");
    let database = runner.database();
    let (start, stop) = (runner.config.start_deadline(), runner.config.stop_deadline());
    let options = match task {
        BootTask::PrepareSource { .. } | BootTask::PrepareReplica { .. } => {
            render(&node_settings(runner, flavor, &runner.home.require_membership()?))
        }
        BootTask::StandAlone { .. } => render(&stand_alone_settings(runner, flavor)),
    };
    if matches!(task, BootTask::PrepareSource { .. }) {
        let note = runner.home.work().join(BOOT_BEGAN);
        if note_binlogs(runner.home)? == Binlogs::OfTheProduct {
            // A server that had crashed finds its last commits in the binlogs of the name that it
            // had; only then may it be given another name.
            system::write_atomic(&note, WITH_THE_PRODUCTS_SETTINGS, 0o600, None)?;
            let session = database.boot_offline(flavor, "[mysqld]", start).await?;
            database.end_offline_boot(session, stop).await?;
        }
        system::write_atomic(&note, b"with ours", 0o600, None)?;
    }
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    match task {
        BootTask::PrepareSource { pack_id } => prepare_source(runner, flavor, &mut session, pack_id).await?,
        BootTask::PrepareReplica { account, from } => {
            set_application_password(runner, flavor, &mut session, account).await?;
            prepare_replica(runner, flavor, &mut session, from).await?;
        }
        BootTask::StandAlone { account, accept_loss } => {
            match backlog::work_off(runner.home, flavor, &mut session).await {
                Err(error) if *accept_loss && error.is::<Failure>() => {
                    runner.ui.warn(format!("given up, as asked for: {}", Failure::from_error(error)));
                }
                other => other?,
            }
            stand_alone(flavor, &mut session).await?;
            set_application_password(runner, flavor, &mut session, account).await?;
        }
    }
    database.end_offline_boot(session, stop).await?;
    if matches!(task, BootTask::StandAlone { .. }) {
        drop_binlogs(runner.home)?;
    }
    drop(spinner);
    Ok(())
}

/// Puts the accounts of the primary back to what they were before a pack that is undone.
///
/// It boots the server once more, with the settings of the boot that it undoes: a server that
/// was cut off needs the binlogs of that boot to come to a clean stop.
pub(super) async fn take_source_back(runner: &Runner<'_>) -> Result<()> {
    let uninterrupted = Interrupt::default();
    let database = Database::of(runner.home, &uninterrupted);
    database.clear_offline_boot(runner.config.stop_deadline()).await?;
    let Ok(began) = fs::read(runner.home.work().join(BOOT_BEGAN)) else { return Ok(()) };
    let membership = match began.as_slice() {
        WITH_THE_PRODUCTS_SETTINGS => None,
        _ => runner.home.membership()?,
    };
    if let Err(error) = restore_accounts(runner, &database, membership).await {
        database.clear_offline_boot(runner.config.stop_deadline()).await?;
        if runner.home.work().join(ACCOUNTS_TOUCHED).exists() {
            return Err(error);
        }
        // The server does not start, and did not before: nothing was done inside it.
        runner.ui.warn(format!("an account {BOOT_USER}@localhost may be left in the data: {error:#}"));
    }
    drop_new_binlogs(runner.home)
}

async fn restore_accounts(
    runner: &Runner<'_>,
    database: &Database<'_>,
    membership: Option<Membership>,
) -> Result<()> {
    let flavor = runner.flavor().await?;
    let options = match membership {
        Some(membership) => render(&node_settings(runner, flavor, &membership)),
        None => String::new(),
    };
    let start = runner.config.start_deadline();
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    let before = runner.saved().copy_of(NODE_FILES).map(|dir| dir.join("credentials.toml"));
    match before.filter(|file| file.is_file()) {
        Some(file) => make_accounts(flavor, &mut session, &Credentials::read(&file)?).await?,
        None => drop_own(&mut session).await?,
    }
    database.end_offline_boot(session, runner.config.stop_deadline()).await
}

fn node_settings(runner: &Runner<'_>, flavor: &Flavor, membership: &Membership) -> Vec<Setting> {
    let replication = &runner.config.replication;
    settings(
        flavor,
        membership,
        &runner.home.tls_paths(),
        &runner.config.timing(),
        replication.keep_binlogs_days,
    )
}

/// The settings of a secondary, as far as they are needed to read what it left behind: without
/// TLS, writable, and with the relay logs kept instead of fetched again.
fn stand_alone_settings(runner: &Runner<'_>, flavor: &Flavor) -> Vec<Setting> {
    let node =
        |number| crate::domain::pair::Node { number, host: "localhost".into(), db_port: 1, web_port: None };
    let schema = runner.home.database_params().map(|params| params.schema.to_lowercase()).unwrap_or_default();
    let membership = Membership {
        format: Membership::FORMAT,
        role: Role::Secondary,
        key_fingerprint: None,
        pair: crate::domain::pair::Pair { id: String::new(), schema, primary: 1, nodes: [node(1), node(2)] },
    };
    let mut out = node_settings(runner, flavor, &membership);
    out.retain(|setting| {
        !setting.option.starts_with("ssl-")
            && setting.option != "read-only"
            && setting.option != "tls-version"
    });
    for setting in &mut out {
        if setting.option == "relay-log-recovery" {
            setting.value = "OFF".into();
        }
    }
    out
}

async fn prepare_source(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    pack_id: &str,
) -> Result<()> {
    let home = runner.home;
    check_settings(runner, flavor, session).await?;
    system::write_atomic(&home.work().join(ACCOUNTS_TOUCHED), b"", 0o600, None)?;
    make_accounts(flavor, session, &home.credentials()?).await?;
    session.run(format!("CREATE DATABASE IF NOT EXISTS {OWN_SCHEMA}")).await?;
    session
        .run(format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.pack (node INT UNSIGNED NOT NULL PRIMARY KEY, pack_id VARCHAR(32) NOT NULL) ENGINE=InnoDB"
        ))
        .await?;
    // One transaction in the binlog, so that there are coordinates on every server.
    session.run("SET SESSION sql_log_bin = 1").await?;
    session.run(format!("REPLACE INTO {OWN_SCHEMA}.pack VALUES (1, {})", quote(pack_id))).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    let row = session.one(flavor.coordinates_query()).await?.context("the server names no coordinates")?;
    let coordinates =
        flavor.read_coordinates(|column| row.get(column)).context("the server's coordinates are empty")?;
    SourceState { pack_id: pack_id.to_owned(), coordinates }.store(home)
}

async fn prepare_replica(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    from: &Coordinates,
) -> Result<()> {
    let home = runner.home;
    check_settings(runner, flavor, session).await?;
    let membership = home.require_membership()?;
    let credentials = home.credentials()?;
    let (tls, source, timing) =
        (home.tls_paths(), membership.pair.node(Role::Primary), runner.config.timing());
    session.run(flavor.stop_replica()).await?;
    session.run(flavor.forget_source()).await?;
    session.run(flavor.reset_binlogs()).await?;
    for sql in flavor.seed_position(from) {
        session.run(sql).await?;
    }
    let spec = SourceSpec {
        host: &source.host,
        port: source.db_port,
        user: &credentials.replication.user,
        password: &credentials.replication.password,
        ca: &tls.ca,
        cert: &tls.cert,
        key: &tls.key,
        from,
        connect_retry: timing.connect_retry,
        heartbeat: timing.heartbeat,
    };
    session.run(flavor.change_source(&spec)).await?;

    // Read back what the server made of it.
    let row = session.one(flavor.show_replica_status()).await?.context("the server has no replica status")?;
    let view = snapshot::parse_replica(flavor, &row);
    if (view.source_host.as_str(), view.source_port) != (source.host.as_str(), source.db_port) {
        bail!("the server stored another source: {}:{}", view.source_host, view.source_port);
    }
    if view.channel_tls != ChannelTls::Verified {
        bail!("the server did not take the TLS options of the channel: {:?}", view.channel_tls);
    }
    if let Some(row) = seeded(flavor, session, from).await? {
        bail!("the server goes on from {row} instead of {from}");
    }
    Ok(())
}

/// Returns what the server has instead of the position that it was given, if it is not the same.
async fn seeded(flavor: &Flavor, session: &mut Session, from: &Coordinates) -> Result<Option<String>> {
    let (query, wanted) = match from {
        Coordinates::FilePosition { file, position } => {
            let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
            let column = |name: &str| row.get(&flavor.column(name)).unwrap_or_default();
            let found = format!("{}:{}", column("Source_Log_File"), column("Read_Source_Log_Pos"));
            return Ok((found != format!("{file}:{position}")).then_some(found));
        }
        Coordinates::Gtid { executed } => {
            ("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS found", executed)
        }
        Coordinates::MariaDbGtid { position } => ("SELECT @@GLOBAL.gtid_slave_pos AS found", position),
    };
    let found = session.one(query).await?.and_then(|row| row.get("found")).unwrap_or_default();
    Ok((&found != wanted).then_some(found))
}

/// Makes the data those of a server that never had a source.
async fn stand_alone(flavor: &Flavor, session: &mut Session) -> Result<()> {
    session.run(flavor.stop_replica()).await?;
    session.run(flavor.forget_source()).await?;
    session.run(flavor.reset_binlogs()).await?;
    drop_own(session).await
}

/// Makes the tool's accounts, or gives them these passwords.
async fn make_accounts(flavor: &Flavor, session: &mut Session, credentials: &Credentials) -> Result<()> {
    let monitor = flavor.monitor_grants();
    let account = |user, host, password, x509, grants| Account {
        user,
        host,
        password,
        x509,
        grants,
        all_rights: false,
    };
    for account in [
        account(
            REPLICATION_USER,
            "%",
            &credentials.replication.password,
            true,
            &["REPLICATION SLAVE ON *.*"][..],
        ),
        account(MONITOR_USER, "%", &credentials.monitor.password, true, &monitor[..]),
        account(MONITOR_USER, "localhost", &credentials.monitor.password, false, &monitor[..]),
    ] {
        for sql in flavor.create_account(&account) {
            session.run(sql).await?;
        }
    }
    Ok(())
}

/// Drops the tool's accounts and schema.
async fn drop_own(session: &mut Session) -> Result<()> {
    for (user, host) in accounts_named(session, "pmp\\_ha\\_%").await? {
        // The account of this boot is dropped at its end.
        if user != BOOT_USER {
            session.run(format!("DROP USER {}@{}", quote(&user), quote(&host))).await?;
        }
    }
    session.run(format!("DROP DATABASE IF EXISTS {OWN_SCHEMA}")).await
}

/// Gives the application's account, for each host it has, the password that this home's
/// configuration holds, so that the product can log in.
async fn set_application_password(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    account: &str,
) -> Result<()> {
    let password = application_password(runner)?;
    let hosts = accounts_named(session, &account.replace('_', "\\_")).await?;
    if hosts.is_empty() {
        bail!("the data have no account '{account}', with which the product would log in");
    }
    for (user, host) in hosts {
        session.run(flavor.set_password(&user, &host, &password)).await?;
    }
    Ok(())
}

fn application_password(runner: &Runner<'_>) -> Result<String> {
    if let Some(given) = &runner.secrets.db_password {
        return Ok(given.clone());
    }
    let params = runner
        .home
        .database_params()
        .map_err(|why| anyhow!("conf/database_params.conf cannot be used: {why}"))?;
    if params.encrypted {
        bail!(
            "the database password in conf/database_params.conf is encrypted, and none was given with --db-password-file"
        );
    }
    Ok(params.password)
}

async fn accounts_named(session: &mut Session, pattern: &str) -> Result<Vec<(String, String)>> {
    let rows = session
        .query(format!(
            "SELECT User AS user, Host AS host FROM mysql.user WHERE User LIKE {}",
            quote(pattern)
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| Some((row.get("user")?, row.get("host")?))).collect())
}

/// Sees that the server runs with our settings and with TLS: a server that cannot read a key
/// switches TLS off and starts all the same.
async fn check_settings(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let variables = session.variables().await?;
    for deviation in snapshot::deviations(runner.home, &membership, runner.config, flavor, &variables) {
        if deviation.variable == "event_scheduler" {
            continue;
        }
        bail!(
            Failure::new(Kind::Failed, "the settings of the pair do not reach the server")
                .because(format!(
                    "{} is {:?} and not {}",
                    deviation.variable, deviation.found, deviation.wanted
                ))
                .hint("See whether the start script overrides it on mysqld's command line.")
        );
    }
    let bound = variables.get("bind_address").map(String::as_str).unwrap_or_default();
    if ["127.0.0.1", "::1", "localhost"].contains(&bound) {
        bail!(
            Failure::new(Kind::Failed, "the other node could not reach this server")
                .because(format!("its bind_address is {bound}"))
                .hint("See where the start script binds it to its own machine, and take that out.")
        );
    }
    let enabled = session.one(flavor.tls_enabled_query()).await?.and_then(|row| row.get("enabled"));
    if enabled.as_deref() != Some("YES") {
        bail!(
            Failure::new(Kind::Failed, "the server runs without TLS")
                .because(format!("it says {enabled:?}"))
                .hint("Look into its error log for the reason.")
        );
    }
    Ok(())
}

/// Starts the database as the product does, logs in as the product does, counts, and stops it.
pub(super) async fn prove_start(runner: &Runner<'_>) -> Result<()> {
    let home = runner.home;
    let spinner = runner.ui.spinner("the database is started as the product does it");
    let database = runner.database();
    database.start(runner.config.start_deadline()).await?;
    let looked = count_tables(runner, home).await;
    database.stop(runner.config.stop_deadline()).await?;
    drop(spinner);
    let (tables, schema) = looked?;
    runner.ui.say(format!("     the product's own account logs in and finds {tables} tables in {schema}"));
    Ok(())
}

async fn count_tables(runner: &Runner<'_>, home: &Home) -> Result<(usize, String)> {
    let params = home.database_params().map_err(|why| anyhow!(why))?;
    let account = Credential { user: params.username, password: application_password(runner)? };
    let mut session = Session::open(&Address::Socket(home.socket()), &account, Duration::from_secs(10))
        .await
        .map_err(|blind| anyhow!("the account of the product cannot log in: {}", blind.evidence))?;
    let tables = session.query(format!("SHOW TABLES FROM {}", quote_name(&params.schema))).await?;
    for table in &tables {
        let Some(Some(name)) = table.values().next() else {
            continue;
        };
        // A table whose pages are not there is listed all the same; reading it tells.
        session
            .run(format!("SELECT 1 FROM {}.{} LIMIT 1", quote_name(&params.schema), quote_name(name)))
            .await?;
    }
    session.close().await;
    if tables.is_empty() {
        bail!("the schema {} has no tables", params.schema);
    }
    Ok((tables.len(), params.schema))
}
