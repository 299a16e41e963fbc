//! The chronicle: what the monitor stores about a pair.
//!
//! [`Sample`] is a look reduced to its figures, [`occurrence`] is what changed, [`thinning`] makes old
//! samples coarser, and [`availability`] counts how long each status lasted.

pub mod availability;
pub mod occurrence;
pub mod since;
pub mod thinning;

use super::alarm::UnixSeconds;
use super::health::Status;
use super::lag;
use super::pair::Role;
use super::report::{Report, Verdict};
use super::snapshot::Snapshot;

/// The figures of one look, or the worst of several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When; of several looks, the begin of their time.
    pub at: UnixSeconds,
    /// The two words.
    pub verdict: Verdict,
    /// How far the secondary was behind, in seconds; `None` while it was unknown.
    pub lag: Option<f32>,
    /// How far the primary was behind with audit rows.
    pub back_lag: Option<f32>,
    /// How old the newest heartbeat of the primary was, in its own server.
    pub primary_beat: Option<f32>,
    /// The same of the secondary.
    pub secondary_beat: Option<f32>,
}

/// How many bytes a sample takes in the chronicle, without its time.
pub const SAMPLE_BYTES: usize = 17;

impl Sample {
    /// Reduces a look to a sample.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a lag needs no more than seven digits")]
    pub fn of(at: UnixSeconds, report: &Report, snapshot: &Snapshot) -> Self {
        let short = |seconds: Option<f64>| seconds.map(|seconds| seconds as f32);
        Self {
            at,
            verdict: report.verdict(),
            lag: short(report.measures.lag_seconds),
            back_lag: short(report.measures.back_lag_seconds),
            primary_beat: short(beat_age(snapshot, Role::Primary)),
            secondary_beat: short(beat_age(snapshot, Role::Secondary)),
        }
    }

    /// The worse of each figure. The time stays.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        let worse = |a: Option<f32>, b: Option<f32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        let (a, b) = (self.verdict, other.verdict);
        Self {
            at: self.at,
            verdict: Verdict {
                high_availability: a.high_availability.max(b.high_availability),
                replication: a.replication.max(b.replication),
            },
            lag: worse(self.lag, other.lag),
            back_lag: worse(self.back_lag, other.back_lag),
            primary_beat: worse(self.primary_beat, other.primary_beat),
            secondary_beat: worse(self.secondary_beat, other.secondary_beat),
        }
    }

    /// Its bytes, without the time.
    #[must_use]
    pub fn to_bytes(self) -> [u8; SAMPLE_BYTES] {
        let number = |status| match status {
            Status::Alive => 0,
            Status::Unknown => 1,
            Status::Failed => 2,
        };
        let mut out = [0; SAMPLE_BYTES];
        out[0] = 3 * number(self.verdict.high_availability) + number(self.verdict.replication);
        for (place, figure) in out[1..].chunks_exact_mut(4).zip(self.figures()) {
            place.copy_from_slice(&figure.unwrap_or(f32::NAN).to_le_bytes());
        }
        out
    }

    /// Reads its bytes; `None` if they are not those of a sample.
    #[must_use]
    pub fn from_bytes(at: UnixSeconds, bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first().filter(|_| bytes.len() == SAMPLE_BYTES)?;
        let status = |number: u8| match number {
            0 => Some(Status::Alive),
            1 => Some(Status::Unknown),
            2 => Some(Status::Failed),
            _ => None,
        };
        let figure = |place: usize| {
            let bytes: [u8; 4] = rest.get(4 * place..4 * place + 4)?.try_into().ok()?;
            Some(f32::from_le_bytes(bytes)).filter(|figure| figure.is_finite() && *figure >= 0.0)
        };
        Some(Self {
            at,
            verdict: Verdict { high_availability: status(first / 3)?, replication: status(first % 3)? },
            lag: figure(0),
            back_lag: figure(1),
            primary_beat: figure(2),
            secondary_beat: figure(3),
        })
    }

    fn figures(self) -> [Option<f32>; 4] {
        [self.lag, self.back_lag, self.primary_beat, self.secondary_beat]
    }
}

/// Returns how old the newest heartbeat is that the server in `role` wrote by itself.
#[must_use]
pub fn beat_age(snapshot: &Snapshot, role: Role) -> Option<f64> {
    let number = snapshot.membership.pair.node(role).number;
    let server = snapshot.server(role)?;
    let beat = server.beat_of(number).filter(|beat| beat.by_event > 0)?;
    Some(lag::seconds(server.clock - beat.by_event))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn sample(at: UnixSeconds, lag: Option<f32>) -> Sample {
        Sample {
            at,
            verdict: Verdict::ALIVE,
            lag,
            back_lag: None,
            primary_beat: Some(1.0),
            secondary_beat: None,
        }
    }

    #[test]
    fn a_sample_comes_back_from_its_bytes() {
        let failed = Verdict { high_availability: Status::Failed, replication: Status::Unknown };
        for sample in [sample(7, Some(0.25)), sample(7, None), Sample { verdict: failed, ..sample(7, None) }]
        {
            assert_eq!(Sample::from_bytes(7, &sample.to_bytes()), Some(sample));
        }
        assert_eq!(Sample::from_bytes(7, &[0; 3]), None);
        let mut foreign = sample(7, None).to_bytes();
        foreign[0] = 9;
        assert_eq!(Sample::from_bytes(7, &foreign), None);
    }

    #[test]
    fn of_two_samples_the_worse_figures_stay() {
        let failed = Verdict { high_availability: Status::Alive, replication: Status::Failed };
        let worse = sample(60, Some(0.5)).or_worse(Sample {
            verdict: failed,
            back_lag: Some(3.0),
            ..sample(65, None)
        });
        assert_eq!(worse, Sample { verdict: failed, back_lag: Some(3.0), ..sample(60, Some(0.5)) });
    }
}
