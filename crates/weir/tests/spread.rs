//! `weir spread` between namespaces: real interfaces and programs on both sides, and what becomes of flows when targets die.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use weir_lab::{Namespace, OF_TIME, Process, await_until, ledger, logs, ready, run, wire};
use weir_tap::write::PcapWriter;
use weir_tap::{Captures, Endian, FrameBatch, Options, Precision, Source};
use weir_wire::{LinkType, Time};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/first.pcapng")
}

/// A namespace with weir in it, a source `in0` whose other end is `src0`, and targets `to0` ... whose other ends are `end0` ...
struct Lab {
    home: tempfile::TempDir,
    middle: Namespace,
    edge: Namespace,
}

impl Lab {
    fn new(targets: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        // weir becomes a user who may do nearly nothing.
        run(&format!("chmod 777 {}", home.path().display()));
        let lab = Self { home, middle: Namespace::new(), edge: Namespace::new() };
        lab.wire("src0", "in0");
        (0..targets).for_each(|i| lab.wire(&format!("end{i}"), &format!("to{i}")));
        lab
    }

    fn wire(&self, outside: &str, inside: &str) {
        wire((&self.edge, outside, ""), (&self.middle, inside, ""));
        run(&format!("ip -n {} link set {outside} mtu 9000", self.edge.name()));
        run(&format!("ip -n {} link set {inside} mtu 9000", self.middle.name()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn spread(&self, words: &str) -> Process {
        let mut command = self.middle.command(WEIR);
        command.arg("spread").args(words.split(' ').map(|word| word.replace('\u{a0}', " ")));
        command.current_dir(self.home.path());
        let mut process = Process::start(command, &self.path("spread.log"));
        process.await_said("listening on");
        process
    }

    /// Writes down what arrives at an end.
    fn listen(&self, end: &str) -> Process {
        let capture = self.path(&format!("{end}.pcap"));
        let words = ["tcpdump", "--immediate-mode", "-s", "9216", "-B", "65536", "-i", end, "-U", "-w"];
        let words: Vec<&str> = words.into_iter().chain([capture.to_str().unwrap()]).collect();
        let mut dump = self.edge.start(&words, &self.path(&format!("{end}.log")));
        dump.await_said("listening on");
        dump
    }

    fn replay(&self, capture: &Path, interface: &str, options: &str) -> serde_json::Value {
        let told = self.path("replay.json");
        let mut command = self.edge.command(WEIR);
        command.args(["replay", "-q", "-i", interface, "--ledger"]).arg(&told).arg(capture);
        let output = command.args(options.split_whitespace()).output().unwrap();
        // 5: some frames are of link types that an Ethernet does not carry, or too long for it.
        let is_played = matches!(output.status.code(), Some(0 | 5));
        assert!(is_played, "{}", String::from_utf8_lossy(&output.stderr));
        ledger(&told)
    }

    /// How many frames lie in the capture of an end.
    fn arrived(&self, end: &str) -> usize {
        frames(&self.path(&format!("{end}.pcap"))).len()
    }

    /// Waits until `count` frames lie in the captures of these ends together, and ends who wrote them down.
    fn await_arrival(&self, ends: &[&str], count: usize, dumps: Vec<Process>) {
        await_until("the arrival of frames", || {
            ends.iter().map(|end| self.arrived(end)).sum::<usize>() >= count
        });
        for dump in dumps {
            dump.stop();
        }
    }
}

/// The frames of a capture that may still be written.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    let Ok(mut captures) = Captures::open(vec![Source::File(path.into())], Options::default()) else {
        return got;
    };
    let mut batch = FrameBatch::default();
    while captures.next_batch(&mut batch).unwrap_or(false) {
        got.extend(batch.iter().map(|frame| frame.data.to_vec()));
    }
    got
}

fn read_into(directory: &Path, captures: &[PathBuf]) {
    let status =
        Command::new(WEIR).args(["read", "-q", "-l"]).arg(directory).args(captures).status().unwrap();
    assert!(status.success());
}

/// Ends a spreader; its ledger balances. How many frames it passed on.
fn stop(process: Process, lab: &Lab) -> u64 {
    let (status, said) = process.stop();
    assert_eq!(status.code(), Some(0), "{said}");
    let told = ledger(&lab.path("spread.json"));
    assert_eq!(told["balances"], true, "{said}");
    told["hops"][3]["passed"]["frames"].as_u64().unwrap()
}

fn capture(path: &Path, frames: impl IntoIterator<Item = Vec<u8>>) {
    let mut writer =
        PcapWriter::new(Vec::new(), LinkType::ETHERNET, Precision::Micros, Endian::Little).unwrap();
    for (i, frame) in frames.into_iter().enumerate() {
        writer
            .frame(Time(1_700_000_000_000_000_000 + i as i64 * 100_000), frame.len() as u32, &frame)
            .unwrap();
    }
    std::fs::write(path, writer.into_inner()).unwrap();
}

/// A datagram of flow `i`, with `mark` at its end.
fn datagram(i: u8, mark: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 50, mark, i, 0, 0, 64, 17, 0, 0, 10, 9, 1, i, 10, 9, 2, 1]);
    frame.extend([0x10, i, 0x14, 0xe9, 0, 30, 0, 0]);
    frame.extend([&[b'w'; 20][..], &[i, mark]].concat());
    frame
}

/// Which flows were seen with a mark.
fn flows(lab: &Lab, end: &str, mark: u8) -> BTreeSet<u8> {
    let ours = frames(&lab.path(&format!("{end}.pcap")));
    let ours = ours.iter().filter(|frame| frame.len() == 64 && frame[34] == 0x10 && frame[63] == mark);
    ours.map(|frame| frame[62]).collect()
}

/// Plays 64 datagrams, one of each flow, and waits until they have arrived somewhere.
fn play(lab: &Lab, ends: &[&str], mark: u8) {
    capture(&lab.path("flows.pcap"), (0..64).map(|i| datagram(i, mark)));
    lab.replay(&lab.path("flows.pcap"), "src0", "");
    await_until("the arrival of flows", || {
        ends.iter().map(|end| flows(lab, end, mark).len()).sum::<usize>() == 64
    });
}

#[test]
fn what_two_sensors_get_adds_up_to_what_one_would_have_got() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let lab = Lab::new(2);
    let dumps = vec![lab.listen("end0"), lab.listen("end1")];
    // What is longer than the interface takes is not played.
    let truth = lab.listen("src0");
    let spread = lab.spread("-i in0 --by pair --to if:to0 --to if:to1 --ledger spread.json");
    lab.replay(&sample(), "src0", "--speed 3000pps");
    await_until("the traffic to be over", || {
        let before = lab.arrived("end0") + lab.arrived("end1");
        std::thread::sleep(std::time::Duration::from_millis(500));
        before > 100 && before == lab.arrived("end0") + lab.arrived("end1")
    });
    let passed = stop(spread, &lab);
    lab.await_arrival(&["end0", "end1"], passed as usize, dumps);
    drop(truth.stop());
    read_into(&lab.path("read"), &[lab.path("src0.pcap")]);
    // A flow that is also outside of its tunnel has that in its history.
    let without: Vec<&str> = OF_TIME.iter().copied().chain(["history"]).collect();
    let parts = ["end0", "end1"].map(|end| {
        assert!(lab.arrived(end) > 0, "all went one way");
        read_into(&lab.path(end), &[lab.path(&format!("{end}.pcap"))]);
        logs(&lab.path(end), &without)
    });
    let whole = logs(&lab.path("read"), &without);
    let mut sum: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, rows) in parts.into_iter().flatten() {
        sum.entry(name).or_default().extend(rows);
    }
    for rows in sum.values_mut() {
        rows.sort();
    }
    // Tunnels have been taken off, and so their own connections.
    let inner = |rows: &[String]| -> Vec<String> {
        rows.iter().filter(|row| !row.contains("\tvxlan\t")).cloned().collect()
    };
    assert_eq!(inner(&sum["conn.log"]), inner(&whole["conn.log"]));
    for name in ["dns.log", "http.log", "ssl.log", "ssh.log"] {
        assert_eq!(sum[name].len(), whole[name].len(), "{name}");
    }
}

#[test]
fn only_the_flows_of_a_dead_target_move_and_none_moves_back_when_it_returns() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let lab = Lab::new(3);
    let ends = ["end0", "end1", "end2"];
    let dumps: Vec<_> = ends.iter().map(|end| lab.listen(end)).collect();
    let mut spread = lab.spread("-i in0 --to if:to0 --to if:to1 --to if:to2 --ledger spread.json");
    play(&lab, &ends, 1);
    let first = ends.map(|end| flows(&lab, end, 1));
    assert!(first.iter().all(|flows| flows.len() > 8), "{first:?}");
    run(&format!("ip -n {} link set end1 down", lab.edge.name()));
    spread.await_said("interface://to1 is dead");
    // The first frame after it is told to the workers.
    std::thread::sleep(std::time::Duration::from_millis(200));
    play(&lab, &["end0", "end2"], 2);
    let second = ends.map(|end| flows(&lab, end, 2));
    assert!(second[0].is_superset(&first[0]) && second[2].is_superset(&first[2]), "{first:?} {second:?}");
    run(&format!("ip -n {} link set end1 up", lab.edge.name()));
    spread.await_said("interface://to1 is back");
    std::thread::sleep(std::time::Duration::from_millis(200));
    play(&lab, &ends, 3);
    assert_eq!(ends.map(|end| flows(&lab, end, 3)), second);
    assert_eq!(stop(spread, &lab), 3 * 64);
    drop(dumps);
}

#[test]
fn of_packets_that_two_taps_saw_one_copy_is_passed_on() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let lab = Lab::new(1);
    lab.wire("src1", "in1");
    let dump = lab.listen("end0");
    let spread = lab.spread("-i in0 -i in1 --dedup=30s --to if:to0 --ledger spread.json");
    capture(&lab.path("flows.pcap"), (0..64).map(|i| datagram(i, 1)));
    lab.replay(&lab.path("flows.pcap"), "src0", "");
    lab.replay(&lab.path("flows.pcap"), "src1", "");
    lab.await_arrival(&["end0"], 64, vec![dump]);
    assert_eq!(stop(spread, &lab), 64);
    assert_eq!(ledger(&lab.path("spread.json"))["hops"][2]["dropped"]["duplicate"]["frames"], 64);
}

#[test]
fn fragments_and_errors_go_with_the_flow_that_they_belong_to() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let lab = Lab::new(4);
    let ends = ["end0", "end1", "end2", "end3"];
    let dumps: Vec<_> = ends.iter().map(|end| lab.listen(end)).collect();
    let spread = lab.spread("-i in0 --to if:to0 --to if:to1 --to if:to2 --to if:to3 --ledger spread.json");
    let flow = |i: u8| {
        let whole = datagram(i, 1);
        // The same flow in two fragments, the later one first.
        let part = |range: std::ops::Range<usize>, field: [u8; 2]| {
            let mut frame = [&whole[..34], &whole[34..][range.clone()]].concat();
            frame[16..18].copy_from_slice(&(20 + range.len() as u16).to_be_bytes());
            frame[18..22].copy_from_slice(&[9, i, field[0], field[1]]);
            frame
        };
        // And an error about it, from a router.
        let quoted = &whole[14..14 + 28];
        let mut error = whole[..14].to_vec();
        error.extend([0x45, 0, 0, 56, 8, i, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 10, 9, 1, i]);
        error.extend([3, 1, 0, 0, 0, 0, 0, 0]);
        error.extend(quoted);
        [whole.clone(), part(16..30, [0, 2]), part(0..16, [0x20, 0]), error]
    };
    capture(&lab.path("flows.pcap"), (0..32).flat_map(flow));
    lab.replay(&lab.path("flows.pcap"), "src0", "");
    // Two fragments have become one datagram, which fits into one frame.
    lab.await_arrival(&ends, 3 * 32, dumps);
    // Fragments count as two frames.
    assert_eq!(stop(spread, &lab), 4 * 32);
    for end in ends {
        let mut each: BTreeMap<u8, u32> = BTreeMap::new();
        for frame in frames(&lab.path(&format!("{end}.pcap"))) {
            let flow = if frame[23] == 1 { frame[33] } else { frame[29] };
            *each.entry(flow).or_default() += 1;
        }
        assert!(!each.is_empty() && each.values().all(|n| *n == 3), "{end}: {each:?}");
    }
}

/// How many events of each kind Suricata wrote down.
fn suricatas_events(directory: &Path) -> BTreeMap<String, usize> {
    let mut events = BTreeMap::new();
    for line in std::fs::read_to_string(directory.join("eve.json")).unwrap().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = event["event_type"].as_str().unwrap();
        if ["flow", "dns", "http", "tls", "ssh"].contains(&kind) {
            *events.entry(kind.to_owned()).or_default() += 1;
        }
    }
    events
}

#[test]
fn two_stock_suricatas_count_together_what_one_counts_of_the_whole() {
    if !ready(&["suricata", "tcpdump"]) {
        return;
    }
    let lab = Lab::new(2);
    let suricata = |name: &str, from: &[&str]| {
        let directory = lab.path(name);
        std::fs::create_dir(&directory).unwrap();
        let (pid, log) = (directory.join("pid"), directory.join("said"));
        let words = ["suricata", "-c", "/etc/suricata/suricata.yaml", "-S", "/dev/null", "-k", "none"];
        let words = words.iter().chain(from).copied().chain(["-l", directory.to_str().unwrap()]);
        let words: Vec<&str> = words.chain(["--pidfile", pid.to_str().unwrap()]).collect();
        lab.edge.start(&words, &log)
    };
    // Two groups of sockets in one namespace must have two numbers.
    let mut halves = [("end0", 81), ("end1", 82)].map(|(end, group)| {
        let [from, first] = [format!("--af-packet={end}"), format!("af-packet.0.interface={end}")];
        suricata(end, &[&from, "--set", &first, "--set", &format!("af-packet.0.cluster-id={group}")])
    });
    for half in &mut halves {
        half.await_said("Engine started");
    }
    let truth = lab.listen("src0");
    // Suricata takes VXLAN off by itself, and counts its carrier too.
    let spread = lab.spread("-i in0 --by pair --filter not\u{a0}udp\u{a0}port\u{a0}4789 --to if:to0 --to if:to1 --ledger spread.json");
    lab.replay(&sample(), "src0", "--speed 2000pps");
    std::thread::sleep(std::time::Duration::from_secs(1));
    stop(spread, &lab);
    drop(truth.stop());
    let mut sum: BTreeMap<String, usize> = BTreeMap::new();
    for (half, end) in halves.into_iter().zip(["end0", "end1"]) {
        half.stop();
        for (kind, n) in suricatas_events(&lab.path(end)) {
            *sum.entry(kind).or_default() += n;
        }
    }
    let (all, plain) = (lab.path("src0.pcap"), lab.path("plain.pcap"));
    let filter = ["-r", all.to_str().unwrap(), "-w", plain.to_str().unwrap(), "not udp port 4789"];
    assert!(Command::new("tcpdump").args(filter).output().unwrap().status.success());
    let mut whole = suricata("whole", &["-r", plain.to_str().unwrap()]);
    assert!(whole.wait().success(), "{}", whole.said());
    assert_eq!(sum, suricatas_events(&lab.path("whole")));
    assert!(sum["flow"] > 10 && sum["tls"] > 0 && sum["http"] > 0 && sum["dns"] > 0, "{sum:?}");
}

#[test]
fn without_a_target_that_lives_frames_are_counted_as_such() {
    if !ready(&["tcpdump"]) {
        return;
    }
    let lab = Lab::new(1);
    let mut spread = lab.spread("-i in0 --to if:to0 --ledger spread.json");
    run(&format!("ip -n {} link set end0 down", lab.edge.name()));
    spread.await_said("is dead");
    std::thread::sleep(std::time::Duration::from_millis(200));
    capture(&lab.path("flows.pcap"), (0..64).map(|i| datagram(i, 1)));
    lab.replay(&lab.path("flows.pcap"), "src0", "");
    spread.signal(Signal::SIGTERM);
    assert!(spread.wait().success());
    let told = ledger(&lab.path("spread.json"));
    assert_eq!(told["hops"][2]["dropped"]["no_target"]["frames"], 64, "{told}");
    assert_eq!(told["balances"], true);
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let refused = |words: &str| {
        let output = Command::new(WEIR).arg("spread").args(words.split_whitespace()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = refused("-i lo --to udp://1.2.3.4");
    assert!(code == Some(2) && said.contains("vxlan://HOST"), "{said}");
    let (code, said) = refused("-i lo --to if:veth0 --to if:veth0");
    assert!(code == Some(2) && said.contains("weight="), "{said}");
    let (code, said) = refused("-i lo --to if:veth0 --check ping");
    assert!(code == Some(2) && said.contains("tcp:PORT"), "{said}");
    let (code, said) = refused("--to if:veth0");
    assert!(code != Some(0) && said.contains("nothing to listen to"), "{said}");
    let (code, said) = refused("--pcap-over-ip tcp://127.0.0.1:1 --to if:no-such-if0");
    assert!(code == Some(5) && said.contains("no-such-if0"), "{said}");
}
