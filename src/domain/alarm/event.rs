//! The event that every channel gets, and its words.

use crate::domain::words::one_line;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::bounded::within;
use super::{UnixSeconds, length, text_of};
use crate::domain::health::{About, Finding, Severity};
use crate::domain::report::{PairNode, Report};

/// The number of the schema of an event.
pub const SCHEMA: u32 = 1;

/// The monitor reads configuration and secrets only at its start.
pub const RESTART: &str = "Then restart the monitor: `systemctl restart pmp-ha-monitor`.";

/// The meaning of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A status turned to Failed.
    Failed,
    /// A status is Alive again.
    Alive,
    /// A status could not be seen for long.
    Unknown,
    /// An incident is still open.
    Reminder,
    /// A channel can send nothing.
    ChannelFailed,
    /// That channel works again.
    ChannelWorks,
    /// A test of a channel.
    Test,
}

/// One reason, as the look found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The code of the finding.
    pub code: String,
    /// The problem.
    pub what: String,
    /// The evidence.
    pub evidence: String,
    /// What to do.
    pub hint: String,
}

/// One message about the pair. Its JSON is what webhooks and commands get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmEvent {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What it says.
    pub kind: AlarmKind,
    /// The status it is about; `None` for a channel and for a test.
    pub about: Option<About>,
    /// The same in all messages of one incident.
    pub incident: String,
    /// The number of the message in its incident, from 1.
    pub message: u32,
    /// When it was decided, seconds since 1970.
    pub at: UnixSeconds,
    /// Since when it is so.
    pub since: UnixSeconds,
    /// At the end: how long it lasted, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted: Option<u64>,
    /// How often the status failed within the last hour, if it flaps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: usize,
    /// The node whose monitor announces it.
    pub node: Option<PairNode>,
    /// The other node.
    pub peer: Option<PairNode>,
    /// The pair in one line.
    pub summary: String,
    /// Why, and what to do.
    pub reasons: Vec<Reason>,
    /// The channel it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Reason {
    /// Returns the findings that explain why a status is not Alive.
    #[must_use]
    pub fn of(report: &Report, about: About) -> Vec<Self> {
        let explains = |finding: &&Finding| {
            finding.about == about && matches!(finding.severity, Severity::Failed | Severity::Unknown)
        };
        report.health.findings.iter().filter(explains).map(Self::from).collect()
    }
}

impl From<&Finding> for Reason {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.code.to_owned(),
            what: finding.what.clone(),
            evidence: finding.evidence.clone(),
            hint: finding.hint.clone(),
        }
    }
}

/// What a status that comes and goes means for whoever is told.
const FLAPS: &str = "pmp-ha announces no further change until it stays Alive for a while.";

impl AlarmEvent {
    /// The test of a channel.
    #[must_use]
    pub fn test(at: UnixSeconds, node: Option<PairNode>, peer: Option<PairNode>) -> Self {
        Self {
            schema: SCHEMA,
            kind: AlarmKind::Test,
            about: None,
            incident: format!("test-{}", super::in_format(at, "%Y%m%d-%H%M%S")),
            message: 1,
            at,
            since: at,
            lasted: None,
            failures: 0,
            node,
            peer,
            summary: "You ran `pmp-ha alert test`.".into(),
            reasons: Vec::new(),
            channel: None,
        }
    }

    /// The message that a channel fails, or works again.
    #[must_use]
    pub fn of_channel(
        name: &str,
        at: UnixSeconds,
        since: UnixSeconds,
        error: Option<&str>,
        node: Option<PairNode>,
    ) -> Self {
        let reasons = error.map(|error| Reason {
            code: "channel".into(),
            what: format!("the channel {name} cannot send"),
            evidence: one_line(error),
            hint: format!(
                "Correct the configuration, the secret or the receiver, then run `pmp-ha alert test {name}`. {RESTART}"
            ),
        });
        let summary = match error {
            Some(_) => format!("The channel {name} sends nothing; its messages wait in the queue."),
            None => format!("The channel {name} sends again; what waits for it follows."),
        };
        Self {
            kind: if error.is_some() { AlarmKind::ChannelFailed } else { AlarmKind::ChannelWorks },
            incident: format!("channel-{name}-{}", super::in_format(since, "%Y%m%d-%H%M%S")),
            message: if error.is_some() { 1 } else { 2 },
            since,
            lasted: error.is_none().then(|| at.saturating_sub(since)),
            summary,
            reasons: reasons.into_iter().collect(),
            channel: Some(name.to_owned()),
            ..Self::test(at, node, None)
        }
    }

    /// The same with the pair as a report has it.
    pub(super) fn seen_in(self, report: &Report) -> Self {
        let (node, peer) = (report.node.clone(), report.peer.clone());
        Self { node, peer, summary: report.health.summary.clone(), ..self }
    }

    /// Its name. For a status that turned, this is the manual's.
    #[must_use]
    pub fn name(&self) -> String {
        let about = self.about.map(|about| about.to_string()).unwrap_or_default();
        let channel = self.channel.as_deref().unwrap_or_default();
        match self.kind {
            AlarmKind::Failed | AlarmKind::Reminder => format!("{about} Failed"),
            AlarmKind::Alive => format!("{about} Alive"),
            AlarmKind::Unknown => format!("{about} Unknown"),
            AlarmKind::ChannelFailed => format!("Alarm channel {channel} Failed"),
            AlarmKind::ChannelWorks => format!("Alarm channel {channel} Alive"),
            AlarmKind::Test => "Test of the alarms".into(),
        }
    }

    /// Whether somebody has to act.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(
            self.kind,
            AlarmKind::Failed | AlarmKind::Unknown | AlarmKind::Reminder | AlarmKind::ChannelFailed
        )
    }

    /// The pair: both nodes, the one that says it first.
    #[must_use]
    pub fn who(&self) -> String {
        let place = |place: &PairNode| format!("{place} ({})", place.role);
        let nodes: Vec<String> = [&self.node, &self.peer].into_iter().flatten().map(place).collect();
        if nodes.is_empty() { "a home without a pair".into() } else { nodes.join(" and ") }
    }

    /// One line: the subject of an e-mail.
    #[must_use]
    pub fn title(&self) -> String {
        let again = if self.kind == AlarmKind::Reminder { "still " } else { "" };
        let at = self.node.as_ref().map(|node| format!(" ({})", node.host)).unwrap_or_default();
        let lasted = self.lasted.map(|lasted| format!(" after {}", length(lasted))).unwrap_or_default();
        let name = self.name();
        let named = match name.rsplit_once(' ') {
            Some((about, word)) if !again.is_empty() => format!("{about} {again}{word}"),
            _ => name,
        };
        format!("{named}{lasted}{at}")
    }

    /// How long it has lasted, or had.
    #[must_use]
    pub fn duration(&self) -> String {
        match self.lasted {
            Some(lasted) => format!("It began at {} and lasted {}.", text_of(self.since), length(lasted)),
            None if self.at > self.since => {
                format!("Since {}, for {}.", text_of(self.since), length(self.at - self.since))
            }
            None => format!("Since {}.", text_of(self.since)),
        }
    }

    /// Whether it ends an incident: then the reasons are those of the past, and nothing is to be done.
    fn is_over(&self) -> bool {
        matches!(self.kind, AlarmKind::Alive | AlarmKind::ChannelWorks)
    }

    /// Why, in one line of so many bytes at most. If nothing was wrong, it is the summary.
    #[must_use]
    pub fn why_within(&self, longest: usize) -> String {
        if self.reasons.is_empty() {
            return within(std::slice::from_ref(&self.summary), "; ", longest);
        }
        let before = if self.is_over() { "it was: " } else { "" };
        let one = |reason: &Reason| format!("{before}{} [{}]: {}", reason.what, reason.code, reason.evidence);
        within(&self.reasons.iter().map(one).collect::<Vec<_>>(), "; ", longest)
    }

    /// What to do, in one line of so many bytes at most; empty if nothing is to be done.
    #[must_use]
    pub fn what_to_do_within(&self, longest: usize) -> String {
        if self.is_over() {
            return String::new();
        }
        let mut hints: Vec<String> = self.reasons.iter().map(|reason| reason.hint.clone()).collect();
        hints.dedup();
        within(&hints, " ", longest)
    }

    /// The whole message for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}\n\n{}\n{}\n", self.title(), self.who(), self.duration());
        if self.failures > 0 {
            // ignored, here and below: writing into a string cannot fail
            let _ = writeln!(out, "It failed {} times within the last hour. {FLAPS}", self.failures);
        }
        if !self.summary.is_empty() {
            let _ = writeln!(out, "{}", self.summary);
        }
        for reason in &self.reasons {
            let before = if self.is_over() { "It was: " } else { "" };
            let _ = writeln!(out, "\n{before}{} [{}]", reason.what, reason.code);
            let _ = writeln!(out, "  because {}", reason.evidence);
            if !self.is_over() {
                let _ = writeln!(out, "  hint: {}", reason.hint);
            }
        }
        let _ = writeln!(out, "\nIncident {}, message {}.", self.incident, self.message);
        out
    }

    /// The same as HTML. Texts of a server are escaped.
    #[must_use]
    pub fn html(&self) -> String {
        let colour = if self.is_bad() { "#b00020" } else { "#1b6e2f" };
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><body style=\"font-family:sans-serif\">\n\
             <h1 style=\"color:{colour};font-size:1.3em\">{}</h1>\n<p>{}<br>{}</p>\n",
            escaped(&self.title()),
            escaped(&self.who()),
            escaped(&self.duration())
        );
        if self.failures > 0 {
            let _ = writeln!(out, "<p>It failed {} times within the last hour. {FLAPS}</p>", self.failures);
        }
        let _ = writeln!(out, "<p>{}</p>", escaped(&self.summary));
        for reason in &self.reasons {
            let (before, hint) = if self.is_over() {
                ("It was: ", String::new())
            } else {
                ("", format!("<br><b>What to do:</b> {}", escaped(&reason.hint)))
            };
            let _ = writeln!(
                out,
                "<p>{before}<b>{}</b> [{}]<br>because {}{hint}</p>",
                escaped(&reason.what),
                escaped(&reason.code),
                escaped(&reason.evidence),
            );
        }
        let _ = writeln!(
            out,
            "<p style=\"color:#666\">Incident {}, message {}.</p>\n</body></html>",
            escaped(&self.incident),
            self.message
        );
        out
    }

    /// The event for programs, with its name and the texts that people read.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        // Its types have no map with other keys than texts: nothing can go wrong.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            let _ = object.insert("event".into(), self.name().into());
            let _ = object.insert("title".into(), self.title().into());
            let _ = object.insert("at".into(), text_of(self.at).into());
            let _ = object.insert("since".into(), text_of(self.since).into());
            let _ = object.insert("text".into(), self.text().into());
        }
        value
    }
}

/// A text as HTML, in an element or in an attribute with quotes.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alarm::tests::example;

    #[test]
    fn a_message_says_who_what_since_when_why_and_what_to_do() {
        let event = example();
        assert_eq!(event.name(), "High Availability Failed");
        assert_eq!(event.title(), "High Availability Failed (pmp-1.example.com)");
        let text = event.text();
        assert_eq!(
            text,
            "High Availability Failed (pmp-1.example.com)\n\n\
             pmp-1.example.com:2345 (primary) and pmp-2.example.com:2345 (secondary)\n\
             Since 2026-02-03T04:04:05Z, for 20 s.\n\
             seen from the primary pmp-1.example.com:2345\n\n\
             the secondary pmp-2.example.com:2345 cannot be reached [peer-unreachable]\n  \
             because Connection refused (os error 111)\n  \
             hint: Check that its machine and database run, and that the network lets the port through. The pair then recovers by itself. If its port has changed, run `pmp-ha reconfigure --peer-port PORT`.\n\n\
             Incident ha-20260203-040405, message 1.\n"
        );
        let handbook = include_str!("../../../docs/alarms.md");
        assert!(handbook.contains(&format!("```\n{text}```")), "not in docs/alarms.md:\n{text}");
        let end = AlarmEvent { kind: AlarmKind::Alive, lasted: Some(754), message: 2, ..event };
        assert_eq!(end.title(), "High Availability Alive after 12 min (pmp-1.example.com)");
        assert!(end.text().contains("It began at 2026-02-03T04:04:05Z and lasted 12 min."));
        assert!(end.text().contains("\nIt was: the secondary pmp-2.example.com:2345 cannot be reached ["));
        assert!(end.html().contains("<p>It was: <b>the secondary"));
        for told in [end.text(), end.html(), end.what_to_do_within(usize::MAX)] {
            assert!(!told.contains("Check that its machine"), "{told}");
        }
        assert!(end.why_within(200).starts_with("it was: the secondary"), "{}", end.why_within(200));
        let reminder = AlarmEvent { kind: AlarmKind::Reminder, ..example() };
        assert_eq!(reminder.title(), "High Availability still Failed (pmp-1.example.com)");
    }

    #[test]
    fn the_json_is_the_one_of_the_handbook() {
        let json = serde_json::to_string_pretty(&example().json()).expect("JSON");
        let handbook = include_str!("../../../docs/alarms.md");
        assert!(handbook.contains(&format!("```json\n{json}\n```")), "not in docs/alarms.md:\n{json}");
    }

    #[test]
    fn an_event_comes_back_from_the_queue_as_it_was() {
        let channel = AlarmEvent::of_channel("night", 9, 3, Some("no\nroute"), None);
        for event in [example(), AlarmEvent::test(5, None, None), channel] {
            let text = serde_json::to_string(&event).expect("JSON");
            assert_eq!(serde_json::from_str::<AlarmEvent>(&text).expect("an event"), event);
        }
    }

    #[test]
    fn a_channel_that_fails_is_told_as_it_is_with_what_cures_it() {
        let failed = AlarmEvent::of_channel("night", 9, 3, Some("535 no"), None).text();
        for told in [
            "The channel night sends nothing; its messages wait",
            "alert test night`. Then restart the monitor",
        ] {
            assert!(failed.contains(told), "no {told:?} in\n{failed}");
        }
        let works = AlarmEvent::of_channel("night", 9, 3, None, None).text();
        assert!(works.contains("The channel night sends again") && !works.contains("restart"), "{works}");
    }

    #[test]
    fn what_a_server_said_is_no_markup() {
        let mut event = example();
        event.reasons[0].evidence = "<script>alert('x')</script> & more".into();
        let html = event.html();
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{html}");
    }
}
