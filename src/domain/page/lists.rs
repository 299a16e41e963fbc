//! The lists at the end of the page.

use super::markup::Markup;
use super::{Upkeep, bytes, class};
use crate::domain::alarm::outbox::AlarmFigures;
use crate::domain::alarm::{UnixSeconds, in_format, length};
use crate::domain::chronicle::availability::{Availability, percent};
use crate::domain::chronicle::occurrence::{Happening, Occurrence};

/// So many occurrences are shown.
const EVENTS: usize = 20;

/// What is known of the home: packs, comparisons, rehearsals, certificates and disk.
pub(super) fn upkeep(upkeep: &Upkeep, now: UnixSeconds) -> Markup {
    let ago = |at: UnixSeconds| format!("{} ago", length(now.saturating_sub(at)));
    let never = || "never".to_owned();
    let mut out = Markup::default();
    out.raw("<section data-part=\"upkeep\"><h2>Upkeep</h2><dl class=\"cards\">\n");
    let mut card = |name: &str, value: String, more: String| {
        out.element("<div><dt>", name, "</dt>").element("<dd>", value, "");
        out.element("<small>", more, "</small></dd></div>\n");
    };
    card("Last pack", upkeep.packed.map_or_else(never, ago), upkeep.packed.map_or_else(String::new, day));
    let judged = |deed: Option<(UnixSeconds, bool)>, good: &str, bad: &str| match deed {
        None => (never(), "since the monitor began to count".to_owned()),
        Some((at, is_good)) => (ago(at), if is_good { good } else { bad }.to_owned()),
    };
    let (value, more) = judged(upkeep.compared, "every row was the same", "rows differed");
    card("Last comparison", value, more);
    let (value, more) = judged(upkeep.rehearsed, "no defect", "it found a defect");
    card("Last rehearsal", value, more);
    for (whose, ends) in &upkeep.certificates {
        let name = whose.replacen("the c", "C", 1);
        card(&name, format!("{} days left", ends.saturating_sub(now) / 86_400), day(*ends));
    }
    let size = |number: Option<u64>| number.map_or_else(|| "unknown".into(), bytes);
    card("Binlogs", size(upkeep.binlogs), "of this node".into());
    card("Disk free", size(upkeep.free), "on the disk with the data of this node".into());
    if let Some(alarms) = &upkeep.alarms {
        let (value, more) = heard(alarms);
        card("Alarms", value, more);
    }
    out.raw("</dl></section>\n");
    out
}

/// Whether anybody hears of a failure.
fn heard(alarms: &AlarmFigures) -> (String, String) {
    let AlarmFigures { channels, waiting } = alarms;
    let named = |works: bool| {
        let names = channels.iter().filter(|(_, is)| *is == works).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (good, bad) = (named(true), named(false));
    if channels.is_empty() {
        ("no channel".into(), "nobody is told of a failure".into())
    } else if bad.is_empty() {
        (format!("through {good}"), format!("{waiting} messages wait"))
    } else {
        ("a channel fails".into(), format!("{bad} sends nothing; {waiting} messages wait"))
    }
}

fn day(at: UnixSeconds) -> String {
    in_format(at, "%Y-%m-%d %H:%M")
}

/// The months, the newest first.
pub(super) fn availability(table: Option<&Availability>) -> Markup {
    let mut out = Markup::default();
    out.raw("<section data-part=\"availability\"><h2>Availability</h2>\n");
    let Some(table) = table.filter(|table| !table.months.is_empty()) else {
        out.raw("<p class=\"empty\">No data yet.</p></section>\n");
        return out;
    };
    out.raw(
        "<div class=\"wide\"><table><thead><tr><th>Month</th><th>High Availability</th><th>Replication</th>",
    );
    out.raw("<th>Longest outage</th><th>Seen</th></tr></thead><tbody>");
    for line in table.months.iter().rev() {
        out.element("<tr><th scope=\"row\">", &line.month, "</th>");
        out.element("<td>", percent(line.high_availability_percent), "</td>");
        out.element("<td>", percent(line.replication_percent), "</td><td>");
        match line.longest_outage {
            None => out.raw("none"),
            Some(outage) => {
                out.text(length(outage.seconds)).raw(" <small>").text(day(outage.since)).raw("</small>")
            }
        };
        out.element("</td><td>", length(line.seen_seconds), "</td></tr>");
    }
    out.raw("</tbody></table></div></section>\n");
    out
}

/// What happened, the newest first.
pub(super) fn events(occurrences: &[Occurrence]) -> Markup {
    let mut out = Markup::default();
    out.raw("<section data-part=\"events\"><h2>Events</h2>\n");
    if occurrences.is_empty() {
        out.raw("<p class=\"empty\">Nothing has happened yet.</p>");
    }
    out.raw("<ol class=\"events\">");
    for occurrence in occurrences.iter().rev().take(EVENTS) {
        let colour = match (&occurrence.what, occurrence.is_bad()) {
            (Happening::Status { to, .. }, _) => class(to.high_availability.max(to.replication)),
            (_, Some(true)) => "failed",
            (_, Some(false)) => "alive",
            (_, None) => "none",
        };
        out.element(
            "<li><time>",
            in_format(occurrence.at, "%Y-%m-%d %H:%M:%S"),
            "</time> <span class=\"dot ",
        );
        out.raw(colour).raw("\"></span><span>").text(occurrence.text()).raw("</span></li>\n");
    }
    out.raw("</ol></section>\n");
    out
}
