//! What goes wrong between taps and sensors: a wire that is cut, a sensor that dies, strangers at the door. Each is counted, and
//! the others go on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use weir_lab::{Namespace, Process, await_until, ledger, ready, run, wire};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// Flows from the client to the node, each of one port.
const FLOWS: u16 = 40;
/// Datagrams of each flow between two things that happen.
const ROUNDS: usize = 30;

/// A client that sends to a node, where a tap is; a switch, and sensors behind it.
struct Lab {
    home: tempfile::TempDir,
    client: Namespace,
    node: Namespace,
    switch: Namespace,
    sensors: Vec<Namespace>,
}

impl Lab {
    fn new(sensors: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        run(&format!("chmod 777 {}", home.path().display()));
        let (client, node, switch) = (Namespace::new(), Namespace::new(), Namespace::new());
        wire((&client, "c0", "10.9.0.1/24"), (&node, "n0", "10.9.0.2/24"));
        run(&format!("ip -n {} link add br0 type bridge", switch.name()));
        run(&format!("ip -n {} link set br0 up", switch.name()));
        let plug = |namespace: &Namespace, port: &str, address: &str| {
            wire((&switch, port, ""), (namespace, "lan0", address));
            run(&format!("ip -n {} link set {port} master br0", switch.name()));
        };
        plug(&node, "node", "10.8.0.100/24");
        let sensor = |n: usize| {
            let sensor = Namespace::new();
            plug(&sensor, &format!("sensor{n}"), &format!("10.8.0.{}/24", n + 1));
            sensor
        };
        // The client reaches the sensors by the node.
        node.run("sysctl -qw net.ipv4.ip_forward=1");
        run(&format!("ip -n {} route add 10.8.0.0/24 via 10.9.0.2", client.name()));
        let sensors: Vec<_> = (0..sensors).map(sensor).collect();
        for sensor in &sensors {
            run(&format!("ip -n {} route add 10.9.0.0/24 via 10.8.0.100", sensor.name()));
        }
        Self { home, client, node, switch, sensors }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn start(&self, namespace: &Namespace, words: &str, name: &str, sign: &str) -> Process {
        let words: Vec<&str> = words.split_whitespace().collect();
        let mut command = namespace.command(words[0]);
        command.args(&words[1..]).current_dir(self.home.path());
        let mut process = Process::start(command, &self.path(&format!("{name}.log")));
        process.await_said(sign);
        process
    }

    fn sense(&self, sensor: usize, name: &str, listen: &str, more: &str) -> Process {
        run(&format!("install -d -m 777 {}", self.path(name).display()));
        let config =
            format!("[sense]\ncontrol = \"{}\"\n{more}", self.path(&format!("{name}.ctl")).display());
        std::fs::write(self.path(&format!("{name}.toml")), config).unwrap();
        let words = format!(
            "{WEIR} sense -w 1 {listen} -l {name} --ledger {name}.json --config {name}.toml --user nobody"
        );
        self.start(&self.sensors[sensor], &words, name, "listening on")
    }

    fn tap(&self, to: &str) -> Process {
        let filter = "udp and dst port 9999";
        let mut words: Vec<&str> = vec![WEIR, "tap", "-i", "n0", "--by", "flow", "--user", "nobody"];
        words.extend(["--ledger", "tap.json", "--filter", filter, "--metrics", "127.0.0.1:9641"]);
        words.extend(to.split(' ').flat_map(|target| ["--to", target]));
        let mut command = self.node.command(words[0]);
        command.args(&words[1..]).current_dir(self.home.path());
        let mut tap = Process::start(command, &self.path("tap.log"));
        tap.await_said("tapping");
        tap
    }

    /// Sends all flows while `meanwhile` goes on, which waits for some more rounds by what it is given. How many there were.
    fn send(&self, meanwhile: impl FnOnce(&dyn Fn())) -> u64 {
        let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            let bind = |n| UdpSocket::bind(("10.9.0.1", 30_000 + n)).unwrap();
            let sockets: Vec<_> = (0..FLOWS).map(bind).collect();
            while !over.load(Ordering::Relaxed) {
                for socket in &sockets {
                    socket.send_to(&[7; 200], "10.9.0.2:9999").unwrap();
                }
                done.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| self.client.inside(work));
            let wait = || {
                let goal = done.load(Ordering::Relaxed) + ROUNDS;
                await_until("rounds", || done.load(Ordering::Relaxed) >= goal);
            };
            // What panics must end the sender, too.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&wait)));
            over.store(true, Ordering::Relaxed);
            if let Err(panic) = result {
                std::panic::resume_unwind(panic);
            }
        });
        done.load(Ordering::Relaxed) as u64
    }

    /// The datagrams of each flow that a sensor wrote down, by its port.
    fn flows(&self, name: &str) -> BTreeMap<u16, u64> {
        let text = std::fs::read_to_string(self.path(name).join("conn.log")).unwrap();
        let fields = text.lines().find_map(|line| line.strip_prefix("#fields\t")).unwrap();
        let at = |name: &str| fields.split('\t').position(|field| field == name).unwrap();
        let (host, port, packets) = (at("id.orig_h"), at("id.orig_p"), at("orig_pkts"));
        let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t'));
        let rows = rows.map(Iterator::collect::<Vec<_>>).filter(|row| row[host] == "10.9.0.1");
        rows.map(|row| (row[port].parse().unwrap(), row[packets].parse().unwrap())).collect()
    }
}

/// Frames of a hop, in a balance.
fn frames(balance: &serde_json::Value, hop: &str, what: &str) -> u64 {
    let hops = balance["hops"].as_array().unwrap();
    let hop = hops.iter().find(|h| h["hop"] == hop);
    hop.map_or(0, |hop| {
        hop.pointer(&format!("/{what}/frames")).and_then(serde_json::Value::as_u64).unwrap_or(0)
    })
}

fn stop(process: Process) -> String {
    let (status, said) = process.stop();
    assert!(matches!(status.code(), Some(0 | 5)), "{status}: {said}");
    said
}

#[test]
fn what_a_cut_wire_loses_is_exactly_what_the_ledger_says_and_all_resumes_by_itself() {
    if !ready(&[]) {
        return;
    }
    let lab = Lab::new(3);
    let ways = [
        ("geneve", "--geneve 0.0.0.0:6081", "geneve://10.8.0.1"),
        ("gre", "--gre", "gre://10.8.0.2?key=7"),
        ("erspan", "--gre", "erspan://10.8.0.3?version=2&id=7"),
    ];
    let sense = |(n, (name, listen, _)): (usize, &(&str, &str, &str))| lab.sense(n, name, listen, "");
    let sensors: Vec<_> = ways.iter().enumerate().map(sense).collect();
    let tap = lab.tap(&ways.map(|(_, _, to)| to).join(" "));
    let set = |state| {
        for n in 0..ways.len() {
            run(&format!("ip -n {} link set sensor{n} {state}", lab.switch.name()));
        }
    };
    let rounds = lab.send(|wait| {
        wait();
        set("down");
        wait();
        set("up");
        wait();
    });
    let said = stop(tap);
    let told = ledger(&lab.path("tap.json"));
    assert_eq!(told["balances"], true, "{said}");
    let offered = u64::from(FLOWS) * rounds;
    for ((index, (name, _, _)), sensor) in ways.iter().enumerate().zip(sensors) {
        let said = format!("{said} {}", stop(sensor));
        let tapped = if index == 0 { &told } else { &told["copies"][index - 1] };
        assert_eq!(frames(tapped, "tap", "passed"), offered, "{name}: {said}");
        let dropped = frames(tapped, "carry", "dropped/send_failed")
            + frames(tapped, "carry", "dropped/output_down")
            + frames(tapped, "carry", "dropped/output_full");
        let sent = frames(tapped, "carry", "passed");
        assert_eq!(sent + dropped, offered, "{name}: {said}");
        let sensed = ledger(&lab.path(&format!("{name}.json")));
        let (arrived, lost) =
            (frames(&sensed, "tap", "entered"), frames(&sensed, "carried", "dropped/lost_on_way"));
        assert_eq!(sensed["balances"], true, "{name}: {said}");
        assert!(lost > 0 && arrived > offered / 20, "{name}: {lost} lost, {arrived} arrived: {said}");
        assert_eq!(sent, arrived + lost, "{name}: {said}");
        let flows = lab.flows(name);
        assert_eq!((flows.len(), flows.values().sum::<u64>()), (usize::from(FLOWS), arrived), "{name}");
    }
}

#[test]
fn flows_of_live_sensors_are_not_disturbed_when_another_dies_and_it_gets_its_own_when_it_is_back() {
    if !ready(&[]) {
        return;
    }
    let lab = Lab::new(2);
    let alive = lab.sense(0, "alive", "--geneve 0.0.0.0:6081", "");
    let first = lab.sense(1, "first", "--geneve 0.0.0.0:6081", "");
    let tap = lab.tap("geneve://10.8.0.1 geneve://10.8.0.2");
    let mut second = None;
    let rounds = lab.send(|wait| {
        wait();
        // Dropped is killed.
        drop(first);
        wait();
        second = Some(lab.sense(1, "second", "--geneve 0.0.0.0:6081", ""));
        wait();
    });
    let said = stop(tap);
    let (alive_said, second_said) = (stop(alive), stop(second.unwrap()));
    let (alive, second) = (ledger(&lab.path("alive.json")), ledger(&lab.path("second.json")));
    for (sensor, said) in [(&alive, alive_said), (&second, second_said)] {
        assert_eq!(
            (&sensor["balances"], frames(sensor, "carried", "dropped/lost_on_way")),
            (&true.into(), 0),
            "{said}"
        );
    }
    let (flows, others) = (lab.flows("alive"), lab.flows("second"));
    assert!(flows.values().all(|packets| *packets == rounds), "{flows:?}: {said}");
    assert!(!flows.is_empty() && flows.len() + others.len() == usize::from(FLOWS), "{flows:?} {others:?}");
    assert!(others.keys().all(|flow| !flows.contains_key(flow)));
}

/// Bytes that no two calls have in common.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// What strangers send to every port of a sensor; how many datagrams, and how many raw packets.
fn knock(sensor: &str) -> (u64, u64) {
    let mut datagrams = 0;
    for (port, seed) in [(4789, 1), (6081, 2)] {
        for n in 0..60 {
            // Each from a port of its own, as scanners do.
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let mut bytes = noise(seed * 1_000 + n, n as usize * 20);
            if let Some(first) = bytes.first_mut() {
                // No VXLAN without this flag, no GENEVE with a version.
                *first = if port == 4789 { *first & !8 } else { *first | 0x80 };
            }
            socket.send_to(&bytes, (sensor, port)).unwrap();
            datagrams += 1;
        }
    }
    for port in [5555u16, 9640] {
        for n in 0..20 {
            let mut stream = TcpStream::connect((sensor, port)).unwrap();
            // It may have been told to go already.
            let _ = stream.write_all(&noise(u64::from(port) + n, n as usize * 500));
        }
    }
    // Ports where nobody is.
    assert!((1..100).all(|port| TcpStream::connect((sensor, port)).is_err()));
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw).unwrap();
    let to: SocketAddrV4 = format!("{sensor}:0").parse().unwrap();
    let mut packets = 0;
    for n in 0..40 {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 47, 0, 0, 0, 0, 0, 0];
        packet.extend(to.ip().octets());
        packet.extend(noise(9_000 + n, n as usize * 10));
        sendto(raw.as_raw_fd(), &packet, &SockaddrIn::from(to), MsgFlags::empty()).unwrap();
        packets += 1;
    }
    (datagrams, packets)
}

#[test]
fn strangers_at_every_door_are_counted_and_disturb_nobody() {
    if !ready(&["curl"]) {
        return;
    }
    let lab = Lab::new(1);
    let listen = "--geneve 0.0.0.0:6081 --vxlan 0.0.0.0:4789 --gre --pcap-over-ip tcp://0.0.0.0:5555";
    let sensor = lab.sense(0, "sensor", listen, "metrics = \"0.0.0.0:9640\"\n");
    let tap = lab.tap("geneve://10.8.0.1 vxlan://10.8.0.1 gre://10.8.0.1 pcap://10.8.0.1:5555");
    let mut sent = (0, 0);
    let rounds = lab.send(|wait| {
        wait();
        sent = lab.client.inside(|| knock("10.8.0.1"));
        let mut control = UnixStream::connect(lab.path("sensor.ctl")).unwrap();
        // It may have been told to go already.
        let _ = control.write_all(&noise(5, 10_000));
        wait();
    });
    let metrics = lab.node.run("curl -s --max-time 20 http://10.8.0.1:9640/metrics");
    assert!(metrics.contains("weir_"), "{metrics}");
    assert_eq!(lab.node.run("curl -s --max-time 20 http://127.0.0.1:9641/healthz"), "ok\n");
    // It tells ten times a second.
    await_until("the tap's metrics", || {
        let metrics = lab.node.run("curl -s --max-time 20 http://127.0.0.1:9641/metrics");
        let passed = format!("weir_passed_frames_total{{hop=\"carry\"}} {}", 4 * u64::from(FLOWS) * rounds);
        metrics.contains(&passed) && metrics.contains("weir_ledger_imbalance_frames{hop=\"spread\"} 0")
    });
    let said = stop(tap);
    let said = format!("{said} {}", stop(sensor));
    let (told, sensed) = (ledger(&lab.path("tap.json")), ledger(&lab.path("sensor.json")));
    assert_eq!((&told["balances"], &sensed["balances"]), (&true.into(), &true.into()), "{said}");
    // Four kinds of outputs bring all of it, each in its own way, and nothing of it is lost.
    let (offered, (datagrams, packets)) = (u64::from(FLOWS) * rounds, sent);
    let dropped = |hop, reason: &str| frames(&sensed, hop, &format!("dropped/{reason}"));
    assert_eq!(dropped("tap", "malformed_tunnel"), datagrams, "{said}");
    let damaged = dropped("tap", "stream_damaged") + dropped("tap", "stream_cut");
    assert!((1..=20).contains(&damaged), "{damaged}: {said}");
    assert_eq!(frames(&sensed, "tap", "entered"), 4 * offered + datagrams + packets + damaged, "{said}");
    let flows = lab.flows("sensor");
    assert_eq!(flows.len(), usize::from(FLOWS));
    assert!(flows.values().all(|count| *count == 4 * rounds), "{flows:?} {rounds}: {said}");
}
