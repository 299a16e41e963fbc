//! Rehearses a recovery: boots a copy of the data or a pack, checks it, and removes it.
//!
//! Defects are the result. A failure is only what prevented the rehearsal.

mod copying;
mod folder;
mod live;
mod proof;
mod server;

use anyhow::{Context, Result};

use self::copying::Around;
pub use self::copying::damaged;
pub use self::folder::RehearsalFolder;
pub use self::live::packs;
pub use self::proof::Gathered;
use self::proof::Go;
use self::server::Server;
use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::pack::Pack;
use crate::adapters::random;
use crate::adapters::server::process::Database;
use crate::apply::files::place::NodeFiles;
use crate::apply::work::{Runner, Secrets};
use crate::domain::flavor::Flavor;
use crate::domain::procedures::rehearse::{Rehearsal, RehearsalPart};
use crate::domain::rehearsal::check::Topic;
use crate::domain::rehearsal::tables::{self, Counterpart};
use crate::ui::Ui;

/// What is checked by these parts.
#[must_use]
pub fn topics(parts: &[RehearsalPart]) -> Vec<Topic> {
    let of = |part: &RehearsalPart| -> &'static [Topic] {
        match part {
            RehearsalPart::CopyRunning { .. } | RehearsalPart::Apply => &[Topic::Received],
            RehearsalPart::CopyStopped { .. } | RehearsalPart::Remove => &[],
            RehearsalPart::Extract { .. } => &[Topic::Content],
            RehearsalPart::Boot => &[Topic::Start, Topic::Tls],
            RehearsalPart::ReadTables => &[Topic::Accounts, Topic::Tables, Topic::Comparison],
            RehearsalPart::StandAlone { .. } => &[Topic::Login],
        }
    };
    parts.iter().flat_map(of).copied().collect()
}

/// Carries out a rehearsal, and removes everything in any case.
///
/// `runner` holds the home's lock only until the data are copied.
pub async fn run(
    runner: Runner<'_>,
    folder: &RehearsalFolder,
    plan: &Rehearsal,
    pack: Option<Pack>,
) -> Result<Gathered> {
    let mut proof = Gathered::default();
    let ui = runner.ui;
    let done = up_to_the_removal(runner, folder, plan, pack, &mut proof).await;
    let count = plan.parts.len();
    ui.say(format!("{count}/{count}  {}", RehearsalPart::Remove));
    let removed = folder.remove().await;
    done?;
    removed?;
    Ok(proof)
}

async fn up_to_the_removal(
    runner: Runner<'_>,
    folder: &RehearsalFolder,
    plan: &Rehearsal,
    pack: Option<Pack>,
    proof: &mut Gathered,
) -> Result<()> {
    let (home, ui, config, interrupt) = (runner.home, runner.ui, runner.config, runner.interrupt);
    let lock = folder.make(home)?;
    let node_files = if pack.is_some() { NodeFiles::OfItsOwn } else { NodeFiles::OfHome };
    let around = folder.place().around(home, node_files)?;
    let mut thrown = Runner::holding(lock, &around, ui, config, interrupt);
    thrown.with_secrets(Secrets { db_password: any_password(home), ..Secrets::default() });
    let applies = plan.parts.contains(&RehearsalPart::Apply);
    let mut server = Server::of(thrown, &plan.membership, applies).await?;

    let (mut holder, mut pack) = (Some(runner), pack);
    let mut around_the_copy = None;
    for (index, part) in plan.parts.iter().enumerate() {
        interrupt.check()?;
        if *part != RehearsalPart::Remove {
            ui.say(format!("{}/{}  {part}", index + 1, plan.parts.len()));
        }
        let go = match part {
            RehearsalPart::CopyRunning { way, .. } => match holder.take() {
                Some(runner) => {
                    around_the_copy = copying::running(&runner, folder, way, proof).await?;
                    if around_the_copy.is_some() { Go::On } else { Go::NoFurther }
                }
                None => Go::NoFurther,
            },
            RehearsalPart::CopyStopped { .. } => match holder.take() {
                Some(runner) => copying::stopped(&runner, folder, proof).await?,
                None => Go::NoFurther,
            },
            RehearsalPart::Extract { .. } => {
                holder = None;
                match pack.take() {
                    Some(pack) => copying::extracted(home, server.runner(), pack, plan, proof).await?,
                    None => Go::NoFurther,
                }
            }
            RehearsalPart::Boot => server.boot(proof).await?,
            RehearsalPart::Apply => server.apply(proof).await?,
            RehearsalPart::ReadTables => {
                server.accounts(&account(plan), proof).await?;
                let Some(read) = server.tables(proof).await? else { break };
                let live = live_database(around_the_copy.take(), plan, home, ui, interrupt).await?;
                let (lines, check) = tables::compare(&read, &live);
                proof.tables = lines;
                proof.checks.push(check);
                if let Some(check) = &plan.key_check {
                    server.key(check, proof).await?;
                }
                Go::On
            }
            RehearsalPart::StandAlone { account } => server.stand_alone(account, proof).await?,
            RehearsalPart::Remove => Go::On,
        };
        if go == Go::NoFurther {
            break;
        }
    }
    Ok(())
}

/// Reads the running database that the copy is compared with.
async fn live_database(
    around: Option<Around>,
    plan: &Rehearsal,
    home: &Home,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Counterpart> {
    let version = Database::of(home, interrupt).version().await?;
    let flavor = Flavor::of(&version).with_context(|| format!("{version} is not known"))?;
    if let Some(Around { before, after }) = around {
        let schema = &plan.membership.pair.schema;
        let before = before.tables(flavor, schema, ui, interrupt).await?;
        return Ok(Counterpart::Copied { before, after: after.tables(flavor, schema, ui, interrupt).await? });
    }
    let runs_here = Database::of(home, interrupt).serving_pid().await?.is_some();
    live::tables_of_pair(home, flavor, runs_here, ui, interrupt).await
}

/// The account of the product.
fn account(plan: &Rehearsal) -> String {
    let named = plan.parts.iter().find_map(|part| match part {
        RehearsalPart::StandAlone { account } => Some(account.clone()),
        _ => None,
    });
    named.unwrap_or_default()
}

/// A password for data that are thrown away, where the one of the home is encrypted: that the account
/// can be given one is what counts.
fn any_password(home: &Home) -> Option<String> {
    home.database_params().ok().filter(|params| params.encrypted).map(|_| random::password())
}
