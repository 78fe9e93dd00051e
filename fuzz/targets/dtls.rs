//! Any bytes, gaps and ends as a connection of DTLS.
#![no_main]

use weir_analyse::{Transport, protocol::Kind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::analyser::run(Kind::Dtls, Transport::Udp, 443, data));
