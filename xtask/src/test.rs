//! `cargo xtask test`: all that must hold before a change lands, the quickest to fail first.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{bpf, conform, docs, packages, shell, tidy};

/// What a step has to say for the summary, in a few words or none.
type Step = (&'static str, fn() -> Result<String>);

const STEPS: [Step; 9] = [
    ("packages", || quiet(packages::install())),
    ("fmt", || quiet(shell::run(&shell::cargo(), &["fmt", "--all", "--check"]))),
    ("bpf", || bpf::run(true)),
    ("tidy", || quiet(tidy::run())),
    ("clippy", || quiet(clippy())),
    ("tests", tests),
    ("docs", || quiet(docs::run(true))),
    ("conform", || quiet(conform::run(false))),
    ("fuzz", || fuzz(FUZZED)),
];

/// Seconds for each fuzz target: enough to run all seeds and some thousand changes of them.
const FUZZED: u32 = 5;

/// Tests that cannot run here say so with this, to be counted.
const SKIPPED: &str = "skipped: ";

/// Runs every step and prints what each took; the first that fails ends it.
pub fn run() -> Result<()> {
    let mut took = Vec::new();
    for (name, step) in STEPS {
        eprintln!("== {name}");
        let began = now();
        let said = step().with_context(|| format!("step {name}"))?;
        took.push((name, began.elapsed(), said));
    }
    eprintln!("== all steps passed");
    for (name, time, said) in &took {
        eprintln!("   {name:<9}{:>5} s  {said}", time.as_secs());
    }
    let all: Duration = took.iter().map(|(_, time, _)| *time).sum();
    eprintln!("   {:<9}{:>5} s", "all", all.as_secs());
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the user is told what took long")]
fn now() -> Instant {
    Instant::now()
}

fn quiet(done: Result<()>) -> Result<String> {
    done.map(|()| String::new())
}

fn clippy() -> Result<()> {
    shell::run(
        &shell::cargo(),
        &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    )
}

/// Runs every fuzz target for some seconds, as many at once as there are processors.
pub fn fuzz(seconds: u32) -> Result<String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    shell::run("env", &[&format!("FUZZ_JOBS={jobs}"), "fuzz/smoke", &seconds.to_string()])?;
    Ok(format!("{seconds} s for each target"))
}

/// Makes the golden captures anew, and accepts the logs that weir writes of them now.
pub fn bless() -> Result<()> {
    let cargo = shell::cargo();
    shell::run("env", &["WEIR_BLESS=1", &cargo, "test", "--quiet", "--package", "weir", "--test", "golden"])?;
    shell::run("git", &["status", "--short", "--", "tests/golden"])
}

/// Runs all tests. What they print goes to a file, and is shown of those that fail.
fn tests() -> Result<String> {
    let path = shell::target_directory()?.join("tests.log");
    let mut log = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    let mut command = Command::new(shell::cargo());
    match packages::python() {
        Ok(python) => drop(command.env("WEIR_PYTHON", python)),
        Err(error) => eprintln!("{error:#}: no reader of others reads our logs"),
    }
    let mut child = command
        .args(["test", "--quiet", "--workspace", "--no-fail-fast", "--", "--show-output"])
        .current_dir(shell::root())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo does not start")?;
    let mut seen = Seen::default();
    for line in BufReader::new(child.stdout.take().context("the tests' output")?).lines() {
        let line = line.context("reading what the tests say")?;
        writeln!(log, "{line}").with_context(|| format!("writing {}", path.display()))?;
        if let Some(failed) = seen.line(&line) {
            eprint!("{failed}");
        }
    }
    let status = child.wait()?;
    seen.skipped.iter().for_each(|why| eprintln!("{SKIPPED}{why}"));
    ensure!(status.success(), "cargo test: {status}; all that was said is in {}", path.display());
    let networks = if packages::may_make_networks() { "" } else { ", as this user may not make networks" };
    Ok(format!("{} passed, {} skipped{networks}", seen.passed, seen.skipped.len()))
}

/// What the lines of `cargo test --show-output` have told so far.
#[derive(Default)]
struct Seen {
    passed: usize,
    /// Why tests were skipped, one for each.
    skipped: Vec<String>,
    /// The lines of the test program that runs.
    program: String,
}

impl Seen {
    /// Takes a line; answers all of a test program that has just ended and failed.
    fn line(&mut self, line: &str) -> Option<String> {
        if let Some(why) = line.strip_prefix(SKIPPED) {
            self.skipped.push(why.to_owned());
        }
        self.program.push_str(line);
        self.program.push('\n');
        let result = line.strip_prefix("test result: ")?;
        let program = std::mem::take(&mut self.program);
        let passed = result.split(' ').nth(1).and_then(|number| number.parse::<usize>().ok());
        self.passed += passed.unwrap_or(0);
        result.starts_with("FAILED").then_some(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_tests_say_failures_are_shown_and_skips_are_counted() {
        let mut seen = Seen::default();
        let good =
            "running 2 tests\n---- a stdout ----\nskipped: needs root\ntest result: ok. 2 passed; 0 failed";
        let bad = "running 1 test\nthread 'b' panicked\ntest result: FAILED. 4 passed; 1 failed; 0 ignored";
        assert!(good.lines().all(|line| seen.line(line).is_none()));
        let failed: Vec<_> = bad.lines().filter_map(|line| seen.line(line)).collect();
        assert_eq!(failed, [format!("{bad}\n")]);
        assert_eq!((seen.passed, &seen.skipped[..]), (6, &["needs root".to_owned()][..]));
    }
}
