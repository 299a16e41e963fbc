//! Reads the relay logs of a primary whose server does not run: it may drop them when it starts.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::returned;
use crate::adapters::home::Home;
use crate::adapters::system::{SMALL, open_regular, read_text};
use crate::domain::errant::{Event, FIRST_EVENT};
use crate::domain::pair::{Membership, Role};
use crate::domain::relay_log::{BODY, HEADER, Header, MAGIC};
use crate::domain::returned::mark_of;
use crate::domain::settings::RELAY_LOG;

/// How long a start of the database may wait for it.
const BUDGET: Duration = Duration::from_secs(2);

/// Among how many events at the beginning of a file the formats of both servers are.
const FORMATS: usize = 4;

/// Reads on from where the last look stopped, and remembers it.
pub fn note(home: &Home, membership: &Membership) -> Result<()> {
    let options = read_text(&home.option_file(), SMALL)?;
    let keeps =
        options.lines().any(|line| line.trim_start().starts_with("relay-log-purge") && line.contains("OFF"));
    if membership.role != Role::Primary || !keeps {
        return Ok(());
    }
    let begun = Instant::now();
    let mut reading = returned::remembered_of(home, membership);
    let before = reading.clone();
    let index = read_text(&home.data().join(format!("{RELAY_LOG}.index")), SMALL)?;
    let files: Vec<&str> = index.lines().filter_map(|line| line.rsplit('/').next()).collect();
    let known = reading.places().into_iter().find_map(|place| {
        let at = files.iter().position(|file| *file == place.file)?;
        let is_it = |event: &Event| mark_of(event) == place.mark;
        let mut first = None;
        // ignored: a file that cannot be read is not the one that was
        let _ = each(&home.data().join(files[at]), place.position, begun, |event| {
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
        let read = each(&home.data().join(file), from, begun, |event| {
            if !std::mem::take(&mut is_known) {
                reading.take(file, event, &membership.pair);
            }
            true
        });
        if read.is_err() {
            // What was read so far counts.
            reading.behind = true;
            break;
        }
    }
    if reading != before {
        returned::store(home, &reading)?;
    }
    Ok(())
}

/// Gives each whole event of a file from a place on, until nobody wants more.
fn each(path: &Path, from: u64, begun: Instant, mut takes: impl FnMut(&Event) -> bool) -> Result<()> {
    let mut file = open_regular(path)?;
    let size = file.metadata()?.len();
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        bail!("{} is no relay log", path.display());
    }
    let (mut position, mut checksums, mut seen) = (FIRST_EVENT, false, 0);
    while position + HEADER as u64 <= size {
        if begun.elapsed() > BUDGET {
            bail!("not done in time");
        }
        file.seek(SeekFrom::Start(position))?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header)?;
        let Some(header) = Header::read(&header) else { return Ok(()) };
        let length = u64::from(header.length);
        if position + length > size {
            return Ok(());
        }
        let mut body = vec![0; BODY.min(usize::try_from(length)? - HEADER)];
        file.read_exact(&mut body)?;
        checksums = header.checksums(&body).unwrap_or(checksums);
        if position >= from && !takes(&header.event(position, &body, checksums)) {
            return Ok(());
        }
        position += length;
        seen += 1;
        if seen == FORMATS {
            position = position.max(from);
        }
    }
    Ok(())
}
