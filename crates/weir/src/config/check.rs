//! What is wrong with a configuration beyond keys and types: values that no source would take, found before one is opened; and
//! for `weir config check`, what it names that is not on this machine.

use weir_tap::pcap_over_ip::Endpoint;
use weir_tap::tunnel_socket::{TunnelProtocol, TunnelSocketOptions};
use weir_tap::{Filter, FilterError, interfaces};

use super::Config;
use super::fault::Place;
use super::sense::{given, key_in};
use crate::run::sense::address_of;

/// Whether a run would end by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// It would.
    Error,
    /// It would here and now; on another machine, or later, it may not.
    Warning,
}

/// What is said of one value.
pub type Remark = (Place, Severity, String);

const fn sense(key: &'static str) -> Place {
    Place { section: "sense", key, index: None }
}

/// Values that cannot be, wherever the sensor runs.
pub fn values(config: &Config) -> Vec<(Place, String)> {
    let sensor = &config.sense;
    let mut found = Vec::new();
    let sockets =
        [("vxlan", TunnelProtocol::Vxlan, &sensor.vxlan), ("geneve", TunnelProtocol::Geneve, &sensor.geneve)];
    for (key, protocol, addresses) in sockets {
        let port = TunnelSocketOptions::new(protocol).address.port();
        for (index, address) in addresses.iter().enumerate() {
            if let Err(error) = address_of(address, port) {
                found.push((Place { index: Some(index), ..sense(key) }, error.to_string()));
            }
        }
    }
    for (index, url) in sensor.pcap_over_ip.iter().enumerate() {
        if let Err(error) = url.parse::<Endpoint>() {
            found.push((Place { index: Some(index), ..sense("pcap_over_ip") }, error.to_string()));
        }
    }
    if given(&sensor.metrics).is_some_and(|address| address.parse::<std::net::SocketAddr>().is_err()) {
        let message = format!("{:?} is no address with a port: 127.0.0.1:9640, [::1]:9640", sensor.metrics);
        found.push((sense("metrics"), message));
    }
    if !sensor.block_size.is_power_of_two() || !(1 << 16..=1 << 26).contains(&sensor.block_size) {
        let message = format!("{} is not a power of two from 65536 to 67108864", sensor.block_size);
        found.push((sense("block_size"), message));
    }
    if sensor.blocks < 2 {
        found.push((sense("blocks"), "a ring has at least 2 blocks".into()));
    }
    for (index, name) in sensor.interfaces.iter().enumerate() {
        let is_glob = name.contains(['*', '?']);
        if name.is_empty() || name.contains('/') || (!is_glob && name.len() > 15) {
            let message = format!("{name:?} can be no interface's name");
            found.push((Place { index: Some(index), ..sense("interfaces") }, message));
        }
    }
    found
}

/// What a sensor with `config` would trip over on this machine.
pub fn here(config: &Config) -> Vec<Remark> {
    let sensor = &config.sense;
    let mut found = Vec::new();
    let known = interfaces();
    for (index, name) in sensor.interfaces.iter().enumerate() {
        let glob = wildmatch::WildMatch::new(name);
        if name != "any" && !known.iter().any(|known| glob.matches(known)) {
            let message = format!("no interface here is named like {name:?}: there are {}", known.join(", "));
            found.push((Place { index: Some(index), ..sense("interfaces") }, Severity::Warning, message));
        }
    }
    if let Some(Err(error)) = given(&sensor.filter).map(Filter::new) {
        let severity = match error {
            FilterError::Library(_) => Severity::Warning,
            FilterError::Expression { .. } => Severity::Error,
        };
        found.push((sense("filter"), severity, error.to_string()));
    }
    if let Some(Err(error)) = given(&sensor.key_file).map(key_in) {
        found.push((sense("key_file"), Severity::Warning, format!("{error:#}")));
    }
    if let Some(user) = given(&sensor.user)
        && !matches!(nix::unistd::User::from_name(user), Ok(Some(_)))
    {
        found.push((sense("user"), Severity::Warning, format!("there is no user {user:?} here")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_this_machine_is_a_warning() {
        let mut config = Config::default();
        config.sense.interfaces = ["lo", "any", "no-such-if0", "no-such*"].map(String::from).into();
        config.sense.user = "no-such-user".into();
        config.sense.key_file = "/no/such/key".into();
        let found = here(&config);
        let at: Vec<_> =
            found.iter().map(|(place, severity, _)| (place.key, place.index, *severity)).collect();
        let warning = Severity::Warning;
        let expected = [
            ("interfaces", Some(2), warning),
            ("interfaces", Some(3), warning),
            ("key_file", None, warning),
            ("user", None, warning),
        ];
        assert_eq!(at, expected);
    }
}
