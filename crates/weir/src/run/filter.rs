//! `weir filter I/N`: the filter of one of several workers that share an interface.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use weir_spread::{SpreadBy, Steering, filter_expression};
use weir_tap::{Filter, listing};
use weir_wire::LinkType;
use weir_wire::bpf::Instruction;

use super::print::out;
use super::{Exit, complain};
use crate::cli::filter::FilterArguments;

/// Workers at most: more than any machine has.
const MAX_WORKERS: u32 = 4096;

/// `weir filter`.
pub fn run(arguments: &FilterArguments) -> Exit {
    match text(arguments) {
        Ok(text) => out(text.as_bytes()),
        Err(error) => {
            complain(&error);
            Exit::Usage
        }
    }
}

fn text(arguments: &FilterArguments) -> Result<String> {
    let (worker, workers) = share(&arguments.share)?;
    ensure!(
        arguments.home < workers,
        "--home {}: of {workers} workers the last is {}",
        arguments.home,
        workers - 1
    );
    let expression = filter_expression(worker, workers, arguments.home);
    let program = match (arguments.code, arguments.inner) {
        (0, _) => return Ok(expression + "\n"),
        (_, false) => Filter::new(&expression)?.instructions(LinkType::ETHERNET),
        (_, true) => {
            ensure!(arguments.home == 0, "--home: with --inner it is always worker 0");
            let mut program = Steering::new(SpreadBy::Sum, workers).for_filter(worker);
            // As many bytes as tcpdump captures.
            program.push(Instruction::new(6, 262_144));
            program
        }
    };
    code(arguments.code, &program)
}

/// The worker and the number of workers in "I/N".
fn share(text: &str) -> Result<(u32, u32)> {
    let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    let Some((worker, workers)) = numbers else {
        bail!("the share {text:?} is not understood: it is a worker and how many there are, like 0/4");
    };
    ensure!(
        (1..=MAX_WORKERS).contains(&workers),
        "the share {text}: there can be 1 to {MAX_WORKERS} workers"
    );
    ensure!(
        worker < workers,
        "the share {text}: workers are counted from 0, so the last of {workers} is {}",
        workers - 1
    );
    Ok((worker, workers))
}

/// A program in one of the three forms of tcpdump.
fn code(form: u8, program: &[Instruction]) -> Result<String> {
    let mut text = String::new();
    match form {
        1 => {
            for line in listing(program).context("cannot list the code")? {
                writeln!(text, "{line}")?;
            }
        }
        2 => {
            for Instruction { code, jt, jf, k } in program {
                writeln!(text, "{{ {code:#x}, {jt}, {jf}, {k:#010x} }},")?;
            }
        }
        _ => {
            writeln!(text, "{}", program.len())?;
            for Instruction { code, jt, jf, k } in program {
                writeln!(text, "{code} {jt} {jf} {k}")?;
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_worker_and_how_many_there_are() {
        assert_eq!(share("3/4").unwrap(), (3, 4));
        for (wrong, why) in [
            ("4/4", "the last of 4 is 3"),
            ("1", "like 0/4"),
            ("a/b", "like 0/4"),
            ("0/0", "1 to 4096"),
            ("-1/4", "like 0/4"),
        ] {
            let error = share(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn code_is_written_as_tcpdump_writes_it() {
        let program =
            [Instruction::new(0x28, 12), Instruction::branch(0x15, 0x800, 0, 1), Instruction::new(6, 0)];
        assert_eq!(code(3, &program).unwrap(), "3\n40 0 0 12\n21 0 1 2048\n6 0 0 0\n");
        assert_eq!(code(2, &program[..1]).unwrap(), "{ 0x28, 0, 0, 0x0000000c },\n");
    }
}
