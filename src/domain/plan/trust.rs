//! A plan that comes back from a journal is input like any other.
//!
//! The journal may have been altered, or come from elsewhere. Whoever resumes the run acts on it, so it
//! must name nothing that a run on this home would not name.

use super::{CopyWay, Plan, Renewal, Step};
use crate::domain::traces::may_go;

/// The folders of a home that hold the tool's own files and the server's programs.
const OWN_FILES: &str = "replication";
const PROGRAMS: &str = "mysql/bin";

impl Plan {
    /// Returns what this plan names that no run on `home` would have named, if it does.
    #[must_use]
    pub fn stray(&self, home: &str) -> Option<String> {
        if self.point_of_no_return > self.steps.len() {
            return Some("its point of no return is behind its last step".into());
        }
        self.steps.iter().enumerate().find_map(|(index, step)| {
            let what = stray_of(step, home)?;
            Some(format!("step {} names {what}", index + 1))
        })
    }
}

fn stray_of(step: &Step, home: &str) -> Option<String> {
    let below = |path: &str, root: &str, folder: &str| {
        path.strip_prefix(root)
            .and_then(|rest| rest.strip_prefix('/')?.strip_prefix(folder)?.strip_prefix('/'))
            .is_some_and(is_name)
    };
    let file = |path: &str| {
        (!below(path, home, OWN_FILES)).then(|| format!("{path:?}, which is not in replication"))
    };
    let data = |name: &str| {
        (!(is_name(name) && name.starts_with("data")))
            .then(|| format!("{name:?}, which is no data directory"))
    };
    let tool = |way: &CopyWay, root: &str| match way {
        CopyWay::BackupTool { program } if !below(program, root, PROGRAMS) => {
            Some(format!("{program:?}, which is no program of the server"))
        }
        _ => None,
    };
    match step {
        Step::SaveRows { file: path, .. }
        | Step::FindExtra { file: path, .. }
        | Step::WritePack { pack: path, .. }
        | Step::Renew(Renewal::Offer { file: path, .. }) => file(path),
        Step::DropTraces { files } => files
            .iter()
            .find(|file| !may_go(file))
            .map(|file| format!("{file:?}, which is no file of pmp-ha")),
        Step::KeepOldData { name } | Step::SwapKept { name } | Step::DropKept { name } => data(name),
        Step::KeepHome { from, name, .. } => from.as_deref().and_then(data).or_else(|| data(name)),
        Step::CopyOnline { way, .. } | Step::SettleCopy { way, .. } => tool(way, home),
        Step::CopyLive { from, way, .. } => tool(way, from),
        _ => None,
    }
}

/// Whether it is a name in a folder, and no path.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Command, HomeIdentity};

    fn plan(step: Step) -> Plan {
        let home = HomeIdentity { path: "/opt/PMP".into(), device: 1, inode: 2 };
        Plan { command: Command::Pack, home, warnings: Vec::new(), steps: vec![step], point_of_no_return: 1 }
    }

    fn saves(file: &str) -> Step {
        Step::SaveRows { file: file.into(), now: true, applier_ran: false }
    }

    fn drops(name: &str) -> Step {
        Step::DropKept { name: name.into() }
    }

    fn copies(from: &str, program: &str) -> Step {
        let way = CopyWay::BackupTool { program: program.into() };
        Step::CopyLive { from: from.into(), way, files: 1, bytes: 1 }
    }

    #[test]
    fn what_a_run_names_itself_is_let_pass() {
        for step in [
            saves("/opt/PMP/replication/pmp-ha-old-rows.sql"),
            drops("data.before-x"),
            copies("/other", "/other/mysql/bin/mariadb-backup"),
            Step::SwapData,
        ] {
            assert_eq!(plan(step.clone()).stray("/opt/PMP"), None, "{step:?}");
        }
    }

    #[test]
    fn what_lies_elsewhere_is_not() {
        for step in [
            saves("/etc/passwd"),
            saves("/opt/PMP/replication/../conf/x"),
            saves("/opt/PMP/replication/"),
            drops("../../etc"),
            drops(".."),
            drops("bin"),
            drops("data/../../x"),
            Step::DropTraces { files: vec!["replication/HAPack.zip".into(), "conf/server.xml".into()] },
            copies("/other", "/tmp/mariadb-backup"),
            copies("/other", "/other/mysql/bin/../../../tmp/x"),
        ] {
            assert!(plan(step.clone()).stray("/opt/PMP").is_some(), "{step:?}");
        }
        let mut late = plan(Step::SwapData);
        late.point_of_no_return = 2;
        assert!(late.stray("/opt/PMP").is_some());
    }
}
