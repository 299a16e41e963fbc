//! `pmp-ha install-pack [FILE]`

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Context, absolute, read_password_file};
use crate::adapters::home::Home;
use crate::adapters::observe;
use crate::adapters::packfile::Pack;
use crate::apply::{Runner, Secrets, Settled};
use crate::cli::InstallPackArgs;
use crate::domain::manifest::Manifest;
use crate::domain::pair::Role;
use crate::domain::plan::{Bytes, Step};
use crate::domain::procedures::install::{InstallScene, plan};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Installed {
    home: String,
    files: usize,
    bytes: u64,
    source: String,
    next: &'static str,
}

impl Installed {
    fn of(home: &Home, manifest: &Manifest) -> Self {
        Self {
            home: home.root().display().to_string(),
            files: manifest.files.len(),
            bytes: manifest.total_size(),
            source: manifest.pair.node(Role::Primary).to_string(),
            next: "pmp-ha key PATH, with the path of the primary's pmp_key.key; then pmp-ha start",
        }
    }
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} files, {}, verified and in place", self.home, self.files, Bytes(self.bytes))?;
        writeln!(f, "  replicates from {} as soon as it is started", self.source)?;
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: InstallPackArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let db_password = read_password_file(args.db_password_file.as_deref())?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let settled = context.settled(&mut runner).await?;

    let path = find_pack(&home, args.file)?;
    let mut pack = Pack::open(&path)?;
    if let Settled::Finished(plan) = settled
        && plan.steps.iter().any(
            |step| matches!(step, Step::ExtractPack { pack_id, .. } if *pack_id == pack.manifest().pack_id),
        )
    {
        return context.ui.data(&Installed::of(&home, pack.manifest()));
    }
    let progress = context.ui.progress("verifying", pack.manifest().total_size());
    let interrupt = context.interrupt.clone();
    let pack =
        tokio::task::spawn_blocking(move || pack.verify(&progress, &interrupt).map(|()| pack)).await??;
    let scene = InstallScene {
        home: observe::scene(&home, &context.interrupt).await?,
        manifest: pack.manifest().clone(),
        pack: path.to_string_lossy().into_owned(),
        password_given: db_password.is_some(),
    };
    let plan = plan(&scene).map_err(Failure::refused)?;
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.with_secrets(Secrets { db_password });
    runner.drive(&plan).await?;
    context.ui.data(&Installed::of(&home, &scene.manifest))
}

fn find_pack(home: &Home, named: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(absolute(&named));
    }
    let places = [home.path("HAPack.zip"), home.pack()];
    if let Some(found) = places.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    bail!(
        Failure::new(Kind::Refused, "there is no pack to install")
            .because(format!("neither {} nor {} is there", places[0].display(), places[1].display()))
            .hint("Copy HAPack.zip from the primary's folder replication into this home, or name the file.")
    )
}
