//! The programs that listen: how each is started, known to be ready, ended, and how it tells what it saw and lost.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::super::{Bench, rows, text, trial};
use super::network::{EAR, Network};

/// How often it is looked whether a program has come so far.
const LOOK: Duration = Duration::from_millis(50);
/// So often: a minute.
const LOOKS: u32 = 1200;
/// A program that takes no time for so many looks has read all there is.
const IDLE: u32 = 10;

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    Weir,
    Suricata,
    Tcpdump,
}

/// What a program says that it saw.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Frames, those that were lost included.
    pub seen: u64,
    /// Frames that the kernel dropped before it, or that it dropped itself because it was too slow.
    pub lost: u64,
}

/// A program that listens.
pub struct Program {
    tool: Tool,
    child: Child,
    weir: PathBuf,
    home: PathBuf,
    /// CPU seconds that it took to start.
    start: f64,
}

impl Program {
    /// Starts it, and waits until it listens. `options` are weir's.
    pub fn start(bench: &Bench, network: &Network, tool: Tool, options: &[&str]) -> Result<Self> {
        let home = bench.scratch.join(format!("{tool:?}").to_lowercase());
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        fs::create_dir_all(&home)?;
        let own = |name: &str| home.join(name).display().to_string();
        let arguments: Vec<String> = match tool {
            Tool::Weir => {
                fs::write(own("weir.toml"), format!("[sense]\ncontrol = \"{}\"\n", own("sense.sock")))?;
                let (logs, ledger, config) = (own("logs"), own("ledger.json"), own("weir.toml"));
                let fixed = [text(&bench.weir)?, "sense", "-i", EAR, "--no-pin"];
                let files = ["-l", &logs, "--ledger", &ledger, "--config", &config];
                [&fixed[..], &files[..], options].concat().iter().map(|s| (*s).to_owned()).collect()
            }
            Tool::Suricata => rows::suricata_arguments(&home, &[&format!("--af-packet={EAR}")])?,
            Tool::Tcpdump => ["tcpdump", "-n", "-i", EAR, "-w", "/dev/null"].map(str::to_owned).to_vec(),
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = File::create(home.join("said")).context("making a file for what is said")?;
        let child = network
            .command(&arguments)
            .current_dir(&home)
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("{tool:?} does not start"))?;
        let mut program = Self { tool, child, weir: bench.weir.clone(), home, start: 0.0 };
        program.wait_until_ready()?;
        program.start = program.cpu();
        Ok(program)
    }

    fn said(&self) -> String {
        let read = |name| fs::read(self.home.join(name)).unwrap_or_default();
        let all = [read("said"), read("suricata.log")].concat();
        String::from_utf8_lossy(&all).into_owned()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let sign = if self.tool == Tool::Suricata { "ngine started" } else { "listening on" };
        for _ in 0..LOOKS {
            if self.said().contains(sign) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{status}: {}", self.said());
            }
            thread::sleep(LOOK);
        }
        bail!("it does not say that it listens: {}", self.said())
    }

    /// Waits until it has worked up what it was given.
    pub fn wait_until_idle(&self) -> Result<()> {
        let (mut last, mut idle) = (self.cpu(), 0);
        for _ in 0..LOOKS {
            thread::sleep(LOOK);
            let now = self.cpu();
            // A tick now and then is house-keeping.
            idle = if now - last < 0.011 { idle + 1 } else { 0 };
            last = now;
            if idle >= IDLE {
                return Ok(());
            }
        }
        bail!("{:?} does not come to rest", self.tool)
    }

    fn cpu(&self) -> f64 {
        trial::cpu_of(self.child.id())
    }

    /// Bytes that are resident.
    pub fn memory(&self) -> u64 {
        trial::memory_of(self.child.id(), "VmRSS:")
    }

    /// What weir says of itself while it runs.
    pub fn status(&self) -> Result<String> {
        let output = Command::new(&self.weir)
            .arg("ctl")
            .arg("--socket")
            .arg(self.home.join("sense.sock"))
            .args(["status", "--json"])
            .output()?;
        ensure!(output.status.success(), "weir ctl: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) -> Result<()> {
        let (signal, id) = (format!("-{name}"), self.child.id().to_string());
        let sent = Command::new("kill").args([signal, id]).status()?.success();
        ensure!(sent, "{:?} has ended early: {}", self.tool, self.said());
        Ok(())
    }

    /// Ends it. The CPU seconds since it listened, and its counts.
    pub fn end(mut self) -> Result<(f64, Counts)> {
        let cpu = self.cpu() - self.start;
        let id = self.child.id().to_string();
        ensure!(
            Command::new("kill").args(["-INT", &id]).status()?.success(),
            "{:?} has ended early",
            self.tool
        );
        let mut status = None;
        for _ in 0..LOOKS {
            status = self.child.try_wait()?;
            if status.is_some() {
                break;
            }
            thread::sleep(LOOK);
        }
        let said = self.said();
        ensure!(status.is_some_and(|status| status.success()), "{:?}: {status:?}: {said}", self.tool);
        let counts = match self.tool {
            Tool::Weir => of_ledger(&fs::read_to_string(self.home.join("ledger.json"))?)?,
            Tool::Suricata => {
                Counts { seen: number(&said, &format!("{EAR}: packets: "))?, lost: number(&said, "drops: ")? }
            }
            Tool::Tcpdump => of_tcpdump(&said)?,
        };
        Ok((cpu, counts))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The frames of weir's first hop, and those that it or a later one dropped for want of time or room.
fn of_ledger(text: &str) -> Result<Counts> {
    let ledger: Value = serde_json::from_str(text).context("weir's ledger")?;
    ensure!(ledger.get("balances") == Some(&Value::Bool(true)), "the ledger does not balance: {text}");
    let frames = |hop: &Value, what: &str| hop.pointer(what).and_then(Value::as_u64).unwrap_or(0);
    let hops = ledger.get("hops").and_then(Value::as_array).context("the hops of the ledger")?;
    let tap = hops.iter().find(|hop| hop.get("hop").and_then(Value::as_str) == Some("tap"));
    let seen = frames(tap.context("the tap in the ledger")?, "/entered/frames");
    let slow = ["/dropped/kernel_dropped/frames", "/dropped/worker_queue_full/frames"];
    let lost = hops.iter().flat_map(|hop| slow.map(|reason| frames(hop, reason))).sum();
    Ok(Counts { seen, lost })
}

/// "N packets captured", "N packets received by filter", "N packets dropped by kernel".
fn of_tcpdump(said: &str) -> Result<Counts> {
    let before = |what: &str| {
        let line =
            said.lines().find(|line| line.contains(what)).with_context(|| format!("no {what}: {said}"))?;
        line.split(' ')
            .next()
            .unwrap_or_default()
            .parse::<u64>()
            .with_context(|| format!("the number in {line}"))
    };
    let (captured, lost) = (before("captured")?, before("dropped by kernel")?);
    Ok(Counts { seen: captured + lost, lost })
}

/// The number behind the last `what`.
fn number(text: &str, what: &str) -> Result<u64> {
    let rest = text.rsplit_once(what).with_context(|| format!("there is no {what} in: {text}"))?.1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().with_context(|| format!("the number behind {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_is_understood() {
        let said = "123 packets captured\n130 packets received by filter\n7 packets dropped by kernel\n";
        let counts = of_tcpdump(said).unwrap();
        assert_eq!((counts.seen, counts.lost), (130, 7));
        let said = "Notice: device: vb: packets: 4000, drops: 12 (0.30%), invalid chksum: 0";
        assert_eq!((number(said, "vb: packets: ").unwrap(), number(said, "drops: ").unwrap()), (4000, 12));
        let ledger = r#"{"balances":true,"hops":[{"hop":"tap","entered":{"frames":9},"dropped":{"kernel_dropped":{"frames":2}}}]}"#;
        let counts = of_ledger(ledger).unwrap();
        assert_eq!((counts.seen, counts.lost), (9, 2));
    }
}
