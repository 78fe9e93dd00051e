//! Input bytes as a sequence of operations, and back: what a connection's two sides do.
//!
//! An operation is a byte, whose lower four bits say what and whose highest says who, and then, for data, two bytes of length
//! (least first) and the data; for a gap, two bytes of length; for a wait, two bytes of milliseconds. Data that end
//! early are shorter data, so that every input means something.

use weir_analyse::Side;

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op<'a> {
    /// The side sends these bytes.
    Data(Side, &'a [u8]),
    /// Bytes of the side were not seen.
    Gap(Side, u64),
    /// The side will send no more.
    End(Side),
    /// Time goes by, in milliseconds.
    Wait(i64),
}

/// The operations in `bytes`.
pub fn ops(mut bytes: &[u8]) -> impl Iterator<Item = Op<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first()?;
        let side = Side::from_is_orig(head & 0x80 == 0);
        let (number, after) = match rest {
            [low, high, after @ ..] => (u16::from_le_bytes([*low, *high]), after),
            [low] => (u16::from(*low), &[][..]),
            [] => (0, &[][..]),
        };
        let (op, after) = match head & 0x0f {
            12 => (Op::Gap(side, u64::from(number).max(1)), after),
            13 => (Op::End(side), rest),
            14 => (Op::Wait(i64::from(number)), after),
            15 => (Op::Gap(side, u64::from(number) << 32 | 1), after),
            _ => {
                let (data, after) = after.split_at(after.len().min(usize::from(number)));
                (Op::Data(side, data), after)
            }
        };
        bytes = after;
        Some(op)
    })
}

/// The bytes of operations, after `flags`.
pub fn script(flags: u8, ops: &[Op<'_>]) -> Vec<u8> {
    let mut out = vec![flags];
    for op in ops {
        let side = |side: &Side| if side.is_orig() { 0 } else { 0x80 };
        match op {
            Op::Data(s, data) => {
                out.push(side(s));
                out.extend((data.len() as u16).to_le_bytes());
                out.extend(*data);
            }
            Op::Gap(s, len) => {
                out.push(side(s) | 12);
                out.extend((*len as u16).to_le_bytes());
            }
            Op::End(s) => out.push(side(s) | 13),
            Op::Wait(milliseconds) => {
                out.push(14);
                out.extend((*milliseconds as u16).to_le_bytes());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_as_they_were_written() {
        use Side::{Orig, Resp};
        let list =
            [Op::Data(Orig, b"abc"), Op::Gap(Resp, 7), Op::Wait(300), Op::Data(Resp, b""), Op::End(Orig)];
        assert!(ops(&script(5, &list)[1..]).eq(list));
    }
}
