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
    // As for help: what a subcommand inherits is there only once all is built.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = directory else {
        return page(&command).map_or(Exit::Bug, |text| out(&text));
    };
    let written = std::fs::create_dir_all(directory).and_then(|()| pages(&command, "weir", directory));
    match written.with_context(|| format!("cannot write to {}", directory.display())) {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(&error);
            Exit::Logs
        }
    }
}

/// Writes the page of a command, `weir-plan-nft.1`, and those of all below it.
fn pages(command: &clap::Command, name: &str, directory: &Path) -> io::Result<()> {
    std::fs::write(directory.join(format!("{name}.1")), page(command)?)?;
    command
        .get_subcommands()
        .try_for_each(|below| pages(below, &format!("{name}-{}", below.get_name()), directory))
}

/// One page. What stands below the options of `--help` keeps its lines.
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        page.render_options_section(&mut text)?;
    }
    if command.get_subcommands().next().is_some() {
        page.render_subcommands_section(&mut text)?;
    }
    let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for part in below.split("\n\n").filter(|part| !part.trim().is_empty()) {
        text.extend_from_slice(section(part).as_bytes());
    }
    Ok(text)
}

/// Lines of which the first is a title where it ends with a colon: a section whose lines stay as they are (roff(7)).
fn section(part: &str) -> String {
    let (title, lines) = match part.trim_start_matches('\n').split_once('\n') {
        Some((title, lines)) if title.ends_with(':') => (title.trim_end_matches(':'), lines),
        _ => ("Notes", part),
    };
    let title = if title == "Exit codes" { "Exit status" } else { title };
    // A backslash begins an escape, and a hyphen that is typed is no typographic one; a dot or an apostrophe at the start
    // of a line would begin a request.
    let lines = lines.replace('\\', "\\\\").replace('-', "\\-");
    let lines: Vec<&str> = lines.lines().collect();
    format!(".SH \"{}\"\n.nf\n\\&{}\n.fi\n", title.to_uppercase(), lines.join("\n\\&"))
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
