//! Object identifiers and the names that OpenSSL knows them by.
//!
//! Promise: a name that OpenSSL 3.0 has for an attribute of a distinguished name or for an algorithm is
//! what the logs show; anything else stays a number.
//! Source: OpenSSL's object table (`openssl list -objects`), the arcs that certificates use.

use std::fmt::Write as _;

/// Most arcs of an identifier that are shown; OpenSSL's buffer holds fewer.
const MAX_ARCS: usize = 128;

/// The identifier in dotted numbers. Every arc is kept as 128 bits; what is larger saturates.
pub fn dotted(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len().saturating_mul(3));
    let mut arc: u128 = 0;
    let mut arcs = 0;
    for byte in body {
        arc = arc.checked_mul(128).map_or(u128::MAX, |a| a | u128::from(byte & 0x7f));
        if byte & 0x80 != 0 {
            continue;
        }
        if arcs == 0 {
            let first = (arc / 40).min(2);
            let _ = write!(text, "{first}.{}", arc - first * 40);
        } else {
            let _ = write!(text, ".{arc}");
        }
        arcs += 1;
        arc = 0;
        if arcs >= MAX_ARCS {
            break;
        }
    }
    text
}

/// Whether the body of an identifier is well-formed: no arc left open, none with leading zeros.
pub fn is_well_formed(body: &[u8]) -> bool {
    let Some(last) = body.last() else { return false };
    if last & 0x80 != 0 {
        return false;
    }
    let mut start = true;
    for byte in body {
        if start && *byte == 0x80 {
            return false;
        }
        start = byte & 0x80 == 0;
    }
    true
}

/// The short name of an attribute type (`CN`).
pub fn attribute(dotted: &str) -> Option<&'static str> {
    find(ATTRIBUTES, dotted)
}

/// The long name of an algorithm (`sha256WithRSAEncryption`).
pub fn algorithm(dotted: &str) -> Option<&'static str> {
    find(ALGORITHMS, dotted)
}

fn find(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let at = table.binary_search_by(|(oid, _)| (*oid).cmp(key)).ok()?;
    table.get(at).map(|(_, name)| *name)
}

/// Attribute types by their dotted form, in the order of text.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.10", "manager"),
    ("0.9.2342.19200300.100.1.11", "documentIdentifier"),
    ("0.9.2342.19200300.100.1.12", "documentTitle"),
    ("0.9.2342.19200300.100.1.13", "documentVersion"),
    ("0.9.2342.19200300.100.1.14", "documentAuthor"),
    ("0.9.2342.19200300.100.1.15", "documentLocation"),
    ("0.9.2342.19200300.100.1.2", "textEncodedORAddress"),
    ("0.9.2342.19200300.100.1.20", "homeTelephoneNumber"),
    ("0.9.2342.19200300.100.1.21", "secretary"),
    ("0.9.2342.19200300.100.1.22", "otherMailbox"),
    ("0.9.2342.19200300.100.1.23", "lastModifiedTime"),
    ("0.9.2342.19200300.100.1.24", "lastModifiedBy"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.26", "aRecord"),
    ("0.9.2342.19200300.100.1.27", "pilotAttributeType27"),
    ("0.9.2342.19200300.100.1.28", "mXRecord"),
    ("0.9.2342.19200300.100.1.29", "nSRecord"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.30", "sOARecord"),
    ("0.9.2342.19200300.100.1.31", "cNAMERecord"),
    ("0.9.2342.19200300.100.1.37", "associatedDomain"),
    ("0.9.2342.19200300.100.1.38", "associatedName"),
    ("0.9.2342.19200300.100.1.39", "homePostalAddress"),
    ("0.9.2342.19200300.100.1.4", "info"),
    ("0.9.2342.19200300.100.1.40", "personalTitle"),
    ("0.9.2342.19200300.100.1.41", "mobileTelephoneNumber"),
    ("0.9.2342.19200300.100.1.42", "pagerTelephoneNumber"),
    ("0.9.2342.19200300.100.1.43", "friendlyCountryName"),
    ("0.9.2342.19200300.100.1.44", "uid"),
    ("0.9.2342.19200300.100.1.45", "organizationalStatus"),
    ("0.9.2342.19200300.100.1.46", "janetMailbox"),
    ("0.9.2342.19200300.100.1.47", "mailPreferenceOption"),
    ("0.9.2342.19200300.100.1.48", "buildingName"),
    ("0.9.2342.19200300.100.1.49", "dSAQuality"),
    ("0.9.2342.19200300.100.1.5", "favouriteDrink"),
    ("0.9.2342.19200300.100.1.50", "singleLevelQuality"),
    ("0.9.2342.19200300.100.1.51", "subtreeMinimumQuality"),
    ("0.9.2342.19200300.100.1.52", "subtreeMaximumQuality"),
    ("0.9.2342.19200300.100.1.53", "personalSignature"),
    ("0.9.2342.19200300.100.1.54", "dITRedirect"),
    ("0.9.2342.19200300.100.1.55", "audio"),
    ("0.9.2342.19200300.100.1.56", "documentPublisher"),
    ("0.9.2342.19200300.100.1.6", "roomNumber"),
    ("0.9.2342.19200300.100.1.7", "photo"),
    ("0.9.2342.19200300.100.1.8", "userClass"),
    ("0.9.2342.19200300.100.1.9", "host"),
    ("1.2.643.100.1", "OGRN"),
    ("1.2.643.100.111", "subjectSignTool"),
    ("1.2.643.100.112", "issuerSignTool"),
    ("1.2.643.100.113", "classSignTool"),
    ("1.2.643.100.113.1", "classSignToolKC1"),
    ("1.2.643.100.113.2", "classSignToolKC2"),
    ("1.2.643.100.113.3", "classSignToolKC3"),
    ("1.2.643.100.113.4", "classSignToolKB1"),
    ("1.2.643.100.113.5", "classSignToolKB2"),
    ("1.2.643.100.113.6", "classSignToolKA1"),
    ("1.2.643.100.3", "SNILS"),
    ("1.2.643.100.5", "OGRNIP"),
    ("1.2.643.3.131.1.1", "INN"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.14", "extReq"),
    ("1.2.840.113549.1.9.15", "SMIME-CAPS"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.20", "friendlyName"),
    ("1.2.840.113549.1.9.21", "localKeyID"),
    ("1.2.840.113549.1.9.22.1", "x509Certificate"),
    ("1.2.840.113549.1.9.22.2", "sdsiCertificate"),
    ("1.2.840.113549.1.9.23.1", "x509Crl"),
    ("1.2.840.113549.1.9.3", "contentType"),
    ("1.2.840.113549.1.9.4", "messageDigest"),
    ("1.2.840.113549.1.9.5", "signingTime"),
    ("1.2.840.113549.1.9.6", "countersignature"),
    ("1.2.840.113549.1.9.7", "challengePassword"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
    ("1.2.840.113549.1.9.9", "extendedCertificateAttributes"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
    ("2.5.4.10", "O"),
    ("2.5.4.100", "dnsName"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.14", "searchGuide"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.19", "physicalDeliveryOfficeName"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.21", "telexNumber"),
    ("2.5.4.22", "teletexTerminalIdentifier"),
    ("2.5.4.23", "facsimileTelephoneNumber"),
    ("2.5.4.24", "x121Address"),
    ("2.5.4.25", "internationaliSDNNumber"),
    ("2.5.4.26", "registeredAddress"),
    ("2.5.4.27", "destinationIndicator"),
    ("2.5.4.28", "preferredDeliveryMethod"),
    ("2.5.4.29", "presentationAddress"),
    ("2.5.4.3", "CN"),
    ("2.5.4.30", "supportedApplicationContext"),
    ("2.5.4.31", "member"),
    ("2.5.4.32", "owner"),
    ("2.5.4.33", "roleOccupant"),
    ("2.5.4.34", "seeAlso"),
    ("2.5.4.35", "userPassword"),
    ("2.5.4.36", "userCertificate"),
    ("2.5.4.37", "cACertificate"),
    ("2.5.4.38", "authorityRevocationList"),
    ("2.5.4.39", "certificateRevocationList"),
    ("2.5.4.4", "SN"),
    ("2.5.4.40", "crossCertificatePair"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.47", "enhancedSearchGuide"),
    ("2.5.4.48", "protocolInformation"),
    ("2.5.4.49", "distinguishedName"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.50", "uniqueMember"),
    ("2.5.4.51", "houseIdentifier"),
    ("2.5.4.52", "supportedAlgorithms"),
    ("2.5.4.53", "deltaRevocationList"),
    ("2.5.4.54", "dmdName"),
    ("2.5.4.6", "C"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.7", "L"),
    ("2.5.4.72", "role"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.97", "organizationIdentifier"),
    ("2.5.4.98", "c3"),
    ("2.5.4.99", "n3"),
];

/// Algorithms by their dotted form, in the order of text.
const ALGORITHMS: &[(&str, &str)] = &[
    ("1.2.156.10197.1.301", "sm2"),
    ("1.2.156.10197.1.401", "sm3"),
    ("1.2.156.10197.1.501", "SM2-with-SM3"),
    ("1.2.156.10197.1.504", "sm3WithRSAEncryption"),
    ("1.2.643.2.2", "cryptopro"),
    ("1.2.643.2.2.19", "GOST R 34.10-2001"),
    ("1.2.643.2.2.20", "GOST R 34.10-94"),
    ("1.2.643.2.2.20.1", "id-GostR3410-94-a"),
    ("1.2.643.2.2.20.2", "id-GostR3410-94-aBis"),
    ("1.2.643.2.2.20.3", "id-GostR3410-94-b"),
    ("1.2.643.2.2.20.4", "id-GostR3410-94-bBis"),
    ("1.2.643.2.2.21", "GOST 28147-89"),
    ("1.2.643.2.2.22", "GOST 28147-89 MAC"),
    ("1.2.643.2.2.23", "GOST R 34.11-94 PRF"),
    ("1.2.643.2.2.3", "GOST R 34.11-94 with GOST R 34.10-2001"),
    ("1.2.643.2.2.4", "GOST R 34.11-94 with GOST R 34.10-94"),
    ("1.2.643.2.2.9", "GOST R 34.11-94"),
    ("1.2.643.2.2.98", "GOST R 34.10-2001 DH"),
    ("1.2.643.2.2.99", "GOST R 34.10-94 DH"),
    ("1.2.643.2.9", "cryptocom"),
    ("1.2.643.2.9.1.3.3", "GOST R 34.11-94 with GOST R 34.10-94 Cryptocom"),
    ("1.2.643.2.9.1.3.4", "GOST R 34.11-94 with GOST R 34.10-2001 Cryptocom"),
    ("1.2.643.2.9.1.5.3", "GOST 34.10-94 Cryptocom"),
    ("1.2.643.2.9.1.5.4", "GOST 34.10-2001 Cryptocom"),
    ("1.2.643.2.9.1.8.1", "GOST R 3410-2001 Parameter Set Cryptocom"),
    ("1.2.643.3.131.1.1", "INN"),
    ("1.2.643.7.1", "id-tc26"),
    ("1.2.643.7.1.1", "id-tc26-algorithms"),
    ("1.2.643.7.1.1.1", "id-tc26-sign"),
    ("1.2.643.7.1.1.1.1", "GOST R 34.10-2012 with 256 bit modulus"),
    ("1.2.643.7.1.1.1.2", "GOST R 34.10-2012 with 512 bit modulus"),
    ("1.2.643.7.1.1.2", "id-tc26-digest"),
    ("1.2.643.7.1.1.2.2", "GOST R 34.11-2012 with 256 bit hash"),
    ("1.2.643.7.1.1.2.3", "GOST R 34.11-2012 with 512 bit hash"),
    ("1.2.643.7.1.1.3", "id-tc26-signwithdigest"),
    ("1.2.643.7.1.1.3.2", "GOST R 34.10-2012 with GOST R 34.11-2012 (256 bit)"),
    ("1.2.643.7.1.1.3.3", "GOST R 34.10-2012 with GOST R 34.11-2012 (512 bit)"),
    ("1.2.643.7.1.1.4", "id-tc26-mac"),
    ("1.2.643.7.1.1.5.1.1", "magma-ctr-acpkm"),
    ("1.2.643.7.1.1.5.1.2", "magma-ctr-acpkm-omac"),
    ("1.2.643.7.1.1.5.2.1", "kuznyechik-ctr-acpkm"),
    ("1.2.643.7.1.1.5.2.2", "kuznyechik-ctr-acpkm-omac"),
    ("1.2.643.7.1.1.6", "id-tc26-agreement"),
    ("1.2.643.7.1.1.6.1", "id-tc26-agreement-gost-3410-2012-256"),
    ("1.2.643.7.1.1.6.2", "id-tc26-agreement-gost-3410-2012-512"),
    ("1.2.643.7.1.1.7.1.1", "magma-kexp15"),
    ("1.2.643.7.1.1.7.2.1", "kuznyechik-kexp15"),
    ("1.2.643.7.1.2.1.2.0", "GOST R 34.10-2012 (512 bit) testing parameter set"),
    ("1.2.643.7.1.2.5.1.1", "GOST 28147-89 TC26 parameter set"),
    ("1.2.804.2.1.1.1", "ua-pki"),
    ("1.2.804.2.1.1.1.1.1.1", "DSTU Gost 28147-2009"),
    ("1.2.804.2.1.1.1.1.1.1.2", "DSTU Gost 28147-2009 OFB mode"),
    ("1.2.804.2.1.1.1.1.1.1.3", "DSTU Gost 28147-2009 CFB mode"),
    ("1.2.804.2.1.1.1.1.2.1", "DSTU Gost 34311-95"),
    ("1.2.804.2.1.1.1.1.3.1.1", "DSTU 4145-2002 little endian"),
    ("1.2.840.10040.4.1", "dsaEncryption"),
    ("1.2.840.10040.4.3", "dsaWithSHA1"),
    ("1.2.840.10045.2.1", "id-ecPublicKey"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.2", "ecdsa-with-Recommended"),
    ("1.2.840.10045.4.3", "ecdsa-with-Specified"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.2.840.10046.2.1", "X9.42 DH"),
    ("1.2.840.113533.7.66.10", "cast5-cbc"),
    ("1.2.840.113533.7.66.12", "pbeWithMD5AndCast5CBC"),
    ("1.2.840.113533.7.66.13", "password based MAC"),
    ("1.2.840.113533.7.66.30", "Diffie-Hellman based MAC"),
    ("1.2.840.113549.1.1.1", "rsaEncryption"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.113549.1.1.15", "sha512-224WithRSAEncryption"),
    ("1.2.840.113549.1.1.16", "sha512-256WithRSAEncryption"),
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
    ("1.2.840.113549.1.1.3", "md4WithRSAEncryption"),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.6", "rsaOAEPEncryptionSET"),
    ("1.2.840.113549.1.1.7", "rsaesOaep"),
    ("1.2.840.113549.1.1.8", "mgf1"),
    ("1.2.840.113549.1.1.9", "pSpecified"),
    ("1.2.840.113549.1.3.1", "dhKeyAgreement"),
    ("1.3.101.1.4.1", "Strong Extranet ID"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "ED25519"),
    ("1.3.101.113", "ED448"),
    ("1.3.14.3.2.11", "rsaSignature"),
    ("1.3.14.3.2.12", "dsaEncryption-old"),
    ("1.3.14.3.2.13", "dsaWithSHA"),
    ("1.3.14.3.2.15", "shaWithRSAEncryption"),
    ("1.3.14.3.2.18", "sha"),
    ("1.3.14.3.2.26", "sha1"),
    ("1.3.14.3.2.27", "dsaWithSHA1-old"),
    ("1.3.14.3.2.29", "sha1WithRSA"),
    ("1.3.14.3.2.3", "md5WithRSA"),
    ("1.3.36.3.3.1.2", "ripemd160WithRSA"),
    ("2.16.840.1.101.3.4.3.1", "dsa_with_SHA224"),
    ("2.16.840.1.101.3.4.3.10", "ecdsa_with_SHA3-256"),
    ("2.16.840.1.101.3.4.3.11", "ecdsa_with_SHA3-384"),
    ("2.16.840.1.101.3.4.3.12", "ecdsa_with_SHA3-512"),
    ("2.16.840.1.101.3.4.3.13", "RSA-SHA3-224"),
    ("2.16.840.1.101.3.4.3.14", "RSA-SHA3-256"),
    ("2.16.840.1.101.3.4.3.15", "RSA-SHA3-384"),
    ("2.16.840.1.101.3.4.3.16", "RSA-SHA3-512"),
    ("2.16.840.1.101.3.4.3.2", "dsa_with_SHA256"),
    ("2.16.840.1.101.3.4.3.3", "dsa_with_SHA384"),
    ("2.16.840.1.101.3.4.3.4", "dsa_with_SHA512"),
    ("2.16.840.1.101.3.4.3.5", "dsa_with_SHA3-224"),
    ("2.16.840.1.101.3.4.3.6", "dsa_with_SHA3-256"),
    ("2.16.840.1.101.3.4.3.7", "dsa_with_SHA3-384"),
    ("2.16.840.1.101.3.4.3.8", "dsa_with_SHA3-512"),
    ("2.16.840.1.101.3.4.3.9", "ecdsa_with_SHA3-224"),
    ("2.5.8.1.1", "rsa"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order() {
        assert!(ATTRIBUTES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(ALGORITHMS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn an_identifier_is_shown_in_dotted_numbers() {
        assert_eq!(dotted(&[0x55, 4, 3]), "2.5.4.3");
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]), "1.2.840.113549.1.1.11");
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
        assert_eq!(attribute("2.5.4.3"), Some("CN"));
        assert_eq!(algorithm("1.3.14.3.2.29"), Some("sha1WithRSA"));
        assert_eq!(algorithm("2.16.840.1.101.3.4.3.17"), None);
    }

    #[test]
    fn an_arc_that_is_cut_off_or_padded_is_not_well_formed() {
        assert!(is_well_formed(&[0x55, 4, 3]));
        assert!(!is_well_formed(&[0x55, 0x84]) && !is_well_formed(&[0x55, 0x80, 1]) && !is_well_formed(&[]));
    }
}
