//! Makes a running server a source, and undoes that.

use anyhow::{Context, Result};

use super::options::check_settings;
use super::{accounts, channel, role, sent};
use crate::adapters::bytes::digest::Sha256;
use crate::adapters::home::{Credentials, read_membership};
use crate::adapters::server::session::Session;
use crate::adapters::{look, system};
use crate::apply::work::Runner;
use crate::domain::coordinates::Coordinates;
use crate::domain::flavor::{Flavor, Positioning};
use crate::domain::manifest::NODE_FILES;
use crate::domain::own_schema::beat_now;
use crate::domain::pair::{Membership, Role};
use crate::domain::settings::{LOCAL_SCHEMA, OWN_SCHEMA};
use crate::domain::sql::{Sql, quote};
use crate::domain::{datastore, definitions, locks, own_schema, questions};

/// The note that the primary's accounts may have changed.
pub const ACCOUNTS_TOUCHED: &str = "accounts-touched";

/// Creates the tool's own schemas, with the events of this node. The accounts exist already.
pub async fn own_schema(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    for sql in own_schema::tables() {
        session.run(sql).await?;
    }
    programs(runner, flavor, session).await
}

/// What runs inside the server: the events of this node, the procedure that the monitor account may call,
/// and those that show definitions to the reader.
fn texts_of_programs(runner: &Runner<'_>, flavor: &Flavor) -> Result<Vec<Sql>> {
    let mut out = own_schema::events(flavor, &runner.config.timing());
    out.extend(own_schema::procedure(&runner.config.timing()));
    out.extend(questions::make());
    out.extend(definitions::procedures(&runner.home.require_membership()?.pair.schema));
    Ok(out)
}

fn hash_of(programs: &[Sql]) -> String {
    let all: Vec<&str> = programs.iter().map(Sql::text).collect();
    Sha256::of(all.join("\n").as_bytes()).to_string()
}

/// Makes the programs of the server again, and notes which.
pub async fn programs(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    // The event of the primary makes them itself, on both nodes. Made here, they would not be replicated.
    if runner.home.require_membership()?.role == Role::Secondary {
        session.run(own_schema::HEARTBEAT_ROWS).await?;
    }
    session.run(locks::table_of_word()).await?;
    let programs = texts_of_programs(runner, flavor)?;
    for sql in &programs {
        session.run(sql.clone()).await?;
    }
    accounts::let_execute(session).await?;
    session
        .run(format!(
            "CREATE TABLE IF NOT EXISTS {LOCAL_SCHEMA}.{PROGRAMS} (hash CHAR(64) NOT NULL) ENGINE=InnoDB"
        ))
        .await?;
    session.run(format!("DELETE FROM {LOCAL_SCHEMA}.{PROGRAMS}")).await?;
    session.run(format!("INSERT INTO {LOCAL_SCHEMA}.{PROGRAMS} VALUES ('{}')", hash_of(&programs))).await
}

/// Creates the accounts and schemas of a primary, points it at its secondary, and marks the pack.
///
/// A return channel that there is goes on. One that somebody has removed goes on from its place again.
/// Returns whether it does. Whoever works with the pair sees nothing of the pack.
pub async fn become_source(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    pack_id: &str,
) -> Result<bool> {
    let home = runner.home;
    check_settings(runner, flavor, session).await?;
    system::write_atomic(&home.work().join(ACCOUNTS_TOUCHED), b"", 0o600, None)?;
    let membership = home.require_membership()?;
    let credentials = home.credentials()?;
    let same_secrets = keeps_its_secrets(runner, &credentials)?;
    let is_there = same_secrets && has_return_channel(flavor, session, &membership, &credentials).await?;
    let lost = same_secrets && !is_there;
    let again =
        if lost { channel::place_without_channel(home, flavor, session, &membership).await? } else { None };
    let demand = accounts::demand(&home.node_files(), &membership)?;
    accounts::make(flavor, session, &credentials, &membership.pair.schema, &demand).await?;
    accounts::drop_others(session, &credentials).await?;
    for sql in own_schema::tables() {
        session.run(sql).await?;
    }
    if programs_differ(runner, flavor, session).await? {
        programs(runner, flavor, session).await?;
    } else {
        accounts::let_execute(session).await?;
    }
    for sql in datastore::note(&datastore::facts(&session.variables().await?)) {
        session.run(sql).await?;
    }
    session.run(locks::forget_word()).await?;
    if !is_there {
        session.run(flavor.stop_replica()).await?;
        sent::lets_go(runner, flavor, session, &membership).await?;
    }
    role::say_at_setup(runner, session).await?;
    match &again {
        _ if is_there => {}
        Some(from) => {
            runner.ui.warn(if flavor.positioning == Positioning::FilePosition {
                WAS_REMOVED_WITH_ITS_PLACE
            } else {
                WAS_REMOVED
            });
            channel::point_again(runner, flavor, session, &membership, from).await?;
        }
        None => {
            if lost {
                runner.ui.warn(WAS_REMOVED_AND_BEGINS_ANEW);
            }
            channel::point_back(runner, flavor, session, &membership).await?;
        }
    }
    // The secondary that there is tells by its own mark with which pack its binlogs began.
    session.run(format!("REPLACE INTO {OWN_SCHEMA}.pack VALUES (1, {})", quote(pack_id))).await?;
    // One transaction in the binlog, so that there are coordinates on every server.
    session.run("SET SESSION sql_log_bin = 1").await?;
    session.run(beat_now()).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    Ok(is_there || again.is_some())
}

const WAS_REMOVED: &str = "the return channel was removed, or pointed elsewhere: it goes on from its place";

const WAS_REMOVED_WITH_ITS_PLACE: &str = "the return channel was removed, or pointed elsewhere, and its place with it: it goes on where the binlogs of the secondary end now. Audit rows that the secondary wrote meanwhile are not here: run `pmp-ha repair` there";

const WAS_REMOVED_AND_BEGINS_ANEW: &str = "the return channel was removed, or pointed elsewhere, and the secondary does not say where its binlogs end: it begins anew with this pack. What the primary had received is read, and `pmp-ha verify` reports what was not meant. Audit rows that the secondary wrote meanwhile are not here: run `pmp-ha repair` there";

/// Whether the secondary that there is still lets the primary in after this pack.
fn keeps_its_secrets(runner: &Runner<'_>, credentials: &Credentials) -> Result<bool> {
    let before = runner.saved().copy_of(NODE_FILES).map(|dir| dir.join("credentials.toml"));
    let Some(before) = before.filter(|file| file.is_file()) else { return Ok(false) };
    Ok(Credentials::read(&before)?.back == credentials.back)
}

/// Whether the primary reads from the secondary of the pack, with the account that it has.
async fn has_return_channel(
    flavor: &Flavor,
    session: &mut Session,
    membership: &Membership,
    credentials: &Credentials,
) -> Result<bool> {
    let Some(row) = session.one(flavor.show_replica_status()).await? else { return Ok(false) };
    let (view, peer) = (look::pair::parse_replica(flavor, &row), membership.peer());
    let user = row.get(&flavor.column("Source_User"));
    Ok((view.source_host.as_str(), view.source_port) == (peer.host.as_str(), peer.db_port)
        && user.as_deref() == Some(credentials.back.user.as_str()))
}

/// The note in a node's own schema on the programs that its server has.
const PROGRAMS: &str = "programs";

/// Whether the events and procedures in the server are others than this version makes.
async fn programs_differ(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<bool> {
    let there = format!("SHOW TABLES FROM {LOCAL_SCHEMA} LIKE '{PROGRAMS}'");
    if session.one(there).await?.is_none() {
        return Ok(true);
    }
    let row = session.one(format!("SELECT hash FROM {LOCAL_SCHEMA}.{PROGRAMS}")).await?;
    Ok(row.and_then(|row| row.get("hash")) != Some(hash_of(&texts_of_programs(runner, flavor)?)))
}

/// Restores accounts and return channel as they were before [`become_source`].
pub async fn unbecome_source(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session) -> Result<()> {
    let before = runner.saved().copy_of(NODE_FILES).filter(|dir| dir.join("credentials.toml").is_file());
    // What the primary received meanwhile, somebody else may have sent: it is read before it goes. Without a pair
    // before, nobody could send anything, and a note would be left behind.
    if before.is_some() && channel::was_pointed(runner.home) {
        session.run(flavor.stop_replica()).await?;
        sent::lets_go(runner, flavor, session, &runner.home.require_membership()?).await?;
    }
    if let Some(before) = before {
        let credentials = Credentials::read(&before.join("credentials.toml"))?;
        let membership = read_membership(&system::read_text(&before.join("pair.toml"), system::SMALL)?)?;
        let earlier = (&membership, &credentials.back);
        channel::put_back(runner, flavor, session, Some(earlier)).await?;
        let demand = accounts::demand(&before, &membership)?;
        accounts::make(flavor, session, &credentials, &membership.pair.schema, &demand).await?;
        accounts::drop_others(session, &credentials).await
    } else {
        channel::put_back(runner, flavor, session, None).await?;
        accounts::drop_own(session).await
    }
}

/// Returns the end of the server's own binlogs; `None` if it has no coordinates.
pub async fn coordinates(flavor: &Flavor, session: &mut Session) -> Result<Option<Coordinates>> {
    let row = session.one(flavor.coordinates_query()).await?.context("the server names no coordinates")?;
    Ok(flavor.read_coordinates(|column| row.get(column)))
}
