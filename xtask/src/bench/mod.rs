//! `cargo xtask bench`: the promises of speed and memory, measured in one run, each as a ratio against a peer or a floor.
//!
//! | row | what is measured |
//! | --- | --- |
//! | `suricata` | packets per CPU second of one lane, against `suricata -r --runmode single` with no rules |
//! | `lanes` | wall time of one lane against that of two |
//! | `instructions` | instructions of a whole read against one that stops after decap, counted by valgrind |
//! | `packets` | instructions for each packet of decap, flow look-up, TCP, DNS, HTTP and TLS ([`packets`]) |
//! | `memory` | bytes for each of a million connections at once that have no payload to analyse |
//! | `flat` | peak memory of ten copies of the trace, one after the other, against that of one |
//! | `flood` | peak memory of a flood of 20 million SYNs, against what the configuration allows |
//! | `fabric`: `carry`, `spread` | what carrying a packet to a sensor costs, and how flows are spread ([`fabric`]); needs root, too |
//! | `live`: `rates`, `steady`, `balance` | what needs a wire and root ([`live`]): only where it is asked for |
//!
//! Where it may, it measures with real-time priority: other work on the machine then costs cache and not time.

mod fabric;
mod generate;
mod live;
mod packets;
mod rows;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub use self::generate::{Kind, generate};
use crate::shell;

/// What is to be measured.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Only these: suricata, lanes, instructions, packets, memory, flat, flood; or what needs root: live, which is rates, steady, balance, and fabric, which is carry, spread
    rows: Vec<String>,
    /// How long memory is looked at while traffic goes on (steady)
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// The large capture; without it one is made by ../shared/tools/mktrace
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Small and once: shows that the rows work; their figures mean little
    #[arg(long)]
    quick: bool,
}

/// One line of the table.
pub struct Row {
    what: String,
    measured: String,
    /// Empty where nothing is promised.
    needed: String,
    met: bool,
}

/// Where things are, and how much is to be done.
pub struct Bench {
    weir: PathBuf,
    /// For logs and generated captures; removed at the end.
    scratch: PathBuf,
    trace: Option<PathBuf>,
    quick: bool,
    minutes: f64,
}

type Measure = fn(&Bench) -> Result<Vec<Row>>;

const ROWS: [(&str, Measure); 12] = [
    ("suricata", rows::suricata),
    ("lanes", rows::lanes),
    ("instructions", rows::instructions),
    ("packets", packets::packets),
    ("memory", rows::memory),
    ("flat", rows::flat),
    ("flood", rows::flood),
    ("rates", live::rates),
    ("steady", live::steady),
    ("balance", live::balance),
    ("carry", fabric::carry),
    ("spread", fabric::spread),
];

/// Rows that are measured only where they are asked for, by their name or by that of their group.
const ASKED_FOR: [(&str, &[&str]); 2] =
    [("live", &["rates", "steady", "balance"]), ("fabric", &["carry", "spread"])];

/// Measures, and prints the table; an error where a promise is not kept.
pub fn run(arguments: &Arguments) -> Result<()> {
    let is_known = |row: &str| {
        ROWS.iter().any(|(name, _)| *name == row) || ASKED_FOR.iter().any(|(group, _)| *group == row)
    };
    let unknown = arguments.rows.iter().find(|row| !is_known(row));
    ensure!(unknown.is_none(), "there is no row {}", unknown.map_or("", String::as_str));
    shell::run(&shell::cargo(), &["build", "--quiet", "--release", "--package", "weir"])?;
    let target = shell::target_directory()?;
    let scratch = target.join("bench").join(std::process::id().to_string());
    fs::create_dir_all(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let bench = Bench {
        weir: target.join("release/weir"),
        scratch,
        trace: arguments.trace.as_deref().map(fs::canonicalize).transpose().context("the trace")?,
        quick: arguments.quick,
        minutes: arguments.minutes,
    };
    let wanted = |name: &&str| {
        let group = ASKED_FOR.iter().find(|(_, rows)| rows.contains(name)).map(|(group, _)| *group);
        let asked_for = arguments.rows.iter().any(|row| row == name || Some(row.as_str()) == group);
        asked_for || arguments.rows.is_empty() && group.is_none()
    };
    let (mut missed, mut result) = (0, Ok(()));
    println!("| | measured | needed | |\n| --- | --- | --- | --- |");
    for (_, measure) in ROWS.iter().filter(|(name, _)| wanted(name)) {
        match measure(&bench) {
            Ok(rows) => missed += rows.iter().filter(|row| !row.print()).count(),
            Err(error) => result = Err(error),
        }
    }
    fs::remove_dir_all(&bench.scratch).context("removing what the bench wrote")?;
    result?;
    ensure!(missed == 0 || bench.quick, "{missed} promises are not kept");
    Ok(())
}

impl Row {
    /// Prints the line; whether the promise is kept.
    fn print(&self) -> bool {
        let verdict = match (self.needed.as_str(), self.met) {
            ("", _) => "reported",
            (_, true) => "kept",
            (_, false) => "**missed**",
        };
        println!("| {} | {} | {} | {verdict} |", self.what, self.measured, self.needed);
        self.met
    }
}

impl Bench {
    /// The large trace: at least 1 GB unless it is to be quick.
    fn trace(&self) -> Result<PathBuf> {
        match &self.trace {
            Some(trace) => Ok(trace.clone()),
            None => self.made("large.pcap", if self.quick { "2" } else { "25" }),
        }
    }

    /// A trace of so many copies of the corpus's base.
    fn made(&self, name: &str, copies: &str) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        if !path.exists() {
            let shared = shell::root().join("../shared");
            let (tool, base) = (shared.join("tools/mktrace"), shared.join("corpus/perf/base.pcap.zst"));
            let arguments = [text(&tool)?, text(&path)?, text(&base)?, "--copies", copies, "--seconds", "60"];
            shell::output("python3", &arguments)?;
        }
        Ok(path)
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
