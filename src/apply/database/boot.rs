//! The tasks inside an offline boot of the server, and the proof that it starts afterwards.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::options::{check_settings, node_settings, settings_to_read_a_primary, stand_alone_settings};
use super::source::{ACCOUNTS_TOUCHED, become_source, coordinates, own_schema, unbecome_source};
use super::source_state::{Binlogs, SourceState, drop_binlogs, drop_new_binlogs, note_binlogs};
use super::{accounts, backlog, channel, guard, key_query, role, set_up_again, stored};
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Credential, Home, remembered};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::{BOOT_USER, Database};
use crate::adapters::server::session::{Address, Session};
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::coordinates::Coordinates;
use crate::domain::datafiles::CLONE_NOTES;
use crate::domain::flavor::{DROP_CLONE_PLUGIN, Flavor};
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{BootTask, CopyWay};
use crate::domain::set_up_again::compared;
use crate::domain::settings::{LOCAL_SCHEMA, render};
use crate::domain::sql::quote_name;
use crate::failure::Failure;

/// The note that the primary's server was booted for a pack, and with whose settings last.
const BOOT_BEGAN: &str = "boot-began";

const WITH_THE_PRODUCTS_SETTINGS: &[u8] = b"with the product's";

/// In that note: the start script did not hand our options to it, so that nothing was done inside.
const NOT_LET_IN: &[u8] = b"not let in";

/// Files that remain if the server was a replica before.
///
/// A server that keeps this state in tables still reads these files once. If it cannot, it has no
/// replication at all.
const REPLICA_STATE_FILES: [&str; 2] = ["mysql/data/master.info", "mysql/data/relay-log.info"];

/// Boots the server, does the task, and stops it cleanly.
pub async fn run(runner: &Runner<'_>, task: &BootTask) -> Result<()> {
    let flavor = runner.flavor().await?;
    let options = match task {
        BootTask::PrepareSource { .. } | BootTask::PrepareReplica { .. } => {
            render(&node_settings(runner, flavor, &runner.home.require_membership()?))
        }
        BootTask::StandAlone { primary: Some(primary), .. } => {
            render(&settings_to_read_a_primary(runner, flavor, primary))
        }
        BootTask::StandAlone { copied, .. } => {
            render(&stand_alone_settings(runner, flavor, copied.is_none()))
        }
        BootTask::LeavePair { .. } => render(&stand_alone_settings(runner, flavor, true)),
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
            let booted = database.boot_offline(flavor, "[mysqld]", start).await;
            let session = noted(runner, booted)?;
            database.end_offline_boot(session, stop).await?;
        }
        system::write_atomic(&note, b"with ours", 0o600, None)?;
        if flavor.wants_repository_tables() {
            set_aside(runner, &REPLICA_STATE_FILES)?;
        }
    }
    let booted = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await;
    let mut session = noted(runner, booted)?;
    match task {
        BootTask::PrepareSource { pack_id } => prepare_source(runner, flavor, &mut session, pack_id).await?,
        BootTask::PrepareReplica { account, from, again, goes_on } => {
            accounts::set_application_password(runner, flavor, &mut session, account).await?;
            prepare_replica(runner, flavor, &mut session, account, from).await?;
            if *again {
                set_up_again::prepare(runner, flavor, &mut session, *goes_on).await?;
            }
        }
        BootTask::StandAlone { account, accept_loss, copied, unnamed, primary, key_check } => {
            let is_bare_primary = *unnamed && !guard::is_set(&mut session).await?;
            match copied {
                Some(CopyWay::Clone { install: true }) => session.run(DROP_CLONE_PLUGIN).await?,
                Some(_) => {}
                None if is_bare_primary => runner.ui.warn(
                    "these are a primary's data. Audit rows that it had received but not yet written stay on the secondary",
                ),
                None => {
                    let worked_off = backlog::work_off(runner, flavor, &mut session).await;
                    match (primary, worked_off) {
                        // Its own rows are what counts; those of the secondary are there as well.
                        (Some(primary), Err(error)) => {
                            let why = Failure::from_error(error).because.join("; ");
                            let peer = &primary.peer().host;
                            runner.ui.warn(format!("some audit rows of {peer} were not applied; they stay there: {why}"));
                        }
                        (_, worked_off) => backlog::given_up(runner, worked_off, *accept_loss)?,
                    }
                }
            }
            stand_alone(flavor, &mut session).await?;
            accounts::set_application_password(runner, flavor, &mut session, account).await?;
            if let Some(check) = key_check {
                key_query::require(runner.home, &mut session, check).await?;
            }
        }
        BootTask::LeavePair { role, .. } => leave_pair(runner, flavor, &mut session, *role).await?,
    }
    database.end_offline_boot(session, stop).await?;
    if matches!(task, BootTask::LeavePair { .. }) {
        drop_binlogs(runner.home)?;
    }
    if matches!(task, BootTask::StandAlone { .. }) {
        // The boot needs them: it makes what a server leaves out when it copies itself.
        remove(&runner.home.data().join(CLONE_NOTES))?;
        drop_binlogs(runner.home)?;
    }
    drop(spinner);
    Ok(())
}

/// Notes for the undoing that nothing was done inside a boot, if that is known.
fn noted(runner: &Runner<'_>, booted: Result<Session>) -> Result<Session> {
    let note = runner.home.work().join(BOOT_BEGAN);
    if booted.as_ref().is_err_and(Database::was_not_let_in) && note.exists() {
        system::write_atomic(&note, NOT_LET_IN, 0o600, None)?;
    }
    booted
}

/// Restores the primary's accounts as they were before a pack that is undone.
///
/// It boots the server again with the settings of the boot that it undoes. A crashed server needs
/// the binlogs of that boot for a clean stop.
pub async fn take_source_back(runner: &Runner<'_>) -> Result<()> {
    let uninterrupted = Interrupt::default();
    let database = Database::of(runner.home, &uninterrupted);
    database.clear_offline_boot(runner.config.stop_deadline()).await?;
    let Ok(began) = system::read_bytes(&runner.home.work().join(BOOT_BEGAN), system::SMALL) else {
        return Ok(());
    };
    let membership = match began.as_slice() {
        WITH_THE_PRODUCTS_SETTINGS => None,
        _ => runner.home.membership()?,
    };
    if began != NOT_LET_IN
        && let Err(error) = restore_accounts(runner, &database, membership).await
    {
        database.clear_offline_boot(runner.config.stop_deadline()).await?;
        if runner.home.work().join(ACCOUNTS_TOUCHED).exists() {
            return Err(error);
        }
        // The server does not start, and did not before: nothing was done inside it.
        runner.ui.warn(format!("an account {BOOT_USER}@localhost may remain in the data: {error:#}"));
    }
    for path in REPLICA_STATE_FILES {
        runner.saved().restore(path)?;
    }
    drop_new_binlogs(runner.home)
}

/// Moves files out of the data until the run is undone.
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
    let _waiting = runner.ui.spinner("the database is booted without a network");
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    unbecome_source(runner, flavor, &mut session).await?;
    database.end_offline_boot(session, runner.config.stop_deadline()).await
}

async fn prepare_source(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    pack_id: &str,
) -> Result<()> {
    stored::require_everything_here(runner, flavor, session).await?;
    stored::require_whole_binlog(flavor, session).await?;
    let return_channel_goes_on = become_source(runner, flavor, session, pack_id).await?;
    let coordinates = coordinates(flavor, session).await?.context("the server's coordinates are empty")?;
    SourceState { pack_id: pack_id.to_owned(), coordinates, return_channel_goes_on }.store(runner.home)
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
    stored::require_alike(session).await?;
    let membership = home.require_membership()?;
    remembered::returned::let_go(home, &membership)?;
    channel::forget(flavor, session).await?;
    session.run(flavor.reset_binlogs()).await?;
    let credentials = home.credentials()?;
    // The accounts came with the copy, and demand the certificate of this node.
    let demand = accounts::demand(&home.node_files(), &membership)?;
    accounts::make(flavor, session, &credentials, &membership.pair.schema, &demand).await?;
    let account = credentials.replication.clone();
    channel::point(runner, flavor, session, &membership, &account, channel::Start::At(from)).await?;

    // What belonged to the primary alone came with the copy.
    session.run(format!("DROP DATABASE IF EXISTS {LOCAL_SCHEMA}")).await?;
    own_schema(runner, flavor, session).await?;
    session.run(compared()).await?;
    role::say_at_setup(runner, session).await?;
    guard::quiet_events(session).await?;
    guard::set(flavor, session, account_name, &membership.pair).await
}

/// Applies what a secondary has received, as far as it can be applied, and removes all traces of a pair.
async fn leave_pair(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session, role: Role) -> Result<()> {
    if role == Role::Secondary
        && let Err(error) = backlog::work_off(runner, flavor, session).await
    {
        let why = Failure::from_error(error).because.join("; ");
        runner.ui.warn(format!("some of what this secondary had received was not applied: {why}"));
    }
    stand_alone(flavor, session).await
}

/// Removes all traces of a source from the data.
pub async fn stand_alone(flavor: &Flavor, session: &mut Session) -> Result<()> {
    channel::forget(flavor, session).await?;
    session.run(flavor.reset_binlogs()).await?;
    guard::lift(flavor, session).await?;
    guard::wake_events(session).await?;
    accounts::drop_own(session).await
}

/// Starts the database as the product does, logs in with its account, counts tables, and stops it.
pub async fn prove_start(runner: &Runner<'_>) -> Result<()> {
    let home = runner.home;
    let spinner = runner.ui.spinner("the database is starting as the product starts it");
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
pub async fn product_session(runner: &Runner<'_>, user: &str, socket: PathBuf) -> Result<Session> {
    let account = Credential { user: user.to_owned(), password: accounts::application_password(runner)? };
    Session::open(&Address::Socket(socket), &account, Duration::from_secs(10))
        .await
        .map_err(|blind| anyhow!("the product's account cannot log in: {}", blind.evidence))
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
