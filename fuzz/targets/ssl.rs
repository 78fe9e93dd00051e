//! Any bytes, gaps and ends as a connection of TLS and SSL.
#![no_main]

use weir_analyse::{Transport, protocol::Kind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::analyser::run(Kind::Ssl, Transport::Tcp, 443, data));
