//! `weir doctor`: tests what a sensor relies on, and says what to do about what it finds.
//!
//! Promises: nothing is changed on the machine; the test of the split happens in a network namespace of its own, which ends with
//! it. What cannot be tested is a warning that says why. `weir sense` tells the warnings and errors of the quick checks, and
//! goes on.

mod frames;
mod interface;
mod machine;
mod split;

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use super::print::out;
use super::{Exit, complain};
use crate::cli::doctor::DoctorArguments;
use crate::config::Config;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// A sensor works, but loses packets, time or memory, or might.
    Warning,
    /// A sensor does not work.
    Error,
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// The interface, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// How bad it is.
    pub level: Level,
    /// What is, and what that means.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, interface: None, level: Level::Ok, found: found.into(), advice: None }
    }

    /// All is not well, and this is what to do.
    pub fn bad(
        check: &'static str,
        level: Level,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { check, interface: None, level, found: found.into(), advice: Some(advice.into()) }
    }

    /// The finding is about `interface`.
    #[must_use]
    pub fn of(mut self, interface: &str) -> Self {
        self.interface = Some(interface.to_owned());
        self
    }
}

/// All findings, as `--json` prints them.
#[derive(Debug, Serialize)]
struct Report {
    warnings: usize,
    errors: usize,
    findings: Vec<Finding>,
}

/// `weir doctor`.
pub fn run(arguments: &DoctorArguments) -> Exit {
    let config = match Config::usual(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let workers = match arguments.workers.unwrap_or(config.sense.workers) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => usize::from(workers),
    };
    let mut findings = quick(&config, &arguments.interfaces, workers);
    findings.push(machine::steal());
    findings.push(split::test());
    let of = |level| findings.iter().filter(|finding| finding.level == level).count();
    let report = Report { warnings: of(Level::Warning), errors: of(Level::Error), findings };
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).map(|text| text + "\n").unwrap_or_default()
    } else {
        table(&report)
    };
    let printed = out(text.as_bytes());
    if printed == Exit::Done && report.errors > 0 { Exit::Capture } else { printed }
}

/// The checks that take no time and change nothing.
fn quick(config: &Config, interfaces: &[String], workers: usize) -> Vec<Finding> {
    let logs = crate::config::sense::given(&config.sense.logs).unwrap_or("/var/log/weir");
    let mut findings = vec![
        machine::privileges(),
        machine::kernel(),
        machine::memory(config, interfaces.len(), workers),
        machine::locked_memory(),
        machine::softnet(),
        machine::receive_buffer(),
        machine::disk(Path::new(logs)),
    ];
    for name in interfaces.iter().filter(|name| *name != "any") {
        findings.extend(interface::check(name, workers).into_iter().map(|finding| finding.of(name)));
    }
    findings
}

/// What a sensor that begins should tell: no more than a line each.
pub fn warnings(config: &Config, interfaces: &[String], workers: usize) -> Vec<String> {
    let tunnels = !config.sense.vxlan.is_empty() || !config.sense.geneve.is_empty();
    let worth = |finding: &Finding| {
        finding.level != Level::Ok
            && finding.check != machine::PRIVILEGES
            && (finding.check != machine::RECEIVE_BUFFER || tunnels)
    };
    let line = |finding: Finding| {
        let of = finding.interface.map(|name| format!("{name}: ")).unwrap_or_default();
        format!("warning: {of}{}; {}", finding.found, finding.advice.unwrap_or_default())
    };
    quick(config, interfaces, workers).into_iter().filter(worth).map(line).collect()
}

/// The findings for people: the check, how it is, what it means; below, what to do.
fn table(report: &Report) -> String {
    let mut text = String::new();
    let name = |finding: &Finding| match &finding.interface {
        Some(interface) => format!("{} {interface}", finding.check),
        None => finding.check.to_owned(),
    };
    let width = report.findings.iter().map(|finding| name(finding).chars().count()).max().unwrap_or_default();
    for finding in &report.findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "ERROR",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {level:7}  {}", name(finding), finding.found);
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "{:width$}           -> {advice}", "");
        }
    }
    let _ = writeln!(text, "{} errors, {} warnings", report.errors, report.warnings);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_is_wrong_and_below_it_what_to_do() {
        let findings = vec![
            Finding::ok("kernel", "Linux 6.1"),
            Finding::bad("ring", Level::Warning, "256 of 4096 frames", "ethtool -G eth0 rx 4096").of("eth0"),
        ];
        let text = table(&Report { warnings: 1, errors: 0, findings });
        assert_eq!(
            text,
            "kernel     ok       Linux 6.1\n\
             ring eth0  warning  256 of 4096 frames\n                    \
             -> ethtool -G eth0 rx 4096\n\
             0 errors, 1 warnings\n"
        );
    }
}
