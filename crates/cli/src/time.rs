//! Times for people and for JSON: UTC, ISO 8601.

use std::time::Duration;

use jiff::Timestamp;
use pantler_core::Tai;

/// An instant to the second: `2026-01-02T03:04:05Z`.
pub(crate) fn utc(time: Tai) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An instant in full, for JSON.
pub(crate) fn utc_exact(time: Tai) -> String {
    timestamp(time).to_string()
}

fn timestamp(time: Tai) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(time.to_unix_nanos())).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// How long ago `then` was: zero if the clock was set back since.
pub(crate) fn age(now: Tai, then: Tai) -> Duration {
    Duration::from_nanos(u64::try_from(now.as_nanos().saturating_sub(then.as_nanos())).unwrap_or(0))
}

/// A duration for people: `12.3 s`, `4 min 5 s`, `3 h 20 min`, `2 d 5 h`.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_iso() {
        let time = Tai::from_unix_nanos(1_767_323_045_678_900_000).unwrap();
        assert_eq!(utc(time), "2026-01-02T03:04:05Z");
        assert_eq!(utc_exact(time), "2026-01-02T03:04:05.6789Z");
    }

    #[test]
    fn durations_are_short() {
        for (millis, text) in [
            (1_234, "1.2 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (180_000_000, "2 d 2 h"),
        ] {
            assert_eq!(human(Duration::from_millis(millis)), text);
        }
        assert_eq!(age(Tai::from_nanos(5), Tai::from_nanos(9)), Duration::ZERO);
    }
}
