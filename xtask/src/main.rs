//! The project's own tasks, as `cargo xtask TASK`.
//!
//! `test` is all that must hold before a change lands; the others are its parts, and what writes generated files.

#![forbid(unsafe_code)]

mod bench;
mod bpf;
mod conform;
mod deb;
mod docs;
mod packages;
mod sample;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// All that must hold before a change lands; installs what is missing by apt first
    Test,
    /// Checks which crates use which, and that pure crates forbid unsafe code
    Tidy,
    /// Scores weir's logs against Zeek's, and fails where a log has become worse
    Conform {
        /// Makes the present score the one that must be held
        #[arg(long)]
        bless: bool,
    },
    /// Accepts what weir says now of the captures in tests/golden; look at the difference before it is committed
    Bless,
    /// Writes docs/logs.md from the records
    Docs {
        /// Only fails where it is not up to date
        #[arg(long)]
        check: bool,
    },
    /// Builds the Debian package into target/debian; needs cargo-deb
    Deb {
        /// With the release binary that is there
        #[arg(long)]
        built: bool,
    },
    /// Builds the programs that run in the kernel (crates/tap/bpf); needs clang
    Bpf {
        /// Only fails where an object is not what its source builds
        #[arg(long)]
        check: bool,
    },
    /// Captures samples/first.pcapng anew from real programs in network namespaces; needs root
    Sample,
    /// Measures what is promised of speed and memory, and prints the table that README quotes
    Bench(bench::Arguments),
    /// Writes a capture for the bench to standard output
    #[command(hide = true)]
    Generate {
        #[command(subcommand)]
        kind: bench::Kind,
    },
    /// Runs every fuzz target for some seconds
    Fuzz {
        /// For each target
        #[arg(default_value_t = 5)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test => test::run(),
        Task::Tidy => tidy::run(),
        Task::Conform { bless } => conform::run(bless),
        Task::Bless => test::bless(),
        Task::Docs { check } => docs::run(check),
        Task::Deb { built } => deb::run(built),
        Task::Bpf { check } => bpf::run(check).map(|said| eprintln!("{said}")),
        Task::Sample => sample::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Generate { kind } => bench::generate(&kind),
        Task::Fuzz { seconds } => test::fuzz(seconds).map(drop),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
