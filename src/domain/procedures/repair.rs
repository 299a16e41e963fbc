//! `repair`: the plan that makes a secondary equal to its primary again.
//!
//! A failed applier passes the conflict, and the primary's row replaces a conflicting one.
//! Afterwards nobody can tell what it passed, so every table is compared: nothing is skipped
//! blindly.

use super::checks;
use crate::domain::after_crash::is_of_a_torn_binlog;
use crate::domain::definitions::Named;
use crate::domain::errant::Errant;
use crate::domain::pair::Role;
use crate::domain::plan::{Command, HomeIdentity, Plan, Scope, Step, TableChange};
use crate::domain::refusal::Refusal;
use crate::domain::snapshot::{Receiver, ReplicaView};
use crate::domain::table::rows::tables_named;

/// What is read before any table is compared.
#[derive(Debug, Clone)]
pub struct Look {
    /// The role of this home.
    pub role: Role,
    /// Why the server here refuses the login, if it does.
    pub here: Option<String>,
    /// Why the primary's server refuses it, if it does.
    pub there: Option<String>,
    /// The replica side of the server here.
    pub replica: Option<ReplicaView>,
    /// The variable that makes sessions here read-only, if one does.
    pub read_only: Option<&'static str>,
    /// By whom all writes here are blocked, if they are.
    pub blocked: Option<String>,
}

/// The applier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applier {
    /// It runs.
    Runs,
    /// Somebody has stopped it or the receiver.
    Stopped,
    /// It stopped with this error number.
    Failed(u32),
}

impl Applier {
    /// As the replica status gives it.
    #[must_use]
    pub fn of(replica: &ReplicaView) -> Self {
        let (number, message) = &replica.applier_error;
        match (replica.applier_runs, *number) {
            // MySQL 5.6 stops at a statement that failed on the primary alone, and gives no number.
            (false, number) if number != 0 || !message.is_empty() => Self::Failed(number),
            (true, _) if replica.receiver != Receiver::Stopped => Self::Runs,
            _ => Self::Stopped,
        }
    }
}

/// The scene of `repair`.
#[derive(Debug, Clone)]
pub struct RepairScene {
    /// Returns the identity of the home.
    pub identity: HomeIdentity,
    /// The applier.
    pub applier: Applier,
    /// Whether an earlier repair was interrupted: nobody can tell what it passed.
    pub cut_off: bool,
    /// The tables that were compared.
    pub compared: Scope,
    /// Tables that are missing or have another structure, and the name under which they are kept.
    pub lacking: Vec<(String, Option<String>)>,
    /// Tables that the primary does not have, and the name under which they stay.
    pub extra: Vec<(String, String)>,
    /// What differs.
    pub changes: Vec<TableChange>,
    /// Views, triggers, routines and events to drop: those only here, and those that would fire.
    pub undefine: Vec<Named>,
    /// Those that are made as on the primary.
    pub define: Vec<Named>,
    /// Tables that are left as they are, and why.
    pub left_out: Vec<(String, String)>,
    /// The position in the local binlog up to which this run corrects errant writes, if any.
    pub put_right: Option<(String, u64)>,
    /// Audit rows that have not reached the primary, because its return channel is stopped.
    pub on_their_way: usize,
    /// Full path of the file that the old rows are saved in.
    pub file: String,
}

const WHAT: &str = "cannot repair";

/// What the errant writes in this node's binlog require.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The tables to compare.
    pub scope: Scope,
    /// Whether this comparison corrects all of them. It does not correct accounts, for example.
    pub by_rows: bool,
}

/// Judges the errant writes; `whole` if these are all.
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

/// The hint if replication cannot continue.
pub const NEW_PACK: &str =
    "Install a new pack: `pmp-ha pack` on the primary, `pmp-ha install-pack` on the secondary.";

/// Returns whether the applier may leave out what it stopped at.
///
/// It may if the statement cannot be executed here, and comparing everything afterwards has the same
/// result.
///
/// These are statements about definitions that need a table of a schema that is not replicated, or one that
/// is not as the statement expects it; transactions of XA of which the filter leaves nothing; and on `MySQL`
/// 5.6 a statement that failed on the primary, too.
#[must_use]
pub fn is_left_out(number: u32, message: &str) -> bool {
    match number {
        0 => message.contains("different errors on"),
        // ER_CANT_CREATE_TABLE, ER_TABLE_EXISTS_ERROR, ER_BAD_TABLE_ERROR, ER_NO_SUCH_TABLE,
        // ER_CANNOT_ADD_FOREIGN, ER_XAER_NOTA, ER_FK_CANNOT_OPEN_PARENT, ER_XA_REPLICATION_FILTERS
        1005 | 1050 | 1051 | 1146 | 1215 | 1397 | 1824 | 3898 => true,
        _ => false,
    }
}

/// The reason not to begin where rows of these tables are too long for a statement of `most` bytes.
#[must_use]
pub fn too_long(tables: &[String], most: u64) -> Refusal {
    let wanted = most.saturating_mul(4).next_multiple_of(1 << 20).min(1 << 30);
    Refusal::new(
        WHAT,
        format!(
            "a row to be corrected is longer than half of max_allowed_packet, which is {most} bytes: {}",
            tables.join(", ")
        ),
        format!(
            "Run `SET GLOBAL max_allowed_packet = {wanted}` on both nodes, and repair again. You can restore the old value afterwards."
        ),
    )
    .code("row-too-long")
}

/// Returns every reason not to begin.
#[must_use]
pub fn check(look: &Look) -> Vec<Refusal> {
    let mut out = Vec::new();
    if look.role == Role::Primary {
        out.push(
            Refusal::new(
                WHAT,
                "this home is the primary, whose rows are the right ones",
                "Run `pmp-ha repair` on the secondary: it makes the secondary equal to the primary.",
            )
            .code("is-primary"),
        );
        return out;
    }
    if let Some(why) = &look.here {
        out.push(
            Refusal::new(
                WHAT,
                format!("the database here refuses the login: {why}"),
                "Start it with `pmp-ha start`.",
            )
            .code("login-refused"),
        );
        return out;
    }
    match &look.replica {
        None => out.push(
            Refusal::new(WHAT, "the database here has no source to replicate from", NEW_PACK)
                .code("no-source"),
        ),
        Some(replica) if is_of_a_torn_binlog(&replica.receiver_error.1) => out.push(
            Refusal::new(
                WHAT,
                format!("the primary's binlog ends in the middle of an event: {}", replica.receiver_error.1),
                "Run `pmp-ha stop` and `pmp-ha start` on the primary, then here. Then repair again.",
            )
            .code("source-binlog-torn"),
        ),
        // MySQL 8 and later have a number of their own for the source's 1236.
        Some(replica) if matches!(replica.receiver_error.0, 1236 | 13114) => out.push(
            Refusal::new(
                WHAT,
                format!(
                    "the primary no longer has the binlog that is needed here: error {}: {}",
                    replica.receiver_error.0, replica.receiver_error.1
                ),
                NEW_PACK,
            )
            .code("source-binlog-gone"),
        ),
        Some(_) => {}
    }
    out.extend(checks::blocked(WHAT, look.blocked.as_ref()));
    if let Some(variable) = look.read_only {
        out.push(
            Refusal::new(
                WHAT,
                format!("this server allows only read-only transactions, even for its applier: {variable} is ON"),
                format!(
                    "Run `SET GLOBAL {variable} = OFF` here. Or run `pmp-ha stop` and `pmp-ha start`: the pair's option file turns it off."
                ),
            )
            .code("read-only-default"),
        );
    }
    if let Some(why) = &look.there {
        out.push(
            Refusal::new(
                WHAT,
                format!("cannot read the primary's database: {why}"),
                "Its rows are needed: run `pmp-ha repair` when it is reachable again.",
            )
            .code("cannot-ask-peer"),
        );
    }
    out
}

/// Returns the plan; `None` if there is nothing to repair.
#[must_use]
pub fn plan(scene: &RepairScene) -> Option<Plan> {
    let differs = !scene.lacking.is_empty()
        || !scene.changes.is_empty()
        || !scene.extra.is_empty()
        || !scene.undefine.is_empty()
        || !scene.define.is_empty();
    if scene.applier == Applier::Runs && !differs && scene.put_right.is_none() {
        return None;
    }
    let passing = matches!(scene.applier, Applier::Failed(_)) || !scene.lacking.is_empty();
    let scope = if passing || scene.applier == Applier::Stopped || scene.cut_off {
        Scope::Every
    } else {
        scene.compared.clone()
    };
    let mut steps = vec![Step::SaveRows {
        file: scene.file.clone(),
        now: scene.applier != Applier::Runs || passing,
        applier_ran: scene.applier == Applier::Runs,
    }];
    let set_aside =
        |(table, kept): &(String, String)| Step::SetAside { table: table.clone(), kept: kept.clone() };
    if !scene.undefine.is_empty() {
        steps.push(Step::Undefine { what: scene.undefine.clone() });
    }
    steps.extend(scene.extra.iter().map(set_aside));
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
    if !scene.define.is_empty() {
        steps.push(Step::Define { what: scene.define.clone() });
    }
    steps.push(Step::ProveEqual { scope, passing, put_right: scene.put_right.clone() });
    Some(Plan {
        command: Command::Repair,
        home: scene.identity.clone(),
        warnings: warnings(scene, passing),
        steps,
        // Before it nothing is changed; behind it the old rows stay in the file.
        point_of_no_return: 1,
    })
}

fn warnings(scene: &RepairScene, passing: bool) -> Vec<String> {
    let mut out = Vec::new();
    if passing {
        out.push("the applier passes conflicts until it has caught up; then every table is compared".into());
    }
    if scene.applier != Applier::Runs && !scene.changes.is_empty() {
        out.push(
            "rows that the applier has not reached yet differ too; it corrects them itself when it runs"
                .into(),
        );
    }
    if scene.changes.iter().any(|change| change.merge > 0) {
        out.push("audit rows that only the secondary has are sent to the primary again".into());
    }
    if scene.on_their_way > 0 {
        out.push(format!(
            "{} audit rows of this node have not reached the primary, because its return channel is stopped: they stay as they are; see `pmp-ha verify` on the primary",
            scene.on_their_way
        ));
    }
    for (table, why) in &scene.left_out {
        out.push(format!("{table} is left out: {why}"));
    }
    if !scene.changes.is_empty() {
        out.push("if a row differs, the primary's row wins; the old rows stay in the file".into());
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
            extra: vec![],
            changes: vec![],
            undefine: vec![],
            define: vec![],
            left_out: vec![],
            put_right: None,
            on_their_way: 0,
            file: "/x/replication/f.sql".into(),
        }
    }

    fn steps(scene: &RepairScene) -> Vec<String> {
        let plan = plan(scene).expect("a plan");
        plan.steps.iter().map(ToString::to_string).collect()
    }

    fn change() -> TableChange {
        TableChange { table: "a".into(), insert: 1, keys: vec!["7".into()], ..TableChange::default() }
    }

    #[test]
    fn only_what_comparing_puts_right_is_left_out() {
        let different = "Query caused different errors on master and slave. Error on slave: 'no error'";
        assert!(is_left_out(0, different) && is_left_out(3898, "") && is_left_out(1146, ""));
        // A full disk, a conflict of rows, an unknown reason, a stop by somebody.
        for (number, message) in [(1114, "full"), (1062, "Duplicate"), (9999, ""), (0, "")] {
            assert!(!is_left_out(number, message), "{number}");
        }
    }

    #[test]
    fn where_nothing_differs_and_the_applier_runs_there_is_nothing_to_repair() {
        assert_eq!(plan(&scene(Applier::Runs)), None);
    }

    #[test]
    fn a_conflict_is_passed_and_then_every_table_is_compared() {
        assert_eq!(
            steps(&scene(Applier::Failed(1062))),
            [
                "save the rows as they are in /x/replication/f.sql",
                "let the applier pass error 1062; the primary's row replaces a conflicting one",
                "make every table equal to the primary",
                "make the applier strict again, and compare every table until nothing differs",
            ]
        );
    }

    #[test]
    fn quiet_drift_passes_no_conflict_and_is_about_its_tables_alone() {
        let drift = RepairScene { changes: vec![change()], ..scene(Applier::Runs) };
        assert_eq!(
            steps(&drift)[1..],
            [
                "make a equal to the primary; the differences now:\n       a: 1 to insert (7)",
                "make the applier strict again, and compare a until nothing differs",
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
            "keep the table a as pmp_ha_local.a_kept, and create it again as it is on the primary"
        );
    }

    #[test]
    fn a_table_that_the_primary_does_not_have_is_moved_and_its_rows_stay() {
        let stray = RepairScene { extra: vec![("t".into(), "t_kept".into())], ..scene(Applier::Runs) };
        assert_eq!(
            steps(&stray),
            [
                "save the rows as they are in /x/replication/f.sql",
                "move the table t, which the primary does not have, to pmp_ha_local.t_kept",
                "make the applier strict again, and compare a until nothing differs",
            ]
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_named_and_stops_nothing() {
        let left_out = vec![("bad".to_owned(), "the secondary cannot read it".to_owned())];
        let bad = RepairScene { changes: vec![change()], left_out, ..scene(Applier::Runs) };
        let plan = plan(&bad).expect("a plan");
        assert!(plan.warnings.contains(&"bad is left out: the secondary cannot read it".to_owned()));
        assert_eq!(plan.steps.len(), 3);
    }

    #[test]
    fn the_primary_and_a_place_that_is_gone_are_refused() {
        let look = Look {
            role: Role::Primary,
            here: None,
            there: None,
            replica: None,
            read_only: None,
            blocked: None,
        };
        assert!(check(&look)[0].hint.contains("on the secondary"));
        let look = Look { role: Role::Secondary, there: Some("2003".into()), ..look };
        let refusals = check(&look);
        assert_eq!(refusals.len(), 2);
        assert_eq!(refusals[0].hint, NEW_PACK);
    }
}
