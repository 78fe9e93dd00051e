//! Share i of N as a classic BPF filter: the sum of the low words of both addresses, modulo N. Symmetric, by pair of
//! addresses, so fragments and ICMP errors between the same hosts stay with their flow. What is neither IPv4 nor IPv6 is
//! of share 0, so that nothing is lost for all.
//!
//! Source: the formula of Zeek's packet-filter framework (`PacketFilter::sampling_filter`), with the subtraction instead of
//! `%`, which tcpdump's language has since libpcap 1.7 only. A VLAN tag that is in the frame, not beside it, hides
//! the addresses: such frames are of share 0.

/// In tcpdump's language.
pub fn expression(share: u16, of: u16) -> String {
    let modulo = |sum: &str| format!("(({sum}) - ({of} * (({sum}) / {of})) = {share})");
    let four = modulo("ip[14:2] + ip[18:2]");
    let six = modulo("ip6[22:2] + ip6[38:2]");
    let rest = if share == 0 { " or not (ip or ip6)" } else { "" };
    format!("(ip and {four}) or (ip6 and {six}){rest}")
}

/// As the bytecode that `tc filter … bpf bytecode` takes: a count, then `code jt jf k` each (linux/filter.h).
pub fn bytecode(share: u16, of: u16) -> String {
    const LDH_ABS: u16 = 0x28;
    const LDX_MEM: u16 = 0x61;
    const ST: u16 = 0x02;
    const ADD_X: u16 = 0x0c;
    const MOD_K: u16 = 0x94;
    const JA: u16 = 0x05;
    const JEQ_K: u16 = 0x15;
    const RET_K: u16 = 0x06;
    // From the second jeq to the first ret or, where other frames are not of this share, to the second.
    let other = if share == 0 { 7 } else { 8 };
    // Offsets of the low words from the begin of an Ethernet frame: 14 + 14, 14 + 18; 14 + 22, 14 + 38.
    let program = [
        (LDH_ABS, 0, 0, 12),
        (JEQ_K, 0, 4, 0x0800),
        (LDH_ABS, 0, 0, 28),
        (ST, 0, 0, 0),
        (LDH_ABS, 0, 0, 32),
        (JA, 0, 0, 4),
        (JEQ_K, 0, other, 0x86dd),
        (LDH_ABS, 0, 0, 36),
        (ST, 0, 0, 0),
        (LDH_ABS, 0, 0, 52),
        (LDX_MEM, 0, 0, 0),
        (ADD_X, 0, 0, 0),
        (MOD_K, 0, 0, u32::from(of)),
        (JEQ_K, 0, 1, u32::from(share)),
        (RET_K, 0, 0, u32::MAX),
        (RET_K, 0, 0, 0),
    ];
    let lines: Vec<_> = program.iter().map(|(code, t, f, k)| format!("{code} {t} {f} {k}")).collect();
    format!("{},{}", lines.len(), lines.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_but_the_first_leaves_alone_what_is_not_ip() {
        assert!(expression(0, 3).ends_with("or not (ip or ip6)"));
        assert!(!expression(1, 3).contains("not"));
        assert!(bytecode(0, 3).starts_with("16,40 0 0 12,21 0 4 2048,"));
        assert!(bytecode(0, 3).contains("21 0 7 34525") && bytecode(2, 3).contains("21 0 8 34525"));
        assert!(bytecode(2, 3).ends_with("148 0 0 3,21 0 1 2,6 0 0 4294967295,6 0 0 0"));
    }
}
