//! Numbers in headers, read the way Zeek's `atoi_n` reads them.

/// The number that `text` begins with, in base 10 or 16, with or without a minus sign. `None`: it begins with
/// something else, or does not fit. Nothing at all is 0.
pub fn read(text: &[u8], base: u8) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut sum: i64 = 0;
    for (at, byte) in digits.iter().enumerate() {
        let Some(digit) = char::from(*byte).to_digit(u32::from(base)) else {
            return if at > 0 { Some(if negative { -sum } else { sum }) } else { None };
        };
        sum = sum.checked_mul(i64::from(base))?.checked_add(i64::from(digit))?;
    }
    Some(if negative { -sum } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_ends_at_the_first_byte_that_is_no_digit() {
        assert_eq!(read(b"12;ext", 10), Some(12));
        assert_eq!(read(b"1aF\r", 16), Some(0x1af));
        assert_eq!(read(b"-5", 10), Some(-5));
        assert_eq!(read(b"", 16), Some(0));
        assert_eq!(read(b" 1", 10), None);
        assert_eq!(read(b"x", 16), None);
    }

    #[test]
    fn a_number_that_does_not_fit_is_none() {
        assert_eq!(read(b"9223372036854775807", 10), Some(i64::MAX));
        assert_eq!(read(b"9223372036854775808", 10), None);
        assert_eq!(read(b"10000000000000000", 16), None);
    }
}
