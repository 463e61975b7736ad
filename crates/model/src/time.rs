//! Points and lengths of time as values, and their text forms.
//!
//! Owns parsing of the protocol's durations (`30_days`, `30d`, `3m 15s`, `500ms`, `weekly`, `permanent`).
//! Refuses to read a clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in whole nanoseconds since 1970-01-01T00:00:00Z; written as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Compact UTC form for file names: `20250115_1030`.
    pub fn stamp(self) -> String {
        jiff::Timestamp::from(self).strftime("%Y%m%d_%H%M").to_string()
    }

    /// The same with seconds: `20250115_103059`.
    pub fn stamp_to_the_second(self) -> String {
        jiff::Timestamp::from(self).strftime("%Y%m%d_%H%M%S").to_string()
    }

    /// Whole milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment less a duration, saturating.
    pub fn before(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(t: Timestamp) -> Self {
        jiff::Timestamp::from_nanosecond(i128::from(t.0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from(*self);
        if self.0 % 1_000_000_000 == 0 {
            return write!(f, "{}", moment.strftime("%Y-%m-%dT%H:%M:%SZ"));
        }
        write!(f, "{}", moment.strftime("%Y-%m-%dT%H:%M:%S.%9fZ"))
    }
}

/// A text that is not a moment in RFC 3339.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseTimestampError {
    /// It has another form.
    #[error("`{0}` is not a time: RFC 3339 is expected, such as 2025-01-15T11:30:00Z")]
    Form(String),
    /// It is a time that does not fit into the nanoseconds that are kept.
    #[error("`{0}` is beyond the times that can be kept, which are those from 1677-09-22 to 2262-04-11")]
    Beyond(String),
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let beyond = || ParseTimestampError::Beyond(text.to_owned());
        let moment: jiff::Timestamp = text.parse().map_err(|_| match has_long_year(text) {
            true => beyond(),
            false => ParseTimestampError::Form(text.to_owned()),
        })?;
        i64::try_from(moment.as_nanosecond()).map(Self).map_err(|_| beyond())
    }
}

/// Whether a text begins like a date, with a year of more than four digits.
fn has_long_year(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let is_date =
        text[digits..].strip_prefix('-').is_some_and(|rest| rest.starts_with(|one: char| one.is_ascii_digit()));
    digits > 4 && is_date
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// A file's time stamp as the kernel gives it: seconds (any sign) and nanoseconds 0 to 999,999,999.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct FileTime {
    /// Seconds since the epoch.
    pub secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

impl From<Timestamp> for FileTime {
    fn from(at: Timestamp) -> Self {
        const SECOND: i64 = 1_000_000_000;
        Self { secs: at.0.div_euclid(SECOND), nanos: at.0.rem_euclid(SECOND) as u32 }
    }
}

impl FileTime {
    /// The same moment in nanoseconds since the epoch, saturating at the ends of the range.
    pub fn to_timestamp(self) -> Timestamp {
        Timestamp(self.secs.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanos)))
    }
}

/// A length of time that policies and limits use; `permanent` has no end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// A finite length.
    Finite(Duration),
    /// Without end.
    Permanent,
}

impl Span {
    /// The finite length, or `None` for `permanent`.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Finite(length) => Some(length),
            Self::Permanent => None,
        }
    }
}

/// A text that is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a duration: write it like 30_days, 30d, 3m 15s, 500ms, weekly or permanent")]
pub struct ParseSpanError(String);

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseSpanError(text.to_owned());
        let days = |n: u64| Ok(Self::Finite(Duration::from_secs(n * 86_400)));
        match text.trim().to_ascii_lowercase().as_str() {
            "permanent" | "forever" => return Ok(Self::Permanent),
            "hourly" => return Ok(Self::Finite(Duration::from_secs(3_600))),
            "daily" => return days(1),
            "weekly" => return days(7),
            "monthly" => return days(30),
            "yearly" => return days(365),
            _ => {}
        }
        let mut total = Duration::ZERO;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            let after = rest[digits..].trim_start_matches(['_', ' ']);
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = unit_ms(&after[..letters].to_ascii_lowercase()).ok_or_else(refuse)?;
            let ms = number.checked_mul(unit).ok_or_else(refuse)?;
            total = total.checked_add(Duration::from_millis(ms)).ok_or_else(refuse)?;
            rest = after[letters..].trim_start_matches(['_', ' ', ',']);
        }
        Ok(Self::Finite(total))
    }
}

/// The length of a unit in milliseconds.
fn unit_ms(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 604_800_000,
        "mo" | "month" | "months" => 2_592_000_000,
        "y" | "year" | "years" => 31_536_000_000,
        _ => return None,
    })
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Finite(length) = self else {
            return f.write_str("permanent");
        };
        let mut left = length.as_millis();
        if left == 0 {
            return f.write_str("0s");
        }
        let mut first = true;
        for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
            let count = left / unit;
            left %= unit;
            if count > 0 {
                let gap = if first { "" } else { " " };
                write!(f, "{gap}{count}{name}")?;
                first = false;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "examples": ["30d", "3m 15s", "500ms", "weekly", "permanent"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_protocol_parse() {
        let ms = |text: &str| match text.parse::<Span>() {
            Ok(Span::Finite(length)) => length.as_millis(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(ms("30_days"), 30 * 86_400_000);
        assert_eq!(ms("30d"), 30 * 86_400_000);
        assert_eq!(ms("3m 15s"), 195_000);
        assert_eq!(ms("500ms"), 500);
        assert_eq!(ms("weekly"), 7 * 86_400_000);
        assert_eq!("permanent".parse(), Ok(Span::Permanent));
        for bad in ["", "-1d", "30", "3 parsecs", "NaN", "1e400s", "99999999999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_print_as_they_parse() {
        for text in ["30d", "3m 15s", "500ms", "permanent", "0s"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn moments_round_trip() {
        for text in ["2025-01-15T11:30:00Z", "2025-01-15T11:30:00.000000001Z"] {
            assert_eq!(text.parse::<Timestamp>().map(|t| t.to_string()), Ok(text.to_owned()));
        }
    }
}
