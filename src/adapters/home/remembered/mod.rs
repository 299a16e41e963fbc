//! What a home remembers of its looks at the pair, so that the next look continues there.
//!
//! The looks read it, and change nothing. The commands store it.

pub mod errant;
pub mod returned;
pub mod tfa;
pub mod web;

use super::Home;
use crate::domain::snapshot::Snapshot;

/// Remembers in `home` what the next look continues from. An account that may only look remembers nothing.
pub fn remember(home: &Home, seen: &Snapshot) {
    errant::remember(home, seen);
    returned::remember(home, seen);
    // ignored: the next look finds the same, and says again that nothing was noted at the start
    let _ = tfa::remember(home, &seen.tfa);
    // ignored: the next look that sees it answer remembers it
    let _ = web::remember(home, seen);
}
