//! An event as a line of syslog: RFC 3164, as Password Manager Pro sends it, and RFC 5424.

use super::bounded::cut;
use super::event::{AlarmEvent, AlarmKind};
use super::{UnixSeconds, in_format, length, text_of};
use crate::domain::words::one_line;

/// A message of RFC 3164 has so many bytes at most.
const LONGEST_3164: usize = 1024;

/// Receivers of RFC 5424 must take 480 bytes, and should take 2048.
const LONGEST_5424: usize = 2048;

/// Where a message comes from.
#[derive(Debug, Clone, Copy)]
pub struct SyslogOrigin<'a> {
    /// The name of this machine; `None` for its own syslog, which knows it.
    pub host: Option<&'a str>,
    /// The process.
    pub pid: u32,
    /// How far the local time is ahead of UTC, in seconds.
    pub ahead: i64,
    /// The facility, a number from 0 to 23.
    pub facility: u8,
}

/// The severity of an event, a number of syslog.
fn severity(event: &AlarmEvent) -> u8 {
    match event.kind {
        AlarmKind::Failed | AlarmKind::Reminder => 2,
        AlarmKind::ChannelFailed => 3,
        AlarmKind::Unknown => 4,
        AlarmKind::Alive | AlarmKind::ChannelWorks => 5,
        AlarmKind::Test => 6,
    }
}

fn priority(event: &AlarmEvent, origin: &SyslogOrigin<'_>) -> u16 {
    u16::from(origin.facility) * 8 + u16::from(severity(event))
}

/// Returns the body in the layout of Password Manager Pro.
///
/// The fields are user and address, operation, time, status, server, then resource, account and reason.
#[must_use]
pub fn body(event: &AlarmEvent, longest: usize) -> String {
    let host = |place: &Option<crate::domain::report::PairNode>| {
        place.as_ref().map_or_else(|| "-".to_owned(), |place| place.host.clone())
    };
    let name = event.name();
    let status = match event.kind {
        AlarmKind::Test => "Success",
        _ => name.rsplit_once(' ').map_or("-", |(_, word)| word),
    };
    let server = host(&event.node);
    let head = one_line(&format!(
        "pmp-ha:{server} {name} {} {status} {server} {}:-:",
        text_of(event.at),
        host(&event.peer),
    ));
    let reason = reason(event, longest.saturating_sub(head.len()));
    head + &reason
}

/// Since when, why, and what to do. The reasons are told as far as they fit, the rest always.
fn reason(event: &AlarmEvent, longest: usize) -> String {
    let mut parts = vec![match event.lasted {
        Some(lasted) => format!("it lasted {}", length(lasted)),
        None if event.kind == AlarmKind::Reminder => format!("a reminder, since {}", text_of(event.since)),
        None => format!("since {}", text_of(event.since)),
    }];
    if event.failures > 0 {
        parts.push(format!("it failed {} times within the last hour", event.failures));
    }
    parts.push(format!("incident {}", event.incident));
    let told = parts.join("; ");
    let (why, hints) = (event.why_within(usize::MAX), event.what_to_do_within(usize::MAX));
    let (between, before_hints) = ("; ", "; what to do: ");
    let mut left = longest.saturating_sub(told.len() + between.len());
    if hints.is_empty() {
        return format!("{told}{between}{}", event.why_within(left));
    }
    left = left.saturating_sub(before_hints.len());
    // The hints get what the reasons leave, or half.
    let hints = event.what_to_do_within(left.saturating_sub(why.len()).max(left / 2));
    let why = event.why_within(left.saturating_sub(hints.len()));
    format!("{told}{between}{why}{before_hints}{hints}")
}

/// Returns the message in the form of RFC 3164.
#[must_use]
pub fn rfc3164(event: &AlarmEvent, origin: &SyslogOrigin<'_>) -> String {
    let host = origin.host.map(|host| format!("{} ", word(host, 255))).unwrap_or_default();
    let at = local(event.at, origin.ahead);
    let head = format!("<{}>{at} {host}pmp-ha[{}]: ", priority(event, origin), origin.pid);
    with_body(head, event, LONGEST_3164)
}

/// Returns the message in the form of RFC 5424.
#[must_use]
pub fn rfc5424(event: &AlarmEvent, origin: &SyslogOrigin<'_>) -> String {
    let host = origin.host.map_or_else(|| "-".to_owned(), |host| word(host, 255));
    let head = format!(
        "<{}>1 {} {host} pmp-ha {} {} - ",
        priority(event, origin),
        text_of(event.at),
        origin.pid,
        word(&event.name().replace(' ', ""), 32),
    );
    with_body(head, event, LONGEST_5424)
}

/// The time of RFC 3164: local, with the day in two columns.
fn local(at: UnixSeconds, ahead: i64) -> String {
    in_format(at.saturating_add_signed(ahead), "%b %e %H:%M:%S")
}

/// A word of a header: printable ASCII without spaces.
fn word(text: &str, longest: usize) -> String {
    let out: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if out.is_empty() { "-".into() } else { out }
}

fn with_body(head: String, event: &AlarmEvent, longest: usize) -> String {
    let body = body(event, longest.saturating_sub(head.len()));
    cut(head + &body, longest)
}

#[cfg(test)]
mod tests {
    use super::super::event::Reason;
    use super::*;
    use crate::domain::alarm::tests::example;

    const ORIGIN: SyslogOrigin<'_> =
        SyslogOrigin { host: Some("pmp-1"), pid: 4711, ahead: 3600, facility: 4 };

    #[test]
    fn both_forms_say_the_same() {
        let body = "pmp-ha:pmp-1.example.com High Availability Failed 2026-02-03T04:04:25Z Failed \
                    pmp-1.example.com pmp-2.example.com:-:since 2026-02-03T04:04:05Z; incident ha-20260203-040405; \
                    the secondary pmp-2.example.com:2345 cannot be reached \
                    [peer-unreachable]: Connection refused (os error 111); \
                    what to do: Check that its machine and database run, and that the network lets the port through. The pair then recovers by itself. If its port has changed, run `pmp-ha reconfigure --peer-port PORT`.";
        assert_eq!(rfc3164(&example(), &ORIGIN), format!("<34>Feb  3 05:04:25 pmp-1 pmp-ha[4711]: {body}"));
        let new = format!("<34>1 2026-02-03T04:04:25Z pmp-1 pmp-ha 4711 HighAvailabilityFailed - {body}");
        assert_eq!(rfc5424(&example(), &ORIGIN), new);
        let own = SyslogOrigin { host: None, ..ORIGIN };
        assert!(rfc3164(&example(), &own).starts_with("<34>Feb  3 05:04:25 pmp-ha[4711]: "));
    }

    #[test]
    fn however_many_the_reasons_since_when_and_what_to_do_are_told() {
        let mut event = example();
        event.reasons[0].evidence = "w".repeat(250);
        event.reasons[0].hint = format!("{} to the end.", "Do this. ".repeat(20));
        event.reasons.extend(vec![Reason { hint: "Then wait.".into(), ..event.reasons[0].clone() }; 3]);
        for line in [rfc3164(&event, &ORIGIN), rfc5424(&event, &ORIGIN)] {
            for told in [
                "since 2026-02-03T04:04:05Z; incident ha-20260203-040405; ",
                "[peer-unreachable]: www",
                "; what to do: Do this.",
                "to the end. Then wait.",
            ] {
                assert!(line.contains(told), "no {told:?} in {line}");
            }
        }
        assert!(rfc3164(&event, &ORIGIN).contains("; and 3 more; what to do: "));
        event.lasted = Some(90);
        assert!(rfc3164(&event, &ORIGIN).contains(":-:it lasted 90 s; "), "{}", rfc3164(&event, &ORIGIN));
    }

    #[test]
    fn nothing_that_a_server_said_makes_another_line_or_a_longer_one() {
        let mut event = example();
        event.reasons[0].evidence = format!("bad\n<0>fake: {}", "ä".repeat(5000));
        for (line, longest) in [(rfc3164(&event, &ORIGIN), 1024), (rfc5424(&event, &ORIGIN), 2048)] {
            assert!(!line.contains('\n') && line.len() <= longest, "{line}");
        }
    }
}
