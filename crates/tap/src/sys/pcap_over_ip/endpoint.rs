//! Where streams of captures come from: an address to listen at, or one to dial.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An end of a TCP connection that carries a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// Senders come to us, at this address ("0.0.0.0:5555", "[::1]:5555").
    Listen(String),
    /// We go to the sender ("10.0.0.7:5555", "node7:5555"), and again when the connection is lost.
    Dial(String),
}

/// The text names no endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "{0:?} is no endpoint of streams: tcp://ADDRESS:PORT, where 0.0.0.0, [::], none, or ?listen behind it listens"
)]
pub struct NotAnEndpoint(String);

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    /// `tcp://H:P` dials H, unless it is an address that means "any of mine" (`0.0.0.0`, `[::]`, nothing), or `?listen`
    /// says otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotAnEndpoint(text.into());
        let rest = text.strip_prefix("tcp://").unwrap_or(text);
        let (place, listen) = match rest.split_once('?') {
            Some((place, "listen")) => (place, true),
            Some(_) => return Err(wrong()),
            None => (rest, false),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let is_v6 = host.starts_with('[') && host.ends_with(']');
        if port.parse::<u16>().is_err() || (host.contains(':') && !is_v6) || host.contains('/') {
            return Err(wrong());
        }
        Ok(match host {
            "" => Self::Listen(format!("[::]:{port}")),
            "0.0.0.0" | "[::]" => Self::Listen(place.into()),
            _ if listen => Self::Listen(place.into()),
            _ => Self::Dial(place.into()),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(place) | Self::Dial(place) => write!(f, "tcp://{place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_any_of_mine_listens_and_every_other_is_dialled() {
        let read = |text: &str| text.parse::<Endpoint>().unwrap();
        assert_eq!(read("tcp://0.0.0.0:5555"), Endpoint::Listen("0.0.0.0:5555".into()));
        assert_eq!(read("tcp://[::]:5555"), Endpoint::Listen("[::]:5555".into()));
        assert_eq!(read(":5555"), Endpoint::Listen("[::]:5555".into()));
        assert_eq!(read("tcp://127.0.0.1:1?listen"), Endpoint::Listen("127.0.0.1:1".into()));
        assert_eq!(read("tcp://node7:5555"), Endpoint::Dial("node7:5555".into()));
        assert_eq!(read("[::1]:5555").to_string(), "tcp://[::1]:5555");
    }

    #[test]
    fn what_names_no_endpoint_is_said_with_the_form_it_must_have() {
        for text in ["", "tcp://", "node7", "tcp://node7", "h:70000", "::1:5", "h:1?x", "udp://h:1"] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("tcp://ADDRESS:PORT"), "{error}");
        }
    }
}
