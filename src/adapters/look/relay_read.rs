//! Reads the files of a primary's relay logs, without asking its server.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::log_events::each;
use crate::adapters::home::Home;
use crate::adapters::system::{SMALL, read_text};
use crate::domain::errant::{Event, FIRST_EVENT};
use crate::domain::pair::Membership;
use crate::domain::returned::{Returned, mark_of};
use crate::domain::settings::RELAY_LOG;

/// Continues reading where `reading` ended, for so long.
pub(super) fn read_on(
    home: &Home,
    membership: &Membership,
    mut reading: Returned,
    budget: Duration,
) -> Result<Returned> {
    let ends = Instant::now() + budget;
    let index = read_text(&home.data().join(format!("{RELAY_LOG}.index")), SMALL)?;
    let files: Vec<&str> = index.lines().filter_map(|line| line.rsplit('/').next()).collect();
    let known = reading.places().into_iter().find_map(|place| {
        let at = files.iter().position(|file| *file == place.file)?;
        let is_it = |event: &Event| mark_of(event) == place.mark;
        let mut first = None;
        // ignored: a file that cannot be read is not the one that was
        let _ = each(&home.data().join(files[at]), place.position, ends, |event, _| {
            first.get_or_insert_with(|| is_it(event));
            false
        });
        (first == Some(true)).then_some((at, place))
    });
    match &known {
        Some((_, place)) => reading.continues_at(place),
        None => reading.begins_anew(),
    }
    let (first, from) = known.as_ref().map_or((0, FIRST_EVENT), |(at, place)| (*at, place.position));
    reading.behind = false;
    for (number, file) in files.iter().enumerate().skip(first) {
        let from = if number == first { from } else { FIRST_EVENT };
        let mut is_known = number == first && known.is_some();
        let read = each(&home.data().join(file), from, ends, |event, _| {
            if !std::mem::take(&mut is_known) {
                reading.take(file, event, &membership.pair);
            }
            true
        });
        // What was read so far counts. A file that is not there, or is none, has nothing to read.
        match read {
            Ok(true) => {}
            Ok(false) => {
                reading.behind = true;
                break;
            }
            Err(_) => break,
        }
    }
    Ok(reading)
}
