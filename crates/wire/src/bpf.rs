//! Classic BPF (McCanne and Jacobson 1993; Linux: Documentation/networking/filter.rst) as data: one hop makes programs,
//! another hands them to the kernel.

/// One instruction: `struct sock_filter` of linux/filter.h.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[repr(C)]
pub struct Instruction {
    /// Class, size, mode and operation.
    pub code: u16,
    /// How many instructions a conditional jump skips where its condition holds.
    pub jt: u8,
    /// How many it skips where it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// The kernel takes no program of more instructions (BPF_MAXINSNS).
pub const MAX_INSTRUCTIONS: usize = 4096;

impl Instruction {
    /// An instruction that is no jump.
    pub const fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }

    /// A conditional jump.
    pub const fn branch(code: u16, k: u32, jt: u8, jf: u8) -> Self {
        Self { code, jt, jf, k }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_has_the_size_that_the_kernel_expects() {
        assert_eq!((size_of::<Instruction>(), align_of::<Instruction>()), (8, 4));
    }
}
