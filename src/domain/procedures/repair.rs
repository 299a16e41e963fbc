//! `repair`: from what the applier says and what differs to a secondary that is equal to its primary.
//!
//! An applier that has failed is let past the conflict, with the primary's row over whatever is in
//! the way. What it passes cannot be told afterwards, so every table is compared then: nothing is
//! skipped blindly.

use crate::domain::errant::Errant;
use crate::domain::pair::Role;
use crate::domain::plan::{Command, HomeIdentity, Plan, Scope, Step, TableChange};
use crate::domain::refusal::Refusal;
use crate::domain::rows::tables_named;
use crate::domain::snapshot::{Receiver, ReplicaView};

/// What is seen before any table is compared.
#[derive(Debug, Clone)]
pub struct Look {
    /// The role of this home.
    pub role: Role,
    /// Why the server here lets nobody in, if it does not.
    pub here: Option<String>,
    /// Why the primary's does not.
    pub there: Option<String>,
    /// The replica side of the server here.
    pub replica: Option<ReplicaView>,
}

/// The applier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applier {
    /// It runs.
    Runs,
    /// Somebody has stopped it, or the receiver.
    Stopped,
    /// It stopped at an error of this number.
    Failed(u32),
}

impl Applier {
    /// As the replica status gives it.
    #[must_use]
    pub fn of(replica: &ReplicaView) -> Self {
        match (replica.applier_runs, replica.applier_error.0) {
            (false, number) if number != 0 => Self::Failed(number),
            (true, _) if replica.receiver != Receiver::Stopped => Self::Runs,
            _ => Self::Stopped,
        }
    }
}

/// What `repair` looks at.
#[derive(Debug, Clone)]
pub struct RepairScene {
    /// Which home it is.
    pub identity: HomeIdentity,
    /// The applier.
    pub applier: Applier,
    /// Whether an earlier repair was cut off: what it let pass cannot be told.
    pub cut_off: bool,
    /// The tables that were compared.
    pub compared: Scope,
    /// Tables that are missing or made otherwise, and the name under which what is there stays.
    pub lacking: Vec<(String, Option<String>)>,
    /// What differs.
    pub changes: Vec<TableChange>,
    /// Those of the tables in which something is set off by writing to them.
    pub with_triggers: Vec<String>,
    /// The place in the binlog here before which writes against the rules are put right by a
    /// comparison of these tables, if there are any.
    pub put_right: Option<(String, u64)>,
    /// Audit rows of this node that still have to reach the primary, whose way back stands still.
    pub on_their_way: usize,
    /// Full path of the file that the old rows are saved in.
    pub file: String,
}

const WHAT: &str = "cannot repair";

/// What the writes against the rules in the binlog of this node ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The tables that have to be compared.
    pub scope: Scope,
    /// Whether such a comparison puts all of them right: it does not with accounts, for instance.
    pub by_rows: bool,
}

/// Judges the writes against the rules; `whole` when none but these were found.
#[must_use]
pub fn written(found: &[Errant], whole: bool, schema: &str) -> Written {
    let mut tables = Vec::new();
    let (mut every, mut by_rows) = (!whole, whole);
    for what in found.iter().map(|errant| errant.what.as_str()) {
        let named = tables_named(what, schema);
        if !named.is_empty() {
            tables.extend(named);
        } else if what.starts_with("a statement: ") {
            // It does not say its table.
            every = true;
            by_rows &= ["TABLE", "INSERT", "UPDATE", "DELETE", "REPLACE", "INDEX"]
                .iter()
                .any(|word| what.to_uppercase().contains(word));
        } else {
            by_rows = false;
        }
    }
    tables.sort_unstable();
    tables.dedup();
    Written { scope: if every { Scope::Every } else { Scope::Tables(tables) }, by_rows }
}

/// What to do where replication cannot go on.
pub const NEW_PACK: &str =
    "A new pack is due: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.";

/// Every reason not to begin.
#[must_use]
pub fn check(look: &Look) -> Vec<Refusal> {
    let mut out = Vec::new();
    if look.role == Role::Primary {
        out.push(Refusal::new(
            WHAT,
            "this home is the primary, and its rows are the ones that hold",
            "Run `pmp-ha repair` on the secondary: it makes the secondary equal to the primary.",
        ));
        return out;
    }
    if let Some(why) = &look.here {
        out.push(Refusal::new(
            WHAT,
            format!("the database here lets nobody in: {why}"),
            "Start it with `pmp-ha start`.",
        ));
        return out;
    }
    match &look.replica {
        None => out.push(Refusal::new(WHAT, "the database here has no source to replicate from", NEW_PACK)),
        // MySQL 8 and later have a number of their own for the source's 1236.
        Some(replica) if matches!(replica.receiver_error.0, 1236 | 13114) => out.push(Refusal::new(
            WHAT,
            format!(
                "the primary no longer has the binlog that is needed here: error {}: {}",
                replica.receiver_error.0, replica.receiver_error.1
            ),
            NEW_PACK,
        )),
        Some(_) => {}
    }
    if let Some(why) = &look.there {
        out.push(Refusal::new(
            WHAT,
            format!("the database of the primary cannot be read: {why}"),
            "The rows that hold are there: repair when it can be reached again.",
        ));
    }
    out
}

/// Decides; `None` when there is nothing to repair.
///
/// # Errors
/// Every precondition that does not hold.
pub fn plan(scene: &RepairScene) -> Result<Option<Plan>, Vec<Refusal>> {
    if !scene.with_triggers.is_empty() {
        return Err(vec![Refusal::new(
            WHAT,
            format!(
                "writing to {} sets triggers off, which would write more than the primary did",
                scene.with_triggers.join(", ")
            ),
            NEW_PACK,
        )]);
    }
    let differs = !scene.lacking.is_empty() || !scene.changes.is_empty();
    if scene.applier == Applier::Runs && !differs && scene.put_right.is_none() {
        return Ok(None);
    }
    let passing = matches!(scene.applier, Applier::Failed(_)) || !scene.lacking.is_empty();
    let scope = if passing || scene.applier == Applier::Stopped || scene.cut_off {
        Scope::Every
    } else {
        scene.compared.clone()
    };
    let mut steps =
        vec![Step::SaveRows { file: scene.file.clone(), now: scene.applier != Applier::Runs || passing }];
    steps.extend(
        scene
            .lacking
            .iter()
            .map(|(table, kept)| Step::MakeTable { table: table.clone(), kept: kept.clone() }),
    );
    match scene.applier {
        Applier::Failed(error) => steps.push(Step::PassConflicts { error }),
        _ if passing => steps.push(Step::PassConflicts { error: 0 }),
        Applier::Stopped => steps.push(Step::StartReplication),
        Applier::Runs => {}
    }
    if passing || !scene.changes.is_empty() {
        steps.push(Step::CorrectRows { scope: scope.clone(), passing, changes: scene.changes.clone() });
    }
    steps.push(Step::ProveEqual { scope, passing, put_right: scene.put_right.clone() });
    Ok(Some(Plan {
        command: Command::Repair,
        home: scene.identity.clone(),
        warnings: warnings(scene, passing),
        steps,
        // Before it nothing is changed; behind it the old rows stay in the file.
        point_of_no_return: 1,
    }))
}

fn warnings(scene: &RepairScene, passing: bool) -> Vec<String> {
    let mut out = Vec::new();
    if passing {
        out.push(
            "conflicts are passed until the applier has caught up, so that every table is compared afterwards"
                .into(),
        );
    }
    if scene.applier != Applier::Runs && !scene.changes.is_empty() {
        out.push(
            "what the applier has not reached yet differs, too: it brings that by itself when it runs".into(),
        );
    }
    if scene.changes.iter().any(|change| change.merge > 0) {
        out.push("audit rows that only the secondary has are sent to the primary once more".into());
    }
    if scene.on_their_way > 0 {
        out.push(format!(
            "{} audit rows of this node have not reached the primary, whose way back stands still: they are left as they are; see `pmp-ha verify` on the primary",
            scene.on_their_way
        ));
    }
    if !scene.changes.is_empty() {
        out.push("where a row differs, the primary's holds; the rows as they were stay in the file".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(applier: Applier) -> RepairScene {
        RepairScene {
            identity: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            applier,
            cut_off: false,
            compared: Scope::Tables(vec!["a".into()]),
            lacking: vec![],
            changes: vec![],
            with_triggers: vec![],
            put_right: None,
            on_their_way: 0,
            file: "/x/replication/f.sql".into(),
        }
    }

    fn steps(scene: &RepairScene) -> Vec<String> {
        let plan = plan(scene).expect("no refusal").expect("a plan");
        plan.steps.iter().map(ToString::to_string).collect()
    }

    fn change() -> TableChange {
        TableChange { table: "a".into(), insert: 1, keys: vec!["7".into()], ..TableChange::default() }
    }

    #[test]
    fn where_nothing_differs_and_the_applier_runs_there_is_nothing_to_repair() {
        assert_eq!(plan(&scene(Applier::Runs)), Ok(None));
    }

    #[test]
    fn a_conflict_is_passed_and_then_every_table_is_compared() {
        assert_eq!(
            steps(&scene(Applier::Failed(1062))),
            [
                "save the rows as they are in /x/replication/f.sql",
                "let the applier pass error 1062, the primary's row over whatever is in the way",
                "make equal to the primary what differs in every table",
                "let the applier be strict again, and compare every table until nothing differs",
            ]
        );
    }

    #[test]
    fn quiet_drift_passes_no_conflict_and_is_about_its_tables_alone() {
        let drift = RepairScene { changes: vec![change()], ..scene(Applier::Runs) };
        assert_eq!(
            steps(&drift)[1..],
            [
                "make equal to the primary what differs in a; at this moment:\n       a: 1 to insert (7)",
                "let the applier be strict again, and compare a until nothing differs",
            ]
        );
        let after_a_cut = RepairScene { cut_off: true, ..drift };
        assert!(steps(&after_a_cut)[2].contains("compare every table"));
    }

    #[test]
    fn a_write_against_the_rules_names_its_table_or_asks_for_every_table() {
        let errant = |what: &str| Errant { file: "f".into(), position: 4, what: what.into() };
        let rows = written(
            &[errant("rows of passtrix.a"), errant("rows of passtrix.a were changed")],
            true,
            "passtrix",
        );
        assert_eq!(rows, Written { scope: Scope::Tables(vec!["a".into()]), by_rows: true });
        let statement = written(&[errant("a statement: DROP TABLE …")], true, "passtrix");
        assert_eq!(statement, Written { scope: Scope::Every, by_rows: true });
        assert!(!written(&[errant("a statement: CREATE USER …")], true, "passtrix").by_rows);
        assert!(!written(&[errant("rows of mysql.user")], true, "passtrix").by_rows);
        assert!(!written(&[], false, "passtrix").by_rows);
    }

    #[test]
    fn a_table_that_is_made_otherwise_is_kept_aside() {
        let other =
            RepairScene { lacking: vec![("a".into(), Some("a_kept".into()))], ..scene(Applier::Runs) };
        assert_eq!(
            steps(&other)[1],
            "keep the table a as pmp_ha_local.a_kept, and make it anew as it is on the primary"
        );
    }

    #[test]
    fn the_primary_and_a_place_that_is_gone_are_refused() {
        let look = Look { role: Role::Primary, here: None, there: None, replica: None };
        assert!(check(&look)[0].hint.contains("on the secondary"));
        let look = Look { role: Role::Secondary, there: Some("2003".into()), ..look };
        let refusals = check(&look);
        assert_eq!(refusals.len(), 2);
        assert_eq!(refusals[0].hint, NEW_PACK);
    }
}
