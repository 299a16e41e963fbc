//! A plan: the steps of a command as a value. `--dry-run` prints the very value that would run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::coordinates::Coordinates;
use super::pair::{Membership, Role};

/// What an offline boot of the server is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task")]
pub enum BootTask {
    /// Create the tool's accounts on the primary and record the coordinates.
    PrepareSource {
        /// Marks the pack in the data.
        pack_id: String,
    },
    /// Make the secondary's accounts agree and point it at its source.
    PrepareReplica {
        /// The application's account.
        account: String,
        /// Where to go on.
        from: Coordinates,
    },
    /// Work off what was received, forget the source, make the accounts agree.
    StandAlone {
        /// The application's account.
        account: String,
        /// Whether to go on where what was received cannot all be applied.
        accept_loss: bool,
    },
}

/// One step. Every step can be done again, and undone until the point of no return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Write certificates, credentials and the option file of the primary.
    MakeNodeFiles {
        /// What the home is to know about its pair.
        membership: Membership,
        /// Whether the folder is there already and its CA and passwords are kept.
        renew: bool,
    },
    /// Put the node files of an extracted pack in their place.
    TakeNodeFiles {
        /// What the home is to know about its pair.
        membership: Membership,
    },
    /// Make the start script hand the option file to mysqld.
    WireStartScript,
    /// Start the server without a network, do a task, stop it cleanly.
    OfflineBoot(BootTask),
    /// Compress the data directory and the secondary's node files into the pack.
    WritePack {
        /// The file.
        pack: String,
        /// How many files of the data directory.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Extract a verified pack beside the data directory.
    ExtractPack {
        /// The file.
        pack: String,
        /// Which pack was verified: another one under the same name is not extracted.
        pack_id: String,
        /// How many files.
        files: usize,
        /// Their bytes, uncompressed.
        bytes: u64,
    },
    /// Copy another home's data directory beside this one's.
    CopyData {
        /// The data directory to copy.
        from: String,
        /// How many files.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Exchange the data directory with what lies ready beside it.
    SwapData,
    /// Write `conf/serverstate.conf`.
    WriteRole {
        /// The role.
        role: Role,
    },
    /// Write `conf/manage_key.conf`.
    WriteKeyPath {
        /// The key file.
        key: String,
    },
    /// Start the database as the product does, look at it, stop it.
    ProveStart,
    /// Remove the old data directory.
    DropOldData,
    /// Keep the old data directory under a name of its own.
    KeepOldData {
        /// The name, beside the data directory.
        name: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeNodeFiles { renew: false, .. } => {
                f.write_str("write conf/pmp-ha: a CA, a certificate for each node, credentials, the option file")
            }
            Self::MakeNodeFiles { renew: true, .. } => {
                f.write_str("write conf/pmp-ha: certificates and option file anew, CA and credentials as they are")
            }
            Self::TakeNodeFiles { .. } => f.write_str("write conf/pmp-ha: certificate, credentials, the option file"),
            Self::WireStartScript => f.write_str("wire the start script to conf/pmp-ha/mysqld.cnf"),
            Self::OfflineBoot(BootTask::PrepareSource { .. }) => {
                f.write_str("boot the database without a network: create the tool's accounts, record the coordinates, stop cleanly")
            }
            Self::OfflineBoot(BootTask::PrepareReplica { from, account }) => write!(
                f,
                "boot the database without a network: give '{account}' the password of this home, replicate from {from}, stop cleanly"
            ),
            Self::OfflineBoot(BootTask::StandAlone { account, .. }) => write!(
                f,
                "boot the database without a network: apply what was received, forget the source, give '{account}' the password of this home, stop cleanly"
            ),
            Self::WritePack { pack, files, bytes } => {
                write!(f, "compress {files} files, {}, into {pack}", Bytes(*bytes))
            }
            Self::ExtractPack { pack, files, bytes, .. } => {
                write!(f, "extract {files} files, {}, from {pack} to a place beside mysql/data", Bytes(*bytes))
            }
            Self::CopyData { from, files, bytes } => {
                write!(f, "copy {files} files, {}, from {from} to a place beside mysql/data", Bytes(*bytes))
            }
            Self::SwapData => f.write_str("exchange mysql/data with the new data; the old data stay beside it"),
            Self::WriteRole { role } => write!(f, "write the role {role} into conf/serverstate.conf"),
            Self::WriteKeyPath { key } => write!(f, "write {key} into conf/manage_key.conf"),
            Self::ProveStart => f.write_str("start the database with the product's own script, look at it, stop it"),
            Self::DropOldData => f.write_str("remove the old data"),
            Self::KeepOldData { name } => write!(f, "keep the old data as mysql/{name}"),
        }
    }
}

/// Bytes for people: `12.3 MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = |unit: u64| format!("{}.{}", self.0 / unit, self.0 % unit / (unit / 10));
        match self.0 {
            n if n >= 1_000_000_000 => write!(f, "{} GB", tenths(1_000_000_000)),
            n if n >= 1_000_000 => write!(f, "{} MB", tenths(1_000_000)),
            n if n >= 10_000 => write!(f, "{} kB", n / 1000),
            n => write!(f, "{n} bytes"),
        }
    }
}

/// For whom a plan was made: it runs nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeIdentity {
    /// The home.
    pub path: String,
    /// The device of its data directory.
    pub device: u64,
    /// The inode of its `conf` folder, which no step replaces.
    pub inode: u64,
}

/// What a command is going to do, before it does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command.
    pub command: String,
    /// The home that it changes.
    pub home: HomeIdentity,
    /// What the operator should know before agreeing.
    pub warnings: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The index of the first step that cannot be undone; behind it only forward.
    pub point_of_no_return: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}:", self.command, self.home.path)?;
        for (number, step) in self.steps.iter().enumerate() {
            let mark = if number >= self.point_of_no_return { "  (cannot be undone)" } else { "" };
            writeln!(f, "  {}. {step}{mark}", number + 1)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let shown: Vec<_> = [12, 99_999, 12_345_678, 3_210_000_000].map(|n| Bytes(n).to_string()).into();
        assert_eq!(shown, ["12 bytes", "99 kB", "12.3 MB", "3.2 GB"]);
    }

    #[test]
    fn a_plan_survives_the_journal() {
        let plan = Plan {
            command: "install-pack".into(),
            home: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            warnings: vec![],
            steps: vec![
                Step::SwapData,
                Step::OfflineBoot(BootTask::PrepareReplica {
                    account: "root".into(),
                    from: Coordinates::Gtid { executed: "a:1".into() },
                }),
                Step::DropOldData,
            ],
            point_of_no_return: 2,
        };
        let text = serde_json::to_string(&plan).expect("writable");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("readable"), plan);
        assert!(plan.to_string().contains("3. remove the old data  (cannot be undone)"));
    }
}
