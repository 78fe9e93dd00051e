//! A network of its own for one test: the thread leaves for a new network namespace, which ends with it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use weir_tap::write::PcapWriter;
use weir_tap::{Endian, Precision};
use weir_wire::{LinkType, Time};

/// Runs `test` in a new network namespace. Without the right to make one there is nothing to test, which is said.
#[allow(unsafe_code, reason = "unshare")]
pub fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        // SAFETY: no pointers; only this thread moves.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            eprintln!("skipped: a network namespace needs CAP_SYS_ADMIN");
            return;
        }
        run("ip link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Two ends of a wire, `near` and `far`, without addresses or offloads, so that nothing but the test's frames is on it.
pub fn wire(near: &str, far: &str) {
    run(&format!("ip link add {near} type veth peer name {far}"));
    for end in [near, far] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6"), "1");
        run(&format!("ip link set {end} up mtu 9000"));
    }
}

/// Runs a command that has to succeed.
pub fn run(command: &str) -> String {
    let Output { status, stdout, stderr } = try_run(command);
    assert!(status.success(), "{command}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Runs a command.
pub fn try_run(command: &str) -> Output {
    let mut words = command.split_whitespace();
    Command::new(words.next().unwrap()).args(words).output().unwrap_or_else(|e| panic!("{command}: {e}"))
}

/// Sends Ethernet frames with tcpreplay, as fast as it can or `rate` (an option of its own).
pub fn replay(interface: &str, frames: &[Vec<u8>], rate: &str) {
    let file = tempfile::Builder::new().suffix(".pcap").tempfile().unwrap();
    write(file.path(), frames);
    run(&format!("tcpreplay -q {rate} -i {interface} {}", file.path().display()));
}

fn write(path: &Path, frames: &[Vec<u8>]) {
    let out = std::io::BufWriter::new(File::create(path).unwrap());
    let mut out = PcapWriter::new(out, LinkType::ETHERNET, Precision::Micros, Endian::Little).unwrap();
    for (i, frame) in frames.iter().enumerate() {
        out.frame(Time::from_parts(1, i as i64 * 1000), frame.len() as u32, frame).unwrap();
    }
    std::io::Write::flush(&mut out.into_inner()).unwrap();
}
