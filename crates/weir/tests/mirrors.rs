//! Mirrors of a virtual switch (Open vSwitch, in its userspace datapath) that come by tunnel, live.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use weir_lab::{Namespace, OF_TIME, Process, await_until, ledger, logs, ready, run, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A kind of tunnel.
struct Kind {
    /// What Open vSwitch calls it.
    name: &'static str,
    key: u32,
    /// What a sensor listens to for it.
    listen: &'static [&'static str],
    /// By which its packets are told from others in a capture.
    filter: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { name: "vxlan", key: 77, listen: &["--vxlan", "10.8.0.2:4789"], filter: "udp port 4789" },
    Kind { name: "geneve", key: 77, listen: &["--geneve", "10.8.0.2:6081"], filter: "udp port 6081" },
    Kind {
        name: "gre",
        key: 78,
        listen: &["--gre", "--identifier", "78"],
        filter: "ip proto 47 and ip[22:2] = 0x6558",
    },
    Kind {
        name: "erspan",
        key: 79,
        listen: &["--gre", "--identifier", "79"],
        filter: "ip proto 47 and ip[22:2] = 0x88be",
    },
];

/// Open vSwitch in a namespace of its own, with its own database, that mirrors what comes in at its port `va` into a tunnel of each
/// kind to 10.8.0.2, which is behind its port `vv`.
struct Switch {
    _processes: [Process; 2],
    _net: Namespace,
}

impl Switch {
    fn start(net: Namespace, home: &Path) -> Self {
        let place = home.display();
        let (conf, socket) = (format!("{place}/conf.db"), format!("{place}/db.sock"));
        run(&format!("ovsdb-tool create {conf} {SCHEMA}"));
        let program = |program: &str, words: &[&str], log: &str| {
            let mut command = net.command(program);
            for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
                command.env(variable, home);
            }
            command.args(words).arg("--no-chdir").current_dir(home);
            Process::start(command, &home.join(log))
        };
        let ctl = |name: &str| format!("--unixctl={place}/{name}.ctl");
        let remote = format!("--remote=punix:{socket}");
        let database = program("ovsdb-server", &[&conf, &remote, &ctl("db")], "db.log");
        await_until("the switch's database", || Path::new(&socket).exists());
        let vsctl = |words: &str| run(&format!("ovs-vsctl --timeout=60 --db=unix:{socket} {words}"));
        vsctl("--no-wait init");
        let words = [&format!("unix:{socket}"), &ctl("vs"), "--disable-system"].map(ToOwned::to_owned);
        let words = words.each_ref().map(String::as_str);
        let switch = program("ovs-vswitchd", &words, "vs.log");
        vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 va");
        vsctl("add-br brphy -- set bridge brphy datapath_type=netdev -- add-port brphy vv");
        net.run("ip addr add 10.8.0.1/24 dev brphy");
        net.run("ip link set brphy up");
        for Kind { name: kind, key, .. } in KINDS {
            let erspan = if kind == "erspan" { "options:erspan_ver=1 options:erspan_idx=3" } else { "" };
            let port = format!("add-port br0 t_{kind} -- set interface t_{kind} type={kind}");
            vsctl(&format!("{port} options:remote_ip=10.8.0.2 options:key={key} {erspan}"));
            vsctl(&format!(
                "-- --id=@p get port t_{kind} -- --id=@a get port va -- --id=@m create mirror name=m_{kind} \
                 select_src_port=@a output-port=@p -- add bridge br0 mirrors @m"
            ));
        }
        // The switch finds its neighbour before the first packet that is mirrored.
        await_until("the way through the switch", || {
            net.shell(home, "ping -c 1 -W 1 10.8.0.2").status.success()
        });
        Self { _processes: [switch, database], _net: net }
    }
}

/// Packets of the sample that fit a tunnel, and how many.
fn traffic(home: &Path) -> (PathBuf, u64) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng");
    let capture = home.join("small.pcap");
    let (from, to) = (sample.display(), capture.display());
    run(&format!("tcpdump -r {from} -w {to} less 1400"));
    let count = chosen(&capture, "");
    (capture, count)
}

#[test]
fn mirrors_of_a_switch_by_each_kind_of_tunnel_tell_what_a_capture_of_them_tells() {
    let programs = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "tcpdump", "ping", "ethtool"];
    if !ready(&programs) {
        return;
    }
    if !Path::new(SCHEMA).exists() || !Path::new("/dev/net/tun").exists() {
        eprintln!("skipped: needs Open vSwitch and /dev/net/tun");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    run(&format!("chmod 777 {}", home.display()));
    let (host, workload, sensor) = (Namespace::new(), Namespace::new(), Namespace::new());
    wire((&workload, "a0", ""), (&host, "va", ""));
    wire((&sensor, "v0", "10.8.0.2/24"), (&host, "vv", ""));
    // Answers to the switch, which does not know of unfinished checksums.
    sensor.run("ethtool -K v0 tx off");
    let switch = Switch::start(host, home);
    let (traffic, count) = traffic(home);
    let tunnels = home.join("tunnels.pcap");
    let words = ["tcpdump", "-i", "v0", "-s", "2000", "-B", "65536", "-U", "-w", tunnels.to_str().unwrap()];
    let mut dump = sensor.start(&words, &home.join("dump.log"));
    dump.await_said("listening on");
    let start = |kind: &Kind| {
        let mut command = sensor.command(WEIR);
        command.args(["sense", "-l", kind.name, "--user", "nobody", "-w", "2"]);
        command.args(["--ledger", &format!("{}.json", kind.name)]).args(kind.listen).current_dir(home);
        let mut process = Process::start(command, &home.join(format!("{}.said", kind.name)));
        process.await_said("listening on");
        process
    };
    let sensors: Vec<_> = KINDS.iter().map(start).collect();
    let replay = format!("{WEIR} replay -q -i a0 --speed 300pps {}", traffic.display());
    assert!(workload.shell(home, &replay).status.success());
    for Kind { name, filter, .. } in KINDS {
        await_until(&format!("packets by {name} in the sensor"), || passed(home, name) >= count);
        await_until(&format!("packets by {name} in the capture"), || chosen(&tunnels, filter) >= count);
    }
    dump.signal(Signal::SIGINT);
    dump.wait();
    for (Kind { name, filter, .. }, mut sensor) in KINDS.into_iter().zip(sensors) {
        sensor.signal(Signal::SIGTERM);
        let (code, said) = (sensor.wait(), sensor.said());
        assert!(code.success() && said.contains("ledger: balances"), "{said}");
        let read = home.join(format!("{name}-read"));
        let mut command = Command::new(WEIR);
        command.args(["read", "-q", "--filter", filter, "-l"]).arg(&read).arg(&tunnels);
        assert!(command.status().unwrap().success());
        let (mut live, read) = (logs(&home.join(name), OF_TIME), logs(&read, OF_TIME));
        // A sensor tells of itself, too, when a minute is over.
        live.retain(|log, _| !["stats.log", "capture_loss.log"].contains(&log.as_str()));
        assert!(read["dns.log"].len() > 5 && !read["tunnel.log"].is_empty());
        assert_eq!(live, read, "{name}");
        let ledger = ledger(&home.join(format!("{name}.json")));
        let tap = ledger["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == "tap").unwrap();
        // All that the switch mirrored; what it sent by the other tunnel of the same protocol was not wanted.
        assert_eq!(tap["passed"]["frames"].as_u64(), Some(count), "{name}: {said}");
    }
    drop(switch);
}

/// Frames that the sensor for one kind of tunnel has taken.
fn passed(home: &Path, name: &str) -> u64 {
    let words = ["ctl", "--socket", &format!("{name}/sense.sock"), "status", "--json"];
    let output = Command::new(WEIR).args(words).current_dir(home).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let hops = status["hops"].as_array().cloned().unwrap_or_default();
    let tap = hops.into_iter().find(|hop| hop["hop"] == "tap").unwrap_or_default();
    tap["passed"]["frames"].as_u64().unwrap_or_default()
}

/// How many packets of a capture a filter selects.
fn chosen(capture: &Path, filter: &str) -> u64 {
    let output = Command::new("tcpdump").args(["--count", "-r"]).arg(capture).arg(filter).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.split(' ').next().and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}
