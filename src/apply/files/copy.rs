//! The copy of the primary's data from which a pack is made while the database runs.
//!
//! It copies a stopped database, or brings the copy of a running one to a clean stop.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::place::{NodeFiles, Place, make_work};
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, datadir};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::apply::database::source_state::SourceState;
use crate::apply::database::{channel, options, source};
use crate::apply::work::Runner;
use crate::domain::datafiles::{CLONE_NOTES, FileClass, classify};
use crate::domain::flavor::DROP_CLONE_PLUGIN;
use crate::domain::plan::CopyWay;
use crate::domain::procedures::DataFile;

/// Returns the data for the pack: the copy, if a step has made one.
pub fn data_to_pack(home: &Home) -> PathBuf {
    let copy = Place::of_pack(home).data();
    if copy.is_dir() { copy } else { home.data() }
}

/// Returns the current files of the data directory that belong to the copy.
pub fn files(home: &Home) -> Result<Vec<DataFile>> {
    let listed = datadir::list(&home.data())?.files;
    Ok(listed.into_iter().filter(|(path, _)| classify(path.as_str()) == FileClass::Data).collect())
}

/// Copies the data of the stopped database, durably.
///
/// The pack can be made from it even if the machine crashes after the database was started.
pub async fn copy(runner: &Runner<'_>) -> Result<()> {
    let place = Place::of_pack(runner.home);
    place.drop()?;
    let (home, files) = (runner.home.clone(), files(runner.home)?);
    let progress = runner.ui.progress("copying", files.iter().map(|(_, size)| size).sum());
    let interrupt = runner.interrupt.clone();
    tokio::task::spawn_blocking(move || -> Result<()> {
        make_work(&home)?;
        place.make(&home)?;
        datadir::copy(&home.data(), &place.data(), &files, &progress, &interrupt)?;
        datadir::adopt(&place.data(), &home.data())
    })
    .await?
}

/// Boots the copy of a running database without a network, and stops it cleanly.
///
/// Then the pack contains the same as the pack of a stopped database.
pub async fn settle(runner: &Runner<'_>, way: &CopyWay, pack_id: &str) -> Result<()> {
    let flavor = runner.flavor().await?;
    let spinner = runner.ui.spinner("the copy is booted without a network");
    let place = Place::of_pack(runner.home);
    datadir::adopt(&place.data(), &runner.home.data())?;
    let around = place.around(runner.home, NodeFiles::OfHome)?;
    let database = Database::of(&around, runner.interrupt);
    let options = options::node_options(runner, flavor, &runner.home.require_membership()?);
    let start = runner.config.start_deadline();
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    if let CopyWay::Clone { install } = way {
        // Only the copy itself knows up to where it goes.
        let coordinates = source::coordinates(flavor, &mut session).await?;
        let coordinates = coordinates.context("the copy has no position in the binlogs")?;
        let return_channel_goes_on = !channel::begins_anew(runner.home);
        SourceState { pack_id: pack_id.to_owned(), coordinates, return_channel_goes_on }
            .store(runner.home)?;
        if *install {
            session.run(DROP_CLONE_PLUGIN).await?;
        }
    }
    database.end_offline_boot(session, runner.config.stop_deadline()).await?;
    remove(&place.data().join(CLONE_NOTES))?;
    drop(spinner);
    Ok(())
}

/// Stops a server that works on the copy.
pub async fn let_go(runner: &Runner<'_>) -> Result<()> {
    // Without a whole home around it no server was ever booted on it.
    let Ok(around) = Home::open(Place::of_pack(runner.home).root()) else { return Ok(()) };
    let uninterrupted = Interrupt::default();
    Database::of(&around, &uninterrupted).clear_offline_boot(runner.config.stop_deadline()).await
}
