//! The rows of the fabric: how much CPU carrying a packet from a node's interface to a sensor takes, and how `weir spread` spreads.
//!
//! | row | what is measured |
//! | --- | --- |
//! | `carry` | CPU time for each packet from the interface to the logs, less what analysis on the node takes, of `weir tap` into VXLAN and GENEVE, against what people build themselves, the kernel's VXLAN device, Open vSwitch |
//! | `spread` | flows of the busiest of 16 targets against their mean; flows that move when one of them goes |
//!
//! `weir sense` is at the end of every chain, so that all do the same work. What a chain takes in the context of the sender (a packet
//! socket, the kernel's mirror) is counted: it is what the sender takes more than when nobody listens.

mod chain;
mod place;

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use weir_tap::{Captures, FrameBatch, Options, Source};

use self::chain::{Chain, Cost, Load};
use self::place::{At, Place};
use super::{Bench, Row, generate, text};

/// Frames a second: far less than any chain can take.
const RATE: u32 = 30_000;
/// Each chain is measured so often, and the cheapest run counts: noise only adds.
const RUNS: usize = 3;
/// Targets and flows of `spread`.
const TARGETS: usize = 16;
const FLOWS: u32 = 100_000;

/// CPU for each packet.
pub fn carry(bench: &Bench) -> Result<Vec<Row>> {
    let trace = bench.made("live.pcap", "1")?;
    let frames = if bench.quick { 10_000 } else { 150_000 };
    let load = Load { capture: text(&trace)?, rate: RATE, frames };
    let idle = {
        let place = Place::new(bench)?;
        place.send(bench, load.capture, load.rate, load.frames)? / load.frames as f64
    };
    let best = |chain: Chain| -> Result<Cost> {
        let mut best: Option<Cost> = None;
        for _ in 0..if bench.quick { 1 } else { RUNS } {
            let cost = chain.measure(bench, load)?;
            if best.as_ref().is_none_or(|best| cost.total(idle) < best.total(idle)) {
                best = Some(cost);
            }
        }
        best.context("no run")
    };
    let floor = best(Chain::None)?.total(idle);
    let beyond = |cost: &Cost| (cost.total(idle) - floor).max(0.01e-6);
    let peers = [
        ("tcpdump, nc, nc, tcpreplay", Chain::ByHand, 3.0),
        ("tc mirror into the kernel's VXLAN device", Chain::Kernel, 1.0),
        ("userspace Open vSwitch, mirror into VXLAN", Chain::Switch, 1.0),
    ];
    let mut measured = Vec::new();
    for (name, chain, times) in peers {
        measured.push((name, best(chain)?, times));
    }
    let mut rows = Vec::new();
    for kind in ["vxlan", "geneve"] {
        let own = best(Chain::Tap(kind))?;
        for (name, peer, times) in &measured {
            let ratio = beyond(peer) / beyond(&own);
            rows.push(Row {
                what: format!("packets per CPU second, tap → {kind} → sense, against {name}"),
                measured: format!(
                    "{ratio:.2} × ({} against {}; analysis {:.2} µs)",
                    shown(&own, beyond(&own), idle),
                    shown(peer, beyond(peer), idle),
                    floor * 1e6
                ),
                needed: format!("at least {times} ×"),
                met: ratio >= *times,
            });
        }
    }
    Ok(rows)
}

/// A cost, and whose it is, in microseconds for each packet.
fn shown(cost: &Cost, beyond: f64, idle: f64) -> String {
    let others = cost.others.iter().filter(|(_, cpu)| *cpu > 0.005e-6);
    let others = others.map(|(name, cpu)| format!("{name} {:.2}, ", cpu * 1e6)).collect::<String>();
    let kernel = (cost.sender - idle).max(0.0) * 1e6;
    format!("{:.2} µs: {others}in the sender {kernel:.2}, sense {:.2}", beyond * 1e6, cost.sense * 1e6)
}

/// How even the spread is, and what moves.
pub fn spread(bench: &Bench) -> Result<Vec<Row>> {
    let flows = if bench.quick { 10_000 } else { FLOWS };
    let all = targets_of(bench, flows, TARGETS)?;
    let fewer = targets_of(bench, flows, TARGETS - 1)?;
    ensure!(all.len() == flows as usize && fewer.len() == all.len(), "{} flows arrived", all.len());
    let mut counts = [0u32; TARGETS];
    for target in all.values() {
        if let Some(count) = counts.get_mut(*target) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let imbalance = f64::from(most) * TARGETS as f64 / f64::from(flows);
    let moved = all.iter().filter(|(flow, target)| fewer.get(*flow) != Some(target)).count();
    let (moved, allowed) = (moved as f64 / f64::from(flows), 1.0 / TARGETS as f64 + 0.01);
    Ok(vec![
        Row {
            what: format!("flows of the busiest of {TARGETS} targets against their mean, {flows} flows"),
            measured: format!("{imbalance:.3} ×"),
            needed: "at most 1.05 ×".to_owned(),
            met: imbalance <= 1.05,
        },
        Row {
            what: format!("flows that move when one of {TARGETS} targets goes"),
            measured: format!("{:.2} %", moved * 100.0),
            needed: format!("at most 1/{TARGETS} + 1 % = {:.2} %", allowed * 100.0),
            met: moved <= allowed,
        },
    ])
}

/// To which of so many targets `weir spread` sends each flow, by the client's address.
fn targets_of(bench: &Bench, flows: u32, targets: usize) -> Result<HashMap<[u8; 4], usize>> {
    let place = Place::new(bench)?;
    let capture = place.home.join("flows.pcap");
    let out = fs::File::create(&capture).context("making a capture of flows")?;
    generate::write(&generate::Kind::Syn { flows }, out)?;
    let file = |target: usize| place.home.join(format!("target{target}.pcap"));
    let to: String = (0..targets).map(|target| format!("--to file://{} ", file(target).display())).collect();
    let line = format!("{} spread -i vb --direction in -w 1 --user nobody {to}", text(&bench.weir)?);
    for target in 0..targets {
        place.run(At::Node, &format!("touch target{target}.pcap && chmod 666 target{target}.pcap"))?;
    }
    let spread = place.start(At::Node, &line, "spread", "listening on")?;
    place.send(bench, text(&capture)?, RATE, u64::from(flows))?;
    place::wait_until_idle(std::slice::from_ref(&spread))?;
    spread.end()?;
    let mut found = HashMap::new();
    for target in 0..targets {
        let mut captures = Captures::open(vec![Source::File(file(target))], Options::default())?;
        let mut batch = FrameBatch::default();
        while captures.next_batch(&mut batch)? {
            // Ethernet, then IPv4: the client is at 26.
            let client = |data: &[u8]| data.get(26..)?.first_chunk::<4>().copied();
            found.extend(batch.iter().filter_map(|frame| Some((client(frame.data)?, target))));
        }
    }
    Ok(found)
}
