//! Numbers and addresses as text, without allocation and without `fmt` where it costs.

use std::io::Write;

use weir_wire::Address;

/// Digits of the largest `u64`.
const DIGITS: usize = 20;
/// Microseconds in a second.
const MICROS: u64 = 1_000_000;

/// Appends `value` in decimal.
pub(crate) fn push_u64(mut value: u64, out: &mut Vec<u8>) {
    let mut text = [0u8; DIGITS];
    let mut used = 0;
    for slot in text.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(text.get(DIGITS - used..).unwrap_or_default());
}

/// Appends `value` in decimal, with its sign if it is negative.
pub(crate) fn push_i64(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(value.unsigned_abs(), out);
}

/// Appends nanoseconds as seconds with six decimals, rounded to the nearest.
pub(crate) fn push_seconds(nanoseconds: i64, out: &mut Vec<u8>) {
    let micros = (nanoseconds.unsigned_abs() + 500) / 1000;
    if nanoseconds < 0 && micros > 0 {
        out.push(b'-');
    }
    push_u64(micros / MICROS, out);
    out.push(b'.');
    let mut rest = micros % MICROS;
    let mut text = [0u8; 6];
    for slot in text.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text);
}

/// The same without zeros at the end; one decimal stays.
pub(crate) fn push_short_seconds(nanoseconds: i64, out: &mut Vec<u8>) {
    push_seconds(nanoseconds, out);
    drop_zeros(out);
}

/// Appends a real number with up to six decimals, at least one. What is no number is 0, as JSON has no word for it.
pub(crate) fn push_f64(value: f64, out: &mut Vec<u8>) {
    let value = if value.is_finite() { value } else { 0.0 };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value:.6}");
    drop_zeros(out);
}

fn drop_zeros(out: &mut Vec<u8>) {
    while out.ends_with(b"0") && !out.ends_with(b".0") {
        out.pop();
    }
}

/// Appends an address as `inet_ntop` shows it.
pub(crate) fn push_addr(address: Address, out: &mut Vec<u8>) {
    if let Some(parts) = address.as_v4() {
        // Together first: to append four numbers and three dots for themselves takes longer than to make them.
        let (mut text, mut used) = ([b'.'; 16], 0);
        for part in parts {
            let digits = [b'0' + part / 100, b'0' + part / 10 % 10, b'0' + part % 10];
            let zeros = usize::from(part < 100) + usize::from(part < 10);
            let digits = digits.get(zeros..).unwrap_or_default();
            if let Some(place) = text.get_mut(used..used + digits.len()) {
                place.copy_from_slice(digits);
            }
            used += digits.len() + 1;
        }
        out.extend_from_slice(text.get(..used - 1).unwrap_or_default());
    } else {
        let _ = write!(out, "{address}");
    }
}

/// Appends `byte` as `\xhh`, with as many backslashes as are asked for.
pub(crate) fn push_hex(byte: u8, backslashes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(backslashes);
    out.extend_from_slice(&[b'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
}

/// One lower-case digit.
pub(crate) const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble % 16 - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_shown_over_their_whole_range() {
        for n in [0, 9, 10, 65535, u64::MAX] {
            assert_eq!(shown(|o| push_u64(n, o)), n.to_string());
        }
        for n in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(shown(|o| push_i64(n, o)), n.to_string());
        }
    }

    #[test]
    fn seconds_have_six_decimals_and_are_rounded() {
        for n in [0, 1_470_574_779_148_133_000, -1_500, -499, 999_999_500, i64::MIN, i64::MAX] {
            assert_eq!(shown(|o| push_seconds(n, o)), weir_wire::Time(n).to_string());
        }
        assert_eq!(shown(|o| push_short_seconds(1_500_000_000, o)), "1.5");
        assert_eq!(shown(|o| push_short_seconds(10_000_000_000, o)), "10.0");
    }

    #[test]
    fn real_numbers_lose_zeros_at_the_end() {
        for (value, text) in [(1.0, "1.0"), (0.25, "0.25"), (-10.5, "-10.5"), (f64::NAN, "0.0")] {
            assert_eq!(shown(|o| push_f64(value, o)), text);
        }
    }

    #[test]
    fn addresses_are_shown_in_their_family() {
        assert_eq!(shown(|o| push_addr(Address::v4([10, 0, 200, 255]), o)), "10.0.200.255");
        let six = "2001:db8::1".parse::<std::net::IpAddr>().unwrap();
        assert_eq!(shown(|o| push_addr(six.into(), o)), "2001:db8::1");
    }
}
