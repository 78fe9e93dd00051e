//! Any sequence of segments: the lane's ledgers balance after each, and nothing is held at the end.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::segments::run(data));
