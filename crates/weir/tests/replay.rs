//! `weir replay` onto a veth pair in a network namespace of its own, which goes with the process that made it. Where
//! namespaces cannot be made (no root), or ip or tcpdump is not there, only what needs none is tested.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use weir_tap::write::PcapWriter;
use weir_tap::{Captures, Endian, FrameBatch, Options, Precision, Source};
use weir_wire::{LinkType, Time};

/// Frames of an experimental Ethertype, each of its own length and number, 10 ms apart.
fn capture(path: &Path, link: LinkType, frames: &[Vec<u8>]) {
    let mut writer = PcapWriter::new(Vec::new(), link, Precision::Micros, Endian::Little).unwrap();
    for (i, data) in frames.iter().enumerate() {
        let time = Time(1_700_000_000_000_000_000 + i as i64 * 10_000_000);
        writer.frame(time, data.len() as u32, data).unwrap();
    }
    std::fs::write(path, writer.into_inner()).unwrap();
}

fn frame(number: u16, len: usize) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, high, low];
    frame.resize(len, 0x5a);
    frame
}

fn read(path: &Path) -> Vec<(i64, Vec<u8>)> {
    let mut captures = Captures::open(vec![Source::File(path.into())], Options::default()).unwrap();
    let (mut batch, mut got) = (FrameBatch::default(), Vec::new());
    while captures.next_batch(&mut batch).unwrap() {
        got.extend(batch.iter().map(|f| (f.time.0, f.data.to_vec())));
    }
    got
}

/// Runs a script where veth `va` is connected with veth `vb`; `$weir` is the binary. None where that cannot be.
fn lab(home: &Path, script: &str) -> Option<Output> {
    let setup = "
        exec 2>&1
        ip link add va type veth peer name vb
        ip link set va addrgenmode none up
        ip link set vb addrgenmode none up
        listen() {
            tcpdump --immediate-mode -s 2000 -B 8192 -i vb -U -w $1 2> dump.log & dump=$!
            file=$1; while ! grep -q 'listening on' dump.log; do sleep 0.02; done
            before=$(count vb RX)
        }
        # How many frames an interface has received (RX) or sent (TX).
        count() { ip -s link show $1 | awk \"found {print \\$2; exit} /$2:/ {found=1}\"; }
        # Tries until it is so, for 20 s at most.
        until_so() { n=0; while ! eval \"$1\"; do sleep 0.05; n=$((n+1)); [ $n -lt 400 ] || exit 9; done; }
        # At least so many frames have come, and tcpdump has written all that came.
        hear() {
            until_so \"[ \\$((\\$(count vb RX) - before)) -ge ${1:-0} ]\"
            until_so \"[ \\$(tcpdump -nr $file 2> /dev/null | wc -l) -ge \\$((\\$(count vb RX) - before)) ]\"
            kill -INT $dump; wait $dump
        }
    ";
    let can = Command::new("unshare").args(["-n", "sh", "-c", "ip link && tcpdump --version"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs root, ip and tcpdump");
        return None;
    }
    let script = format!("{setup}{script}");
    let mut command = Command::new("unshare");
    let command = command.args(["-n", "sh", "-c", &script]).env("weir", env!("CARGO_BIN_EXE_weir"));
    Some(command.current_dir(home).output().unwrap())
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn frames_come_out_as_they_are_in_the_capture_at_their_times() {
    let home = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..50).map(|i| frame(i, 60 + usize::from(i) * 20)).collect();
    capture(&home.path().join("in.pcap"), LinkType::ETHERNET, &frames);
    let script = "listen out.pcap; $weir replay in.pcap -i va --ledger ledger.json || exit 1; hear";
    let Some(output) = lab(home.path(), script) else { return };
    assert!(output.status.success() && told(&output).contains("sent 50 frames"), "{}", told(&output));
    assert!(told(&output).contains("ledger: balances"));
    let got = read(&home.path().join("out.pcap"));
    assert!(got.iter().map(|(_, data)| data).eq(&frames));
    // By the clock of who hears them. The machine may be busy, so a frame may be late, but the last one no less than due.
    let span = got[49].0 - got[0].0;
    assert!((450_000_000..2_000_000_000).contains(&span), "{span}");
    let ledger = std::fs::read_to_string(home.path().join("ledger.json")).unwrap();
    assert!(ledger.contains("\"carry\"") && ledger.contains("\"balances\": true"), "{ledger}");
}

#[test]
fn speed_rounds_and_limit_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..100).map(|i| frame(i, 1_000)).collect();
    capture(&home.path().join("in.pcap"), LinkType::ETHERNET, &frames);
    let script = "listen out.pcap
        $weir replay in.pcap -i va --speed topspeed --loop 3 --limit 250 || exit 1; hear";
    let Some(output) = lab(home.path(), script) else { return };
    assert!(told(&output).contains("sent 250 frames"), "{}", told(&output));
    let got = read(&home.path().join("out.pcap"));
    let numbers = got.iter().map(|(_, data)| data[15]);
    assert!(numbers.eq((0..100).chain(0..100).chain(0..50)));
    // 100 frames of 8,000 bits at 2 Mbit/s are 0.4 s; by their times they would be 1 s.
    let began = Instant::now();
    let script = "$weir replay in.pcap -i va --speed 2mbit -q || exit 1";
    assert!(lab(home.path(), script).unwrap().status.success());
    assert!(began.elapsed() >= Duration::from_millis(396), "{:?}", began.elapsed());
}

#[test]
fn what_the_interface_does_not_take_is_counted_and_told_by_the_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let frames = [frame(0, 60), frame(1, 1_514), frame(2, 1_515), frame(3, 9_000), frame(4, 60)];
    capture(&home.path().join("in.pcap"), LinkType::ETHERNET, &frames);
    let Some(output) = lab(home.path(), "$weir replay in.pcap -i va --speed topspeed") else { return };
    assert_eq!(output.status.code(), Some(5));
    assert!(told(&output).contains("passed 3, dropped frame_too_long 2"), "{}", told(&output));
    let script =
        "listen out.pcap; $weir replay in.pcap -i va --speed topspeed --too-long truncate || exit 1; hear";
    let output = lab(home.path(), script).unwrap();
    assert!(told(&output).contains("2 sent without their end"), "{}", told(&output));
    let lengths: Vec<_> = read(&home.path().join("out.pcap")).iter().map(|(_, d)| d.len()).collect();
    assert_eq!(lengths, [60, 1_514, 1_514, 1_514, 60]);

    let ppp = [vec![0xff, 3, 0, 0x21, 0x45]];
    capture(&home.path().join("ppp.pcap"), LinkType::PPP, &ppp);
    let output = lab(home.path(), "$weir replay ppp.pcap -i va").unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(told(&output).contains("link_not_carried 1"), "{}", told(&output));
    capture(&home.path().join("raw.pcap"), LinkType::RAW, &[vec![0x45; 40]]);
    let script = "listen raw-out.pcap; $weir replay raw.pcap -i va || exit 1; hear";
    assert!(told(&lab(home.path(), script).unwrap()).contains("1 given an Ethernet header"));
    let got = read(&home.path().join("raw-out.pcap"));
    assert_eq!((&got[0].1[12..14], &got[0].1[14..54]), (&[8, 0][..], &[0x45; 40][..]));
}

#[test]
fn a_live_stream_is_played_as_it_comes() {
    let home = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..20).map(|i| frame(i, 100)).collect();
    capture(&home.path().join("in.pcap"), LinkType::ETHERNET, &frames);
    // tcpdump on one pair, replay onto another: what the seed of all cloud taps does.
    let script = "
        ip link add vc type veth peer name vd
        ip link set vc addrgenmode none up; ip link set vd addrgenmode none up
        tcpdump --immediate-mode -i vd -U -w - 2> tap.log | $weir replay - -i va > replay.log 2>&1 & chain=$!
        while ! grep -q 'listening on' tap.log; do sleep 0.02; done
        listen out.pcap
        $weir replay in.pcap -i vc -q || exit 1
        hear 20
        ip link del vc
        wait $chain; cat replay.log";
    let Some(output) = lab(home.path(), script) else { return };
    let got = read(&home.path().join("out.pcap"));
    assert_eq!(got.len(), 20, "{}", told(&output));
    assert!(got.iter().map(|(_, data)| data).eq(&frames));
}

#[test]
fn an_interface_that_goes_down_ends_the_replay_and_every_frame_is_accounted_for() {
    let home = tempfile::tempdir().unwrap();
    let frames: Vec<_> = (0..100).map(|i| frame(i, 100)).collect();
    capture(&home.path().join("in.pcap"), LinkType::ETHERNET, &frames);
    let script = "
        $weir replay in.pcap -i va --loop 0 > replay.log 2>&1 & replay=$!
        until_so '[ $(count va TX) -gt 0 ]'; ip link set va down
        wait $replay; code=$?
        cat replay.log; exit $code";
    let Some(output) = lab(home.path(), script) else { return };
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    let told = told(&output);
    assert!(told.contains("va: cannot send: Network is down"), "{told}");
    assert!(told.contains("send_failed") && told.contains("ledger: balances"), "{told}");
}

#[test]
fn a_signal_ends_the_replay_with_its_summary() {
    let home = tempfile::tempdir().unwrap();
    capture(&home.path().join("in.pcap"), LinkType::ETHERNET, &[frame(0, 60), frame(1, 60)]);
    let script = "
        $weir replay in.pcap -i va --loop 0 > replay.log 2>&1 & replay=$!
        until_so '[ $(count va TX) -gt 0 ]'; kill $replay
        wait $replay; code=$?
        cat replay.log; exit $code";
    let Some(output) = lab(home.path(), script) else { return };
    assert!(output.status.success() && told(&output).contains("ledger: balances"), "{}", told(&output));
}

#[test]
fn mistakes_have_their_exit_codes_and_say_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let weir = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let output = command.current_dir(home.path()).arg("replay").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = weir(&["x.pcap", "-i", "lo", "--speed", "fast"]);
    assert!(code == Some(2) && said.contains("\"fast\" is no speed"), "{said}");
    let (code, said) = weir(&["-", "-i", "lo", "--loop", "2"]);
    assert!(code == Some(2) && said.contains("only once"), "{said}");
    // Without root it is the packet socket that cannot be opened.
    let (code, said) = weir(&["x.pcap", "-i", "no-such-if"]);
    assert!(code == Some(5) && said.starts_with("weir: no-such-if: cannot "), "{said}");
    let (code, said) = weir(&["x.pcap", "-i", "lo"]);
    assert!(code == Some(3) && said.contains("x.pcap") || code == Some(5), "{said}");
}
