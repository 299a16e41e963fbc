//! A rehearsal of the recovery, as values: what was checked, what was found, how long it took.

pub mod check;
pub mod checks;
pub mod report;
pub mod tables;
