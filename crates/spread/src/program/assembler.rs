//! Classic BPF with labels. Jumps go forward only, as the kernel wants it, and any distance: a conditional jump reaches 255
//! instructions, so a branch is one over an unconditional jump.

use weir_wire::bpf::Instruction;

/// A place in a program, bound once and after all jumps to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label(usize);

/// When to branch: the accumulator against a constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    Is(u32),
    IsNot(u32),
    Has(u32),
    HasNot(u32),
    Below(u32),
}

/// Operations on the accumulator (`BPF_ALU`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    And = 0x50,
    Left = 0x60,
    Right = 0x70,
    Rest = 0x90,
    Xor = 0xa0,
}

const LOAD_WORD: u16 = 0x20;
const LOAD_LEN: u16 = 0x80;
const LOAD_INDEXED_WORD: u16 = 0x40;
const LOAD_INDEXED_HALF: u16 = 0x48;
const LOAD_INDEXED_BYTE: u16 = 0x50;
const LOAD_CONSTANT: u16 = 0x00;
const LOAD_MEMORY: u16 = 0x60;
const LOAD_X_CONSTANT: u16 = 0x01;
const LOAD_X_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const STORE_X: u16 = 0x03;
const ALU_CONSTANT: u16 = 0x04;
const ALU_X: u16 = 0x0c;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;
const A_TO_X: u16 = 0x07;
const X_TO_A: u16 = 0x87;

/// A program in the making. `A` is the accumulator, `X` the index register.
#[derive(Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    /// Where labels are bound, and which jumps go to which label.
    bound: Vec<usize>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// A label that is not bound yet.
    pub fn label(&mut self) -> Label {
        self.bound.push(usize::MAX);
        Label(self.bound.len() - 1)
    }

    /// What comes next is at `label`.
    pub fn bind(&mut self, label: Label) {
        if let Some(at) = self.bound.get_mut(label.0) {
            *at = self.code.len();
        }
    }

    /// The program: jumps lead to their labels.
    pub fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let target = self.bound.get(label.0).copied().unwrap_or(usize::MAX);
            debug_assert!((at + 1..=self.code.len()).contains(&target), "a jump that leads nowhere");
            if let Some(jump) = self.code.get_mut(at) {
                jump.k = (target.saturating_sub(at + 1)) as u32;
            }
        }
        self.code
    }

    pub fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JUMP, 0);
    }

    pub fn branch(&mut self, when: When, label: Label) {
        let (code, k, jumps_where_true) = match when {
            When::Is(k) => (IF_EQUAL, k, true),
            When::IsNot(k) => (IF_EQUAL, k, false),
            When::Has(k) => (IF_SET, k, true),
            When::HasNot(k) => (IF_SET, k, false),
            When::Below(k) => (IF_AT_LEAST, k, false),
        };
        let (jt, jf) = if jumps_where_true { (0, 1) } else { (1, 0) };
        self.code.push(Instruction::branch(code, k, jt, jf));
        self.jump(label);
    }

    /// Goes to `label` unless A is at least `least` and below `limit`, a power of two whose multiples A does not reach.
    pub fn unless_between(&mut self, least: u32, limit: u32, label: Label) {
        self.code.push(Instruction::branch(IF_AT_LEAST, least, 0, 1));
        self.code.push(Instruction::branch(IF_SET, limit, 0, 1));
        self.jump(label);
    }

    /// A = a word at `k`, or what the kernel knows beside the packet.
    pub fn load(&mut self, k: u32) {
        self.push(LOAD_WORD, k);
    }

    /// A = a word at X + `k`.
    pub fn word(&mut self, k: u32) {
        self.push(LOAD_INDEXED_WORD, k);
    }

    /// A = a half-word at X + `k`.
    pub fn half(&mut self, k: u32) {
        self.push(LOAD_INDEXED_HALF, k);
    }

    /// A = a byte at X + `k`.
    pub fn byte(&mut self, k: u32) {
        self.push(LOAD_INDEXED_BYTE, k);
    }

    /// A = the length of the packet.
    pub fn len(&mut self) {
        self.push(LOAD_LEN, 0);
    }

    /// A = `k`.
    pub fn set(&mut self, k: u32) {
        self.push(LOAD_CONSTANT, k);
    }

    /// X = `k`.
    pub fn set_x(&mut self, k: u32) {
        self.push(LOAD_X_CONSTANT, k);
    }

    /// A = scratch word `m`.
    pub fn recall(&mut self, m: u32) {
        self.push(LOAD_MEMORY, m);
    }

    /// X = scratch word `m`.
    pub fn recall_x(&mut self, m: u32) {
        self.push(LOAD_X_MEMORY, m);
    }

    /// Scratch word `m` = A.
    pub fn store(&mut self, m: u32) {
        self.push(STORE, m);
    }

    /// Scratch word `m` = X.
    pub fn store_x(&mut self, m: u32) {
        self.push(STORE_X, m);
    }

    /// A = A `op` `k`.
    pub fn with(&mut self, op: Op, k: u32) {
        self.push(ALU_CONSTANT | op as u16, k);
    }

    /// A = A `op` X.
    pub fn with_x(&mut self, op: Op) {
        self.push(ALU_X | op as u16, 0);
    }

    /// X = A.
    pub fn index(&mut self) {
        self.push(A_TO_X, 0);
    }

    /// X = X + `k`; A is lost.
    pub fn skip(&mut self, k: u32) {
        self.push(X_TO_A, 0);
        self.with(Op::Add, k);
        self.index();
    }

    /// X = X + A; A is lost.
    pub fn skip_a(&mut self) {
        self.with_x(Op::Add);
        self.index();
    }

    /// The answer is A.
    pub fn answer(&mut self) {
        self.push(RETURN_A, 0);
    }

    /// The answer is `k`.
    pub fn answer_with(&mut self, k: u32) {
        self.push(RETURN, k);
    }

    fn push(&mut self, code: u16, k: u32) {
        self.code.push(Instruction::new(code, k));
    }
}
