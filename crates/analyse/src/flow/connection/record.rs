//! A connection's record in conn.log, and its end before its time.

use weir_record::{Conn, ConnUid, Entries, Name, Set, Text};
use weir_wire::Time;

use super::{Flow, Shared};
use crate::Config;
use crate::context::Transport;

impl Flow {
    /// The lane leaves the connection out from `now` on: it ends as far as it was seen, which is told.
    pub fn shed(self, now: Time, shared: &mut Shared, out: &mut Entries) {
        self.weird(now, "flow_shed", Some("weir"), out);
        self.finish(now, shared, out);
    }

    /// What conn.log shows of it.
    pub(super) fn record(&self, config: &Config) -> Conn {
        let [orig_pkts, resp_pkts] = self.packets;
        let [orig_ip_bytes, resp_ip_bytes] = self.ip_bytes;
        let [orig_active, resp_active] = self.active;
        let (state, [orig_bytes, resp_bytes]) = match (&self.tcp, self.connection.transport) {
            (Some(tcp), _) => {
                let (orig, resp) = (tcp.machine.orig(), tcp.machine.resp());
                (tcp.machine.conn_state(self.history.letters()), [orig.size(resp), resp.size(orig)])
            }
            (None, Transport::Udp) => {
                let state = match (orig_active, resp_active) {
                    (true, true) => "SF",
                    (true, false) => "S0",
                    (false, true) => "SHR",
                    (false, false) => "OTH",
                };
                (state, self.payload)
            }
            (None, _) => ("OTH", self.payload),
        };
        let duration = self.last.since(self.connection.start);
        let lasted = duration.0 > 0;
        let parents = self.parents.as_ref();
        let parents = parents.map(|parents| Set(parents.iter().copied().map(ConnUid).collect()));
        let letters = self.history.letters();
        let id = self.connection.id;
        Conn {
            ts: self.connection.start,
            uid: ConnUid(self.connection.uid),
            id,
            proto: Name(self.connection.transport.name()),
            service: (!self.connection.services.is_empty())
                .then(|| Text::from(self.connection.services.join(","))),
            duration: lasted.then_some(duration),
            orig_bytes: lasted.then_some(orig_bytes),
            resp_bytes: lasted.then_some(resp_bytes),
            conn_state: Some(Name(state)),
            local_orig: Some(config.is_local(&id.orig_h)),
            local_resp: Some(config.is_local(&id.resp_h)),
            missed_bytes: self.missed,
            history: (!letters.is_empty()).then(|| Text::from(letters)),
            orig_pkts: Some(orig_pkts),
            orig_ip_bytes: Some(orig_ip_bytes),
            resp_pkts: Some(resp_pkts),
            resp_ip_bytes: Some(resp_ip_bytes),
            tunnel_parents: parents,
            ip_proto: Some(u64::from(self.key.protocol)),
        }
    }
}
