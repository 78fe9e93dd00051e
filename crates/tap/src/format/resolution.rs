//! Time stamps of pcapng: a number of units, each a power of ten or of two of a second.

use weir_wire::Time;

/// Nanoseconds in a second.
const SECOND: u128 = 1_000_000_000;

/// How an interface's time stamps become nanoseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Resolution {
    unit: Unit,
    /// Seconds to add (`if_tsoffset`).
    offset: i64,
}

/// One unit of a time stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    /// So many nanoseconds.
    Times(u64),
    /// One of so many parts of a nanosecond.
    Part(u128),
    /// 2 to the minus n of a second.
    Binary(u32),
}

impl Default for Resolution {
    /// Microseconds: what an interface without the option has.
    fn default() -> Self {
        Self { unit: Unit::Times(1000), offset: 0 }
    }
}

impl Resolution {
    /// From the value of the option `if_tsresol`: the highest bit chooses two or ten, the others are the negative
    /// exponent.
    pub fn from_option(value: u8) -> Self {
        let n = u32::from(value & 0x7f);
        let unit = if value & 0x80 != 0 {
            Unit::Binary(n)
        } else if n <= 9 {
            Unit::Times(10u64.pow(9 - n))
        } else {
            // Units so small that even 2^64 of them are no nanosecond saturate, and every time is 0.
            Unit::Part(10u128.checked_pow(n - 9).unwrap_or(u128::MAX))
        };
        Self { unit, offset: 0 }
    }

    /// The same units, with `offset` seconds added.
    pub const fn with_offset(self, offset: i64) -> Self {
        Self { offset, ..self }
    }

    /// The time of `units`; saturates at the end of the range.
    pub fn time(self, units: u64) -> Time {
        let units = u128::from(units);
        // No product can overflow: each factor is below 2^64.
        let nanoseconds = match self.unit {
            Unit::Times(n) => units * u128::from(n),
            Unit::Part(n) => units / n,
            Unit::Binary(n) => (units * SECOND) >> n,
        };
        let nanoseconds = i64::try_from(nanoseconds).unwrap_or(i64::MAX);
        Time::from_parts(self.offset, nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn powers_of_ten_and_of_two_are_seconds() {
        for n in 0..=19 {
            let resolution = Resolution::from_option(n);
            assert_eq!(resolution.time(10u64.pow(u32::from(n))), Time(1_000_000_000), "10^-{n}");
        }
        for n in 0..=63 {
            let resolution = Resolution::from_option(0x80 | n);
            assert_eq!(resolution.time(1 << n), Time(1_000_000_000), "2^-{n}");
        }
        assert_eq!(Resolution::default().time(7), Time(7000));
        assert_eq!(Resolution::from_option(12).time(1_500_000_000_001), Time(1_500_000_000));
    }

    #[test]
    fn an_offset_moves_the_epoch() {
        let resolution = Resolution::from_option(9).with_offset(-2);
        assert_eq!(resolution.time(5_000_000_001), Time(3_000_000_001));
    }

    proptest! {
        #[test]
        fn no_resolution_or_offset_overflows(option: u8, offset: i64, units: u64) {
            let resolution = Resolution::from_option(option).with_offset(offset);
            let later = resolution.time(units.saturating_add(1));
            prop_assert!(resolution.time(units) <= later);
        }
    }
}
