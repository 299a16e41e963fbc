//! `pmp-ha pack PRIMARY SECONDARY`

use std::fmt;
use std::path::Path;

use anyhow::Result;
use fs_err as fs;
use serde::Serialize;

use super::protection::Protection;
use super::rotate::refuse_while_secrets_change;
use super::{Context, port};
use crate::adapters::bytes::digest::hash_file;
use crate::adapters::home::datadir;
use crate::adapters::server::names;
use crate::adapters::{look, random};
use crate::apply::{Runner, Settled};
use crate::cli::PackArgs;
use crate::domain::digest::Sha256Hex;
use crate::domain::pair::Role;
use crate::domain::plan::{Bytes, Command, Plan};
use crate::domain::procedures::pack::{Mode, PackScene, plan};
use crate::failure::Failure;

#[derive(Serialize)]
struct Packed {
    file: String,
    size: u64,
    sha256: Sha256Hex,
    /// Seconds for compressing, writing and reading back; 0 if an earlier run did it.
    seconds: f64,
    /// The public key that the pack is encrypted to.
    encrypted_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    downtime_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_blocked_seconds: Option<f64>,
    next: String,
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file)?;
        writeln!(f, "  size    {} ({} bytes), made in {:.1} s", Bytes(self.size), self.size, self.seconds)?;
        writeln!(f, "  sha256  {}", self.sha256)?;
        if let Some(seconds) = self.downtime_seconds {
            writeln!(f, "The database accepted connections again after {seconds:.1} s.")?;
        }
        if let Some(seconds) = self.writes_blocked_seconds {
            writeln!(f, "The database kept running; writes waited for {seconds:.1} s at most.")?;
        }
        let care = match &self.encrypted_to {
            Some(key) => format!("It is encrypted: only the private key of {key} decrypts it (install-pack --identity FILE)."),
            None => "It contains the vault's data and the pair's secrets: protect it while you copy it, and delete it after the installation.".into(),
        };
        writeln!(f, "{care}")?;
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: PackArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let keys = Protection::of(args.sign_with.as_ref(), args.encrypt_to.as_ref(), &config.pack)?;
    let secondary = args.secondary.host.clone();
    if let Settled::Finished(earlier) = context.settled(&mut runner).await?
        && earlier.command == Command::Pack
        && earlier.starts_the_database()
    {
        // The database runs: this was the pack that is asked for.
        return done(context, &mut runner, &earlier, &secondary);
    }

    if !args.new_secrets {
        refuse_while_secrets_change(&home, "make a pack")?;
    }
    context.still_primary(&home).await?;
    let (scene, primary, second) = tokio::join!(
        look::home::scene(&home, &context.interrupt),
        names::resolve(args.primary),
        names::resolve(args.secondary),
    );
    let scene = scene?;
    let mode = if args.online {
        Mode::Online(
            look::copy_way::look(&home, scene.membership.as_ref(), &config, &context.interrupt).await,
        )
    } else if args.restart {
        let folder = home.pack().parent().map_or_else(|| home.replication(), Path::to_path_buf);
        Mode::Restart { shares_blocks: datadir::shares_blocks(&home, &folder) }
    } else {
        Mode::Stopped
    };
    let scene = PackScene {
        home: scene,
        primary,
        secondary: second,
        mode,
        key_fingerprint: look::home::own_key_fingerprint(&home),
        new_pair_id: random::id(),
        pack_id: random::id(),
        pack: keys.named(&home.pack()),
        has_ca_key: home.has_ca_key(),
        new_secrets: args.new_secrets,
        dense: args.dense,
        sign_with: keys.sign_with,
        encrypt_to: keys.encrypt_to,
        audit_tables: config.replication.audit_tables.clone(),
        local_tables: config.replication.local_tables.clone(),
    };
    let plan = plan(&scene).map_err(Failure::refused)?;
    if let Ok(params) = &scene.home.params {
        let peer = &scene.secondary.endpoint;
        port::tell(context, Role::Secondary, &peer.host, peer.port.unwrap_or(params.port)).await;
    }
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.drive(&plan).await?;
    done(context, &mut runner, &plan, &secondary)
}

/// Prints what was made and how long it took.
fn done(context: &Context<'_>, runner: &mut Runner<'_>, plan: &Plan, secondary: &str) -> Result<()> {
    let Some((file, encrypted_to)) = plan.pack() else { return Ok(()) };
    let (size, sha256, made_in) = match runner.written() {
        Some(written) => (written.size, written.sha256, written.seconds),
        None => (fs::metadata(file)?.len(), hash_file(file.as_ref())?, 0.0),
    };
    let runs = plan.starts_the_database() || plan.is_online_pack();
    let then = if runs { "" } else { "\n      Then start the primary: pmp-ha start" };
    let cost = runner.cost();
    let seconds = |time: std::time::Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
    context.ui.data(&Packed {
        file: file.to_owned(),
        size,
        sha256,
        seconds: made_in,
        encrypted_to: encrypted_to.map(str::to_owned),
        downtime_seconds: cost.downtime.map(seconds),
        writes_blocked_seconds: cost.writes_blocked.map(seconds),
        next: format!(
            "copy it into the secondary's home on {secondary}, and run there: pmp-ha install-pack{then}"
        ),
    })
}
