//! The names of versions, alerts and groups.
//!
//! Promise: numbers have the names that Zeek logs; what Zeek does not know is `unknown-` and its number.
//! Source: IANA's TLS parameters, with Zeek's spellings (scripts/base/protocols/ssl/consts.zeek).

use weir_record::Text;

/// SSL 2.0.
pub const SSL_V2: u16 = 0x0002;
/// SSL 3.0.
pub const SSL_V3: u16 = 0x0300;
/// TLS 1.0.
pub const TLS_V10: u16 = 0x0301;
/// TLS 1.1.
pub const TLS_V11: u16 = 0x0302;
/// TLS 1.2.
pub const TLS_V12: u16 = 0x0303;
/// TLS 1.3.
pub const TLS_V13: u16 = 0x0304;
/// DTLS 1.0.
pub const DTLS_V10: u16 = 0xfeff;
/// DTLS 1.2.
pub const DTLS_V12: u16 = 0xfefd;
/// DTLS 1.3.
pub const DTLS_V13: u16 = 0xfefc;

/// Whether a version is a draft of TLS 1.3; the division is Zeek's.
pub const fn is_draft(version: u16) -> bool {
    version / 0xff == 0x7f
}

/// The name of a version.
pub fn version(version: u16) -> Text {
    match version {
        SSL_V2 => "SSLv2".into(),
        SSL_V3 => "SSLv3".into(),
        TLS_V10 => "TLSv10".into(),
        TLS_V11 => "TLSv11".into(),
        TLS_V12 => "TLSv12".into(),
        TLS_V13 => "TLSv13".into(),
        DTLS_V10 => "DTLSv10".into(),
        DTLS_V12 => "DTLSv12".into(),
        DTLS_V13 => "DTLSv13".into(),
        draft if is_draft(draft) => format!("TLSv13-draft{}", draft % 0x7f).into(),
        other => unknown(u32::from(other)),
    }
}

/// What is not known by name.
pub fn unknown(number: u32) -> Text {
    format!("unknown-{number}").into()
}

/// The name of a number that is reserved to keep implementations tolerant (RFC 8701).
pub fn grease(number: u32) -> Option<Text> {
    let reserved = number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff;
    reserved.then(|| format!("grease_0x{number:04X}").into())
}

/// The name of an alert.
pub fn alert(description: u16) -> Text {
    let name = match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        117 => "general_error",
        120 => "no_application_protocol",
        121 => "ech_required",
        other => return unknown(u32::from(other)),
    };
    name.into()
}

/// The name of a group or curve.
pub fn group(number: u16) -> Text {
    let name = GROUPS.iter().find(|(n, _)| *n == number).map(|(_, name)| Text::from(*name));
    name.or_else(|| grease(u32::from(number))).unwrap_or_else(|| unknown(u32::from(number)))
}

/// The groups, the usual ones first.
const GROUPS: &[(u16, &str)] = &[
    (29, "x25519"),
    (4588, "X25519MLKEM768"),
    (23, "secp256r1"),
    (24, "secp384r1"),
    (25, "secp521r1"),
    (30, "x448"),
    (25497, "X25519Kyber768Draft00"),
    (25498, "SecP256r1Kyber768Draft00"),
    (4587, "SecP256r1MLKEM768"),
    (4589, "SecP384r1MLKEM1024"),
    (4590, "curveSM2MLKEM768"),
    (512, "MLKEM512"),
    (513, "MLKEM768"),
    (514, "MLKEM1024"),
    (256, "ffdhe2048"),
    (257, "ffdhe3072"),
    (258, "ffdhe4096"),
    (259, "ffdhe6144"),
    (260, "ffdhe8192"),
    (1, "sect163k1"),
    (2, "sect163r1"),
    (3, "sect163r2"),
    (4, "sect193r1"),
    (5, "sect193r2"),
    (6, "sect233k1"),
    (7, "sect233r1"),
    (8, "sect239k1"),
    (9, "sect283k1"),
    (10, "sect283r1"),
    (11, "sect409k1"),
    (12, "sect409r1"),
    (13, "sect571k1"),
    (14, "sect571r1"),
    (15, "secp160k1"),
    (16, "secp160r1"),
    (17, "secp160r2"),
    (18, "secp192k1"),
    (19, "secp192r1"),
    (20, "secp224k1"),
    (21, "secp224r1"),
    (22, "secp256k1"),
    (26, "brainpoolP256r1"),
    (27, "brainpoolP384r1"),
    (28, "brainpoolP512r1"),
    (31, "brainpoolP256r1tls13"),
    (32, "brainpoolP384r1tls13"),
    (33, "brainpoolP512r1tls13"),
    (34, "GC256A"),
    (35, "GC256B"),
    (36, "GC256C"),
    (37, "GC256D"),
    (38, "GC512A"),
    (39, "GC512B"),
    (40, "GC512C"),
    (41, "curveSM2"),
    (16696, "CECPQ2"),
    (0xff01, "arbitrary_explicit_prime_curves"),
    (0xff02, "arbitrary_explicit_char2_curves"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_names_and_so_do_drafts() {
        assert_eq!(version(0x0304), "TLSv13".into());
        assert_eq!(version(0x7f12), "TLSv13-draft18".into());
        assert_eq!(version(0xfefc), "DTLSv13".into());
        assert_eq!(version(0x7e01), "unknown-32257".into());
    }

    #[test]
    fn groups_have_names() {
        assert_eq!(group(29), "x25519".into());
        assert_eq!(group(4588), "X25519MLKEM768".into());
        assert_eq!(group(0x3a3a), "grease_0x3A3A".into());
        assert_eq!(group(0x3a4a), "unknown-14922".into());
    }

    #[test]
    fn alerts_have_names() {
        assert_eq!((alert(40), alert(200)), ("handshake_failure".into(), "unknown-200".into()));
    }
}
