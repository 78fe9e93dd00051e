//! Values of the user, checked: what has one of these types can stand in a command, in HCL and in YAML as it is.
//!
//! Each is a short list of what it may hold; what is outside is refused with a sentence, so that nothing has to be
//! escaped where texts are made.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

macro_rules! words {
    ($($(#[$doc:meta])+ $name:ident: $most:literal, $holds:literal, $fits:expr;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub struct $name(String);

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let fits: fn(&str) -> bool = $fits;
                if text.is_empty() || text.len() > $most || !fits(text) {
                    return Err(format!("{text:?} is not {}", $holds));
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

words! {
    /// The name of an interface, port or bridge: IFNAMSIZ less its end is 15.
    Interface: 15, "the name of an interface: at most 15 of a-z A-Z 0-9 . _ -, and no - in front", |text| {
        of(text, "._-") && !text.starts_with('-') && text != "." && text != ".."
    };
    /// What a plan is called: it follows `weir-`, and a number may follow it in the name of an interface.
    Label: 7, "a name for a plan: at most 7 of a-z 0-9", |text| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    /// A name of Kubernetes or of GCP (RFC 1035 label).
    DnsLabel: 63, "a DNS label: a-z 0-9 -, a letter in front, no - at the end", |text| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
    };
    /// An image of a container.
    Image: 255, "an image: registry/name:tag", |text| of(text, "._-/:@") && !text.starts_with(['-', '/', '.']);
    /// An identifier of a cloud: `eni-…`, an ARN, `projects/…`, `/subscriptions/…`, or a reference like
    /// `aws_lb.sensor.arn` to another resource of the same Terraform configuration (see [`CloudId::hcl`]).
    CloudId: 512, "an identifier of a cloud, or a reference of Terraform: letters, digits and . _ - / : [ ]", |text| {
        of(text, "._-/:[]") && !text.starts_with('-')
    };
    /// A place of a cloud.
    Region: 40, "a region: a-z A-Z 0-9 -", |text| of(text, "-") && !text.starts_with('-');
}

fn of(text: &str, others: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || others.as_bytes().contains(&b))
}

impl Interface {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Label {
    /// The label of what is done to `place`: its own name where that fits, else the begin of it and a digest.
    pub fn of(place: &str) -> Self {
        place.parse().unwrap_or_else(|_| {
            let head = place.bytes().find(u8::is_ascii_lowercase).map_or('x', char::from);
            Self(format!("{head}{:06x}", super::digest(place) & 0xff_ffff))
        })
    }

    /// The name that marks all of a plan.
    pub fn name(&self) -> String {
        format!("weir-{self}")
    }
}

impl CloudId {
    /// In HCL: a reference as it is, everything else as a string.
    pub fn hcl(&self) -> String {
        let first = self.0.split(['.', '[']).next().unwrap_or_default();
        let reference = self.0.contains('.')
            && !self.0.contains(['/', ':'])
            && (["var", "local", "data", "module"].contains(&first) || first.contains('_'));
        if reference { self.0.clone() } else { format!("\"{}\"", self.0) }
    }
}

/// A network, as `address/length`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cidr(IpAddr, u8);

impl FromStr for Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network: 10.0.0.0/8, fd00::/8");
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let length = length.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if length <= most { Ok(Self(address, length)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_shell_or_another_language_reads_as_its_own_gets_in() {
        let hostile = [
            "", "a b", "a;b", "a'b", "a\"b", "a$b", "a`b", "a\nb", "a{b", "a}b", "a|b", "a&b", "a\\b", "-x",
            "a#b", "a*b", "a%b", "ä", "a\0b", "a(b",
        ];
        for text in hostile {
            assert!(text.parse::<Interface>().is_err(), "{text:?}");
            assert!(text.parse::<Label>().is_err(), "{text:?}");
            assert!(text.parse::<DnsLabel>().is_err(), "{text:?}");
            assert!(text.parse::<Image>().is_err(), "{text:?}");
            assert!(text.parse::<CloudId>().is_err(), "{text:?}");
            assert!(text.parse::<Region>().is_err(), "{text:?}");
            assert!(text.parse::<Cidr>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_names_of_the_kernel_and_the_clouds_are_understood() {
        assert!(
            "enp0s31f6.100".parse::<Interface>().is_ok() && "sixteen-letters-".parse::<Interface>().is_err()
        );
        assert!("..".parse::<Interface>().is_err());
        assert!("ghcr.io/weir/weir:0.1@sha256:ab".parse::<Image>().is_ok());
        assert!("10.0.0.0/33".parse::<Cidr>().is_err() && "fd00::/8".parse::<Cidr>().is_ok());
        assert!("9a".parse::<DnsLabel>().is_err() && "a-".parse::<DnsLabel>().is_err());
    }

    #[test]
    fn a_label_is_the_place_where_it_fits_and_else_is_still_short_and_its_own() {
        assert_eq!(Label::of("eth1").name(), "weir-eth1");
        let (one, two) = (Label::of("enp0s31f6"), Label::of("enp0s31f7"));
        assert!(one != two && one.0.len() == 7 && one.0.starts_with('e'), "{one}");
        assert!(one.0.parse::<Label>().is_ok());
        assert!(format!("{}-63", one.name()).parse::<Interface>().is_ok());
    }

    #[test]
    fn a_reference_stays_one_in_hcl_and_an_identifier_is_a_string() {
        let hcl = |text: &str| text.parse::<CloudId>().unwrap().hcl();
        assert_eq!(hcl("eni-0123"), "\"eni-0123\"");
        assert_eq!(hcl("aws_lb.sensor.arn"), "aws_lb.sensor.arn");
        assert_eq!(hcl("var.sensor"), "var.sensor");
        assert_eq!(
            hcl("arn:aws:elasticloadbalancing:eu:1:x/y.z"),
            "\"arn:aws:elasticloadbalancing:eu:1:x/y.z\""
        );
    }
}
