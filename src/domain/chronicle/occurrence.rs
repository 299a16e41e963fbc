//! What happened to the pair: one line each, for people and for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::alarm::{AlarmEvent, UnixSeconds, text_of};
use crate::domain::health::{Severity, Status};
use crate::domain::pair::Role;
use crate::domain::report::{Report, Verdict};
use crate::domain::words::one_line;

/// At most so many are kept; the oldest go first.
pub const MOST: usize = 20_000;

/// The number of the schema of the JSON.
pub const SCHEMA: u32 = 1;

/// What happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Seconds since 1970, UTC.
    pub at: UnixSeconds,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A status turned, or was seen for the first time.
    Status {
        /// What it was.
        from: Option<Verdict>,
        /// What it is.
        to: Verdict,
        /// What this node was then.
        role: Option<Role>,
        /// The codes of the findings that make it so.
        codes: Vec<String>,
    },
    /// This node has another role.
    Role {
        /// What it was.
        from: Role,
        /// What it is.
        to: Role,
    },
    /// Something was announced.
    Alarm {
        /// Its title.
        title: String,
        /// Its incident.
        incident: String,
    },
    /// The monitor has started the receiver here again, which had stopped with an error.
    ReceiverStarted {
        /// The error of its server.
        error: u32,
        /// Its text.
        message: String,
        /// How often that was, without a long calm in between.
        tries: u32,
    },
    /// Password Manager Pro itself answers on a node, or no longer does.
    Services {
        /// The node.
        on: Role,
        /// Whether it answered.
        from: Status,
        /// Whether it answers.
        to: Status,
    },
    /// The monitor stops the database here, which the other node has replaced.
    StoppedReplaced {
        /// How it knows.
        why: String,
    },
    /// The monitor began to look.
    Began,
    /// The monitor ended as it was told to.
    Ended,
    /// The data of both nodes were compared.
    Compared {
        /// Whether every row was the same.
        equal: bool,
        /// The result in one line.
        result: String,
    },
    /// A recovery was rehearsed.
    Rehearsed {
        /// Whether it found no defect.
        good: bool,
        /// The result in one line.
        result: String,
    },
}

impl Occurrence {
    /// A status that turned.
    #[must_use]
    pub fn status(at: UnixSeconds, from: Option<Verdict>, report: &Report) -> Self {
        let mut codes: Vec<String> = Vec::new();
        let bad = report
            .health
            .findings
            .iter()
            .filter(|finding| matches!(finding.severity, Severity::Failed | Severity::Unknown));
        for finding in bad {
            if !codes.iter().any(|code| code == finding.code) {
                codes.push(finding.code.to_owned());
            }
        }
        let role = report.node.as_ref().map(|node| node.role);
        Self { at, what: Happening::Status { from, to: report.verdict(), role, codes } }
    }

    /// An event that was announced.
    #[must_use]
    pub fn alarm(event: &AlarmEvent) -> Self {
        let what = Happening::Alarm { title: one_line(&event.title()), incident: one_line(&event.incident) };
        Self { at: event.at, what }
    }

    /// Whether it is bad news; `None` if it is neither good nor bad.
    #[must_use]
    pub fn is_bad(&self) -> Option<bool> {
        match &self.what {
            Happening::Status { to, .. } => Some(*to != Verdict::ALIVE),
            Happening::Compared { equal, .. } => Some(!equal),
            Happening::Rehearsed { good, .. } => Some(!good),
            Happening::StoppedReplaced { .. } => Some(true),
            Happening::Services { to, .. } => Some(*to != Status::Alive),
            Happening::Role { .. }
            | Happening::Alarm { .. }
            | Happening::ReceiverStarted { .. }
            | Happening::Began
            | Happening::Ended => None,
        }
    }

    /// Its kind, in one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.what {
            Happening::Status { .. } => "status",
            Happening::Role { .. } => "role",
            Happening::Alarm { .. } => "alarm",
            Happening::ReceiverStarted { .. } => "receiver",
            Happening::StoppedReplaced { .. } => "stop",
            Happening::Services { .. } => "product",
            Happening::Began | Happening::Ended => "monitor",
            Happening::Compared { .. } => "comparison",
            Happening::Rehearsed { .. } => "rehearsal",
        }
    }

    /// What happened, in one line.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.what {
            Happening::Status { from, to, codes, .. } => {
                let mut out = turned(*from, *to);
                if !codes.is_empty() {
                    out.push_str(" [");
                    out.push_str(&codes.join(", "));
                    out.push(']');
                }
                out
            }
            Happening::Role { from, to } => format!("this node was the {from} and is now the {to}"),
            Happening::Alarm { title, incident } => format!("announced: {title} [{incident}]"),
            Happening::ReceiverStarted { error, message, tries } => {
                let again = if *tries > 1 { format!(" (try {tries})") } else { String::new() };
                one_line(&format!(
                    "the monitor restarted the receiver here{again}, which had stopped with error {error}: {message}"
                ))
            }
            Happening::Services { on, from, to } => {
                format!("Password Manager Pro on the {on}: {from} -> {to}")
            }
            Happening::StoppedReplaced { why } => {
                one_line(&format!("the monitor stops the database of this node: {why}"))
            }
            Happening::Began => "the monitor began".into(),
            Happening::Ended => "the monitor ended".into(),
            Happening::Compared { result, .. } | Happening::Rehearsed { result, .. } => result.clone(),
        }
    }
}

fn turned(from: Option<Verdict>, to: Verdict) -> String {
    let words = [
        ("High Availability", from.map(|from| from.high_availability), to.high_availability),
        ("Replication", from.map(|from| from.replication), to.replication),
    ];
    let one = |(name, from, to): (&str, Option<Status>, Status)| match from {
        None => Some(format!("{name} {to}")),
        Some(from) if from != to => Some(format!("{name} {from} -> {to}")),
        Some(_) => None,
    };
    words.into_iter().filter_map(one).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {:<10}  {}", text_of(self.at), self.kind(), self.text())
    }
}

/// Returns the newest, at most so many.
///
/// It adds the last comparison and the last rehearsal before them.
#[must_use]
pub fn newest(mut all: Vec<Occurrence>, most: usize) -> Vec<Occurrence> {
    let recent = all.split_off(all.len().saturating_sub(most));
    let last = |is: fn(&Happening) -> bool| {
        let is_there = recent.iter().any(|found| is(&found.what));
        if is_there { None } else { all.iter().rposition(|found| is(&found.what)) }
    };
    let mut before = [
        last(|what| matches!(what, Happening::Compared { .. })),
        last(|what| matches!(what, Happening::Rehearsed { .. })),
    ];
    before.sort_unstable();
    let before = before.into_iter().flatten().map(|place| all[place].clone()).collect::<Vec<_>>();
    before.into_iter().chain(recent).collect()
}

/// A list of them, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Occurrences {
    /// [`SCHEMA`].
    schema: u32,
    /// The newest last.
    events: Vec<OccurrenceLine>,
}

/// One of the list, with the texts that people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct OccurrenceLine {
    time: String,
    text: String,
    #[serde(flatten)]
    occurrence: Occurrence,
}

impl From<Vec<Occurrence>> for Occurrences {
    fn from(list: Vec<Occurrence>) -> Self {
        let line = |occurrence: Occurrence| OccurrenceLine {
            time: text_of(occurrence.at),
            text: occurrence.text(),
            occurrence,
        };
        Self { schema: SCHEMA, events: list.into_iter().map(line).collect() }
    }
}

impl fmt::Display for Occurrences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.iter().try_for_each(|line| writeln!(f, "{}", line.occurrence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixSeconds = 1_770_091_445;

    fn all() -> Vec<Occurrence> {
        let down = Verdict { high_availability: Status::Failed, replication: Status::Unknown };
        let of = |what| Occurrence { at: AT, what };
        vec![
            of(Happening::Began),
            of(Happening::Status { from: None, to: Verdict::ALIVE, role: None, codes: vec![] }),
            of(Happening::Status {
                from: Some(Verdict::ALIVE),
                to: down,
                role: Some(Role::Primary),
                codes: vec!["peer-unreachable".into()],
            }),
            Occurrence::alarm(&AlarmEvent::test(AT, None, None)),
            of(Happening::Role { from: Role::Primary, to: Role::Secondary }),
            of(Happening::Compared { equal: true, result: "9 tables are equal".into() }),
            of(Happening::ReceiverStarted { error: 1597, message: "x\ny".into(), tries: 2 }),
            of(Happening::Services { on: Role::Primary, from: Status::Alive, to: Status::Failed }),
            of(Happening::StoppedReplaced { why: "the other node became the primary in epoch 3".into() }),
            of(Happening::Ended),
        ]
    }

    #[test]
    fn the_last_comparison_and_rehearsal_are_at_hand_however_much_has_happened_since() {
        let of = |at, what| Occurrence { at, what };
        let compared = |at| of(at, Happening::Compared { equal: true, result: String::new() });
        let rehearsed = of(2, Happening::Rehearsed { good: true, result: String::new() });
        let mut kept = vec![compared(1), rehearsed.clone(), compared(3)];
        for at in 4..1000 {
            kept.push(of(at, Happening::Began));
            kept = newest(kept, 200);
            assert!(kept.len() <= 202, "{}", kept.len());
        }
        assert_eq!(kept[..2], [rehearsed, compared(3)]);
        assert_eq!((kept.len(), kept[2].at), (202, 800));
        assert_eq!(newest(vec![compared(1), compared(2)], 2).len(), 2);
    }

    #[test]
    fn each_is_one_line_and_comes_back_from_its_json() {
        let text = Occurrences::from(all()).to_string();
        assert_eq!(
            text,
            "2026-02-03T04:04:05Z  monitor     the monitor began\n\
             2026-02-03T04:04:05Z  status      High Availability Alive, Replication Alive\n\
             2026-02-03T04:04:05Z  status      High Availability Alive -> Failed, Replication Alive -> Unknown [peer-unreachable]\n\
             2026-02-03T04:04:05Z  alarm       announced: Test of the alarms [test-20260203-040405]\n\
             2026-02-03T04:04:05Z  role        this node was the primary and is now the secondary\n\
             2026-02-03T04:04:05Z  comparison  9 tables are equal\n\
             2026-02-03T04:04:05Z  receiver    the monitor restarted the receiver here (try 2), which had stopped with error 1597: x y\n\
             2026-02-03T04:04:05Z  product     Password Manager Pro on the primary: Alive -> Failed\n\
             2026-02-03T04:04:05Z  stop        the monitor stops the database of this node: the other node became the primary in epoch 3\n\
             2026-02-03T04:04:05Z  monitor     the monitor ended\n"
        );
        for each in all() {
            let text = serde_json::to_string(&each).expect("JSON");
            assert_eq!(serde_json::from_str::<Occurrence>(&text).expect(&text), each);
        }
        let json = serde_json::to_value(Occurrences::from(all())).expect("JSON");
        assert_eq!(json["events"][2]["to"]["high_availability"], "Failed");
        assert_eq!(json["events"][2]["time"], "2026-02-03T04:04:05Z");
    }
}
