//! `weir plan` carried out by the real programs in a network namespace of its own, and what packets then do. Where
//! namespaces cannot be made (no root) or a program is not there, only what needs none is tested, and that is said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use weir_tap::write::PcapWriter;
use weir_tap::{Captures, Endian, FrameBatch, Options, Precision, Source};
use weir_wire::{LinkType, Time};

/// Flows in the captures; each has one packet each way.
const FLOWS: u8 = 64;

/// One UDP packet of flow `i`, from its client or back.
fn packet(i: u8, back: bool) -> Vec<u8> {
    let (client, server) = ([10, 9, 1, i], [10, 9, 2, i.wrapping_mul(6)]);
    let (from, to, source, destination) = if back {
        (server, client, 5353, 4000 + u16::from(i))
    } else {
        (client, server, 4000 + u16::from(i), 5353)
    };
    let (to_mac, from_mac) = if back {
        ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
    } else {
        ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
    };
    let mut frame = [&to_mac[..], &from_mac, &[8, 0]].concat();
    let mut header = [&[0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0][..], &from, &to].concat();
    let sum: u32 = header.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    frame.extend([source.to_be_bytes(), destination.to_be_bytes(), [0, 16], [0, 0]].concat());
    frame.extend([b'w', b'e', b'i', b'r', i, 0, 0, u8::from(back)]);
    // So short a frame would be padded on the way.
    frame.resize(64, 0);
    frame
}

/// `to.pcap`, `back.pcap` and `both.pcap`.
fn captures(home: &Path) {
    let write = |name: &str, frames: Vec<Vec<u8>>| {
        let mut writer =
            PcapWriter::new(Vec::new(), LinkType::ETHERNET, Precision::Micros, Endian::Little).unwrap();
        for (i, frame) in frames.iter().enumerate() {
            writer
                .frame(Time(1_700_000_000_000_000_000 + i as i64 * 1_000_000), frame.len() as u32, frame)
                .unwrap();
        }
        std::fs::write(home.join(name), writer.into_inner()).unwrap();
    };
    write("to.pcap", (1..=FLOWS).map(|i| packet(i, false)).collect());
    write("back.pcap", (1..=FLOWS).map(|i| packet(i, true)).collect());
    write("both.pcap", (1..=FLOWS).flat_map(|i| [packet(i, false), packet(i, true)]).collect());
}

fn read(path: &Path) -> Vec<Vec<u8>> {
    let mut captures = Captures::open(vec![Source::File(path.into())], Options::default()).unwrap();
    let (mut batch, mut got) = (FrameBatch::default(), Vec::new());
    while captures.next_batch(&mut batch).unwrap() {
        got.extend(batch.iter().map(|f| f.data.to_vec()));
    }
    got
}

/// How often each packet of ours was seen: flow and direction.
fn seen(home: &Path, name: &str) -> BTreeMap<(u8, bool), u32> {
    let mut seen = BTreeMap::new();
    for frame in read(&home.join(name)) {
        if let Some(at) = frame.windows(4).position(|w| w == b"weir") {
            *seen.entry((frame[at + 4], frame[at + 7] == 1)).or_default() += 1;
        }
    }
    seen
}

/// Every packet came once, and both directions of a flow to the same place; more than one place has some.
fn is_split_by_flow(home: &Path, names: [&str; 2]) {
    let [one, two] = names.map(|name| seen(home, name));
    assert!(one.values().chain(two.values()).all(|times| *times == 1), "more than once: {one:?} {two:?}");
    let flows = |of: &BTreeMap<(u8, bool), u32>| of.keys().map(|(flow, _)| *flow).collect::<BTreeSet<_>>();
    assert_eq!(one.len() + two.len(), 2 * usize::from(FLOWS), "lost: {one:?} {two:?}");
    assert!(flows(&one).is_disjoint(&flows(&two)), "directions part");
    assert!(!one.is_empty() && !two.is_empty(), "all went one way");
}

const SETUP: &str = "
    exec 2>&1
    export OVS_RUNDIR=$PWD OVS_LOGDIR=$PWD OVS_DBDIR=$PWD OVS_SYSCONFDIR=$PWD
    plan() { $weir plan \"$@\" --state $PWD/state; }
    wire() {
        ip link add $1 numrxqueues 4 numtxqueues 4 type veth peer name $2 || exit 9
        for end in $1 $2; do sysctl -qw net.ipv6.conf.$end.disable_ipv6=1; ip link set $end up; done
    }
    listen() {
        tcpdump --immediate-mode -s 2000 -B 4096 -i $1 -Q in -U -w $1.pcap 2> $1.log & ears=\"$ears $!\"
        while ! grep -q 'listening on' $1.log; do sleep 0.02; done
        heard=\"$heard $1:$(received $1)\"
    }
    received() { ip -s link show $1 | awk 'found {print $2; exit} /RX:/ {found=1}'; }
    # Whether tcpdump has written all that came to each ear; and how much came.
    written() {
        came=0
        for ear in $heard; do
            n=$(($(received ${ear%:*}) - ${ear#*:})); came=$((came+n))
            [ $(tcpdump -nr ${ear%:*}.pcap 2> /dev/null | wc -l) -ge $n ] || return 1
        done
    }
    # Until all is written, and nothing more has come for half a second; 20 s at most.
    hear() {
        quiet=0; tries=0; last=-1
        while [ $quiet -lt 5 ]; do
            sleep 0.1; tries=$((tries+1)); [ $tries -lt 200 ] || exit 7
            if written && [ $came = $last ]; then quiet=$((quiet+1)); else quiet=0; fi
            last=$came
        done
        kill -INT $ears; wait $ears; ears=; heard=
    }
    play() { $weir replay $1.pcap -i $2 --speed 4000pps -q || exit 8; }
    switch() {
        ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema
        ovsdb-server conf.db --remote=punix:db.sock --pidfile --detach --log-file=db.log > /dev/null 2>&1 || exit 9
        ovs-vsctl --no-wait init
        ovs-vswitchd unix:db.sock --pidfile --detach --log-file=switch.log > /dev/null 2>&1 || exit 9
    }
    trap 'for file in ovsdb-server.pid ovs-vswitchd.pid; do test -f $file && kill $(cat $file); done' EXIT
";

/// Runs a script in a network namespace of its own; `plan` is `weir plan`. None where `programs` are not there.
fn lab(home: &Path, programs: &str, script: &str) -> Option<Output> {
    let check =
        format!("ip link > /dev/null && for p in tcpdump {programs}; do command -v $p || exit 1; done");
    let can = Command::new("unshare").args(["-n", "sh", "-c", &check]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network namespaces, or one of {programs} is not there");
        return None;
    }
    captures(home);
    let script = format!("{SETUP}{script}");
    let mut command = Command::new("unshare");
    let command = command.args(["-n", "sh", "-c", &script]).env("weir", env!("CARGO_BIN_EXE_weir"));
    Some(command.current_dir(home).output().unwrap())
}

/// Runs it; it has to succeed. What it printed, or None where it could not be tested.
fn passes(home: &Path, programs: &str, script: &str) -> Option<String> {
    let output = lab(home, programs, script)?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    Some(told)
}

#[test]
fn an_open_vswitch_mirror_sends_each_packet_once_through_every_kind_of_tunnel() {
    for (kind, tunnel, logged) in [
        ("vxlan", "vxlan://10.8.0.2?vni=7", "Tunnel::VXLAN"),
        ("geneve", "geneve://10.8.0.2?vni=7", "Tunnel::GENEVE"),
        ("gre", "gre://10.8.0.2?key=7", "Tunnel::GRE"),
        ("erspan2", "erspan://10.8.0.2?version=2&id=7", "Tunnel::GRE"),
        ("erspan3", "erspan://10.8.0.2?version=3&id=7", "Tunnel::GRE"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let script = format!(
            "wire va ea; wire vb eb; wire vv ev; switch
            ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 va -- add-port br0 vb \
                -- add-br under -- set bridge under datapath_type=netdev -- add-port under vv || exit 9
            ip addr add 10.8.0.1/24 dev under; ip link set under up
            ovs-appctl tnl/neigh/set under 10.8.0.2 02:00:00:00:08:02
            plan ovs-mirror --bridge br0 --port va --to '{tunnel}' --apply || exit 1
            plan ovs-mirror --bridge br0 --port va --to '{tunnel}' --apply
            sleep 0.5; listen ev; play to ea; play back eb; hear
            plan ovs-mirror --bridge br0 --port va --to '{tunnel}' --undo || exit 1
            ovs-vsctl list-ports br0; ovs-vsctl list mirror
            $weir read -q -l logs ev.pcap || exit 1
            grep -c '{logged}' logs/tunnel.log"
        );
        let Some(told) = passes(home.path(), "ovs-vsctl ovsdb-server ovs-vswitchd", &script) else { return };
        assert!(told.contains("nothing to do"), "{kind}: {told}");
        let seen = seen(home.path(), "ev.pcap");
        assert_eq!(seen.len(), 2 * usize::from(FLOWS), "{kind}: {told}");
        assert!(seen.values().all(|times| *times == 1), "{kind}: {seen:?}");
        let after = told.split("weir-va: taken back").nth(1).unwrap();
        assert!(after.starts_with("\nva\nvb\n") && !after.contains("_uuid"), "{kind}: {after}");
        // What the mirror carried is read again: every flow with a packet each way.
        let conn = std::fs::read_to_string(home.path().join("logs/conn.log")).unwrap();
        let both = conn.lines().filter(|line| line.contains("5353\tudp") && line.contains("\tDd\t")).count();
        assert_eq!(both, usize::from(FLOWS), "{kind}: {conn}");
    }
}

#[test]
fn an_open_vswitch_split_keeps_both_directions_of_a_flow_at_one_port() {
    for method in ["bundle", "dp-hash"] {
        let home = tempfile::tempdir().unwrap();
        let script = format!(
            "wire va ea; wire s0 r0; wire s1 r1; switch
            ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 va -- add-port br0 s0 -- add-port br0 s1
            for i in 1 2; do plan ovs-split --bridge br0 --from va --to s0 --to s1 --method {method} --apply || exit 1; done
            sleep 0.5; listen r0; listen r1; play both ea; hear
            plan ovs-split --bridge br0 --from va --to s0 --to s1 --method {method} --undo || exit 1
            ovs-ofctl dump-flows br0; ovs-ofctl -O OpenFlow15 dump-groups br0"
        );
        let Some(told) = passes(home.path(), "ovs-vsctl ovsdb-server ovs-vswitchd", &script) else { return };
        is_split_by_flow(home.path(), ["r0.pcap", "r1.pcap"]);
        let after = told.split("weir-va: taken back").nth(1).unwrap();
        assert!(!after.contains("cookie=0x77656972") && !after.contains("bucket"), "{after}");
    }
}

#[test]
fn nft_copies_each_flow_to_one_of_several_and_lets_the_packets_pass() {
    // Both directions come in on one side, as from a SPAN port.
    let home = tempfile::tempdir().unwrap();
    let script = "
        wire va vb; wire s0 r0; wire s1 r1
        plan nft -i vb --direction in --to s0 --to s1 > script.sh && sh script.sh || exit 1
        listen vb; listen r0; listen r1; play both va; hear
        plan nft -i vb --direction in --to s0 --to s1 --apply || exit 1
        plan nft -i vb --direction in --to s0 --to s1 --apply
        plan nft -i vb --direction in --to s0 --to s1 --undo || exit 1
        nft list ruleset";
    let Some(told) = passes(home.path(), "nft", script) else { return };
    is_split_by_flow(home.path(), ["r0.pcap", "r1.pcap"]);
    assert_eq!(seen(home.path(), "vb.pcap").len(), 2 * usize::from(FLOWS), "the packets themselves");
    assert!(told.contains("nothing to do") && told.ends_with("weir-vb: taken back\n"), "{told}");

    // One direction comes in and the other goes out, as on a host.
    for hash in ["symhash", "jhash"] {
        let home = tempfile::tempdir().unwrap();
        let script = format!(
            "wire va vb; wire s0 r0; wire s1 r1
            plan nft -i vb --hash {hash} --to s0 --to s1 --apply || exit 1
            listen r0; listen r1; play to va; play back vb; hear"
        );
        passes(home.path(), "nft", &script).unwrap();
        is_split_by_flow(home.path(), ["r0.pcap", "r1.pcap"]);
    }
}

#[test]
fn nft_moves_packets_so_that_the_host_does_not_see_them() {
    let home = tempfile::tempdir().unwrap();
    let script = "
        wire va vb; wire s0 r0; wire s1 r1
        plan nft -i vb --direction in --move --to s0 --to s1 --apply || exit 1
        listen r0; listen r1; play both va; hear
        nft list table netdev weir-vb | grep -q 'fwd to symhash' || exit 1";
    if passes(home.path(), "nft", script).is_some() {
        is_split_by_flow(home.path(), ["r0.pcap", "r1.pcap"]);
    }
}

#[test]
fn tc_copies_by_addresses_and_leaves_the_qdisc_of_others() {
    let home = tempfile::tempdir().unwrap();
    let script = "
        wire va vb; wire s0 r0; wire s1 r1
        plan tc -i vb --to s0 --to s1 --apply || exit 1
        plan tc -i vb --to s0 --to s1 --apply
        listen r0; listen r1; play to va; play back vb; hear
        plan tc -i vb --to s0 --to s1 --undo || exit 1
        tc qdisc show dev vb clsact
        tc qdisc add dev vb clsact
        tc filter add dev vb ingress protocol all pref 7 u32 match u32 0 0 flowid 1:1
        plan tc -i vb --to s0 --apply > /dev/null && plan tc -i vb --to s0 --undo > /dev/null || exit 1
        echo then; tc qdisc show dev vb clsact; tc filter show dev vb ingress; tc filter show dev vb egress";
    let Some(told) = passes(home.path(), "tc", script) else { return };
    is_split_by_flow(home.path(), ["r0.pcap", "r1.pcap"]);
    assert!(told.contains("nothing to do"), "{told}");
    let (before, after) = told.split_once("then\n").unwrap();
    assert!(before.ends_with("weir-vb: taken back\n"), "{before}");
    assert!(
        after.contains("qdisc clsact") && after.contains("pref 7") && !after.contains("mirred"),
        "{after}"
    );
}

#[test]
fn copies_that_leave_by_the_tapped_interface_are_not_copied_again() {
    for plan in ["tc", "nft"] {
        let home = tempfile::tempdir().unwrap();
        let script = format!(
            "wire va vb
            ip addr add 10.8.0.1/24 dev vb
            ip neigh add 10.8.0.2 lladdr 02:00:00:00:08:02 dev vb nud permanent
            plan {plan} -i vb --to 'vxlan://10.8.0.2?vni=7' --apply || exit 1
            listen va; play to va; play back vb; hear
            plan {plan} -i vb --to 'vxlan://10.8.0.2?vni=7' --undo || exit 1
            ip -br link"
        );
        let Some(told) = passes(home.path(), plan, &script) else { return };
        assert!(!told.split("taken back").nth(1).unwrap().contains("weir-vb"), "{told}");
        let outer = |frame: &&Vec<u8>| {
            frame[12..14] == [8, 0] && frame[23] == 17 && frame[36..38] == 4789_u16.to_be_bytes()
        };
        let ours = |frame: &&Vec<u8>| frame.windows(4).any(|window| window == b"weir");
        let copies = read(&home.path().join("va.pcap")).iter().filter(outer).filter(ours).count();
        assert_eq!(copies, 2 * usize::from(FLOWS), "{plan}: {told}");
    }
}

#[test]
fn what_fails_takes_back_what_was_done_before() {
    let home = tempfile::tempdir().unwrap();
    let script = "
        wire va vb
        tc qdisc add dev vb clsact
        tc filter add dev vb egress protocol ip pref 30500 u32 match u32 0 0 flowid 7:7
        plan tc -i vb --to 'vxlan://10.8.0.2?vni=7' --apply; echo code $?
        ip -br link; ls state; tc filter show dev vb ingress; tc filter show dev vb egress
        plan nft -i nothere --to va --apply; echo code $?
        plan nft -i vb --to nothere --apply; echo code $?
        plan nft -i vb --to va --undo; echo code $?
        nft list ruleset";
    let Some(told) = passes(home.path(), "nft tc", script) else { return };
    let [failed, state, ..] = told.split("code 6\n").collect::<Vec<_>>()[..] else { panic!("{told}") };
    assert!(failed.contains("the preferences from 30500 on are not free"), "{told}");
    assert!(failed.contains("failed, what was done is taken back"), "{told}");
    assert!(state.contains("va@vb") && !state.contains("weir-") && !state.contains("mirred"), "{told}");
    assert!(state.contains("flowid 7:7"), "what others made stays: {told}");
    assert_eq!(
        told.matches("nothere").count(),
        told.matches("there is no interface nothere").count(),
        "{told}"
    );
    assert!(told.contains("nothing of this name was applied here"), "{told}");
    assert!(told.ends_with("code 6\n"), "{told}");
}

#[test]
fn a_changed_plan_takes_the_place_of_the_one_before() {
    let home = tempfile::tempdir().unwrap();
    let script = "
        wire va vb; wire s0 r0
        plan tc -i vb --to 'vxlan://10.8.0.2?vni=7' --apply > /dev/null || exit 1
        plan tc -i vb --to s0 --direction in --apply || exit 1
        ip -br link; tc filter show dev vb egress
        echo then
        rm -r state; plan tc -i vb --to s0 --direction in --apply || exit 1
        tc filter show dev vb ingress | grep -c mirred";
    let Some(told) = passes(home.path(), "tc", script) else { return };
    assert!(told.contains("what was applied before is taken back first"), "{told}");
    let (_, rest) = told.split_once("weir-vb: applied").unwrap();
    let (now, later) = rest.split_once("then\n").unwrap();
    assert!(!now.contains("weir-vb-0") && !now.contains("mirred"), "{now}");
    assert!(later.ends_with("\n1\n"), "without its journal it is made anew, not twice: {later}");
}

#[test]
fn queues_are_set_and_set_back() {
    let home = tempfile::tempdir().unwrap();
    let script = "
        wire va vb
        ethtool -L vb rx 2 tx 2
        ethtool -K vb gro on
        tell() { ethtool -l vb; ethtool -k vb | grep generic-receive; }
        tell; echo then
        plan rss -i vb --queues 1 --apply || exit 1
        echo then; tell; echo then
        plan rss -i vb --queues 1 --undo || exit 1
        echo then; tell";
    let Some(told) = passes(home.path(), "ethtool", script) else { return };
    let [before, _, applied, _, undone] = told.split("then\n").collect::<Vec<_>>().try_into().unwrap();
    assert!(
        applied.contains("settings:\nRX:\t\t1\n") && applied.contains("receive-offload: off"),
        "{applied}"
    );
    assert_eq!(before, undone);
    assert!(before.contains("receive-offload: on"), "{before}");
}

#[test]
fn suricata_takes_the_section_and_opens_the_interfaces_with_it() {
    let home = tempfile::tempdir().unwrap();
    let script = "
        wire s0 r0; wire s1 r1
        plan suricata -i s0 -i s1 --threads 2 --ring 2048 --share 1/4 --directory . --apply || exit 1
        suricata -T -c weir-ids.yaml -S /dev/null -l . --af-packet || exit 1
        suricata -c weir-ids.yaml -S /dev/null -l . --af-packet -v & running=$!
        while kill -0 $running && ! grep -q 'Engine started' suricata.out; do sleep 0.1; done
        kill -INT $running; wait $running
        plan suricata -i s0 --directory . --undo || exit 1
        ls";
    let script = script
        .replace("-v &", "-v > suricata.out 2>&1 &")
        .replace("wait $running", "wait $running; cat suricata.out");
    let Some(told) = passes(home.path(), "suricata", &script) else { return };
    assert!(told.contains("successfully loaded") && told.contains("Threads created -> W: 4"), "{told}");
    assert!(told.contains("s1: using BPF"), "{told}");
    assert!(!told.rsplit("taken back").next().unwrap().contains("weir-ids.yaml"), "{told}");
}

#[test]
fn a_file_that_is_not_ours_is_neither_overwritten_nor_removed() {
    let home = tempfile::tempdir().unwrap();
    let weir = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let output = command
            .current_dir(home.path())
            .arg("plan")
            .args(arguments)
            .args(["--state", "state"])
            .output()
            .unwrap();
        (
            output.status.code(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let file = home.path().join("node.cfg");
    std::fs::write(&file, "[manager]\n").unwrap();
    let zeek = ["zeek", "-i", "eth0", "-w", "2", "--method", "bpf", "--directory", "."];
    let (code, said) = weir(&[&zeek[..], &["--apply"]].concat());
    assert!(code == Some(6) && said.contains("weir has not written it"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[manager]\n");
    assert!(!home.path().join("weir-zeek.zeek").exists());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(weir(&[&zeek[..], &["--apply"]].concat()).0, Some(0));
    assert!(std::fs::read_to_string(&file).unwrap().contains("[worker-2]"));
    assert_eq!(weir(&[&zeek[..], &["--undo"]].concat()).0, Some(0));
    assert!(!file.exists() && !home.path().join("weir-zeek.zeek").exists());
}

#[test]
fn mistakes_are_told_before_anything_is_done() {
    let weir = |path: Option<&str>, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let output = command.arg("plan").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = weir(Some("/nowhere"), &["tc", "-i", "lo", "--to", "s0", "--apply"]);
    assert!(
        code == Some(6) && said.contains("tc is not installed (or not in PATH): apt install iproute2"),
        "{said}"
    );
    let (code, said) = weir(None, &["nft", "-i", "eth0; reboot", "--to", "s0"]);
    assert!(code == Some(2) && said.contains("is not the name of an interface"), "{said}");
    let (code, said) = weir(
        None,
        &["nft", "-i", "eth0", "--to", "s0", "--to", "s1", "--direction", "in", "--hash", "jhash"],
    );
    assert!(code == Some(2) && said.contains("take symhash"), "{said}");
    let (code, said) = weir(None, &["terraform", "aws", "--source", "eni-1"]);
    assert!(code == Some(2) && said.contains("--to-nlb"), "{said}");
    let (code, said) = weir(None, &["terraform", "aws", "--source", "eni-\"1", "--to-nlb", "x"]);
    assert!(code == Some(2) && said.contains("is not an identifier of a cloud"), "{said}");
}
