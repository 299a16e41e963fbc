//! The tool's own files of a node, `conf/pmp-ha`, and the start script that uses them.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use super::pack;
use crate::adapters::home::rotation::NextSecrets;
use crate::adapters::home::saved::remove;
use crate::adapters::home::script::hash_of_option_files;
use crate::adapters::home::{Credentials, Home, certificates, template};
use crate::adapters::system;
use crate::apply::database::accounts;
use crate::apply::work::Runner;
use crate::config::Config;
use crate::domain::certificate::{DAY, WARN_DAYS};
use crate::domain::flavor::Flavor;
use crate::domain::pair::Membership;
use crate::domain::settings::{render, settings, strange_option, take_in_and_note};
use crate::domain::start_script::{self, Gate};

/// The start script, and the copy of it as it was before it was ever wired.
pub const SCRIPTS: [&str; 2] = ["bin/startDB.sh", "bin/startDB.sh.before-pmp-ha"];

/// Writes the primary's files: a CA, its certificate, credentials, the option file.
pub async fn make(runner: &Runner<'_>, membership: &Membership, renew: bool) -> Result<()> {
    let home = runner.home;
    let dir = home.node_files();
    system::private_dir(&dir)?;
    let ca_cert = dir.join("ca.pem");
    let keeps_certificate = if renew && ca_cert.is_file() {
        own_ca(home, membership)?
    } else {
        remove(&ca_cert)?;
        remove(&dir.join(CA_KEY))?;
        own_ca(home, membership)?;
        forget_rotation(home)?;
        false
    };
    if !keeps_certificate {
        let node = certificates::issue_for(
            runner.flavor().await?,
            &certificates::read(&ca_cert)?,
            &certificates::read(&dir.join(CA_KEY))?,
            &membership.this().host,
        )?;
        system::write_atomic(&dir.join("node.pem"), node.cert.as_bytes(), 0o600, None)?;
        system::write_atomic(&dir.join("node-key.pem"), node.key.as_bytes(), 0o600, None)?;
    }
    let file = dir.join("credentials.toml");
    let credentials = if renew && file.is_file() {
        accounts::kept(runner.flavor().await?, Credentials::read(&file)?)
    } else {
        accounts::credentials()
    };
    system::write_atomic(&file, toml::to_string(&credentials)?.as_bytes(), 0o600, None)?;
    finish(home, membership, runner.flavor().await?, runner.config)
}

/// The private key of a CA. It never leaves the node on which it was made.
const CA_KEY: &str = "ca-key.pem";

/// Makes sure that this node has the key of a CA that the pair trusts: of the first one in `ca.pem`.
///
/// Returns whether another CA issued this node's certificate. Then it stays: the other node may trust
/// that CA alone until it has the next pack, and must be able to ask this one whether it was replaced. One
/// that is about to end is issued anew.
fn own_ca(home: &Home, membership: &Membership) -> Result<bool> {
    let dir = home.node_files();
    let (cert, key) = (dir.join("ca.pem"), dir.join(CA_KEY));
    let trusted = if cert.is_file() { certificates::read(&cert)? } else { String::new() };
    let mut all = trusted.clone();
    if trusted.is_empty() || !key.is_file() {
        let ca = certificates::make_ca(&membership.pair.id)?;
        all = certificates::bundle(&ca.cert, &trusted)?;
        // First the certificate: a key without one would be taken for that of the first.
        system::write_atomic(&cert, all.as_bytes(), 0o600, None)?;
        system::write_atomic(&key, ca.key.as_bytes(), 0o600, None)?;
    }
    let node = dir.join("node.pem");
    if certificates::count(&all)? == 1 || !node.is_file() {
        return Ok(false);
    }
    let left = certificates::ends(&certificates::read(&node)?)? - jiff::Timestamp::now().as_second();
    Ok(left > WARN_DAYS * DAY)
}

fn forget_rotation(home: &Home) -> Result<()> {
    NextSecrets::of(home).remove()?;
    home.note_rotation(None)
}

/// Makes sure that there is a CA for the pack's certificate, and updates what is known of the pair.
///
/// The node's own certificate stays, because the running server uses it. Returns whether a CA was made.
pub async fn renew(runner: &Runner<'_>, membership: &Membership) -> Result<bool> {
    let home = runner.home;
    let had_one = home.has_ca_key();
    own_ca(home, membership)?;
    let credentials = accounts::kept(runner.flavor().await?, home.credentials()?);
    let file = home.node_files().join("credentials.toml");
    system::write_atomic(&file, toml::to_string(&credentials)?.as_bytes(), 0o600, None)?;
    finish(home, membership, runner.flavor().await?, runner.config)?;
    Ok(!had_one)
}

/// Puts the files of an extracted pack in place.
pub async fn take(runner: &Runner<'_>, membership: &Membership) -> Result<()> {
    let home = runner.home;
    let (from, dir) = (pack::extracted_node_files(home), home.node_files());
    system::private_dir(&dir)?;
    // It is from another CA than the first one in the pack. Packs of older versions bring a key.
    remove(&dir.join(CA_KEY))?;
    remove(&home.compare_due())?;
    forget_rotation(home)?;
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        system::write_atomic(
            &dir.join(entry.file_name()),
            &system::read_bytes(&entry.path(), system::SMALL)?,
            0o600,
            None,
        )?;
    }
    finish(home, membership, runner.flavor().await?, runner.config)
}

/// Updates the option file before a start, if the configuration has changed.
pub fn refresh(home: &Home, membership: &Membership, flavor: &Flavor, config: &Config) -> Result<()> {
    let text = option_file(home, membership, flavor, config)?;
    if !system::read_text(&home.option_file(), system::SMALL).is_ok_and(|old| old == text) {
        system::write_atomic(&home.option_file(), text.as_bytes(), 0o600, None)?;
    }
    settle_rights(home)
}

/// What the server reads itself, after it has given up root's rights.
const READ_BY_THE_SERVER: [&str; 4] = ["ca.pem", "node.pem", "node-key.pem", "mysqld.cnf"];

/// Makes the files the home's. If the server has another account, that account may read what it needs and
/// change nothing: the option file directs the server while it is root.
fn settle_rights(home: &Home) -> Result<()> {
    let (dir, owner, server) = (home.node_files(), system::owner(home.root())?, system::owner(&home.data())?);
    let entries = fs::read_dir(&dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    for path in [dir.clone()].iter().chain(&entries) {
        // A group may have been let in already.
        if !system::owner(path)?.is_account_of(owner) {
            system::give_to(path, owner)?;
        }
    }
    system::show_to(&dir, server)?;
    for name in READ_BY_THE_SERVER.iter().filter(|name| dir.join(name).exists()) {
        system::show_to(&dir.join(name), server)?;
    }
    system::sync_dir(&dir)
}

fn option_file(home: &Home, membership: &Membership, flavor: &Flavor, config: &Config) -> Result<String> {
    let options = settings(flavor, membership, &home.tls_paths(), &config.choices());
    let account = home.account_of_server()?.map(|name| format!("user = \"{name}\"\n")).unwrap_or_default();
    // Before ours, as it was before the command line; and behind the account, of which the first counts.
    let own = home.own_option_file();
    let taken = match &own {
        None => String::new(),
        Some(path) => take_in_and_note(path, &hash_of_option_files(Path::new(path))?.to_string()),
    };
    let text = template::fill(
        include_str!("../../../templates/mysqld.cnf"),
        &[
            ("script", system::START_SCRIPT),
            ("role", &membership.role.to_string()),
            ("node", &membership.this().to_string()),
            ("pair", &membership.pair.id),
            ("settings", &format!("{account}{taken}{}", render(&options))),
        ],
    )?;
    match strange_option(&text, home.account_of_server()?.as_deref(), own.as_deref()) {
        None => Ok(text),
        Some(line) => bail!("what the home knows of its pair would write {line:?} into mysqld.cnf"),
    }
}

/// Rewrites what the home knows about its pair, and the option file derived from it.
pub async fn set(runner: &Runner<'_>, membership: &Membership) -> Result<()> {
    finish(runner.home, membership, runner.flavor().await?, runner.config)
}

fn finish(home: &Home, membership: &Membership, flavor: &Flavor, config: &Config) -> Result<()> {
    let dir = home.node_files();
    system::write_atomic(&dir.join("pair.toml"), toml::to_string(membership)?.as_bytes(), 0o600, None)?;
    let text = option_file(home, membership, flavor, config)?;
    system::write_atomic(&home.option_file(), text.as_bytes(), 0o600, None)?;
    settle_rights(home)
}

/// Makes the start script pass the option file to mysqld, and ask `may-start` first.
pub fn wire(runner: &Runner<'_>) -> Result<()> {
    let home = runner.home;
    let script = home.start_script();
    let text = system::read_text(&script, system::SMALL)?;
    let (mode, owner) = (system::mode(&script)?, system::owner(&script)?);
    if !start_script::is_wired(&text) {
        system::write_atomic(&home.path(SCRIPTS[1]), text.as_bytes(), mode, Some(owner))?;
    }
    let gate = Gate {
        program: system::this_program()?.to_string_lossy().into_owned(),
        home: home.root().to_string_lossy().into_owned(),
    };
    let wired = home
        .wire(&text, &home.option_file(), Some(&gate))
        .map_err(|why| anyhow!("cannot wire the start script: {}", why.0))?;
    system::write_atomic(&script, wired.script.as_bytes(), mode, Some(owner))
        .context("cannot wire the start script")
}
