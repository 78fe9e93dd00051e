//! `weir ctl`: asks a running sensor.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::print::out;
use super::sense::control::{Answer, NAME, Request, SOCKET, ask};
use super::sense::snapshot::{HopSnapshot, Snapshot};
use super::summary::Grouped;
use super::{Exit, complain};
use crate::cli::ctl::{CtlArguments, CtlCommand};

/// `weir ctl`.
pub fn run(arguments: &CtlArguments) -> Exit {
    let path = socket(arguments.socket.as_deref());
    let (request, json) = match arguments.command {
        CtlCommand::Status { json } => (Request::Status, json),
        CtlCommand::Rotate => (Request::Rotate, false),
        CtlCommand::Stop => (Request::Stop, false),
        CtlCommand::Reload => (Request::Reload, false),
        CtlCommand::Workers { count } => (Request::Workers { count: count.fixed() }, false),
    };
    match ask(&path, &request) {
        Ok(Answer::Ok(value)) => match text(value, request == Request::Status && !json) {
            Ok(text) => out(text.as_bytes()),
            Err(error) => failed(&error, Exit::Unreachable),
        },
        Ok(Answer::Error(why)) => failed(&anyhow::anyhow!(why), Exit::Usage),
        Err(error) => failed(&error, Exit::Unreachable),
    }
}

fn failed(error: &anyhow::Error, exit: Exit) -> Exit {
    complain(error);
    exit
}

/// The socket that is meant: that of the machine, where there is one, else that of logs in the usual place.
pub fn socket(given: Option<&Path>) -> PathBuf {
    let usual = Path::new(SOCKET);
    given.map_or_else(
        || if usual.exists() { usual.to_owned() } else { Path::new("logs").join(NAME) },
        Path::to_owned,
    )
}

fn text(value: serde_json::Value, is_status: bool) -> anyhow::Result<String> {
    if !is_status {
        let plain = value.as_str().map(|text| format!("{text}\n"));
        return Ok(plain.unwrap_or(serde_json::to_string_pretty(&value)? + "\n"));
    }
    let snapshot = serde_json::from_value(value).context("the sensor is of another version of weir")?;
    Ok(status(&snapshot)?)
}

/// A status in words.
fn status(s: &Snapshot) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let up = humantime::format_duration(std::time::Duration::from_secs(s.uptime as u64));
    let workers = s.workers.len();
    writeln!(
        text,
        "weir {} (process {}), up {up}, {workers} workers, split by {}",
        s.version, s.pid, s.balance
    )?;
    writeln!(
        text,
        "{:>8} {:>16} {:>16} {:>10} {:>14}",
        "worker", "received", "analysed", "flows", "kernel dropped"
    )?;
    for w in &s.workers {
        let (received, analysed) =
            (Grouped(w.received.frames).to_string(), Grouped(w.analysed.frames).to_string());
        let (flows, dropped) = (Grouped(w.flows as u64).to_string(), Grouped(w.kernel_dropped).to_string());
        writeln!(text, "{:>8} {received:>16} {analysed:>16} {flows:>10} {dropped:>14}", w.worker)?;
    }
    for source in &s.sources {
        write!(text, "source {} ({}) at worker {}:", source.source, source.name, source.worker)?;
        write!(text, " received {}", Grouped(source.received.frames))?;
        write!(text, ", kernel dropped {}", Grouped(source.kernel_dropped))?;
        match source.fill {
            Some(fill) => writeln!(text, ", ring {:.0} % full", fill * 100.0)?,
            None => writeln!(text)?,
        }
    }
    s.hops.iter().try_for_each(|hop| writeln!(text, "  {:8}{}", hop.hop, line(hop)))?;
    write!(text, "logs:")?;
    for log in s.logs.iter().filter(|log| log.written + log.lost > 0) {
        write!(text, " {} {}", log.log, Grouped(log.written))?;
        if log.lost > 0 {
            write!(text, " (lost {})", Grouped(log.lost))?;
        }
    }
    writeln!(text)?;
    if s.panics + s.evicted > 0 {
        let (panics, evicted) = (Grouped(s.panics), Grouped(s.evicted));
        writeln!(
            text,
            "workers panicked {panics} times; {evicted} connections were ended early: tables were full"
        )?;
    }
    Ok(text)
}

fn line(hop: &HopSnapshot) -> String {
    let mut text = format!("entered {}, passed {}", Grouped(hop.entered.frames), Grouped(hop.passed.frames));
    if hop.held.frames > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, ", held {}", Grouped(hop.held.frames));
    }
    for (index, (reason, count)) in hop.dropped.iter().enumerate() {
        let before = if index == 0 { ", dropped" } else { "," };
        let _ = write!(text, "{before} {reason} {}", Grouped(count.frames));
    }
    text
}

#[cfg(test)]
mod tests {
    use weir_ledger::Count;

    use super::super::sense::snapshot::WorkerSnapshot;
    use super::*;

    #[test]
    fn a_status_names_workers_hops_and_reasons() {
        let dropped = [("arp".to_owned(), Count::new(1_000, 9))].into();
        let hop = HopSnapshot {
            hop: "decap".into(),
            entered: Count::new(1_000, 9),
            dropped,
            ..HopSnapshot::default()
        };
        let worker = WorkerSnapshot { worker: 3, flows: 7, ..WorkerSnapshot::default() };
        let snapshot = Snapshot { hops: vec![hop], workers: vec![worker], ..Snapshot::default() };
        let text = status(&snapshot).unwrap();
        assert!(text.contains("decap   entered 1 000, passed 0, dropped arp 1 000\n"), "{text}");
        assert!(text.contains("1 workers") && text.contains("logs:\n"), "{text}");
    }
}
