//! A node whose interface is mirrored, and a sensor behind a wire, each a network namespace; and the programs in them.
//!
//! ```text
//!   node:  va ══ vb (is mirrored)    n0 10.7.0.1 ═╗
//!   sensor:                          s0 10.7.0.2 ═╝    fa ══ fb (what a replay gives is heard)
//! ```

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::super::{Bench, trial};
use crate::shell;

/// How often it is looked whether a program has come so far; so often: a minute.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 1200;
/// Programs that take no time for so many looks have done all there is to do.
const IDLE: u32 = 8;

/// Which namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    Node,
    Sensor,
}

/// The namespaces, and a directory in which programs run.
pub struct Place {
    node: String,
    sensor: String,
    pub home: PathBuf,
}

impl Place {
    /// A new one. Its names are unique to this process.
    pub fn new(bench: &Bench) -> Result<Self> {
        let name = |what| format!("weir-bench-{what}{}", std::process::id());
        let place = Self { node: name("n"), sensor: name("s"), home: bench.scratch.join("fabric") };
        if place.home.exists() {
            fs::remove_dir_all(&place.home)?;
        }
        fs::create_dir_all(&place.home)?;
        // Who programs become must be able to write there, and to go there.
        shell::output("chmod", &["777", super::super::text(&place.home)?])?;
        for name in [&place.node, &place.sensor] {
            shell::output("ip", &["netns", "add", name]).context("the rows on a wire need root")?;
        }
        let far = &place.sensor;
        place.run(
            At::Node,
            &format!(
                "ip link set lo up && ip link add va type veth peer name vb && ip link add n0 type veth peer name s0 netns {far}"
            ),
        )?;
        place.run(At::Sensor, "ip link set lo up && ip link add fa type veth peer name fb")?;
        for (at, end) in
            [(At::Node, "va"), (At::Node, "vb"), (At::Node, "n0"), (At::Sensor, "s0"), (At::Sensor, "fa")]
                .into_iter()
                .chain([(At::Sensor, "fb")])
        {
            // Nothing but what is sent shall be on the wire: no neighbours are asked for.
            place.run(at, &format!("echo 1 > /proc/sys/net/ipv6/conf/{end}/disable_ipv6"))?;
            place.run(at, &format!("ip link set {end} mtu 65535 up"))?;
        }
        place.run(At::Node, "ip addr add 10.7.0.1/24 dev n0")?;
        place.run(At::Sensor, "ip addr add 10.7.0.2/24 dev s0")?;
        Ok(place)
    }

    const fn name(&self, at: At) -> &String {
        match at {
            At::Node => &self.node,
            At::Sensor => &self.sensor,
        }
    }

    /// Runs a script in a namespace; what it prints.
    pub fn run(&self, at: At, script: &str) -> Result<String> {
        let output = Command::new("ip")
            .args(["netns", "exec", self.name(at), "sh", "-c", script])
            .current_dir(&self.home)
            .output()?;
        let wrong = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script}: {}: {wrong}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A program in a namespace, with the processors to itself where this user may.
    fn command(&self, at: At, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(at)]).args(trial::urgent(words)).current_dir(&self.home);
        command
    }

    /// Starts a program, with what `input` gives as its standard input; what it prints goes to `out`, or to its log.
    fn spawn(
        &self,
        at: At,
        line: &str,
        name: &'static str,
        input: Stdio,
        out: Option<Stdio>,
    ) -> Result<Running> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let log = self.home.join(format!("{name}.log"));
        let said = File::create(&log)?;
        let out = out.map_or_else(|| said.try_clone().map(Stdio::from), Ok)?;
        let mut command = self.command(at, &words);
        let child = command.stdin(input).stdout(out).stderr(said).spawn().context(line.to_owned())?;
        Ok(Running { name, child, log })
    }

    /// Starts a program, and waits until it says `sign`.
    pub fn start(&self, at: At, line: &str, name: &'static str, sign: &str) -> Result<Running> {
        let mut running = self.spawn(at, line, name, Stdio::null(), None)?;
        running.wait_for(sign)?;
        Ok(running)
    }

    /// Starts two programs, the one's output the other's input.
    pub fn pipe(&self, at: At, [one, other]: [(&str, &'static str); 2]) -> Result<Vec<Running>> {
        let mut first = self.spawn(at, one.0, one.1, Stdio::null(), Some(Stdio::piped()))?;
        let between = first.child.stdout.take().context("no pipe")?;
        let second = self.spawn(at, other.0, other.1, between.into(), None)?;
        Ok(vec![first, second])
    }

    /// Sends so many frames of a capture at a rate; CPU seconds of the sender.
    pub fn send(&self, bench: &Bench, capture: &str, rate: u32, frames: u64) -> Result<f64> {
        let weir = super::super::text(&bench.weir)?;
        let line = format!("{weir} replay -q -i va --speed {rate}pps --loop 0 --limit {frames} {capture}");
        let words: Vec<&str> = line.split_whitespace().collect();
        let before = trial::children_cpu()?;
        let output = self.command(At::Node, &words).output()?;
        let wrong = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {}: {wrong}", output.status);
        Ok(trial::children_cpu()? - before)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in [&self.node, &self.sensor] {
            // One that was not made need not go.
            let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        }
    }
}

/// A program that runs; it ends with this.
pub struct Running {
    pub name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// What it has said.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it says `sign`.
    pub fn wait_for(&mut self, sign: &str) -> Result<()> {
        for _ in 0..LOOKS {
            if self.said().contains(sign) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{}: {status}: {}", self.name, self.said());
            }
            thread::sleep(LOOK);
        }
        bail!("{} does not say {sign:?}: {}", self.name, self.said())
    }

    /// CPU seconds of all its threads so far.
    pub fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let nanos = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        nanos.sum::<u64>() as f64 / 1e9
    }

    /// Ends it, and waits until it has.
    pub fn end(mut self) -> Result<String> {
        let id = self.child.id().to_string();
        // One that ended with its pipe need not be told.
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        for _ in 0..LOOKS {
            if self.child.try_wait()?.is_some() {
                return Ok(self.said());
            }
            thread::sleep(LOOK);
        }
        bail!("{} does not end: {}", self.name, self.said())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until programs have done what they were given.
pub fn wait_until_idle(programs: &[Running]) -> Result<()> {
    let cpu = || programs.iter().map(Running::cpu).sum::<f64>();
    let (mut last, mut idle) = (cpu(), 0);
    for _ in 0..LOOKS {
        thread::sleep(LOOK);
        let now = cpu();
        // House-keeping goes on.
        idle = if now - last < 0.003 { idle + 1 } else { 0 };
        last = now;
        if idle >= IDLE {
            return Ok(());
        }
    }
    bail!("the programs of a chain do not come to rest")
}
