//! A wire in a network namespace, and the sender at one end of it.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::super::trial;
use crate::shell;

/// Where programs listen.
pub const EAR: &str = "vb";
/// Where tcpreplay sends.
const MOUTH: &str = "va";

/// A namespace with a veth pair; it ends with this.
pub struct Network {
    name: String,
}

impl Network {
    /// A new one, whose name is unique to this process.
    pub fn new() -> Result<Self> {
        let network = Self { name: format!("weir-bench-{}", std::process::id()) };
        let run = |arguments: &[&str]| shell::output("ip", arguments).map(drop);
        run(&["netns", "add", &network.name]).context("the rows on a wire need root")?;
        let inside = ["-n", &network.name];
        let add = ["link", "add", MOUTH, "type", "veth", "peer", "name", EAR];
        run(&[&inside[..], &add[..]].concat())?;
        for end in [MOUTH, EAR] {
            // Nothing but what is sent shall be on the wire: no address, and so no neighbours are asked for.
            let off = format!("echo 1 > /proc/sys/net/ipv6/conf/{end}/disable_ipv6");
            network.shell(&off)?;
            run(&[&inside[..], &["link", "set", end, "mtu", "65535", "up"]].concat())?;
        }
        Ok(network)
    }

    fn shell(&self, script: &str) -> Result<Vec<u8>> {
        shell::output("ip", &["netns", "exec", &self.name, "sh", "-c", script])
    }

    /// A program in it, with the processors to itself where this user may.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(trial::urgent(arguments));
        command
    }

    /// Frames that have come to the far end.
    pub fn received(&self) -> Result<u64> {
        let text = self.shell(&format!("cat /sys/class/net/{EAR}/statistics/rx_packets"))?;
        String::from_utf8_lossy(&text).trim().parse().context("a number of frames")
    }

    /// Sends a capture at `rate` frames a second, again and again for so many seconds, or once where that is 0.
    pub fn send(&self, capture: &str, rate: Option<f64>, seconds: f64, options: &[&str]) -> Result<Sender> {
        let pace = rate.map_or("--topspeed".to_owned(), |rate| format!("--pps={rate:.0}"));
        let (duration, mouth) = (format!("--duration={seconds:.0}"), format!("--intf1={MOUTH}"));
        let mut arguments = vec!["tcpreplay", "--preload-pcap", &pace, &mouth];
        if seconds > 0.0 {
            arguments.extend(["--loop=0", &duration]);
        }
        arguments.extend(options);
        arguments.push(capture);
        let child = self
            .command(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("tcpreplay does not start")?;
        Ok(Sender { child: Some(child), said: String::new() })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// A tcpreplay that runs, or has run.
pub struct Sender {
    child: Option<Child>,
    said: String,
}

impl Sender {
    /// Whether all has been sent.
    pub fn has_ended(&mut self) -> Result<bool> {
        let status = self.child.as_mut().map(Child::try_wait).transpose()?;
        Ok(!matches!(status, Some(None)))
    }

    fn end(&mut self) -> Result<()> {
        if let Some(child) = self.child.take() {
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "tcpreplay: {}", output.status);
            self.said = String::from_utf8_lossy(&output.stdout).into_owned();
        }
        Ok(())
    }

    /// How many frames it sent, once it has ended.
    pub fn sent(&mut self) -> Result<u64> {
        self.end()?;
        after(&self.said, "Successful packets:")?.parse().context("what tcpreplay sent")
    }

    /// How many a second.
    pub fn rate(&mut self) -> Result<f64> {
        self.end()?;
        let line =
            self.said.lines().find(|line| line.contains("Rated:")).context("tcpreplay tells no rate")?;
        let rate = line.rsplit(',').next().unwrap_or_default().trim().trim_end_matches(" pps");
        rate.parse().with_context(|| format!("the rate in {line}"))
    }
}

/// The word behind `what`.
fn after<'a>(text: &'a str, what: &str) -> Result<&'a str> {
    let found = text.split_once(what).and_then(|(_, rest)| rest.split_whitespace().next());
    found.with_context(|| format!("there is no {what} in: {text}"))
}
