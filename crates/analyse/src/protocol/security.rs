//! Who somebody is, told inside of other protocols: GSSAPI (SPNEGO), NTLM and Kerberos.
//!
//! Nothing of it is logged but that it is spoken (`service` in conn.log). Source: RFC 4178 (SPNEGO), RFC 4121 (Kerberos in GSSAPI),
//! MS-NLMP (NTLM).

use super::little::{Little, Short};
use super::recognise::is_kerberos;
use crate::context::Context;

/// The first bytes of every message of NTLM.
const NTLM: &[u8] = b"NTLMSSP";
/// The tag of a token that begins a negotiation.
const INIT: u8 = 0x60;
/// The index of a negotiation's token.
const TOKEN: u8 = 2;

/// Takes note of a token of GSSAPI, or of NTLM without GSSAPI around it.
pub fn token(cx: &mut Context<'_>, bytes: &[u8]) {
    if bytes.starts_with(NTLM) {
        ntlm(cx, bytes);
    } else {
        gssapi(cx, bytes);
    }
}

/// Takes note of a token of GSSAPI.
pub fn gssapi(cx: &mut Context<'_>, bytes: &[u8]) {
    if negotiation(cx, bytes).is_ok() {
        cx.connection.add_service("gssapi");
    }
}

/// Takes note of a message of NTLM.
pub fn ntlm(cx: &mut Context<'_>, bytes: &[u8]) {
    if is_ntlm(bytes).is_ok() {
        cx.connection.add_service("ntlm");
    }
}

/// Takes note of a message of Kerberos.
pub fn kerberos(cx: &mut Context<'_>, bytes: &[u8]) {
    if is_kerberos(bytes) {
        cx.connection.add_service("krb");
    }
}

/// The head of an element: its tag and the length of its contents.
fn head(r: &mut Little<'_>) -> Result<(u8, usize), Short> {
    let (tag, short) = (r.u8()?, r.u8()?);
    if short & 0x80 == 0 {
        return Ok((tag, usize::from(short)));
    }
    let digits = r.take(usize::from(short & 0x7f))?;
    let len =
        digits.iter().try_fold(0_usize, |n, digit| n.checked_mul(256)?.checked_add(usize::from(*digit)));
    Ok((tag, len.ok_or(Short)?))
}

fn negotiation(cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), Short> {
    let mut r = Little::new(bytes);
    let (tag, short) = (r.u8()?, r.u8()?);
    // What was signed or sealed (MIC, Wrap) says no more.
    if matches!((tag, short), (4 | 5, 4)) {
        return Ok(());
    }
    r = Little::new(bytes);
    head(&mut r)?;
    if tag == INIT {
        let (_, len) = head(&mut r)?;
        r.take(len)?;
        head(&mut r)?;
    }
    head(&mut r)?;
    while !r.rest().is_empty() {
        let (tag, len) = head(&mut r)?;
        let argument = r.take(len)?;
        match tag.wrapping_sub(0xa0) {
            TOKEN => mechanism(cx, argument)?,
            0 | 1 | 3 => {}
            _ => return Err(Short),
        }
    }
    Ok(())
}

/// The token of the mechanism that was chosen.
fn mechanism(cx: &mut Context<'_>, argument: &[u8]) -> Result<(), Short> {
    let mut r = Little::new(argument);
    let (_, len) = head(&mut r)?;
    let token = r.take(len)?;
    if token.starts_with(NTLM) {
        ntlm(cx, token);
    } else if token.first() == Some(&INIT) {
        let mut r = Little::new(token);
        head(&mut r)?;
        let (_, len) = head(&mut r)?;
        r.take(len)?;
        r.u16()?;
        kerberos(cx, r.rest());
    } else if matches!(token.first(), Some(0x6e | 0x6f)) {
        // AP-REQ or AP-REP, as Windows has it: with nothing around.
        kerberos(cx, token);
    }
    Ok(())
}

/// A string of a message: where it is.
fn string(r: &mut Little<'_>, message: &[u8], wanted: bool) -> Result<(), Short> {
    let (len, _, offset) = (r.u16()?, r.u16()?, r.u32()?);
    let end = (offset as usize).checked_add(usize::from(len)).ok_or(Short)?;
    if wanted && end > message.len() { Err(Short) } else { Ok(()) }
}

/// Whether a message of NTLM has all that it says.
fn is_ntlm(message: &[u8]) -> Result<(), Short> {
    let mut r = Little::new(message);
    r.take(8)?;
    match r.u32()? {
        1 => {
            let flags = r.u32()?;
            string(&mut r, message, flags & 0x1000 != 0)?;
            string(&mut r, message, flags & 0x2000 != 0)
        }
        2 => {
            let fields = r;
            r.take(8)?;
            let flags = r.u32()?;
            r.take(16)?;
            string(&mut { fields }, message, flags & 4 != 0)?;
            string(&mut r, message, flags & 0x80_0000 != 0)
        }
        3 => {
            r.take(8)?;
            for _ in 0..5 {
                let mut len = r;
                let wanted = len.u16()? > 0;
                string(&mut r, message, wanted)?;
            }
            r.u32().map(|_| ())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u32, rest: usize) -> Vec<u8> {
        let mut bytes = b"NTLMSSP\0".to_vec();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(vec![0; rest]);
        bytes
    }

    #[test]
    fn a_message_of_ntlm_has_all_its_fields() {
        assert!(is_ntlm(&message(1, 20)).is_ok());
        assert!(is_ntlm(&message(1, 19)).is_err());
        assert!(is_ntlm(&message(2, 36)).is_ok());
        assert!(is_ntlm(&message(3, 52)).is_ok());
        assert!(is_ntlm(&message(3, 51)).is_err());
        // A domain's name that would lie beyond the end.
        let mut bytes = message(1, 20);
        bytes[13] = 0x10;
        bytes[16] = 1;
        bytes[20] = 32;
        assert!(is_ntlm(&bytes).is_err());
        bytes.push(b'D');
        assert!(is_ntlm(&bytes).is_ok());
    }
}
