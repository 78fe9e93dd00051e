//! Points in time and spans between them, as integer nanoseconds.
//!
//! Packets bring their own time; nothing in the pure crates asks a clock.

use std::fmt;
use std::ops::{Add, Sub};

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// A point in time: nanoseconds since the Unix epoch. Shown as Zeek shows it: seconds with six decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Time(pub i64);

/// A span of time in nanoseconds; negative where packets are out of order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Interval(pub i64);

impl Time {
    /// From whole seconds and nanoseconds; saturates at the ends of the range.
    pub const fn from_parts(seconds: i64, nanoseconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
    }

    /// The span from `earlier` to `self`.
    pub const fn since(self, earlier: Self) -> Interval {
        Interval(self.0.saturating_sub(earlier.0))
    }
}

impl Interval {
    /// From whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// From whole milliseconds.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds.saturating_mul(SECOND / 1000))
    }

    /// As seconds, for comparison with real-valued thresholds.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }
}

impl Add<Interval> for Time {
    type Output = Self;
    fn add(self, span: Interval) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Interval> for Time {
    type Output = Self;
    fn sub(self, span: Interval) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

/// Zeek keeps time as a double and prints it with six decimals: the nearest microsecond.
fn write_micros(nanoseconds: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let micros = (nanoseconds.unsigned_abs() + 500) / 1000;
    let sign = if nanoseconds < 0 && micros > 0 { "-" } else { "" };
    write!(f, "{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_micros(self.0, f)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_micros(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_seconds_with_six_decimals() {
        assert_eq!(Time::from_parts(1_470_574_779, 148_133_000).to_string(), "1470574779.148133");
        assert_eq!(Interval(-1_500).to_string(), "-0.000002");
        assert_eq!(Interval(0).to_string(), "0.000000");
    }
}
