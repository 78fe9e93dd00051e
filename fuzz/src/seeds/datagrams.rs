//! Seeds of protocols over datagrams.

use weir_analyse::Side::{Orig, Resp};

use super::{Seed, join};
use crate::ops::{Op, script};

/// The client's first packet of RFC 9001, appendix A.2, as far as the header goes, and packets of other kinds.
pub fn quic() -> Vec<Seed> {
    let id = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    let initial = join(&[&[0xc0, 0, 0, 0, 1, 8], &id, &[0, 0, 0x40, 40], &[0x5a; 40]]);
    let handshake = join(&[&[0xe0, 0, 0, 0, 1, 0, 8], &id, &[20], &[0x5a; 20]]);
    let retry = join(&[&[0xf0, 0, 0, 0, 1, 0, 8], &id, &[0x5a; 24]]);
    let second = join(&[&[0xd0, 0x6b, 0x33, 0x43, 0xcf, 8], &id, &[0, 0, 40], &[0x5a; 40]]);
    let short = [0x41; 24];
    vec![
        (
            "initial",
            script(0, &[Op::Data(Orig, &initial), Op::Data(Resp, &handshake), Op::Data(Orig, &short)]),
        ),
        ("retry", script(0, &[Op::Data(Resp, &retry), Op::Data(Orig, &second), Op::Data(Resp, &[0; 9])])),
    ]
}
