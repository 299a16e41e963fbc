//! How much room there is, and on which day the binlogs have taken it.

use super::advice::Points;
use super::report::{DoctorTopic, Grade};
use super::scene::{DiskSeen, DoctorScene};
use crate::domain::certificate::{DAY, day};
use crate::domain::judge::{DISK_FULL, DISK_LOW};
use crate::domain::pair::Role;
use crate::domain::plan::Bytes;

/// Binlogs of a shorter time tell nothing of the future.
const LONG_ENOUGH: i64 = 6 * 3600;

/// Somebody must act when the disk lasts so many days, or must have acted.
const WARN: i64 = 60;
const FAILED: i64 = 7;

/// What the binlogs of a disk will come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// There are too few to tell.
    Unknown,
    /// They stop growing before the disk is full.
    Fits,
    /// The disk is full at this time, seconds since 1970.
    FullOn(i64),
}

impl DiskSeen {
    fn bytes(&self) -> u64 {
        self.binlogs.iter().map(|(_, size)| size).sum()
    }

    /// Bytes per day, by the binlogs behind the oldest one: when that one began is not known.
    fn per_day(&self, now: i64) -> Option<u64> {
        let oldest = self.binlogs.iter().map(|(written, _)| *written).min()?;
        let since = now - oldest;
        let grown: u64 =
            self.binlogs.iter().filter(|(written, _)| *written > oldest).map(|(_, size)| size).sum();
        if since < LONG_ENOUGH || grown == 0 {
            return None;
        }
        let per_day = i128::from(grown) * i128::from(DAY) / i128::from(since);
        u64::try_from(per_day).ok().filter(|bytes| *bytes > 0)
    }

    fn growth(&self, now: i64, free: u64) -> Growth {
        let Some(per_day) = self.per_day(now) else { return Growth::Unknown };
        let most = u64::from(self.keep_days).saturating_mul(per_day);
        if self.keep_days > 0 && most.saturating_sub(self.bytes()) < free {
            return Growth::Fits;
        }
        let days = i64::try_from(free / per_day).unwrap_or(i64::MAX / DAY).min(36_500);
        Growth::FullOn(now.saturating_add(days * DAY))
    }
}

impl Points {
    pub(super) fn disk(&mut self, scene: &DoctorScene) {
        let topic = DoctorTopic::Disk;
        let home = &scene.home;
        let data: u64 = home.data.iter().map(|(_, size)| size).sum();
        let free = home.free_for_data;
        if free == u64::MAX {
            return self.ok(
                topic,
                format!("{} of data, on a disk that does not report its free space", Bytes(data)),
            );
        }
        let seen = format!("{} free on the disk with {} of data", Bytes(free), Bytes(data));
        // Of a database that runs in a pair, `verify` says it.
        if scene.pair.is_none() && free < DISK_LOW {
            let (code, grade, what) = if free < DISK_FULL {
                ("disk-full", Grade::Failed, "the disk of the database here is full")
            } else {
                ("disk-low", Grade::Warning, "the disk of the database here is nearly full")
            };
            self.found(
                (topic, grade, code),
                what,
                &seen,
                "Free space there, before you start the database or make a pack.",
            );
        }
        if scene.role() == Role::Primary && home.free_for_pack < data {
            self.found(
                (topic, Grade::Warning, "room-for-pack"),
                "there may be no room for a pack",
                format!("{} free in replication, and {} of data", Bytes(home.free_for_pack), Bytes(data)),
                "Free some, or make replication a link to a larger disk.",
            );
        }
        let mut ok = |what: String| {
            // Of a disk that is nearly full, it was said, here or by `verify`.
            if free >= DISK_LOW {
                self.ok(topic, what);
            }
        };
        let binlogs = &scene.disk;
        let so_far = format!("{seen}; {} of binlogs", Bytes(binlogs.bytes()));
        match binlogs.growth(scene.now, free) {
            Growth::Unknown if binlogs.binlogs.is_empty() => ok(seen),
            Growth::Unknown => ok(format!("{so_far}, too new to tell how they grow")),
            Growth::Fits => ok(format!("{so_far}, which expire before the disk is full")),
            Growth::FullOn(when) => {
                let left = (when - scene.now) / DAY;
                let per_day = Bytes(binlogs.per_day(scene.now).unwrap_or_default());
                let evidence = format!("{so_far}, {per_day} more each day");
                if left > WARN {
                    return ok(format!("{evidence}: it is full on {} or later", day(when)));
                }
                let grade = if left <= FAILED { Grade::Failed } else { Grade::Warning };
                self.found(
                    (topic, grade, "disk-fills"),
                    format!("the disk is full on {}, in {left} days", day(when)),
                    evidence,
                    "Add disk space, or set replication.keep_binlogs_days in conf/pmp-ha.toml and run `pmp-ha reconfigure`. A secondary that is unreachable for longer then needs a new pack.",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(keep_days: u32, binlogs: &[(i64, u64)]) -> DiskSeen {
        DiskSeen { keep_days, binlogs: binlogs.to_vec() }
    }

    #[test]
    fn the_day_comes_from_what_was_written_since_the_oldest_binlog() {
        let now = 100 * DAY;
        // 30 GB within ten days are 3 a day.
        let seen = [(90 * DAY, 5_000_000_000), (95 * DAY, 15_000_000_000), (now, 15_000_000_000)];
        let is_full_on = |keep, free| disk(keep, &seen).growth(now, free);
        assert_eq!(is_full_on(0, 30_000_000_000), Growth::FullOn(110 * DAY));
        assert_eq!(is_full_on(0, 0), Growth::FullOn(now));
        // For 14 days, 42 GB are kept, of which 35 are there.
        assert_eq!(is_full_on(14, 10_000_000_000), Growth::Fits);
        assert_eq!(is_full_on(14, 6_000_000_000), Growth::FullOn(102 * DAY));
    }

    #[test]
    fn young_binlogs_tell_nothing() {
        assert_eq!(disk(0, &[]).growth(DAY, 1), Growth::Unknown);
        assert_eq!(disk(0, &[(DAY, 9)]).growth(2 * DAY, 1), Growth::Unknown);
        assert_eq!(disk(0, &[(DAY, 9), (DAY + 60, 9)]).growth(DAY + 120, 1), Growth::Unknown);
        // A clock that went back.
        assert_eq!(disk(0, &[(DAY, 9), (DAY + 60, 9)]).growth(0, 1), Growth::Unknown);
    }
}
