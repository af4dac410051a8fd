//! Instants as integer nanoseconds of International Atomic Time (TAI).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Nanoseconds of TAI since 1970-01-01 00:00:00 TAI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tai(i64);

/// An instant outside of what 64 bits of nanoseconds hold (years 1678 to 2261).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("time out of range: years 1678 to 2261 can be stored")]
pub struct TimeError;

/// (Unix time of the start, TAI − UTC in seconds) for each leap second since 1972
/// (IERS Bulletin C; none has been announced after 2017).
const LEAP_SECONDS: [(i64, i64); 28] = [
    (63_072_000, 10),
    (78_796_800, 11),
    (94_694_400, 12),
    (126_230_400, 13),
    (157_766_400, 14),
    (189_302_400, 15),
    (220_924_800, 16),
    (252_460_800, 17),
    (283_996_800, 18),
    (315_532_800, 19),
    (362_793_600, 20),
    (394_329_600, 21),
    (425_865_600, 22),
    (489_024_000, 23),
    (567_993_600, 24),
    (631_152_000, 25),
    (662_688_000, 26),
    (709_948_800, 27),
    (741_484_800, 28),
    (773_020_800, 29),
    (820_454_400, 30),
    (867_715_200, 31),
    (915_148_800, 32),
    (1_136_073_600, 33),
    (1_230_768_000, 34),
    (1_341_100_800, 35),
    (1_435_708_800, 36),
    (1_483_228_800, 37),
];

const SECOND: i64 = 1_000_000_000;

impl Tai {
    /// Takes nanoseconds of TAI.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds of TAI.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Converts from Unix time (UTC) in nanoseconds. Before 1972, TAI − UTC is
    /// taken as 10 s.
    ///
    /// # Errors
    /// [`TimeError`] outside of the years 1678 to 2261.
    pub fn from_unix_nanos(nanos: i128) -> Result<Self, TimeError> {
        let nanos = i64::try_from(nanos).map_err(|_| TimeError)?;
        let offset = LEAP_SECONDS
            .iter()
            .rev()
            .find(|(start, _)| nanos >= start * SECOND)
            .map_or(10, |(_, offset)| *offset);
        nanos.checked_add(offset * SECOND).map(Self).ok_or(TimeError)
    }

    /// Converts to Unix time (UTC) in nanoseconds. An instant inside a leap second
    /// gives the second after it.
    pub fn to_unix_nanos(self) -> i64 {
        let offset = LEAP_SECONDS
            .iter()
            .rev()
            .find(|(start, offset)| self.0 >= (start + offset) * SECOND)
            .map_or(10, |(_, offset)| *offset);
        self.0.saturating_sub(offset * SECOND)
    }

    /// The instant in UTC, to the second, for messages: `2026-01-02T03:04:05Z`.
    pub fn utc(self) -> String {
        let seconds = self.to_unix_nanos().div_euclid(SECOND);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days since 1 March of the year 0, in eras of 400 years.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months from March on.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year_of_era + next_year;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Milliseconds of Unix time (UTC), for the time part of a UUID version 7.
    pub fn to_unix_millis(self) -> i64 {
        self.to_unix_nanos().div_euclid(1_000_000)
    }
}

impl fmt::Display for Tai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns TAI", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_323_045, "2026-01-02T03:04:05Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Tai::from_unix_nanos(seconds * 1_000_000_000).unwrap().utc(), text);
        }
    }

    #[test]
    fn tai_is_37_s_ahead_of_utc_since_2017() {
        let utc = 1_600_000_000_i128 * 1_000_000_000;
        let tai = Tai::from_unix_nanos(utc).map(Tai::as_nanos);
        assert_eq!(tai.map(i128::from), Ok(utc + 37_000_000_000));
    }

    #[test]
    fn utc_goes_there_and_back() {
        for seconds in
            [-100_000_000_i64, 0, 63_072_000, 1_483_228_799, 1_483_228_800, 1_800_000_000]
        {
            let nanos = seconds * SECOND + 5;
            let tai = Tai::from_unix_nanos(nanos.into()).map(Tai::to_unix_nanos);
            assert_eq!(tai, Ok(nanos), "{seconds}");
        }
        assert!(Tai::from_unix_nanos(i128::MAX).is_err());
    }
}
