//! The filter in the kernel: what a packet socket does not even take.
//!
//! libpcap compiles expressions for frames as they are on the wire, but the kernel keeps the outermost VLAN tag beside the
//! frame, and with `any` frames of all kinds of hardware come. So the program of the expression judges only frames that
//! are Ethernet and have no tag beside them, which are the same here as on the wire; all others are let through, and judged
//! by the same expression when they have been put right (see [`frame`](super::frame)). That is exact, and costs the ring
//! nothing for traffic without tags.
//!
//! Source: linux/filter.h (SKF_AD_), Documentation/networking/filter.rst.

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
use weir_wire::bpf::Instruction;

use super::abi::PACKET_OUTGOING;
use super::frame::{HW_ETHERNET, HW_LOOPBACK};
use super::options::RingDirection;

/// The codes that are needed here.
const LOAD: u16 = (BPF_LD | BPF_W | BPF_ABS) as u16;
const IF_EQUAL: u16 = (BPF_JMP | BPF_JEQ | BPF_K) as u16;
const RETURN: u16 = (BPF_RET | BPF_K) as u16;

/// What the kernel knows beside the frame.
const KIND: u32 = beside(libc::SKF_AD_PKTTYPE);
const HARDWARE: u32 = beside(libc::SKF_AD_HATYPE);
const HAS_TAG: u32 = beside(libc::SKF_AD_VLAN_TAG_PRESENT);

const fn beside(what: i32) -> u32 {
    (libc::SKF_AD_OFF + what) as u32
}

/// The program that lets nothing through.
pub(super) fn closed() -> Vec<Instruction> {
    vec![Instruction::new(RETURN, 0)]
}

/// The program that lets `snap_length` bytes of wanted frames through. `share` ends what is for other rings and goes on behind
/// its end otherwise; `expression` is the program of the user's filter for Ethernet.
pub(super) fn program(
    direction: RingDirection,
    share: &[Instruction],
    snap_length: u32,
    expression: Option<&[Instruction]>,
) -> Vec<Instruction> {
    // What loopback interfaces send they also receive.
    let mut program = vec![
        Instruction::new(LOAD, HARDWARE),
        Instruction::branch(IF_EQUAL, u32::from(HW_LOOPBACK), 0, 3),
        Instruction::new(LOAD, KIND),
        Instruction::branch(IF_EQUAL, u32::from(PACKET_OUTGOING), 0, 1),
        Instruction::new(RETURN, 0),
    ];
    // How many instructions outgoing frames skip, and the others: whoever skips none is returned.
    let skip = match direction {
        RingDirection::Both => None,
        RingDirection::In => Some((0, 1)),
        RingDirection::Out => Some((1, 0)),
    };
    if let Some((outgoing, others)) = skip {
        program.push(Instruction::new(LOAD, KIND));
        program.push(Instruction::branch(IF_EQUAL, u32::from(PACKET_OUTGOING), outgoing, others));
        program.push(Instruction::new(RETURN, 0));
    }
    program.extend_from_slice(share);
    let Some(expression) = expression else {
        program.push(Instruction::new(RETURN, snap_length));
        return program;
    };
    program.extend([
        Instruction::new(LOAD, HAS_TAG),
        Instruction::branch(IF_EQUAL, 0, 0, 3),
        Instruction::new(LOAD, HARDWARE),
        Instruction::branch(IF_EQUAL, u32::from(HW_ETHERNET), 2, 0),
        Instruction::branch(IF_EQUAL, u32::from(HW_LOOPBACK), 1, 0),
        Instruction::new(RETURN, snap_length),
    ]);
    program.extend(expression.iter().map(|instruction| match *instruction {
        Instruction { code: RETURN, k: 1.., .. } => Instruction::new(RETURN, snap_length),
        other => other,
    }));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel knows beside a frame.
    #[derive(Clone, Copy)]
    struct Beside {
        kind: u32,
        hardware: u16,
        tag: bool,
    }

    /// Runs a program that loads nothing but what is beside the frame.
    fn run(program: &[Instruction], beside: Beside) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            match (code, k) {
                (LOAD, KIND) => accumulator = beside.kind,
                (LOAD, HARDWARE) => accumulator = u32::from(beside.hardware),
                (LOAD, HAS_TAG) => accumulator = u32::from(beside.tag),
                (IF_EQUAL, k) => at += usize::from(if accumulator == k { jt } else { jf }),
                (RETURN, k) => return k,
                other => panic!("{other:?}"),
            }
        }
    }

    const IN: Beside = Beside { kind: 0, hardware: HW_ETHERNET, tag: false };
    const OUT: Beside = Beside { kind: 4, ..IN };

    #[test]
    fn a_direction_lets_only_its_frames_through() {
        for (direction, incoming, outgoing) in
            [(RingDirection::In, 99, 0), (RingDirection::Out, 0, 99), (RingDirection::Both, 99, 99)]
        {
            let program = program(direction, &[], 99, None);
            assert_eq!((run(&program, IN), run(&program, OUT)), (incoming, outgoing));
        }
        assert_eq!(run(&closed(), IN), 0);
    }

    #[test]
    fn what_loopback_sends_is_not_seen_twice() {
        let program = program(RingDirection::Both, &[], 99, None);
        assert_eq!(run(&program, Beside { hardware: HW_LOOPBACK, ..IN }), 99);
        assert_eq!(run(&program, Beside { hardware: HW_LOOPBACK, ..OUT }), 0);
    }

    #[test]
    fn what_is_for_other_rings_ends_in_the_share() {
        let received_only = [
            Instruction::new(LOAD, KIND),
            Instruction::branch(IF_EQUAL, u32::from(PACKET_OUTGOING), 0, 1),
            Instruction::new(RETURN, 0),
        ];
        let all = [Instruction::new(RETURN, 262_144)];
        for expression in [None, Some(&all[..])] {
            let program = program(RingDirection::Both, &received_only, 99, expression);
            assert_eq!((run(&program, IN), run(&program, OUT)), (99, 0));
        }
    }

    #[test]
    fn the_expression_judges_only_what_is_the_same_here_as_on_the_wire() {
        let nothing = [Instruction::new(RETURN, 0)];
        let refuses = program(RingDirection::Both, &[], 99, Some(&nothing));
        assert_eq!(run(&refuses, IN), 0);
        assert_eq!(run(&refuses, Beside { hardware: HW_LOOPBACK, ..IN }), 0);
        assert_eq!(run(&refuses, Beside { tag: true, ..IN }), 99);
        assert_eq!(run(&refuses, Beside { hardware: 0xfffe, ..IN }), 99);
        let all = [Instruction::new(RETURN, 262_144)];
        assert_eq!(run(&program(RingDirection::Both, &[], 99, Some(&all)), IN), 99);
    }
}
