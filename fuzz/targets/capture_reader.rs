//! Any bytes as a capture: mapped and as a stream they hold the same frames, all of which lie inside their block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::capture::{Slow, is_zstd, read};
use weir_tap::Source;

fuzz_target!(|data: &[u8]| {
    let (step, data) = data.split_first().unwrap_or((&0, data));
    let whole = read(Source::Memory("memory".into(), data.to_vec()));
    let slow = Slow::new(data, usize::from(*step) + 1);
    let streamed = read(Source::Stream("stream".into(), Box::new(slow)));
    // Damaged Zstandard data end a little earlier or later with the size of the reads; the reader documents that.
    if whole.error.is_none() || !is_zstd(data) {
        assert_eq!(whole.digest, streamed.digest);
        assert_eq!(whole.error, streamed.error);
    }
});
