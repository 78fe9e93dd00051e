//! TCP: the state of each endpoint, and streams put together from segments.

mod endpoint;
mod machine;
mod reassembler;
mod reuse;
#[cfg(test)]
mod tests;

pub use endpoint::{Endpoint, Scaled, State};
pub use machine::{Oddity, Tcp, Told};
pub use reassembler::{Piece, Stream};
pub use reuse::Reuse;
