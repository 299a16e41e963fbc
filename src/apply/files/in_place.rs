//! The step that installs a pack that was unpacked by hand.

use anyhow::{Result, bail};

use super::pack;
use crate::adapters::home::datadir;
use crate::adapters::pack::unpacked::Unpacked;
use crate::apply::work::Runner;

/// Copies the unpacked files into the staging folder, checks every byte, and reads it back.
///
/// The unpacked files stay as they are, so that a run that is undone, or killed inside the boot,
/// can start again.
pub async fn copy(runner: &Runner<'_>, pack_id: &str) -> Result<()> {
    let home = runner.home.clone();
    datadir::remember_old(&home)?;
    datadir::drop_staged(&home)?;
    let unpacked = Unpacked::open(&home, runner.secrets.opening.signed_by.as_ref())?;
    if unpacked.manifest().pack_id != pack_id {
        bail!("another pack was unpacked after the first one was verified");
    }
    let progress = runner.ui.progress("copying", unpacked.manifest().total_size());
    let interrupt = runner.interrupt.clone();
    tokio::task::spawn_blocking(move || -> Result<()> {
        unpacked.copy(|path| pack::staged_place(&home, path), &progress, &interrupt)?;
        datadir::adopt(&datadir::staging(&home), &home.data())
    })
    .await?
}
