//! The test of the split: both directions of made-up flows go over a wire (a veth pair) whose other end is read by a fanout group
//! with the program that `weir sense` uses. They must come to one ring, and flows to all rings alike.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, unshare};
use weir_carry::{Outgoing, Output, OutputOptions};
use weir_spread::{SpreadBy, Steering};
use weir_tap::{
    Fanout, FanoutMode, FrameBatch, LiveSource, PacketRing, Received, RingDirection, RingOptions,
};
use weir_wire::{Frame, LinkType, Offload, Time};

use super::frames::{SURROUNDINGS, frame, number};
use super::{Finding, Level};

const CHECK: &str = "split";
/// Rings among which is split.
const LANES: usize = 8;
/// Flows in each surrounding.
const FLOWS: u16 = 400;
/// The frames are there after this, or will not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// The busiest of 8 rings has with 400 flows of one surrounding and a good hash at most about this much more than the mean.
const UNEVEN: f64 = 1.6;

/// What the split of one surrounding is like.
#[derive(Debug, Default)]
struct Outcome {
    /// Flows whose directions came to two rings.
    cut: usize,
    /// Frames in each ring.
    rings: [usize; LANES],
}

/// Tests the split in a network namespace of its own.
pub fn test() -> Finding {
    // Only this thread leaves for the other namespace, which ends with it.
    let thread = std::thread::Builder::new().name("split".into()).spawn(try_test);
    let result = match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow::anyhow!("the test panicked. This is a bug of weir")),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(outcomes) => judge(&outcomes),
        Err(error) => Finding::bad(
            CHECK,
            Level::Warning,
            format!("not tested: {error:#}"),
            "run weir doctor as root, where `ip` (iproute2) is",
        ),
    }
}

fn try_test() -> anyhow::Result<Vec<Outcome>> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    ip("link add near type veth peer name far")?;
    for end in ["near", "far"] {
        // Where there is no IPv6 it need not be turned off.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
        ip(&format!("link set {end} up"))?;
    }
    let program = Steering::new(SpreadBy::Pair, LANES as u32).for_frames();
    let fanout = Fanout { group: 1, mode: FanoutMode::Program(program), defragment: false, rollover: false };
    let options = RingOptions {
        block_size: 1 << 16,
        blocks: 64,
        direction: RingDirection::In,
        fanout: Some(fanout),
        ..RingOptions::new("far")
    };
    let mut rings = PacketRing::open_group(&options, LANES)?;
    let options = OutputOptions { patience: Duration::from_secs(1), ..OutputOptions::default() };
    let mut output = Output::open(&"interface://near".parse()?, &options)?;
    let mut outcomes = Vec::new();
    for surrounding in 0..SURROUNDINGS.len() {
        send(&mut output, surrounding)?;
        outcomes.push(collect(&mut rings)?);
    }
    Ok(outcomes)
}

fn ip(arguments: &str) -> anyhow::Result<()> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().context("cannot run ip (iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {arguments}: {}", said.trim());
    Ok(())
}

/// Sends both directions of all flows.
fn send(output: &mut Output, surrounding: usize) -> anyhow::Result<()> {
    let both = |flow| [false, true].map(|back| frame(surrounding, flow, back));
    let frames: Vec<_> = (0..FLOWS).flat_map(both).collect();
    output.send(frames.iter().map(|data| {
        let (time, link, offload) = (Time(0), LinkType::ETHERNET, Offload::default());
        let frame = Frame { time, sequence: 0, tap: 0, link, wire_len: data.len() as u32, data, offload };
        Outgoing::new(frame, 0)
    }));
    output.take_trouble().map_or(Ok(()), Err)?;
    let passed = output.account().passed.frames;
    let sent = frames.len() as u64 * (surrounding as u64 + 1);
    ensure!(passed == sent, "only {passed} of {sent} frames could be sent");
    Ok(())
}

/// What came, until all is there.
fn collect(rings: &mut [PacketRing]) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut flows: Vec<Option<usize>> = vec![None; usize::from(FLOWS)];
    let (mut batch, mut seen, deadline) = (FrameBatch::default(), 0, now() + PATIENCE);
    while seen < 2 * usize::from(FLOWS) {
        ensure!(now() < deadline, "only {seen} of {} frames came over the wire", 2 * FLOWS);
        for (index, ring) in rings.iter_mut().enumerate() {
            while ring.receive(&mut batch, Duration::from_millis(2))? == Received::Frames {
                for number in batch.iter().filter_map(|frame| number(frame.data)) {
                    seen += 1;
                    if let Some(count) = outcome.rings.get_mut(index) {
                        *count += 1;
                    }
                    let Some(first) = flows.get_mut(usize::from(number)) else { continue };
                    outcome.cut += usize::from(first.is_some_and(|first| first != index));
                    *first = Some(index);
                }
                batch.clear();
            }
        }
    }
    Ok(outcome)
}

fn judge(outcomes: &[Outcome]) -> Finding {
    let mut worst = 0.0f64;
    for (outcome, name) in outcomes.iter().zip(SURROUNDINGS) {
        if outcome.cut > 0 {
            return Finding::bad(
                CHECK,
                Level::Error,
                format!(
                    "of {FLOWS} flows ({name}) {} came to two workers: records would be cut in two",
                    outcome.cut
                ),
                "use --balance lanes, and report this with `uname -r`: a bug of weir or of this kernel",
            );
        }
        let (most, all) =
            (outcome.rings.iter().max().copied().unwrap_or(0), outcome.rings.iter().sum::<usize>());
        worst = worst.max(most as f64 * LANES as f64 / all.max(1) as f64);
    }
    let found = format!(
        "both directions of {FLOWS} flows came to one worker each, {}; the busiest of {LANES} has {worst:.2} x the mean",
        SURROUNDINGS.join(", ")
    );
    if worst > UNEVEN {
        return Finding::bad(
            CHECK,
            Level::Warning,
            found,
            "report this with `uname -r`: the split is uneven",
        );
    }
    Finding::ok(CHECK, found)
}

#[allow(clippy::disallowed_methods, reason = "frames are waited for by the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(cut: usize, rings: [usize; LANES]) -> Outcome {
        Outcome { cut, rings }
    }

    #[test]
    fn a_flow_that_is_cut_is_an_error_and_an_uneven_split_a_warning() {
        assert_eq!(judge(&[outcome(0, [100; LANES])]).level, Level::Ok);
        let cut = judge(&[outcome(0, [100; LANES]), outcome(3, [100; LANES])]);
        assert!(cut.level == Level::Error && cut.found.contains("(VLAN) 3 came"), "{cut:?}");
        assert_eq!(judge(&[outcome(0, [800, 0, 0, 0, 0, 0, 0, 0])]).level, Level::Warning);
    }
}
