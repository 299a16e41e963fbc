//! Judges whether commits on the primary wait for the secondary, if that is configured.

use super::Judge;
use crate::domain::flavor::Flavor;
use crate::domain::health::{About, Severity};
use crate::domain::pair::Role;
use crate::domain::snapshot::{SemiSyncView, ServerView};

impl Judge<'_> {
    pub(super) fn semi_sync(&mut self) {
        for role in [Role::Primary, Role::Secondary] {
            let Some(server) = self.snapshot.server(role).cloned() else { continue };
            match server.semi_sync {
                Some(SemiSyncView::Absent) => self.no_semi_sync(role, &server),
                // The secondary's own commits are the audit rows, which wait for nobody.
                Some(SemiSyncView::Present { on: false, replicas, not_awaited }) if role == Role::Primary => {
                    self.semi_sync_off(&server, replicas, not_awaited);
                }
                Some(SemiSyncView::Present { .. }) | None => {}
            }
        }
    }

    fn no_semi_sync(&mut self, role: Role, server: &ServerView) {
        let flavor = Flavor::of(&server.version);
        if let Some(flavor) = flavor.filter(|flavor| !flavor.has_semi_sync()) {
            self.find(
                "semi-sync-unavailable",
                About::HighAvailability,
                Severity::Warning,
                &format!("semi_sync is configured, but {} does not have it: no commit waits", flavor.name),
                format!("the server of the {role} is {}", server.version),
                "Set replication.semi_sync = false.",
            );
            return;
        }
        let files: Vec<&str> = flavor
            .map(|flavor| flavor.semi_sync_plugins().iter().map(|(_, file)| *file).collect())
            .unwrap_or_default();
        let folder = server.variables.get("plugin_dir").map(String::as_str).unwrap_or_default();
        self.find(
            "semi-sync-unavailable",
            About::HighAvailability,
            Severity::Warning,
            &format!("semi_sync is configured, but the server of the {role} runs without it"),
            format!("it did not load {} from {folder}", files.join(" and ")),
            "Run `pmp-ha stop` and `pmp-ha start` there. If that does not help, the server does not include these files: set replication.semi_sync = false.",
        );
    }

    fn semi_sync_off(&mut self, server: &ServerView, replicas: u64, not_awaited: u64) {
        let Some(flavor) = Flavor::of(&server.version) else { return };
        let hint = if replicas == 0 && !server.replicas_connected.is_empty() {
            "The secondary is connected but does not take part: set replication.semi_sync = true in its conf/pmp-ha.toml too, and run `pmp-ha reconfigure` there."
        } else {
            "It resumes by itself when the secondary is connected and has caught up."
        };
        self.find(
            "semi-sync-off",
            About::HighAvailability,
            Severity::Warning,
            "commits on the primary do not wait for the secondary, although semi_sync is configured",
            format!(
                "{} is OFF, {} is {replicas}, {} is {not_awaited}",
                flavor.option("Rpl_semi_sync_source_status"),
                flavor.option("Rpl_semi_sync_source_clients"),
                flavor.option("Rpl_semi_sync_source_no_tx")
            ),
            hint,
        );
    }
}
