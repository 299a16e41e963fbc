//! Reads events from the files of binlogs and relay logs, without asking the server.
//!
//! A server shows no event that is larger than `max_allowed_packet` of whoever asks, and applies it all the same.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::adapters::system::open_regular;
use crate::domain::errant::{Event, FIRST_EVENT};
use crate::domain::relay_log::{BODY, HEADER, Header, MAGIC};

/// Among how many events at the beginning of a file the formats of both servers are.
const FORMATS: usize = 4;

/// How long the reading of one event may take.
const ONE: Duration = Duration::from_secs(1);

/// The whole event that begins at a place of a file, and where the next one begins; `None` if there is none: the
/// file ends there, or in the middle of it.
pub(super) fn whole(path: &Path, from: u64) -> Result<Option<(Event, u64)>> {
    let mut first = None;
    each(path, from, Instant::now() + ONE, |event, next| {
        first = Some((event.clone(), next));
        false
    })?;
    Ok(first.filter(|(event, _)| event.position == from))
}

/// Gives each whole event of a file from a place on, until nobody wants more. Returns false if the time was
/// over before that.
///
/// `takes` also gets where the next event begins, in bytes.
pub(super) fn each(
    path: &Path,
    from: u64,
    ends: Instant,
    mut takes: impl FnMut(&Event, u64) -> bool,
) -> Result<bool> {
    let mut file = open_regular(path)?;
    let size = file.metadata()?.len();
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        bail!("{} is no log of a server", path.display());
    }
    let (mut position, mut checksums, mut seen) = (FIRST_EVENT, false, 0);
    while position + HEADER as u64 <= size {
        if Instant::now() > ends {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(position))?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header)?;
        let Some(header) = Header::read(&header) else { return Ok(true) };
        let length = u64::from(header.length);
        if position + length > size {
            return Ok(true);
        }
        let mut body = vec![0; BODY.min(usize::try_from(length)? - HEADER)];
        file.read_exact(&mut body)?;
        checksums = header.checksums(&body).unwrap_or(checksums);
        if position >= from && !takes(&header.event(position, &body, checksums), position + length) {
            return Ok(true);
        }
        position += length;
        seen += 1;
        if seen == FORMATS {
            position = position.max(from);
        }
    }
    Ok(true)
}
