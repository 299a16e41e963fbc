//! `rehearse`: whether a recovery can be rehearsed here, and the parts of the rehearsal.
//!
//! It changes nothing in the home, so there is nothing to undo. The last part removes everything,
//! and runs whatever happened before.

use std::fmt;

use serde::Serialize;

use super::recover::{Source, is_copied_live};
use super::{Scene, checks};
use crate::domain::flavor::Flavor;
use crate::domain::manifest::{DATA, Manifest};
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{Bytes, CopyWay, KeyCheck};
use crate::domain::refusal::Refusal;

/// What is booted.
#[derive(Debug, Clone)]
pub enum With {
    /// A copy of the data of this secondary, whose database runs.
    Running(CopyWay),
    /// A copy of the data of this secondary, whose database does not run.
    Stopped(Box<Source>),
    /// A pack.
    Pack {
        /// Full path.
        file: String,
        /// Its manifest.
        manifest: Box<Manifest>,
    },
}

/// The place of the throw-away server.
#[derive(Debug, Clone)]
pub struct ServerFolder {
    /// Full path of a folder that does not exist yet.
    pub path: String,
    /// Free bytes at that place.
    pub free: u64,
    /// Whether a copy there takes no space.
    pub shares_blocks: bool,
    /// Why it cannot be there, one sentence each.
    pub unfit: Vec<String>,
}

/// The scene of `rehearse`.
#[derive(Debug, Clone)]
pub struct RehearseScene {
    /// The home.
    pub home: Scene,
    /// What is booted.
    pub with: With,
    /// Where.
    pub folder: ServerFolder,
    /// How to check the key against the data, if at all.
    pub key_check: Option<KeyCheck>,
}

/// A part of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "part")]
pub enum RehearsalPart {
    /// Copy the data of the running database.
    CopyRunning {
        /// How.
        way: CopyWay,
        /// How many files of the data directory.
        files: usize,
        /// Their size in bytes.
        bytes: u64,
    },
    /// Copy the data of the stopped database.
    CopyStopped {
        /// How many files.
        files: usize,
        /// Their size in bytes.
        bytes: u64,
    },
    /// Extract a pack.
    Extract {
        /// The file.
        pack: String,
        /// How many files.
        files: usize,
        /// Their size in bytes, uncompressed.
        bytes: u64,
    },
    /// Boot the throw-away server.
    Boot,
    /// Apply what was received.
    Apply,
    /// Read every table, and compare.
    ReadTables,
    /// Change the data as a recovery does, and stop.
    StandAlone {
        /// The application's account.
        account: String,
    },
    /// Remove everything.
    Remove,
}

/// The plan of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsal {
    /// Full path of the home.
    pub home: String,
    /// Full path of the throw-away server's folder.
    pub folder: String,
    /// What is rehearsed with, for people.
    pub with: String,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// The parts, in order.
    pub parts: Vec<RehearsalPart>,
    /// The node that the throw-away server is.
    pub membership: Membership,
    /// How to check the key against the data, if at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_check: Option<KeyCheck>,
}

const WHAT: &str = "cannot rehearse a recovery";

/// Returns the plan, or every reason why there is none.
///
/// # Errors
/// Every precondition that does not hold. A defect of what is rehearsed with is none of them.
pub fn plan(scene: &RehearseScene) -> Result<Rehearsal, Vec<Refusal>> {
    let RehearseScene { home, with, folder, key_check } = scene;
    let mut refusals = installation(home);
    let membership = membership(home, with).map_err(|refusal| refusals.push(refusal));
    if let With::Stopped(source) = with {
        refusals.extend(unfit_data(source));
    }
    let copy = match with {
        With::Running(way) => {
            let (files, bytes) = home.data_to_copy(is_copied_live);
            RehearsalPart::CopyRunning { way: way.clone(), files: files.len(), bytes }
        }
        With::Stopped(source) => {
            let (files, bytes) = source.to_copy;
            RehearsalPart::CopyStopped { files, bytes }
        }
        With::Pack { file, manifest } => RehearsalPart::Extract {
            pack: file.clone(),
            files: manifest.files.len(),
            bytes: manifest.total_size(),
        },
    };
    refusals.extend(place(folder, &copy));
    let (Ok(membership), Ok(params), true) = (membership, &home.params, refusals.is_empty()) else {
        return Err(refusals);
    };

    let mut parts = vec![copy, RehearsalPart::Boot];
    // A running database goes on applying what it has received itself.
    parts.extend(matches!(with, With::Stopped(_)).then_some(RehearsalPart::Apply));
    parts.extend([
        RehearsalPart::ReadTables,
        RehearsalPart::StandAlone { account: params.username.clone() },
        RehearsalPart::Remove,
    ]);
    let here = membership.this();
    Ok(Rehearsal {
        home: home.identity.path.clone(),
        folder: folder.path.clone(),
        with: match with {
            With::Running(way) => {
                format!("the data of {here}, the running secondary, copied {}", in_short(way))
            }
            With::Stopped(_) => format!("the data of {here}, the secondary, whose database is stopped"),
            With::Pack { file, manifest } => {
                format!("{file}, made {}, id {}", manifest.made_at, manifest.pack_id)
            }
        },
        warnings: checks::unproved(home).into_iter().collect(),
        parts,
        membership,
        key_check: key_check.clone(),
    })
}

fn in_short(way: &CopyWay) -> &'static str {
    match way {
        CopyWay::Clone { .. } => "by CLONE",
        CopyWay::BackupTool { .. } => "by the server's backup tool",
        CopyWay::Lock => "under a lock",
    }
}

/// Returns what is wrong with the installation, apart from its data.
fn installation(home: &Scene) -> Vec<Refusal> {
    let mut out = Vec::new();
    let missing: Vec<&str> =
        home.missing.iter().map(String::as_str).filter(|path| !path.starts_with(DATA)).collect();
    if !missing.is_empty() {
        out.push(
            Refusal::new(
                WHAT,
                format!("the home is incomplete: {} is missing", missing.join(", ")),
                "Name the folder of a complete installation with --home.",
            )
            .code("home-incomplete"),
        );
        return out;
    }
    if let Err(why) = &home.params {
        out.push(
            Refusal::new(
                WHAT,
                format!("cannot use conf/database_params.conf: {why}"),
                "Restore the file as the installation wrote it.",
            )
            .code("database-params"),
        );
    }
    match &home.server {
        Err(why) => out.push(
            Refusal::new(
                WHAT,
                format!("cannot read the version of the bundled server: {why}"),
                "Check that mysql/bin/mysqld of this home runs: `mysqld --version`.",
            )
            .code("server-unreadable"),
        ),
        Ok(version) if Flavor::of(version).is_none() => out.push(
            Refusal::new(
                WHAT,
                format!(
                    "the bundled server is {version}, which pmp-ha does not know: it knows {}",
                    Flavor::known()
                ),
                "Use an installation with one of these versions.",
            )
            .code("server-unknown"),
        ),
        Ok(_) => {}
    }
    if let Err(why) = &home.script {
        out.push(
            Refusal::new(
                WHAT,
                format!("cannot use the start script: {why}"),
                "Write the options into the line of bin/startDB.sh that starts mysqld, with --no-defaults or with --defaults-file and the path of a file.",
            )
            .code("start-script"),
        );
    }
    out
}

/// Returns which node the throw-away server is.
fn membership(home: &Scene, with: &With) -> Result<Membership, Refusal> {
    if let With::Pack { manifest, .. } = with {
        return Ok(Membership {
            format: Membership::FORMAT,
            role: Role::Secondary,
            key_fingerprint: manifest.key_fingerprint.clone(),
            pair: manifest.pair.clone(),
        });
    }
    match &home.membership {
        None => Err(Refusal::new(
            WHAT,
            format!("{} is not a node of a pair: it has no conf/pmp-ha/pair.toml", home.identity.path),
            "Run it on the secondary, or name a pack with --pack FILE.",
        )
        .code("source-not-a-node")),
        Some(membership) if membership.role == Role::Primary => Err(Refusal::new(
            WHAT,
            format!(
                "{} is the primary of its pair: a recovery uses the secondary's data",
                home.identity.path
            ),
            "Run it on the secondary. Here you can only test a pack: `pmp-ha rehearse --pack`.",
        )
        .code("is-primary")),
        Some(membership) => Ok(membership.clone()),
    }
}

fn unfit_data(source: &Source) -> Vec<Refusal> {
    let odd = source.odd_data.iter().map(|odd| {
        Refusal::new(
            WHAT,
            format!("the data directory contains {odd}"),
            "Move the data it points to into mysql/data.",
        )
        .code("data-linked")
    });
    let unreadable = source.unreadable.iter().map(|path| {
        Refusal::new(
            WHAT,
            format!("cannot read {path}"),
            "Run the command as the account that owns the data.",
        )
        .code("data-unreadable")
    });
    odd.chain(unreadable).collect()
}

fn place(folder: &ServerFolder, copy: &RehearsalPart) -> Vec<Refusal> {
    let hint = "Name another folder with --dir DIR.";
    let mut out: Vec<Refusal> =
        folder.unfit.iter().map(|why| Refusal::new(WHAT, why, hint).code("folder-unfit")).collect();
    out.extend(checks::boot_socket(&folder.path).map(|why| {
        Refusal::new(WHAT, why, "Name a folder with a shorter path: --dir DIR.").code("path-too-long")
    }));
    let needed = match copy {
        RehearsalPart::CopyStopped { bytes, .. } if !folder.shares_blocks => *bytes,
        RehearsalPart::CopyRunning { bytes, .. } | RehearsalPart::Extract { bytes, .. } => *bytes,
        _ => 0,
    };
    out.extend(checks::space(WHAT, &format!("the filesystem of {}", folder.path), needed, folder.free));
    out
}

impl fmt::Display for RehearsalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CopyRunning { way, files, bytes } => write!(
                f,
                "copy {files} files, {}, of the running database, {way}",
                Bytes(*bytes)
            ),
            Self::CopyStopped { files, bytes } => write!(f, "copy {files} files, {}", Bytes(*bytes)),
            Self::Extract { pack, files, bytes } => {
                write!(f, "extract {files} files, {}, from {pack}", Bytes(*bytes))
            }
            Self::Boot => f.write_str(
                "boot a throw-away server on them, without a network, on its own socket, with the node's TLS key",
            ),
            Self::Apply => f.write_str("apply what was received"),
            Self::ReadTables => {
                f.write_str("check the accounts, read every table, compare rows and checksums with a running database")
            }
            Self::StandAlone { account } => write!(
                f,
                "forget the source, give '{account}' the password of this home, log in with it, stop cleanly"
            ),
            Self::Remove => f.write_str("remove the copy"),
        }
    }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rehearse in {}, with {}:", self.folder, self.with)?;
        for (number, part) in self.parts.iter().enumerate() {
            writeln!(f, "  {}. {part}", number + 1)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::home;
    use super::*;
    use crate::domain::pair::Pair;

    fn scene() -> RehearseScene {
        let membership = |role| Membership { format: 1, role, key_fingerprint: None, pair: Pair::example() };
        let mut home = home(Role::Secondary);
        home.membership = Some(membership(Role::Secondary));
        let folder = ServerFolder { path: "/x/y".into(), free: 1 << 40, shares_blocks: false, unfit: vec![] };
        RehearseScene { home, with: With::Running(CopyWay::Lock), folder, key_check: None }
    }

    fn refused(scene: &RehearseScene) -> String {
        let refusals = plan(scene).expect_err("refused");
        refusals.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whatever_is_booted_is_removed_at_the_end() {
        let plan = plan(&scene()).expect("a plan");
        assert_eq!(plan.parts.len(), 5);
        assert_eq!(plan.parts.last(), Some(&RehearsalPart::Remove));
        assert!(!plan.parts.contains(&RehearsalPart::Apply), "a running database applies by itself");
    }

    #[test]
    fn only_a_secondary_has_data_to_recover_from() {
        let mut primary = scene();
        primary.home.membership.as_mut().expect("set").role = Role::Primary;
        assert!(refused(&primary).contains("is the primary of its pair"));
        primary.home.membership = None;
        assert!(refused(&primary).contains("is not a node of a pair"));
    }

    #[test]
    fn missing_data_are_a_defect_and_missing_programs_a_refusal() {
        let mut scene = scene();
        scene.home.missing = vec!["mysql/data/ib_logfile0".into()];
        assert!(plan(&scene).is_ok());
        scene.home.missing.push("mysql/bin/mysqld".into());
        assert!(refused(&scene).contains("mysql/bin/mysqld is missing"));
    }

    #[test]
    fn there_has_to_be_room_and_a_short_path() {
        let mut scene = scene();
        scene.folder.free = 10;
        assert!(refused(&scene).contains("there is no space"));
        scene.folder.path = format!("/{}", "x".repeat(100));
        assert!(refused(&scene).contains("the path of a socket"));
    }
}
