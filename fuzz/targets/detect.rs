//! Any bytes, gaps and ends as a connection whose protocol is to be told.
#![no_main]

use weir_analyse::Transport;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (first, data) = data.split_first().unwrap_or((&0, data));
    let transport = if first & 1 == 0 { Transport::Tcp } else { Transport::Udp };
    let port = [4444, 53, 80, 443, 22, 5353, 137, 8080].get(usize::from(first >> 1 & 7)).copied();
    weir_fuzz::analyser::detect(transport, port.unwrap_or(0), data);
});
