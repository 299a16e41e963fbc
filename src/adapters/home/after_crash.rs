//! Reads the logs of a server that was killed, and writes what makes its files fit its data again.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use fs_err as fs;

use super::{Home, datadir};
use crate::adapters::clock;
use crate::adapters::system::{self, Owner};
use crate::domain::after_crash::{self, Coming, MasterInfo, Mending, RelayInfo, Scan, WhichLog, base, takes};
use crate::domain::relay_log::{HEADER, MAGIC};
use crate::domain::settings::{RELAY_LOG, binlog_named, is_mended_before_start, wild_do_tables};

/// The folder of what was there before, in `replication`.
const KEPT: &str = "pmp-ha-mended";

/// How many binlogs of the node are read: behind a restart the newest one may hold nothing of the source.
const OWN_LOGS: usize = 3;

/// Bytes at the beginning of a binlog that say who wrote it, and whether it was closed.
const BEGINNING: usize = 64;

/// Repairs what a killed server left behind, and returns what it did.
///
/// `options` is the option file with which the server is about to start. Most servers need nothing.
///
/// # Errors
/// What cannot be read or written. Nothing is written before everything was read and decided, and what
/// is replaced is kept first.
pub fn mend(home: &Home, options: &str) -> Result<Vec<String>> {
    if !is_mended_before_start(options) {
        return Ok(Vec::new());
    }
    let Some(mending) = decide(&home.data(), &wild_do_tables(options))? else { return Ok(Vec::new()) };
    if !mending.is_nothing() {
        if datadir::holder(&home.data())?.is_some() {
            return Ok(Vec::new()); // a server has come up meanwhile
        }
        write(home, &mending)?;
    }
    Ok(mending.says)
}

/// The number of the node that wrote the newest binlog in these data; `None` if there is none.
///
/// # Errors
/// What cannot be read.
pub fn writer_of_binlogs(data: &Path) -> Result<Option<u32>> {
    let own = listed(data, &binlog_named(datadir::history(data)))?;
    let Some(newest) = own.last().map(|name| data.join(base(name))).filter(|path| path.exists()) else {
        return Ok(None);
    };
    Ok(writer(&beginning(&newest, system::owner(data)?)?))
}

/// The number of the node that wrote a log with this beginning.
fn writer(beginning: &[u8]) -> Option<u32> {
    beginning.get(9..13).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

/// Reads everything, and decides; `None` if the server was not killed lately.
fn decide(data: &Path, patterns: &[String]) -> Result<Option<Mending>> {
    let own = listed(data, &binlog_named(datadir::history(data)))?;
    let owner = system::owner(data)?;
    let recent = &own[own.len().saturating_sub(OWN_LOGS)..];
    let beginnings: Vec<Vec<u8>> =
        recent.iter().map(|name| beginning(&data.join(base(name)), owner)).collect::<Result<_>>()?;
    let (Some(newest), true) =
        (beginnings.last(), beginnings.iter().any(|bytes| after_crash::is_open(bytes)))
    else {
        return Ok(None);
    };
    if datadir::holder(data)?.is_some() {
        return Ok(None);
    }
    let was_killed = after_crash::is_open(newest);
    let own_id = writer(newest).context("the newest binlog does not say which server wrote it")?;
    let passes = |table: &str| patterns.is_empty() || takes(patterns, table);
    let mut mending = Mending::default();

    let mut of_own = Scan::new(WhichLog::Own, own_id, &passes);
    for (name, beginning) in recent.iter().zip(&beginnings) {
        // One that was torn before stays so when its server was started past this: at it, receivers stop.
        let is_open = after_crash::is_open(beginning);
        if was_killed || is_open {
            read(&data.join(base(name)), owner, &mut of_own)?;
        }
        if is_open {
            let size = fs::metadata(data.join(base(name)))?.len();
            after_crash::cut(&mut mending, base(name), size, &of_own);
        }
    }
    if !was_killed {
        return Ok(Some(mending));
    }

    let relay = listed(data, RELAY_LOG)?;
    let relay_info = text(&data.join("relay-log.info"))?.and_then(|text| RelayInfo::parse(&text));
    let master_info = text(&data.join("master.info"))?.and_then(|text| MasterInfo::parse(&text));
    let at = relay_info
        .as_ref()
        .and_then(|info| relay.iter().position(|name| base(name) == base(&info.relay.file)));
    if let (Some(info), Some(at), Some(last)) = (&relay_info, at, relay.last()) {
        let mut of_relay = Scan::new(WhichLog::Relay, own_id, &passes);
        of_relay.known_up_to(&info.relay);
        for (number, name) in relay.iter().enumerate().skip(at.saturating_sub(1)) {
            if number == at {
                of_relay.source_is(&info.source.file);
            }
            read(&data.join(base(name)), owner, &mut of_relay)?;
        }
        let size = fs::metadata(data.join(base(last)))?.len();
        after_crash::cut(&mut mending, base(last), size, &of_relay);
        let transactions: Vec<_> = of_own.transactions.iter().cloned().collect();
        after_crash::place(
            &mut mending,
            &transactions,
            &of_relay,
            &relay,
            (relay_info.as_ref(), master_info.as_ref()),
        );
    }
    Ok(Some(mending))
}

/// The names in the index of a kind of log; none if there is no index.
fn listed(data: &Path, kind: &str) -> Result<Vec<String>> {
    let index = text(&data.join(format!("{kind}.index")))?.unwrap_or_default();
    Ok(index.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}

fn text(path: &Path) -> Result<Option<String>> {
    match system::read_text_itself(path, system::SMALL) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn beginning(path: &Path, owner: Owner) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    system::open_regular_of(path, owner)?.take(BEGINNING as u64).read_to_end(&mut out)?;
    Ok(out)
}

/// Walks through a file.
fn read(path: &Path, owner: Owner, scan: &mut Scan<'_>) -> Result<()> {
    let file = system::open_regular_of(path, owner)?;
    let size = file.metadata()?.len();
    let mut file = BufReader::with_capacity(1 << 20, file);
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        bail!("{} is not a server's log", path.display());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    scan.begin(&name, size);
    let (mut head, mut body) = (Vec::new(), Vec::new());
    loop {
        head.clear();
        file.by_ref().take(HEADER as u64).read_to_end(&mut head)?;
        match scan.head(&head) {
            Coming::Stop => return Ok(()),
            Coming::Body(length) => {
                body.clear();
                file.by_ref().take(length as u64).read_to_end(&mut body)?;
                scan.body(&body);
            }
        }
    }
}

/// Keeps what is replaced, and writes.
fn write(home: &Home, mending: &Mending) -> Result<()> {
    let data = home.data();
    let owner = system::owner(&data)?;
    let folder = home.replication().join(KEPT);
    for folder in [home.replication(), folder.clone()] {
        if !folder.is_dir() {
            system::private_dir(&folder)?;
        }
    }
    let kept = |name: &str| -> PathBuf { folder.join(format!("{}-{name}", clock::seconds())) };
    for cut in &mending.cuts {
        let path = data.join(&cut.file);
        let mut torn = Vec::new();
        let mut file = system::open_regular_of(&path, owner)?;
        file.seek(SeekFrom::Start(cut.at))?;
        file.take(system::LARGE + 1).read_to_end(&mut torn)?;
        if torn.len() as u64 > system::LARGE {
            bail!("{} has more behind its last whole event than any event is long", path.display());
        }
        system::write_atomic(&kept(&format!("{}-from-{}", cut.file, cut.at)), &torn, 0o600, Some(owner))?;
    }
    let infos = [("relay-log.info", &mending.relay_info), ("master.info", &mending.master_info)];
    for (name, text) in infos {
        if text.is_some() {
            let mut before = Vec::new();
            system::open_regular_of(&data.join(name), owner)?.take(system::SMALL).read_to_end(&mut before)?;
            system::write_atomic(&kept(name), &before, 0o600, Some(owner))?;
        }
    }
    for cut in &mending.cuts {
        let file = system::open_for_a_cut_of(&data.join(&cut.file), owner)?;
        file.set_len(cut.at)?;
        file.sync_all()?;
    }
    for (name, text) in infos {
        if let Some(text) = text {
            let path = data.join(name);
            system::write_atomic(&path, text.as_bytes(), system::mode(&path)?, Some(system::owner(&path)?))?;
        }
    }
    Ok(())
}
