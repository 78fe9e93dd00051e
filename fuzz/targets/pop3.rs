//! Any bytes, gaps and ends as a connection of POP3.
#![no_main]

use weir_analyse::{Transport, protocol::Kind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::analyser::run(Kind::Pop3, Transport::Tcp, 110, data));
