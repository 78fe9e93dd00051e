//! Bytes to frames: heads are read, payload is passed on as it comes. Source: RFC 6455, 5.

/// Most bytes of a control frame (RFC 6455, 5.5).
pub const MAX_CONTROL: u64 = 125;

/// Longest head: two bytes, eight of length, four of mask.
const MAX_HEAD: usize = 14;

/// The frames of one side.
#[derive(Default, Debug)]
pub struct Frames {
    head: [u8; MAX_HEAD],
    have: usize,
    /// Bytes of payload that the frame in work still lacks.
    left: u64,
    mask: [u8; 4],
    is_masked: bool,
    /// Which byte of the mask is next.
    turn: usize,
    is_data: bool,
    /// A control frame that is too long began, and nobody asked for it yet: its length.
    too_long: Option<u64>,
}

/// A run of payload.
#[derive(PartialEq, Eq, Debug)]
pub struct Payload<'a> {
    /// As it stands in the stream: [`Frames::unmask`] makes it readable.
    pub bytes: &'a [u8],
    /// Whether it is a message's and not a control frame's.
    pub is_data: bool,
}

impl Frames {
    /// The next run of payload in `bytes`, which is moved behind it; `None`: more must come.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Payload<'a>> {
        while self.left == 0 {
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.have) {
                *place = byte;
            }
            self.have += 1;
            if self.have >= self.needed() {
                self.begin();
            }
        }
        if bytes.is_empty() {
            return None;
        }
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        self.left -= payload.len() as u64;
        Some(Payload { bytes: payload, is_data: self.is_data })
    }

    /// The length of a control frame that began and is longer than one may be; told once.
    pub const fn take_too_long(&mut self) -> Option<u64> {
        self.too_long.take()
    }

    /// Whether payload must be unmasked.
    pub const fn is_masked(&self) -> bool {
        self.is_masked
    }

    /// Makes payload readable; all of it in the order in which it came.
    pub fn unmask(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.mask.get(self.turn).copied().unwrap_or_default();
            self.turn = (self.turn + 1) % self.mask.len();
        }
    }

    /// `len` bytes are missing; whether it is known what follows, and whether they were a message's.
    pub const fn gap(&mut self, len: u64) -> Option<bool> {
        if len > self.left {
            return None;
        }
        self.left -= len;
        self.turn = (self.turn + (len % 4) as usize) % self.mask.len();
        Some(self.is_data)
    }

    /// Bytes of a head, as far as it is known.
    const fn needed(&self) -> usize {
        let [_, second, ..] = self.head;
        if self.have < 2 {
            return 2;
        }
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    /// A head is complete.
    fn begin(&mut self) {
        let [first, second, a, b, c, d, e, f, g, h, i, j, k, l] = std::mem::take(&mut self.head);
        self.have = 0;
        (self.left, self.mask) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([a, b])), [c, d, e, f]),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), [i, j, k, l]),
            short => (u64::from(short), [a, b, c, d]),
        };
        self.is_masked = second & 0x80 != 0;
        self.turn = 0;
        // Text, binary, or the continuation of either.
        self.is_data = first & 0x0f <= 2;
        // Close, ping, pong.
        if matches!(first & 0x0f, 8..=10) && self.left > MAX_CONTROL {
            self.too_long = self.too_long.or(Some(self.left));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(frames: &mut Frames, mut bytes: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(payload) = frames.next(&mut bytes) {
            let mut plain = payload.bytes.to_vec();
            if frames.is_masked() {
                frames.unmask(&mut plain);
            }
            if payload.is_data {
                all.extend(plain);
            }
        }
        all
    }

    #[test]
    fn payload_is_read_however_the_stream_is_cut() {
        let mut stream = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
        stream.extend(b"\x89\x02xx\x01\x00\x82\x7e\x00\x03abc\x80\x7f\0\0\0\0\0\0\0\x02de");
        assert_eq!(read(&mut Frames::default(), &stream), b"Helloabcde");
        let mut frames = Frames::default();
        let bytewise: Vec<u8> = stream.iter().flat_map(|byte| read(&mut frames, &[*byte])).collect();
        assert_eq!(bytewise, b"Helloabcde");
    }

    #[test]
    fn a_gap_inside_of_a_frame_is_passed_over() {
        let mut frames = Frames::default();
        assert_eq!(read(&mut frames, b"\x81\x85\x37\xfa\x21\x3d\x7f"), b"H");
        assert_eq!(frames.gap(3), Some(true));
        assert_eq!(read(&mut frames, b"\x58"), b"o");
        assert_eq!(frames.gap(1), None);
    }
}
