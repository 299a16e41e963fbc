//! Makes old samples coarser: each sample keeps the worst figures of its time.

use std::collections::BTreeMap;

use super::Sample;
use crate::domain::alarm::UnixSeconds;

/// How long the chronicle keeps anything: 13 months.
pub const KEPT: u64 = 396 * DAY;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// From which age on samples stand for how much time, the oldest first. Each length divides the one
/// before it, so that samples which were made coarser can be made coarser again.
const STEPS: [(u64, u64); 3] = [(35 * DAY, HOUR), (2 * DAY, 15 * 60), (2 * HOUR, 60)];

/// At most so many samples are kept, with a look every second.
pub const MOST: u64 = 2 * HOUR + 2 * DAY / 60 + 35 * DAY / (15 * 60) + KEPT / HOUR + 4;

/// Returns the samples as they are to be kept at `now`. It may be done again and again.
#[must_use]
pub fn thinned(samples: &[Sample], now: UnixSeconds) -> Vec<Sample> {
    let mut kept: BTreeMap<UnixSeconds, Sample> = BTreeMap::new();
    for sample in samples {
        // A clock that was set back leaves samples of the future: they stay until they are old.
        let age = now.saturating_sub(sample.at);
        if age > KEPT {
            continue;
        }
        let step = STEPS.iter().find(|(from, _)| age > *from).map_or(1, |(_, step)| *step);
        let at = sample.at - sample.at % step;
        let sample = Sample { at, ..*sample };
        kept.entry(at).and_modify(|there| *there = there.or_worse(sample)).or_insert(sample);
    }
    kept.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::domain::health::Status;
    use crate::domain::report::Verdict;

    const NOW: u64 = 1_770_000_000;

    #[test]
    fn old_samples_become_coarser_and_the_worst_figures_stay() {
        let failed = Verdict { high_availability: Status::Failed, replication: Status::Unknown };
        let begin = NOW - 3 * HOUR;
        let mut samples: Vec<Sample> = (0..60).map(|second| sample(begin + second, Some(0.1))).collect();
        samples[30] = Sample { verdict: failed, lag: Some(9.0), ..samples[30] };
        samples.push(sample(NOW - 5, Some(0.2)));
        let kept = thinned(&samples, NOW);
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!((kept[0].at, kept[0].lag, kept[0].verdict), (begin - begin % 60, Some(9.0), failed));
        assert_eq!(kept[1], samples[60]);
    }

    #[test]
    fn thirteen_months_of_looks_every_second_are_bounded_however_often_they_are_thinned() {
        let (mut kept, mut now, mut most) = (Vec::new(), NOW, 0);
        // A look every ten minutes through the months, and every second at the end.
        while now < NOW + 400 * DAY {
            kept.push(sample(now, Some(0.1)));
            now += 600;
            if now % (5 * DAY) < 600 {
                kept = thinned(&kept, now);
            }
        }
        for _ in 0..3 * HOUR {
            kept.push(sample(now, Some(0.1)));
            now += 1;
        }
        kept = thinned(&kept, now);
        most = most.max(kept.len());
        assert!(u64::try_from(most).expect("a number") <= MOST, "{most} of {MOST}");
        assert!(kept[0].at + KEPT + HOUR >= now, "{} is too old", kept[0].at);
        assert!(kept.is_sorted_by(|a, b| a.at < b.at));
        assert_eq!(thinned(&kept, now), kept, "a second time changes nothing");
    }

    #[test]
    fn each_step_can_be_made_coarser_again() {
        for pair in STEPS.windows(2) {
            assert!(pair[0].0 > pair[1].0 && pair[0].1 % pair[1].1 == 0, "{pair:?}");
        }
    }
}
