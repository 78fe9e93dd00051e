//! Any bytes as a certificate.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_analyse::x509::{self, Role};
use weir_record::Entries;
use weir_wire::Time;

fuzz_target!(|data: &[u8]| {
    let mut out = Entries::default();
    let role = Role { host: true, client: false };
    if let Some((_, certificate)) = x509::log(&mut out, Time(0), data, role) {
        x509::matches(&certificate, b"www.example.com");
    }
    weir_fuzz::show::entries(&mut out);
});
