//! Reads the relay logs of a primary whose server does not run: it may drop them when it starts.

use std::time::Duration;

use anyhow::Result;

use super::{relay_read, returned};
use crate::adapters::home::Home;
use crate::adapters::system::{SMALL, read_text};
use crate::domain::pair::{Membership, Role};

/// How long a start of the database may wait for it.
const BUDGET: Duration = Duration::from_secs(2);

/// Reads on from where the last look stopped, and remembers it.
pub fn note(home: &Home, membership: &Membership) -> Result<()> {
    let options = read_text(&home.option_file(), SMALL)?;
    let keeps =
        options.lines().any(|line| line.trim_start().starts_with("relay-log-purge") && line.contains("OFF"));
    if membership.role != Role::Primary || !keeps {
        return Ok(());
    }
    let before = returned::remembered_of(home, membership);
    let reading = relay_read::read_on(home, membership, before.clone(), BUDGET)?;
    if reading != before {
        returned::store(home, &reading)?;
    }
    Ok(())
}
