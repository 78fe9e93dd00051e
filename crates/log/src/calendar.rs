//! A point in time as a date in UTC, as the `#open` and `#close` lines show it.

/// Seconds in a day.
const DAY: u64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const ERA: u64 = 146_097;

/// Seconds since 1970 as `YYYY-MM-DD-HH-MM-SS` in UTC.
pub(crate) fn stamp(seconds: u64) -> String {
    let (day, second) = (seconds / DAY, seconds % DAY);
    // Years are counted from March, so that a leap day is the last of its year.
    let day = day + 719_468;
    let (era, of_era) = (day / ERA, day % ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let (month, carry) = if march_month < 10 { (march_month + 3, 0) } else { (march_month - 9, 1) };
    let year = era * 400 + year_of_era + carry;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{date:02}-{hour:02}-{minute:02}-{:02}", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates_also_in_leap_years() {
        for (seconds, text) in [
            (0, "1970-01-01-00-00-00"),
            (951_782_400, "2000-02-29-00-00-00"),
            (951_868_799, "2000-02-29-23-59-59"),
            (951_868_800, "2000-03-01-00-00-00"),
            (1_795_397_456, "2026-11-23-01-30-56"),
            (4_107_542_400, "2100-03-01-00-00-00"),
        ] {
            assert_eq!(stamp(seconds), text);
        }
    }
}
