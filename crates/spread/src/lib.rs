//! To be.
#![forbid(unsafe_code)]
