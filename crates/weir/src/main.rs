//! weir: network security monitoring for clouds. Captures in, Zeek's logs out, every packet accounted for.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod plan;
mod run;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, ConfigCommand};

/// Connections and records come and go by the million, in few sizes: this allocator takes half the time for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Read(arguments) => run::read::run(&arguments),
        Command::Sense(arguments) => run::sense::run(&arguments),
        Command::Ctl(arguments) => run::ctl::run(&arguments),
        Command::Spread(arguments) => run::spread::run(&arguments),
        Command::Tap(arguments) => run::tap::run(&arguments),
        Command::Replay(arguments) => run::replay::run(&arguments),
        Command::Plan(arguments) => run::plan::run(&arguments),
        Command::Filter(arguments) => run::filter::run(&arguments),
        Command::Top(arguments) => run::top::run(&arguments),
        Command::Doctor(arguments) => run::doctor::run(&arguments),
        Command::Config { command: None } => run::print::config(),
        Command::Config { command: Some(ConfigCommand::Check { file }) } => run::print::check(&file),
        Command::Completions { shell } => run::print::completions(shell),
        Command::Man { directory } => run::print::man(directory.as_deref()),
    };
    exit.into()
}
