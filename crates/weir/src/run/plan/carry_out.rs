//! Carries plans out, step by step, and takes them back.
//!
//! Promises: what is there already is not made twice; what fails takes everything before it back; `undo` removes what
//! `apply` made and nothing else; each command is printed before it runs. The journal is written before a step is
//! made, so that a machine that stops between two steps leaves nothing that nobody knows of.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};

use super::journal::{Done, Journal};
use crate::plan::{Action, Call, FILE_MARK, Owner, Plan, Probe, Step};

/// Applies `plan`. If another plan of the same name was applied before, that one is taken back, and the plan is made
/// anew, because what it sets back to is then another.
pub fn apply(mut plan: Plan, make: impl Fn() -> anyhow::Result<Plan>, state: &Path) -> anyhow::Result<()> {
    programs_are_there(&plan)?;
    interfaces_are_there(&plan)?;
    if let Some(mut journal) = Journal::load(state, &plan.name)? {
        if journal.digest == plan.digest() && journal.done.iter().all(is_there) {
            say(&format!("{}: is applied already, nothing to do", plan.name));
            return Ok(());
        }
        say(&format!("{}: what was applied before is taken back first", plan.name));
        take_back(&mut journal)?;
        plan = make()?;
    }
    let mut journal = Journal::new(state, &plan.name, plan.digest());
    for step in &plan.steps {
        if let Err(error) = make_step(step, &mut journal) {
            say(&format!("{}: failed, what was done is taken back", plan.name));
            take_back(&mut journal).context("and it could not all be taken back; --undo tries again")?;
            return Err(error);
        }
    }
    say(&format!("{}: applied", plan.name));
    Ok(())
}

/// Takes back what was applied under the plan's name; without a journal, what bears its mark.
pub fn undo(plan: &Plan, state: &Path) -> anyhow::Result<()> {
    programs_are_there(plan)?;
    if let Some(mut journal) = Journal::load(state, &plan.name)? {
        take_back(&mut journal)?;
        say(&format!("{}: taken back", plan.name));
        return Ok(());
    }
    let mut journal = Journal::new(state, &plan.name, 0);
    let ours = |step: &&Step| step.owner == Owner::Ours && step.present.as_ref().is_some_and(holds);
    journal.done = plan.steps.iter().filter(ours).map(done).collect();
    ensure!(!journal.done.is_empty(), "{}: nothing of this name was applied here", plan.name);
    take_back(&mut journal)?;
    say(&format!("{}: taken back", plan.name));
    Ok(())
}

fn make_step(step: &Step, journal: &mut Journal) -> anyhow::Result<()> {
    let there = step.present.as_ref().is_some_and(holds);
    if there && step.owner == Owner::Shared {
        say(&format!("{}: is there already", step.what));
        return Ok(());
    }
    if there {
        // It bears our mark but no journal knows of it: of a run whose journal is gone.
        for action in &step.undo {
            perform(action)?;
        }
    }
    if let Some((probe, wrong)) = &step.apply_if {
        ensure!(holds(probe), "{}: {wrong}", step.what);
    }
    journal.done.push(done(step));
    journal.save()?;
    step.apply.iter().try_for_each(perform)
}

fn done(step: &Step) -> Done {
    Done {
        what: step.what.clone(),
        present: step.present.clone(),
        undo_if: step.undo_if.clone(),
        undo: step.undo.clone(),
    }
}

fn is_there(done: &Done) -> bool {
    done.present.as_ref().is_none_or(holds)
}

/// The last first. What fails stays in the journal; the rest is still taken back.
fn take_back(journal: &mut Journal) -> anyhow::Result<()> {
    let mut left = Vec::new();
    let mut first_error = None;
    for done in journal.done.drain(..).rev() {
        let whole = is_there(&done);
        if whole && done.undo_if.as_ref().is_some_and(|probe| !holds(probe)) {
            say(&format!("{}: is in use, and stays", done.what));
            continue;
        }
        // A step of several actions that failed half-way: each of them may have something to take back.
        let mut failed = None;
        for action in &done.undo {
            let result = if whole { perform(action) } else { quietly(action) };
            failed = failed.or(result.err().filter(|_| whole));
        }
        if let Some(error) = failed {
            first_error = first_error.or(Some(error));
            left.push(done);
        }
    }
    left.reverse();
    journal.done = left;
    match first_error {
        None => journal.close(),
        Some(error) => {
            journal.save()?;
            Err(error)
        }
    }
}

/// Debian's packages of the programs that plans run.
const PACKAGES: [(&str, &str); 7] = [
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-ofctl", "openvswitch-switch"),
    ("nft", "nftables"),
    ("tc", "iproute2"),
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("kubectl", "kubernetes-client"),
];

fn programs_are_there(plan: &Plan) -> anyhow::Result<()> {
    for action in plan.steps.iter().flat_map(|step| &step.apply) {
        let Action::Run(call) = action else { continue };
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&paths).any(|directory| directory.join(&call.program).is_file()) {
            let package = PACKAGES.iter().find(|(program, _)| *program == call.program);
            let package = package.map_or(String::new(), |(_, package)| format!(": apt install {package}"));
            bail!("{} is not installed (or not in PATH){package}", call.program);
        }
    }
    Ok(())
}

fn interfaces_are_there(plan: &Plan) -> anyhow::Result<()> {
    for name in &plan.interfaces {
        let found = output(&Call::new("ip", &format!("link show dev {name}")))?;
        ensure!(found.status.success(), "there is no interface {name}");
    }
    Ok(())
}

fn perform(action: &Action) -> anyhow::Result<()> {
    say(&action.to_string());
    quietly(action)
}

fn quietly(action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Run(call) => {
            let output = output(call)?;
            if !output.status.success() {
                let told = String::from_utf8_lossy(&output.stderr);
                bail!("{} failed ({}): {}", call.program, output.status, told.trim());
            }
            Ok(())
        }
        Action::Write { path, text } => {
            may_touch(path)?;
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        }
        Action::Remove { path } => {
            may_touch(path)?;
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", path.display()))
                }
                Ok(()) | Err(_) => Ok(()),
            }
        }
    }
}

/// A file that is not ours is neither overwritten nor removed.
fn may_touch(path: &Path) -> anyhow::Result<()> {
    match fs::read_to_string(path) {
        Ok(text) if text.lines().next().is_some_and(|line| line.contains(FILE_MARK)) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(_) => bail!("{} is there and weir has not written it: it stays as it is", path.display()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn output(call: &Call) -> anyhow::Result<Output> {
    let cannot = || format!("cannot run {}", call.program);
    let mut child = Command::new(&call.program)
        .args(&call.arguments)
        .stdin(if call.input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(cannot)?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), &call.input) {
        // A program that ends before it has read all says why by its exit code.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().with_context(cannot)
}

fn holds(probe: &Probe) -> bool {
    let printed =
        |call: &Call| output(call).ok().filter(|output| output.status.success()).map(|output| output.stdout);
    match probe {
        Probe::Prints(call, what) => {
            printed(call).is_some_and(|text| String::from_utf8_lossy(&text).contains(what.as_str()))
        }
        Probe::Silent(calls) => calls.iter().all(|call| printed(call).is_some_and(|text| text.is_empty())),
        Probe::Holds(path, text) => fs::read_to_string(path).is_ok_and(|found| found == *text),
    }
}

/// Where standard output is closed nobody wants to know.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
