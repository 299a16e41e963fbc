//! `pmp-ha pack PRIMARY SECONDARY`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::{names, observe, random};
use crate::apply::Runner;
use crate::cli::PackArgs;
use crate::domain::manifest::Sha256Hex;
use crate::domain::plan::Bytes;
use crate::domain::procedures::pack::{PackScene, plan};
use crate::failure::Failure;

#[derive(Serialize)]
struct Packed {
    file: String,
    size: u64,
    sha256: Sha256Hex,
    next: String,
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file)?;
        writeln!(f, "  size    {} ({} bytes)", Bytes(self.size), self.size)?;
        writeln!(f, "  sha256  {}", self.sha256.as_str())?;
        writeln!(
            f,
            "It holds the vault's data and the pair's secrets: carry it safely, and remove it when it is installed."
        )?;
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: PackArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    context.settled(&mut runner).await?;

    let secondary = args.secondary.host.clone();
    let (scene, primary, second) = tokio::join!(
        observe::scene(&home, &context.interrupt),
        names::resolve(args.primary),
        names::resolve(args.secondary),
    );
    let scene = PackScene {
        home: scene?,
        primary,
        secondary: second,
        key_fingerprint: observe::own_key_fingerprint(&home),
        new_pair_id: random::id(),
        pack_id: random::id(),
        pack: home.pack().to_string_lossy().into_owned(),
    };
    let plan = plan(&scene).map_err(Failure::refused)?;
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.drive(&plan).await?;
    if let Some(written) = runner.written() {
        context.ui.data(&Packed {
            file: scene.pack,
            size: written.size,
            sha256: written.sha256,
            next: format!(
                "copy it to {secondary}, into the folder of the secondary, and run there: pmp-ha install-pack\n      Then start the primary: pmp-ha start"
            ),
        })?;
    }
    Ok(())
}
