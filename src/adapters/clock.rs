//! The current time, as text.

/// Returns the time in UTC, in the form of the journal and the reports.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the time in seconds since 1970, UTC.
#[must_use]
pub fn seconds() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

/// Returns how far the local time is ahead of UTC, in seconds.
#[must_use]
pub fn ahead_of_utc() -> i64 {
    i64::from(jiff::Zoned::now().offset().seconds())
}

/// Returns a time of the journal in the local zone, with its offset. `None`: it is no time, or the
/// local zone is UTC.
#[must_use]
pub fn local(time: &str) -> Option<String> {
    let zoned = time.parse::<jiff::Timestamp>().ok()?.to_zoned(jiff::tz::TimeZone::system());
    (zoned.offset().seconds() != 0).then(|| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}
