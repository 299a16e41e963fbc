//! Judges what the secondary has sent to a primary whose server cannot limit what it executes.

use super::{Judge, shown};
use crate::domain::health::{About, Severity};
use crate::domain::pair::Role;

impl Judge<'_> {
    pub(super) fn returned_writes(&mut self) {
        let primary = self.snapshot.server(Role::Primary);
        let returned = match primary.and_then(|server| server.returned.clone()) {
            None => return,
            Some(Ok(returned)) => returned,
            Some(Err(why)) => {
                self.find(
                    "back-not-checked",
                    About::Replication,
                    Severity::Unknown,
                    "cannot check what the secondary has sent to the primary",
                    why,
                    "See the other findings. pmp-ha reads the primary's relay logs with the monitor account.",
                );
                return;
            }
        };
        if returned.reading.total > 0 {
            self.find(
                "back-foreign-write",
                About::Replication,
                Severity::Failed,
                "the secondary sent something that is not a new audit row, and the primary may have executed it",
                format!(
                    "of the primary's relay logs: {}",
                    shown(&returned.reading.found, returned.reading.total)
                ),
                "Find out who did it, and check these tables on the primary, because no other node has the right rows. Restore from a backup what was changed. Then run `pmp-ha repair --return-channel` on the primary: it marks this as seen.",
            );
        }
        if returned.more {
            self.find(
                "back-not-checked",
                About::Replication,
                Severity::Unknown,
                "not everything that the secondary has sent to the primary has been checked yet",
                format!("its relay logs were read up to {}", returned.reading.place.file),
                "Run `pmp-ha verify` again: it resumes where it stopped.",
            );
        }
    }
}
