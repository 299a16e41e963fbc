//! Reads the relay logs of a primary from their files. The server that runs would show them as the secondary wants
//! it to: it goes by lengths that the secondary sends. One that starts may drop them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::log_events::{begun, each};
use super::returned_notes::{remembered_of, store};
use crate::adapters::home::Home;
use crate::adapters::system::{SMALL, read_text};
use crate::domain::errant::{Event, FIRST_EVENT};
use crate::domain::pair::{Membership, Role};
use crate::domain::returned::{Returned, mark_of};
use crate::domain::settings::RELAY_LOG;

/// How long a start of the database may wait for it.
const BUDGET: Duration = Duration::from_secs(2);

/// Reads on before the database starts, from where the last look stopped, and remembers it.
pub fn note(home: &Home, membership: &Membership) -> Result<()> {
    let options = read_text(&home.option_file(), SMALL)?;
    let keeps =
        options.lines().any(|line| line.trim_start().starts_with("relay-log-purge") && line.contains("OFF"));
    if membership.role != Role::Primary || !keeps {
        return Ok(());
    }
    let before = remembered_of(home, membership);
    let reading = read_on(home, membership, before.clone(), Instant::now() + BUDGET)?;
    if reading != before {
        store(home, &reading)?;
    }
    Ok(())
}

/// Continues a reading until `ends`. It is [`Returned::behind`] if that was too early.
pub(super) fn read_on(
    home: &Home,
    membership: &Membership,
    mut reading: Returned,
    ends: Instant,
) -> Result<Returned> {
    let index = match read_text(&home.data().join(format!("{RELAY_LOG}.index")), SMALL) {
        Ok(index) => index,
        // It has no source yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(reading),
        Err(error) => return Err(error.into()),
    };
    let files: Vec<&str> = index.lines().filter_map(|line| line.rsplit('/').next()).collect();
    let known = reading.places().into_iter().find_map(|place| {
        let at = files.iter().position(|file| *file == place.file)?;
        // ignored: a file that cannot be read is not the one that was
        let begun = begun(&home.data().join(files[at])).ok()?;
        if !place.may_lie_in(&begun) {
            return None;
        }
        let is_it = |event: &Event| event.position == place.position && mark_of(event) == place.mark;
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
        let path = home.data().join(file);
        let read = begun(&path).and_then(|begun| {
            let read = each(&path, from, ends, |event, _| {
                if !std::mem::take(&mut is_known) {
                    reading.take(file, event, &membership.pair);
                }
                true
            });
            reading.lies_in(file, &begun);
            read
        });
        match read {
            Ok(true) => {}
            Ok(false) => {
                reading.behind = true;
                break;
            }
            // The server has dropped it since.
            Err(_) if !path.exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reading)
}
