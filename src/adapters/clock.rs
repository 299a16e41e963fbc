//! The time of day, as text.

/// The time in UTC, as the journal and reports write it.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
