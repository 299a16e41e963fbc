//! Commands that set up a pair.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::domain::pair::Endpoint;
use crate::domain::remote::SshTarget;

/// Arguments of `setup`. Each is the answer to a question.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// On the primary: the name under which the secondary reaches it, HOST or HOST:DBPORT.
    #[arg(long, value_name = "PRIMARY")]
    pub primary: Option<Endpoint>,
    /// On the primary: the name under which it reaches the secondary, HOST or HOST:DBPORT.
    #[arg(long, value_name = "SECONDARY")]
    pub secondary: Option<Endpoint>,
    /// Stop the database if a step needs it stopped. You must stop Password Manager Pro itself.
    #[arg(long)]
    pub stop: bool,
    /// On the primary: make a new pack, even if there is one.
    #[arg(long)]
    pub new_pack: bool,
    /// On the secondary: the pack. By default, HAPack.zip or HAPack.zip.age in the home or in its folder replication.
    #[arg(long, value_name = "FILE")]
    pub pack: Option<PathBuf>,
    /// The path of the primary's `pmp_key.key` on the secondary's machine.
    #[arg(long, value_name = "PATH")]
    pub key: Option<PathBuf>,
    /// On the primary: set up the secondary as well, with the system's ssh. pmp-ha must be installed there.
    #[arg(long, value_name = "USER@HOST")]
    pub peer: Option<SshTarget>,
    /// The installation folder on the machine of --peer. By default, the one in its /etc/init.d/pmp-service.
    #[arg(long, value_name = "DIR", requires = "peer")]
    pub peer_home: Option<PathBuf>,
    /// The path of pmp-ha on the machine of --peer.
    #[arg(long, value_name = "PATH", default_value = "pmp-ha", requires = "peer")]
    pub peer_program: String,
    /// The configuration file of ssh, for another port or key. By default, that of your account.
    #[arg(long, value_name = "FILE", requires = "peer")]
    pub ssh_config: Option<PathBuf>,
    /// Wait at most this many seconds until both nodes are Alive.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub wait: u64,
    /// On the secondary: a file of mode 0600 with its database password, if the product stores it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
    /// On the secondary: the port in the pack is forwarded to the port of this database.
    #[arg(long)]
    pub port_is_forwarded: bool,
    /// How to open the pack.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `receive-pack`.
#[derive(Debug, Args)]
pub struct ReceivePackArgs {
    /// Its size in bytes.
    #[arg(value_name = "SIZE")]
    pub size: u64,
    /// Its SHA-256.
    #[arg(value_name = "SHA256")]
    pub sha256: String,
    /// It is encrypted.
    #[arg(long)]
    pub encrypted: bool,
}

/// Arguments of `pack`.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// The primary: HOST or HOST:DBPORT.
    #[arg(value_name = "PRIMARY")]
    pub primary: Endpoint,
    /// The secondary: HOST or HOST:DBPORT.
    #[arg(value_name = "SECONDARY")]
    pub secondary: Endpoint,
    /// Restart the database as early as possible: after copying its files or, without room for a copy, after packing.
    #[arg(long, conflicts_with = "online")]
    pub restart: bool,
    /// Pack while the database runs. Not for the first pack: the pair's settings take effect only after a restart.
    #[arg(long)]
    pub online: bool,
    /// Make a new CA and new passwords: the secrets in older packs become useless. The secondary stops replicating until you install this pack.
    #[arg(long, conflicts_with = "online")]
    pub new_secrets: bool,
    /// Make a smaller pack, which takes longer.
    #[arg(long)]
    pub dense: bool,
    /// Sign the pack with this private key. By default, `pack.sign_with` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,
    /// Encrypt the pack to the owner of this public key, as HAPack.zip.age. By default, `pack.encrypt_to` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub encrypt_to: Option<PathBuf>,
}

/// Options that open a pack, and require a signature.
#[derive(Debug, Clone, Args)]
pub struct OpeningArgs {
    /// The private key that opens an encrypted pack. By default, `pack.identity` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Refuse a pack that is not signed by the owner of this public key. By default, `pack.signed_by` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub signed_by: Option<PathBuf>,
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// What the keys are for.
    #[arg(value_name = "PURPOSE")]
    pub purpose: KeyPurpose,
    /// The file for the private key, which only its owner can read. The public key is FILE.pub. Neither may exist.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What a pair of keys is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyPurpose {
    /// The primary signs with the private key; the secondary verifies with the public key.
    Signing,
    /// The primary encrypts with the public key; the secondary decrypts with the private key.
    Encryption,
}

/// Arguments of `install-pack`.
#[derive(Debug, Args)]
pub struct InstallPackArgs {
    /// The pack. By default, HAPack.zip or HAPack.zip.age in the home or in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Install what you unpacked by hand in the home. First, pmp-ha checks FILE, the ZIP outside the home, and then every unpacked file.
    #[arg(long)]
    pub in_place: bool,
    /// With --in-place: you no longer have the ZIP, and you trust the person who unpacked it. Files that came in addition to the pack stay.
    #[arg(long, requires = "in_place", conflicts_with_all = ["file", "signed_by"])]
    pub trust_unpacked: bool,
    /// Install this pack even if it is older than what is installed here. This restores the data and the secrets of that time.
    #[arg(long)]
    pub older: bool,
    /// Keep the old data and configuration of a fresh home, too. `pmp-ha rollback` returns to them.
    #[arg(long, conflicts_with_all = ["in_place", "discard_old"])]
    pub keep: bool,
    /// Delete the old data even if this home was in a pair. Rows that exist only here are lost.
    #[arg(long)]
    pub discard_old: bool,
    /// A file of mode 0600 with the database password of this home, if the product stores it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
    /// The port in the pack is forwarded to the port of this database.
    #[arg(long)]
    pub port_is_forwarded: bool,
    /// How to open it.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The path of the primary's `pmp_key.key` on this machine. On a terminal, pmp-ha asks for it.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Change nothing. Report whether PATH, or the key in use, belongs to these data.
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `teardown`.
#[derive(Debug, Clone, Copy, Args)]
pub struct TeardownArgs {
    /// Also remove the kept state and the rows that a repair or a rejoin has saved.
    #[arg(long)]
    pub discard_kept: bool,
}
