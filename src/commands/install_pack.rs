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
use crate::domain::plan::Bytes;
use crate::domain::procedures::install::{InstallScene, plan};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Installed {
    home: String,
    files: usize,
    bytes: u64,
    source: String,
    next: String,
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
    if context.settled(&mut runner).await? == Settled::Finished {
        return Ok(());
    }

    let path = find_pack(&home, args.file)?;
    let mut pack = Pack::open(&path)?;
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
    context.ui.data(&Installed {
        home: scene.home.identity.path,
        files: scene.manifest.files.len(),
        bytes: scene.manifest.total_size(),
        source: scene.manifest.pair.node(crate::domain::pair::Role::Primary).to_string(),
        next: "pmp-ha key PATH, with the path of the primary's pmp_key.key; then pmp-ha start".into(),
    })
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
