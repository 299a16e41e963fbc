//! What is done inside an offline boot of the server, and the proof that it starts afterwards.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use super::data::{Binlogs, SourceState, drop_binlogs, drop_new_binlogs, note_binlogs};
use super::{Runner, accounts, backlog, channel, guard, key_query, promote, rejoin, role, source};
use crate::adapters::home::{Credential, Credentials, Home, read_membership};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::mysql::{Address, Session};
use crate::adapters::mysqld::{BOOT_USER, Database};
use crate::adapters::saved::remove;
use crate::adapters::{snapshot, system};
use crate::domain::coordinates::Coordinates;
use crate::domain::definitions;
use crate::domain::flavor::{DROP_CLONE_PLUGIN, Flavor};
use crate::domain::manifest::NODE_FILES;
use crate::domain::own_schema;
use crate::domain::pair::{Claim, Membership, Node, Pair, Role};
use crate::domain::plan::{BootTask, CopyWay};
use crate::domain::settings::{LOCAL_SCHEMA, OWN_SCHEMA, Setting, render, settings};
use crate::domain::sql::{quote, quote_name};
use crate::domain::tables::TablePatterns;
use crate::failure::{Failure, Kind};

/// Says that the server of the primary was booted for a pack, and with whose settings last.
const BOOT_BEGAN: &str = "boot-began";

const WITH_THE_PRODUCTS_SETTINGS: &[u8] = b"with the product's";

/// What is left of an earlier life as a replica: a server that is told to keep this state in tables
/// reads it from these files once more, and has no replication at all when it cannot.
const REPLICA_STATE_FILES: [&str; 2] = ["mysql/data/master.info", "mysql/data/relay-log.info"];

/// Says that the accounts of the primary may have been changed.
const ACCOUNTS_TOUCHED: &str = "accounts-touched";

/// Boots, does the task, stops cleanly.
pub(super) async fn run(runner: &Runner<'_>, task: &BootTask) -> Result<()> {
    let flavor = runner.flavor().await?;
    let options = match task {
        BootTask::PrepareSource { .. } | BootTask::PrepareReplica { .. } => {
            render(&node_settings(runner, flavor, &runner.home.require_membership()?))
        }
        BootTask::StandAlone { copied, .. } => {
            render(&stand_alone_settings(runner, flavor, copied.is_none()))
        }
        BootTask::WorkOff { accept_loss, .. } => {
            return promote::work_off_offline(runner, *accept_loss).await;
        }
        BootTask::FindExtra { since, file, go_on } => {
            return rejoin::find_extra(runner, since, file.as_ref(), *go_on).await;
        }
    };
    let spinner = runner.ui.spinner("the database is booted without a network");
    let database = runner.database();
    let (start, stop) = (runner.config.start_deadline(), runner.config.stop_deadline());
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
        if flavor.wants_repository_tables() {
            set_aside(runner, &REPLICA_STATE_FILES)?;
        }
    }
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    match task {
        BootTask::PrepareSource { pack_id } => prepare_source(runner, flavor, &mut session, pack_id).await?,
        BootTask::PrepareReplica { account, from } => {
            accounts::set_application_password(runner, flavor, &mut session, account).await?;
            prepare_replica(runner, flavor, &mut session, account, from).await?;
        }
        BootTask::StandAlone { account, accept_loss, copied, unnamed, key_check } => {
            if *unnamed {
                guard::require(&mut session).await?;
            }
            match copied {
                Some(CopyWay::Clone { install: true }) => session.run(DROP_CLONE_PLUGIN).await?,
                Some(_) => {}
                None => {
                    let worked_off = backlog::work_off(runner, flavor, &mut session).await;
                    backlog::given_up(runner, worked_off, *accept_loss)?;
                }
            }
            stand_alone(flavor, &mut session).await?;
            accounts::set_application_password(runner, flavor, &mut session, account).await?;
            if let Some(check) = key_check {
                key_query::require(runner.home, &mut session, check).await?;
            }
        }
        // They have boots of their own.
        BootTask::WorkOff { .. } | BootTask::FindExtra { .. } => {}
    }
    database.end_offline_boot(session, stop).await?;
    if matches!(task, BootTask::StandAlone { .. }) {
        // The boot needs them: it makes what a server leaves out when it copies itself.
        remove(&runner.home.data().join(source::CLONE_NOTES))?;
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
    for path in REPLICA_STATE_FILES {
        runner.saved().restore(path)?;
    }
    drop_new_binlogs(runner.home)
}

/// Takes files out of the data until the run is undone.
fn set_aside(runner: &Runner<'_>, paths: &[&str]) -> Result<()> {
    for path in paths {
        runner.saved().save(path)?;
        remove(&runner.home.path(path))?;
    }
    Ok(())
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
    unbecome_source(runner, flavor, &mut session).await?;
    database.end_offline_boot(session, runner.config.stop_deadline()).await
}

/// Puts accounts and way back to what they were before [`become_source`].
pub(super) async fn unbecome_source(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
) -> Result<()> {
    let before = runner.saved().copy_of(NODE_FILES).filter(|dir| dir.join("credentials.toml").is_file());
    if let Some(before) = before {
        let credentials = Credentials::read(&before.join("credentials.toml"))?;
        let membership = read_membership(&fs::read_to_string(before.join("pair.toml"))?)?;
        let earlier = (&membership, &credentials.back);
        channel::put_back(runner, flavor, session, Some(earlier)).await?;
        accounts::make(flavor, session, &credentials, &membership.pair.schema).await
    } else {
        channel::put_back(runner, flavor, session, None).await?;
        accounts::drop_own(session).await
    }
}

/// The settings of a node in an offline boot.
pub(super) fn node_settings(runner: &Runner<'_>, flavor: &Flavor, membership: &Membership) -> Vec<Setting> {
    settings(flavor, membership, &runner.home.tls_paths(), &runner.config.choices().alone())
}

/// The settings of a node in an offline boot, as the text of an option file.
pub(super) fn node_options(runner: &Runner<'_>, flavor: &Flavor, membership: &Membership) -> String {
    render(&node_settings(runner, flavor, membership))
}

/// The options by which what a secondary left behind is read.
pub(super) fn options_to_read(runner: &Runner<'_>, flavor: &Flavor) -> String {
    render(&stand_alone_settings(runner, flavor, true))
}

/// The settings of a secondary, as far as they are needed to read what it left behind: without
/// TLS, writable, and with its relay logs, where there are any, kept instead of fetched again.
fn stand_alone_settings(runner: &Runner<'_>, flavor: &Flavor, relay_logs: bool) -> Vec<Setting> {
    let node =
        |number| Node { number, host: "localhost".into(), db_port: 1, local_port: None, web_port: None };
    let schema = runner.home.database_params().map(|params| params.schema.to_lowercase()).unwrap_or_default();
    let membership = Membership {
        format: Membership::FORMAT,
        role: Role::Secondary,
        key_fingerprint: None,
        pair: Pair {
            id: String::new(),
            schema,
            audit_tables: TablePatterns::default(),
            local_tables: TablePatterns::default(),
            primary: 1,
            epoch: Claim::FIRST.epoch,
            replaces: Claim::FIRST.replaces,
            secondary_word: None,
            nodes: [node(1), node(2)],
        },
    };
    let mut out = node_settings(runner, flavor, &membership);
    out.retain(|setting| {
        !setting.option.starts_with("ssl-")
            && setting.option != "read-only"
            && setting.option != "tls-version"
    });
    for setting in &mut out {
        if relay_logs && setting.option == "relay-log-recovery" {
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
    become_source(runner, flavor, session, pack_id).await?;
    let coordinates = coordinates(flavor, session).await?.context("the server's coordinates are empty")?;
    SourceState { pack_id: pack_id.to_owned(), coordinates }.store(runner.home)
}

/// Makes the accounts and schemas of a primary, begins the way back anew, and marks the pack.
pub(super) async fn become_source(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    pack_id: &str,
) -> Result<()> {
    let home = runner.home;
    check_settings(runner, flavor, session).await?;
    system::write_atomic(&home.work().join(ACCOUNTS_TOUCHED), b"", 0o600, None)?;
    let membership = home.require_membership()?;
    accounts::make(flavor, session, &home.credentials()?, &membership.pair.schema).await?;
    own_schema(runner, flavor, session).await?;
    role::say_at_setup(runner, session).await?;
    channel::point_back(runner, flavor, session, &membership).await?;
    // One transaction in the binlog, so that there are coordinates on every server.
    session.run("SET SESSION sql_log_bin = 1").await?;
    session.run(format!("REPLACE INTO {OWN_SCHEMA}.pack VALUES (1, {})", quote(pack_id))).await?;
    session.run("SET SESSION sql_log_bin = 0").await
}

/// Where the server's own binlogs end; `None` when it counts nothing.
pub(super) async fn coordinates(flavor: &Flavor, session: &mut Session) -> Result<Option<Coordinates>> {
    let row = session.one(flavor.coordinates_query()).await?.context("the server names no coordinates")?;
    Ok(flavor.read_coordinates(|column| row.get(column)))
}

async fn prepare_replica(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    account_name: &str,
    from: &Coordinates,
) -> Result<()> {
    let home = runner.home;
    check_settings(runner, flavor, session).await?;
    let membership = home.require_membership()?;
    channel::forget(flavor, session).await?;
    session.run(flavor.reset_binlogs()).await?;
    let source = membership.pair.node(Role::Primary);
    let account = home.credentials()?.replication;
    channel::point(runner, flavor, session, source, &account, channel::Start::At(from)).await?;

    // What belonged to the primary alone came with the copy.
    session.run(format!("DROP DATABASE IF EXISTS {LOCAL_SCHEMA}")).await?;
    own_schema(runner, flavor, session).await?;
    role::say_at_setup(runner, session).await?;
    guard::quiet_events(session).await?;
    guard::set(flavor, session, account_name, &membership.pair).await
}

/// Makes the tool's own schemas, with the events of this node.
async fn own_schema(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let schema = runner.home.require_membership()?.pair.schema;
    let events = own_schema::events(flavor, &runner.config.timing());
    for sql in own_schema::tables().into_iter().chain(events).chain(definitions::procedures(&schema)) {
        session.run(sql).await?;
    }
    Ok(())
}

/// Makes the data those of a server that never had a source.
pub(super) async fn stand_alone(flavor: &Flavor, session: &mut Session) -> Result<()> {
    channel::forget(flavor, session).await?;
    session.run(flavor.reset_binlogs()).await?;
    guard::lift(flavor, session).await?;
    guard::wake_events(session).await?;
    accounts::drop_own(session).await
}

/// Sees that the server runs with our settings and with TLS: a server that cannot read a key
/// switches TLS off and starts all the same.
async fn check_settings(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let variables = session.variables().await?;
    let choices = runner.config.choices().alone();
    for deviation in snapshot::deviations(runner.home, &membership, &choices, flavor, &variables) {
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

/// Logs in with the account of the product to the server that listens on `socket`.
pub(super) async fn product_session(runner: &Runner<'_>, user: &str, socket: PathBuf) -> Result<Session> {
    let account = Credential { user: user.to_owned(), password: accounts::application_password(runner)? };
    Session::open(&Address::Socket(socket), &account, Duration::from_secs(10))
        .await
        .map_err(|blind| anyhow!("the account of the product cannot log in: {}", blind.evidence))
}

async fn count_tables(runner: &Runner<'_>, home: &Home) -> Result<(usize, String)> {
    let params = home.database_params().map_err(|why| anyhow!(why))?;
    let mut session = product_session(runner, &params.username, home.socket()).await?;
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
