//! A receiver that gave up: whether its error may pass, and when the monitor starts it again.

use super::snapshot::{Receiver, ReplicaView};

/// Seconds until the first try, and the most between two. Each pause is twice the one before.
const FIRST: u64 = 5;
const LONGEST: u64 = 600;

/// After so many seconds of a connection, the next error is a new one.
const CALM: u64 = 600;

/// The errors with which a receiver ends although the cause may pass: its source did not answer a question or a
/// command, what came over the network was damaged, or a relay log could not be written. MySQL 8 and later have
/// numbers of their own for them.
///
/// Not among them: a binlog that is gone (1236, 13114), an event that is too large (1153), and everything
/// that a receiver tries again by itself, such as a refused login or a certificate: if one is stopped all the
/// same, somebody has stopped it.
const PASSING: [u32; 11] = [1593, 1595, 1596, 1597, 1743, 13117, 13118, 13119, 13120, 13122, 13123];

/// The words of a receiver that ends because its source answered one of its first questions with an error. The
/// number is that of the answer then.
const NOT_ANSWERED: &str = "stops because a fatal error is encountered";

/// Returns whether an error needs a person, although its number is in [`PASSING`].
///
/// This is so if both servers have the same number or the same UUID.
#[must_use]
pub fn is_of_identity(message: &str) -> bool {
    message.contains("have equal")
}

/// Whether a receiver has stopped with an error that may pass, and may be started.
///
/// An operator's `STOP SLAVE` stops the applier as well. Where that does not run, nothing is started: MariaDB
/// would also drop its relay logs.
#[must_use]
pub fn gave_up(replica: &ReplicaView) -> bool {
    let (number, message) = &replica.receiver_error;
    replica.receiver == Receiver::Stopped
        && replica.applier_runs
        && (PASSING.contains(number) || message.contains(NOT_ANSWERED))
        && !is_of_identity(message)
}

/// How often and when a receiver was started again. Times are seconds by any clock that never goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    due: Option<u64>,
    tries: u32,
    tried: u64,
}

impl Restarts {
    /// Adds a look at the replica side of this server, if it was seen.
    ///
    /// Returns whether to start its receiver now.
    pub fn is_due(&mut self, replica: Option<&ReplicaView>, now: u64) -> bool {
        let Some(replica) = replica else { return false };
        if !gave_up(replica) {
            self.due = None;
            if replica.receiver == Receiver::Connected && now >= self.tried + CALM {
                self.tries = 0;
            }
            return false;
        }
        now >= *self.due.get_or_insert(now + pause(self.tries))
    }

    /// It was started, or that failed. Returns how often that was by now.
    pub fn tried(&mut self, now: u64) -> u32 {
        self.due = None;
        self.tried = now;
        self.tries += 1;
        self.tries
    }
}

fn pause(tries: u32) -> u64 {
    (FIRST << tries.min(10)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::ChannelTls;

    fn replica(receiver: Receiver, number: u32, message: &str) -> ReplicaView {
        ReplicaView {
            receiver,
            applier_runs: true,
            source_host: "a".into(),
            source_port: 1,
            source_server_id: Some(1),
            channel_tls: ChannelTls::Verified,
            receiver_error: (number, message.into()),
            applier_error: (0, String::new()),
            lag: None,
            wild_do_tables: Vec::new(),
            limit: None,
            pulse: None,
        }
    }

    #[test]
    fn only_an_error_that_may_pass_is_started_again() {
        let stopped = |number, message: &str| replica(Receiver::Stopped, number, message);
        let denied = "Master command COM_REGISTER_SLAVE failed: Access denied";
        for good in [
            stopped(1597, denied),
            stopped(13120, "x"),
            stopped(1593, "a fatal error"),
            stopped(1595, ""),
            stopped(
                1226,
                "The slave I/O thread stops because a fatal error is encountered when it try to get the value of SERVER_ID",
            ),
        ] {
            assert!(gave_up(&good), "{good:?}");
        }
        for bad in [
            // An operator's stop, also of one that was connecting in vain.
            stopped(0, ""),
            stopped(2003, "cannot connect"),
            stopped(1045, "Access denied"),
            stopped(2026, "certificate expired"),
            ReplicaView { applier_runs: false, ..stopped(1597, denied) },
            // What needs a person.
            stopped(1236, "Could not find first log file name"),
            stopped(13114, "purged required binary logs"),
            stopped(1153, "too large"),
            stopped(
                1593,
                "The slave I/O thread stops because master and slave have equal MariaDB server ids",
            ),
            stopped(13117, "source and replica have equal MySQL server UUIDs"),
            // One that runs.
            replica(Receiver::Connecting, 1597, denied),
            replica(Receiver::Connected, 1597, denied),
        ] {
            assert!(!gave_up(&bad), "{bad:?}");
        }
    }

    #[test]
    fn the_pause_grows_and_a_long_calm_ends_it() {
        let stopped = replica(Receiver::Stopped, 1597, "");
        let connected = replica(Receiver::Connected, 0, "");
        let mut restarts = Restarts::default();
        let mut tried = Vec::new();
        for now in 0..4000 {
            if restarts.is_due(Some(&stopped), now) {
                restarts.tried(now);
                tried.push(now);
            }
        }
        let pauses: Vec<u64> = tried.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(tried[0], 5);
        // It is seen to be stopped a second after each try.
        assert_eq!(pauses, [11, 21, 41, 81, 161, 321, 601, 601, 601, 601, 601]);
        // A connection that does not last is no end of it, and a server that was not seen says nothing.
        assert!(!restarts.is_due(Some(&connected), 4000) && !restarts.is_due(None, 4001));
        assert!(!restarts.is_due(Some(&stopped), 4002) && !restarts.is_due(Some(&stopped), 4600));
        assert!(restarts.is_due(Some(&stopped), 4602));
        restarts.tried(4602);
        assert!(!restarts.is_due(Some(&connected), 5300));
        assert!(!restarts.is_due(Some(&stopped), 5301) && restarts.is_due(Some(&stopped), 5306));
    }
}
