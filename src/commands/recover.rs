//! `pmp-ha recover --into NEW_HOME`

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::{Context, key, read_password_file};
use crate::adapters::home::{Home, datadir, entry};
use crate::adapters::look::recovery_source::{self, SourcePaths};
use crate::adapters::{look, system};
use crate::apply::{Runner, Secrets, Settled, refuse_half_exchanged};
use crate::cli::RecoverArgs;
use crate::config::Config;
use crate::domain::plan::Step;
use crate::domain::procedures::key::Expected;
use crate::domain::procedures::recover::{RecoverScene, plan};
use crate::failure::Failure;

#[derive(Serialize)]
struct Recovered {
    home: String,
    old_data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_blocked_seconds: Option<f64>,
    next: String,
}

impl Recovered {
    fn of(home: &Home, old_data: &str, writes_blocked: Option<Duration>) -> Self {
        let root = home.root().display();
        Self {
            home: root.to_string(),
            old_data: datadir::parent(home).join(old_data).display().to_string(),
            writes_blocked_seconds: writes_blocked.map(|time| (time.as_secs_f64() * 1000.0).round() / 1000.0),
            next: format!(
                "start Password Manager Pro in {root} and give its address to your users; never start the lost primary again.\n      For a new pair: pmp-ha pack there."
            ),
        }
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is now a primary with these data.", self.home)?;
        writeln!(f, "  its old data are kept in {}", self.old_data)?;
        if let Some(seconds) = self.writes_blocked_seconds {
            writeln!(f, "  the secondary kept running; its writes waited for {seconds:.1} s at most")?;
        }
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: RecoverArgs) -> Result<()> {
    let origin = match &args.from {
        Some(named) => SourcePaths::find(named)?,
        None => SourcePaths::Home(context.global.find_home()?),
    };
    if let Some(from) = origin.home() {
        entry::require_safe_source(from)?;
    }
    // clap asks for it.
    let Some(into) = &args.into else { return Ok(()) };
    let into = Home::open(into)?;
    entry::enter(&into)?;
    context.keep_log(&into);
    let config = context.config(&into)?;
    let db_password = read_password_file(args.db_password_file.as_deref())?;
    let mut runner = Runner::lock(&into, context.ui, &config, &context.interrupt)?;
    let from_itself = origin.folder() == into.root();
    let _from_lock = if from_itself { None } else { Some(system::lock_home(origin.folder())?) };
    if let Settled::Finished(plan) = context.settled(&mut runner).await?
        && let Some(Step::KeepOldData { name }) = plan.steps.last()
    {
        return context.ui.data(&Recovered::of(&into, name, None));
    }

    if let Some(from) = origin.home() {
        refuse_half_exchanged(from)?;
    }
    let source = recovery_source::look(&origin, args.from.is_some(), &into, &context.interrupt).await?;
    let key_query = key_query(context, &origin, &config)?;
    let expected = match source.membership.as_ref().map(|membership| &membership.key_fingerprint) {
        Some(Some(fingerprint)) => Expected::Fingerprint(fingerprint.clone()),
        _ if !key_query.is_empty() => Expected::AskTheData,
        Some(None) => Expected::Nothing,
        None => Expected::NothingFromData,
    };
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let mut scene = RecoverScene {
        source,
        target: look::home::scene(&into, &context.interrupt).await?,
        key: String::new(),
        key_query,
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
    runner.with_secrets(Secrets { db_password, ..Secrets::default() });
    runner.drive(&plan).await?;
    context.ui.data(&Recovered::of(&into, &scene.old_data_name, runner.cost().writes_blocked))
}

/// Returns the query that checks the key against the data. Without a configuration of its own, a
/// fresh installation uses the secondary's.
fn key_query(context: &Context<'_>, origin: &SourcePaths, config: &Config) -> Result<String> {
    let own = config.product.key_query.trim();
    match origin.home() {
        Some(from) if own.is_empty() => Ok(context.config(from)?.product.key_query.trim().to_owned()),
        _ => Ok(own.to_owned()),
    }
}
