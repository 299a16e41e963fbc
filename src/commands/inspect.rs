//! `pmp-ha inspect [FILE]`

use std::fmt;

use anyhow::Result;
use fs_err as fs;
use serde::Serialize;

use super::install_pack::find_pack;
use super::{Context, absolute, configuration, opening};
use crate::adapters::pack::Pack;
use crate::adapters::pack::seal::is_sealed;
use crate::cli::InspectArgs;
use crate::domain::pair::Role;
use crate::domain::plan::Bytes;

/// What a pack contains, without its secrets.
#[derive(Serialize)]
struct Inspected {
    file: String,
    /// Size of the file in bytes.
    size: u64,
    pack_id: String,
    made_at: String,
    made_by: String,
    server: String,
    primary: String,
    secondary: String,
    /// The coordinates from which the secondary replicates.
    coordinates: String,
    files: usize,
    /// Their size in bytes, uncompressed.
    bytes: u64,
    encrypted: bool,
    signed: bool,
    /// Whether the signature was checked against a key.
    signature_checked: bool,
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = match (self.signed, self.signature_checked) {
            (false, _) => "not signed",
            (true, false) => "signed, not checked; to check it, pass --signed-by FILE",
            (true, true) => "signed with the given key",
        };
        let encrypted = if self.encrypted { ", encrypted" } else { "" };
        writeln!(f, "{}", self.file)?;
        writeln!(f, "  size       {} ({} bytes){encrypted}", Bytes(self.size), self.size)?;
        writeln!(f, "  made       {} by {}, id {}", self.made_at, self.made_by, self.pack_id)?;
        writeln!(f, "  server     {}", self.server)?;
        writeln!(f, "  primary    {}", self.primary)?;
        writeln!(f, "  secondary  {}", self.secondary)?;
        writeln!(f, "  continues  from {}", self.coordinates)?;
        writeln!(f, "  contains   {} files, {}", self.files, Bytes(self.bytes))?;
        writeln!(f, "  signature  {signature}")?;
        writeln!(f, "intact: every byte matches the manifest")
    }
}

pub async fn run(context: &Context<'_>, args: InspectArgs) -> Result<()> {
    let home = context.home();
    // A pack can be looked at anywhere; what a configuration demands of it holds where there is one.
    let (path, config) = match (args.file, home) {
        (Some(file), Err(_)) if context.names_no_home() => {
            let named = context.global.config.as_deref();
            let config = named.map(|named| configuration::read(Some(named), named)).transpose()?;
            (absolute(&file), config.map(|(config, _)| config.pack).unwrap_or_default())
        }
        (file, home) => {
            let home = home?;
            (find_pack(&home, file.as_deref())?, context.config(&home)?.pack)
        }
    };
    let opening = opening(args.opening, &config)?;
    let pack = Pack::open(&path, &opening)?;
    let manifest = pack.manifest();
    let inspected = Inspected {
        size: fs::metadata(&path)?.len(),
        encrypted: is_sealed(&path),
        file: path.to_string_lossy().into_owned(),
        pack_id: manifest.pack_id.clone(),
        made_at: manifest.made_at.clone(),
        made_by: manifest.made_by.clone(),
        server: manifest.server.to_string(),
        primary: manifest.pair.node(Role::Primary).to_string(),
        secondary: manifest.pair.node(Role::Secondary).to_string(),
        coordinates: manifest.coordinates.to_string(),
        files: manifest.files.len(),
        bytes: manifest.total_size(),
        signed: pack.is_signed(),
        signature_checked: opening.signed_by.is_some(),
    };
    let progress = context.ui.progress("verifying", inspected.bytes);
    let interrupt = context.interrupt.clone();
    tokio::task::spawn_blocking(move || pack.verify(&progress, &interrupt)).await??;
    context.ui.data(&inspected)
}
