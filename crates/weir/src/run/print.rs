//! The subcommands that only print: configuration, completions, manual pages.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::CommandFactory;

use super::{Exit, complain};
use crate::cli::Cli;
use crate::config::check::Severity;
use crate::config::fault::{Fault, Faults};
use crate::config::{self, Config};

/// `weir config`.
pub fn config() -> Exit {
    out(config::default_text().as_bytes())
}

/// `weir config check FILE`.
pub fn check(path: &Path) -> Exit {
    try_check(path).unwrap_or_else(|error| {
        complain(&error);
        Exit::Usage
    })
}

/// Tells what is to be said of a configuration that can be used, and whether it can be used here.
fn try_check(path: &Path) -> anyhow::Result<Exit> {
    let text = config::text_of(path)?;
    let name = path.display().to_string();
    let config = Config::parse(&name, &text)?;
    let remarks = config::check::here(&config);
    for (place, severity, message) in &remarks {
        let list = vec![Fault::at(place, &text, message)];
        let faults = Faults { name: name.clone(), text: text.clone(), list };
        let kind = if *severity == Severity::Warning { "warning: " } else { "" };
        complain(&anyhow!("{kind}{faults}"));
    }
    if remarks.iter().any(|(_, severity, _)| *severity == Severity::Error) {
        return Ok(Exit::Usage);
    }
    Ok(out(format!("{name}: nothing is wrong\n").as_bytes()))
}

/// `weir completions SHELL`.
pub fn completions(shell: clap_complete::Shell) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weir", &mut text);
    out(&text)
}

/// `weir man [DIR]`.
pub fn man(directory: Option<&Path>) -> Exit {
    let Some(directory) = directory else {
        let mut text = Vec::new();
        let made = clap_mangen::Man::new(Cli::command()).render(&mut text);
        return if made.is_ok() { out(&text) } else { Exit::Bug };
    };
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .with_context(|| format!("cannot write to {}", directory.display()));
    match written {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&error);
            Exit::Logs
        }
    }
}

/// Prints; a reader who has seen enough (`| head`) is no trouble.
pub fn out(text: &[u8]) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&anyhow::Error::new(error).context("cannot write to standard output"));
            Exit::Logs
        }
        Ok(()) | Err(_) => Exit::Done,
    }
}
