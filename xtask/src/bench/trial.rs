//! One run of a program, and what it cost.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How often the memory of a program is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// A run that takes longer is ended.
const LONGEST: Duration = Duration::from_mins(20);

/// What a run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds by the clock on the wall.
    pub wall: f64,
    /// Seconds of processors, in user and system mode.
    pub cpu: f64,
    /// Most memory that was resident, in bytes.
    pub peak: u64,
}

impl Cost {
    /// Of two runs what was cheaper in each respect: noise only adds.
    pub const fn best(self, other: Self) -> Self {
        let peak = if self.peak < other.peak { self.peak } else { other.peak };
        Self { wall: self.wall.min(other.wall), cpu: self.cpu.min(other.cpu), peak }
    }
}

#[allow(clippy::disallowed_methods, reason = "the clock on the wall is what is measured")]
fn now() -> Instant {
    Instant::now()
}

/// Runs `arguments` to their end, with the output of `input` as its standard input where there is one.
pub fn run(arguments: &[&str], input: Option<&mut Command>) -> Result<Cost> {
    let (before, began) = (children_cpu()?, now());
    let mut source = input.map(|i| i.stdout(Stdio::piped()).spawn()).transpose().context("the generator")?;
    let stdin = source.as_mut().and_then(|source| source.stdout.take()).map_or_else(Stdio::null, Stdio::from);
    let [program, rest @ ..] = arguments else { bail!("nothing to run") };
    let mut child = Command::new(program)
        .args(rest)
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{program} does not start"))?;
    let mut peak = 0;
    let status = loop {
        peak = peak.max(high_water(child.id()));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > LONGEST {
            child.kill()?;
        }
        thread::sleep(LOOK);
    };
    let wall = began.elapsed().as_secs_f64();
    let cpu = children_cpu()? - before;
    if let Some(mut source) = source {
        source.wait()?;
    }
    ensure!(status.success(), "{}: {status}", arguments.join(" "));
    Ok(Cost { wall, cpu, peak })
}

/// The same in front of `arguments` that gives them the processors at once, where this user may.
pub fn urgent<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    const CHRT: [&str; 3] = ["chrt", "--rr", "10"];
    let may = Command::new("chrt").args(["--rr", "10", "true"]).stderr(Stdio::null()).status();
    let before: &[&str] = if may.is_ok_and(|status| status.success()) { &CHRT } else { &[] };
    before.iter().chain(arguments).copied().collect()
}

/// Linux counts in hundredths, whatever the kernel's own clock (USER_HZ).
const TICKS: f64 = 100.0;

/// Processor seconds of all children that have ended.
pub fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    // proc(5): cutime and cstime are fields 16 and 17; the first behind the name is 3.
    Ok(ticks(&stat, 13) / TICKS)
}

/// Processor seconds of a process that runs; 0 where it is gone.
pub fn cpu_of(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // proc(5): utime and stime are fields 14 and 15.
    ticks(&stat, 11) / TICKS
}

/// The sum of two fields, so many behind the name of a process and its state.
fn ticks(stat: &str, skip: usize) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(skip).take(2).map(|field| field.parse::<f64>().unwrap_or(0.0)).sum()
}

/// The most memory that a process has had resident so far, in bytes; 0 where it is gone.
fn high_water(process: u32) -> u64 {
    memory_of(process, "VmHWM:")
}

/// A measure of a process's memory, in bytes; 0 where it is gone.
pub fn memory_of(process: u32, measure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(measure));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_charged_for_time_and_memory_and_its_failure_is_an_error() {
        let cost = run(&["sleep", "0.1"], None).unwrap();
        assert!(cost.wall >= 0.1 && cost.cpu < 0.1 && cost.peak > 0, "{cost:?}");
        assert!(run(&["false"], None).is_err());
        let cost = run(&["sh", "-c", "read x && test $x = yes"], Some(Command::new("echo").arg("yes")));
        assert!(cost.is_ok());
    }
}
