//! The results of a rehearsal's parts, and whether the next part makes sense.

use crate::domain::rehearsal::check::Check;
use crate::domain::rehearsal::report::Seconds;
use crate::domain::rehearsal::tables::TableLine;

/// Returns whether the next part makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    On,
    NoFurther,
}

/// What the parts found out.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The checks.
    pub checks: Vec<Check>,
    /// How long the parts took.
    pub seconds: Seconds,
    /// How long writes and the applier of the running database had to wait.
    pub waited: Option<f64>,
    /// The tables of the product.
    pub tables: Vec<TableLine>,
}
