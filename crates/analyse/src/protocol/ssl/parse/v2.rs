//! The messages of SSL 2.0, and of clients that greet in its form.

use super::fields::{Fields, OutOfBound};

/// A client's hello. The bytes begin after the version.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    /// The session to resume.
    pub session_id: &'a [u8],
    /// How long the message is.
    pub length: usize,
}

impl<'a> ClientHello<'a> {
    /// Reads the message.
    pub fn parse(body: &'a [u8]) -> Result<Self, OutOfBound> {
        let mut f = Fields::new(body);
        let suites = usize::from(f.u16("V2ClientHello:csuit_len")?);
        let session = usize::from(f.u16("V2ClientHello:session_len")?);
        let challenge = usize::from(f.u16("V2ClientHello:chal_len")?);
        let length = 6 + suites + session + challenge;
        Fields::sized(body, length, "V2ClientHello")?;
        f.take(suites / 3 * 3, "V2ClientHello:ciphers")?;
        let session_id = f.take(session, "V2ClientHello:session_id")?;
        f.take(challenge, "V2ClientHello:challenge")?;
        Ok(Self { session_id, length })
    }
}

/// A server's hello. The bytes begin after the type of the certificate.
#[derive(Clone, Copy, Debug)]
pub struct ServerHello<'a> {
    /// The version.
    pub version: u16,
    /// The first suite, 0 where there is none.
    pub suite: u32,
    /// The certificate.
    pub certificate: &'a [u8],
    /// How long the message is.
    pub length: usize,
}

impl<'a> ServerHello<'a> {
    /// Reads the message.
    pub fn parse(body: &'a [u8]) -> Result<Self, OutOfBound> {
        let mut f = Fields::new(body);
        let version = f.u16("V2ServerHello:server_version")?;
        let certificate = usize::from(f.u16("V2ServerHello:cert_len")?);
        let suites = usize::from(f.u16("V2ServerHello:ciph_len")?);
        let connection = usize::from(f.u16("V2ServerHello:conn_id_len")?);
        let certificate = f.take(certificate, "V2ServerHello:cert_data")?;
        let suites = f.take(suites / 3 * 3, "V2ServerHello:ciphers")?;
        f.take(connection, "V2ServerHello:conn_id_data")?;
        let suite = suites.iter().take(3).fold(0, |n, b| n << 8 | u32::from(*b));
        Ok(Self { version, suite, certificate, length: f.position() })
    }
}

/// The length of a client's master key. The bytes begin after the first two of the suite.
pub fn client_master_key(body: &[u8]) -> Result<usize, OutOfBound> {
    let mut f = Fields::new(body);
    f.u8("V2ClientMasterKey:cipher_kind_8")?;
    let mut length = 7;
    for _ in 0..3 {
        length += usize::from(f.u16("V2ClientMasterKey:cl_key_len")?);
    }
    Fields::sized(body, length, "V2ClientMasterKey")?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_hello_gives_its_suite_and_certificate() {
        let body = [0, 2, 0, 1, 0, 3, 0, 1, b'c', 1, 0, 0x80, 9];
        let hello = ServerHello::parse(&body).unwrap();
        assert_eq!(
            (hello.version, hello.suite, hello.certificate, hello.length),
            (2, 0x01_0080, &b"c"[..], 13)
        );
        assert!(ServerHello::parse(&body[..12]).is_err());
    }

    #[test]
    fn a_client_hello_that_lies_about_its_length_is_refused() {
        let hello = ClientHello::parse(&[0, 3, 0, 1, 0, 1, 1, 0, 0x80, 7, 8]).unwrap();
        assert_eq!((hello.session_id, hello.length), (&[7][..], 11));
        assert!(ClientHello::parse(&[0, 3, 0, 0, 0, 0, 1, 0]).is_err());
    }
}
