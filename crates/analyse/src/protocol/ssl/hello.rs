//! What a client asks for, for protocols that carry TLS and log it themselves.

use super::parse::extension::{self, ServerName};
use super::parse::handshake::ClientHello;

/// A client's hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello<'a> {
    /// The first server name.
    pub server_name: Option<&'a [u8]>,
    /// The protocols offered, in order; at most [`Hello::MAX_PROTOCOLS`].
    pub protocols: Vec<&'a [u8]>,
}

impl<'a> Hello<'a> {
    /// Most protocols that are told.
    pub const MAX_PROTOCOLS: usize = 32;

    /// Reads the body of a ClientHello; extensions count up to the first that is malformed.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let hello = ClientHello::parse(body).ok()?;
        let mut this = Self { server_name: None, protocols: Vec::new() };
        for extension in hello.extensions(true).map_while(Result::ok) {
            if let extension::Extension::ServerName(names) = extension {
                let host = |name| if let ServerName::Host(host) = name { Some(host) } else { None };
                this.server_name = names.iter().find_map(host).or(this.server_name);
            }
        }
        this.protocols = extension::protocols(hello.extensions).take(Self::MAX_PROTOCOLS).collect();
        Some(this)
    }
}
