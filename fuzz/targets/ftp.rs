//! Any bytes, gaps and ends as a connection of FTP.
#![no_main]

use weir_analyse::{Transport, protocol::Kind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::analyser::run(Kind::Ftp, Transport::Tcp, 21, data));
