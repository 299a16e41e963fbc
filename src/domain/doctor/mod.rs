//! `doctor`: what was seen of an installation, with or without a pair, and what is wrong with it.

mod advice;
mod disk;
mod machine;
mod next;
mod numbers;
mod pair;
pub mod program;
pub mod report;
pub mod scene;
pub mod tfa;

use self::advice::Points;
pub use self::next::next_step;
use self::report::DoctorPoint;
use self::scene::DoctorScene;

/// Returns the results by topic: what works, what is wrong, and what is unknown.
#[must_use]
pub fn diagnose(scene: &DoctorScene) -> Vec<DoctorPoint> {
    let mut points = Points::default();
    points.home(scene);
    points.server(scene);
    points.names(scene);
    points.peer(scene);
    points.clocks(scene);
    points.disk(scene);
    points.rights(scene);
    points.limits(scene);
    points.certificates(scene);
    points.key(scene);
    points.tfa(scene);
    points.numbers(scene);
    points.pair(scene);
    points.sorted()
}

#[cfg(test)]
mod tests;
