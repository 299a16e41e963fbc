//! The steps that move data: into a pack, out of a pack, from another home.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use super::copy;
use crate::adapters::bytes::digest::pump;
use crate::adapters::clock::now;
use crate::adapters::home::saved::remove;
use crate::adapters::home::{Home, certificates, datadir};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::pack::signature::Signer;
use crate::adapters::pack::{self, Effort, Making, Pack, sealed};
use crate::adapters::system;
use crate::apply::database::source_state::SourceState;
use crate::apply::work::{NewPack, Runner};
use crate::domain::datafiles::{FileClass, classify};
use crate::domain::flavor::Flavor;
use crate::domain::manifest::{DATA, Entry, Manifest, NODE_FILES, RelPath};
use crate::domain::pair::Role;
use crate::domain::procedures::recover::is_copied;
use crate::ui::Progress;

/// How to make a pack.
pub struct Wanted<'a> {
    pub dense: bool,
    /// The private key that signs it.
    pub sign_with: Option<&'a str>,
    /// The file with the public key that it is encrypted to.
    pub encrypt_to: Option<&'a str>,
}

/// Compresses the data directory and the secondary's node files into the pack.
pub async fn write_pack(runner: &Runner<'_>, pack: &Path, wanted: &Wanted<'_>) -> Result<NewPack> {
    let home = runner.home;
    let membership = home.require_membership()?;
    let state = SourceState::load(home)?;
    let params =
        home.database_params().map_err(|why| anyhow!("cannot use conf/database_params.conf: {why}"))?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        pack_id: state.pack_id,
        made_at: now(),
        made_by: format!("pmp-ha {}", env!("CARGO_PKG_VERSION")),
        server: runner.database().version().await?,
        fingerprint: home.fingerprint()?.context("the installation is incomplete")?,
        application_account: params.username,
        key_fingerprint: membership.key_fingerprint.clone(),
        pair: membership.pair.clone(),
        coordinates: state.coordinates,
        return_channel_goes_on: state.return_channel_goes_on,
        files: Vec::new(),
    };
    let peer_files = peer_files(home, runner.flavor().await?, &membership.pair.node(Role::Secondary).host)?;
    let data = copy::data_to_pack(home);
    let listed = datadir::list(&data)?.files;
    let chosen: Vec<(RelPath, u64)> =
        listed.into_iter().filter(|(path, _)| classify(path.as_str()) == FileClass::Data).collect();
    let bytes = chosen.iter().map(|(_, size)| size).sum();
    let files: Vec<RelPath> = chosen.into_iter().map(|(path, _)| path).collect();
    let sources = pack::sources(&data, &files, peer_files);

    tokio::task::block_in_place(|| keep_previous(home, pack, runner.interrupt))?;
    let begun = Instant::now();
    let part = part_of(pack);
    let making = Making {
        effort: if wanted.dense { Effort::Dense } else { Effort::Quick },
        data_of: Some(system::owner(&data)?),
        signer: wanted.sign_with.map(|key| Signer::read(key.as_ref())).transpose()?,
        recipient: wanted.encrypt_to.map(|key| sealed::recipient(key.as_ref())).transpose()?,
    };
    let progress = runner.ui.progress("packing", bytes);
    let interrupt = runner.interrupt.clone();
    let target = part.clone();
    let describe = move |files: Vec<Entry>| Manifest { files, ..manifest };
    let written = tokio::task::spawn_blocking(move || {
        pack::write(&target, &sources, &making, describe, &progress, &interrupt)
    })
    .await??;
    system::give_to(&part, system::owner(home.root())?)?;
    fs::rename(&part, pack)?;
    system::sync_dir(&home.replication())?;
    Ok(NewPack { size: written.size, sha256: written.sha256, seconds: begun.elapsed().as_secs_f64() })
}

fn part_of(pack: &Path) -> PathBuf {
    let mut name = pack.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Creates what the secondary needs to log in and to replicate over TLS, for this pack only.
fn peer_files(home: &Home, flavor: &Flavor, host: &str) -> Result<BTreeMap<RelPath, PathBuf>> {
    let (dir, node) = (home.work().join("peer"), home.node_files());
    system::private_dir(&dir)?;
    let issued = certificates::issue_for(
        flavor,
        &certificates::read(&node.join("ca.pem"))?,
        &certificates::read(&node.join("ca-key.pem"))?,
        host,
    )?;
    system::write_atomic(&dir.join("node.pem"), issued.cert.as_bytes(), 0o600, None)?;
    system::write_atomic(&dir.join("node-key.pem"), issued.key.as_bytes(), 0o600, None)?;
    let mut out = BTreeMap::new();
    for (name, folder) in
        [("ca.pem", &node), ("credentials.toml", &node), ("node.pem", &dir), ("node-key.pem", &dir)]
    {
        let place = RelPath::new(format!("{NODE_FILES}/{name}")).map_err(|why| anyhow!(why))?;
        out.insert(place, folder.join(name));
    }
    Ok(out)
}

fn previous(home: &Home) -> PathBuf {
    home.work().join("previous-pack.zip")
}

fn had_none(home: &Home) -> PathBuf {
    home.work().join("had-no-pack")
}

/// Keeps an existing pack until the new one is in place, or records that there is none.
fn keep_previous(home: &Home, pack: &Path, interrupt: &Interrupt) -> Result<()> {
    if previous(home).exists() || had_none(home).exists() {
        return Ok(());
    }
    if pack.is_file() {
        // A filesystem without hard links takes a copy.
        if fs::hard_link(pack, previous(home)).is_err() {
            let copy = previous(home).with_extension("copy");
            let mut file = system::private_file(&copy)?;
            pump(&mut system::open_regular(pack)?, &mut file, u64::MAX, &Progress::none(), interrupt)?;
            file.sync_all()?;
            fs::rename(&copy, previous(home))?;
        }
        return system::sync_dir(&home.work());
    }
    system::write_atomic(&had_none(home), b"", 0o600, None)
}

/// Removes an unfinished or unwanted pack and restores the previous one.
pub fn take_pack_back(home: &Home, pack: &Path) -> Result<()> {
    remove(&part_of(pack))?;
    if previous(home).exists() {
        fs::rename(previous(home), pack)?;
    } else if had_none(home).exists() {
        remove(pack)?;
    }
    system::sync_dir(&home.replication())
}

/// Returns the folder for the node files of a pack.
pub fn extracted_node_files(home: &Home) -> PathBuf {
    home.work().join("node")
}

/// Returns the path in the staging folder for a file of a pack.
pub fn staged_place(home: &Home, path: &RelPath) -> Option<PathBuf> {
    let data = path.below(DATA).map(|rest| datadir::staging(home).join(rest));
    data.or_else(|| path.below(NODE_FILES).map(|rest| extracted_node_files(home).join(rest)))
}

/// Extracts a pack beside the data directory, checks every byte, and reads it back.
pub async fn extract_pack(runner: &Runner<'_>, pack: &Path, pack_id: &str) -> Result<()> {
    let home = runner.home.clone();
    datadir::remember_old(&home)?;
    datadir::drop_staged(&home)?;
    let opened = Pack::open(pack, &runner.secrets.opening)?;
    if opened.manifest().pack_id != pack_id {
        bail!("{} was replaced by another pack after the plan was made", pack.display());
    }
    let progress = runner.ui.progress("extracting", opened.manifest().total_size());
    let interrupt = runner.interrupt.clone();
    tokio::task::spawn_blocking(move || -> Result<()> {
        opened.extract(|path| staged_place(&home, path), &progress, &interrupt)?;
        datadir::adopt(&datadir::staging(&home), &home.data())
    })
    .await?
}

/// Copies another home's data directory beside this one's.
pub async fn copy_data(runner: &Runner<'_>, from: &Path) -> Result<()> {
    let home = runner.home.clone();
    datadir::remember_old(&home)?;
    datadir::drop_staged(&home)?;
    let from = from.to_path_buf();
    let files: Vec<(RelPath, u64)> =
        datadir::list(&from)?.files.into_iter().filter(|(path, _)| is_copied(path.as_str())).collect();
    let progress = runner.ui.progress("copying", files.iter().map(|(_, size)| size).sum());
    let interrupt = runner.interrupt.clone();
    tokio::task::spawn_blocking(move || -> Result<()> {
        let staging = datadir::staging(&home);
        datadir::copy(&from, &staging, &files, &progress, &interrupt)?;
        datadir::adopt(&staging, &home.data())
    })
    .await?
}
