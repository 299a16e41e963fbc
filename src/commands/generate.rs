//! `pmp-ha completions SHELL` and `pmp-ha man DIR`

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Context;
use crate::cli::{CompletionsArgs, ManArgs, generate};
use crate::domain::handbook::codes;

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
    generate::manual(&args.dir).with_context(|| format!("cannot write the manual pages into {folder}"))?;
    context.ui.done(&Manual { folder })
}
