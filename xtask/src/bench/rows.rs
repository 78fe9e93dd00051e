//! The rows of the table.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::trial::{self, Cost};
use super::{Bench, Row, text};

/// What a tracked flow without payload may take.
const FLOW_BYTES: u64 = 700;
/// Connections in the table of a lane (`flow.max_flows`, the default).
const MAX_FLOWS: u64 = 1 << 21;
/// What a lane takes beside its flows: buffers of logs, batches, tables of protocols.
const BESIDE_FLOWS: u64 = 64 << 20;

/// What suricata shall do about each protocol that it knows and its default configuration reads, so that its work is weir's.
///
/// | | protocols |
/// | --- | --- |
/// | read and logged by both: on, as by default | dns, http, tls, ssh, ftp, ftp-data, smtp, smb, dcerpc, quic, rdp |
/// | weir only tells that it is there (`service` in conn.log): `detection-only` | [`ONLY_DETECTED`], and imap, where that is the default |
/// | not looked at by weir: off | [`NOT_READ`] |
///
/// What weir looks at and suricata leaves out by default (pgsql, modbus, dnp3) or does not know (pop3, irc, socks, syslog, ldap, mysql,
/// redis, radius, xmpp, finger, websocket) stays so: weir alone pays for it.
const ONLY_DETECTED: [&str; 7] = ["dhcp", "ntp", "snmp", "sip", "krb5", "mqtt", "rfb"];
const NOT_READ: [&str; 6] = ["nfs", "tftp", "ike", "telnet", "http2", "bittorrent-dht"];

/// Suricata's own configuration, with the outputs that correspond to weir's logs, as they are by default.
const SURICATA: &str = "%YAML 1.1
---
include: /etc/suricata/suricata.yaml
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types:
        - anomaly:
            enabled: yes
        - http:
            extended: yes
        - dns:
        - tls:
            extended: yes
        - files:
            force-magic: no
        - smtp:
        - ftp
        - rdp
        - smb
        - dcerpc
        - quic:
        - ssh
        - flow
";

impl Bench {
    /// `weir read` on captures, with the cores to itself.
    fn read(&self, options: &[&str], captures: &[&str]) -> Result<Cost> {
        let logs = self.scratch.join("logs");
        let mut arguments = vec![text(&self.weir)?, "read", "--quiet", "--logs", text(&logs)?];
        arguments.extend(options);
        arguments.extend(captures);
        trial::run(&trial::urgent(&arguments), None)
    }

    /// `weir read` on what this program generates.
    fn read_generated(&self, options: &[&str], generate: &[&str]) -> Result<Cost> {
        let logs = self.scratch.join("logs");
        let mut arguments = vec![text(&self.weir)?, "read", "--quiet", "--logs", text(&logs)?];
        arguments.extend(options);
        arguments.push("-");
        let mut generator = Command::new(std::env::current_exe().context("this program")?);
        trial::run(&arguments, Some(generator.arg("generate").args(generate)))
    }

    fn rounds(&self, rounds: usize) -> usize {
        if self.quick { 1 } else { rounds }
    }
}

/// The best of several runs.
fn best(rounds: usize, mut run: impl FnMut() -> Result<Cost>) -> Result<Cost> {
    let first = run()?;
    (1..rounds).try_fold(first, |best, _| Ok(best.best(run()?)))
}

/// The command line of suricata: one thread, no rules, its default outputs for the protocols that weir logs, in `directory`.
pub fn suricata_arguments(directory: &Path, input: &[&str]) -> Result<Vec<String>> {
    let config = directory.join("suricata.yaml");
    std::fs::write(&config, SURICATA)?;
    let set = |protocol: &&str, to: &str| format!("app-layer.protocols.{protocol}.enabled={to}");
    let detected = ONLY_DETECTED.iter().map(|protocol| set(protocol, "detection-only"));
    let settings: Vec<_> = detected.chain(NOT_READ.iter().map(|protocol| set(protocol, "no"))).collect();
    let mut arguments = vec!["suricata", "-c", text(&config)?, "--runmode", "single"];
    arguments.extend(input);
    arguments.extend(["-S", "/dev/null", "-l", text(directory)?]);
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    Ok(arguments.into_iter().map(str::to_owned).collect())
}

/// One lane against suricata.
pub fn suricata(bench: &Bench) -> Result<Vec<Row>> {
    let trace = bench.trace()?;
    let trace = text(&trace)?;
    let directory = bench.scratch.join("suricata");
    std::fs::create_dir_all(&directory)?;
    let arguments = suricata_arguments(&directory, &["-r", trace])?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let arguments = trial::urgent(&arguments);
    let peer = best(bench.rounds(3), || trial::run(&arguments, None))?;
    let own = best(bench.rounds(3), || bench.read(&[], &[trace]))?;
    let ratio = peer.cpu / own.cpu;
    Ok(vec![Row {
        what: "one lane, packets per CPU second, against suricata 7.0".into(),
        measured: format!("{ratio:.1} × ({:.2} s against {:.2} s)", own.cpu, peer.cpu),
        needed: "3 ×".into(),
        met: ratio >= 3.0,
    }])
}

/// Two lanes against one.
pub fn lanes(bench: &Bench) -> Result<Vec<Row>> {
    let trace = bench.trace()?;
    let trace = text(&trace)?;
    let mut costs = Vec::new();
    for _ in 0..bench.rounds(5) {
        costs.push((bench.read(&["-w", "1"], &[trace])?, bench.read(&["-w", "2"], &[trace])?));
    }
    let best = costs.into_iter().reduce(|(one, two), (a, b)| (one.best(a), two.best(b)));
    let (one, two) = best.context("no round")?;
    let ratio = one.wall / two.wall;
    Ok(vec![Row {
        what: "two lanes against one, on two cores, by the clock".into(),
        measured: format!(
            "{ratio:.2} × ({:.2} s against {:.2} s; CPU {:.2} s against {:.2} s)",
            two.wall, one.wall, two.cpu, one.cpu
        ),
        needed: "1.7 ×".into(),
        met: ratio >= 1.7,
    }])
}

/// A whole read against one that stops after decap.
pub fn instructions(bench: &Bench) -> Result<Vec<Row>> {
    let trace = bench.made("small.pcap", "1")?;
    let logs = bench.scratch.join("logs");
    let count = |options: &[&str]| -> Result<f64> {
        let mut arguments = vec!["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"];
        arguments.extend([text(&bench.weir)?, "read", "--quiet", "--logs", text(&logs)?]);
        arguments.extend(options);
        arguments.push(text(&trace)?);
        let output = Command::new("valgrind").args(&arguments).output().context("valgrind does not start")?;
        ensure!(output.status.success(), "valgrind: {}", output.status);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = told.lines().find(|line| line.contains('I') && line.contains("refs:"));
        let number = line.and_then(|line| line.rsplit_once(':')).context("valgrind counts nothing")?;
        Ok(number.1.trim().replace(',', "").parse()?)
    };
    let (whole, floor) = (count(&[])?, count(&["--stop-after", "decap"])?);
    let packets = packets_in(bench, text(&trace)?)?;
    let ratio = whole / floor;
    Ok(vec![Row {
        what: "instructions of a read, against one that stops after decap".into(),
        measured: format!(
            "{ratio:.1} × ({:.0} against {:.0} for each packet)",
            whole / packets,
            floor / packets
        ),
        needed: "6 × at most".into(),
        met: ratio <= 6.0,
    }])
}

/// How many packets a capture has, by weir's own ledger.
fn packets_in(bench: &Bench, trace: &str) -> Result<f64> {
    let ledger = bench.scratch.join("ledger.json");
    bench.read(&["--ledger", text(&ledger)?, "--stop-after", "decap"], &[trace])?;
    let ledger: serde_json::Value = serde_json::from_slice(&std::fs::read(&ledger)?)?;
    let hops = ledger.get("hops").and_then(|hops| hops.as_array()).context("a ledger without hops")?;
    let entered =
        hops.first().and_then(|tap| tap.pointer("/entered/frames")).and_then(serde_json::Value::as_f64);
    entered.context("a ledger without frames")
}

/// Many connections at once.
pub fn memory(bench: &Bench) -> Result<Vec<Row>> {
    let flows = if bench.quick { 100_000 } else { 1_000_000 };
    let few = bench.read_generated(&[], &["idle", "1000"])?;
    let many = bench.read_generated(&[], &["idle", &flows.to_string()])?;
    let each = many.peak.saturating_sub(few.peak) / (flows - 1000);
    Ok(vec![Row {
        what: format!(
            "memory of each of {} million connections at once, without payload",
            flows as f64 / 1e6
        ),
        measured: format!("{each} bytes ({} in all)", mib(many.peak)),
        needed: format!("{FLOW_BYTES} at most"),
        met: each <= FLOW_BYTES,
    }])
}

/// Ten copies of the trace against one.
pub fn flat(bench: &Bench) -> Result<Vec<Row>> {
    let trace = bench.trace()?;
    let read = |copies: &str| bench.read_generated(&[], &["repeat", copies, text(&trace)?]);
    let copies = if bench.quick { "3" } else { "10" };
    let (one, ten) = (read("1")?, read(copies)?);
    let ratio = ten.peak as f64 / one.peak as f64;
    Ok(vec![Row {
        what: format!("peak memory of {copies} copies of the trace one after the other, against one"),
        measured: format!("{ratio:.2} × ({} against {})", mib(ten.peak), mib(one.peak)),
        needed: "1.1 × at most".into(),
        met: ratio <= 1.1,
    }])
}

/// A flood of connection attempts.
pub fn flood(bench: &Bench) -> Result<Vec<Row>> {
    let flows = if bench.quick { 1_000_000 } else { 20_000_000 };
    let cost = bench.read_generated(&[], &["syn", &flows.to_string()])?;
    let allowed = MAX_FLOWS * FLOW_BYTES + BESIDE_FLOWS;
    Ok(vec![Row {
        what: format!("peak memory of a flood of {} million SYNs", flows / 1_000_000),
        measured: format!("{} ({:.1} million a second)", mib(cost.peak), f64::from(flows) / cost.wall / 1e6),
        needed: format!("{} at most (flow.max_flows of {FLOW_BYTES} bytes, and 64 MiB)", mib(allowed)),
        met: cost.peak <= allowed,
    }])
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_runs_the_cheapest_counts() {
        let mut walls = [3.0, 1.0, 2.0].into_iter();
        let cost = best(3, || Ok(Cost { wall: walls.next().unwrap(), cpu: 1.0, peak: 7 })).unwrap();
        assert!((cost.wall - 1.0).abs() < 1e-9 && walls.next().is_none());
    }
}
