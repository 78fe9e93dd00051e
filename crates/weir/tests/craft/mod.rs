//! Packets and conversations made for tests, from nothing but bytes; checksums are right where there are any.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "each test uses a part of it")]

pub mod captures;
pub mod messages;
pub mod packet;
pub mod tcp;

use weir_tap::write::{PcapWriter, PcapngWriter};
use weir_tap::{Endian, Precision};
use weir_wire::{LinkType, Time};

/// Frames with their times, in the order in which they are captured.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Microseconds since the trace began, link type, and bytes.
    pub frames: Vec<(u64, LinkType, Vec<u8>)>,
    /// How much later than usual the next frame comes.
    pause: u64,
}

/// When every trace begins.
const BEGIN: i64 = 1_700_000_000;

impl Trace {
    /// Adds an Ethernet frame with an IP packet, a millisecond after the last.
    pub fn ip(&mut self, packet: &[u8]) {
        self.ethernet(&packet::over_ethernet(packet));
    }

    /// Adds an Ethernet frame.
    pub fn ethernet(&mut self, frame: &[u8]) {
        self.link(LinkType::ETHERNET, frame);
    }

    /// Adds a frame.
    pub fn link(&mut self, link: LinkType, frame: &[u8]) {
        let time = self.frames.last().map_or(0, |(time, ..)| time + 1000) + std::mem::take(&mut self.pause);
        self.frames.push((time, link, frame.to_vec()));
    }

    /// The next frame comes so much later.
    pub fn wait(&mut self, seconds: u64) {
        self.pause += seconds * 1_000_000;
    }

    /// Adds all packets.
    pub fn all(&mut self, packets: impl IntoIterator<Item = Vec<u8>>) {
        packets.into_iter().for_each(|packet| self.ip(&packet));
    }

    /// The capture: pcap where all frames are Ethernet, else pcapng with an interface for each link type.
    pub fn capture(&self) -> Vec<u8> {
        let time = |micros: u64| Time::from_parts(BEGIN, micros as i64 * 1000);
        if self.frames.iter().all(|(_, link, _)| *link == LinkType::ETHERNET) {
            let mut out =
                PcapWriter::new(Vec::new(), LinkType::ETHERNET, Precision::Micros, Endian::Little).unwrap();
            for (at, _, bytes) in &self.frames {
                out.frame(time(*at), bytes.len() as u32, bytes).unwrap();
            }
            return out.into_inner();
        }
        let mut out = PcapngWriter::new(Vec::new(), Endian::Big).unwrap();
        let mut interfaces = Vec::new();
        for (_, link, _) in &self.frames {
            if !interfaces.iter().any(|(known, _)| known == link) {
                interfaces.push((*link, out.interface(*link, Precision::Micros).unwrap()));
            }
        }
        for (at, link, bytes) in &self.frames {
            let (_, interface) = interfaces.iter().find(|(known, _)| known == link).unwrap();
            out.frame(*interface, time(*at), bytes.len() as u32, bytes).unwrap();
        }
        out.into_inner()
    }
}
