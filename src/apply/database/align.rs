//! Applies a node's files to its database, on the running server or in an offline boot.

use std::time::Instant;

use anyhow::{Result, bail};

use super::session::admin_session;
use super::{accounts, channel, guard, options, role, semi_sync, sent, source};
use crate::adapters::home::{Credentials, read_membership};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look;
use crate::adapters::server::process::Database;
use crate::adapters::server::session::Session;
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::manifest::NODE_FILES;
use crate::domain::pair::{Membership, Pair, Role};
use crate::domain::settings::{EVERY_SCHEMA, taken_by};
use crate::failure::{Failure, Kind};

/// Applies the node's files as they are now. Returns when a write guard was lifted, if one was.
pub async fn apply(runner: &Runner<'_>, account: &str) -> Result<Option<Instant>> {
    align(runner, &runner.home.require_membership()?, account).await
}

/// Applies the node's files as they were before the run.
pub async fn undo(runner: &Runner<'_>, account: &str) -> Result<()> {
    let uninterrupted = Interrupt::default();
    Database::of(runner.home, &uninterrupted).clear_offline_boot(runner.config.stop_deadline()).await?;
    let Some(before) = runner.saved().copy_of(NODE_FILES) else { return Ok(()) };
    let membership = read_membership(&system::read_text(&before.join("pair.toml"), system::SMALL)?)?;
    align(runner, &membership, account).await.map(|_| ())
}

async fn align(runner: &Runner<'_>, membership: &Membership, account: &str) -> Result<Option<Instant>> {
    let database = runner.database();
    let runs = database.pid()?.is_some();
    if runs {
        let done = align_running(runner, membership, account).await;
        let exchanges = runner.taking.refused.is_some();
        if done.is_ok() || !exchanges || !database.is_gone().await? {
            return done;
        }
        // It was killed meanwhile: it gets what it lacks now, and a later step starts it.
    }
    let flavor = runner.flavor().await?;
    let credentials = runner.home.credentials()?;
    let (start, stop) = (runner.config.start_deadline(), runner.config.stop_deadline());
    let options = options::node_options(runner, flavor, membership);
    let waiting = runner.ui.spinner("the database is booted without a network");
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    let mut lifted = None;
    statements(runner, flavor, &mut session, membership, &credentials, account, &mut lifted).await?;
    database.end_offline_boot(session, stop).await?;
    drop(waiting);
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
    if membership.role == Role::Secondary {
        semi_sync::wait_no_longer(flavor, &mut session).await?;
    }
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

/// Returns whether the applier replicates the tables of its role.
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
                .code("no-source")
                .because("the database here has no source to replicate from")
                .hint(
                    "Set up the pair: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary."
                )
        );
    };
    sent::lets_go(runner, flavor, session, membership).await?;
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
        Role::Secondary => {
            let demand = accounts::demand(&runner.home.node_files(), membership)?;
            accounts::make(flavor, session, credentials, &membership.pair.schema, &demand).await?;
        }
    }
    let filter = filter(flavor, session, membership).await?;
    let from = channel::Start::Kept(&position);
    channel::point(runner, flavor, session, membership, channel_account, from).await?;
    source::programs(runner, flavor, session).await?;
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

/// Sets the applier's filter for its role, if the running server can change it.
async fn filter(flavor: &Flavor, session: &mut Session, membership: &Membership) -> Result<Filter> {
    let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
    let found = look::pair::parse_replica(flavor, &row).wild_do_tables;
    let of = |role| taken_by(role, &membership.pair);
    let (wanted, others) = (of(membership.role), of(Pair::peer_of(membership.role)));
    let tables = |list: &[String]| -> Vec<String> {
        list.iter().filter(|pattern| *pattern != EVERY_SCHEMA).cloned().collect()
    };
    if found == wanted {
        return Ok(Filter::InEffect);
    }
    match flavor.filter_now(&wanted) {
        Some(sql) => session.run(sql).await.map(|()| Filter::InEffect),
        None if tables(&found) == tables(&others) => Ok(Filter::WithTheNextStart),
        // Other tables than before, in the same role: what flowed before goes on to flow.
        None => Ok(Filter::InEffect),
    }
}
