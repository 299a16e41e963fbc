//! The points of the pair: the findings of `verify`.

use super::advice::Points;
use super::report::{DoctorTopic, Grade};
use super::scene::DoctorScene;
use crate::domain::health::{Severity, Status};
use crate::domain::judge::judge;

impl Points {
    pub(super) fn pair(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::Pair;
        if scene.home.membership.is_none() {
            return;
        }
        let Some((snapshot, limits)) = &scene.pair else {
            self.found(
                (topic, Grade::Note, "pair-not-looked-at"),
                "the pair was not checked",
                "the database does not run here",
                "Run `pmp-ha start`, then `pmp-ha verify`.",
            );
            return;
        };
        let health = judge(snapshot, *limits);
        for (name, status) in
            [("High Availability", health.high_availability), ("Replication", health.replication)]
        {
            if status == Status::Alive {
                self.ok(topic, format!("{name} Status: {status}"));
            }
        }
        for finding in health.findings {
            let grade = match finding.severity {
                Severity::Failed => Grade::Failed,
                Severity::Unknown => Grade::Unknown,
                Severity::Warning => Grade::Warning,
                Severity::Note => Grade::Note,
            };
            self.found((topic, grade, finding.code), finding.what, finding.evidence, finding.hint);
        }
    }
}
