//! The chronicle on disk: the only file that uses redb.
//!
//! redb locks its file for one process. So it is open only for the moment of a reading or a writing,
//! and whoever finds it locked tries again.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use redb::{Database, DatabaseError, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition};

use super::system;
use crate::domain::alarm::UnixSeconds;
use crate::domain::chronicle::availability::Tally;
use crate::domain::chronicle::occurrence::{MOST, Occurrence, newest};
use crate::domain::chronicle::thinning::{KEPT, thinned};
use crate::domain::chronicle::{SAMPLE_BYTES, Sample};

/// Time of a sample → its figures.
const SAMPLES: TableDefinition<u64, &[u8; SAMPLE_BYTES]> = TableDefinition::new("samples");

/// Number of an occurrence → its JSON.
const OCCURRENCES: TableDefinition<u64, &[u8]> = TableDefinition::new("occurrences");

/// The one row of the tally → its JSON.
const TALLY: TableDefinition<u8, &[u8]> = TableDefinition::new("tally");

/// How long somebody else may have it open. Nobody has it for more than some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is tried again.
const TICK: Duration = Duration::from_millis(10);

/// How much of it is kept in memory while it is open.
const CACHE: usize = 2 << 20;

/// The chronicle of a home.
#[derive(Debug, Clone)]
pub struct Chronicle {
    path: PathBuf,
}

/// The file is no database any more.
#[derive(Debug, thiserror::Error)]
#[error("{path} is damaged: {why}")]
struct DamagedFile {
    path: String,
    why: String,
}

/// What the chronicle keeps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeptEntries {
    /// The samples that were asked for, the oldest first.
    pub samples: Vec<Sample>,
    /// The occurrences that were asked for, the oldest first.
    pub occurrences: Vec<Occurrence>,
    /// How long each status lasted.
    pub tally: Tally,
}

/// What is added to it at once.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// Samples; one of the same second replaces the one before.
    pub samples: Vec<Sample>,
    /// Occurrences.
    pub occurrences: Vec<Occurrence>,
    /// The new tally, if it has changed.
    pub tally: Option<Tally>,
}

impl Chronicle {
    /// The one at this path.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether a monitor has begun it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.path.exists()
    }

    /// Adds entries. They are on the disk when it returns, all or none.
    pub fn add(&self, entries: &Entries) -> Result<()> {
        self.guarded(|| self.add_to_whole(entries))
    }

    fn add_to_whole(&self, entries: &Entries) -> Result<()> {
        let database = self.open()?;
        let mut write = database.begin_write()?;
        // A cut of the power leaves the last state whole, even if its pages came out of order.
        write.set_two_phase_commit(true);
        {
            let mut samples = write.open_table(SAMPLES)?;
            for sample in &entries.samples {
                samples.insert(sample.at, &sample.to_bytes())?;
            }
            let mut occurrences = write.open_table(OCCURRENCES)?;
            let next = occurrences.last()?.map_or(0, |(key, _)| key.value() + 1);
            for (number, occurrence) in (next..).zip(&entries.occurrences) {
                occurrences.insert(number, serde_json::to_vec(occurrence)?.as_slice())?;
            }
            if let Some(tally) = &entries.tally {
                write.open_table(TALLY)?.insert(0, serde_json::to_vec(tally)?.as_slice())?;
            }
        }
        Ok(write.commit()?)
    }

    /// Reads it: the samples and occurrences since then.
    pub fn read(&self, samples_since: UnixSeconds, occurrences_since: UnixSeconds) -> Result<KeptEntries> {
        if !self.has_begun() {
            return Ok(KeptEntries::default());
        }
        self.guarded(|| self.read_whole(samples_since, occurrences_since))
    }

    fn read_whole(&self, samples_since: UnixSeconds, occurrences_since: UnixSeconds) -> Result<KeptEntries> {
        let database = self.open()?;
        let read = database.begin_read()?;
        let mut kept = KeptEntries::default();
        match read.open_table(SAMPLES) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(kept),
            Err(error) => return Err(error.into()),
            Ok(samples) => {
                for row in samples.range(samples_since..)? {
                    let (at, bytes) = row?;
                    kept.samples.extend(Sample::from_bytes(at.value(), bytes.value()));
                }
            }
        }
        for row in read.open_table(OCCURRENCES)?.iter()? {
            // What a later version wrote is left out.
            let occurrence: Option<Occurrence> = serde_json::from_slice(row?.1.value()).ok();
            kept.occurrences.extend(occurrence.filter(|found| found.at >= occurrences_since));
        }
        if let Ok(tally) = read.open_table(TALLY)
            && let Some(bytes) = tally.get(0)?
        {
            kept.tally = serde_json::from_slice(bytes.value()).unwrap_or_default();
        }
        Ok(kept)
    }

    /// Returns the newest occurrences, at most so many.
    ///
    /// It adds the last comparison and the last rehearsal before them.
    pub fn recent(&self, most: usize) -> Result<Vec<Occurrence>> {
        Ok(newest(self.read(u64::MAX, 0)?.occurrences, most))
    }

    /// Makes old samples coarser, and removes what is too old.
    pub fn thin(&self, now: UnixSeconds) -> Result<()> {
        self.guarded(|| self.thin_whole(now))
    }

    fn thin_whole(&self, now: UnixSeconds) -> Result<()> {
        let database = self.open()?;
        let write = database.begin_write()?;
        {
            let mut samples = write.open_table(SAMPLES)?;
            let mut before = BTreeMap::new();
            for row in samples.iter()? {
                let (at, bytes) = row?;
                before.insert(at.value(), *bytes.value());
            }
            let all: Vec<Sample> =
                before.iter().filter_map(|(at, bytes)| Sample::from_bytes(*at, bytes)).collect();
            let after: BTreeMap<u64, [u8; SAMPLE_BYTES]> =
                thinned(&all, now).into_iter().map(|sample| (sample.at, sample.to_bytes())).collect();
            for at in before.keys().filter(|at| !after.contains_key(at)) {
                samples.remove(at)?;
            }
            for (at, bytes) in after.iter().filter(|(at, bytes)| before.get(at) != Some(bytes)) {
                samples.insert(at, bytes)?;
            }
            let mut occurrences = write.open_table(OCCURRENCES)?;
            let count = usize::try_from(occurrences.len()?).unwrap_or(usize::MAX);
            let mut old = Vec::new();
            for (place, row) in occurrences.iter()?.enumerate() {
                let (number, bytes) = row?;
                let at = serde_json::from_slice(bytes.value()).map_or(now, |found: Occurrence| found.at);
                if place + MOST < count || now.saturating_sub(at) > KEPT {
                    old.push(number.value());
                }
            }
            for number in old {
                occurrences.remove(number)?;
            }
        }
        Ok(write.commit()?)
    }

    /// redb ends the thread that meets a file which was cut short. The watch goes on.
    fn guarded<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            bail!(DamagedFile {
                path: self.path.display().to_string(),
                why: "it is shorter than its header says, or its pages are in the wrong order".into()
            })
        })
    }

    fn open(&self) -> Result<Database> {
        let begun = Instant::now();
        loop {
            let file = system::open_private(&self.path)?;
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE);
            match builder.create_file(file) {
                Ok(database) => return Ok(database),
                Err(DatabaseError::DatabaseAlreadyOpen) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(TICK);
                }
                Err(DatabaseError::DatabaseAlreadyOpen) => {
                    bail!(
                        "another process has {} open for more than {} s",
                        self.path.display(),
                        PATIENCE.as_secs()
                    )
                }
                Err(DatabaseError::Storage(StorageError::Io(error)))
                    if error.kind() != std::io::ErrorKind::InvalidData =>
                {
                    return Err(error).with_context(|| format!("cannot open {}", self.path.display()));
                }
                Err(why) => {
                    bail!(DamagedFile { path: self.path.display().to_string(), why: why.to_string() })
                }
            }
        }
    }

    /// Sets a damaged file aside, so that a new one begins. Returns whether it did.
    pub fn set_aside_if_damaged(&self) -> Result<bool> {
        if !self.has_begun() {
            return Ok(false);
        }
        match self.read(0, 0) {
            Ok(_) => Ok(false),
            Err(error) if error.is::<DamagedFile>() => {
                fs::rename(&self.path, self.path.with_extension("damaged"))?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chronicle::occurrence::Happening;
    use crate::domain::health::Status;
    use crate::domain::pair::Role;
    use crate::domain::report::Verdict;

    const NOW: u64 = 1_770_000_000;

    fn sample(at: u64) -> Sample {
        Sample {
            at,
            verdict: Verdict::ALIVE,
            lag: Some(0.1),
            back_lag: None,
            primary_beat: None,
            secondary_beat: None,
        }
    }

    fn fresh() -> (tempfile::TempDir, Chronicle) {
        let folder = tempfile::tempdir().expect("a folder");
        let chronicle = Chronicle::at(folder.path().join("events.redb"));
        (folder, chronicle)
    }

    fn began(at: u64) -> Occurrence {
        Occurrence { at, what: Happening::Began }
    }

    #[test]
    fn what_was_added_is_there_and_old_samples_become_coarser() {
        let (_folder, chronicle) = fresh();
        assert_eq!(chronicle.read(0, 0).expect("read"), KeptEntries::default());
        assert!(!chronicle.has_begun(), "reading makes no file");
        let mut tally = Tally::default();
        tally.look(NOW, Verdict::ALIVE, 60);
        let entries = Entries {
            samples: (0..600).map(|n| sample(NOW - 3 * 3600 + n)).collect(),
            occurrences: vec![began(NOW - 500 * 86_400), began(NOW)],
            tally: Some(tally.clone()),
        };
        chronicle.add(&entries).expect("added");
        let kept = chronicle.read(0, NOW).expect("read");
        assert_eq!((kept.samples.len(), kept.occurrences, kept.tally), (600, vec![began(NOW)], tally));
        chronicle.thin(NOW).expect("thinned");
        let kept = chronicle.read(0, 0).expect("read");
        assert_eq!((kept.samples.len(), kept.occurrences.len()), (10, 1));
        assert_eq!(system::mode(&chronicle.path).expect("a mode"), 0o600);
    }

    #[test]
    fn it_is_read_while_it_is_written() {
        let (_folder, chronicle) = fresh();
        chronicle.add(&Entries::default()).expect("begun");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..10 {
                    let entries = Entries { samples: vec![sample(NOW + n)], ..Entries::default() };
                    chronicle.add(&entries).expect("added");
                }
            });
            let mut seen = 0;
            while seen < 10 {
                let now = chronicle.read(0, 0).expect("read").samples.len();
                assert!(now >= seen, "what was there stays there");
                seen = now;
                // As nobody reads without end, and the writer tries again only now and then.
                std::thread::sleep(Duration::from_millis(30));
            }
        });
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_never_stops_the_watch() {
        let (folder, chronicle) = fresh();
        fs::write(&chronicle.path, vec![b'x'; 70_000]).expect("written");
        assert!(chronicle.add(&Entries::default()).is_err());
        assert!(chronicle.set_aside_if_damaged().expect("set aside"));
        chronicle.add(&Entries { samples: vec![sample(NOW)], ..Entries::default() }).expect("a new one");
        assert!(folder.path().join("events.damaged").exists());
        assert!(!chronicle.set_aside_if_damaged().expect("it is whole"));
    }

    #[test]
    fn a_file_that_was_cut_short_is_damaged_and_ends_nobody() {
        let (_folder, chronicle) = fresh();
        let entries = Entries { samples: (0..600).map(|n| sample(NOW + n)).collect(), ..Entries::default() };
        chronicle.add(&entries).expect("added");
        let whole = fs::read(&chronicle.path).expect("readable");
        let mut damaged = 0;
        for part in 1..16 {
            fs::write(&chronicle.path, &whole[..whole.len() * part / 16]).expect("written");
            if chronicle.read(0, 0).is_err() {
                damaged += usize::from(chronicle.set_aside_if_damaged().expect("set aside"));
            }
            chronicle.add(&Entries { samples: vec![sample(NOW)], ..Entries::default() }).expect("a new one");
        }
        assert!(damaged > 8, "{damaged}");
    }

    /// No test: the child of the next one adds numbered occurrences until it is killed.
    #[test]
    #[ignore = "the child of what_a_killed_writer_had_added_is_there"]
    fn a_writer() {
        use std::io::Write as _;
        let Some(path) = std::env::var_os("PMP_HA_WRITER") else { return };
        let chronicle = Chronicle::at(PathBuf::from(path));
        let begin = chronicle.read(0, 0).expect("read").occurrences.len() as u64;
        for number in begin.. {
            let entries = Entries { occurrences: vec![began(NOW + number)], ..Entries::default() };
            chronicle.add(&entries).expect("added");
            writeln!(std::io::stdout(), "\nadded {number}").expect("told");
        }
    }

    #[test]
    fn what_a_killed_writer_had_added_is_there() {
        use std::io::BufRead;
        let (folder, chronicle) = fresh();
        let program = std::env::current_exe().expect("this program");
        for round in 0..20_u64 {
            let mut child = system::program(&program)
                .args(["--exact", "adapters::chronicle::tests::a_writer", "--ignored", "--nocapture"])
                .env("PMP_HA_WRITER", &chronicle.path)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("it runs");
            let lines = std::io::BufReader::new(child.stdout.take().expect("a pipe")).lines();
            let mut added = lines.map_while(Result::ok).filter_map(|line| {
                line.strip_prefix("added ").and_then(|number| number.parse::<usize>().ok())
            });
            let first = added.next().expect("it adds");
            // Each time at another moment of what it does next.
            std::thread::sleep(Duration::from_micros(round * 331));
            child.kill().expect("killed");
            child.wait().expect("it ends");
            let last = added.last().unwrap_or(first);
            let kept = chronicle.read(0, 0).expect("the file is whole").occurrences;
            assert!(kept.len() > last, "{last} of {}", kept.len());
            assert!(kept.iter().zip(NOW..).all(|(one, at)| one.at == at), "{kept:?}");
            assert!(!chronicle.set_aside_if_damaged().expect("looked at"));
        }
        assert!(!folder.path().join("events.damaged").exists());
    }

    /// No test: scripts/screenshots fills the charts of its pair with this.
    #[test]
    #[ignore = "it fills a chronicle for scripts/screenshots"]
    fn an_example_month() {
        let Some(path) = std::env::var_os("PMP_HA_EXAMPLE") else { return };
        let chronicle = Chronicle::at(PathBuf::from(path));
        let now = super::super::clock::seconds();
        let down = Verdict { high_availability: Status::Failed, replication: Status::Unknown };
        let (mut entries, mut tally) = (Entries::default(), Tally::default());
        let mut at = now - 45 * 86_400;
        let (mut noise, mut was) = (7_u64, None);
        while at < now {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = f32::from(u16::try_from(noise >> 48).expect("16 bits")) / 65_536.0;
            let age = now - at;
            let is_down = (912_000..913_500).contains(&age) || (30_000..30_400).contains(&age);
            let is_busy = age / 3600 % 24 == 15;
            let sample = Sample {
                at,
                verdict: if is_down { down } else { Verdict::ALIVE },
                lag: (!is_down)
                    .then_some(0.05 + 0.4 * share * share + if is_busy { 2.5 * share } else { 0.0 }),
                back_lag: (!is_down).then_some(0.1 + 0.3 * share),
                primary_beat: Some(0.2 + 1.8 * share),
                secondary_beat: (!is_down).then_some(2.0 - 1.8 * share),
            };
            if was != Some(sample.verdict) {
                let codes = if is_down { vec!["peer-unreachable".into()] } else { Vec::new() };
                let what =
                    Happening::Status { from: was, to: sample.verdict, role: Some(Role::Primary), codes };
                entries.occurrences.push(Occurrence { at, what });
            }
            was = Some(sample.verdict);
            tally.look(at, sample.verdict, 900);
            entries.samples.push(sample);
            at += if age > 7200 { 60 } else { 5 };
        }
        let result = "a rehearsal of the recovery found no defect".into();
        let what = Happening::Rehearsed { good: true, result };
        entries.occurrences.push(Occurrence { at: now - 4 * 86_400, what });
        entries.occurrences.sort_by_key(|occurrence| occurrence.at);
        entries.tally = Some(tally);
        chronicle.add(&entries).expect("added");
        chronicle.thin(now).expect("thinned");
    }
}
