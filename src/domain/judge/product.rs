//! Judges whether Password Manager Pro itself answers. Neither status of the manual depends on it: both
//! speak of the databases.

use super::Judge;
use crate::domain::health::{About, Severity};
use crate::domain::pair::Role;
use crate::domain::snapshot::Observed;
use crate::domain::web::WebSeen;

impl Judge<'_> {
    pub(super) fn product(&mut self) {
        let snapshot = self.snapshot;
        if let Some(why) = snapshot.web.unknown_port.clone() {
            self.find(
                "pmp-port-unknown",
                About::HighAvailability,
                Severity::Warning,
                "cannot tell at which port Password Manager Pro answers here",
                why,
                "Correct conf/server.xml, or set product.watch_web_port = false.",
            );
        }
        for role in [Role::Primary, Role::Secondary] {
            let WebSeen::Silent { evidence, answered_before: true } =
                snapshot.web.of(role, snapshot.membership.role)
            else {
                continue;
            };
            let database = match snapshot.observed(role) {
                Observed::Seen(_) => "its database answers",
                Observed::NotSeen(_) => "its database does not answer either",
            };
            let host = &snapshot.membership.pair.node(role).host;
            self.find(
                "pmp-down",
                About::HighAvailability,
                Severity::Warning,
                &format!("Password Manager Pro does not answer on the {role} {host}"),
                format!("{evidence}; {database}"),
                "Start its service there: `/etc/init.d/pmp-service start`. Its folder logs says why it stopped.",
            );
        }
    }
}
