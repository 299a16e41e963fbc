//! Judges whether each running server writes its heartbeat row.

use super::Judge;
use crate::domain::health::{About, Limits, Severity};
use crate::domain::lag;
use crate::domain::pair::Role;

impl Judge<'_> {
    pub(super) fn heartbeats(&mut self, limits: Limits) {
        for role in [Role::Primary, Role::Secondary] {
            let Some(server) = self.snapshot.server(role) else { continue };
            let own = server.beat_of(self.snapshot.membership.pair.node(role).number);
            let by_event = own.map(|own| own.by_event).filter(|by_event| *by_event > 0);
            if let Some(ahead) = by_event.and_then(|by_event| lag::set_back(server.clock, by_event)) {
                self.find(
                    "clock-set-back",
                    About::HighAvailability,
                    Severity::Failed,
                    &format!("the clock of the {role} was set back, and its heartbeat waits for the old time"),
                    format!("its own heartbeat row is {:.0} s ahead of its clock", lag::seconds(ahead)),
                    "This check has made the heartbeat resume: run `pmp-ha verify` again. Check the time service of that machine.",
                );
                continue;
            }
            let age = by_event.map(|by_event| (server.clock - by_event) / 1_000_000);
            if age.is_some_and(|age| age <= i64::try_from(limits.heartbeat).unwrap_or(i64::MAX)) {
                continue;
            }
            if let (Some(uptime), Some(_)) = (server.uptime.filter(|uptime| *uptime <= limits.heartbeat), own)
            {
                self.find(
                    "just-started",
                    About::HighAvailability,
                    Severity::Unknown,
                    &format!(
                        "the database of the {role} has just started, and has not written its heartbeat yet"
                    ),
                    format!("it has run for {uptime} s"),
                    "Run `pmp-ha verify` again in a few seconds.",
                );
                continue;
            }
            let again =
                "Run `pmp-ha reconfigure` on the primary, then on the secondary: this restores missing rows.";
            let check = "Its event scheduler may be off, its disk full, or the server overloaded: check there, then run `pmp-ha stop` and `pmp-ha start`.";
            let (evidence, hint) = match age {
                Some(age) => (format!("its own heartbeat row is {age} s old"), check),
                None if own.is_none() => ("its own heartbeat row is missing".into(), again),
                None => ("it has never written a heartbeat row".into(), check),
            };
            self.find(
                "heartbeat-stopped",
                About::HighAvailability,
                Severity::Failed,
                &format!("the database of the {role} has stopped writing its heartbeat"),
                evidence,
                hint,
            );
        }
    }
}
