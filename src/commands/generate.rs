//! `pmp-ha completions SHELL` and `pmp-ha man DIR`

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::home::entry;
use crate::cli::{CompletionsArgs, ManArgs, generate};
use crate::domain::handbook::codes;
use crate::failure::{Failure, Kind};

/// The script of a shell.
#[derive(Serialize)]
struct Script {
    shell: String,
    script: String,
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.script)
    }
}

/// The folder of the manual pages.
#[derive(Serialize)]
struct Manual {
    folder: String,
}

impl std::fmt::Display for Manual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "The manual pages are in {}.", self.folder)
    }
}

pub fn completions(context: &Context<'_>, args: &CompletionsArgs) -> Result<()> {
    let codes: Vec<&'static str> = codes().collect();
    let script = generate::completions(args.shell, &codes, &crate::lab::SERVERS);
    let script = String::from_utf8(script).context("cannot make the script")?;
    context.ui.data(&Script { shell: args.shell.to_string(), script })
}

pub fn manual(context: &Context<'_>, args: &ManArgs) -> Result<()> {
    let folder = args.dir.display().to_string();
    if context.global.dry_run {
        return context.ui.would(&format!("write the manual pages into {folder}"));
    }
    // A link in a folder of somebody else's would lead root anywhere.
    if let Some(why) = entry::unsafe_for_root(&args.dir)? {
        bail!(
            Failure::new(Kind::Refused, "root cannot write into this folder safely")
                .code("unsafe-for-root")
                .because(why)
                .hint(
                    "Name a folder that only root can write to, or run pmp-ha as the owner of this folder."
                )
        );
    }
    generate::manual(&args.dir).with_context(|| format!("cannot write the manual pages into {folder}"))?;
    context.ui.done(&Manual { folder })
}
