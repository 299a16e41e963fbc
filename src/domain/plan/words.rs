//! A plan as an operator reads it.

use std::fmt;

use super::{BootTask, CopyWay, Exchange, HookMoment, Plan, Scope, Step, TableChange};
use crate::domain::definitions::Named;
use crate::domain::pair::Role;
use crate::domain::settings::LOCAL_SCHEMA;
use crate::domain::words::one_line;

/// A number of bytes for people: `12.3 MB`.
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

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}:", self.command, self.home.path)?;
        for (number, step) in self.steps.iter().enumerate() {
            let mark = if number >= self.point_of_no_return { "  (cannot be undone)" } else { "" };
            writeln!(f, "  {}. {}{mark}", number + 1, one_line(&step.to_string()))?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {}", one_line(warning))?;
        }
        Ok(())
    }
}

impl fmt::Display for BootTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrepareSource { .. } => {
                f.write_str("boot the database without a network: create the tool's accounts, record the coordinates, stop cleanly")
            }
            Self::PrepareReplica { from, account, .. } => write!(
                f,
                "boot the database without a network: give '{account}' the password of this home, replicate from {from}, stop cleanly"
            ),
            Self::StandAlone { account, copied, key_check, .. } => {
                f.write_str("boot the database without a network: ")?;
                if copied.is_none() {
                    f.write_str("apply what was received, ")?;
                }
                write!(f, "forget the source, give '{account}' the password of this home, ")?;
                if let Some(check) = key_check {
                    write!(f, "ask the data whether {} is their key, ", check.key)?;
                }
                f.write_str("stop cleanly")
            }
            Self::LeavePair { role, .. } => {
                f.write_str("boot the database without a network: ")?;
                if *role == Role::Secondary {
                    f.write_str("apply what was received, give the application its rights back, ")?;
                }
                f.write_str("remove replication with the tool's accounts, schemas and binlogs, stop cleanly")
            }
        }
    }
}

impl fmt::Display for Step {
    #[expect(clippy::too_many_lines, reason = "a line a step: the words of every plan")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeNodeFiles { renew: false, .. } => {
                f.write_str("write conf/pmp-ha: a CA, a certificate for each node, credentials, the option file")
            }
            Self::MakeNodeFiles { renew: true, .. } => {
                f.write_str("write conf/pmp-ha: new certificates and option file; keep CA and credentials")
            }
            Self::TakeNodeFiles { .. } => f.write_str("write conf/pmp-ha: certificate, credentials, the option file"),
            Self::WireStartScript => f.write_str("wire the start script to conf/pmp-ha/mysqld.cnf"),
            Self::UnwireStartScript => f.write_str("restore bin/startDB.sh as it was before the first pack"),
            Self::DropNodeFiles => f.write_str("remove conf/pmp-ha with its certificates and passwords"),
            Self::DropTraces { files } if files.is_empty() => {
                f.write_str("remove the journal and the log of pmp-ha")
            }
            Self::DropTraces { files } => {
                write!(f, "remove the journal and the log of pmp-ha, and {}", files.join(", "))
            }
            Self::OfflineBoot(task) => task.fmt(f),
            Self::WorkOffOffline { .. } => f.write_str(
                "boot the database without a network: apply what was received before it stopped, stop cleanly",
            ),
            Self::FindExtra { since, .. } => write!(
                f,
                "boot the database without a network: look for rows that only this node has, from {}:{} in its binlogs, stop cleanly",
                since.file, since.position
            ),
            Self::CopySource { files, bytes } => {
                write!(f, "copy {files} files, {}, to replication/pmp-ha-work until they are packed", Bytes(*bytes))
            }
            Self::StartDatabase => f.write_str("start the database with the product's own script"),
            Self::BringUp => f.write_str("start the database with the product's own script, unless it runs"),
            Self::RenewWayBack { .. } => f.write_str(
                "on the running database: mark the pack; nothing else of the pair changes before it is installed",
            ),
            Self::CopyOnline { way, files, bytes, .. } => write!(
                f,
                "copy {files} files, {}, of the running database to replication/pmp-ha-work, {way}",
                Bytes(*bytes)
            ),
            Self::SettleCopy { .. } => f.write_str("boot the copy without a network, stop it cleanly"),
            Self::WritePack { pack, files, bytes, sign_with, encrypt_to, .. } => {
                write!(f, "compress {files} files, {}, into {pack}", Bytes(*bytes))?;
                if let Some(key) = sign_with {
                    write!(f, ", signed with {key}")?;
                }
                match encrypt_to {
                    Some(key) => write!(f, ", encrypted to {key}"),
                    None => Ok(()),
                }
            }
            Self::ExtractPack { pack, files, bytes, .. } => {
                write!(f, "extract {files} files, {}, from {pack} into a folder next to mysql/data", Bytes(*bytes))
            }
            Self::CopyUnpacked { files, bytes, .. } => write!(
                f,
                "copy the {files} unpacked files of the pack, {}, into a folder next to mysql/data",
                Bytes(*bytes)
            ),
            Self::CopyData { from, files, bytes } => {
                write!(f, "copy {files} files, {}, from {from} into a folder next to mysql/data", Bytes(*bytes))
            }
            Self::CopyLive { from, way, files, bytes } => write!(
                f,
                "wait until the database in {from} has applied everything it received, and copy its {files} files, {}, into a folder next to mysql/data, {way}",
                Bytes(*bytes)
            ),
            Self::SwapData => f.write_str("exchange mysql/data with the new data; the old data stay until the last step"),
            Self::SetMembership { membership } => write!(
                f,
                "write conf/pmp-ha: this is {}, the other node is {}, and the option file",
                membership.this(),
                membership.peer()
            ),
            Self::Reconfigure { .. } => {
                f.write_str("apply this to the channel, the heartbeat and the write guard; replication pauses briefly")
            }
            Self::WriteRole { role, .. } => write!(f, "write the role {role} into conf/serverstate.conf"),
            Self::Fence { command } => write!(f, "fence the other node: {}", command.join(" ")),
            Self::Hook { moment, command } => {
                let key = match moment {
                    HookMoment::Before => "hooks.before",
                    HookMoment::After => "hooks.after",
                };
                write!(f, "run {key}: {}", command.join(" "))
            }
            Self::TakeDown => f.write_str("stop the database with the product's own script"),
            Self::DrainReplica { .. } => f.write_str("stop receiving, apply everything that was received"),
            Self::Claim { epoch, seen_alive, .. } => {
                write!(f, "begin epoch {epoch}, in which this node is the primary")?;
                let sign = if *seen_alive { "is not starting" } else { "has not come back" };
                write!(f, "; check that the other node {sign}")
            }
            Self::Exchange(exchange) => exchange.fmt(f),
            Self::Renew(renewal) => renewal.fmt(f),
            Self::RestartDatabase => {
                f.write_str("restart the database: this server changes its role in replication only at a start")
            }
            Self::WriteKeyPath { key } => write!(f, "write {key} into conf/manage_key.conf"),
            Self::ProveStart => f.write_str("start the database with the product's own script, check it, stop it"),
            Self::DropOldData => f.write_str("remove the old data"),
            Self::KeepOldData { name } => write!(f, "keep the old data as mysql/{name}"),
            Self::SwapKept { name } => write!(f, "exchange mysql/data with the kept mysql/{name}"),
            Self::RestoreKept => f.write_str(
                "restore the kept conf/pmp-ha, start script and conf/manage_key.conf",
            ),
            Self::KeepHome { from: None, name, .. } => write!(
                f,
                "keep the old data as mysql/{name}, with their configuration, for `pmp-ha rollback`"
            ),
            Self::KeepHome { from: Some(_), name, .. } => write!(
                f,
                "keep the current data as mysql/{name}, with their configuration: the next `pmp-ha rollback` returns to them"
            ),
            Self::DropKept { name } => write!(f, "remove the earlier kept state, mysql/{name}"),
            Self::SaveRows { file, .. } => write!(f, "save the rows as they are in {file}"),
            Self::SetAside { table, kept } => write!(
                f,
                "move the table {table}, which the primary does not have, to {LOCAL_SCHEMA}.{kept}"
            ),
            Self::Undefine { what } => write!(f, "drop, and save first: {}", named(what)),
            Self::Define { what } => write!(f, "make as on the primary: {}", named(what)),
            Self::MakeTable { table, kept: None } => {
                write!(f, "create the table {table} as it is on the primary")
            }
            Self::MakeTable { table, kept: Some(kept) } => write!(
                f,
                "keep the table {table} as {LOCAL_SCHEMA}.{kept}, and create it again as it is on the primary"
            ),
            Self::PassConflicts { error: 0 } => {
                f.write_str("let the applier continue; the primary's row replaces a conflicting one")
            }
            Self::PassConflicts { error } => write!(
                f,
                "let the applier pass error {error}; the primary's row replaces a conflicting one"
            ),
            Self::LeaveOut { what } => write!(
                f,
                "leave out what is refused, and start the applier; it stopped at: {what}"
            ),
            Self::Acknowledge { reading } => {
                write!(f, "mark as seen what the secondary has sent:")?;
                for found in &reading.found {
                    write!(f, "\n       {} ({}:{})", found.what, found.file, found.position)?;
                }
                let shown = u64::try_from(reading.found.len()).unwrap_or(u64::MAX);
                match reading.total.saturating_sub(shown) {
                    0 => Ok(()),
                    more => write!(f, "\n       and {more} more"),
                }
            }
            Self::StartReplication => f.write_str("start replication"),
            Self::CorrectRows { scope, changes, .. } if changes.is_empty() => {
                write!(f, "make {scope} equal to the primary")
            }
            Self::CorrectRows { scope, changes, .. } => {
                write!(f, "make {scope} equal to the primary; the differences now:")?;
                changes.iter().try_for_each(|change| write!(f, "\n       {change}"))
            }
            Self::ProveEqual { scope, .. } => {
                write!(f, "make the applier strict again, and compare {scope} until nothing differs")
            }
        }
    }
}

fn named(what: &[Named]) -> String {
    what.iter().map(|(kind, name)| format!("{kind} {name}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for CopyWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clone { .. } => f.write_str("by the server itself (CLONE); writes continue"),
            Self::BackupTool { program } => write!(f, "by {program}; writes wait briefly"),
            Self::Lock => f.write_str("under a lock; writes wait until the copy is made"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("every table"),
            Self::Tables(names) => f.write_str(&names.join(", ")),
        }
    }
}

impl fmt::Display for TableChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.insert, "to insert"),
            (self.update, "to update"),
            (self.delete, "to delete"),
            (self.merge, "to merge into both"),
        ];
        let counts: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        write!(f, "{}: {} ({}", self.table, counts.join(", "), self.keys.join(", "))?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meet { wait, .. } => {
                write!(f, "wait up to {wait} s until the other node takes part")
            }
            Self::TakeUp { .. } => f.write_str("take the role that the other node has handed over"),
            Self::RefuseWrites { .. } => {
                f.write_str("set the write guard: it refuses the application's writes")
            }
            Self::AwaitCaughtUp { at_most } => {
                write!(f, "wait up to {at_most} s until the other node has applied everything")
            }
            Self::HandOver => f.write_str("hand over the role"),
            Self::CatchUp => {
                f.write_str("wait until the primary refuses writes, apply everything that it wrote")
            }
            Self::AwaitHandOver => f.write_str("wait until the primary hands over the role"),
        }
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
}
