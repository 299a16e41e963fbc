//! Alarms: when a status turned, what is announced, and in which words.
//!
//! [`machine`] decides, [`event`] is what every channel gets, [`outbox`] says what is due where, and
//! [`syslog`] and [`trap`] give an event the form of their channel.

mod bounded;
pub mod event;
pub mod machine;
pub mod outbox;
pub mod syslog;
pub mod trap;

pub use event::{AlarmEvent, AlarmKind, Reason};
pub use machine::{AlarmLook, AlarmState, Rules, is_good_look, step};

/// A point in time: seconds since 1970, UTC.
pub type UnixSeconds = u64;

/// Returns a point in time as text, RFC 3339 UTC.
#[must_use]
pub fn text_of(at: UnixSeconds) -> String {
    in_format(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// Returns a point in time in a format of `strftime`, UTC; empty if it is no time.
#[must_use]
pub fn in_format(at: UnixSeconds, format: &str) -> String {
    let timestamp = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    timestamp.map(|timestamp| timestamp.strftime(format).to_string()).unwrap_or_default()
}

/// Returns a length of time for people: `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
#[must_use]
pub fn length(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3600 => format!("{minutes} min"),
        3600..86_400 if minutes % 60 == 0 => format!("{hours} h"),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ if hours % 24 == 0 => format!("{days} d"),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::event::SCHEMA;
    use super::*;
    use crate::domain::health::About;
    use crate::domain::pair::Role;
    use crate::domain::report::PairNode;

    /// A failed connection, as a primary sees it.
    pub fn example() -> AlarmEvent {
        let place =
            |number: u8, role| PairNode { host: format!("pmp-{number}.example.com"), port: 2345, role };
        AlarmEvent {
            schema: SCHEMA,
            kind: AlarmKind::Failed,
            about: Some(About::HighAvailability),
            incident: "ha-20260203-040405".into(),
            message: 1,
            at: 1_770_091_465,
            since: 1_770_091_445,
            lasted: None,
            failures: 0,
            node: Some(place(1, Role::Primary)),
            peer: Some(place(2, Role::Secondary)),
            summary: "seen from the primary pmp-1.example.com:2345".into(),
            reasons: vec![Reason {
                code: "peer-unreachable".into(),
                what: "the secondary pmp-2.example.com:2345 cannot be reached".into(),
                evidence: "Connection refused (os error 111)".into(),
                hint: "Check that its machine and database run, and that the network lets the port through. The pair then recovers by itself. If its port has changed, run `pmp-ha reconfigure --peer-port PORT`.".into(),
            }],
            channel: None,
        }
    }

    #[test]
    fn times_are_told_for_people_and_programs() {
        assert_eq!(text_of(1_770_091_445), "2026-02-03T04:04:05Z");
        let lengths = [0, 119, 120, 3599, 3600, 11_100, 86_400, 187_200].map(length);
        assert_eq!(lengths, ["0 s", "119 s", "2 min", "59 min", "1 h", "3 h 5 min", "1 d", "2 d 4 h"]);
    }
}
