//! The position of `InnoDB`'s redo log, as the server reports it.

/// The end of the redo log, and the last checkpoint of the pages on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redo {
    /// The log sequence number.
    pub end: u64,
    /// The last checkpoint.
    pub checkpoint: u64,
}

impl Redo {
    /// Reads it from the text of `SHOW ENGINE INNODB STATUS`.
    #[must_use]
    pub fn parse(status: &str) -> Option<Self> {
        let number = |start: &str| {
            let line = status.lines().find_map(|line| line.trim().strip_prefix(start))?;
            // MySQL 5.1 writes both halves of the number.
            match line.trim().split_once(' ') {
                None => line.trim().parse().ok(),
                Some((high, low)) => {
                    Some((high.parse::<u64>().ok()? << 32) + low.parse::<u32>().map(u64::from).ok()?)
                }
            }
        };
        Some(Self { end: number("Log sequence number")?, checkpoint: number("Last checkpoint at")? })
    }

    /// Returns whether everything is on the disk. `slack`: what an idle server has in its log.
    #[must_use]
    pub fn is_at_rest(&self, slack: u64) -> bool {
        self.end.saturating_sub(self.checkpoint) <= slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_at_rest_when_its_checkpoint_has_reached_the_end_of_its_log() {
        let text =
            "LOG\n---\nLog sequence number          20\nLog flushed up to   20\nLast checkpoint at  4\n";
        let redo = Redo::parse(text).expect("a place");
        assert_eq!(redo, Redo { end: 20, checkpoint: 4 });
        assert!(redo.is_at_rest(16) && !redo.is_at_rest(0));
        assert_eq!(Redo::parse("Log sequence number 20\n"), None);
        let halves = "Log sequence number 1 53532\nLast checkpoint at  0 7\n";
        assert_eq!(Redo::parse(halves), Some(Redo { end: (1 << 32) + 53532, checkpoint: 7 }));
    }
}
