//! The rows that need a wire: weir against suricata and tcpdump on a veth pair in a network namespace of its own, fed by tcpreplay.
//!
//! | row | what is measured |
//! | --- | --- |
//! | `rates` | CPU time for each packet; the highest rate at which nothing is lost; what is lost at twice that rate, and whether what the program says of it is what the sender counted |
//! | `steady` | memory of `weir sense` while traffic goes on for `--minutes` |
//! | `balance` | frames of the busiest of eight workers against their mean, on 10,000 flows in one VXLAN tunnel |
//!
//! All need root, and are only measured when they are asked for by name. The sender has a processor to itself where there are two.

mod network;
mod program;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use self::network::Network;
use self::program::{Counts, Program, Tool};
use super::{Bench, Row, generate, text};

/// How long frames are sent for one measurement of losses, in seconds.
const TRY: f64 = 2.0;
/// Where the search for the highest rate begins, in frames a second.
const SLOWEST: f64 = 10_000.0;
/// The search ends when the highest rate is known to so much of itself.
const NEAR: f64 = 0.1;
/// How often a rate is tried before a loss counts: other work on the machine loses frames, too.
const TRIES: usize = 2;

/// From so many minutes on, connections that time out (after 5 minutes, in TCP) are a steady part of the traffic.
const LONG: f64 = 15.0;

/// CPU time, rates and losses.
pub fn rates(bench: &Bench) -> Result<Vec<Row>> {
    let trace = bench.made("live.pcap", "1")?;
    let network = Network::new()?;
    let lab = Lab { bench, network, trace: text(&trace)?.to_owned() };
    let weir = lab.limits(Tool::Weir).context("weir")?;
    let suricata = lab.limits(Tool::Suricata).context("suricata")?;
    let tcpdump = lab.limits(Tool::Tcpdump).context("tcpdump")?;
    // All at a rate that none has trouble with.
    let rate = weir.rate.min(suricata.rate).min(tcpdump.rate) / 2.0;
    let cpu = |tool| {
        let trial = lab.trial(tool, rate, TRY * 2.0)?;
        Ok::<_, anyhow::Error>(trial.cpu / trial.sent as f64 * 1e6)
    };
    let (own, peer, floor) = (cpu(Tool::Weir)?, cpu(Tool::Suricata)?, cpu(Tool::Tcpdump)?);
    let ratio = own / peer;
    let mut rows = vec![
        Row {
            what: format!("CPU time for each packet, live, logs written, {rate:.0} frames a second"),
            measured: format!("{own:.2} µs; suricata {peer:.2} µs ({ratio:.2} ×), tcpdump {floor:.2} µs"),
            needed: "at most 0.2 × suricata".to_owned(),
            met: ratio <= 0.2,
        },
        Row {
            what: "highest rate without a loss, one worker".to_owned(),
            measured: format!("{weir}; suricata {suricata}, tcpdump {tcpdump}"),
            needed: "at least 1.5 × suricata".to_owned(),
            met: weir.rate >= 1.5 * suricata.rate || weir.sender_is_slower,
        },
    ];
    for (tool, limits) in [(Tool::Weir, &weir), (Tool::Suricata, &suricata), (Tool::Tcpdump, &tcpdump)] {
        rows.push(lab.overload(tool, limits)?);
    }
    rows.push(lab.standstill(&weir)?);
    Ok(rows)
}

/// Memory over minutes of traffic.
pub fn steady(bench: &Bench) -> Result<Vec<Row>> {
    let trace = bench.made("live.pcap", "1")?;
    let network = Network::new()?;
    let program = Program::start(bench, &network, Tool::Weir, &["-w", "2"])?;
    let seconds = bench.minutes * 60.0;
    // Other addresses in each round fill the tables until connections time out, which takes minutes.
    let others: &[&str] = if bench.minutes >= LONG { &["--unique-ip"] } else { &[] };
    let mut sender = network.send(text(&trace)?, Some(20_000.0), seconds, others)?;
    let mut memory = Vec::new();
    while !sender.has_ended()? {
        memory.push(program.memory());
        std::thread::sleep(Duration::from_millis(200));
    }
    let (sent, counts) = (sender.sent()?, program.end()?.1);
    // Tables grow at first; what goes on growing does so in the last third, too.
    let third = memory.len() / 3;
    ensure!(third > 0, "that was too short to see anything");
    let peak = |skip: usize| memory.iter().skip(skip).take(third).copied().max().unwrap_or(0) as f64;
    let (before, after) = (peak(third), peak(2 * third));
    Ok(vec![Row {
        what: format!("memory over {:.1} minutes, {sent} frames, {} lost", bench.minutes, counts.lost),
        measured: format!("{:.1} MB, then {:.1} MB ({:.3} ×)", before / 1e6, after / 1e6, after / before),
        needed: "at most 1.05 × in the last third of what it was in the second".to_owned(),
        met: after <= 1.05 * before,
    }])
}

/// The split of one tunnel's flows.
pub fn balance(bench: &Bench) -> Result<Vec<Row>> {
    let capture = bench.scratch.join("tunnel.pcap");
    let mut out = std::fs::File::create(&capture).context("making the capture of a tunnel")?;
    generate::write(&generate::Kind::Tunnel { flows: 10_000 }, &mut out)?;
    let mut rows = Vec::new();
    for (way, needed) in [("fanout", Some(1.15)), ("fanout=hash", None)] {
        let network = Network::new()?;
        let program = Program::start(bench, &network, Tool::Weir, &["-w", "8", "--balance", way])?;
        let mut sender = network.send(text(&capture)?, Some(40_000.0), 0.0, &[])?;
        let sent = sender.sent()?;
        program.wait_until_idle()?;
        let status: Status = serde_json::from_str(&program.status()?).context("what weir ctl status says")?;
        let received: Vec<u64> = status.workers.iter().map(|worker| worker.received.frames).collect();
        let (all, most) = (received.iter().sum::<u64>(), received.iter().copied().max().unwrap_or(0));
        program.end()?;
        ensure!(all == sent, "{sent} frames were sent and {all} received: {received:?}");
        let imbalance = most as f64 * received.len() as f64 / all as f64;
        rows.push(Row {
            what: format!("busiest of 8 workers against their mean, one VXLAN tunnel, --balance {way}"),
            measured: format!("{imbalance:.2} ×"),
            needed: needed
                .map_or("(the kernel's, to compare)".to_owned(), |most| format!("at most {most} ×")),
            met: needed.is_none_or(|most| imbalance <= most),
        });
    }
    Ok(rows)
}

/// Of what `weir ctl status --json` says: the frames of each worker.
#[derive(Deserialize)]
struct Status {
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    received: Received,
}

#[derive(Deserialize)]
struct Received {
    frames: u64,
}

/// What is measured on.
struct Lab<'a> {
    bench: &'a Bench,
    network: Network,
    trace: String,
}

/// How fast a program is.
struct Limits {
    /// The highest rate at which it lost nothing, in frames a second.
    rate: f64,
    /// Nothing can be sent faster than that here.
    sender_is_slower: bool,
}

/// One run of a program while frames are sent.
struct Trial {
    /// Frames, as the sender and the interface counted them.
    sent: u64,
    /// Frames a second.
    rate: f64,
    /// Seconds of processors that the program took.
    cpu: f64,
    counts: Counts,
}

impl Lab<'_> {
    /// Sends for some seconds at a rate.
    fn trial(&self, tool: Tool, rate: f64, seconds: f64) -> Result<Trial> {
        self.trial_with(tool, rate, seconds, |_| Ok(()))
    }

    /// The same, with something that happens while frames are sent.
    fn trial_with(
        &self,
        tool: Tool,
        rate: f64,
        seconds: f64,
        happens: impl FnOnce(&Program) -> Result<()>,
    ) -> Result<Trial> {
        let program = Program::start(self.bench, &self.network, tool, &["-w", "1"])?;
        let before = self.network.received()?;
        let mut sender = self.network.send(&self.trace, Some(rate), seconds, &[])?;
        happens(&program)?;
        let (sent, rate) = (sender.sent()?, sender.rate()?);
        program.wait_until_idle()?;
        let arrived = self.network.received()? - before;
        ensure!(sent == arrived, "{sent} frames were sent, but {arrived} came to the other end of the wire");
        let (cpu, counts) = program.end()?;
        Ok(Trial { sent, rate, cpu, counts })
    }

    /// Whether nothing is lost at a rate; and the rate that was reached.
    fn holds(&self, tool: Tool, rate: f64) -> Result<(bool, f64)> {
        let mut reached = 0.0;
        for _ in 0..TRIES {
            let trial = self.trial(tool, rate, TRY)?;
            reached = trial.rate;
            if trial.counts.lost == 0 {
                return Ok((true, reached));
            }
        }
        Ok((false, reached))
    }

    /// Doubles the rate until frames are lost, then halves the difference.
    fn limits(&self, tool: Tool) -> Result<Limits> {
        let (mut good, mut bad) = (0.0, f64::INFINITY);
        let mut rate = SLOWEST;
        while bad.is_infinite() || bad - good > NEAR * good.max(SLOWEST) {
            let (held, reached) = self.holds(tool, rate)?;
            if !held {
                bad = rate;
            } else if reached < 0.9 * rate {
                return Ok(Limits { rate: reached, sender_is_slower: true });
            } else {
                good = rate;
            }
            rate = if bad.is_infinite() { 2.0 * rate } else { f64::midpoint(good, bad) };
            ensure!(rate > 100.0, "frames are lost at every rate");
        }
        Ok(Limits { rate: good, sender_is_slower: false })
    }

    /// Twice what it can take.
    fn overload(&self, tool: Tool, limits: &Limits) -> Result<Row> {
        let trial = self.trial(tool, limits.rate * 2.0, TRY)?;
        let Counts { seen, lost } = trial.counts;
        Ok(Row {
            what: format!("{tool:?} at twice that rate ({:.0} frames a second were reached)", trial.rate),
            measured: format!(
                "{:.1} % lost; it counts {seen} frames with {lost} lost, {} were sent",
                lost as f64 * 100.0 / trial.sent as f64,
                trial.sent
            ),
            needed: if tool == Tool::Weir { "counted exactly" } else { "(to compare)" }.to_owned(),
            met: tool != Tool::Weir || seen == trial.sent,
        })
    }
}

impl Lab<'_> {
    /// A sensor that stands still for a second at its highest rate loses frames for certain, and counts each.
    fn standstill(&self, limits: &Limits) -> Result<Row> {
        let trial = self.trial_with(Tool::Weir, limits.rate, TRY * 2.0, |weir| {
            std::thread::sleep(Duration::from_millis(500));
            weir.signal("STOP")?;
            std::thread::sleep(Duration::from_secs(2));
            weir.signal("CONT")
        })?;
        let Counts { seen, lost } = trial.counts;
        Ok(Row {
            what: "Weir, stopped for two seconds at its highest rate".to_owned(),
            measured: format!("counts {seen} frames with {lost} lost, {} were sent", trial.sent),
            needed: "losses, counted exactly".to_owned(),
            met: lost > 0 && seen == trial.sent,
        })
    }
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let more = if self.sender_is_slower { " (all that could be sent)" } else { "" };
        write!(f, "{:.0}/s{more}", self.rate)
    }
}
