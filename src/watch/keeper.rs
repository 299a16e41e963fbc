//! Keeps the chronicle, in memory for the page and on disk. The monitor never waits for it.

use crate::adapters::chronicle::{Chronicle, Entries, KeptEntries};
use crate::adapters::clock;
use crate::adapters::home::Home;
use crate::domain::alarm::{AlarmEvent, UnixSeconds};
use crate::domain::chronicle::Sample;
use crate::domain::chronicle::availability::{Availability, Tally};
use crate::domain::chronicle::occurrence::{Happening, Occurrence, newest};
use crate::domain::chronicle::thinning::thinned;
use crate::domain::page::Remembered;
use crate::domain::page::chart::Period;
use crate::domain::pair::Role;
use crate::domain::report::{Report, Verdict};

/// Samples wait so long before they are written. A crash loses as much of them.
const WRITE_EVERY: u64 = 60;

/// How often old samples are made coarser.
const THIN_EVERY: u64 = 3600;

/// So many occurrences are at hand for the page.
const AT_HAND: usize = 200;

/// So many samples wait while the disk takes none.
const WAITING: usize = 20_000;

/// What one writing task was given, and the newest occurrences, which others may have added.
type WrittenTask = (Entries, anyhow::Result<Vec<Occurrence>>);

/// The keeper of one home's chronicle.
pub struct Keeper {
    chronicle: Chronicle,
    samples: Vec<Sample>,
    occurrences: Vec<Occurrence>,
    tally: Tally,
    pending: Entries,
    /// Seconds between two looks that still count as watching.
    patience: u64,
    last: Option<(Verdict, Role)>,
    wrote: UnixSeconds,
    thinned: UnixSeconds,
    writing: Option<tokio::task::JoinHandle<WrittenTask>>,
    warnings: Vec<String>,
}

impl Keeper {
    /// Reads what was kept. A chronicle that cannot be used is no reason not to watch.
    pub fn open(home: &Home, patience: u64) -> Self {
        let chronicle = Chronicle::at(home.chronicle());
        let mut warnings = Vec::new();
        match chronicle.set_aside_if_damaged() {
            Ok(false) => {}
            Ok(true) => warnings.push("the chronicle of events was damaged, and was set aside".to_owned()),
            Err(error) => warnings.push(format!("the chronicle of events cannot be used: {error:#}")),
        }
        let now = clock::seconds();
        let begin = now.saturating_sub(Period::Month.seconds());
        let read = || {
            let kept = chronicle.read(begin, UnixSeconds::MAX)?;
            let recent = if chronicle.has_begun() { chronicle.recent(AT_HAND)? } else { Vec::new() };
            anyhow::Ok(KeptEntries { occurrences: recent, ..kept })
        };
        let kept = read().unwrap_or_else(|error| {
            warnings.push(format!("the chronicle of events cannot be read: {error:#}"));
            KeptEntries::default()
        });
        Self {
            chronicle,
            samples: kept.samples,
            occurrences: kept.occurrences,
            tally: kept.tally,
            pending: Entries::default(),
            patience,
            last: None,
            wrote: 0,
            thinned: 0,
            writing: None,
            warnings,
        }
    }

    /// Records that the monitor begins.
    pub fn begin(&mut self) {
        self.note(Happening::Began);
    }

    /// Records a look, and what was announced.
    pub async fn see(&mut self, sample: Sample, report: &Report, announced: &[AlarmEvent]) {
        let (at, verdict) = (sample.at, sample.verdict);
        self.samples.push(sample);
        self.pending.samples.push(sample);
        self.tally.look(at, verdict, self.patience);
        let role = report.node.as_ref().map(|node| node.role);
        let was = self.last.map(|(was, _)| was).or_else(|| self.last_status());
        let had = self.last.map(|(_, had)| had).or_else(|| self.last_role());
        if was != Some(verdict) {
            self.happened(Occurrence::status(at, was, report));
        }
        if let (Some(from), Some(to)) = (had, role)
            && from != to
        {
            self.happened(Occurrence { at, what: Happening::Role { from, to } });
        }
        for (on, from, to) in report.products_turned() {
            self.happened(Occurrence { at, what: Happening::Services { on, from, to } });
        }
        for event in announced {
            self.happened(Occurrence::alarm(event));
        }
        self.last = role.map(|role| (verdict, role));
        self.write(at, false).await;
    }

    /// Records an occurrence that no look finds.
    pub fn note(&mut self, what: Happening) {
        self.happened(Occurrence { at: clock::seconds(), what });
    }

    /// Begins to write what waits, at once.
    pub async fn store(&mut self) {
        self.write(clock::seconds(), true).await;
    }

    fn happened(&mut self, occurrence: Occurrence) {
        self.occurrences.push(occurrence.clone());
        self.pending.occurrences.push(occurrence);
        self.occurrences = newest(std::mem::take(&mut self.occurrences), AT_HAND);
    }

    /// The status that was kept last.
    fn last_status(&self) -> Option<Verdict> {
        self.occurrences.iter().rev().find_map(|found| match &found.what {
            Happening::Status { to, .. } => Some(*to),
            _ => None,
        })
    }

    /// The role that was kept last.
    fn last_role(&self) -> Option<Role> {
        self.occurrences.iter().rev().find_map(|found| match &found.what {
            Happening::Role { to, .. } => Some(*to),
            Happening::Status { role, .. } => *role,
            _ => None,
        })
    }

    /// What the page shows of it.
    #[must_use]
    pub fn remembered(&self) -> Remembered {
        Remembered {
            samples: self.samples.clone(),
            occurrences: self.occurrences.clone(),
            availability: Some(Availability::from(&self.tally)),
        }
    }

    /// What happened, the newest last.
    #[must_use]
    pub fn occurrences(&self) -> &[Occurrence] {
        &self.occurrences
    }

    /// Returns what the operator should know, once.
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Writes what waits, if it is time, in a thread of its own.
    async fn write(&mut self, now: UnixSeconds, at_once: bool) {
        if let Some(writing) = self.writing.take_if(|writing| at_once || writing.is_finished()) {
            match writing.await {
                Ok((_, Ok(recent))) => {
                    self.occurrences = recent;
                    self.occurrences.extend(self.pending.occurrences.iter().cloned());
                }
                Ok((mut left, Err(error))) => {
                    self.warnings.push(format!("the chronicle of events cannot be written: {error:#}"));
                    left.samples.append(&mut self.pending.samples);
                    left.occurrences.append(&mut self.pending.occurrences);
                    let surplus = left.samples.len().saturating_sub(WAITING);
                    left.samples.drain(..surplus);
                    let surplus = left.occurrences.len().saturating_sub(WAITING);
                    left.occurrences.drain(..surplus);
                    self.pending = left;
                }
                Err(error) => self.warnings.push(format!("the chronicle of events was not written: {error}")),
            }
        }
        // An event is on the disk at once; samples wait for others.
        let is_due = !self.pending.occurrences.is_empty() || now >= self.wrote + WRITE_EVERY || at_once;
        let is_empty = self.pending.occurrences.is_empty() && self.pending.samples.is_empty();
        if self.writing.is_some() || !is_due || is_empty {
            return;
        }
        let mut entries = std::mem::take(&mut self.pending);
        entries.tally = Some(self.tally.clone());
        let thins = now >= self.thinned + THIN_EVERY;
        if thins {
            self.thinned = now;
            let begin = now.saturating_sub(Period::Month.seconds());
            self.samples.retain(|sample| sample.at >= begin);
            self.samples = thinned(&self.samples, now);
        }
        self.wrote = now;
        let chronicle = self.chronicle.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let write = || {
                chronicle.add(&entries)?;
                if thins {
                    chronicle.thin(now)?;
                }
                chronicle.recent(AT_HAND)
            };
            let written = write();
            (entries, written)
        }));
    }

    /// Writes everything, at the end. `is_over`: the monitor ends on request.
    pub async fn end(mut self, is_over: bool) -> Vec<String> {
        let now = clock::seconds();
        if is_over {
            self.happened(Occurrence { at: now, what: Happening::Ended });
        }
        // What is under way, and then what has come since.
        self.write(now, true).await;
        self.write(now, true).await;
        self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_samples_become_coarser_on_the_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let chronicle = Chronicle::at(folder.path().join("events.redb"));
        let now = 1_770_000_000;
        let sample = |at| Sample {
            at,
            verdict: Verdict::ALIVE,
            lag: None,
            back_lag: None,
            primary_beat: None,
            secondary_beat: None,
        };
        let mut keeper = Keeper {
            chronicle: chronicle.clone(),
            samples: Vec::new(),
            occurrences: Vec::new(),
            tally: Tally::default(),
            pending: Entries {
                samples: (0..600).map(|second| sample(now - 3 * 3600 + second)).collect(),
                ..Entries::default()
            },
            patience: 60,
            last: None,
            wrote: 0,
            thinned: 0,
            writing: None,
            warnings: Vec::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            keeper.write(now, true).await;
            keeper.write(now, true).await;
        });
        assert_eq!(keeper.warnings, Vec::<String>::new());
        assert_eq!(chronicle.read(0, 0).expect("read").samples.len(), 10);
    }
}
