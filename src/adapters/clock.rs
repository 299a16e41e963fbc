//! The current time, as text.

/// Returns the time in UTC, in the form of the journal and the reports.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
