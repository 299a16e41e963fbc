//! What makes the files of a killed `MySQL` 5.1 or 5.5 fit its data again, before it starts.
//!
//! These servers note in plain files how far the applier is, after the commit: a kill leaves the note
//! behind the data, and the next start applies a transaction twice. And they leave part of an event at
//! the end of their newest binlog, at which every receiver stops for good. Both can be read from the
//! logs of the node itself. Here it is decided what to write; nothing here writes.

mod filter;
mod info;
mod scan;
#[cfg(test)]
mod tests;

pub use filter::takes;
pub use info::{MasterInfo, RelayInfo};
pub use scan::{Coming, DEPTH, End, LogPlace, Scan, Transaction, WhichLog, applied, walk};

/// The flag of a binlog that nobody has closed, and where it stands in the file.
const IN_USE: u8 = 1;
const FLAGS: usize = 4 + 17;

/// Whether the server that wrote this binlog has not closed it: it was killed, or it runs.
/// `beginning`: its first bytes.
#[must_use]
pub fn is_open(beginning: &[u8]) -> bool {
    beginning.starts_with(crate::domain::relay_log::MAGIC)
        && beginning.get(FLAGS).is_some_and(|flags| flags & IN_USE != 0)
}

/// Returns whether a source reports that its binlog ends in the middle of an event.
///
/// Its server was killed, and was started without this tool.
#[must_use]
pub fn is_of_a_torn_binlog(receiver_error: &str) -> bool {
    ["truncated in the middle of event", "impossible position"]
        .iter()
        .any(|words| receiver_error.contains(words))
}

/// A file to truncate after its last complete event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its name, in the data directory.
    pub file: String,
    /// Its length from now on.
    pub at: u64,
}

/// What is written before the server starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mending {
    /// Logs whose torn end goes.
    pub cuts: Vec<Cut>,
    /// The new `relay-log.info`.
    pub relay_info: Option<String>,
    /// The new `master.info`.
    pub master_info: Option<String>,
    /// What was found, for people.
    pub says: Vec<String>,
}

impl Mending {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.cuts.is_empty() && self.relay_info.is_none() && self.master_info.is_none()
    }
}

/// Decides about the end of the newest log of one kind.
pub fn cut(mending: &mut Mending, file: &str, size: u64, scan: &Scan<'_>) {
    match scan.end() {
        (_, End::Whole) => {}
        (at, End::Torn) => {
            mending.says.push(format!("{file} ended with {} bytes of an incomplete event", size - at));
            mending.cuts.push(Cut { file: file.to_owned(), at });
        }
        (_, End::Strange(why)) => mending.says.push(format!("{why}: it stays as it is")),
    }
}

/// Decides about the place of the applier and of the receiver. `own`: what the node's own binlog holds
/// of the source. `order`: the relay logs, the oldest first, as the index names them.
///
/// The place of the applier only ever moves on: a transaction that a filter stops is in no own binlog.
pub fn place(
    mending: &mut Mending,
    own: &[Transaction],
    relay: &Scan<'_>,
    order: &[String],
    infos: (Option<&RelayInfo>, Option<&MasterInfo>),
) {
    let (Some(relay_info), Some(master_info)) = infos else { return };
    if let (_, End::Strange(_)) = relay.end() {
        return;
    }
    let transactions: Vec<Transaction> = relay.transactions.iter().cloned().collect();
    let rank = |file: &str| order.iter().position(|name| base(name) == base(file));
    let now = (rank(&relay_info.relay.file), relay_info.relay.position);
    if let Some(last) = applied(own, &transactions).and_then(|at| transactions.get(at)) {
        let then = (rank(&last.here.file), last.here.position);
        if let (Some(source), true) = (&last.source, then.0.is_some() && now.0.is_some() && then > now) {
            let name = then.0.and_then(|at| order.get(at)).unwrap_or(&last.here.file);
            mending.says.push(format!(
                "the data contain everything up to byte {} of {}, but relay-log.info said byte {}",
                source.position, source.file, relay_info.source.position
            ));
            let here = LogPlace { file: name.clone(), position: last.here.position };
            mending.relay_info = Some(relay_info.with(&here, source));
        }
    }
    if let Some(received) = relay.received.as_ref().filter(|received| **received != master_info.source) {
        mending.says.push(format!(
            "the relay logs contain everything up to byte {} of {}, but master.info said byte {} of {}",
            received.position, received.file, master_info.source.position, master_info.source.file
        ));
        mending.master_info = Some(master_info.with(received));
    }
}

/// The name of a file without its folder, as an index or `relay-log.info` names it.
#[must_use]
pub fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
