//! The end of a program: the hash of the packet that was found, as [`hash`](crate::hash()) computes it.

use super::assembler::{Op, When};
use super::{Generator, SKF_NET_OFF, TenantNumber, scratch};
use crate::SpreadBy;
use crate::hash::{FOLD, MIX, PORT, TENANT};

/// What the fold of a mapped IPv4 address adds to the address itself.
const MAPPED: u32 = FOLD.wrapping_mul(0xffff);

impl Generator<'_> {
    pub(super) fn end(&mut self) {
        let combine = self.asm.label();
        let has_ends = self.steering.by != SpreadBy::Tenant;
        if self.steering.by == SpreadBy::Flow {
            self.errors();
        }
        if self.first > 0 {
            self.asm.bind(self.around);
            if has_ends {
                self.ends_around();
            }
            self.asm.jump(combine);
        }
        self.asm.bind(self.found);
        if has_ends {
            self.ends();
            self.ports();
        }
        self.asm.bind(combine);
        self.combine(has_ends);
        self.answer();
    }

    /// ICMP errors: the packet that they quote is the one found. Its extension headers are not passed.
    fn errors(&mut self) {
        let ([v4, v6], found) = (self.quoted, self.found);
        let (error, transport) = (self.asm.label(), self.asm.label());
        self.asm.bind(v4);
        self.enough(8, found);
        self.asm.byte(0);
        for kind in [3, 4, 5, 11, 12] {
            self.asm.branch(When::Is(kind), error);
        }
        self.asm.jump(found);
        self.asm.bind(error);
        self.enough(8 + 20 + 4, found);
        self.asm.skip(8);
        self.asm.byte(0);
        self.asm.with(Op::Right, 4);
        self.asm.branch(When::IsNot(4), found);
        self.asm.store_x(scratch::IP);
        self.asm.half(6);
        self.asm.branch(When::Has(0x1fff), found);
        self.asm.byte(9);
        self.asm.store(scratch::KIND);
        self.asm.byte(0);
        self.asm.with(Op::And, 0xf);
        self.asm.with(Op::Left, 2);
        self.asm.skip_a();
        self.enough(4, found);
        self.asm.recall(scratch::KIND);
        self.asm.jump(transport);
        self.asm.bind(v6);
        self.enough(8, found);
        // Types 1 to 4, of which 0 is none.
        self.asm.byte(0);
        self.asm.with(Op::Sub, 1);
        let error = self.asm.label();
        self.asm.branch(When::Below(4), error);
        self.asm.jump(found);
        self.asm.bind(error);
        self.enough(8 + 40 + 4, found);
        self.asm.skip(8);
        self.asm.byte(0);
        self.asm.with(Op::Right, 4);
        self.asm.branch(When::IsNot(6), found);
        self.asm.store_x(scratch::IP);
        self.asm.byte(6);
        self.asm.store(scratch::KIND);
        self.asm.skip(40);
        self.asm.recall(scratch::KIND);
        self.asm.bind(transport);
        let has_ports = self.asm.label();
        self.asm.branch(When::Is(6), has_ports);
        self.asm.branch(When::Is(17), has_ports);
        self.asm.jump(found);
        self.asm.bind(has_ports);
        self.asm.store_x(scratch::PORTS);
        self.asm.jump(found);
    }

    /// The last words of the addresses at these places from X on, of which half words are loaded by `half`.
    fn last_words(&mut self, [source, destination]: [u32; 2], half: impl Fn(&mut Self, u32)) {
        for (at, to) in [(source, scratch::SOURCE), (destination, scratch::DESTINATION)] {
            half(self, at);
            self.asm.store(to);
        }
    }

    /// The folded addresses of the packet at `IP`.
    fn ends(&mut self) {
        let (v6, done) = (self.asm.label(), self.asm.label());
        self.asm.recall_x(scratch::IP);
        self.asm.byte(0);
        self.asm.with(Op::Right, 4);
        self.asm.branch(When::Is(6), v6);
        if self.steering.by == SpreadBy::Sum {
            let half = |this: &mut Self, at: u32| this.asm.half(at);
            self.last_words([14, 18], half);
            self.asm.jump(done);
            self.asm.bind(v6);
            self.last_words([22, 38], half);
            return self.asm.bind(done);
        }
        for (at, to) in [(12, scratch::SOURCE), (16, scratch::DESTINATION)] {
            self.asm.word(at);
            self.asm.with(Op::Add, MAPPED);
            self.asm.store(to);
        }
        self.asm.jump(done);
        self.asm.bind(v6);
        for (at, to) in [(8, scratch::SOURCE), (24, scratch::DESTINATION)] {
            self.asm.word(at);
            for word in 1..4 {
                self.asm.with(Op::Mul, FOLD);
                self.asm.store(to);
                self.asm.word(at + 4 * word);
                self.asm.recall_x(to);
                self.asm.with_x(Op::Add);
                self.asm.recall_x(scratch::IP);
            }
            self.asm.store(to);
        }
        self.asm.bind(done);
    }

    /// The same of the packet around a datagram.
    fn ends_around(&mut self) {
        const fn around(at: i32) -> u32 {
            (SKF_NET_OFF + at) as u32
        }
        let (v6, done) = (self.asm.label(), self.asm.label());
        self.asm.load(around(0));
        self.asm.with(Op::Right, 28);
        self.asm.branch(When::Is(6), v6);
        if self.steering.by == SpreadBy::Sum {
            let half = |this: &mut Self, at: u32| {
                // The word that ends with it.
                this.asm.load(around(0).wrapping_add(at - 2));
                this.asm.with(Op::And, 0xffff);
            };
            self.last_words([14, 18], half);
            self.asm.jump(done);
            self.asm.bind(v6);
            self.last_words([22, 38], half);
            return self.asm.bind(done);
        }
        for (at, to) in [(12, scratch::SOURCE), (16, scratch::DESTINATION)] {
            self.asm.load(around(at));
            self.asm.with(Op::Add, MAPPED);
            self.asm.store(to);
        }
        self.asm.jump(done);
        self.asm.bind(v6);
        for (at, to) in [(8, scratch::SOURCE), (24, scratch::DESTINATION)] {
            self.asm.load(around(at));
            for word in 1..4 {
                self.asm.with(Op::Mul, FOLD);
                self.asm.index();
                self.asm.load(around(at + 4 * word));
                self.asm.with_x(Op::Add);
            }
            self.asm.store(to);
        }
        self.asm.bind(done);
    }

    /// Adds the ports, where there are any.
    fn ports(&mut self) {
        if self.steering.by != SpreadBy::Flow {
            return;
        }
        let none = self.asm.label();
        self.asm.recall(scratch::PORTS);
        self.asm.branch(When::Is(0), none);
        for (at, to) in [(0, scratch::SOURCE), (2, scratch::DESTINATION)] {
            self.asm.recall_x(scratch::PORTS);
            self.asm.half(at);
            self.asm.with(Op::Mul, PORT);
            self.asm.recall_x(to);
            self.asm.with_x(Op::Add);
            self.asm.store(to);
        }
        self.asm.bind(none);
    }

    fn combine(&mut self, has_ends: bool) {
        if self.steering.by == SpreadBy::Sum {
            return self.sum();
        }
        if has_ends {
            for end in [scratch::SOURCE, scratch::DESTINATION] {
                self.asm.recall(end);
                self.mix();
                self.asm.store(end);
            }
            self.asm.recall_x(scratch::SOURCE);
            self.asm.with_x(Op::Add);
        } else {
            self.asm.set(0);
        }
        if self.steering.tenant != TenantNumber::Nothing {
            self.asm.store(scratch::KEPT);
            self.asm.recall(scratch::TENANT);
            self.asm.with(Op::Mul, TENANT);
            self.asm.recall_x(scratch::KEPT);
            self.asm.with_x(Op::Add);
        }
        self.mix();
        self.asm.with(Op::Rest, self.steering.lanes.max(1));
    }

    /// The sum of what was found, undisturbed.
    fn sum(&mut self) {
        self.asm.recall(scratch::SOURCE);
        self.asm.recall_x(scratch::DESTINATION);
        self.asm.with_x(Op::Add);
        if self.steering.tenant != TenantNumber::Nothing {
            self.asm.recall_x(scratch::TENANT);
            self.asm.with_x(Op::Add);
        }
        self.asm.with(Op::Rest, self.steering.lanes.max(1));
    }

    /// With the lane in A: it is the answer, or whether it is the one asked for.
    fn answer(&mut self) {
        let Some(lane) = self.only else {
            self.asm.answer();
            self.asm.bind(self.nothing);
            self.asm.answer_with(0);
            return;
        };
        let (asked_for, other) = (self.asm.label(), self.asm.label());
        self.asm.branch(When::Is(lane), asked_for);
        self.asm.jump(other);
        self.asm.bind(self.nothing);
        self.asm.jump(if lane == 0 { asked_for } else { other });
        self.asm.bind(other);
        self.asm.answer_with(0);
        self.asm.bind(asked_for);
    }

    /// A = mix(A); X is lost.
    fn mix(&mut self) {
        for (shift, factor) in [(16, Some(MIX[0])), (13, Some(MIX[1])), (16, None)] {
            self.asm.index();
            self.asm.with(Op::Right, shift);
            self.asm.with_x(Op::Xor);
            if let Some(factor) = factor {
                self.asm.with(Op::Mul, factor);
            }
        }
    }
}
