//! A node that is set up, aligned anew with what its files say: on the running server, or in an
//! offline boot where it does not run.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use fs_err as fs;

use super::{Runner, accounts, boot, channel, guard, role, semi_sync, start};
use crate::adapters::home::{Credentials, Home, read_membership};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::mysql::{Address, Session};
use crate::adapters::mysqld::Database;
use crate::adapters::snapshot;
use crate::domain::flavor::Flavor;
use crate::domain::manifest::NODE_FILES;
use crate::domain::own_schema;
use crate::domain::pair::{Membership, Pair, Role};
use crate::domain::settings::taken_by;
use crate::failure::{Failure, Kind};

/// Aligns the node with its files as they are now. Returns when a write guard was lifted, if one was.
pub(super) async fn apply(runner: &Runner<'_>, account: &str) -> Result<Option<Instant>> {
    align(runner, &runner.home.require_membership()?, account).await
}

/// Aligns the node with its files as they were before the run.
pub(super) async fn undo(runner: &Runner<'_>, account: &str) -> Result<()> {
    let uninterrupted = Interrupt::default();
    Database::of(runner.home, &uninterrupted).clear_offline_boot(runner.config.stop_deadline()).await?;
    let Some(before) = runner.saved().copy_of(NODE_FILES) else { return Ok(()) };
    let membership = read_membership(&fs::read_to_string(before.join("pair.toml"))?)?;
    align(runner, &membership, account).await.map(|_| ())
}

async fn align(runner: &Runner<'_>, membership: &Membership, account: &str) -> Result<Option<Instant>> {
    let database = runner.database();
    let runs = database.pid()?.is_some();
    if runs {
        let done = align_running(runner, membership, account).await;
        if done.is_ok() || !database.is_gone().await? {
            return done;
        }
        // It was killed meanwhile: what it lacks it gets before it is there again.
    }
    let flavor = runner.flavor().await?;
    let credentials = runner.home.credentials()?;
    let (start, stop) = (runner.config.start_deadline(), runner.config.stop_deadline());
    let options = boot::node_options(runner, flavor, membership);
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    let mut lifted = None;
    statements(runner, flavor, &mut session, membership, &credentials, account, &mut lifted).await?;
    database.end_offline_boot(session, stop).await?;
    if runs {
        start::database(runner).await?;
    }
    Ok(lifted)
}

async fn align_running(
    runner: &Runner<'_>,
    membership: &Membership,
    account: &str,
) -> Result<Option<Instant>> {
    let flavor = runner.flavor().await?;
    let credentials = runner.home.credentials()?;
    let mut session = admin_session(runner.home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    session.run("SET SESSION sql_mode = ''").await?;
    let mut lifted = None;
    let mut done =
        statements(runner, flavor, &mut session, membership, &credentials, account, &mut lifted).await;
    if done.is_ok() {
        let set = semi_sync::set(runner, flavor, &mut session, membership.role).await;
        done = set.and(done);
    }
    // Whatever happened, what flowed before flows again; but never what should not.
    if !matches!(done, Ok(Filter::WithTheNextStart)) {
        session.run(flavor.start_replica()).await?;
    }
    session.close().await;
    done.map(|_| lifted)
}

/// Whether the applier takes the tables of its role.
enum Filter {
    InEffect,
    /// This server learns another filter by its option file only.
    WithTheNextStart,
}

async fn statements(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    membership: &Membership,
    credentials: &Credentials,
    account: &str,
    lifted: &mut Option<Instant>,
) -> Result<Filter> {
    let channel_account = match membership.role {
        Role::Primary => &credentials.back,
        Role::Secondary => &credentials.replication,
    };
    session.run(flavor.stop_replica()).await?;
    let Some(position) = channel::position(flavor, session).await? else {
        bail!(
            Failure::new(Kind::Refused, "cannot reconfigure")
                .because("the database here has no source to replicate from")
                .hint(
                    "Set the pair up: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary."
                )
        );
    };
    role::take_on(flavor, session, membership).await?;
    // A run that was cut off may go on when the other node has been promoted long since.
    let serves = membership.role == Role::Primary && !role::is_replaced(runner, membership).await?;
    match membership.role {
        Role::Primary => {
            // The other node may still be in its old role, in which it would let pass what is written
            // here from now on, and never ask for it again.
            accounts::turn_away(session, &credentials.back.user).await?;
            if serves {
                // Whoever waits to write has waited long enough.
                guard::lift(flavor, session).await?;
                *lifted = Some(Instant::now());
            }
        }
        Role::Secondary => accounts::make(flavor, session, credentials, &membership.pair.schema).await?,
    }
    let filter = filter(flavor, session, membership).await?;
    let from = channel::Start::Kept(&position);
    channel::point(runner, flavor, session, membership.peer(), channel_account, from).await?;
    for sql in own_schema::events(flavor, &runner.config.timing()) {
        session.run(sql).await?;
    }
    match membership.role {
        Role::Primary if serves => guard::wake_events(session).await?,
        // What is guarded stays so.
        Role::Primary => {}
        Role::Secondary => {
            guard::quiet_events(session).await?;
            guard::set(flavor, session, account, &membership.pair).await?;
        }
    }
    Ok(filter)
}

/// Makes the applier take the tables of its role, where the running server can learn that.
async fn filter(flavor: &Flavor, session: &mut Session, membership: &Membership) -> Result<Filter> {
    let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
    let found = snapshot::parse_replica(flavor, &row).wild_do_tables;
    let of = |role| taken_by(role, &membership.pair);
    let (wanted, others) = (of(membership.role), of(Pair::peer_of(membership.role)));
    if found == wanted {
        return Ok(Filter::InEffect);
    }
    match flavor.filter_now(&wanted) {
        Some(sql) => session.run(sql).await.map(|()| Filter::InEffect),
        None if found == others => Ok(Filter::WithTheNextStart),
        // Other tables than before, in the same role: what flowed before goes on to flow.
        None => Ok(Filter::InEffect),
    }
}

/// Logs in to the running server with the tool's own account.
pub(super) async fn admin_session(home: &Home) -> Result<Session> {
    let admin = home.credentials()?.admin;
    Session::open(&Address::Socket(home.socket()), &admin, Duration::from_secs(10)).await.map_err(|blind| {
        anyhow!("the database does not let the account {} in: {}", admin.user, blind.evidence)
    })
}
