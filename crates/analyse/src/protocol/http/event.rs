//! What the parser tells: the messages of a connection, piece by piece.
//!
//! Events know nothing of logs; whoever wants to know what travels over HTTP listens to them.

use std::borrow::Cow;

use super::line::Version;
use crate::context::Side;
use crate::protocol::mime::Header;

/// To whom the rest of a connection belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Successor {
    /// To be detected.
    Unknown,
    /// WebSocket.
    WebSocket,
}

/// One thing that happened.
///
/// For each message: `Request` or `Reply`, then its entities. An entity is `Begin`, then `Header`s, then `Size`, `Data`
/// and `Gap` or the entities that it is made of, then `End`. Behind the outermost `End` comes `Done`. The messages of the
/// two sides may interleave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// The connection speaks HTTP.
    Confirmed,
    /// It does not; in Zeek's words.
    Violation(&'static str),
    /// Something breaks the rules.
    Weird {
        /// Its name in weird.log.
        name: &'static str,
        /// More about it.
        addl: Option<Cow<'a, [u8]>>,
        /// Who says so, where weird.log shows it.
        source: Option<&'static str>,
    },
    /// The first line of a request.
    Request {
        /// The method.
        method: &'a [u8],
        /// The URI, its escapes undone.
        uri: &'a [u8],
    },
    /// The first line of a reply.
    Reply {
        /// The version.
        version: Version,
        /// The status.
        code: u16,
        /// Its text.
        reason: Option<&'a [u8]>,
    },
    /// An entity begins.
    Begin {
        /// Who sends it.
        side: Side,
    },
    /// A field of its header (or of the trailer behind its chunks).
    Header {
        /// Who sends it.
        side: Side,
        /// The field.
        header: &'a Header<'a>,
    },
    /// How long the file is that the entity carries, or a part of which it carries.
    Size {
        /// Who sends it.
        side: Side,
        /// Bytes.
        total: u64,
    },
    /// Bytes of the body, decoded.
    Data {
        /// Who sends them.
        side: Side,
        /// Where in the file they belong, where the entity is a part of it.
        at: Option<u64>,
        /// The bytes, never none.
        bytes: &'a [u8],
    },
    /// Bytes of the body that were not seen.
    Gap {
        /// Who sent them.
        side: Side,
        /// How many.
        len: u64,
    },
    /// The innermost open entity ends.
    End {
        /// Who sent it.
        side: Side,
        /// The file may go on in another message (206).
        partial: bool,
    },
    /// The message ends.
    Done {
        /// Who sent it.
        side: Side,
        /// Bytes of its body, decoded.
        body_length: u64,
    },
    /// HTTP ends; the last `rest` bytes of this call are of what follows.
    HandOver {
        /// What follows.
        to: Successor,
        /// How many bytes.
        rest: usize,
    },
}

/// Who listens to the parser.
pub trait Listener {
    /// Something happened.
    fn hear(&mut self, event: Event<'_>);

    /// Whether a decoder may take `bytes` of memory.
    fn grant(&mut self, bytes: usize) -> bool;

    /// A decoder has given `bytes` back.
    fn release(&mut self, bytes: usize);
}

/// What both sides of a connection must know of each other.
#[derive(Clone, Default, Debug)]
pub struct Facts {
    /// The status of the reply in progress, else 0.
    pub reply_code: u16,
    /// Several requests may follow each other.
    pub keep_alive: bool,
    /// The server will close the connection.
    pub connection_close: bool,
    /// A request is in progress.
    pub request_ongoing: bool,
    /// The version of the last request.
    pub request_version: Version,
    /// The version of the last reply.
    pub reply_version: Version,
    /// The reply in progress says that it upgrades the connection.
    pub upgrades: bool,
    /// What to.
    pub upgrade_to: Option<Successor>,
}

impl Facts {
    /// The version that decides whether a body may be chunked: of the request, while there is one.
    pub const fn version_of_chunks(&self) -> Version {
        if self.request_ongoing { self.request_version } else { self.reply_version }
    }

    /// A Connection field.
    pub fn note_connection(&mut self, header: &Header<'_>, side: Side) {
        if side.is_orig() {
            self.keep_alive |= header.token_is("keep-alive");
        } else {
            self.connection_close |= header.token_is("close");
            self.upgrades |= header.token_is("upgrade");
        }
    }

    /// An Upgrade field of a reply.
    pub fn note_upgrade(&mut self, header: &Header<'_>) {
        self.upgrade_to = header.token().map(|(protocol, _)| {
            if protocol.eq_ignore_ascii_case(b"websocket") {
                Successor::WebSocket
            } else {
                Successor::Unknown
            }
        });
    }
}
