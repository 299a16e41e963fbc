//! Reads the relay logs of a primary from their files.
//!
//! A running server would show them as the secondary wants it to, because it uses lengths that the
//! secondary sends. A starting server may drop them.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::log_events::{begun, each};
use crate::adapters::home::Home;
use crate::adapters::home::remembered::returned::remembered_of;
use crate::adapters::system::{SMALL, read_text, read_text_itself};
use crate::domain::errant::{Event, FIRST_EVENT};
use crate::domain::pair::{Membership, Role};
use crate::domain::relay_log::number_of;
use crate::domain::returned::{Returned, mark_of};
use crate::domain::settings::RELAY_LOG;

/// How long a start of the database may wait for it.
const BUDGET: Duration = Duration::from_secs(2);

/// How often reading begins again, because files went away meanwhile, and how long after.
const TRIES: usize = 5;
const AGAIN: Duration = Duration::from_millis(60);

/// Continues reading before the database starts, from where the last look stopped. Returns what has to be
/// remembered, if anything: a server that starts may begin its relay logs again.
///
/// While a run is cut off, they may be those of the other role: they are read only if `own`.
///
/// # Errors
/// Relay logs that cannot be read, or an index that names something else.
pub fn before_a_start(home: &Home, membership: &Membership, own: bool) -> Result<Option<Returned>> {
    let options = read_text(&home.option_file(), SMALL)?;
    let keeps =
        options.lines().any(|line| line.trim_start().starts_with("relay-log-purge") && line.contains("OFF"));
    if membership.role != Role::Primary || !keeps {
        return Ok(None);
    }
    let mut reading = remembered_of(home, membership);
    if own {
        reading = read_on(home, membership, reading, Instant::now() + BUDGET)?;
    }
    reading.lets_go();
    Ok(Some(reading))
}

/// Continues a reading until `ends`. It is [`Returned::behind`] if that was too early.
pub(super) fn read_on(
    home: &Home,
    membership: &Membership,
    mut reading: Returned,
    ends: Instant,
) -> Result<Returned> {
    for _ in 0..TRIES {
        let read = read_once(home, membership, reading.clone(), ends)?;
        let noted = remembered_of(home, membership);
        if noted.turn != reading.turn {
            // They were let go meanwhile.
            reading = noted;
        } else if let Some(read) = read {
            return Ok(read);
        } else {
            std::thread::sleep(AGAIN);
        }
    }
    bail!("{} names a file that is not there", index_of(home).display())
}

/// Whether a file ends before its beginning is over.
fn is_torn(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(ErrorKind::UnexpectedEof)
}

fn index_of(home: &Home) -> PathBuf {
    home.data().join(format!("{RELAY_LOG}.index"))
}

/// Reads once; `None` if a file went away meanwhile.
fn read_once(
    home: &Home,
    membership: &Membership,
    mut reading: Returned,
    ends: Instant,
) -> Result<Option<Returned>> {
    let index = match read_text_itself(&index_of(home), SMALL) {
        Ok(index) => index,
        // It has no source yet.
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let mut files: Vec<&str> = Vec::new();
    for line in index.lines() {
        match line.rsplit('/').next().filter(|file| number_of(file).is_some()) {
            Some(file) => files.push(file),
            // A server that executes what it was sent may write into it.
            None => bail!("{} names something that is not a relay log", index_of(home).display()),
        }
    }
    let mut place_is_there = false;
    let known = reading.places().into_iter().find_map(|place| {
        let at = files.iter().position(|file| *file == place.file)?;
        match begun(&home.data().join(files[at])) {
            Ok(begun) if !place.may_lie_in(&begun) => return None,
            // A crash of the machine may leave nothing of a file but its name.
            Err(error) if !is_torn(&error) => return None,
            _ => {}
        }
        place_is_there = true;
        let is_it = |event: &Event| event.position == place.position && mark_of(event) == place.mark;
        let mut first = None;
        // ignored: a file that cannot be read is not the one that was
        let _ = each(&home.data().join(files[at]), place.position, ends, |event, _| {
            first.get_or_insert_with(|| is_it(event));
            false
        });
        (first == Some(true)).then_some((at, place))
    });
    let oldest = files.first().and_then(|file| number_of(file)).unwrap_or(0);
    match &known {
        Some((_, place)) => reading.continues_at(place),
        // A crash of the machine may have torn the end of a file.
        None if place_is_there => reading.begins_anew(),
        None => reading.lost_its_place(oldest),
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
            Err(_) if !path.exists() => return Ok(None),
            Err(error) if is_torn(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(reading))
}
