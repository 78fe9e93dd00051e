//! The extensions of hellos, as far as logs need them, each checked as Zeek checks it.

use super::fields::{Fields, OutOfBound};

/// Numbers of extensions.
mod code {
    pub const SERVER_NAME: u16 = 0;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const EC_POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const SIGNED_CERTIFICATE_TIMESTAMP: u16 = 18;
    pub const SESSION_TICKET: u16 = 35;
    pub const KEY_SHARE_OLD: u16 = 40;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    pub const PSK_KEY_EXCHANGE_MODES: u16 = 45;
    pub const KEY_SHARE: u16 = 51;
    pub const CONNECTION_ID: u16 = 54;
}

/// An extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extension<'a> {
    /// The names that the client asks for.
    ServerName(ServerNames<'a>),
    /// The first protocol of application_layer_protocol_negotiation, where there is one.
    Alpn(Option<&'a [u8]>),
    /// The group that a server chose.
    Group(u16),
    /// The version that a server chose.
    Version(u16),
    /// A session ticket, and whether it is more than empty.
    SessionTicket(bool),
    /// A pre-shared key.
    PreSharedKey,
    /// Nothing that logs show.
    Other,
}

/// The extensions of one hello, in order; the first failure ends them.
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    /// Whether the message is a client's hello.
    client_hello: bool,
    /// Whether the sender acts as a client.
    client: bool,
}

impl<'a> Extensions<'a> {
    /// The extensions in `bytes`.
    pub const fn new(bytes: &'a [u8], client_hello: bool, client: bool) -> Self {
        Self { rest: bytes, client_hello, client }
    }

    fn parse(&mut self) -> Result<Extension<'a>, OutOfBound> {
        let mut f = Fields::new(self.rest);
        let code = f.u16("SSLExtension:type")?;
        let length = usize::from(f.u16("SSLExtension:data_len")?);
        let whole = Fields::sized(self.rest, length + 4, "SSLExtension")?;
        self.rest = self.rest.get(length + 4..).unwrap_or_default();
        let data = whole.rest().get(4..).unwrap_or_default();
        // Zeek takes an empty extension of any kind as absent.
        match code {
            code::SESSION_TICKET => Ok(Extension::SessionTicket(!data.is_empty())),
            code::PRE_SHARED_KEY => self.pre_shared_key(data).map(|()| Extension::PreSharedKey),
            _ if data.is_empty() => Ok(Extension::Other),
            code::SERVER_NAME => ServerNames::parse(data).map(Extension::ServerName),
            code::ALPN => alpn(data).map(Extension::Alpn),
            code::KEY_SHARE | code::KEY_SHARE_OLD => self.key_share(data),
            code::SUPPORTED_VERSIONS => self.supported_versions(data),
            _ => check(code, data).map(|()| Extension::Other),
        }
    }

    fn key_share(&self, data: &'a [u8]) -> Result<Extension<'a>, OutOfBound> {
        let mut f = Fields::new(data);
        if self.client_hello {
            let length = f.u16("ClientHelloKeyShare:length")?;
            let mut list = Fields::sized(data, usize::from(length) + 2, "ClientHelloKeyShare")?;
            list.u16("ClientHelloKeyShare:length")?;
            while !list.is_empty() {
                list.u16("KeyShareEntry:namedgroup")?;
                list.vector16("KeyShareEntry:key_exchange")?;
            }
            return Ok(Extension::Other);
        }
        let group = f.u16("KeyShareEntry:namedgroup")?;
        if data.len() != 2 {
            f.vector16("KeyShareEntry:key_exchange")?;
        }
        Ok(if self.client { Extension::Other } else { Extension::Group(group) })
    }

    fn supported_versions(&self, data: &'a [u8]) -> Result<Extension<'a>, OutOfBound> {
        let mut f = Fields::new(data);
        if !self.client {
            return f.u16("OneSupportedVersion:version").map(Extension::Version);
        }
        let length = usize::from(f.u8("SupportedVersions:length")?);
        let mut list = Fields::sized(data, length + 1, "SupportedVersions")?;
        list.u8("SupportedVersions:length")?;
        while !list.is_empty() {
            list.u16("SupportedVersions:versions")?;
        }
        Ok(Extension::Other)
    }

    fn pre_shared_key(&self, data: &[u8]) -> Result<(), OutOfBound> {
        if data.is_empty() {
            return Ok(());
        }
        let mut f = Fields::new(data);
        if !self.client_hello {
            return f.u16("SelectedPreSharedKeyIdentity:selected_identity").map(|_| ());
        }
        let mut identities = Fields::new(f.vector16("PSKIdentitiesList")?);
        while !identities.is_empty() {
            identities.vector16("PSKIdentity:identity")?;
            identities.u32("PSKIdentity:obfuscated_ticket_age")?;
        }
        let mut binders = Fields::new(f.vector16("PSKBindersList")?);
        while !binders.is_empty() {
            binders.vector8("PSKBinder:binder")?;
        }
        Ok(())
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Result<Extension<'a>, OutOfBound>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let result = self.parse();
        if result.is_err() {
            self.rest = &[];
        }
        Some(result)
    }
}

/// The protocols that a hello with `extensions` offers by ALPN.
pub fn protocols(extensions: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut f = Fields::new(extensions);
    let mut list = Fields::new(&[]);
    while let (Ok(code), Ok(data)) = (f.u16("SSLExtension:type"), f.vector16("SSLExtension:data")) {
        if code == code::ALPN {
            let names = Fields::new(data).vector16("ProtocolNameList").unwrap_or_default();
            list = Fields::new(names);
            break;
        }
    }
    std::iter::from_fn(move || if list.is_empty() { None } else { list.vector8("ProtocolName:name").ok() })
}

fn alpn(data: &[u8]) -> Result<Option<&[u8]>, OutOfBound> {
    const WHAT: &str = "ApplicationLayerProtocolNegotiationExtension";
    let length = Fields::new(data).u16("ApplicationLayerProtocolNegotiationExtension:length")?;
    let mut list = Fields::sized(data, usize::from(length) + 2, WHAT)?;
    list.u16(WHAT)?;
    let mut first = None;
    while !list.is_empty() {
        let name = list.vector8("ProtocolName:name")?;
        first = first.or(Some(name));
    }
    Ok(first)
}

/// Checks extensions that no log shows.
fn check(code: u16, data: &[u8]) -> Result<(), OutOfBound> {
    let mut f = Fields::new(data);
    match code {
        code::SUPPORTED_GROUPS => {
            let length = f.u16("EllipticCurves:length")?;
            f.take(usize::from(length) / 2 * 2, "EllipticCurves:elliptic_curve_list")?;
        }
        code::EC_POINT_FORMATS => {
            f.vector8("EcPointFormats:point_format_list")?;
        }
        code::SIGNATURE_ALGORITHMS => {
            f.u16("SignatureAlgorithm:length")?;
            while !f.is_empty() {
                f.u16("SignatureAndHashAlgorithm:SignatureAlgorithm")?;
            }
        }
        code::PSK_KEY_EXCHANGE_MODES => {
            f.vector8("PSKKeyExchangeModes")?;
        }
        code::CONNECTION_ID => {
            f.vector8("ConnectionId:cid")?;
        }
        code::SIGNED_CERTIFICATE_TIMESTAMP => {
            let mut list = Fields::new(f.vector16("SignedCertificateTimestampList")?);
            while !list.is_empty() {
                timestamp(list.vector16("SignedCertificateTimestamp")?)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn timestamp(bytes: &[u8]) -> Result<(), OutOfBound> {
    let mut f = Fields::new(bytes);
    f.take(1 + 32 + 8, "SignedCertificateTimestamp:timestamp")?;
    f.vector16("SignedCertificateTimestamp:extensions")?;
    f.u16("SignedCertificateTimestamp:digitally_signed_algorithms")?;
    f.vector16("SignedCertificateTimestamp:digitally_signed_signature").map(|_| ())
}

/// The names in server_name, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerNames<'a>(&'a [u8]);

/// A name in server_name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerName<'a> {
    /// A host.
    Host(&'a [u8]),
    /// A kind of name that is not defined.
    Unknown(u8),
}

impl<'a> ServerNames<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, OutOfBound> {
        let length = Fields::new(data).u16("ServerNameExt:length")?;
        let mut list = Fields::sized(data, usize::from(length) + 2, "ServerNameExt")?;
        list.u16("ServerNameExt:length")?;
        let names = Self(list.rest());
        while !list.is_empty() {
            if list.u8("ServerName:name_type")? != 0 {
                break;
            }
            list.vector16("ServerNameHostName:host_name")?;
        }
        Ok(names)
    }

    /// The names in order; one of unknown kind is the last, because only the kind tells how long it is.
    pub fn iter(&self) -> impl Iterator<Item = ServerName<'a>> + use<'a> {
        let mut f = Fields::new(self.0);
        std::iter::from_fn(move || {
            let kind = f.u8("ServerName:name_type").ok()?;
            if kind != 0 {
                f = Fields::new(&[]);
                return Some(ServerName::Unknown(kind));
            }
            f.vector16("ServerNameHostName:host_name").ok().map(ServerName::Host)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(bytes: &[u8]) -> Vec<Result<Extension<'_>, OutOfBound>> {
        Extensions::new(bytes, false, false).collect()
    }

    #[test]
    fn a_server_chooses_group_version_and_protocol() {
        let bytes = [0, 51, 0, 5, 0, 29, 0, 1, 7, 0, 43, 0, 2, 3, 4, 0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
        let all: Result<Vec<_>, _> = server(&bytes).into_iter().collect();
        assert_eq!(
            all.unwrap(),
            [Extension::Group(29), Extension::Version(0x0304), Extension::Alpn(Some(b"h2"))]
        );
    }

    #[test]
    fn a_retry_names_only_the_group() {
        assert_eq!(server(&[0, 51, 0, 2, 0, 23]), [Ok(Extension::Group(23))]);
    }

    #[test]
    fn names_are_given_until_one_of_unknown_kind() {
        let bytes = [0, 0, 0, 9, 0, 7, 0, 0, 1, b'a', 9, 1, 2];
        let all: Vec<_> = Extensions::new(&bytes, true, true).collect();
        let [Ok(Extension::ServerName(names))] = all[..] else { panic!("{all:?}") };
        let names: Vec<_> = names.iter().collect();
        assert_eq!(names, [ServerName::Host(b"a"), ServerName::Unknown(9)]);
    }

    #[test]
    fn the_first_failure_ends_the_extensions() {
        let all = server(&[0, 43, 0, 1, 3, 0, 35, 0, 0]);
        assert_eq!(all, [Err(OutOfBound { what: "OneSupportedVersion:version", need: 2, have: 1 })]);
        let all = server(&[0, 35, 0, 9, 3]);
        assert_eq!(all, [Err(OutOfBound { what: "SSLExtension", need: 13, have: 5 })]);
    }

    #[test]
    fn empty_extensions_are_as_if_absent() {
        assert_eq!(server(&[0, 0, 0, 0]), [Ok(Extension::Other)]);
        assert_eq!(server(&[0, 35, 0, 0]), [Ok(Extension::SessionTicket(false))]);
    }
}
