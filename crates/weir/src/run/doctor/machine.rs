//! What the machine gives a sensor: rights, kernel, memory, time, buffers and disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use caps::{CapSet, Capability};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::sys::utsname::uname;
use weir_tap::tunnel_socket::{TunnelProtocol, TunnelSocketOptions};

use super::{Finding, Level};
use crate::config::Config;

/// The checks that `weir sense` treats in a way of their own.
pub const PRIVILEGES: &str = "privileges";
/// See [`PRIVILEGES`].
pub const RECEIVE_BUFFER: &str = "receive buffer";
/// About what one connection takes in the tables, its TCP state and analysers included.
const FLOW_BYTES: u64 = 2048;
/// The kernel counts steal time in ticks of 10 ms: this long shows 1 %.
const STEAL_WINDOW: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;

/// Whether rings and raw sockets can be opened.
pub fn privileges() -> Finding {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let (raw, admin) = (has(Capability::CAP_NET_RAW), has(Capability::CAP_NET_ADMIN));
    match (raw, admin) {
        (true, true) => Finding::ok(PRIVILEGES, "CAP_NET_RAW and CAP_NET_ADMIN are there"),
        (true, false) => {
            Finding::ok(PRIVILEGES, "CAP_NET_RAW is there; --balance rss needs CAP_NET_ADMIN, too")
        }
        (false, _) => Finding::bad(
            PRIVILEGES,
            Level::Error,
            "without CAP_NET_RAW no interface can be listened on, only tunnel sockets and streams",
            "run as root (which is dropped), as the service does, or: setcap cap_net_raw+ep $(command -v weir)",
        ),
    }
}

/// Major and minor of a release like `6.1.0-13-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Whether the kernel splits as it should.
pub fn kernel() -> Finding {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    of_release(&release)
}

fn of_release(release: &str) -> Finding {
    const CHECK: &str = "kernel";
    match version(release) {
        None => Finding::bad(
            CHECK,
            Level::Warning,
            format!("{release:?} is no release of Linux"),
            "weir is for Linux",
        ),
        Some(version) if version < (4, 3) => Finding::bad(
            CHECK,
            Level::Error,
            format!("Linux {release} has no fanout by program (4.3 and later have)"),
            "use --balance lanes, or a newer kernel",
        ),
        Some(version) if version < (4, 7) => Finding::bad(
            CHECK,
            Level::Warning,
            format!(
                "Linux {release}: its hash gives the two directions of a flow to two workers (4.3 to 4.6)"
            ),
            "use --balance fanout, which is the default, and not fanout=hash",
        ),
        Some(_) => Finding::ok(CHECK, format!("Linux {release}: fanout by program, symmetric hash")),
    }
}

/// Whether rings and tables fit into memory.
pub fn memory(config: &Config, interfaces: usize, workers: usize) -> Finding {
    let sense = &config.sense;
    let rings = (sense.block_size as u64)
        .saturating_mul(sense.blocks as u64)
        .saturating_mul((workers * interfaces) as u64);
    let lane = (config.analyse.flow.max_flows as u64)
        .saturating_mul(FLOW_BYTES)
        .saturating_add(config.analyse.tcp.max_held_total as u64)
        .saturating_add(config.analyse.file.max_decoders as u64)
        .saturating_add(config.decap.fragment_memory as u64);
    let tables = lane.saturating_mul(workers as u64);
    let (available, whose) = available_memory();
    fits(rings, tables, available, whose)
}

fn fits(rings: u64, tables: u64, available: Option<u64>, whose: &str) -> Finding {
    const CHECK: &str = "memory";
    let need = format!("rings take {} MiB, full tables up to {} MiB", rings / MIB, tables / MIB);
    let Some(available) = available else {
        let advice = "look at /proc/meminfo and memory.max of the control group";
        return Finding::bad(
            CHECK,
            Level::Warning,
            format!("{need}; how much there is cannot be told"),
            advice,
        );
    };
    let found = format!("{need}; {} MiB are available ({whose})", available / MIB);
    if rings > available {
        Finding::bad(
            CHECK,
            Level::Error,
            found,
            "fewer blocks or workers ([sense] blocks, workers), or more memory",
        )
    } else if rings.saturating_add(tables) > available {
        let advice = "lower [flow] max_flows and [tcp] max_held_total, or give more memory: under a flood weir would be killed";
        Finding::bad(CHECK, Level::Warning, found, advice)
    } else {
        Finding::ok(CHECK, found)
    }
}

/// Bytes that this process may still take, and whose limit that is.
fn available_memory() -> (Option<u64>, &'static str) {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemAvailable:"));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mut least = None;
        let root = Path::new("/sys/fs/cgroup");
        // The limit of every group around counts.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let number =
                |name: &str| fs::read_to_string(root.join(group).join(name)).ok()?.trim().parse().ok();
            let (most, now): (Option<u64>, Option<u64>) = (number("memory.max"), number("memory.current"));
            if let (Some(most), Some(now)) = (most, now) {
                let left = most.saturating_sub(now);
                least = Some(least.map_or(left, |least: u64| least.min(left)));
            }
        }
        least
    });
    match (machine, group) {
        (Some(machine), Some(group)) if group < machine => (Some(group), "memory.max of the control group"),
        (None, Some(group)) => (Some(group), "memory.max of the control group"),
        (machine, _) => (machine, "MemAvailable"),
    }
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether memory may be locked, as AF_XDP and eBPF maps of old kernels need.
pub fn locked_memory() -> Finding {
    const CHECK: &str = "locked memory";
    let exempt = caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or(false);
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    if exempt || limit >= 64 * MIB {
        return Finding::ok(CHECK, "as much as AF_XDP and eBPF maps need");
    }
    Finding::bad(
        CHECK,
        Level::Warning,
        format!(
            "RLIMIT_MEMLOCK is {} KiB: AF_XDP sockets and, before Linux 5.11, eBPF maps need more",
            limit / 1024
        ),
        "LimitMEMLOCK=infinity in the unit (deploy/weir.service has it), or ulimit -l unlimited",
    )
}

/// Ticks of all CPUs: those that the hypervisor took, and all.
fn ticks() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let numbers: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are in user already (proc(5)).
    Some((*numbers.get(7)?, numbers.iter().take(8).sum()))
}

/// Whether the hypervisor gives our CPU time to others.
pub fn steal() -> Finding {
    let before = ticks();
    std::thread::sleep(STEAL_WINDOW);
    let after = ticks();
    let (Some((stolen, all)), Some((before, before_all))) = (after, before) else {
        return Finding::bad("steal time", Level::Warning, "/proc/stat does not tell", "is /proc mounted?");
    };
    let percent = |stolen: u64, all: u64| 100.0 * stolen as f64 / all.max(1) as f64;
    let now = percent(stolen.saturating_sub(before), all.saturating_sub(before_all));
    of_steal(now, percent(stolen, all))
}

fn of_steal(now: f64, since_boot: f64) -> Finding {
    let found = format!(
        "the hypervisor takes {now:.1} % of the CPU time now, {since_boot:.1} % since the machine started"
    );
    if now.max(since_boot) < 1.0 {
        return Finding::ok("steal time", found);
    }
    let found = format!("{found}: workers stand still meanwhile, and rings fill");
    let advice = "a machine with CPUs of its own (no burstable or overcommitted type), and larger rings ([sense] blocks)";
    Finding::bad("steal time", Level::Warning, found, advice)
}

/// Whether the kernel dropped packets before any socket saw them.
pub fn softnet() -> Finding {
    match fs::read_to_string("/proc/net/softnet_stat") {
        Ok(text) => of_softnet(&text),
        Err(error) => {
            let found = format!("/proc/net/softnet_stat: {error}");
            Finding::bad("softnet", Level::Warning, found, "is /proc mounted?")
        }
    }
}

fn of_softnet(text: &str) -> Finding {
    let (mut taken, mut dropped, mut squeezed) = (0u64, 0u64, 0u64);
    for line in text.lines() {
        let mut columns = line.split_whitespace().map(|word| u64::from_str_radix(word, 16).unwrap_or(0));
        for sum in [&mut taken, &mut dropped, &mut squeezed] {
            *sum = sum.saturating_add(columns.next().unwrap_or(0));
        }
    }
    let found = format!(
        "since the machine started {taken} packets, {dropped} dropped, {squeezed} times more than the budget"
    );
    if dropped > 0 {
        return Finding::bad(
            "softnet",
            Level::Warning,
            format!("{found}: weir cannot see what is dropped there"),
            "sysctl -w net.core.netdev_max_backlog=65536; where it goes on, more receive queues (weir plan rss)",
        );
    }
    if squeezed.saturating_mul(1000) > taken {
        return Finding::bad(
            "softnet",
            Level::Warning,
            format!("{found}: the kernel does not keep up in bursts"),
            "sysctl -w net.core.netdev_budget=1200 net.core.netdev_budget_usecs=8000",
        );
    }
    Finding::ok("softnet", found)
}

/// Whether a tunnel socket gets the buffer that it asks for.
pub fn receive_buffer() -> Finding {
    let wanted = TunnelSocketOptions::new(TunnelProtocol::Vxlan).receive_buffer as u64;
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap_or_default();
    of_receive_buffer(text.trim().parse().ok(), wanted)
}

fn of_receive_buffer(most: Option<u64>, wanted: u64) -> Finding {
    let advice = format!("sysctl -w net.core.rmem_max={wanted}");
    match most {
        Some(most) if most >= wanted => Finding::ok(
            RECEIVE_BUFFER,
            format!("tunnel sockets get {} MiB (net.core.rmem_max)", wanted / MIB),
        ),
        Some(most) => Finding::bad(
            RECEIVE_BUFFER,
            Level::Warning,
            format!(
                "net.core.rmem_max is {most}: tunnel sockets (--vxlan, --geneve) lose bursts that {wanted} bytes would hold"
            ),
            advice,
        ),
        None => Finding::bad(RECEIVE_BUFFER, Level::Warning, "net.core.rmem_max cannot be told", advice),
    }
}

/// Whether there is room for logs in `directory`, or where it will be made.
pub fn disk(directory: &Path) -> Finding {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match statvfs(there) {
        Ok(found) => {
            let free = found.blocks_available().saturating_mul(found.fragment_size());
            of_disk(directory, free, (found.files_available(), found.files()))
        }
        Err(error) => {
            let found = format!("{}: {error}", there.display());
            Finding::bad("disk", Level::Warning, found, "name another directory of logs ([sense] logs)")
        }
    }
}

fn of_disk(directory: &Path, free: u64, (files, all_files): (u64, u64)) -> Finding {
    let found = format!("{} MiB are free for {}", free / MIB, directory.display());
    let advice = "make room, name another directory ([sense] logs), or rotate and compress more often ([sense] rotate)";
    // File systems without inodes say 0 of 0.
    if free < 64 * MIB || (files < 100 && all_files > 0) {
        let found = format!("{found}, {files} files: lines will be lost, and counted");
        Finding::bad("disk", Level::Error, found, advice)
    } else if free < 1024 * MIB {
        Finding::bad("disk", Level::Warning, found, advice)
    } else {
        Finding::ok("disk", found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_whose_hash_is_not_symmetric_are_warned_of() {
        let level = |release| of_release(release).level;
        assert_eq!([level("3.10.0-957.el7"), level("4.2.8")], [Level::Error; 2]);
        assert_eq!([level("4.3.0"), level("4.6.7-300.fc24")], [Level::Warning; 2]);
        assert_eq!([level("4.7"), level("6.1.0-13-amd64"), level("10.0-rc1")], [Level::Ok; 3]);
        assert_eq!(level("Plan 9"), Level::Warning);
    }

    #[test]
    fn rings_that_do_not_fit_are_an_error_and_tables_that_may_not_fit_a_warning() {
        let level = |rings, tables, available| fits(rings * MIB, tables * MIB, available, "x").level;
        assert_eq!(level(100, 100, Some(300 * MIB)), Level::Ok);
        assert_eq!(level(100, 300, Some(300 * MIB)), Level::Warning);
        assert_eq!(level(400, 0, Some(300 * MIB)), Level::Error);
        assert_eq!(level(0, 0, None), Level::Warning);
        assert_eq!(kilobytes("MemTotal: 9 kB\nMemAvailable:   3 kB\n", "MemAvailable:"), Some(3072));
        assert!(available_memory().0.is_some());
    }

    #[test]
    fn packets_that_the_kernel_dropped_early_are_counted_over_all_cpus() {
        let found = of_softnet("0000000a 00000001 00000000\n00000010 00000002 00000003 00000000\n");
        assert_eq!(found.level, Level::Warning);
        assert!(
            found.found.starts_with("since the machine started 26 packets, 3 dropped, 3 times"),
            "{found:?}"
        );
        assert_eq!(of_softnet("ffff 0 1\n").level, Level::Ok);
        assert_eq!(of_softnet("ffff 0 ff\n").level, Level::Warning);
    }

    #[test]
    fn steal_time_small_buffers_and_full_disks_are_told() {
        assert_eq!([of_steal(0.2, 0.9).level, of_steal(0.0, 3.0).level], [Level::Ok, Level::Warning]);
        assert_eq!(of_receive_buffer(Some(212_992), 1 << 23).level, Level::Warning);
        assert_eq!(of_receive_buffer(Some(1 << 23), 1 << 23).level, Level::Ok);
        let disk = |mebibytes: u64, files| of_disk(Path::new("/x"), mebibytes * MIB, files).level;
        assert_eq!(disk(10, (9999, 9999)), Level::Error);
        assert_eq!([disk(500, (0, 0)), disk(5000, (9999, 9999))], [Level::Warning, Level::Ok]);
        assert_eq!(disk(5000, (3, 9999)), Level::Error);
        assert!(ticks().is_some_and(|(stolen, all)| stolen <= all));
    }
}
