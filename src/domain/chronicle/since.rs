//! A point in time as people write it: how long ago, a day, or a time.

use crate::domain::alarm::UnixSeconds;

/// Returns the time that `text` means at `now`.
///
/// # Errors
/// Says what is wrong.
pub fn since(text: &str, now: UnixSeconds) -> Result<UnixSeconds, String> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let seconds = match unit {
        "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        "w" => Some(7 * 86_400),
        _ => None,
    };
    if let Some(seconds) = seconds {
        let number: u64 =
            text[..text.len() - unit.len()].parse().map_err(|_| format!("'{text}' has no number"))?;
        return Ok(now.saturating_sub(number.saturating_mul(seconds)));
    }
    let at = if let Ok(at) = text.parse::<jiff::Timestamp>() {
        Some(at)
    } else {
        text.parse::<jiff::civil::DateTime>()
            .ok()
            .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
            .map(|day| day.timestamp())
    };
    let at = at.ok_or_else(|| format!("'{text}' is not a time"))?;
    u64::try_from(at.as_second()).map_err(|_| format!("'{text}' is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_length_a_day_or_a_time() {
        let now = 1_770_091_445; // 2026-02-03T04:04:05Z
        for (text, wanted) in [
            ("90s", now - 90),
            ("24h", now - 86_400),
            ("7d", now - 604_800),
            ("2026-02-03", now - 14_645),
            ("2026-02-03T04:04", now - 5),
            ("2026-02-03T05:04:05+01:00", now),
        ] {
            assert_eq!(since(text, now), Ok(wanted), "{text}");
        }
        for text in ["", "h", "7 x", "yesterday", "1960-01-01", "99999999999999999999d"] {
            assert!(since(text, now).is_err(), "{text}");
        }
    }
}
