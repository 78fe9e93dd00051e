//! A machine for classic BPF. A load beyond the packet, which in the kernel ends a program with 0, is a panic here: no program
//! of ours may do that.

pub mod build;

use weir_wire::bpf::{Instruction, MAX_INSTRUCTIONS};

/// What the kernel knows beside the packet.
#[derive(Clone, Copy, Default, Debug)]
pub struct Beside<'a> {
    pub protocol: u16,
    pub outgoing: bool,
    pub hardware: u16,
    pub tag: Option<u16>,
    /// From the network header on, where that is not in the data.
    pub network: &'a [u8],
}

/// What the kernel shows a fanout program of a received Ethernet frame, whose outer tag it has taken off.
pub fn received(frame: &[u8]) -> (Beside<'static>, &[u8]) {
    let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let mut beside = Beside { protocol: half(12), hardware: 1, ..Beside::default() };
    if matches!(beside.protocol, 0x8100 | 0x88a8) {
        beside.tag = Some(half(14));
        beside.protocol = half(16);
        return (beside, &frame[18..]);
    }
    (beside, &frame[14..])
}

/// The answer of `program` to `data`.
///
/// # Panics
/// The kernel would not take the program, or the program loads beyond the packet.
pub fn run(program: &[Instruction], data: &[u8], beside: &Beside<'_>) -> u32 {
    assert!(program.len() <= MAX_INSTRUCTIONS);
    let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
    let mut memory = [None; 16];
    loop {
        // A part of a filter goes on behind its end.
        let Some(&Instruction { code, jt, jf, k }) = program.get(at) else { return u32::MAX };
        at += 1;
        let operand = if code & 0x08 == 0 { k } else { x };
        match code {
            0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 => {
                let place = if code & 0xe0 == 0x20 { k } else { x.wrapping_add(k) };
                let value = load(data, place, [4, 2, 1][usize::from(code >> 3 & 3)], beside)
                    .expect("a load within the packet");
                a = value;
            }
            0x80 => a = data.len() as u32,
            0x00 => a = k,
            0x01 => x = k,
            0x60 => a = memory[k as usize].expect("set before it is read"),
            0x61 => x = memory[k as usize].expect("set before it is read"),
            0x02 => memory[k as usize] = Some(a),
            0x03 => memory[k as usize] = Some(x),
            0x07 => x = a,
            0x87 => a = x,
            0x05 => at += k as usize,
            0x15 => at += usize::from(if a == k { jt } else { jf }),
            0x35 => at += usize::from(if a >= k { jt } else { jf }),
            0x45 => at += usize::from(if a & k != 0 { jt } else { jf }),
            0x06 => return k,
            0x16 => return a,
            _ if code & 7 == 4 => {
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    0x50 => a & operand,
                    0x60 => a << operand,
                    0x70 => a >> operand,
                    0x90 => a % operand,
                    0xa0 => a ^ operand,
                    _ => panic!("{code:#x}"),
                }
            }
            _ => panic!("{code:#x}"),
        }
    }
}

fn load(data: &[u8], place: u32, size: usize, beside: &Beside<'_>) -> Option<u32> {
    let bytes = match place as i32 {
        -0x1000 => return Some(u32::from(beside.protocol)),
        -0xffc => return Some(if beside.outgoing { 4 } else { 0 }),
        -0xfe4 => return Some(u32::from(beside.hardware)),
        -0xfd4 => return Some(u32::from(beside.tag.unwrap_or(0))),
        -0xfd0 => return Some(u32::from(beside.tag.is_some())),
        place @ -0x10_0000..-0x1000 => beside.network.get((place + 0x10_0000) as usize..)?,
        place => data.get(usize::try_from(place).ok()?..)?,
    };
    Some(bytes.get(..size)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}
