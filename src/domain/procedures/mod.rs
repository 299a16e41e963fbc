//! The procedures: each turns a scene into a plan, or into the reasons why there is none.

mod checks;
pub mod incoming;
pub mod install;
pub mod key;
pub mod pack;
pub mod promote;
pub mod reconfigure;
pub mod recover;
pub mod rehearse;
pub mod rejoin;
pub mod rejoin_by_pack;
pub mod repair;
pub mod return_channel;
pub mod rollback;
pub mod rotate;
pub mod setup;
pub mod switchover;
pub mod teardown;

use super::datafiles::Layout;
use super::flavor::ServerVersion;
use super::home::DatabaseParams;
use super::manifest::{Fingerprint, RelPath};
use super::pair::{Membership, Role};
use super::plan::{HomeIdentity, Step};
use super::refusal::Refusal;

/// A file of a data directory and its size in bytes; the path is from the data directory.
pub type DataFile = (RelPath, u64);

/// What was read of one home.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Returns the identity of the home.
    pub identity: HomeIdentity,
    /// Files that belong to a complete home and are missing.
    pub missing: Vec<String>,
    /// The word in `conf/serverstate.conf`.
    pub role_word: String,
    /// The role that the word means.
    pub role: Role,
    /// `conf/database_params.conf`, or why it cannot be used.
    pub params: Result<DatabaseParams, String>,
    /// The port in `conf/server.xml`.
    pub web_port: Option<u16>,
    /// Evidence that the product or its database runs, a sentence each.
    pub running: Vec<String>,
    /// The output of `mysqld --version`.
    pub server: Result<ServerVersion, String>,
    /// The layout of the data directory.
    pub layout: Option<Layout>,
    /// Whether the start script can be wired.
    pub script: Result<(), String>,
    /// The place of an option that makes the server accept every login, if there is one.
    pub lets_everybody_in: Option<String>,
    /// Every file of the data directory.
    pub data: Vec<DataFile>,
    /// Entries of the data directory that are neither files nor folders.
    pub odd_data: Vec<String>,
    /// The schema's folder in the data directory, as it is written on disk.
    pub schema_on_disk: Option<String>,
    /// Whether the data directory is a mount point.
    pub data_is_mount_point: bool,
    /// Bytes free on the disk of the data directory.
    pub free_for_data: u64,
    /// Bytes free in the folder `replication`.
    pub free_for_pack: u64,
    /// Folders that this account cannot write to, a sentence each.
    pub not_writable: Vec<String>,
    /// The hashes that identify the product's build.
    pub fingerprint: Option<Fingerprint>,
    /// The pair that it already belongs to.
    pub membership: Option<Membership>,
}

impl Scene {
    /// Returns the files that belong to such a copy, and their size.
    pub fn data_to_copy(&self, wanted: impl Fn(&str) -> bool) -> (Vec<DataFile>, u64) {
        let files: Vec<DataFile> =
            self.data.iter().filter(|(path, _)| wanted(path.as_str())).cloned().collect();
        let bytes = files.iter().map(|(_, size)| size).sum();
        (files, bytes)
    }
}

/// Returns what keeps a home from being a node of a pair, whether or not its database runs.
#[must_use]
pub fn shortcomings(scene: &Scene) -> Vec<Refusal> {
    let what = "this home cannot be a node of a pair";
    let mut out = checks::running_home(what, scene);
    out.extend(checks::other_node(what, scene));
    out
}

/// Returns the steps that make a running, guarded secondary the primary.
fn take_over(home: &Scene, membership: Membership, account: String) -> Vec<Step> {
    let mut steps = vec![
        Step::SetMembership { membership },
        Step::Reconfigure { account },
        Step::WriteRole { role: Role::Primary, word: None },
    ];
    if promote::needs_a_restart(home) {
        steps.push(Step::RestartDatabase);
    }
    steps
}

#[cfg(test)]
pub(crate) mod examples {
    //! A complete, stopped home for the tests of the procedures.

    use super::{Fingerprint, HomeIdentity, Layout, RelPath, Role, Scene, ServerVersion};
    use crate::domain::digest::Sha256Hex;
    use crate::domain::home::DatabaseParams;

    pub fn fingerprint() -> Fingerprint {
        Fingerprint { product: Sha256Hex::from_bytes([1; 32]), server: Sha256Hex::from_bytes([2; 32]) }
    }

    pub fn home(role: Role) -> Scene {
        let path = |path: &str| RelPath::new(path).expect("a path");
        Scene {
            identity: HomeIdentity { path: "/opt/PMP".into(), device: 1, inode: 2 },
            missing: vec![],
            role_word: if role == Role::Primary { "master".into() } else { "slave".into() },
            role,
            params: Ok(DatabaseParams {
                username: "root".into(),
                password: "x".into(),
                encrypted: false,
                port: 2345,
                schema: "PassTrix".into(),
            }),
            web_port: Some(7272),
            running: vec![],
            server: Ok(ServerVersion::parse("5.6.24").expect("a version")),
            layout: Some(Layout::MySql5),
            script: Ok(()),
            lets_everybody_in: None,
            data: vec![(path("ibdata1"), 1000), (path("auto.cnf"), 56), (path("passtrix/a.frm"), 10)],
            odd_data: vec![],
            schema_on_disk: Some("passtrix".into()),
            data_is_mount_point: false,
            free_for_data: 1 << 40,
            free_for_pack: 1 << 40,
            not_writable: vec![],
            fingerprint: Some(fingerprint()),
            membership: None,
        }
    }
}
