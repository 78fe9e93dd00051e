//! Identifiers of connections and files, the same on every sensor that sees the same thing.
//!
//! A uid is a keyed hash (SipHash-2-4, 128 bits, cut to 96) of tenant, flow key and start time, so it depends
//! neither on the number of workers nor on the run, and cannot be steered by someone without the key.
//! Shown as Zeek shows its own: a letter and the number in base 62.

use std::fmt::{self, Write};
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::{FlowKey, Time};

/// The key of all identifiers of a run; give the same key to every sensor of one site.
#[derive(Clone, Copy, Debug, Default)]
pub struct UidKey(pub [u8; 16]);

/// Which flows are left out: those whose [`slot`](UidKey::slot) is below a number.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Shed {
    /// Of flows that begin; 256 would be all.
    pub beginning: u16,
    /// Of flows in progress; never more.
    pub running: u16,
}

impl Shed {
    /// All flows are let in.
    pub const NOTHING: Self = Self { beginning: 0, running: 0 };
}

/// An identifier of 96 bits. [`Uid::NONE`] stands for "no identifier".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uid([u8; 12]);

impl Uid {
    /// No identifier.
    pub const NONE: Self = Self([0; 12]);

    /// Whether this is an identifier at all.
    pub const fn is_some(self) -> bool {
        self.number() != 0
    }

    /// Its bytes, to name something by it ([`UidKey::of`]).
    pub const fn to_bytes(self) -> [u8; 16] {
        self.number().to_be_bytes()
    }

    /// From the lower 96 bits of `number`.
    const fn from_number(number: u128) -> Self {
        let [_, _, _, _, a, b, c, d, e, f, g, h, i, j, k, l] = number.to_be_bytes();
        Self([a, b, c, d, e, f, g, h, i, j, k, l])
    }

    const fn number(self) -> u128 {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.0;
        u128::from_be_bytes([0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l])
    }

    /// Shown with a first letter: `C` for connections, `F` for files.
    pub const fn with_prefix(self, prefix: char) -> Shown {
        Shown(prefix, self)
    }
}

impl UidKey {
    /// The uid of the connection with `key` whose first packet came at `start`.
    pub fn connection(&self, key: &FlowKey, start: Time) -> Uid {
        let mut h = SipHasher24::new_with_key(&self.0);
        h.write_u32(key.tenant.0);
        h.write_u8(key.protocol);
        h.write_u16(key.lower_port);
        h.write_u16(key.upper_port);
        h.write(&key.lower.0);
        h.write(&key.upper.0);
        h.write_i64(start.0);
        cut(&h)
    }

    /// The slot of the flow with `key`, by which flows are shed: the same for both directions, on every machine with this key.
    pub fn slot(&self, key: &FlowKey) -> u8 {
        let mut h = siphasher::sip::SipHasher13::new_with_key(&self.0);
        h.write_u32(key.tenant.0);
        h.write_u8(key.protocol);
        h.write_u16(key.lower_port);
        h.write_u16(key.upper_port);
        h.write(&key.lower.0);
        h.write(&key.upper.0);
        (h.finish() >> 56) as u8
    }

    /// The id of whatever `parts` name: a file by its handle, for one.
    pub fn of(&self, parts: &[&[u8]]) -> Uid {
        let mut h = SipHasher24::new_with_key(&self.0);
        for part in parts {
            h.write_usize(part.len());
            h.write(part);
        }
        cut(&h)
    }
}

fn cut(h: &SipHasher24) -> Uid {
    Uid::from_number((h.finish128().as_u128() >> 32).max(1))
}

/// A [`Uid`] with its letter, ready to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown(char, Uid);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        /// 62 to the tenth: what one u64 holds, as a division of 128 bits is slow.
        const TEN_DIGITS: u128 = 62u128.pow(10);
        let mut text = [b'0'; 20];
        let number = self.1.number();
        let (high, low) = ((number / TEN_DIGITS) as u64, (number % TEN_DIGITS) as u64);
        let (high_text, low_text) = text.split_at_mut(10);
        for (part, mut n) in [(high_text, high), (low_text, low)] {
            for slot in part.iter_mut().rev() {
                *slot = DIGITS.get((n % 62) as usize).copied().unwrap_or(b'0');
                n /= 62;
            }
        }
        let used = text.iter().skip_while(|&&digit| digit == b'0').count().max(1);
        let digits = text.get(text.len() - used..).unwrap_or_default();
        f.write_char(self.0)?;
        f.write_str(std::str::from_utf8(digits).unwrap_or_default())
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.with_prefix('U'), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_flows_are_spread_evenly_and_depend_on_the_key() {
        let key = |i: u16| FlowKey {
            tenant: crate::TenantId(0),
            protocol: 6,
            lower_port: i,
            upper_port: 443,
            lower: crate::Address::v4([10, 0, 0, 1]),
            upper: crate::Address::v4([10, 0, 0, 2]),
        };
        let below = (0..10_000).filter(|i| UidKey::default().slot(&key(*i)) < 64).count();
        assert!((2_300..2_700).contains(&below), "{below}");
        let same = (0..1000).filter(|i| UidKey::default().slot(&key(*i)) == UidKey([1; 16]).slot(&key(*i)));
        assert!(same.count() < 30);
    }
    use crate::{Address, TenantId};

    #[test]
    fn a_uid_is_shown_in_base_62() {
        let shown = |n: u128| Uid::from_number(n).with_prefix('F').to_string();
        assert_eq!(shown(0), "F0");
        assert_eq!(shown(61), "Fz");
        assert_eq!(shown(62), "F10");
        assert_eq!(shown(62u128.pow(10)), "F10000000000");
        assert_eq!(shown((1 << 96) - 1), "F1f2SI9UJPXvb7vdJ1");
    }

    #[test]
    fn a_uid_depends_on_key_flow_and_start_only() {
        let a = (Address::v4([10, 0, 0, 1]), 40000);
        let b = (Address::v4([10, 0, 0, 2]), 80);
        let (key, _) = FlowKey::new(TenantId(0), 6, a, b);
        let site = UidKey([1; 16]);
        assert_eq!(site.connection(&key, Time(5)), site.connection(&key, Time(5)));
        assert_ne!(site.connection(&key, Time(5)), site.connection(&key, Time(6)));
        assert_ne!(site.connection(&key, Time(5)), UidKey([2; 16]).connection(&key, Time(5)));
        let shown = site.connection(&key, Time(5)).with_prefix('C').to_string();
        assert!(shown.starts_with('C') && shown.len() > 10 && shown.len() <= 19, "{shown}");
    }
}
