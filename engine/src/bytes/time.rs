//! Wall time (G-9).

use std::{fmt, str::FromStr};

/// A moment, in microseconds since 1970-01-01T00:00:00Z. For people: it orders nothing.
///
/// Printed and parsed as RFC 3339.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

/// The text is no date or time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a time is written as 2026-01-31, 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00")]
pub struct ParseTimestampError;

impl Timestamp {
    /// The reserved value for "none".
    const NONE: i64 = i64::MIN;

    /// The moment `micros` microseconds after the epoch; the one reserved value becomes the next.
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros == Self::NONE { Self::NONE + 1 } else { micros })
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// As it is stored: the reserved value stands for `None`.
    pub(crate) fn encode(this: Option<Self>) -> i64 {
        this.map_or(Self::NONE, |time| time.0)
    }

    /// The inverse of [`Timestamp::encode`].
    pub(crate) fn decode(micros: i64) -> Option<Self> {
        (micros != Self::NONE).then_some(Self(micros))
    }

    /// Parses RFC 3339, or a date alone, which means its first moment in UTC.
    ///
    /// # Errors
    ///
    /// [`ParseTimestampError`] for anything else.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::Timestamp;
    ///
    /// let time = Timestamp::parse("2026-01-01T00:00:00.5Z")?;
    /// assert_eq!(time.as_micros(), 1_767_225_600_500_000);
    /// assert_eq!(time.to_string(), "2026-01-01T00:00:00.5Z");
    /// assert!(Timestamp::parse("2026-01-01")? < time);
    /// # Ok::<(), annals::ParseTimestampError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ParseTimestampError> {
        let text = text.trim();
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self::from_micros(time.as_microsecond()));
        }
        let date = text.parse::<jiff::civil::Date>().map_err(|_| ParseTimestampError)?;
        let time = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| ParseTimestampError)?;
        Ok(Self::from_micros(time.timestamp().as_microsecond()))
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        Self::parse(text)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => time.fmt(f),
            // Outside of the years that RFC 3339 can write.
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
