//! The names that logs give to the numbers of DNS: types, classes, response codes, operation codes.
//!
//! Zeek: scripts/base/protocols/dns/consts.zeek; IANA "dns-parameters". Numbers without a name stay numbers, with a
//! word before them.

use weir_record::Text;

fn named(name: Option<&'static str>, prefix: &str, number: u16) -> Text {
    name.map_or_else(|| Text::from(format!("{prefix}-{number}")), Text::from)
}

/// The name of a record or query type.
pub fn qtype(number: u16) -> Text {
    named(low_type(number).or_else(|| high_type(number)), "query", number)
}

#[rustfmt::skip]
/// The types 0 to 65, at their number.
const LOW: [&str; 66] = [
    "",
    "A",
    "NS",
    "MD",
    "MF",
    "CNAME",
    "SOA",
    "MB",
    "MG",
    "MR",
    "NULL",
    "WKS",
    "PTR",
    "HINFO",
    "MINFO",
    "MX",
    "TXT",
    "RP",
    "AFSDB",
    "X25",
    "ISDN",
    "RT",
    "NSAP",
    "NSAP-PTR",
    "SIG",
    "KEY",
    "PX",
    "GPOS",
    "AAAA",
    "LOC",
    "NXT",
    "EID",
    "NIMLOC",
    "SRV",
    "ATMA",
    "NAPTR",
    "KX",
    "CERT",
    "A6",
    "DNAME",
    "SINK",
    "OPT",
    "APL",
    "DS",
    "SSHFP",
    "IPSECKEY",
    "RRSIG",
    "NSEC",
    "DNSKEY",
    "DHCID",
    "NSEC3",
    "NSEC3PARAM",
    "TLSA",
    "SMIMEA",
    "",
    "HIP",
    "NINFO",
    "RKEY",
    "TALINK",
    "CDS",
    "CDNSKEY",
    "OPENPGPKEY",
    "CSYNC",
    "ZONEMD",
    "SVCB",
    "HTTPS",
];

fn low_type(number: u16) -> Option<&'static str> {
    LOW.get(usize::from(number)).copied().filter(|name| !name.is_empty())
}

fn high_type(number: u16) -> Option<&'static str> {
    Some(match number {
        99 => "SPF",
        100 => "UINFO",
        101 => "UID",
        102 => "GID",
        103 => "UNSPEC",
        104 => "NID",
        105 => "L32",
        106 => "L64",
        107 => "LP",
        108 => "EUI48",
        109 => "EUI64",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        253 => "MAILB",
        254 => "MAILA",
        255 => "*",
        256 => "URI",
        257 => "CAA",
        32768 => "TA",
        32769 => "DLV",
        65281 => "WINS",
        65282 => "WINS-R",
        65422 => "XPF",
        65521 => "INTEGRITY",
        _ => return None,
    })
}

/// The name of a class.
pub fn class(number: u16) -> Text {
    let name = match number {
        1 => Some("C_INTERNET"),
        2 => Some("C_CSNET"),
        3 => Some("C_CHAOS"),
        4 => Some("C_HESIOD"),
        254 => Some("C_NONE"),
        255 => Some("C_ANY"),
        _ => None,
    };
    named(name, "qclass", number)
}

/// The name of a response code.
pub fn rcode(number: u16) -> Text {
    /// The codes 0 to 23, at their number.
    const CODES: [&str; 24] = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSet",
        "NOTAUTH",
        "NOTZONE",
        "unassigned-11",
        "unassigned-12",
        "unassigned-13",
        "unassigned-14",
        "unassigned-15",
        "BADVERS",
        "BADKEY",
        "BADTIME",
        "BADMODE",
        "BADNAME",
        "BADALG",
        "BADTRUNC",
        "BADCOOKIE",
    ];
    named(CODES.get(usize::from(number)).copied(), "rcode", number)
}

/// The name of an operation code; the NetBIOS name service has names of its own.
pub fn opcode(number: u8, netbios: bool) -> Text {
    let name = match (netbios, number) {
        (false, 0) => Some("query"),
        (false, 1) => Some("iquery"),
        (false, 2) => Some("server-status"),
        (false, 4) => Some("notify"),
        (false, 5) => Some("dynamic-update"),
        (false, 6) => Some("dso"),
        (true, 0) => Some("netbios-query"),
        (true, 5) => Some("netbios-registration"),
        (true, 6) => Some("netbios-release"),
        (true, 7) => Some("netbios-wack"),
        (true, 8) => Some("netbios-refresh"),
        _ => None,
    };
    named(name, if netbios { "netbios-opcode" } else { "opcode" }, u16::from(number))
}

/// The NetBIOS name that a first-level encoded name stands for (RFC 1001, 14.1): each byte is two letters from A to
/// P. The sixteenth byte is the name's type and no part of it; padding is cut off. `None` where `name` is not such a
/// name, or stands for nothing.
pub fn netbios(name: &[u8]) -> Option<Vec<u8>> {
    /// Bytes of a NetBIOS name without its type.
    const LONGEST: usize = 15;
    let nibble = |letter: &u8| match letter.to_ascii_uppercase() {
        upper @ b'A'..=b'P' => Some(upper - b'A'),
        _ => None,
    };
    let mut decoded = Vec::with_capacity(LONGEST);
    for pair in name.chunks_exact(2).take(LONGEST) {
        let [high, low] = pair else { break };
        let byte = (nibble(high)? << 4) | nibble(low)?;
        // Some names begin or end with bytes 1 and 2 (the browser's __MSBROWSE__); other control bytes end a name.
        if byte > 2 && !(0x20..0x7f).contains(&byte) {
            break;
        }
        decoded.push(byte);
    }
    while matches!(decoded.last(), Some(b' ' | 0)) {
        decoded.pop();
    }
    (!decoded.is_empty()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_names_that_zeek_gives_them() {
        assert_eq!(qtype(1), Text::from("A"));
        assert_eq!(qtype(28), Text::from("AAAA"));
        assert_eq!(qtype(33), Text::from("SRV"));
        assert_eq!(qtype(52), Text::from("TLSA"));
        assert_eq!(qtype(53), Text::from("SMIMEA"));
        assert_eq!(qtype(55), Text::from("HIP"));
        assert_eq!(qtype(65), Text::from("HTTPS"));
        assert_eq!(qtype(255), Text::from("*"));
        assert_eq!(class(1), Text::from("C_INTERNET"));
        assert_eq!(rcode(8), Text::from("NXRRSet"));
        assert_eq!(rcode(23), Text::from("BADCOOKIE"));
        assert_eq!(opcode(5, false), Text::from("dynamic-update"));
        assert_eq!(opcode(5, true), Text::from("netbios-registration"));
    }

    #[test]
    fn numbers_without_a_name_stay_numbers() {
        assert_eq!(qtype(54), Text::from("query-54"));
        assert_eq!(qtype(0), Text::from("query-0"));
        assert_eq!(qtype(65534), Text::from("query-65534"));
        assert_eq!(class(7), Text::from("qclass-7"));
        assert_eq!(opcode(9, true), Text::from("netbios-opcode-9"));
        assert_eq!(opcode(3, false), Text::from("opcode-3"));
    }

    #[test]
    fn a_netbios_name_is_decoded_without_its_padding_and_type() {
        let decoded = |s: &str| netbios(s.as_bytes()).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(decoded("ejfdebfeebfacacacacacacacacacaaa").as_deref(), Some("ISATAP"));
        assert_eq!(decoded("fhepfcelehfcepfffacacacacacacabl").as_deref(), Some("WORKGROUP"));
        assert_eq!(
            decoded("abacfpfpenfdecfcepfhfdeffpfpacab").as_deref(),
            Some("\u{1}\u{2}__MSBROWSE__\u{2}")
        );
        assert_eq!(decoded("ckaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").as_deref(), Some("*"));
        assert_eq!(decoded("www.example.com"), None);
        assert_eq!(decoded(""), None);
    }
}
