//! Certificates that a lane has read lately: the same few are seen again and again.
//!
//! Promise: what is logged does not depend on what is remembered; memory is bounded ([`MAX_CERTIFICATES`],
//! [`MAX_BYTES`]), and when a bound is reached, all is forgotten.
//! How: a certificate is found by all of its bytes, so that no two can be confused.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use weir_record::{Entries, X509};
use weir_wire::Time;

use super::log::{self, Fingerprint, Role};

/// Most certificates that are remembered.
const MAX_CERTIFICATES: usize = 4096;
/// Most bytes of these; what is made of them takes about as much again.
const MAX_BYTES: usize = 4 << 20;

/// The certificates that a lane remembers.
#[derive(Default)]
pub struct Cache {
    known: HashMap<Box<[u8]>, X509, RandomState>,
    bytes: usize,
}

impl Cache {
    /// As [`log::log`], without reading again what is known.
    pub fn log(&mut self, out: &mut Entries, now: Time, bytes: &[u8], role: Role) -> Option<Fingerprint> {
        if let Some(known) = self.known.get(bytes) {
            let fingerprint = Fingerprint(known.fingerprint.clone());
            let record = known.clone();
            out.push(X509 { ts: now, host_cert: role.host, client_cert: role.client, ..record });
            return Some(fingerprint);
        }
        let before = out.len();
        let (fingerprint, _, record) = log::read(out, now, bytes, role)?;
        // One that is odd in some way is read each time, because that is said each time.
        if out.len() == before {
            self.remember(bytes, &record);
        }
        out.push(record);
        Some(fingerprint)
    }

    fn remember(&mut self, bytes: &[u8], record: &X509) {
        if self.known.len() >= MAX_CERTIFICATES || self.bytes.saturating_add(bytes.len()) > MAX_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.known.insert(bytes.into(), record.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn what_is_known_is_logged_as_if_it_were_read() {
        let bytes = testing::certificate();
        let (mut cached, mut read) = (Entries::default(), Entries::default());
        let mut cache = Cache::default();
        for (time, role) in
            [(Time(1), Role { host: true, client: false }), (Time(2), Role { host: false, client: true })]
        {
            let fingerprint = cache.log(&mut cached, time, &bytes, role);
            assert_eq!(fingerprint, log::log(&mut read, time, &bytes, role).map(|(f, _)| f));
        }
        assert_eq!(cache.known.len(), 1);
        let shown = |entries: &mut Entries| format!("{:?}", entries.drain().collect::<Vec<_>>());
        assert_eq!(shown(&mut cached), shown(&mut read));
    }

    #[test]
    fn what_is_no_certificate_is_not_remembered() {
        let mut out = Entries::default();
        let mut cache = Cache::default();
        for _ in 0..2 {
            assert_eq!(cache.log(&mut out, Time(1), b"0", Role { host: true, client: false }), None);
        }
        assert_eq!((cache.known.len(), out.len()), (0, 2));
    }

    #[test]
    fn a_full_memory_forgets() {
        let bytes = testing::certificate();
        let mut cache = Cache { bytes: MAX_BYTES, ..Cache::default() };
        cache.log(&mut Entries::default(), Time(1), &bytes, Role { host: true, client: false });
        assert_eq!((cache.known.len(), cache.bytes), (1, bytes.len()));
    }
}
