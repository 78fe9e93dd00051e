//! From a frame to its innermost packet: link layers, IP, fragments, tunnels.
#![forbid(unsafe_code)]
