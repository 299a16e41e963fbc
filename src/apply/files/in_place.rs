//! The step that takes what was unpacked by hand.

use anyhow::{Result, bail};

use super::pack;
use crate::adapters::home::datadir;
use crate::adapters::pack::unpacked::Unpacked;
use crate::apply::work::Runner;

/// Copies what was unpacked by hand to the place beside the data directory where a pack would be
/// extracted to, every byte checked on the way and read back. What was unpacked stays as it is, so
/// that a run that is undone, or was killed inside the boot, can begin anew.
pub async fn copy(runner: &Runner<'_>, pack_id: &str) -> Result<()> {
    let home = runner.home.clone();
    datadir::remember_old(&home)?;
    datadir::drop_staged(&home)?;
    let unpacked = Unpacked::open(&home, runner.secrets.opening.signed_by.as_ref())?;
    if unpacked.manifest().pack_id != pack_id {
        bail!("another pack was unpacked after the first one had been verified");
    }
    let progress = runner.ui.progress("copying", unpacked.manifest().total_size());
    let interrupt = runner.interrupt.clone();
    tokio::task::spawn_blocking(move || -> Result<()> {
        unpacked.copy(|path| pack::staged_place(&home, path), &progress, &interrupt)?;
        datadir::adopt(&datadir::staging(&home), &home.data())
    })
    .await?
}
