//! `pmp-ha recover --into NEW_HOME`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::{Context, key, read_password_file};
use crate::adapters::home::Home;
use crate::adapters::{datadir, observe, system};
use crate::apply::{Runner, Secrets, Settled, refuse_cut_off_run};
use crate::cli::RecoverArgs;
use crate::domain::plan::Step;
use crate::domain::procedures::recover::{RecoverScene, plan};
use crate::failure::Failure;

#[derive(Serialize)]
struct Recovered {
    home: String,
    old_data: String,
    next: String,
}

impl Recovered {
    fn of(home: &Home, old_data: &str) -> Self {
        let root = home.root().display();
        Self {
            home: root.to_string(),
            old_data: datadir::parent(home).join(old_data).display().to_string(),
            next: format!(
                "start Password Manager Pro in {root} and give its address to the users; never start the lost primary again.\n      For a new pair: pmp-ha pack there."
            ),
        }
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is a primary with the data of the secondary.", self.home)?;
        writeln!(f, "  its old data are kept in {}", self.old_data)?;
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: RecoverArgs) -> Result<()> {
    let from = context.home()?;
    let into = Home::open(&args.into)?;
    let config = context.config(&into)?;
    let db_password = read_password_file(args.db_password_file.as_deref())?;
    let mut runner = Runner::lock(&into, context.ui, &config, &context.interrupt)?;
    let _from_lock = if from == into { None } else { Some(system::lock_dir(from.root())?) };
    if let Settled::Finished(plan) = context.settled(&mut runner).await?
        && let Some(Step::KeepOldData { name }) = plan.steps.last()
    {
        return context.ui.data(&Recovered::of(&into, name));
    }

    refuse_cut_off_run(&from)?;
    let source = observe::recovery_source(&from, &context.interrupt)?;
    let expected = source.membership.as_ref().and_then(|membership| membership.key_fingerprint.clone());
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut scene = RecoverScene {
        source,
        target: observe::scene(&into, &context.interrupt).await?,
        key: String::new(),
        accept_loss: args.accept_loss,
        password_given: db_password.is_some(),
        old_data_name: format!("data.before-recovery-{stamp}"),
    };
    // First whether it can be done at all, then the question for the key.
    plan(&scene).map_err(Failure::refused)?;
    scene.key = key::examined(context, &into, args.key, expected)?;
    let plan = plan(&scene).map_err(Failure::refused)?;
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.with_secrets(Secrets { db_password });
    runner.drive(&plan).await?;
    context.ui.data(&Recovered::of(&into, &scene.old_data_name))
}
