//! Programs that run in the kernel, against the lanes that decap and spread give, and `weir sense` with them. Needs root, iproute2
//! and tcpreplay; without them nothing is tested.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

#[path = "../../tap/tests/lab/mod.rs"]
mod lab;
#[path = "../../spread/tests/machine/mod.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod machine;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{alone, replay, wire};
use machine::build::{ethernet, ip, kind_of, tcp, udp};
use weir_decap::{Config, Decap, Output};
use weir_spread::{SpreadBy, Steering, TenantNumber, lane_of};
use weir_tap::bpf::{FanoutProgram, FlowBy, FlowSettings, FlowTenant};
use weir_tap::{
    Captures, Fanout, FanoutMode, FrameBatch, LiveSource, Options, PacketRing, Received, RingDirection,
    RingOptions, Source,
};
use weir_wire::{Frame, LinkType, Role, UidKey};

const LANES: usize = 8;

fn settings(by: SpreadBy, tenant: TenantNumber) -> FlowSettings {
    FlowSettings {
        by: match by {
            SpreadBy::Pair => FlowBy::Pair,
            SpreadBy::Flow => FlowBy::Flow,
            SpreadBy::Tenant => FlowBy::Tenant,
            SpreadBy::Sum => FlowBy::Sum,
        },
        tenant: match tenant {
            TenantNumber::Nothing => FlowTenant::Nothing,
            TenantNumber::Vni => FlowTenant::Vni,
            TenantNumber::Vlan => FlowTenant::Vlan,
            TenantNumber::Key => FlowTenant::Key,
        },
        ..FlowSettings::new(LANES as u32)
    }
}

/// Loads a program, if we may.
fn load(settings: &FlowSettings) -> Option<FanoutProgram> {
    match FanoutProgram::load(settings, "a test") {
        Ok(program) => Some(program),
        Err(error) if error.to_string().contains("CAP_BPF") => {
            eprintln!("skipped: needs root, who may load programs into the kernel");
            None
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A packet of host `i`, in one of many surroundings.
fn surround(i: u16, back: bool) -> Vec<u8> {
    let [high, low] = i.to_be_bytes();
    let (a, b) = ([10, 7, high, low].into(), [10, 0, 0, 2].into());
    let inner = if back { ip(6, b, a, &tcp(443, 40_000)) } else { ip(6, a, b, &tcp(40_000, 443)) };
    let frame = ethernet(kind_of(&inner), &inner);
    let outer = |protocol, payload: &[u8]| {
        ethernet(0x0800, &ip(protocol, [192, 0, 2, 1].into(), [192, 0, 2, 2].into(), payload))
    };
    let vxlan = udp(50_000, 4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &frame].concat());
    let geneve = |inner: &[u8]| udp(50_000, 6081, &[&[2, 0, 8, 0, 0, 0, 7, 0][..], &[0; 8], inner].concat());
    match i % 7 {
        0 => frame,
        1 => [&frame[..12], &[0x81, 0, 0, 9], &frame[12..]].concat(),
        2 => outer(17, &vxlan),
        3 => outer(17, &geneve(&inner)),
        4 => outer(47, &[&[0x20, 0, 8, 0, 0, 0, 0, 9][..], &inner].concat()),
        5 => outer(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1][..], &[0x10; 8], &frame].concat()),
        _ => outer(17, &geneve(&ip(17, [10, 9, 0, 1].into(), [10, 9, 0, 2].into(), &vxlan))),
    }
}

fn home(decap: &mut Decap, frame: &Frame<'_>) -> Option<usize> {
    let mut out = Output::default();
    decap.frame(frame, &mut out);
    let innermost = out.packets.iter().rfind(|packet| packet.head.role == Role::Innermost)?;
    Some(lane_of(&innermost.head.key, LANES))
}

#[test]
fn the_kernel_gives_each_frame_to_the_ring_of_its_lane_sent_or_received() {
    alone(|| {
        wire("near", "far");
        let mode = || {
            let settings = settings(SpreadBy::Pair, TenantNumber::Nothing);
            FanoutMode::Ebpf(FanoutProgram::load(&settings, "far").unwrap().descriptor().unwrap())
        };
        let group = |interface: &str, group, direction| {
            let fanout = Fanout { group, mode: mode(), defragment: false, rollover: false };
            let options = RingOptions {
                block_size: 1 << 16,
                blocks: 192,
                block_timeout_ms: 200,
                direction,
                fanout: Some(fanout),
                ..RingOptions::new(interface)
            };
            PacketRing::open_group(&options, LANES).unwrap()
        };
        let mut groups = [group("far", 1, RingDirection::In), group("near", 2, RingDirection::Out)];
        let frames: Vec<_> = (0..1_000).flat_map(|i| [false, true].map(|back| surround(i, back))).collect();
        replay("near", &frames, "--topspeed");
        for rings in &mut groups {
            let (mut count, mut batch) = (0, FrameBatch::default());
            for (lane, ring) in rings.iter_mut().enumerate() {
                let mut decap = Decap::new(Config::default(), UidKey([7; 16]));
                while ring.receive(&mut batch, Duration::from_millis(400)).unwrap() == Received::Frames {
                    batch.iter().for_each(|frame| assert_eq!(home(&mut decap, &frame), Some(lane)));
                    count += batch.len();
                }
                assert_eq!(ring.losses().dropped, 0);
            }
            assert_eq!(count, frames.len());
        }
    });
}

/// All captures below a directory.
fn captures_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { captures_below(&path, found) } else { found.push(path) }
    }
}

/// Some of the corpus, where it is there, and all kinds of tunnels: whole, cut short at each place, and with each byte changed.
#[test]
fn the_program_in_the_kernel_answers_as_the_classic_program_does() {
    let ways = [
        (SpreadBy::Pair, TenantNumber::Nothing),
        (SpreadBy::Flow, TenantNumber::Nothing),
        (SpreadBy::Flow, TenantNumber::Vni),
        (SpreadBy::Pair, TenantNumber::Vlan),
        (SpreadBy::Tenant, TenantNumber::Key),
        (SpreadBy::Sum, TenantNumber::Nothing),
        (SpreadBy::Sum, TenantNumber::Vni),
    ];
    let mut programs = Vec::new();
    for (by, tenant) in ways {
        let Some(program) = load(&settings(by, tenant)) else { return };
        let steering = Steering { tenant, ..Steering::new(by, LANES as u32) };
        programs.push((program, steering.for_frames()));
    }
    let mut compared = 0u64;
    let mut compare = |frame: &[u8]| {
        if frame.len() < 18 {
            return;
        }
        for (index, (program, classic)) in programs.iter_mut().enumerate() {
            // The kernel's own test hands a tag over in the frame, and not beside it.
            let beside = machine::Beside {
                protocol: u16::from_be_bytes([frame[12], frame[13]]),
                hardware: 1,
                ..machine::Beside::default()
            };
            // What it will not take is no frame that an interface could receive.
            let Ok(answer) = program.try_out(frame) else { return };
            assert_eq!(
                answer,
                machine::run(classic, &frame[14..], &beside),
                "{:?}: {frame:02x?}",
                ways[index]
            );
            compared += 1;
        }
    };
    for i in 0..14 {
        let frame = surround(i, i % 2 == 1);
        (18..=frame.len()).for_each(|len| compare(&frame[..len]));
        for at in 12..frame.len().min(120) {
            for change in [1, 0x0f, 0x80, 0xff] {
                let mut changed = frame.clone();
                changed[at] ^= change;
                compare(&changed);
            }
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.ancestors().map(|dir| dir.join("shared/corpus/zeek/traces")).find(|dir| dir.is_dir());
    let mut captures = Vec::new();
    if let Some(corpus) = corpus {
        captures_below(&corpus, &mut captures);
    }
    for path in captures {
        let Ok(mut captures) = Captures::open(vec![Source::File(path)], Options::default()) else { continue };
        let (mut batch, mut left) = (FrameBatch::default(), 200);
        while captures.next_batch(&mut batch).unwrap_or(false) {
            for frame in batch.iter().filter(|f| f.link == LinkType::ETHERNET).take(left) {
                // Longer ones do not fit into the kernel's test.
                compare(&frame.data[..frame.data.len().min(1500)]);
                left -= 1;
            }
        }
    }
    println!("{compared} answers agree");
    assert!(compared > 10_000, "{compared}");
}

/// A datagram of flow `i`.
fn datagram(i: u16) -> Vec<u8> {
    let inner = ip(17, [10, 1, 0, 1].into(), [10, 1, 0, 2].into(), &udp(1024 + i, 9999, b"weir"));
    ethernet(0x0800, &inner)
}

#[test]
fn a_worker_that_cannot_keep_up_leaves_out_whole_flows_and_counts_their_packets() {
    alone(|| {
        wire("near", "far");
        let home = tempfile::tempdir().unwrap();
        std::process::Command::new("chmod").arg("755").arg(home.path()).status().unwrap();
        // A sensor that has a tenth of the CPU on which frames are sent as fast as can be cannot keep up with them.
        let mut one = nix::sched::CpuSet::new();
        one.set(0).unwrap();
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).unwrap();
        let config = "[sense]\nshed_percent = 1\nblock_size = 65536\nblocks = 512\npin = false\n";
        std::fs::write(home.path().join("weir.toml"), config).unwrap();
        let mut sensor = std::process::Command::new("nice")
            .args([
                "-n",
                "10",
                env!("CARGO_BIN_EXE_weir"),
                "sense",
                "-i",
                "far",
                "-w",
                "1",
                "-l",
                "logs",
                "--config",
                "weir.toml",
                "--ledger",
                "ledger.json",
            ])
            .current_dir(home.path())
            .stderr(std::fs::File::create(home.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        let said = || std::fs::read_to_string(home.path().join("said")).unwrap();
        while !said().contains("listening on") {
            assert!(sensor.try_wait().unwrap().is_none(), "{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        let frames: Vec<_> = (0..20_000u16).map(|i| datagram(i % 2_000)).collect();
        replay("near", &frames, "--topspeed --loop 150");
        lab::run(&format!("kill {}", sensor.id()));
        assert!(sensor.wait().unwrap().success(), "{}", said());
        let ledger = std::fs::read(home.path().join("ledger.json")).unwrap();
        let ledger: serde_json::Value = serde_json::from_slice(&ledger).unwrap();
        let hop = |name: &str| {
            ledger["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == name).unwrap().clone()
        };
        assert_eq!(ledger["balances"], true);
        assert_eq!(hop("tap")["entered"]["frames"], 3_000_000, "{}", said());
        let analyse = hop("analyse");
        let (shed, passed) = (&analyse["dropped"]["shed"]["frames"], &analyse["passed"]["frames"]);
        assert!(shed.as_u64().unwrap() > 0 && passed.as_u64().unwrap() > 0, "{}", said());
        // What was analysed is what conn.log tells of; a flow that was ended in its midst is told of in weird.log.
        let conn = std::fs::read_to_string(home.path().join("logs/conn.log")).unwrap();
        let fields: Vec<_> =
            conn.lines().find_map(|l| l.strip_prefix("#fields\t")).unwrap().split('\t').collect();
        // Some source ports are those of servers, which then have answered.
        let columns =
            ["orig_pkts", "resp_pkts"].map(|name| fields.iter().position(|field| *field == name).unwrap());
        let records = conn.lines().filter(|line| !line.starts_with('#'));
        let packets = |line: &str| -> u64 {
            let cells: Vec<_> = line.split('\t').collect();
            columns.iter().map(|at| cells[*at].parse::<u64>().unwrap()).sum()
        };
        let told: u64 = records.map(packets).sum();
        assert_eq!(passed.as_u64().unwrap(), told);
    });
}
