//! What the fuzz targets share: how their input bytes are read as operations, what is checked, and seeds.

pub mod analyser;
pub mod capture;
pub mod ops;
pub mod packets;
pub mod seeds;
pub mod segments;
pub mod show;
