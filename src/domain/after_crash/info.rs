//! The two plain files in which these servers note how far they are.

use super::LogPlace;

/// `relay-log.info`: how far the applier is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayInfo {
    /// The place in the relay log.
    pub relay: LogPlace,
    /// The same place on the source.
    pub source: LogPlace,
    rest: Vec<String>,
}

/// `master.info`: how far the receiver is, and how it logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterInfo {
    first: String,
    /// The place on the source.
    pub source: LogPlace,
    rest: Vec<String>,
}

impl RelayInfo {
    /// Reads it; `None` if it is not what these servers write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let relay = place(&mut lines)?;
        let source = place(&mut lines)?;
        Some(Self { relay, source, rest: lines.map(ToOwned::to_owned).collect() })
    }

    /// The text of the file for another place.
    #[must_use]
    pub fn with(&self, relay: &LogPlace, source: &LogPlace) -> String {
        let mut out = format!("{}\n{}\n{}\n{}\n", relay.file, relay.position, source.file, source.position);
        self.rest.iter().for_each(|line| out.extend([line.as_str(), "\n"]));
        out
    }
}

impl MasterInfo {
    /// Reads it; `None` if it is not what these servers write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let first = lines.next().filter(|line| line.parse::<u32>().is_ok())?.to_owned();
        let source = place(&mut lines)?;
        Some(Self { first, source, rest: lines.map(ToOwned::to_owned).collect() })
    }

    /// The text of the file for another place.
    #[must_use]
    pub fn with(&self, source: &LogPlace) -> String {
        let mut out = format!("{}\n{}\n{}\n", self.first, source.file, source.position);
        self.rest.iter().for_each(|line| out.extend([line.as_str(), "\n"]));
        out
    }
}

fn place<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Option<LogPlace> {
    let file = lines.next().filter(|file| !file.is_empty())?.to_owned();
    Some(LogPlace { file, position: lines.next()?.trim().parse().ok()? })
}
