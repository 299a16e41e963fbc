//! How long each status lasted, month by month. It is counted per look and needs no samples.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::alarm::{UnixSeconds, in_format, length, text_of};
use crate::domain::health::{About, Status};
use crate::domain::report::Verdict;

/// So many months are kept, this one included.
const MONTHS: usize = 13;

/// The seconds of one status in one month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lasted {
    /// Seconds of Alive.
    pub alive: u64,
    /// Seconds of Failed.
    pub failed: u64,
    /// Seconds of Unknown.
    pub unknown: u64,
}

impl Lasted {
    /// The part of the time that was seen in which it was Alive, in percent. `None` if nothing was seen.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the seconds of a month are far below 2^52")]
    pub fn percent(self) -> Option<f64> {
        let seen = self.alive + self.failed;
        (seen > 0).then(|| 100.0 * self.alive as f64 / seen as f64)
    }

    fn add(&mut self, status: Status, seconds: u64) {
        match status {
            Status::Alive => self.alive += seconds,
            Status::Failed => self.failed += seconds,
            Status::Unknown => self.unknown += seconds,
        }
    }
}

/// A time of Failed, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Which status it was.
    pub about: About,
    /// Its first look.
    pub since: UnixSeconds,
    /// How long it lasted, in seconds, or the part of it in this month.
    pub seconds: u64,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} ({})", length(self.seconds), text_of(self.since), self.about)
    }
}

/// One month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthTally {
    /// Of the connection.
    pub high_availability: Lasted,
    /// Of the applying.
    pub replication: Lasted,
    /// The longest time of Failed.
    pub longest: Option<Outage>,
}

/// The totals, and where the next look continues.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The months, `2026-02`, the oldest first.
    pub months: BTreeMap<String, MonthTally>,
    last: Option<(UnixSeconds, Verdict)>,
    /// Since when each status is Failed, in the order of [`ABOUT`].
    failed_since: [Option<UnixSeconds>; 2],
}

const ABOUT: [About; 2] = [About::HighAvailability, About::Replication];

impl Tally {
    /// Counts the time since the last look. A gap of more than `patience` seconds does not count.
    pub fn look(&mut self, at: UnixSeconds, verdict: Verdict, patience: u64) {
        if let Some((before, was)) = self.last
            && at > before
        {
            if at - before <= patience {
                self.count(before, at, was);
            } else {
                self.failed_since = [None, None];
            }
        }
        for (since, status) in self.failed_since.iter_mut().zip(words(verdict)) {
            *since = match status {
                Status::Failed => since.or(Some(at)),
                // Unknown ends no outage, and begins none.
                Status::Unknown => *since,
                Status::Alive => None,
            };
        }
        self.last = Some((at, verdict));
        while self.months.len() > MONTHS {
            self.months.pop_first();
        }
    }

    fn count(&mut self, from: UnixSeconds, to: UnixSeconds, verdict: Verdict) {
        let mut begin = from;
        while begin < to {
            let month_begins = begin_of_month(begin);
            let end = begin_of_month(month_begins + 32 * 86_400).clamp(begin + 1, to.max(begin + 1));
            let month = self.months.entry(in_format(begin, "%Y-%m")).or_default();
            let [high_availability, replication] = words(verdict);
            month.high_availability.add(high_availability, end - begin);
            month.replication.add(replication, end - begin);
            for ((about, since), status) in ABOUT.into_iter().zip(self.failed_since).zip(words(verdict)) {
                let Some(since) = since.filter(|_| status == Status::Failed) else { continue };
                let since = since.max(month_begins);
                let outage = Outage { about, since, seconds: end - since };
                if month.longest.is_none_or(|longest| longest.seconds < outage.seconds) {
                    month.longest = Some(outage);
                }
            }
            begin = end;
        }
    }
}

fn words(verdict: Verdict) -> [Status; 2] {
    [verdict.high_availability, verdict.replication]
}

fn begin_of_month(at: UnixSeconds) -> UnixSeconds {
    let begin = || {
        let day =
            jiff::Timestamp::from_second(i64::try_from(at).ok()?).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
        let first = day.date().first_of_month().to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        u64::try_from(first.timestamp().as_second()).ok()
    };
    begin().unwrap_or(at)
}

/// The months as a table, for people and for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Availability {
    /// The months, the newest last.
    pub months: Vec<MonthLine>,
}

/// One month of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthLine {
    /// `2026-02`.
    pub month: String,
    /// The connection: percent of the time seen.
    pub high_availability_percent: Option<f64>,
    /// The applying: percent of the time seen.
    pub replication_percent: Option<f64>,
    /// The seconds in which a status was seen.
    pub seen_seconds: u64,
    /// The longest time of Failed.
    pub longest_outage: Option<Outage>,
}

impl From<&Tally> for Availability {
    fn from(tally: &Tally) -> Self {
        let line = |(month, tally): (&String, &MonthTally)| MonthLine {
            month: month.clone(),
            high_availability_percent: tally.high_availability.percent(),
            replication_percent: tally.replication.percent(),
            seen_seconds: tally.high_availability.alive + tally.high_availability.failed,
            longest_outage: tally.longest,
        };
        Self { months: tally.months.iter().map(line).collect() }
    }
}

/// A percentage that is 100 only for the whole time: it is truncated, not rounded.
#[must_use]
pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{:.3} %", (value * 1000.0).floor() / 1000.0))
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.months.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "{:<7}  {:>17}  {:>11}  {:>9}  longest outage",
            "month", "High Availability", "Replication", "seen"
        )?;
        for line in &self.months {
            let longest = line.longest_outage.map_or_else(|| "none".into(), |outage| outage.to_string());
            writeln!(
                f,
                "{:<7}  {:>17}  {:>11}  {:>9}  {longest}",
                line.month,
                percent(line.high_availability_percent),
                percent(line.replication_percent),
                length(line.seen_seconds)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Verdict = Verdict { high_availability: Status::Failed, replication: Status::Unknown };

    fn at(text: &str) -> UnixSeconds {
        u64::try_from(text.parse::<jiff::Timestamp>().expect("a time").as_second()).expect("after 1970")
    }

    /// Looks every `step` seconds, `from` and `to` included.
    fn looks(tally: &mut Tally, from: &str, to: &str, verdict: Verdict) {
        for second in (at(from)..=at(to)).step_by(10) {
            tally.look(second, verdict, 60);
        }
    }

    #[test]
    fn each_month_has_its_percent_and_its_longest_outage() {
        let mut tally = Tally::default();
        looks(&mut tally, "2026-01-31T23:00:00Z", "2026-01-31T23:49:50Z", Verdict::ALIVE);
        looks(&mut tally, "2026-01-31T23:50:00Z", "2026-02-01T00:29:50Z", DOWN);
        looks(&mut tally, "2026-02-01T00:30:00Z", "2026-02-01T01:00:00Z", Verdict::ALIVE);
        let table = Availability::from(&tally);
        assert_eq!(
            table.to_string(),
            "month    High Availability  Replication       seen  longest outage\n\
             2026-01           83.333 %    100.000 %        1 h  10 min from 2026-01-31T23:50:00Z (High Availability)\n\
             2026-02           50.000 %    100.000 %        1 h  30 min from 2026-02-01T00:00:00Z (High Availability)\n"
        );
        let json = serde_json::to_value(&table).expect("JSON");
        assert_eq!(json["months"][1]["longest_outage"]["seconds"], 1800);
    }

    #[test]
    fn what_nobody_watched_counts_for_nothing() {
        let mut tally = Tally::default();
        looks(&mut tally, "2026-02-01T00:00:00Z", "2026-02-01T00:10:00Z", DOWN);
        // The monitor was down for a day, and so perhaps was the pair.
        looks(&mut tally, "2026-02-02T00:00:00Z", "2026-02-02T00:05:00Z", DOWN);
        let month = tally.months["2026-02"];
        assert_eq!(month.high_availability, Lasted { alive: 0, failed: 900, unknown: 0 });
        assert_eq!(month.longest.map(|outage| outage.seconds), Some(600));
        // Nor does a clock that was set back.
        tally.look(at("2026-02-01T12:00:00Z"), Verdict::ALIVE, 60);
        assert_eq!(tally.months["2026-02"], month);
    }

    #[test]
    fn unknown_ends_no_outage_and_is_neither_alive_nor_failed() {
        let mut tally = Tally::default();
        let blind = Verdict { high_availability: Status::Unknown, replication: Status::Unknown };
        looks(&mut tally, "2026-02-01T00:00:00Z", "2026-02-01T00:04:50Z", DOWN);
        looks(&mut tally, "2026-02-01T00:05:00Z", "2026-02-01T00:09:50Z", blind);
        looks(&mut tally, "2026-02-01T00:10:00Z", "2026-02-01T00:15:00Z", DOWN);
        let month = tally.months["2026-02"];
        assert_eq!(month.high_availability, Lasted { alive: 0, failed: 600, unknown: 300 });
        assert_eq!(month.longest.map(|outage| outage.seconds), Some(900));
        assert_eq!(Availability::from(&Tally::default()).to_string(), "");
    }

    #[test]
    fn thirteen_months_are_kept_and_come_back_from_their_text() {
        let mut tally = Tally::default();
        for day in 0..500 {
            let begin = at("2026-01-01T00:00:00Z") + day * 86_400;
            tally.look(begin, Verdict::ALIVE, 60);
            tally.look(begin + 60, Verdict::ALIVE, 60);
        }
        assert_eq!(tally.months.len(), 13);
        assert_eq!(tally.months.keys().next().map(String::as_str), Some("2026-05"));
        let text = serde_json::to_string(&tally).expect("JSON");
        assert_eq!(serde_json::from_str::<Tally>(&text).expect("a tally"), tally);
        assert_eq!(percent(Some(99.999_99)), "99.999 %");
    }
}
