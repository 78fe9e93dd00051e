//! Who saw what a record tells of: beside the record, as Zeek has no columns for it.

use weir_wire::TenantId;

/// Taps that are remembered of one connection: both ends, and six on the way.
pub const MAX_TAPS: usize = 8;

/// Some taps, by their numbers, each once, in the order in which they saw it first; [`MAX_TAPS`] at most.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Taps {
    numbers: [u16; MAX_TAPS],
    len: u8,
}

impl Taps {
    /// One tap.
    pub const fn of(tap: u16) -> Self {
        let mut numbers = [0; MAX_TAPS];
        numbers[0] = tap;
        Self { numbers, len: 1 }
    }

    /// Adds a tap, unless it is there or there are too many.
    #[inline]
    pub fn add(&mut self, tap: u16) {
        // Nearly all connections are seen by one.
        if self.len > 0 && self.numbers[0] == tap {
            return;
        }
        if !self.as_slice().contains(&tap)
            && let Some(place) = self.numbers.get_mut(usize::from(self.len))
        {
            *place = tap;
            self.len += 1;
        }
    }

    /// Their numbers.
    pub fn as_slice(&self) -> &[u16] {
        self.numbers.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Whose traffic a record tells of, and which taps saw it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Vantage {
    /// The tenant.
    pub tenant: TenantId,
    /// The taps: of a packet one, of a connection all.
    pub taps: Taps,
}

impl Vantage {
    /// Of a packet.
    pub const fn of(tenant: TenantId, tap: u16) -> Self {
        Self { tenant, taps: Taps::of(tap) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_remembered_once_and_not_without_end() {
        let mut taps = Taps::of(5);
        for tap in [5, 7, 5, 7, 0] {
            taps.add(tap);
        }
        assert_eq!(taps.as_slice(), [5, 7, 0]);
        (0..100).for_each(|tap| taps.add(tap));
        assert_eq!(taps.as_slice().len(), MAX_TAPS);
    }
}
