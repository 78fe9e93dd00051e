//! What can go wrong with the way of frames out.

use std::io;

use thiserror::Error;

/// Why frames cannot be sent. Single frames that cannot are no errors: they are counted under their Reason.
#[derive(Debug, Error)]
pub enum CarryError {
    /// The operating system refuses something.
    #[error("{name}: cannot {operation}")]
    System {
        /// The output, as the user calls it.
        name: String,
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The interface carries something else than Ethernet.
    #[error("{name} is no Ethernet interface (its hardware type is {kind})")]
    NotEthernet {
        /// The interface.
        name: String,
        /// Its ARPHRD_ number (linux/if_arp.h).
        kind: u16,
    },
}

impl CarryError {
    /// Whether the user may not do that.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::System { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::NotEthernet { .. } => false,
        }
    }
}
