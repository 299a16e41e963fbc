//! Copies the data of a running database, for a pack, a recovery or a rehearsal.

mod clone;
mod lock;
mod tool;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::adapters::home::{Home, datadir, read_membership};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::server::session::Session;
use crate::adapters::system;
use crate::apply::database::session::admin_session;
use crate::apply::database::source_state::SourceState;
use crate::apply::database::{backlog, channel, options, source};
use crate::apply::files::node_files;
use crate::apply::files::place::{Place, make_work};
use crate::apply::work::Runner;
use crate::domain::coordinates::Coordinates;
use crate::domain::flavor::Flavor;
use crate::domain::locks;
use crate::domain::manifest::NODE_FILES;
use crate::domain::own_schema::beat_now;
use crate::domain::pair::Membership;
use crate::domain::plan::CopyWay;
use crate::failure::Failure;

/// A statement that copies all data may take as long as it takes.
const COPY_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// Between two writes that try how long one takes.
const PROBE: Duration = Duration::from_millis(20);

/// A running database that is copied.
struct Copying<'a> {
    /// The home whose work folder has the notes for undoing it.
    runner: &'a Runner<'a>,
    /// Whose database it is.
    home: &'a Home,
    /// Where the copy of its data directory is made.
    target: PathBuf,
    /// The folder around the copy, if this tool has made one.
    place: Option<Place>,
    /// What happens to its replication under the lock.
    replication: Replication,
}

/// What happens to the replication of a database that is copied under a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replication {
    /// It is stopped once everything that it has received is applied: nothing may be missing in the copy.
    RestsWhenCaughtUp,
    /// It continues. The applier waits for the lock and then resumes by itself.
    GoesOn,
}

impl<'a> Copying<'a> {
    /// The primary's own data, for a pack.
    fn for_pack(runner: &'a Runner<'_>) -> Self {
        Self::into(runner, Place::of_pack(runner.home))
    }

    /// A secondary's data, for a new primary.
    fn for_recovery(runner: &'a Runner<'_>, from: &'a Home) -> Self {
        let target = datadir::staging(runner.home);
        Self { runner, home: from, target, place: None, replication: Replication::RestsWhenCaughtUp }
    }

    /// A secondary's own data, for a throw-away server.
    fn for_rehearsal(runner: &'a Runner<'_>, place: &Place) -> Self {
        Self::into(runner, place.clone())
    }

    fn into(runner: &'a Runner<'_>, place: Place) -> Self {
        let target = place.data();
        Self { runner, home: runner.home, target, place: Some(place), replication: Replication::GoesOn }
    }

    async fn flavor(&self) -> Result<&'static Flavor> {
        let version = Database::of(self.home, self.runner.interrupt).version().await?;
        Flavor::of(&version).with_context(|| format!("{version} is not known"))
    }

    /// Copies. Returns the copy's position in the server's own binlogs, if known, and how long
    /// writes waited.
    async fn copy(&self, way: &CopyWay) -> Result<(Option<Coordinates>, Duration)> {
        match way {
            // The copy says where it stands when it is booted.
            CopyWay::Clone { install } => {
                if let Some(place) = &self.place {
                    place.open_for_clone(self.home)?;
                }
                let blocked = clone::copy(self, *install).await?;
                if let Some(place) = &self.place {
                    place.close_after_clone(self.home)?;
                }
                Ok((None, blocked))
            }
            CopyWay::BackupTool { program } => tool::copy(self, program.as_ref()).await,
            CopyWay::Lock => lock::copy(self).await,
        }
    }

    /// Ends a copy that still runs, and undoes its settings.
    async fn end(&self) -> Result<()> {
        tool::end(&self.target).await?;
        let uninterrupted = Interrupt::default();
        if Database::of(self.home, &uninterrupted).serving_pid().await?.is_some() {
            let flavor = self.flavor().await?;
            let mut session = session(self.home).await?;
            clone::end(&mut session).await?;
            clone::forget_plugin(self.runner, &mut session).await?;
            lock::restore(self.runner, flavor, &mut session).await?;
            session.close().await;
        }
        Ok(())
    }
}

/// Does what the pack of a stopped database does in its offline boot, with the admin account.
///
/// Replication continues.
pub async fn mark_pack(runner: &Runner<'_>, membership: &Membership, pack_id: &str) -> Result<()> {
    let flavor = runner.flavor().await?;
    let made_a_ca = node_files::renew(runner, membership).await?;
    let mut session = session(runner.home).await?;
    if let (true, Some(sql)) = (made_a_ca, flavor.reload_tls()) {
        session.run(sql).await?;
    }
    source::become_source(runner, flavor, &mut session, pack_id).await?;
    if channel::was_pointed(runner.home) {
        session.run(flavor.start_replica()).await?;
    }
    session.close().await;
    Ok(())
}

/// Takes that back, on the running database or, if it no longer runs, in an offline boot.
pub async fn unmark_pack(runner: &Runner<'_>) -> Result<()> {
    let Some(before) = runner.saved().copy_of(NODE_FILES) else { return Ok(()) };
    let flavor = runner.flavor().await?;
    let uninterrupted = Interrupt::default();
    let database = Database::of(runner.home, &uninterrupted);
    let stop = runner.config.stop_deadline();
    database.clear_offline_boot(stop).await?;
    if database.serving_pid().await?.is_some() {
        let mut session = session(runner.home).await?;
        clone::forget_plugin(runner, &mut session).await?;
        let begun = channel::was_pointed(runner.home);
        if begun {
            session.run(flavor.stop_replica()).await?;
        }
        source::unbecome_source(runner, flavor, &mut session).await?;
        if begun && channel::position(flavor, &mut session).await?.is_some() {
            session.run(flavor.start_replica()).await?;
        }
        session.close().await;
    } else {
        let membership = read_membership(&system::read_text(&before.join("pair.toml"), system::SMALL)?)?;
        let options = options::node_options(runner, flavor, &membership);
        let start = runner.config.start_deadline();
        let _waiting = runner.ui.spinner("the database is booted without a network");
        let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
        clone::forget_plugin(runner, &mut session).await?;
        source::unbecome_source(runner, flavor, &mut session).await?;
        database.end_offline_boot(session, stop).await?;
    }
    runner.saved().restore(NODE_FILES)
}

/// Copies the data of the running database for a pack. Returns for how long writes had to wait.
pub async fn copy(runner: &Runner<'_>, way: &CopyWay, pack_id: &str) -> Result<Duration> {
    let place = Place::of_pack(runner.home);
    place.drop()?;
    make_work(runner.home)?;
    place.make(runner.home)?;
    let (at, blocked) = Copying::for_pack(runner).copy(way).await?;
    if !matches!(way, CopyWay::Clone { .. }) {
        let coordinates = at.context("the server does not give the copy's position in its binlogs")?;
        let return_channel_goes_on = !channel::begins_anew(runner.home);
        SourceState { pack_id: pack_id.to_owned(), coordinates, return_channel_goes_on }
            .store(runner.home)?;
    }
    // The copy has the word of the locks.
    let mut session = session(runner.home).await?;
    session.run(locks::forget_word()).await?;
    session.close().await;
    Ok(blocked)
}

/// Takes back what the copy for a pack has done, and removes it.
pub async fn undo_copy(runner: &Runner<'_>) -> Result<()> {
    Copying::for_pack(runner).end().await?;
    Place::of_pack(runner.home).drop()
}

/// Copies the data of the running database for a rehearsal. Returns for how long writes had to wait.
pub async fn copy_for_rehearsal(runner: &Runner<'_>, way: &CopyWay, place: &Place) -> Result<Duration> {
    let (_, blocked) = Copying::for_rehearsal(runner, place).copy(way).await?;
    Ok(blocked)
}

/// Takes back what the copy for a rehearsal has done on the running database.
pub async fn end_copy_for_rehearsal(runner: &Runner<'_>, place: &Place) -> Result<()> {
    Copying::for_rehearsal(runner, place).end().await
}

/// Copies the data of another home, whose database runs, into a folder next to this home's.
///
/// Everything that it had received is in the copy. Returns for how long its writes had to wait.
pub async fn copy_live(runner: &Runner<'_>, from: &Path, way: &CopyWay) -> Result<Duration> {
    let from = Home::open(from)?;
    datadir::remember_old(runner.home)?;
    datadir::drop_staged(runner.home)?;
    let copying = Copying::for_recovery(runner, &from);
    let spinner = runner.ui.spinner("the secondary is applying what it received");
    let mut session = session(&from).await?.until(runner.interrupt);
    backlog::wait_until_caught_up(copying.flavor().await?, &mut session, runner.interrupt).await?;
    session.close().await;
    drop(spinner);
    let (_, blocked) = copying.copy(way).await?;
    datadir::make_durable(&copying.target, runner.interrupt)?;
    datadir::adopt(&copying.target, &runner.home.data())?;
    Ok(blocked)
}

/// Takes back what the copy of another home has done there, and removes it.
pub async fn undo_copy_live(runner: &Runner<'_>, from: &Path) -> Result<()> {
    match Home::open(from) {
        Ok(from) => Copying::for_recovery(runner, &from).end().await?,
        Err(error) => runner.ui.warn(format!("{error:#}: nothing is put back there")),
    }
    datadir::drop_staged(runner.home)
}

/// Copies, and meanwhile writes this node's heartbeat again and again: returns the longest time that
/// a write had to wait. The copy is cut off when the operator wants to stop.
async fn while_probing(of: &Copying<'_>, copying: impl Future<Output = Result<()>>) -> Result<Duration> {
    let interrupt = of.runner.interrupt;
    let mut session = session(of.home).await?;
    session.run("SET SESSION sql_log_bin = 1").await?;
    let mut longest = Duration::ZERO;
    let begun = Cell::new(None::<Instant>);
    let probe = async {
        loop {
            begun.set(Some(Instant::now()));
            session.run(beat_now()).await?;
            longest = longest.max(begun.take().map_or(Duration::ZERO, |begun| begun.elapsed()));
            interrupt.sleep(PROBE).await?;
        }
    };
    let copied: Result<()> = tokio::select! {
        copied = copying => copied,
        stopped = probe => stopped,
        () = interrupt.wanted() => Err(Failure::interrupted().into()),
    };
    copied?;
    session.close().await;
    // The last one may still have waited.
    Ok(longest.max(begun.get().map_or(Duration::ZERO, |begun| begun.elapsed())))
}

/// Logs in with the tool's own account; what it changes is not replicated.
async fn session(home: &Home) -> Result<Session> {
    let mut session = admin_session(home).await.context("the running database is needed")?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    session.run("SET SESSION sql_mode = ''").await?;
    // A product may have made idle sessions short-lived.
    session.run("SET SESSION wait_timeout = 28800").await?;
    Ok(session)
}
