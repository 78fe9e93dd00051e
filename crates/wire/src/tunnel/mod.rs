//! The headers of tunnels, as checked views: what is inside, and the number that names the network there.
//!
//! Where an RFC and practice differ, what Zeek accepts is accepted (src/packet_analysis/protocol).

pub mod ayiya;
pub mod emit;
pub mod erspan;
pub mod geneve;
pub mod gre;
pub mod gtp;
pub mod origin;
pub mod teredo;
pub mod vxlan;

pub use ayiya::AyiyaHeader;
pub use emit::{Mirrored, TunnelHead};
pub use erspan::ErspanHeader;
pub use geneve::GeneveHeader;
pub use gre::GreHeader;
pub use gtp::GtpHeader;
pub use origin::Origin;
pub use teredo::TeredoHeader;
pub use vxlan::VxlanHeader;
