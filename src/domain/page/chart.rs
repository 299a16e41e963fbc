//! Charts of the samples, as SVG without a script. A title describes them for screen readers.

use std::fmt::Write as _;

use super::markup::Markup;
use crate::domain::alarm::{UnixSeconds, in_format};
use crate::domain::chronicle::Sample;
use crate::domain::health::Status;

/// The time that a chart shows, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 30 days.
    Month,
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "Last hour",
            Self::Day => "Last day",
            Self::Month => "Last 30 days",
        }
    }

    /// The words below the begin and the middle.
    const fn marks(self) -> [&'static str; 2] {
        match self {
            Self::Hour => ["−60 min", "−30 min"],
            Self::Day => ["−24 h", "−12 h"],
            Self::Month => ["−30 d", "−15 d"],
        }
    }
}

/// One line of a chart.
#[derive(Debug, Clone, Copy)]
pub struct Curve {
    /// What it is of.
    pub name: &'static str,
    /// Its figure, in seconds.
    pub figure: fn(&Sample) -> Option<f32>,
}

/// So many points a line has at most: one for each of these parts of the time.
const COLUMNS: u64 = 120;

// The places in the drawing.
const LEFT: f32 = 40.0;
const RIGHT: f32 = 336.0;
const TOP: f32 = 10.0;
const BOTTOM: f32 = 110.0;

/// The samples, the worst of each part of the time.
fn columns(samples: &[Sample], period: Period, now: UnixSeconds) -> Vec<(u64, Sample)> {
    let begin = now.saturating_sub(period.seconds());
    let width = period.seconds() / COLUMNS;
    let mut out: Vec<(u64, Sample)> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.at >= begin && sample.at <= now) {
        let column = ((sample.at - begin) / width).min(COLUMNS - 1);
        match out.last_mut() {
            Some((last, worst)) if *last == column => *worst = worst.or_worse(*sample),
            _ => out.push((column, *sample)),
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "there are 120 columns")]
fn x_of(column: u64) -> f32 {
    LEFT + (column as f32 + 0.5) / COLUMNS as f32 * (RIGHT - LEFT)
}

/// The next round number above: 1, 2 or 5 times a power of ten, in seconds, and at least 1.
fn ceiling(highest: f32) -> f32 {
    let mut power = 1.0;
    while power < 1e9 {
        for step in [1.0, 2.0, 5.0] {
            if highest <= step * power {
                return step * power;
            }
        }
        power *= 10.0;
    }
    power
}

/// Seconds for people.
#[must_use]
pub fn seconds(value: f32) -> String {
    match value {
        ..10.0 if value.fract() == 0.0 => format!("{value:.0} s"),
        ..10.0 => format!("{value:.1} s"),
        10.0..300.0 => format!("{value:.0} s"),
        300.0..10_000.0 => format!("{:.0} min", value / 60.0),
        _ => format!("{:.0} h", value / 3600.0),
    }
}

/// The curve as a path: a new piece after each gap.
fn path(points: &[(u64, f32)], top: f32, is_area: bool) -> String {
    let mut out = String::new();
    let y_of = |value: f32| BOTTOM - (value / top).clamp(0.0, 1.0) * (BOTTOM - TOP);
    let mut pieces: Vec<Vec<(u64, f32)>> = Vec::new();
    for point in points {
        match pieces.last_mut() {
            Some(piece) if piece.last().is_some_and(|last| point.0 - last.0 <= 2) => piece.push(*point),
            _ => pieces.push(vec![*point]),
        }
    }
    for piece in pieces {
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else { continue };
        // ignored, here and below: writing into a string cannot fail
        if is_area {
            let _ = write!(out, "M{:.1} {BOTTOM:.1}", x_of(first.0));
        }
        for (number, (column, value)) in piece.iter().enumerate() {
            let letter = if number == 0 && !is_area { 'M' } else { 'L' };
            let _ = write!(out, "{letter}{:.1} {:.1}", x_of(*column), y_of(*value));
        }
        if is_area {
            let _ = write!(out, "L{:.1} {BOTTOM:.1}Z", x_of(last.0));
        } else if piece.len() == 1 {
            // A single point is drawn as a dot.
            out.push_str("h.1");
        }
    }
    out
}

/// The words of a chart for whoever does not see it.
fn summary(what: &str, curves: [Curve; 2], columns: &[(u64, Sample)], period: Period) -> String {
    let mut out = format!("{what}, {}", period.name().to_lowercase());
    let mut separator = ':';
    for curve in curves {
        let figures = || columns.iter().filter_map(|(_, sample)| (curve.figure)(sample));
        let Some(highest) = figures().reduce(f32::max) else { continue };
        let latest = figures().next_back().unwrap_or(highest);
        let _ = write!(
            out,
            "{separator} {}: at most {}, latest {}",
            curve.name,
            seconds(highest),
            seconds(latest)
        );
        separator = ';';
    }
    out.push_str(if separator == ':' { ": nothing was measured." } else { "." });
    out
}

/// Returns the chart of two curves, with the worse status of each moment below it.
#[must_use]
pub fn chart(
    what: &'static str,
    curves: [Curve; 2],
    samples: &[Sample],
    period: Period,
    now: UnixSeconds,
) -> Markup {
    let columns = columns(samples, period, now);
    let points = |curve: Curve| -> Vec<(u64, f32)> {
        let point = |(column, sample): &(u64, Sample)| (curve.figure)(sample).map(|figure| (*column, figure));
        columns.iter().filter_map(point).collect()
    };
    let lines = curves.map(points);
    let highest = lines.iter().flatten().map(|(_, value)| *value).fold(0.0, f32::max);
    let top = ceiling(highest);
    let mut out = Markup::default();
    out.raw("<svg class=\"chart\" viewBox=\"0 0 340 150\" role=\"img\"><title>");
    out.text(summary(what, curves, &columns, period)).raw("</title>");
    for (share, value) in [(0.0, 0.0), (0.5, top / 2.0), (1.0, top)] {
        let y = BOTTOM - share * (BOTTOM - TOP);
        out.raw("<path class=\"grid\" d=\"").text(format!("M{LEFT:.0} {y:.1}H{RIGHT:.0}")).raw("\"/>");
        out.raw("<text class=\"mark\" text-anchor=\"end\" x=\"34\" y=\"").text(format!("{:.1}", y + 3.5));
        out.element("\">", seconds(value), "</text>");
    }
    let [first, second] = &lines;
    out.raw("<path class=\"area\" d=\"").text(path(first, top, true)).raw("\"/>");
    out.raw("<path class=\"curve other\" d=\"").text(path(second, top, false)).raw("\"/>");
    out.raw("<path class=\"curve\" d=\"").text(path(first, top, false)).raw("\"/>");
    out.put(&strip(&columns, period, now));
    let [begin, middle] = period.marks();
    out.raw("<text class=\"mark\" x=\"40\" y=\"143\">").text(begin).raw("</text>");
    out.raw("<text class=\"mark\" text-anchor=\"middle\" x=\"188\" y=\"143\">").text(middle).raw("</text>");
    out.raw("<text class=\"mark\" text-anchor=\"end\" x=\"336\" y=\"143\">now</text></svg>");
    out
}

/// The statuses as a strip: equal neighbours are one piece.
fn strip(columns: &[(u64, Sample)], period: Period, now: UnixSeconds) -> Markup {
    let worse = |sample: &Sample| sample.verdict.high_availability.max(sample.verdict.replication);
    let mut pieces: Vec<(u64, u64, Status)> = Vec::new();
    for (column, sample) in columns {
        match pieces.last_mut() {
            Some((_, end, status)) if *status == worse(sample) && column - *end <= 1 => *end = column + 1,
            _ => pieces.push((*column, column + 1, worse(sample))),
        }
    }
    let begin = now.saturating_sub(period.seconds());
    let time = |column: u64| {
        let format = if period == Period::Month { "%d %b %H:%M" } else { "%H:%M" };
        in_format(begin + column * (period.seconds() / COLUMNS), format)
    };
    let mut out = Markup::default();
    out.raw("<rect class=\"strip\" x=\"40\" y=\"118\" width=\"296\" height=\"6\" rx=\"3\"/>");
    for (from, to, status) in pieces {
        out.raw(match status {
            Status::Alive => "<rect class=\"alive\" y=\"118\" height=\"6\" x=\"",
            Status::Unknown => "<rect class=\"unknown\" y=\"118\" height=\"6\" x=\"",
            Status::Failed => "<rect class=\"failed\" y=\"118\" height=\"6\" x=\"",
        });
        let (left, right) = (x_of(from) - 1.25, x_of(to) - 1.25);
        out.text(format!("{left:.1}")).raw("\" width=\"").text(format!("{:.1}", right - left));
        out.element("\"><title>", format!("{status}, {} to {} UTC", time(from), time(to)), "</title></rect>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::Verdict;

    const NOW: u64 = 1_770_091_500;
    const LAG: [Curve; 2] = [
        Curve { name: "to the secondary", figure: |sample| sample.lag },
        Curve { name: "audit rows back", figure: |sample| sample.back_lag },
    ];

    fn sample(at: u64, lag: Option<f32>) -> Sample {
        Sample { at, verdict: Verdict::ALIVE, lag, back_lag: None, primary_beat: None, secondary_beat: None }
    }

    #[test]
    fn a_chart_has_gaps_where_nothing_was_measured_and_a_title() {
        let mut samples: Vec<Sample> = (0..40).map(|n| sample(NOW - 3590 + 30 * n, Some(0.5))).collect();
        samples.extend((60..120).map(|n| sample(NOW - 3590 + 30 * n, Some(3.0))));
        samples[99].verdict.high_availability = Status::Failed;
        let svg = chart("Lag", LAG, &samples, Period::Hour, NOW).html();
        assert!(
            svg.contains("<title>Lag, last hour: to the secondary: at most 3 s, latest 3 s.</title>"),
            "{svg}"
        );
        let curve = svg
            .split("class=\"curve\" d=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("a curve");
        assert_eq!(curve.matches('M').count(), 2, "{curve}");
        assert_eq!(curve.matches('L').count(), 98, "{curve}");
        assert!(svg.contains(">5 s</text>"), "the scale: {svg}");
        assert_eq!(svg.matches("class=\"alive\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("class=\"failed\"").count(), 1, "{svg}");
        let empty = chart("Lag", LAG, &[], Period::Month, NOW).html();
        assert!(empty.contains("nothing was measured"), "{empty}");
        assert!(!format!("{svg}{empty}").contains("NaN"));
    }

    #[test]
    fn a_month_of_samples_is_drawn_with_few_points() {
        let samples: Vec<Sample> = (0..2880).map(|n| sample(NOW - 2_592_000 + 900 * n, Some(0.2))).collect();
        let svg = chart("Lag", LAG, &samples, Period::Month, NOW).html();
        assert!(svg.len() < 6000, "{} bytes", svg.len());
        assert!(chart("Lag", LAG, &[sample(NOW - 5, Some(0.1))], Period::Day, NOW).html().contains("h.1"));
    }

    #[test]
    fn scales_are_round_and_lengths_short() {
        assert_eq!(
            [0.0, 0.4, 1.2, 3.0, 7.0, 11.0, 90.0].map(|highest| ceiling(highest).to_string()),
            ["1", "1", "2", "5", "10", "20", "100"]
        );
        let told = [0.0, 0.5, 2.0, 12.4, 300.0, 7200.0, 50_000.0].map(seconds);
        assert_eq!(told, ["0 s", "0.5 s", "2 s", "12 s", "5 min", "120 min", "14 h"]);
    }
}
