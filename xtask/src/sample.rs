//! `samples/first.pcapng`: what `xtask/sample.sh` captures, rewritten as pcapng with weir's own reader and writer.

use std::fs::{self, File};
use std::io::{BufWriter, Write};

use anyhow::{Context, Result, ensure};
use weir_tap::write::PcapngWriter;
use weir_tap::{Captures, Endian, FrameBatch, Options, Precision, Source};

use crate::shell;

/// What a sample may weigh: it is in every clone.
const LARGEST: u64 = 300_000;

/// Captures, and writes the sample.
pub fn run() -> Result<()> {
    let captured = std::env::temp_dir().join(format!("weir-sample-{}.pcap", std::process::id()));
    let name = captured.to_str().context("the directory for temporary files is not UTF-8")?;
    shell::run("xtask/sample.sh", &[name])?;
    let samples = shell::root().join("samples");
    fs::create_dir_all(&samples).context("making samples/")?;
    let path = samples.join("first.pcapng");
    let out = BufWriter::new(File::create(&path).with_context(|| format!("writing {}", path.display()))?);
    convert(Source::File(captured.clone()), out)?;
    fs::remove_file(&captured).context("removing the capture")?;
    let size = fs::metadata(&path)?.len();
    ensure!(size <= LARGEST, "the sample has {size} bytes, more than {LARGEST}");
    eprintln!("{}: {size} bytes", path.display());
    Ok(())
}

/// All frames have the link type of the first: they come from one interface.
fn convert(source: Source, out: impl Write) -> Result<()> {
    let mut captures = Captures::open(vec![source], Options::default())?;
    let mut writer = PcapngWriter::new(out, Endian::Little)?;
    let (mut batch, mut interface) = (FrameBatch::default(), None);
    while captures.next_batch(&mut batch)? {
        for frame in batch.iter() {
            let to = match interface {
                Some(to) => to,
                None => *interface.insert(writer.interface(frame.link, Precision::Micros)?),
            };
            writer.frame(to, frame.time, frame.wire_len, frame.data)?;
        }
    }
    writer.into_inner().flush()?;
    Ok(())
}
