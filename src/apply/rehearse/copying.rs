//! Copies or extracts the data into the folder of a rehearsal.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::folder::RehearsalFolder;
use super::live::{self, ConsistentRead};
use super::proof::{Gathered, Go};
use super::server::altered_page;
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, datadir};
use crate::adapters::look;
use crate::adapters::pack::Pack;
use crate::apply::database::session::admin_session;
use crate::apply::files::place::make_work;
use crate::apply::files::{node_files, pack};
use crate::apply::online;
use crate::apply::work::Runner;
use crate::domain::manifest::{DATA, RelPath};
use crate::domain::plan::CopyWay;
use crate::domain::procedures::DataFile;
use crate::domain::procedures::recover::is_copied;
use crate::domain::procedures::rehearse::Rehearsal;
use crate::domain::rehearsal::check::{Check, Code, Defect, Topic};
use crate::domain::rehearsal::report::seconds;
use crate::failure::{Failure, Kind};

/// The running database before and after it was copied.
pub(super) struct Around {
    pub(super) before: ConsistentRead,
    pub(super) after: ConsistentRead,
}

/// Copies the data of the running database; `None` if they cannot be copied.
pub(super) async fn running(
    runner: &Runner<'_>,
    folder: &RehearsalFolder,
    way: &CopyWay,
    proof: &mut Gathered,
) -> Result<Option<Around>> {
    let home = runner.home;
    let mut session = admin_session(home).await?.until(runner.interrupt);
    let (check, behind) = live::applied(&mut session, runner.flavor().await?).await?;
    session.close().await;
    proof.checks.push(check);
    proof.seconds.apply = behind;

    let before = ConsistentRead::take(home, runner.interrupt).await?;
    make_work(home)?;
    let begun = Instant::now();
    let copied = online::copy_for_rehearsal(runner, way, folder.place()).await;
    if copied.is_err() {
        online::end_copy_for_rehearsal(runner, folder.place()).await?;
    }
    remove(&home.work())?;
    let blocked = match copied {
        Ok(blocked) => blocked,
        Err(error) => {
            let Some(defect) = altered_page(&error) else { return Err(error) };
            proof.checks.push(Check::of(Topic::Tables, vec![defect], ""));
            return Ok(None);
        }
    };
    datadir::adopt(&folder.place().data(), &home.data())?;
    proof.seconds.copy = Some(seconds(begun.elapsed()));
    proof.waited = Some(seconds(blocked));
    Ok(Some(Around { before, after: ConsistentRead::take(home, runner.interrupt).await? }))
}

/// Copies the data of the stopped database as recovery does.
pub(super) async fn stopped(
    runner: &Runner<'_>,
    folder: &RehearsalFolder,
    proof: &mut Gathered,
) -> Result<Go> {
    let begun = Instant::now();
    let (home, to) = (runner.home.clone(), folder.place().data());
    let files: Vec<DataFile> =
        datadir::list(&home.data())?.files.into_iter().filter(|(path, _)| is_copied(path.as_str())).collect();
    let progress = runner.ui.progress("copying", files.iter().map(|(_, size)| size).sum());
    let interrupt = runner.interrupt.clone();
    tokio::task::spawn_blocking(move || -> Result<()> {
        datadir::copy(&home.data(), &to, &files, &progress, &interrupt)?;
        datadir::adopt(&to, &home.data())
    })
    .await??;
    if let Some(evidence) = look::home::processes(runner.home, runner.interrupt)?.into_iter().next() {
        bail!(
            Failure::new(Kind::Failed, "the copy of the data is useless")
                .because(format!("the database was started while its files were copied: {evidence}"))
                .hint("Run `pmp-ha rehearse` again.")
        );
    }
    proof.seconds.copy = Some(seconds(begun.elapsed()));
    Ok(Go::On)
}

/// Extracts a pack, every byte of it checked, and takes its node files as a secondary does.
pub(super) async fn extracted(
    home: &Home,
    thrown: &Runner<'_>,
    pack: Pack,
    plan: &Rehearsal,
    proof: &mut Gathered,
) -> Result<Go> {
    let begun = Instant::now();
    let around = thrown.home.clone();
    let progress = thrown.ui.progress("extracting", pack.manifest().total_size());
    let (interrupt, like) = (thrown.interrupt.clone(), home.data());
    let extracted = tokio::task::spawn_blocking(move || -> Result<()> {
        let place = |path: &RelPath| {
            let data = path.below(DATA).map(|rest| around.data().join(rest));
            data.or_else(|| pack::staged_place(&around, path))
        };
        pack.extract(place, &progress, &interrupt)?;
        datadir::adopt(&around.data(), &like)
    })
    .await
    .context("the pack was not extracted")?;
    if let Err(error) = extracted {
        let failure = Failure::from_error(error);
        if failure.kind != Kind::Refused {
            bail!(failure);
        }
        proof.checks.push(damaged(failure));
        return Ok(Go::NoFurther);
    }
    node_files::take(thrown, &plan.membership).await?;
    proof.checks.push(Check::passed(Topic::Content, "every byte matches the manifest"));
    proof.seconds.copy = Some(seconds(begun.elapsed()));
    proof.seconds.apply = Some(0.0);
    Ok(Go::On)
}

/// Returns the check of a damaged pack.
#[must_use]
pub fn damaged(failure: Failure) -> Check {
    let evidence = [vec![failure.what], failure.because].concat().join(": ");
    let hint = failure.hint.unwrap_or_default();
    Check::of(Topic::Content, vec![Defect::new(Code::DamagedPack, evidence, hint)], "")
}
