//! A rehearsal of the recovery: a copy of the data, or a pack, is booted in a folder of its own, asked
//! for everything, and removed. What is wrong with it is the result; a failure is only what kept us
//! from finding that out.

mod copying;
mod folder;
mod live;
mod proof;
mod server;

use anyhow::Result;

use self::copying::Around;
pub use self::copying::damaged;
pub use self::folder::Folder;
pub use self::live::packs;
use self::proof::Go;
pub use self::proof::Proof;
use self::server::Server;
use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::pack::Pack;
use crate::adapters::random;
use crate::adapters::server::process::Database;
use crate::apply::files::place::NodeFiles;
use crate::apply::work::{Runner, Secrets};
use crate::domain::procedures::rehearse::{Part, Rehearsal};
use crate::domain::rehearsal::check::Topic;
use crate::domain::rehearsal::tables::{self, Live};
use crate::ui::Ui;

/// What is checked by these parts.
#[must_use]
pub fn topics(parts: &[Part]) -> Vec<Topic> {
    let of = |part: &Part| -> &'static [Topic] {
        match part {
            Part::CopyRunning { .. } | Part::Apply => &[Topic::Received],
            Part::CopyStopped { .. } | Part::Remove => &[],
            Part::Extract { .. } => &[Topic::Content],
            Part::Boot => &[Topic::Start, Topic::Tls],
            Part::ReadTables => &[Topic::Accounts, Topic::Tables, Topic::Comparison],
            Part::StandAlone { .. } => &[Topic::Login],
        }
    };
    parts.iter().flat_map(of).copied().collect()
}

/// Carries a rehearsal out. Whatever happens, everything is removed. `runner` holds the lock of the
/// home until the data are copied: afterwards the home can be worked with again.
pub async fn run(runner: Runner<'_>, folder: &Folder, plan: &Rehearsal, pack: Option<Pack>) -> Result<Proof> {
    let mut proof = Proof::default();
    let ui = runner.ui;
    let done = up_to_the_removal(runner, folder, plan, pack, &mut proof).await;
    let count = plan.parts.len();
    ui.say(format!("{count}/{count}  {}", Part::Remove));
    let removed = folder.remove().await;
    done?;
    removed?;
    Ok(proof)
}

async fn up_to_the_removal(
    runner: Runner<'_>,
    folder: &Folder,
    plan: &Rehearsal,
    pack: Option<Pack>,
    proof: &mut Proof,
) -> Result<()> {
    let (home, ui, config, interrupt) = (runner.home, runner.ui, runner.config, runner.interrupt);
    let lock = folder.make(home)?;
    let node_files = if pack.is_some() { NodeFiles::OfItsOwn } else { NodeFiles::OfHome };
    let around = folder.place().around(home, node_files)?;
    let mut thrown = Runner::holding(lock, &around, ui, config, interrupt);
    thrown.with_secrets(Secrets { db_password: any_password(home), ..Secrets::default() });
    let applies = plan.parts.contains(&Part::Apply);
    let mut server = Server::of(thrown, &plan.membership, applies).await?;

    let (mut holder, mut pack) = (Some(runner), pack);
    let mut around_the_copy = None;
    for (index, part) in plan.parts.iter().enumerate() {
        interrupt.check()?;
        if *part != Part::Remove {
            ui.say(format!("{}/{}  {part}", index + 1, plan.parts.len()));
        }
        let go = match part {
            Part::CopyRunning { way, .. } => match holder.take() {
                Some(runner) => {
                    around_the_copy = copying::running(&runner, folder, way, proof).await?;
                    if around_the_copy.is_some() { Go::On } else { Go::NoFurther }
                }
                None => Go::NoFurther,
            },
            Part::CopyStopped { .. } => match holder.take() {
                Some(runner) => copying::stopped(&runner, folder, proof).await?,
                None => Go::NoFurther,
            },
            Part::Extract { .. } => {
                holder = None;
                match pack.take() {
                    Some(pack) => copying::extracted(home, server.runner(), pack, plan, proof).await?,
                    None => Go::NoFurther,
                }
            }
            Part::Boot => server.boot(proof).await?,
            Part::Apply => server.apply(proof).await?,
            Part::ReadTables => {
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
            Part::StandAlone { account } => server.stand_alone(account, proof).await?,
            Part::Remove => Go::On,
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
) -> Result<Live> {
    if let Some(Around { before, after }) = around {
        let schema = &plan.membership.pair.schema;
        let before = before.tables(schema, ui, interrupt).await?;
        return Ok(Live::Copied { before, after: after.tables(schema, ui, interrupt).await? });
    }
    let runs_here = Database::of(home, interrupt).serving_pid().await?.is_some();
    live::tables_of_pair(home, runs_here, ui, interrupt).await
}

/// The account of the product.
fn account(plan: &Rehearsal) -> String {
    let named = plan.parts.iter().find_map(|part| match part {
        Part::StandAlone { account } => Some(account.clone()),
        _ => None,
    });
    named.unwrap_or_default()
}

/// A password for data that are thrown away, where the one of the home is encrypted: that the account
/// can be given one is what counts.
fn any_password(home: &Home) -> Option<String> {
    home.database_params().ok().filter(|params| params.encrypted).map(|_| random::password())
}
