//! What the parts of weir cost for each packet, in instructions that valgrind counts: exact, whatever else the machine does.
//!
//! | benchmark | what it is given |
//! | --- | --- |
//! | `decap` | Ethernet and IPv4, and the same in VXLAN |
//! | `look_up` | empty datagrams of 10,000 UDP flows in turn: to find the flow and to count |
//! | `in_order` | a long TCP stream of which nothing is known, full segments in order |
//! | `dns`, `http`, `tls` | whole connections of `samples/first.pcapng`, from the packet to the line of the log |
//!
//! Every benchmark is given [`traffic::PACKETS`] packets; `cargo xtask bench packets` divides by that. Caches, tables and buffers
//! have seen such traffic before.

#![allow(missing_docs, reason = "the macros of gungraun make modules")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up shall end")]

mod traffic;

use std::hint::black_box;

use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

use traffic::{Analysis, Walk};

#[library_benchmark]
#[bench::plain(args = (false), setup = traffic::walk)]
#[bench::vxlan(args = (true), setup = traffic::walk)]
fn decap(walk: Walk) -> Walk {
    black_box(walk).run()
}

#[library_benchmark]
#[bench::look_up(args = (10_000), setup = traffic::look_up)]
#[bench::in_order(args = (1448), setup = traffic::in_order)]
#[bench::dns(args = (53), setup = traffic::sample)]
#[bench::http(args = (80), setup = traffic::sample)]
#[bench::tls(args = (443), setup = traffic::sample)]
fn analyse(analysis: Analysis) -> Analysis {
    black_box(analysis).run()
}

library_benchmark_group!(name = packets, benchmarks = [decap, analyse]);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = packets
);
