//! Taps and tenants from the wire to the logs: tunnels as clouds, switches and taps of weir send them, to sockets on loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use weir_lab::{Process, ledger, logs};
use weir_wire::Time;
use weir_wire::tunnel::{Origin, TunnelHead};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const ETHERNET: u16 = 0x6558;

/// A datagram of 10.0.0.1 to 10.0.0.2 in an Ethernet frame; `id` tells packets apart.
fn frame(id: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 32, 0, id, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x10, 0, 0x20, 0, 0, 12, 0, 0, b't', b'e', b's', id]);
    frame
}

/// A port that nobody has.
fn free() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts a sensor for VXLAN and GENEVE at two ports, runs `work`, and ends the sensor, whose ledger has to balance.
fn sensed(home: &Path, options: &[&str], work: impl FnOnce(u16, u16)) -> serde_json::Value {
    let (vxlan, geneve) = (free(), free());
    let mut command = Command::new(WEIR);
    command.args([
        "sense",
        "--vxlan",
        &format!("127.0.0.1:{vxlan}"),
        "--geneve",
        &format!("127.0.0.1:{geneve}"),
    ]);
    command.args(["-w", "2", "-l"]).arg(home.join("logs")).arg("--ledger").arg(home.join("ledger.json"));
    command.args(options).stdin(Stdio::null());
    // Logs are written by a user without privileges.
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut sensor = Process::start(command, &home.join("sense.log"));
    sensor.await_said("listening on");
    work(vxlan, geneve);
    let (status, said) = sensor.stop();
    assert!(status.success(), "{said}");
    ledger(&home.join("ledger.json"))
}

/// The rows of a log as columns by name.
fn columns(home: &Path, log: &str, wanted: &[&str]) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(home.join("logs").join(log)).unwrap();
    let fields: Vec<_> =
        text.lines().find_map(|line| line.strip_prefix("#fields\t")).unwrap().split('\t').collect();
    let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let cells: Vec<_> = line.split('\t').collect();
        let cell = |name: &&str| cells[fields.iter().position(|f| f == name).unwrap()].to_owned();
        wanted.iter().map(cell).collect()
    });
    rows.collect()
}

fn hop<'a>(ledger: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    ledger["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == name).unwrap()
}

#[test]
fn both_ends_of_a_connection_make_one_record_that_names_both_taps_and_the_tenant() {
    let home = tempfile::tempdir().unwrap();
    let rules = "default = \"other\"\n[[tap]]\nname = \"web-1\"\nvni = [100]\n[[tenant]]\nname = \"blue\"\nvni = [\"100-101\"]\n";
    std::fs::write(home.path().join("tenants.toml"), rules).unwrap();
    let file = home.path().join("tenants.toml");
    let options = ["--tenants", file.to_str().unwrap(), "--with", "tap,tenant", "--dedup"];
    let ledger = sensed(home.path(), &options, |vxlan, _| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for id in 1..=20 {
            for vni in [100, 101] {
                let datagram = [TunnelHead::vxlan(vni).bytes(), &frame(id)].concat();
                socket.send_to(&datagram, ("127.0.0.1", vxlan)).unwrap();
            }
        }
    });
    let all = columns(home.path(), "conn.log", &["id.orig_h", "orig_pkts", "taps", "tenant"]);
    let inner: Vec<_> = all.iter().filter(|row| row[0] == "10.0.0.1").collect();
    assert_eq!(inner.len(), 1, "{all:?}");
    assert_eq!(inner[0][1..], ["20", "web-1,127.0.0.1/101", "blue"]);
    assert_eq!(hop(&ledger, "analyse")["dropped"]["duplicate"]["frames"], 20);
    assert_eq!(ledger["balances"], true);
}

#[test]
fn without_the_options_logs_have_zeeks_columns_and_two_tenants_are_two_connections_only_by_a_file() {
    let home = tempfile::tempdir().unwrap();
    sensed(home.path(), &[], |vxlan, _| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for vni in [100, 200] {
            let datagram = [TunnelHead::vxlan(vni).bytes(), &frame(1)].concat();
            socket.send_to(&datagram, ("127.0.0.1", vxlan)).unwrap();
        }
    });
    let text = std::fs::read_to_string(home.path().join("logs/conn.log")).unwrap();
    assert!(text.lines().any(|line| line.ends_with("\ttunnel_parents\tip_proto")), "{text}");
    let rows = logs(&home.path().join("logs"), &[])["conn.log"].clone();
    assert_eq!(rows.iter().filter(|row| row.contains("\t10.0.0.1\t")).count(), 1);
}

#[test]
fn what_a_tap_sent_and_did_not_arrive_is_counted_exactly_and_garbage_is_counted_too() {
    let home = tempfile::tempdir().unwrap();
    let ledger = sensed(home.path(), &[], |vxlan, geneve| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sent = (0..1000_u64).filter(|n| n % 10 != 3);
        for sequence in sent {
            let time = Time(0);
            let inner = frame((sequence % 200) as u8);
            let origin = Origin { tap: 7, source: 0, epoch: 1, sequence, wire_len: inner.len() as u32, time };
            let head = TunnelHead::geneve(ETHERNET, 5, &origin.emit());
            socket.send_to(&[head.bytes(), &inner].concat(), ("127.0.0.1", geneve)).unwrap();
        }
        for port in [vxlan, geneve] {
            for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0xff; 40], &[0]] {
                socket.send_to(garbage, ("127.0.0.1", port)).unwrap();
            }
        }
    });
    let sender = &ledger["senders"][0];
    assert_eq!((&sender["received"], &sender["lost"]), (&900.into(), &100.into()), "{sender}");
    let carried = hop(&ledger, "carried");
    assert_eq!(carried["dropped"]["lost_on_way"]["frames"], 100);
    assert_eq!(carried["passed"], hop(&ledger, "tap")["entered"]);
    let malformed = hop(&ledger, "tap")["dropped"]["malformed_tunnel"]["frames"].as_u64().unwrap();
    assert!((4..=6).contains(&malformed), "{malformed}");
    assert_eq!(ledger["balances"], true);
}
