//! The next right step, from what was seen.

use super::report::{DoctorPoint, DoctorReport, DoctorTopic, Grade};
use super::scene::DoctorScene;
use crate::domain::pair::Role;

/// Returns what to do next, a sentence.
#[must_use]
pub fn next_step(scene: &DoctorScene, points: &[DoctorPoint]) -> String {
    let in_a_pair = scene.home.membership.is_some();
    let of_the_pair_only =
        points.iter().filter(|p| p.grade == Grade::Failed).all(|p| p.topic == DoctorTopic::Pair);
    let without_secondary = points.iter().any(|p| p.code == Some("secondary-not-connected"));
    let step = if scene.cut_off.is_some() {
        "run `pmp-ha resume`"
    } else if without_secondary && of_the_pair_only && scene.pack_waits {
        "start the secondary; if it was never set up, put replication/HAPack.zip into its home and run `pmp-ha install-pack` there"
    } else if !DoctorReport::is_healthy(points) {
        "fix what failed, as its hint says, and run `pmp-ha doctor` again"
    } else {
        match (in_a_pair, scene.role(), scene.runs()) {
            (false, Role::Primary, true) => {
                "stop Password Manager Pro and run `pmp-ha stop`; then `pmp-ha pack PRIMARY SECONDARY`"
            }
            (false, Role::Primary, false) => "run `pmp-ha pack PRIMARY SECONDARY`",
            (false, Role::Secondary, _) if scene.pack_waits => "run `pmp-ha install-pack`",
            (false, Role::Secondary, _) => {
                "run `pmp-ha pack` on the primary, and put HAPack.zip into this home"
            }
            (true, _, false) => "run `pmp-ha start`",
            (true, _, true) => "nothing; `pmp-ha monitor` watches the pair",
        }
    };
    step.to_owned()
}
