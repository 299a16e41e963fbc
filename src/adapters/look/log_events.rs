//! Reads events from the files of binlogs and relay logs, without asking the server.
//!
//! A server shows no event that is larger than `max_allowed_packet` of whoever asks, and applies it all the same.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::adapters::bytes::digest::Sha256;
use crate::adapters::system::open_itself;
use crate::domain::errant::{Event, FIRST_EVENT};
use crate::domain::relay_log::{ANOTHER_LAYOUT, EventLayout, HEADER, Header, MAGIC};

/// Among how many events at the beginning of a file the formats of both servers are.
const FORMATS: usize = 4;

/// How long the reading of one event may take.
const ONE: Duration = Duration::from_secs(1);

/// Returns the complete event at a position of a file, and the position of the next event.
///
/// Returns `None` if the file ends there, or in the middle of the event.
pub(super) fn whole(path: &Path, from: u64) -> Result<Option<(Event, u64)>> {
    let mut first = None;
    each(path, from, Instant::now() + ONE, |event, next| {
        first = Some((event.clone(), next));
        false
    })?;
    Ok(first.filter(|(event, _)| event.position == from))
}

/// What identifies a file: its first event, which the own server wrote, with its time.
///
/// A server may begin another file with the same name.
pub(super) fn begun(path: &Path) -> Result<String> {
    let mut file = open_itself(path)?;
    let mut header = [0; MAGIC.len() + HEADER];
    file.read_exact(&mut header)?;
    let header_of_event = header.last_chunk().and_then(Header::read);
    let mut body = vec![0; header_of_event.map_or(0, |header| header.wanted())];
    file.read_exact(&mut body)?;
    Ok(Sha256::of(&[&header[..], &body].concat()).to_string())
}

/// Passes each complete event of a file on, from a position on.
///
/// It ends when the receiver wants no more. Returns false if the time was over before that.
///
/// `takes` also gets where the next event begins, in bytes.
pub(super) fn each(
    path: &Path,
    from: u64,
    ends: Instant,
    mut takes: impl FnMut(&Event, u64) -> bool,
) -> Result<bool> {
    let mut file = open_itself(path)?;
    let size = file.metadata()?.len();
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        bail!("{} is not a server's log", path.display());
    }
    let (mut position, mut checksums, mut seen) = (FIRST_EVENT, false, 0);
    let mut own: Option<EventLayout> = None;
    while position + HEADER as u64 <= size {
        if Instant::now() > ends {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(position))?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header)?;
        let Some(header) = Header::read(&header) else { return Ok(true) };
        if header.encrypts() {
            bail!("{} is encrypted", path.display());
        }
        let length = u64::from(header.length);
        if position + length > size {
            return Ok(true);
        }
        let mut body = vec![0; header.wanted()];
        file.read_exact(&mut body)?;
        checksums = header.checksums(&body).unwrap_or(checksums);
        let mut event = header.event(position, &body, checksums);
        // The first one is of the server that wrote the file. Whoever sends another one decides how it reads the rest.
        if let Some(layout) = header.layout(&body)
            && !own.get_or_insert_with(|| layout.clone()).reads(&layout)
        {
            ANOTHER_LAYOUT.clone_into(&mut event.info);
        }
        if position >= from && !takes(&event, position + length) {
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
