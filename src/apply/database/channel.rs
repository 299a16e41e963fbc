//! The channel of a node: points it at the other node, reads it back, and restores it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::limit;
use crate::adapters::home::{Credential, Home, remembered};
use crate::adapters::server::session::Session;
use crate::adapters::{look, system};
use crate::apply::work::Runner;
use crate::domain::coordinates::Coordinates;
use crate::domain::flavor::{Flavor, SourceSpec};
use crate::domain::pair::{Membership, Role};
use crate::domain::settings::BINLOG;
use crate::domain::snapshot::ChannelTls;

/// The position from which a channel replicates.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// The point of the source's history of which the data here are a copy.
    At(&'a Coordinates),
    /// The position recorded in the data here.
    Kept(&'a Coordinates),
}

/// Sets the source of the stopped replica to the other node, and checks what the server stored.
///
/// On the primary, it also limits the applier.
pub async fn point(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    membership: &Membership,
    account: &Credential,
    from: Start<'_>,
) -> Result<()> {
    let (source, limited) = (membership.peer(), membership.role == Role::Primary);
    if limited {
        limit::make(flavor, session, &membership.pair).await?;
    }
    let (Start::At(position) | Start::Kept(position)) = from;
    if let Start::At(point) = from {
        for sql in flavor.seed_position(point) {
            session.run(sql).await?;
        }
    }
    let (tls, timing) = (runner.home.tls_paths(), runner.config.timing());
    let spec = SourceSpec {
        host: &source.host,
        port: source.db_port,
        user: &account.user,
        password: &account.password,
        ca: &tls.ca,
        cert: &tls.cert,
        key: &tls.key,
        from: position,
        connect_retry: timing.connect_retry,
        heartbeat: timing.heartbeat,
        limited,
    };
    remembered::returned::let_go(runner.home, membership)?;
    session.run(flavor.change_source(&spec)).await?;
    if let Some(sql) = flavor.keep_relay_logs(membership.role) {
        session.run(sql).await?;
    }

    let row = session.one(flavor.show_replica_status()).await?.context("the server has no replica status")?;
    let view = look::pair::parse_replica(flavor, &row);
    if (view.source_host.as_str(), view.source_port) != (source.host.as_str(), source.db_port) {
        bail!("the server stored another source: {}:{}", view.source_host, view.source_port);
    }
    if view.channel_tls != ChannelTls::Verified {
        bail!("the server did not accept the TLS options of the channel: {:?}", view.channel_tls);
    }
    let found = position_of(flavor, session).await?;
    if matches!(from, Start::At(point) if *point != found) {
        bail!("the server continues from {found} instead of {position}");
    }
    Ok(())
}

/// Removes the source, its position and the relay logs. The caller must first read these logs.
pub async fn forget(flavor: &Flavor, session: &mut Session) -> Result<()> {
    session.run(flavor.stop_replica()).await?;
    for sql in flavor.forget_source() {
        session.run(sql).await?;
    }
    Ok(())
}

/// Returns the beginning of the binlogs of a secondary that was just installed.
///
/// With MySQL's GTIDs there is none: a newly installed secondary is another server, and all its
/// transactions are wanted.
fn beginning(flavor: &Flavor) -> Option<Coordinates> {
    use crate::domain::flavor::Positioning;
    match flavor.positioning {
        Positioning::FilePosition => {
            Some(Coordinates::FilePosition { file: format!("{BINLOG}.000001"), position: 4 })
        }
        Positioning::Gtid => None,
        Positioning::MariaDbGtid => Some(Coordinates::MariaDbGtid { position: String::new() }),
    }
}

/// Points the primary at its secondary: the return channel of the audit rows.
///
/// It records the old state first, so that the pack can be undone.
pub async fn point_back(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    membership: &Membership,
) -> Result<()> {
    let before = position(flavor, session).await?;
    let note = Note::of(runner.home);
    if !note.exists() {
        note.write(before.as_ref())?;
    }
    remembered::returned::let_go(runner.home, membership)?;
    forget(flavor, session).await?;
    let credentials = runner.home.credentials()?;
    let unseeded = Coordinates::Gtid { executed: String::new() };
    let beginning = beginning(flavor);
    let from = beginning.as_ref().map_or(Start::Kept(&unseeded), Start::At);
    point(runner, flavor, session, membership, &credentials.back, from).await
}

/// Points the primary at its secondary again, where somebody has removed the channel or pointed it elsewhere.
///
/// It goes on from `from`, in the binlogs of the secondary that there is. The next one is told apart from that
/// as in any other pack.
pub async fn point_again(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    membership: &Membership,
    from: &Coordinates,
) -> Result<()> {
    let note = Note::of(runner.home);
    if !note.exists() {
        let before = position(flavor, session).await?;
        note.write(before.as_ref())?;
    }
    system::write_atomic(&goes_on_note(runner.home), b"", 0o600, None)?;
    remembered::returned::let_go(runner.home, membership)?;
    forget(flavor, session).await?;
    let account = runner.home.credentials()?.back;
    let from = match from {
        Coordinates::Gtid { .. } => Start::Kept(from),
        _ => Start::At(from),
    };
    point(runner, flavor, session, membership, &account, from).await
}

/// Returns where a channel that was removed goes on; `None` if the other node does not answer as the
/// secondary of this primary.
///
/// A server with GTIDs still has its place. One with file and position has lost it: the channel goes on where
/// the binlogs of the secondary end now.
pub async fn place_without_channel(
    home: &Home,
    flavor: &Flavor,
    session: &mut Session,
    membership: &Membership,
) -> Result<Option<Coordinates>> {
    use crate::domain::flavor::Positioning;
    if !flavor.return_channel_can_go_on() {
        return Ok(None);
    }
    let Ok(mut other) = look::other_node::open(home, membership).await else { return Ok(None) };
    let said = look::other_node::says(&mut other).await.ok().flatten();
    let end = other.one(flavor.coordinates_query()).await.ok().flatten().unwrap_or_default();
    other.close().await;
    // A node that was promoted has no channel either, and its old primary is not its secondary yet.
    if !said.is_some_and(|said| said.role == Role::Secondary && said.epoch == membership.pair.epoch) {
        return Ok(None);
    }
    if flavor.positioning == Positioning::FilePosition {
        // The first event begins at 4: no server is anywhere before.
        let is_place = |at: &Coordinates| !matches!(at, Coordinates::FilePosition { position: ..4, .. });
        return Ok(flavor.read_coordinates(|column| end.get(column)).filter(is_place));
    }
    Ok(Some(position_of(flavor, session).await?))
}

/// Restores the return channel as it was before a pack that is undone.
pub async fn put_back(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    earlier: Option<(&Membership, &Credential)>,
) -> Result<()> {
    let note = Note::of(runner.home);
    if !note.exists() {
        return Ok(());
    }
    if let Some((membership, _)) = earlier {
        remembered::returned::let_go(runner.home, membership)?;
    }
    forget(flavor, session).await?;
    if let (Some(position), Some((membership, account))) = (note.read()?, earlier) {
        let from = match position {
            Coordinates::Gtid { .. } => Start::Kept(&position),
            _ => Start::At(&position),
        };
        point(runner, flavor, session, membership, account, from).await?;
    }
    Ok(())
}

/// Whether this run has pointed the primary at a secondary.
pub fn was_pointed(home: &Home) -> bool {
    Note::of(home).exists()
}

/// Whether the return channel begins anew with the secondary of this run's pack.
pub fn begins_anew(home: &Home) -> bool {
    was_pointed(home) && !goes_on_note(home).exists()
}

/// The note that this run has pointed the primary at the secondary that there is.
fn goes_on_note(home: &Home) -> PathBuf {
    home.work().join("way-back-goes-on")
}

/// Returns the position of the stopped applier; `None` if there is no channel.
pub async fn position(flavor: &Flavor, session: &mut Session) -> Result<Option<Coordinates>> {
    match session.one(flavor.show_replica_status()).await? {
        Some(_) => Ok(Some(position_of(flavor, session).await?)),
        None => Ok(None),
    }
}

async fn position_of(flavor: &Flavor, session: &mut Session) -> Result<Coordinates> {
    use crate::domain::flavor::Positioning;
    Ok(match flavor.positioning {
        Positioning::FilePosition => {
            let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
            let column = |name: &str| row.get(&flavor.column(name)).unwrap_or_default();
            Coordinates::FilePosition {
                file: column("Relay_Source_Log_File"),
                position: column("Exec_Source_Log_Pos").parse().unwrap_or(0),
            }
        }
        Positioning::Gtid => {
            let row = session.one(flavor.coordinates_query()).await?.unwrap_or_default();
            Coordinates::Gtid { executed: row.get("executed").unwrap_or_default() }
        }
        Positioning::MariaDbGtid => {
            let row = session.one("SELECT @@GLOBAL.gtid_slave_pos AS position").await?.unwrap_or_default();
            Coordinates::MariaDbGtid { position: row.get("position").unwrap_or_default() }
        }
    })
}

/// The note on the return channel's position before the primary got a new source.
struct Note(PathBuf);

impl Note {
    fn of(home: &Home) -> Self {
        Self(home.work().join("way-back-before.json"))
    }

    fn exists(&self) -> bool {
        self.0.exists()
    }

    fn write(&self, before: Option<&Coordinates>) -> Result<()> {
        system::write_atomic(&self.0, &serde_json::to_vec(&before)?, 0o600, None)
    }

    fn read(&self) -> Result<Option<Coordinates>> {
        Ok(serde_json::from_slice(&system::read_bytes(&self.0, system::SMALL)?)?)
    }
}
