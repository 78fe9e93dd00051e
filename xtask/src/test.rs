//! `cargo xtask test`: all that must hold before a change lands, the quickest to fail first.

use anyhow::{Context, Result};

use crate::{conform, shell, tidy};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 5] = [
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("tests", tests),
    ("conform", || conform::run(false)),
];

/// Runs every step; the first that fails ends it.
pub fn run() -> Result<()> {
    for (name, step) in STEPS {
        eprintln!("== {name}");
        step().with_context(|| format!("step {name}"))?;
    }
    eprintln!("== all steps passed");
    Ok(())
}

fn fmt() -> Result<()> {
    shell::run(&shell::cargo(), &["fmt", "--all", "--check"])
}

fn clippy() -> Result<()> {
    shell::run(
        &shell::cargo(),
        &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    )
}

fn tests() -> Result<()> {
    shell::run(&shell::cargo(), &["test", "--quiet", "--workspace"])
}
