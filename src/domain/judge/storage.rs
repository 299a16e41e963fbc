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
                format!("the journal of `pmp-ha {command}` is open, and nothing works on it"),
                "Run `pmp-ha resume` here: it finishes the run, or puts everything back.",
            );
        }
        if let Some(path) = self.snapshot.own_options.clone() {
            self.find(
                "own-options-changed",
                About::Replication,
                Severity::Warning,
                "the installation's own option file has changed",
                format!("{path} is not what `pmp-ha start` took in last"),
                "Run `pmp-ha stop` and `pmp-ha start` here. Then `pmp-ha verify` tells what of the pair's settings is not in effect.",
            );
        }
        for role in [Role::Primary, Role::Secondary] {
            let server = self.snapshot.server(role);
            let Some(account) = server.and_then(|server| server.lets_everybody_in.clone()) else { continue };
            self.find(
                "everybody-let-in",
                About::HighAvailability,
                Severity::Failed,
                &format!("the server of the {role} lets everybody in, whoever they say they are"),
                format!("it took the login of pmp-ha for {account}, as with skip-grant-tables"),
                "Take skip-grant-tables out of bin/startDB.sh and of the option files there. Then run `pmp-ha stop` and `pmp-ha start` there. `FLUSH PRIVILEGES` closes the door at once.",
            );
        }
        if self.snapshot.server(Role::Secondary).is_some_and(|server| server.compare_due) {
            self.find(
                "compare-due",
                About::Replication,
                Severity::Warning,
                "the secondary may lack audit rows of the secondary that was there before",
                "its pack was made while that one worked on, and its data were not compared since".into(),
                "Run `pmp-ha repair` on the secondary: it brings what is missing.",
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
                "the two servers compare the names of tables by different rules",
                format!("{NAMES} is {primary} on the primary, and {secondary} on the secondary"),
                "Give both the same value, in bin/startDB.sh or in the option file that it names, and restart.",
            );
        }
        for role in [Role::Primary, Role::Secondary] {
            let prepared = self.snapshot.server(role).map_or(0, |server| server.prepared);
            if prepared > 0 {
                self.find(
                    "prepared-transaction",
                    About::Replication,
                    Severity::Warning,
                    &format!("on the {role}, a prepared transaction waits and holds its locks"),
                    format!("{prepared} without a session, for more than 30 s"),
                    "List them with `XA RECOVER`. End each one on the primary with `XA COMMIT` or `XA ROLLBACK`, and on the secondary too if it stays there.",
                );
            }
        }
    }
}
