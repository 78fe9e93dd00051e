//! The captures of the golden tests, by name. Each shows one kind of traffic, and is as small as that can be.

use weir_wire::LinkType;

use super::Trace;
use super::messages::{
    answer, client_hello, counted, extension, gzip, message, name, query, record, server_hello,
};
use super::packet::{
    Ends, datagram6, ethernet, host, icmp, icmp6, ipv4, ipv4_part, ipv6, over_ethernet, udp, udp6,
};
use super::tcp::{ACK, FIN, RST, SYN, Talk};

/// Every golden capture with its name.
pub fn all() -> Vec<(&'static str, Trace)> {
    vec![
        ("tcp", tcp()),
        ("http", http()),
        ("dns", dns()),
        ("tls", tls()),
        ("ssh", ssh()),
        ("icmp", icmp_kinds()),
        ("fragments", fragments()),
        ("extension-headers", extension_headers()),
        ("links", links()),
        ("tunnels", tunnels()),
        ("many-protocols-mixed", mixed()),
    ]
}

const REQUEST: &[u8] = b"GET /page HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: weir-test\r\n\r\n";
const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 26\r\n\r\n<html><p>river</p></html>\n";

const A_TO_B: Ends = [[10, 0, 0, 2], [10, 0, 0, 1]];

fn tcp() -> Trace {
    let mut trace = Trace::default();
    let (one, two) = REPLY.split_at(40);
    let request = |client| {
        let mut talk = Talk::open(client, 80);
        talk.say(0, REQUEST);
        talk
    };
    // Sent again, also in other pieces.
    let mut again = request(2);
    let at = again.next[1];
    again.data(1, one);
    again.raw(1, at, ACK, one);
    again.raw(1, at.wrapping_add(20), ACK, &REPLY[20..60]);
    again.say(1, two);
    trace.all(again.close());
    // Out of order.
    let mut swapped = request(3);
    swapped.data(1, one);
    swapped.data(1, two);
    let last = swapped.packets.len() - 1;
    swapped.packets.swap(last, last - 1);
    trace.all(swapped.close());
    // The same place with other bytes.
    let mut overlap = request(4);
    let at = overlap.next[1];
    overlap.next[1] = at.wrapping_add(one.len() as u32);
    overlap.data(1, two);
    overlap.raw(1, at.wrapping_add(10), ACK, b"other bytes than those which come for this place then");
    overlap.raw(1, at, ACK, one);
    trace.all(overlap.close());
    // A hole that is acknowledged.
    let mut gap = request(5);
    gap.data(1, one);
    gap.lose(1, 10);
    gap.say(1, &two[10..]);
    trace.all(gap.close());
    trace.all(odd_states());
    trace
}

/// Connections that do not begin and end as they should.
fn odd_states() -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    // Sequence numbers begin again at 0 within the request.
    let mut wrap = Talk::at(6, [40_006, 80], [u32::MAX - 20, u32::MAX - 5]);
    wrap.handshake();
    wrap.say(0, REQUEST);
    wrap.say(1, REPLY);
    packets.extend(wrap.close());
    // Nobody answers; one refuses; both open at once.
    let mut silent = Talk::new(7, [40_007, 81]);
    silent.flags(0, SYN);
    packets.extend(silent.packets);
    let mut refused = Talk::new(8, [40_008, 81]);
    refused.flags(0, SYN);
    refused.flags(1, RST | ACK);
    packets.extend(refused.packets);
    let mut both = Talk::new(9, [40_009, 82]);
    both.flags(0, SYN);
    both.flags(1, SYN);
    both.raw(0, 1000, SYN | ACK, b"");
    both.raw(1, 5000, SYN | ACK, b"");
    packets.extend(both.close());
    // The end of one that began before the capture; a reset in the middle; keep-alives; one side only.
    let mut half = Talk::at(10, [40_010, 83], [7000, 9000]);
    half.say(1, b"the rest of something");
    packets.extend(half.close());
    let mut reset = Talk::open(11, 80);
    reset.say(0, REQUEST);
    reset.flags(1, RST | ACK);
    packets.extend(reset.packets);
    let mut kept = Talk::open(12, 84);
    for _ in 0..2 {
        let at = kept.next[0].wrapping_sub(1);
        kept.raw(0, at, ACK, b"\0");
        kept.flags(1, ACK);
    }
    packets.extend(kept.packets);
    let mut one_sided = Talk::open(13, 80);
    one_sided.packets.remove(1);
    one_sided.data(0, REQUEST);
    one_sided.flags(0, FIN | ACK);
    packets.extend(one_sided.packets);
    packets
}

fn exchange(client: u8, port: u16, said: &[(usize, &[u8])]) -> Vec<Vec<u8>> {
    let mut talk = Talk::open(client, port);
    for (side, bytes) in said {
        talk.say(*side, bytes);
    }
    talk.close()
}

fn http() -> Trace {
    let mut trace = Trace::default();
    let page = gzip(b"<html><body>packed</body></html>");
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
    let half = page.len() / 2;
    let chunk = |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
    let packed = [&head[..], &chunk(&page[..half]), &chunk(&page[half..]), b"0\r\n\r\n"].concat();
    trace.all(exchange(2, 80, &[(0, REQUEST), (1, &packed)]));
    let head = b"HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n";
    let three = [REQUEST, &head[..], REQUEST].concat();
    let replies =
        [REPLY, b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n"]
            .concat();
    trace.all(exchange(3, 8080, &[(0, &three), (1, &replies)]));
    let post = b"POST /up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99\r\n\
        Content-Type: multipart/form-data; boundary=b\r\n\r\n";
    let form = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nfirst of the form's parts\r\n--b--\r\n\r\n";
    let made = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    trace.all(exchange(
        4,
        80,
        &[(0, post), (1, b"HTTP/1.1 100 Continue\r\n\r\n"), (0, &form[..99]), (1, made)],
    ));
    let range =
        b"GET /part HTTP/1.1\r\nHost: h\r\nRange: bytes=2-5\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n";
    let part =
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-5/10\r\nContent-Length: 4\r\n\r\ncdef";
    trace.all(exchange(5, 80, &[(0, range), (1, part)]));
    let connect = b"CONNECT www.example.test:80 HTTP/1.1\r\nHost: www.example.test:80\r\n\r\n";
    let connected = b"HTTP/1.1 200 Connection established\r\n\r\n";
    trace.all(exchange(6, 3128, &[(0, connect), (1, connected), (0, REQUEST), (1, REPLY)]));
    let upgrade = b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    trace.all(exchange(7, 80, &[(0, upgrade), (1, upgraded), (1, &[0x81, 2, b'h', b'i'])]));
    trace.all(exchange(8, 80, &[(1, REPLY)]));
    trace.all(exchange(
        9,
        80,
        &[(0, b"GET / HTTP/1.0\r\n\r\n"), (1, b"HTTP/1.0 200 OK\r\n\r\nuntil the end")],
    ));
    trace.all(exchange(10, 80, &[(0, b"\x00\x01\x02 no HTTP at all \xff\r\n\r\n"), (1, b"neither\r\n")]));
    trace
}

fn dns() -> Trace {
    let mut trace = Trace::default();
    let (there, back): (Ends, Ends) = (A_TO_B, [host(1), host(2)]);
    let texts = [counted(1, b"weir"), counted(1, b"with \xff and \t")].concat();
    let kinds: [(&str, u16, Vec<Vec<u8>>); 8] = [
        ("www.example.test", 1, vec![answer(5, &name("cdn.example.test")), answer(1, &[192, 0, 2, 1])]),
        ("www.example.test", 28, vec![answer(28, &super::packet::host6(9))]),
        ("example.test", 15, vec![answer(15, &[&[0, 10][..], &name("mx.example.test")].concat())]),
        ("example.test", 16, vec![answer(16, &texts)]),
        (
            "_sip._udp.example.test",
            33,
            vec![answer(33, &[&[0, 1, 0, 2, 0x13, 0xc4][..], &name("sip.test")].concat())],
        ),
        ("1.2.0.192.in-addr.arpa", 12, vec![answer(12, &name("www.example.test"))]),
        ("example.test", 6, vec![answer(6, &[&name("ns.test")[..], &name("root.test"), &[0; 20]].concat())]),
        ("example.test", 65, vec![answer(65, &[&[0, 1, 0][..], &[0, 1, 0, 3, 2, b'h', b'2']].concat())]),
    ];
    for (id, (labels, kind, answers)) in (100..).zip(kinds) {
        trace.ip(&udp(there, [5000 + id, 53], &query(id, labels, kind)));
        trace.ip(&udp(back, [53, 5000 + id], &message(id, 0x8180, labels, kind, &answers)));
    }
    // No such name; refused; no answer at all; an answer to nothing; what is no DNS.
    for (id, flags) in [(200, 0x8183), (201, 0x8185)] {
        trace.ip(&udp(there, [6000 + id, 53], &query(id, "missing.example.test", 1)));
        trace.ip(&udp(back, [53, 6000 + id], &message(id, flags, "missing.example.test", 1, &[])));
    }
    trace.ip(&udp(there, [6300, 53], &query(300, "silent.example.test", 1)));
    trace.ip(&udp(
        back,
        [53, 6301],
        &message(301, 0x8180, "alone.example.test", 1, &[answer(1, &[192, 0, 2, 9])]),
    ));
    trace.ip(&udp(there, [6302, 53], b"no DNS"));
    // Several messages over TCP; several of one connection; mDNS, LLMNR and NetBIOS.
    let ask = counted(2, &query(400, "www.example.test", 1));
    let tell = counted(2, &message(400, 0x8180, "www.example.test", 1, &[answer(1, &[192, 0, 2, 1])]));
    let twice = [&ask[..], &counted(2, &query(401, "two.example.test", 28))].concat();
    trace.all(exchange(2, 53, &[(0, &twice), (1, &tell[..9]), (1, &tell[9..])]));
    trace.ip(&udp([host(2), [224, 0, 0, 251]], [5353, 5353], &query(0, "printer.local", 12)));
    trace.ip(&udp6([2, 3], [5355, 5355], &query(7, "name", 28)));
    let netbios = [&counted(1, b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")[..], &[0, 0, 33, 0, 1]].concat();
    let header = [1, 0x0110, 1, 0, 0, 0].map(u16::to_be_bytes).concat();
    trace.ip(&udp([host(2), [10, 0, 0, 255]], [137, 137], &[header, netbios].concat()));
    trace
}

fn tls() -> Trace {
    let mut trace = Trace::default();
    let (change, sealed) = (record(20, &[1]), record(22, &[6; 40]));
    let data = record(23, &[9; 100]);
    // Resumed by its session; TLS 1.3 with its share; refused; hello alone; another port.
    let resumed = [&server_hello(&[7; 32], [0xc0, 0x2f], &[])[..], &change, &sealed].concat();
    let finished = [&change[..], &sealed].concat();
    let hello = client_hello("resumed.example.test", &[7; 32], &[]);
    let close = record(21, &[6; 26]);
    trace.all(exchange(
        2,
        443,
        &[(0, &hello), (1, &resumed), (0, &finished), (0, &data), (1, &data), (0, &close)],
    ));
    let alpn = extension(16, &counted(2, &[counted(1, b"h2"), counted(1, b"http/1.1")].concat()));
    let versions = extension(43, &counted(1, &[3, 4, 3, 3]));
    let share = extension(51, &counted(2, &[&[0, 29][..], &counted(2, &[8; 32])].concat()));
    let hello = client_hello("new.example.test", &[2; 32], &[&alpn[..], &versions, &share].concat());
    let chosen =
        [extension(43, &[3, 4]), extension(51, &[&[0, 29][..], &counted(2, &[8; 32])].concat())].concat();
    let server = [&server_hello(&[2; 32], [0x13, 1], &chosen)[..], &change, &data].concat();
    trace.all(exchange(
        3,
        8443,
        &[(0, &hello), (1, &server), (0, &[&change[..], &data].concat()), (1, &data)],
    ));
    let hello = client_hello("refused.example.test", &[], &[]);
    trace.all(exchange(4, 443, &[(0, &hello), (1, &record(21, &[2, 40]))]));
    trace.all(exchange(5, 443, &[(0, &client_hello("alone.example.test", &[], &[]))]));
    trace.all(exchange(6, 443, &[(0, b"GET / HTTP/1.1\r\n\r\n"), (1, b"HTTP/1.1 400 Bad Request\r\n\r\n")]));
    trace
}

fn ssh() -> Trace {
    let mut trace = Trace::default();
    let lists = [
        "curve25519-sha256",
        "ssh-ed25519",
        "aes128-ctr",
        "aes128-ctr",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none",
        "none",
        "",
        "",
    ];
    let lists: Vec<u8> = lists.iter().flat_map(|list| counted(4, list.as_bytes())).collect();
    let body = [&[20][..], &[5; 16], &lists, &[0; 5]].concat();
    let padding = 8 - (body.len() + 5) % 8 + 8;
    let packet = counted(4, &[&[padding as u8][..], &body, &vec![0; padding]].concat());
    let (client, server) = (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"SSH-2.0-dropbear_2022.83\r\n");
    trace.all(exchange(2, 22, &[(0, client), (1, server), (0, &packet), (1, &packet)]));
    trace.all(exchange(3, 2222, &[(1, server), (0, client)]));
    trace.all(exchange(4, 22, &[(1, b"SSH-1.99-old\n"), (0, b"SSH-1.5-older\n")]));
    trace
}

fn icmp_kinds() -> Trace {
    let mut trace = Trace::default();
    let (there, back): (Ends, Ends) = (A_TO_B, [host(1), host(2)]);
    for sequence in 1..3 {
        let echo = [&[0x12, 0x34, 0, sequence][..], b"payload"].concat();
        trace.ip(&icmp(there, 8, 0, &echo));
        trace.ip(&icmp(back, 0, 0, &echo));
    }
    let quoted = udp(there, [5000, 9], b"to nobody");
    trace.ip(&quoted);
    trace.ip(&icmp(back, 3, 3, &[&[0; 4][..], &quoted].concat()));
    trace.ip(&icmp(back, 11, 0, &[&[0; 4][..], &quoted[..28]].concat()));
    trace.ip(&icmp(there, 13, 0, &[0; 16]));
    let echo = [&[0, 1, 0, 1][..], b"six"].concat();
    trace.ip(&icmp6([2, 1], 128, 0, &echo));
    trace.ip(&icmp6([1, 2], 129, 0, &echo));
    let target = super::packet::host6(1);
    trace.ip(&icmp6([2, 1], 135, 0, &[&[0; 4][..], &target].concat()));
    trace.ip(&icmp6([1, 2], 136, 0, &[&[0x60, 0, 0, 0][..], &target].concat()));
    let quoted = udp6([2, 1], [5000, 9], b"to nobody");
    trace.ip(&icmp6([1, 2], 1, 4, &[&[0; 4][..], &quoted].concat()));
    trace
}

/// A reply of DNS that is long enough for several fragments.
fn long_reply(id: u16) -> Vec<u8> {
    let answers: Vec<_> = (0..30).map(|i| answer(1, &[192, 0, 2, i])).collect();
    message(id, 0x8180, "long.example.test", 1, &answers)
}

fn fragments() -> Trace {
    let mut trace = Trace::default();
    let back: Ends = [host(1), host(2)];
    let whole = |id: u16| udp(back, [53, 5000 + id], &long_reply(id))[20..].to_vec();
    let part = |id: u16, from: usize, to: usize| {
        let bytes = whole(id);
        let to = to.min(bytes.len());
        ipv4_part(17, back, (id, (from / 8) as u16, to < bytes.len()), &bytes[from..to])
    };
    let ask = |trace: &mut Trace, id: u16| {
        trace.ip(&udp(A_TO_B, [5000 + id, 53], &query(id, "long.example.test", 1)));
    };
    // In order, backwards, overlapping, and with one that never comes.
    let orders: [&[(usize, usize)]; 4] = [
        &[(0, 200), (200, 400), (400, 999)],
        &[(400, 999), (200, 400), (0, 200)],
        &[(0, 208), (160, 400), (400, 999), (0, 64)],
        &[(0, 200), (400, 999)],
    ];
    for (id, parts) in (1..).zip(orders) {
        ask(&mut trace, id);
        for (from, to) in parts {
            trace.ip(&part(id, *from, *to));
        }
    }
    // Too short to be one, and one that would be longer than any packet.
    trace.ip(&ipv4_part(17, back, (9, 0, true), &[1; 4]));
    trace.ip(&ipv4_part(17, back, (10, 0x1fff, false), &[1; 64]));
    // IPv6: two parts with their headers.
    let bytes = datagram6([1, 2], [53, 5005], &long_reply(5));
    trace.ip(&udp6([2, 1], [5005, 53], &query(5, "long.example.test", 1)));
    for (from, to, more) in [(0, 256, 1u16), (256, bytes.len(), 0)] {
        let header = [&[17, 0][..], &(from as u16 | more).to_be_bytes(), &[0, 0, 0, 5]].concat();
        trace.ip(&ipv6(44, [1, 2], &[&header[..], &bytes[from..to]].concat()));
    }
    trace.wait(90);
    ask(&mut trace, 99);
    trace
}

fn extension_headers() -> Trace {
    let mut trace = Trace::default();
    let inner = |id| datagram6([2, 1], [5000 + id, 53], &query(id, "behind.example.test", 28));
    let options = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8| [&[next, 2, 0, 0, 0, 0, 0, 0][..], &super::packet::host6(7)].concat();
    let authentication = |next: u8| [&[next, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], &[0; 12]].concat();
    trace.ip(&ipv6(0, [2, 1], &[options(17), inner(1)].concat()));
    trace.ip(&ipv6(60, [2, 1], &[options(17), inner(2)].concat()));
    trace.ip(&ipv6(43, [2, 1], &[routing(17), inner(3)].concat()));
    trace.ip(&ipv6(51, [2, 1], &[authentication(17), inner(4)].concat()));
    trace.ip(&ipv6(0, [2, 1], &[options(43), routing(60), options(17), inner(5)].concat()));
    trace.ip(&ipv6(50, [2, 1], &[1; 40]));
    trace.ip(&ipv6(59, [2, 1], b""));
    // An atomic fragment, one header that is cut, and more headers than anybody sends.
    trace.ip(&ipv6(44, [2, 1], &[vec![17, 0, 0, 0, 0, 0, 0, 9], inner(6)].concat()));
    trace.ip(&ipv6(0, [2, 1], &[17, 9, 1, 4]));
    let many: Vec<u8> = (0..40).flat_map(|_| options(60)).collect();
    trace.ip(&ipv6(60, [2, 1], &[many, options(17), inner(7)].concat()));
    trace
}

/// A query that shows where it was found.
fn asks(number: u8) -> Vec<u8> {
    udp(
        [host(100 + number), host(1)],
        [5300, 53],
        &query(u16::from(number), &format!("way-{number}.test"), 1),
    )
}

fn links() -> Trace {
    let mut trace = Trace::default();
    let mut next = 0;
    let mut ip = || {
        next += 1;
        asks(next)
    };
    let macs = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let mut ether = |kind: u16, before: &[u8], packet: Vec<u8>| {
        trace.ethernet(&ethernet(kind, &[before, &packet].concat()));
    };
    ether(0x0800, &[], ip());
    ether(0x8100, &[0, 7, 8, 0], ip());
    ether(0x88a8, &[0, 8, 0x81, 0, 0, 9, 8, 0], ip());
    ether(0x8847, &[0, 1, 0, 64, 0, 2, 1, 64], ip());
    let packet = ip();
    ether(
        0x8864,
        &[&[0x11, 0, 0, 1][..], &(2 + packet.len() as u16).to_be_bytes(), &[0, 0x21]].concat(),
        packet,
    );
    ether(0x88e7, &[&[0, 0, 0, 1][..], &macs, &[8, 0]].concat(), ip());
    ether(0x8926, &[0, 1, 0, 2, 8, 0], ip());
    ether(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1], vec![2; 20]);
    ether(0x88cc, &[], vec![0; 30]);
    let packet = ip();
    let snap =
        [&macs[..], &(8 + packet.len() as u16).to_be_bytes(), &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &packet]
            .concat();
    trace.ethernet(&snap);
    let wireless = |packet: Vec<u8>| {
        [&[0x08, 1, 0, 0][..], &[2; 18], &[0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &packet].concat()
    };
    let packet = ip();
    let log = [&[2, 0, 0, 0][..], &(4 + packet.len() as u16).to_le_bytes(), &[9, 0], &packet].concat();
    let others = [
        (LinkType::LINUX_SLL, [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &ip()].concat()),
        (LinkType::LINUX_SLL2, [&[8, 0, 0, 0][..], &[0; 16], &ip()].concat()),
        (LinkType::RAW, ip()),
        (LinkType::NULL, [&[2, 0, 0, 0][..], &ip()].concat()),
        (LinkType::LOOP, [&[0, 0, 0, 2][..], &ip()].concat()),
        (LinkType::PPP_SERIAL, [&[0xff, 3, 0, 0x21][..], &ip()].concat()),
        (LinkType::IEEE802_11, wireless(ip())),
        (LinkType::IEEE802_11_RADIO, [&[0, 0, 8, 0, 0, 0, 0, 0][..], &wireless(ip())].concat()),
        (LinkType::PFLOG, [&[61, 2, 0, 0][..], &[0; 60], &ip()].concat()),
        (LinkType::NFLOG, log),
    ];
    for (link, frame) in &others {
        trace.link(*link, frame);
    }
    trace
}

fn tunnels() -> Trace {
    let mut trace = Trace::default();
    let ends: Ends = [[192, 0, 2, 1], [192, 0, 2, 2]];
    let mut next = 0;
    let mut inside = || {
        next += 1;
        asks(next)
    };
    let mut over_udp = |ports: [u16; 2], before: &[u8], inner: Vec<u8>| {
        trace.ip(&udp(ends, ports, &[before, &inner].concat()));
    };
    over_udp([5000, 4789], &[8, 0, 0, 0, 0, 0, 7, 0], over_ethernet(&inside()));
    over_udp([5000, 6081], &[0, 0, 0x65, 0x58, 0, 0, 8, 0], over_ethernet(&inside()));
    // GENEVE with an option of a vendor, and with IP in it.
    over_udp([5000, 6081], &[2, 0, 8, 0, 0, 0, 9, 0, 1, 8, 1, 1, 0, 0, 0, 5], inside());
    let packet = inside();
    over_udp(
        [2152, 2152],
        &[&[0x30, 0xff][..], &(packet.len() as u16).to_be_bytes(), &[0, 0, 0, 1]].concat(),
        packet,
    );
    over_udp([5072, 5072], &[&[0x44, 0x52, 0x11, 4][..], &[0; 40]].concat(), inside());
    // Teredo: what says so itself is confirmed in both directions.
    let six = |id| udp6([2, 1], [5000, 53], &query(id, "teredo.test", 28));
    over_udp([5000, 3544], &[0, 0, 1, 2, 3, 4, 0, 0], six(20));
    over_udp([5000, 3544], &[], six(21));
    let mut over_ip = |protocol: u8, before: &[u8], inner: Vec<u8>| {
        trace.ip(&ipv4(protocol, ends, &[before, &inner].concat()));
    };
    over_ip(47, &[0, 0, 8, 0], inside());
    over_ip(47, &[0x30, 0, 0x65, 0x58, 0, 0, 0, 5, 0, 0, 0, 1], over_ethernet(&inside()));
    let packet = inside();
    let length = (packet.len() as u16 + 4).to_be_bytes();
    over_ip(
        47,
        &[&[0x30, 1, 0x88, 0x0b][..], &length, &[0, 1, 0, 0, 0, 0, 0xff, 3, 0, 0x21]].concat(),
        packet,
    );
    over_ip(47, &[0, 0, 0x88, 0xbe], over_ethernet(&inside()));
    over_ip(47, &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 1, 0, 0, 0, 0], over_ethernet(&inside()));
    over_ip(
        47,
        &[&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1][..], &[0; 8]].concat(),
        over_ethernet(&inside()),
    );
    over_ip(4, &[], inside());
    over_ip(41, &[], six(22));
    // One in the other, and headers that are cut or wrong.
    let vxlan = [&[8, 0, 0, 0, 0, 0, 9, 0][..], &over_ethernet(&inside())].concat();
    over_ip(4, &[], udp([host(50), host(51)], [5000, 4789], &vxlan));
    over_ip(47, &[0x20, 0], vec![]);
    trace.ip(&udp(ends, [5001, 4789], &[0, 0, 0, 0]));
    // Ten deep.
    let deep = (0..10).fold(asks(99), |inner, _| ipv4(4, ends, &inner));
    trace.ip(&deep);
    trace
}

/// Packets of all the others, one of each in turn.
fn mixed() -> Trace {
    let sources = [tcp(), http(), dns(), tls(), ssh(), tunnels()];
    let mut all = Trace::default();
    let longest = sources.iter().map(|trace| trace.frames.len()).max().unwrap_or(0);
    for i in 0..longest {
        for (_, link, frame) in sources.iter().filter_map(|trace| trace.frames.get(i)) {
            all.link(*link, frame);
        }
    }
    all
}
