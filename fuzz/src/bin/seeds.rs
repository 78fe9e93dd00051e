//! Writes the seed corpora: `cargo run --bin seeds`, from builders alone, the same files every time. With `--check` only looks
//! whether they are those that are kept.

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

// Built with the flags of the targets, this needs what counts for the fuzzer.
use libfuzzer_sys as _;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let check = std::env::args().any(|argument| argument == "--check");
    let done = weir_fuzz::seeds::all().into_iter().try_for_each(|(target, seeds)| {
        let directory = root.join(target);
        if check { compare(&directory, &seeds) } else { write(&directory, &seeds) }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("seeds: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path, seeds: &[(&str, Vec<u8>)]) -> io::Result<()> {
    if directory.is_dir() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    seeds.iter().try_for_each(|(name, bytes)| fs::write(directory.join(name), bytes))
}

fn compare(directory: &Path, seeds: &[(&str, Vec<u8>)]) -> io::Result<()> {
    let other =
        |what| io::Error::other(format!("{}: {what}; run cargo run --bin seeds", directory.display()));
    if fs::read_dir(directory)?.count() != seeds.len() {
        return Err(other("not as many as are made".to_owned()));
    }
    let changed =
        seeds.iter().find(|(name, bytes)| fs::read(directory.join(name)).ok().as_ref() != Some(bytes));
    changed.map_or(Ok(()), |(name, _)| Err(other(format!("{name} is not as it is made"))))
}
