//! A certificate, put together by hand: its signature means nothing.

use super::join;

/// A value of DER.
fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32;
    let mut out = vec![tag];
    match length {
        0..=127 => out.push(length as u8),
        128..=255 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(body);
    out
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, &join(parts))
}

fn attribute(kind: u8, tag: u8, value: &[u8]) -> Vec<u8> {
    der(0x31, &sequence(&[&der(6, &[0x55, 4, kind]), &der(tag, value)]))
}

fn name(common: &[u8]) -> Vec<u8> {
    sequence(&[&attribute(6, 0x13, b"DE"), &attribute(10, 0x0c, b"Weir, Test"), &attribute(3, 0x1e, common)])
}

fn extension(kind: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { der(1, &[0xff]) } else { Vec::new() };
    sequence(&[&der(6, &[0x55, 29, kind]), &critical, &der(4, value)])
}

/// An RSA certificate with alternative names of every kind and basic constraints.
pub fn certificate() -> Vec<u8> {
    let algorithm = sequence(&[&der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11]), &der(5, &[])]);
    let encryption = sequence(&[&der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1]), &der(5, &[])]);
    let key = sequence(&[&der(2, &[&[0][..], &[0xc3; 64]].concat()), &der(2, &[1, 0, 1])]);
    let names = sequence(&[
        &der(0x82, b"*.example.com"),
        &der(0x87, &[10, 0, 0, 1]),
        &der(0x87, &[0x20; 16]),
        &der(0x86, b"https://example.com/"),
        &der(0x81, b"x@example.com"),
        &der(0xa4, &name(b"\0d")),
        &der(0xa0, &join(&[&der(6, &[0x2a, 3]), &der(0xa0, &der(0x0c, b"other"))])),
    ]);
    let extensions = sequence(&[
        &extension(17, false, &names),
        &extension(19, true, &sequence(&[&der(1, &[0xff]), &der(2, &[3])])),
        &extension(15, true, &der(3, &[1, 6])),
    ]);
    let body = sequence(&[
        &der(0xa0, &der(2, &[2])),
        &der(2, &[0, 0xe8, 0xe4, 0x8e]),
        &algorithm,
        &name(b"\0c\0a"),
        &sequence(&[&der(0x17, b"261123000000Z"), &der(0x18, b"20560101000000Z")]),
        &name(b"\0w\0w\0w"),
        &sequence(&[&encryption, &der(3, &join(&[&[0], &key]))]),
        &der(0xa3, &extensions),
    ]);
    sequence(&[&body, &algorithm, &der(3, &join(&[&[0], &[0x99; 64]]))])
}
