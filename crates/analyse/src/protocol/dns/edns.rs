//! Options inside records: of EDNS (OPT) and of service bindings (SVCB, HTTPS). They are checked, not kept.
//!
//! Formats: RFC 6891, 6.1.2 (options), 7871 (client subnet), 7828 (keep-alive), 7873 (cookie), 9460, 14.3
//! (parameters of service bindings).

use weir_record::Text;

use super::parse::{Case, Name, Reader, Stop};
use super::rdata::Rdata;

/// EDNS option codes.
mod option {
    pub const CLIENT_SUBNET: u16 = 8;
}

/// Keys of service parameters.
mod param {
    pub const ALPN: u16 = 1;
    pub const PORT: u16 = 3;
    pub const IPV4_HINT: u16 = 4;
    pub const IPV6_HINT: u16 = 6;
}

impl<'a> Reader<'a> {
    /// The options of an OPT record: everything up to the end of the message, as it is the last record.
    pub(super) fn options(&mut self) -> Result<(), Stop> {
        while self.left() >= 4 {
            let (code, length) = (self.u16(), usize::from(self.u16()));
            if length > self.left() {
                break;
            }
            let data = self.take(length);
            if code == option::CLIENT_SUBNET {
                self.client_subnet(data);
            }
        }
        if self.left() > 0 { self.stop("EDNS_truncated_option") } else { Ok(()) }
    }

    /// Whether a client subnet (family, prefix lengths, address) has as many address bits as it says.
    fn client_subnet(&mut self, data: &[u8]) {
        let [f0, f1, source, _scope, address @ ..] = data else {
            return self.odd("EDNS_ECS_invalid_option_len", None);
        };
        let (too_long, too_short, most) = match (u16::from_be_bytes([*f0, *f1]), address.is_empty()) {
            (_, true) => return self.odd("EDNS_ECS_invalid_option_len", None),
            (1, _) => ("EDNS_ECS_invalid_addr_v4_prefix", "EDNS_ECS_invalid_addr_v4", 32),
            (2, _) => ("EDNS_ECS_invalid_addr_v6_prefix", "EDNS_ECS_invalid_addr_v6", 128),
            _ => return,
        };
        let (need, have) = (usize::from(*source), address.len() * 8);
        if need > most {
            self.odd(too_long, Some(Text::from(format!("{need} bits"))));
        } else if need > have {
            self.odd(too_short, Some(Text::from(format!("need {need} bits, have {have} bits"))));
        }
    }

    /// A service binding of `length` bytes.
    pub(super) fn svcb(&mut self, length: usize) -> Result<Rdata<'a>, Stop> {
        let start = self.at();
        if self.left() < 3 {
            return self.stop("DNS_SVBC_wrong_length");
        }
        let priority = self.u16();
        let mut target = self.name(Case::Keep)?;
        if target.is_empty() {
            target = Name::from_slice(b".");
        }
        let rest = length.saturating_sub(self.at().saturating_sub(start));
        let params = self.take(rest);
        self.service_params(params);
        Ok(Rdata::Svcb(priority, target))
    }

    fn service_params(&mut self, mut params: &[u8]) {
        while let [k0, k1, l0, l1, rest @ ..] = params {
            let (key, length) = (u16::from_be_bytes([*k0, *k1]), u16::from_be_bytes([*l0, *l1]));
            let Some((value, after)) = rest.split_at_checked(usize::from(length)) else {
                return self.odd("DNS_SVCB_param_length_invalid", None);
            };
            let odd = match key {
                param::ALPN if !are_alpn_ids(value) => "DNS_SVCB_alpn_length_invalid",
                param::PORT if value.len() != 2 => "DNS_SVCB_port_length_invalid",
                param::IPV4_HINT if value.len() % 4 != 0 => "DNS_SVCB_ipv4hint_length_invalid",
                param::IPV6_HINT if value.len() % 16 != 0 => "DNS_SVCB_ipv6hint_length_invalid",
                _ => {
                    params = after;
                    continue;
                }
            };
            return self.odd(odd, None);
        }
    }
}

/// Whether `value` is a list of counted strings without rest.
fn are_alpn_ids(mut value: &[u8]) -> bool {
    while let [length, rest @ ..] = value {
        let Some(after) = rest.get(usize::from(*length)..) else { return false };
        value = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::parse::Section;
    use super::*;

    fn read(rtype: u16, data: &[u8]) -> (Option<Rdata<'static>>, Vec<(&'static str, Option<Text>)>) {
        let mut bytes = vec![0, 1, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        bytes.extend(rtype.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        let bytes: &'static [u8] = bytes.leak();
        let (_, mut reader) = Reader::new(bytes, false).unwrap();
        let data = reader.record(Section::Answer).ok().map(|r| r.data);
        (data, reader.oddities().map(|o| (o.name, o.addl)).collect())
    }

    #[test]
    fn good_options_are_passed_over() {
        let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(read(41, &[&subnet[..], &cookie].concat()), (Some(Rdata::Opt), vec![]));
    }

    #[test]
    fn a_client_subnet_that_contradicts_itself_is_odd() {
        let odd = |data: &[u8]| read(41, data).1;
        assert_eq!(odd(&[0, 8, 0, 4, 0, 1, 24, 0])[0].0, "EDNS_ECS_invalid_option_len");
        let (name, addl) = odd(&[0, 8, 0, 5, 0, 1, 33, 0, 1])[0].clone();
        assert_eq!((name, addl), ("EDNS_ECS_invalid_addr_v4_prefix", Some(Text::from("33 bits"))));
        let (name, addl) = odd(&[0, 8, 0, 5, 0, 2, 56, 0, 1])[0].clone();
        assert_eq!((name, addl), ("EDNS_ECS_invalid_addr_v6", Some(Text::from("need 56 bits, have 8 bits"))));
    }

    #[test]
    fn an_option_past_the_end_stops_the_message() {
        assert_eq!(read(41, &[0, 8, 0, 9, 0]), (None, vec![("EDNS_truncated_option", None)]));
    }

    #[test]
    fn service_parameters_of_wrong_length_are_odd() {
        let with = |params: &[u8]| read(65, &[&[0, 1, 0][..], params].concat());
        let root = || Some(Rdata::Svcb(1, Name::from_slice(b".")));
        assert_eq!(with(&[0, 1, 0, 6, 2, b'h', b'2', 2, b'h', b'3']), (root(), vec![]));
        let odd = |params: &[u8]| with(params).1[0].0;
        assert_eq!(odd(&[0, 1, 0, 6, 2, b'h', b'2', 8, b'h', b'3']), "DNS_SVCB_alpn_length_invalid");
        assert_eq!(odd(&[0, 1, 0, 6, 2, b'h', b'2', 1, b'h', b'3']), "DNS_SVCB_alpn_length_invalid");
        assert_eq!(odd(&[0, 3, 0, 3, 1, 0xbb, 0]), "DNS_SVCB_port_length_invalid");
    }
}
