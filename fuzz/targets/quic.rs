//! Any datagrams as a connection of QUIC.
#![no_main]

use weir_analyse::{Transport, protocol::Kind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::analyser::run(Kind::Quic, Transport::Udp, 443, data));
