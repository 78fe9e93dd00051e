//! Classic BPF as a caller hands it to a socket.

/// One instruction: `struct sock_filter` of linux/filter.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BpfInstruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip where a comparison is true.
    pub jump_true: u8,
    /// How many to skip where it is false.
    pub jump_false: u8,
    /// The operand.
    pub k: u32,
}
