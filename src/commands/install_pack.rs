//! `pmp-ha install-pack [FILE]`, `pmp-ha install-pack --in-place`

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Context, absolute, opening, port, read_password_file};
use crate::adapters::home::journal_file::JournalFile;
use crate::adapters::home::{Home, datadir, kept};
use crate::adapters::pack::unpacked::Unpacked;
use crate::adapters::pack::{Opening, Pack};
use crate::adapters::{look, random};
use crate::apply::{Runner, Secrets, Settled};
use crate::cli::{InstallPackArgs, RejoinArgs};
use crate::config::Config;
use crate::domain::journal::done_runs;
use crate::domain::manifest::Manifest;
use crate::domain::pair::Role;
use crate::domain::plan::{Bytes, Plan};
use crate::domain::procedures::incoming::{OldData, Origin, PackForHome, installed_last, installs};
use crate::domain::procedures::install::plan;
use crate::domain::procedures::rejoin::{RejoinScene, change};
use crate::domain::procedures::rejoin_by_pack::{self, RejoinByPack};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct Installed {
    home: String,
    files: usize,
    bytes: u64,
    source: String,
    /// Seconds for verifying, decompressing, writing and reading back; 0 if an earlier run did it.
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    next: &'static str,
}

impl Installed {
    fn of(home: &Home, manifest: &Manifest, plan: &Plan, seconds: f64) -> Self {
        let kept = plan.keeps().map(|name| datadir::parent(home).join(name).display().to_string());
        Self {
            home: home.root().display().to_string(),
            files: manifest.files.len(),
            bytes: manifest.total_size(),
            source: manifest.pair.node(Role::Primary).to_string(),
            seconds,
            kept,
            next: "pmp-ha key PATH, with the path of the primary's pmp_key.key; then pmp-ha start",
        }
    }
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} files, {}, verified and in place", self.home, self.files, Bytes(self.bytes))?;
        writeln!(f, "  replicates from {} once you start it", self.source)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "  the old data are kept: {kept}; pmp-ha rollback returns to them")?;
        }
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: InstallPackArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let db_password = read_password_file(args.db_password_file.as_deref())?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let opening = opening(args.opening, &config.pack)?;
    if args.trust_unpacked && opening.signed_by.is_some() {
        bail!(untrusted().because("pack.signed_by in the configuration requires a signature").hint(TRUST));
    }
    // What a forged pack brought may be a journal, too, or a configuration that demands less: nothing of it counts.
    let vouched = if args.in_place && !args.trust_unpacked {
        Some(vouched_for(context, &home, args.file.as_deref(), &opening).await?)
    } else {
        None
    };
    let settled = context.settled(&mut runner).await?;

    let source = if args.in_place {
        let unpacked = Unpacked::open(&home, opening.signed_by.as_ref())?;
        if vouched.is_some_and(|manifest| manifest != *unpacked.manifest()) {
            bail!(
                untrusted()
                    .because("they come from another pack than the one whose signature was checked")
                    .hint(TRUST)
            );
        }
        ArrivedPack::Unpacked(unpacked)
    } else {
        ArrivedPack::open(&home, args.file.as_deref(), &opening)?
    };
    let manifest = source.manifest().clone();
    if let Settled::Finished(plan) = settled
        && installs(&plan) == Some(&manifest.pack_id)
    {
        return context.ui.data(&Installed::of(&home, &manifest, &plan, 0.0));
    }
    let origin = source.origin();
    let begun = Instant::now();
    // A ZIP is verified as it is extracted, beside the data directory; a dry run goes no further.
    if args.in_place || context.global.dry_run {
        verify(context, &home, source).await?;
    } else {
        drop(source);
    }
    let verified_in = begun.elapsed().as_secs_f64();
    let was_in_a_pair = home.membership()?.is_some();
    let keeps = args.keep || (was_in_a_pair && !args.in_place && !args.discard_old);
    let old_data = if keeps { keep(&home, &manifest) } else { OldData::Drop };
    let scene = PackForHome {
        old_data,
        kept: kept::read(&home)?,
        home: look::home::scene(&home, &context.interrupt).await?,
        manifest,
        origin,
        installed: installed(&home)?,
        older: args.older,
        password_given: db_password.is_some(),
        history: random::history(),
        port_is_forwarded: args.port_is_forwarded,
    };
    let plan = plan(&scene).map_err(Failure::refused)?;
    let primary = scene.manifest.pair.node(Role::Primary);
    port::tell(context, Role::Primary, &primary.host, primary.db_port).await;
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.with_secrets(Secrets { db_password, opening });
    let mut installed = Installed::of(&home, &scene.manifest, &plan, verified_in);
    // A manifest of a large vault takes memory of its own, and is read once more.
    drop(scene);
    runner.drive(&plan).await?;
    installed.seconds += runner.extracted_in();
    context.ui.data(&installed)
}

/// Installs a pack over an old primary. The pack comes from the node that replaced it.
pub(super) async fn over_an_old_primary(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    runner: &mut Runner<'_>,
    scene: RejoinScene,
    args: RejoinArgs,
) -> Result<()> {
    let change = change(&scene).map_err(Failure::refused)?;
    let opening = opening(args.opening, &config.pack)?;
    let source = ArrivedPack::open(home, args.pack.as_deref(), &opening)?;
    let (manifest, origin) = (source.manifest().clone(), source.origin());
    verify(context, home, source).await?;
    let file = scene.file;
    let pack = PackForHome {
        old_data: keep(home, &manifest),
        kept: kept::read(home)?,
        home: scene.home,
        manifest,
        origin,
        installed: installed(home)?,
        older: false,
        password_given: false,
        history: random::history(),
        // It is the node that the pair knows, at whatever port it is reached.
        port_is_forwarded: true,
    };
    let by_pack = RejoinByPack {
        pack,
        epoch: change.membership.pair.epoch,
        running: scene.running,
        extra: change.since.map(|since| (since, file)),
    };
    let plan = rejoin_by_pack::plan(&by_pack).map_err(Failure::refused)?;
    let plan = plan.with_hooks(&config.hooks.programs());
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.with_secrets(Secrets { db_password: None, opening });
    runner.drive(&plan).await
}

/// The notes about a pack before it is installed.
pub(super) struct Peeked {
    /// Whether it is the one that was installed here last.
    pub is_installed: bool,
    /// A salted hash of the key of its data, if the primary could read the key.
    pub key_fingerprint: Option<String>,
}

/// Opens a pack, and looks whether it was installed here last.
pub(super) fn peek(home: &Home, file: &Path, opening: &Opening) -> Result<Peeked> {
    let pack = Pack::open(file, opening)?;
    let records = JournalFile::at(home.journal()).read()?;
    let last = done_runs(&records).into_iter().find_map(|(_, plan)| installs(plan));
    let manifest = pack.manifest();
    Ok(Peeked {
        is_installed: last == Some(manifest.pack_id.as_str()),
        key_fingerprint: manifest.key_fingerprint.clone(),
    })
}

/// Returns when the pack was made that was installed here last, or a later change of the secrets ended.
fn installed(home: &Home) -> Result<Option<String>> {
    let records = JournalFile::at(home.journal()).read()?;
    Ok(installed_last(done_runs(&records)))
}

const TRUST: &str = "Name the ZIP that you unpacked, outside this home: `pmp-ha install-pack --in-place /PATH/HAPack.zip`. If the ZIP is forged, set up this home again, because unpacking could write anywhere here. Check a pack with `pmp-ha inspect --signed-by FILE` before you unpack it. With --trust-unpacked, you trust the person who unpacked it.";

fn untrusted() -> Failure {
    Failure::new(Kind::Refused, "cannot trust the files unpacked in this home").code("pack-untrusted")
}

/// The ZIP that was unpacked. One that lies in the home may have come with the pack: a forged one can bring a
/// second, honest ZIP.
fn zip_outside(home: &Home, named: Option<&Path>) -> Result<PathBuf> {
    let Some(named) = named else {
        bail!(untrusted().because("you did not name the ZIP that they come from").hint(TRUST));
    };
    let path = absolute(named);
    let (zip, root) = (fs_err::canonicalize(&path), fs_err::canonicalize(home.root())?);
    // Whoever opens it says that there is none.
    if zip.is_ok_and(|zip| zip.starts_with(&root)) {
        bail!(
            untrusted()
                .because(format!("{} is inside this home, so it may have come with them", path.display()))
                .hint(TRUST)
        );
    }
    Ok(path)
}

/// Checks the ZIP that lies unpacked in a home: its signature, and that it holds nothing but what the
/// signed manifest names. The unpacked files alone do not tell what else it brought.
///
/// # Errors
/// Refuses without the ZIP, and one that cannot be trusted.
async fn vouched_for(
    context: &Context<'_>,
    home: &Home,
    named: Option<&Path>,
    opening: &Opening,
) -> Result<Manifest> {
    let untrusted = |error: anyhow::Error| {
        let mut failure = Failure::from_error(error);
        if failure.kind != Kind::Refused {
            return failure;
        }
        let inner =
            std::mem::replace(&mut failure.what, "cannot trust the files unpacked in this home".into());
        failure.because.insert(0, format!("the ZIP that they come from failed the check: {inner}"));
        failure.hint(TRUST)
    };
    let path = zip_outside(home, named)?;
    let source = ArrivedPack::open(home, Some(&path), opening).map_err(untrusted)?;
    let manifest = source.manifest().clone();
    verify(context, home, source).await.map_err(untrusted)?;
    Ok(manifest)
}

fn keep(home: &Home, manifest: &Manifest) -> OldData {
    OldData::Keep(kept::free_name(home, &format!("data.before-{}", manifest.pack_id)))
}

/// A pack in the form in which it arrived here.
enum ArrivedPack {
    Zip(Pack, PathBuf),
    Unpacked(Unpacked),
}

impl ArrivedPack {
    fn open(home: &Home, named: Option<&Path>, opening: &Opening) -> Result<Self> {
        let path = find_pack(home, named)?;
        Ok(Self::Zip(Pack::open(&path, opening)?, path))
    }

    fn manifest(&self) -> &Manifest {
        match self {
            Self::Zip(pack, _) => pack.manifest(),
            Self::Unpacked(unpacked) => unpacked.manifest(),
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Zip(_, path) => Origin::Zip(path.to_string_lossy().into_owned()),
            Self::Unpacked(_) => Origin::Unpacked,
        }
    }
}

/// Checks every byte of a pack before it writes anything.
async fn verify(context: &Context<'_>, home: &Home, source: ArrivedPack) -> Result<()> {
    let pack_id = source.manifest().pack_id.clone();
    let progress = context.ui.progress("verifying", source.manifest().total_size());
    let interrupt = context.interrupt.clone();
    let in_place = matches!(source, ArrivedPack::Unpacked(_));
    let verified = tokio::task::spawn_blocking(move || match source {
        ArrivedPack::Zip(pack, _) => pack.verify(&progress, &interrupt),
        ArrivedPack::Unpacked(unpacked) => unpacked.verify(&progress, &interrupt),
    })
    .await?;
    let Err(error) = verified else { return Ok(()) };
    let failure = Failure::from_error(error);
    let records = JournalFile::at(home.journal()).read()?;
    match done_runs(&records).into_iter().find(|(_, plan)| installs(plan).is_some()) {
        // The server works with these files since.
        Some((at, plan)) if in_place && failure.kind == Kind::Refused && installs(plan) == Some(&pack_id) => {
            bail!(failure.because(format!(
                "this pack was installed here at {at}: unless you have unpacked it again since then, there is nothing to do"
            )))
        }
        _ => bail!(failure),
    }
}

pub(super) fn find_pack(home: &Home, named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(absolute(named));
    }
    for folder in [home.root().to_path_buf(), home.replication()] {
        match ["HAPack.zip", "HAPack.zip.age"].map(|name| folder.join(name)).map(|path| (path.exists(), path))
        {
            [(true, _), (true, _)] => bail!(
                Failure::new(Kind::Refused, "it is unclear which pack to use")
                    .code("pack-ambiguous")
                    .because(format!("{} contains HAPack.zip and HAPack.zip.age", folder.display()))
                    .hint("Name the file, or remove the file that you do not want.")
            ),
            [(true, found), _] | [_, (true, found)] => return Ok(found),
            _ => {}
        }
    }
    let (here, there) = (home.root().display(), home.replication().display().to_string());
    bail!(
        Failure::new(Kind::Refused, "there is no pack here")
            .code("pack-missing")
            .because(format!("neither {here} nor {there} contains a HAPack.zip or a HAPack.zip.age"))
            .hint("Copy the pack from the primary's folder replication into this home, or name the file.")
    )
}
