//! What a server's own options make of names, and what was left open inside it.

use super::Judge;
use crate::domain::health::{About, Severity};
use crate::domain::pair::Role;

/// The rule by which a server compares the names of tables.
const NAMES: &str = "lower_case_table_names";

impl Judge<'_> {
    /// Judges whether both servers take names alike, and whether a transaction was left open.
    pub(super) fn storage(&mut self) {
        if let Some(command) = self.snapshot.open_run.clone() {
            self.find(
                "run-left-open",
                About::HighAvailability,
                Severity::Warning,
                "a run on this home was interrupted",
                format!("the journal of `pmp-ha {command}` is open, and no pmp-ha is working on this home"),
                "Run `pmp-ha resume` here: it finishes the run, or puts everything back.",
            );
        }
        if let Some(path) = self.snapshot.own_options.clone() {
            self.find(
                "own-options-changed",
                About::Replication,
                Severity::Warning,
                "the installation's own option file has changed",
                format!("{path} has changed since `pmp-ha start` last read it"),
                "Run `pmp-ha stop` and `pmp-ha start` here. Then `pmp-ha verify` shows which settings of the pair are not in effect.",
            );
        }
        for role in [Role::Primary, Role::Secondary] {
            let server = self.snapshot.server(role);
            let Some(account) = server.and_then(|server| server.lets_everybody_in.clone()) else { continue };
            self.find(
                "everybody-let-in",
                About::HighAvailability,
                Severity::Failed,
                &format!("the server of the {role} accepts every login without a password"),
                format!("it treated the login of pmp-ha as {account}, as with skip-grant-tables"),
                "Remove skip-grant-tables from bin/startDB.sh and from the option files there. Then run `pmp-ha stop` and `pmp-ha start` there. `FLUSH PRIVILEGES` has the same effect at once.",
            );
        }
        for role in [Role::Primary, Role::Secondary] {
            let Some(server) = self.snapshot.server(role).filter(|server| !server.left_out.is_empty()) else {
                continue;
            };
            let options = server.left_out.join(", ");
            self.find(
                "changes-left-out",
                About::Replication,
                Severity::Failed,
                &format!("an option of the {role}'s installation leaves changes out of the replication"),
                options,
                "Remove the option from bin/startDB.sh, or from the option file that it names. Then run `pmp-ha stop` and `pmp-ha start` there, and `pmp-ha repair` on the secondary.",
            );
        }
        if self.snapshot.server(Role::Secondary).is_some_and(|server| server.compare_due) {
            self.find(
                "compare-due",
                About::Replication,
                Severity::Warning,
                "the secondary may lack audit rows of the former secondary",
                "its pack was made while the former secondary still worked, and its data have not been compared since".into(),
                "Run `pmp-ha repair` on the secondary: it copies what is missing.",
            );
        }
        let of = |role| self.snapshot.server(role).and_then(|server| server.variables.get(NAMES));
        if let (Some(primary), Some(secondary)) = (of(Role::Primary), of(Role::Secondary))
            && primary != secondary
        {
            self.find(
                "names-differ",
                About::Replication,
                Severity::Failed,
                "the two servers compare table names by different rules",
                format!("{NAMES} is {primary} on the primary, and {secondary} on the secondary"),
                "Set the same value on both, in bin/startDB.sh or in the option file that it names, and restart.",
            );
        }
        for role in [Role::Primary, Role::Secondary] {
            let prepared = self.snapshot.server(role).map_or(0, |server| server.prepared);
            if prepared > 0 {
                self.find(
                    "prepared-transaction",
                    About::Replication,
                    Severity::Warning,
                    &format!("on the {role}, a prepared transaction waits and keeps its locks"),
                    format!("{prepared} without a session, for more than 30 s"),
                    "List them with `XA RECOVER`. End each one on the primary with `XA COMMIT` or `XA ROLLBACK`, and on the secondary too if it stays there.",
                );
            }
        }
    }
}
