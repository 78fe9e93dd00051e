//! The times of a certificate, with Zeek's way of reading them.
//!
//! Promise: the moment is the one that Zeek logs, also where the text is not what RFC 5280 wants: digits are not checked,
//! fields overflow into the next larger one, offsets count as Zeek counts them. No arithmetic can overflow.
//! Source: Zeek's src/file_analysis/analyzer/x509/X509Common.cc, GetTimeFromAsn1.

use weir_wire::Time;

use super::der::{self, Element};

/// The moment, or the weird that Zeek raises instead (the time is 0 then).
pub fn moment(time: &Element<'_>) -> Result<Time, &'static str> {
    let (century, digits, rest) = if time.tag == der::UTC_TIME {
        let (digits, rest) = utc(time.body)?;
        (if digits.first().is_some_and(|d| *d < b'5') { 20 } else { 19 }, digits, rest)
    } else {
        let n = time.body.len();
        if !(12..=23).contains(&n) {
            return Err("x509_gen_time_length");
        }
        let (head, rest) = time.body.split_at_checked(12).ok_or("x509_gen_time_length")?;
        let (century, digits) = head.split_at_checked(2).ok_or("x509_gen_time_length")?;
        (number(century), digits, rest)
    };
    let (second, rest) = second(rest)?;
    let offset = offset(rest)?;
    let mut fields = digits.chunks_exact(2).map(number);
    let mut next = || fields.next().unwrap_or(0);
    let (year, month, day, hour, minute) = (century * 100 + next(), next(), next(), next(), next());
    // Zeek counts a year before 1901 from 1900.
    let year = if year > 1900 { year } else { year + 1900 };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Ok(Time::from_parts(if seconds == 0 { 0 } else { seconds + offset }, 0))
}

/// The ten digits of a UTCTime and what follows.
fn utc(body: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if !(11..=17).contains(&body.len()) {
        return Err("x509_utc_length");
    }
    if body.last() != Some(&b'Z') {
        return Err("x509_utc_format");
    }
    body.split_at_checked(10).ok_or("x509_utc_length")
}

/// The seconds, where there are some; their fraction is passed over.
fn second(rest: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    match rest {
        [] | [b'Z' | b'-' | b'+', ..] => Ok((0, rest)),
        [a, b, rest @ ..] => {
            let value = number(&[*a, *b]);
            let Some((b'.', fraction)) = rest.split_first() else { return Ok((value, rest)) };
            let digits = fraction.iter().take_while(|c| c.is_ascii_digit()).count();
            Ok((value, fraction.get(digits..).unwrap_or_default()))
        }
        [_] => Err("x509_time_add_char"),
    }
}

/// What an offset adds, as Zeek weighs its digits.
fn offset(rest: &[u8]) -> Result<i64, &'static str> {
    match rest {
        [] | [b'Z', ..] => Ok(0),
        [sign @ (b'+' | b'-'), a, b, c, d, ..] => {
            let sum = digit(*a) * 10 + digit(*b) * 60 + digit(*c) * 10 + digit(*d);
            Ok(if *sign == b'-' { -sum } else { sum })
        }
        [_, _, _, _, _, ..] => Err("x509_time_offset_type"),
        _ => Err("x509_time_offset_underflow"),
    }
}

fn digit(c: u8) -> i64 {
    i64::from(c.cast_signed()) - i64::from(b'0')
}

/// Two characters as a number, digits or not.
fn number(two: &[u8]) -> i64 {
    two.iter().fold(0, |n, c| n * 10 + digit(*c))
}

/// Days from 1970 to the given day, months out of range carried into years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let months = year * 12 + (month - 1);
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    // Years that begin in March, so that the leap day is the last one.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, body: &[u8]) -> Result<i64, &'static str> {
        moment(&Element { tag, body, whole: body }).map(|t| t.0 / 1_000_000_000)
    }

    #[test]
    fn both_kinds_of_time_are_read() {
        assert_eq!(at(der::UTC_TIME, b"110504000000Z"), Ok(1_304_467_200));
        assert_eq!(at(der::GENERALIZED_TIME, b"20150901133337Z"), Ok(1_441_114_417));
        assert_eq!(at(der::UTC_TIME, b"700101000000Z"), Ok(0));
        assert_eq!(at(der::UTC_TIME, b"4912312359Z"), Ok(2_524_607_940));
        assert_eq!(at(der::GENERALIZED_TIME, b"20150901133337.25Z"), Ok(1_441_114_417));
        assert_eq!(at(der::UTC_TIME, b"000229120000Z"), Ok(951_825_600));
    }

    #[test]
    fn what_is_no_time_has_zeeks_name() {
        assert_eq!(at(der::UTC_TIME, b"1105040000"), Err("x509_utc_length"));
        assert_eq!(at(der::UTC_TIME, b"110504000000+"), Err("x509_utc_format"));
        assert_eq!(at(der::GENERALIZED_TIME, b"2015"), Err("x509_gen_time_length"));
        assert_eq!(at(der::GENERALIZED_TIME, b"2015090113331"), Err("x509_time_add_char"));
    }

    #[test]
    fn any_bytes_give_some_moment_without_overflow() {
        for byte in 0..=255_u8 {
            for length in 0..24 {
                let mut body = vec![byte; length];
                let _ = at(der::GENERALIZED_TIME, &body);
                body.push(b'Z');
                let _ = at(der::UTC_TIME, &body);
            }
        }
    }
}
