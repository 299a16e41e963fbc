//! An event as an SNMP notification: its object identifiers and values. `templates/PMP-HA-MIB.txt`
//! describes them.

use super::bounded::cut;
use super::event::{AlarmEvent, AlarmKind};
use super::text_of;
use crate::domain::health::About;
use crate::domain::words::one_line;

/// The default place of our objects: the playground of Net-SNMP, which anybody may use.
pub const BASE: &str = "1.3.6.1.4.1.8072.9999.9999.7272";

/// A text is so long at most, so that the whole notification fits into one packet.
const LONGEST: usize = 255;

/// The value of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(u32),
}

/// The number of a notification, below `BASE.0`.
#[must_use]
pub fn notification(event: &AlarmEvent) -> u32 {
    match (event.kind, event.about) {
        (AlarmKind::Failed | AlarmKind::Reminder, Some(About::HighAvailability) | None) => 1,
        (AlarmKind::Alive, Some(About::HighAvailability) | None) => 2,
        (AlarmKind::Failed | AlarmKind::Reminder, Some(About::Replication)) => 3,
        (AlarmKind::Alive, Some(About::Replication)) => 4,
        (AlarmKind::Unknown, Some(About::HighAvailability) | None) => 5,
        (AlarmKind::Unknown, Some(About::Replication)) => 6,
        (AlarmKind::ChannelFailed, _) => 7,
        (AlarmKind::ChannelWorks, _) => 8,
        (AlarmKind::Test, _) => 9,
    }
}

/// The objects of a notification: each number is below `BASE.1`, and is a scalar.
#[must_use]
pub fn objects(event: &AlarmEvent) -> Vec<(u32, Value)> {
    let text = |text: &str| Value::Text(cut(ascii(&one_line(text)), LONGEST));
    let place = |place: &Option<crate::domain::report::PairNode>| {
        place.as_ref().map(|place| format!("{place} ({})", place.role)).unwrap_or_default()
    };
    let number = |number: u64| Value::Number(u32::try_from(number).unwrap_or(u32::MAX));
    vec![
        (1, text(&event.name())),
        (2, text(&place(&event.node))),
        (3, text(&place(&event.peer))),
        (4, text(&text_of(event.since))),
        (5, number(event.lasted.unwrap_or_else(|| event.at.saturating_sub(event.since)))),
        (6, text(&event.why_within(LONGEST))),
        (7, text(&event.what_to_do_within(LONGEST))),
        (8, text(&event.incident)),
        (9, Value::Number(event.message)),
    ]
}

/// The objects are of the type `DisplayString`, which is ASCII. Receivers show any other text as hexadecimal.
fn ascii(text: &str) -> String {
    text.replace('…', "...").chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alarm::event::Reason;
    use crate::domain::alarm::tests::example;

    #[test]
    fn the_mib_names_every_notification_and_object() {
        let mib = include_str!("../../../templates/PMP-HA-MIB.txt");
        for (number, _) in objects(&example()) {
            assert!(mib.contains(&format!("::= {{ pmpHaObjects {number} }}")), "object {number}");
        }
        for number in 1..=9 {
            assert!(mib.contains(&format!("::= {{ pmpHaNotifications {number} }}")), "notification {number}");
        }
        assert!(mib.contains("::= { netSnmpPlaypen 7272 }") && BASE.ends_with(".8072.9999.9999.7272"));
    }

    #[test]
    fn an_event_says_everything_in_one_packet() {
        let mut event = example();
        event.reasons[0].evidence = "ä".repeat(4000);
        assert_eq!(notification(&event), 1);
        let objects = objects(&event);
        assert_eq!(objects[0].1, Value::Text("High Availability Failed".into()));
        assert_eq!(objects[4], (5, Value::Number(20)));
        let bytes: usize = objects
            .iter()
            .map(|(_, value)| match value {
                Value::Text(text) => text.len(),
                Value::Number(_) => 4,
            })
            .sum();
        assert!(bytes < 1200, "{bytes}");
        assert!(matches!(&objects[5].1, Value::Text(why) if why.ends_with("???...")), "{objects:?}");
        let is_ascii = |value: &Value| !matches!(value, Value::Text(text) if !text.is_ascii());
        assert!(objects.iter().all(|(_, value)| is_ascii(value)), "{objects:?}");
        assert!(matches!(&objects[6].1, Value::Text(hint) if hint.ends_with("PORT`.")), "{objects:?}");
        // With several reasons, the first is told whole if it fits, and the others are counted.
        event.reasons[0].evidence = "refused".into();
        event.reasons.extend(vec![Reason { hint: "Wait.".into(), ..event.reasons[0].clone() }; 3]);
        let objects = super::objects(&event);
        for (at, end) in [(5, "refused; and 2 more"), (6, "PORT`. Wait.")] {
            assert!(matches!(&objects[at].1, Value::Text(text) if text.ends_with(end)), "{:?}", objects[at]);
        }
    }
}
