//! Columns behind those of Zeek, where the user switches them on: which tap saw it, whose it is.
//!
//! Logs whose records have a uid have them. conn.log has all taps that saw the connection (`taps`), the others the one whose
//! packet caused the record (`tap`).

use std::fmt;
use std::sync::Arc;

use weir_record::{Field, Kind, LogKind, Vantage, Visitor};
use weir_wire::TenantId;

/// Who knows the names that logs show.
pub trait Names: Send + Sync {
    /// The name of the tap with this number; `None` where it has none.
    fn tap(&self, number: u16) -> Option<Arc<str>>;
    /// The name of a tenant; `None` where it has none.
    fn tenant(&self, tenant: TenantId) -> Option<Arc<str>>;
}

/// Which columns there are.
#[derive(Clone)]
pub struct Columns {
    /// Whether `tap` is one, in conn.log `taps`.
    pub tap: bool,
    /// Whether `tenant` is one.
    pub tenant: bool,
    /// Who knows the names.
    pub names: Arc<dyn Names>,
}

impl fmt::Debug for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columns")
            .field("tap", &self.tap)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// The taps of a connection.
pub const TAPS: Field = Field {
    name: "taps",
    kind: Kind::Set(&Kind::String),
    doc: "The taps that saw the connection, eight at most, first the one that saw it first.",
};
/// The tap of a record.
pub const TAP: Field =
    Field { name: "tap", kind: Kind::String, doc: "The tap whose packet caused the record." };
/// The tenant.
pub const TENANT: Field =
    Field { name: "tenant", kind: Kind::String, doc: "Whose traffic it is, as the file of tenants says." };

/// Whether a log has such columns at all.
fn concerns(kind: LogKind) -> bool {
    kind.fields().iter().any(|field| field.name == "uid")
}

impl Columns {
    /// Those of a log, in order.
    pub fn fields(&self, kind: LogKind) -> impl Iterator<Item = Field> + Clone + use<> {
        let taps = if kind == LogKind::Conn { TAPS } else { TAP };
        let all = [(self.tap, taps), (self.tenant, TENANT)];
        all.into_iter().filter(move |(is_on, _)| *is_on && concerns(kind)).map(|(_, field)| field)
    }

    /// Tells `visitor` their values.
    pub fn visit<V: Visitor>(&self, kind: LogKind, vantage: &Vantage, visitor: &mut V) {
        for field in self.fields(kind) {
            visitor.field(field.name);
            match field.name {
                "taps" => {
                    let names = vantage.taps.as_slice().iter().filter_map(|tap| self.names.tap(*tap));
                    // Several numbers may have one name.
                    let mut shown: Vec<Arc<str>> = Vec::with_capacity(vantage.taps.as_slice().len());
                    for name in names {
                        if !shown.contains(&name) {
                            shown.push(name);
                        }
                    }
                    visitor.begin(shown.len());
                    shown.iter().for_each(|name| visitor.text(name.as_bytes()));
                    visitor.end();
                }
                "tap" => {
                    let first = vantage.taps.as_slice().first();
                    name(first.and_then(|tap| self.names.tap(*tap)), visitor);
                }
                _ => name(self.names.tenant(vantage.tenant), visitor),
            }
        }
    }
}

fn name<V: Visitor>(name: Option<Arc<str>>, visitor: &mut V) {
    match name {
        Some(name) => visitor.text(name.as_bytes()),
        None => visitor.unset(),
    }
}

#[cfg(test)]
pub mod tests {
    use weir_record::{ConnUid, Entry, Name, Ordered, Reporter, Taps, Tunnel};
    use weir_wire::{ConnId, Time};

    use super::*;
    use crate::{Format, Style, line_of, tsv_header};

    /// Taps are called "tap N", and tenant 1 is "blue".
    pub struct Plain;

    impl Names for Plain {
        fn tap(&self, number: u16) -> Option<Arc<str>> {
            Some(format!("tap {number}").into())
        }
        fn tenant(&self, tenant: TenantId) -> Option<Arc<str>> {
            (tenant == TenantId(1)).then(|| "blue".into())
        }
    }

    fn style(format: Format, tap: bool, tenant: bool) -> Style {
        Style { format, columns: Some(Arc::new(Columns { tap, tenant, names: Arc::new(Plain) })) }
    }

    fn shown(style: &Style, entry: Entry, tenant: u32) -> String {
        let mut taps = Taps::of(3);
        taps.add(4);
        let vantage = Vantage { tenant: TenantId(tenant), taps };
        let mut out = Vec::new();
        line_of(style, &Ordered { sequence: 0, vantage, entry }, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn tunnel() -> Entry {
        let (id, tunnel_type, action) = (ConnId::default(), Name("Tunnel::IP"), Name("Tunnel::CLOSE"));
        Tunnel { ts: Time(0), uid: Some(ConnUid::default()), id, tunnel_type, action }.into()
    }

    #[test]
    fn columns_that_are_on_come_last_and_the_header_names_them() {
        let both = style(Format::Tsv, true, true);
        assert!(shown(&both, tunnel(), 1).ends_with("\tTunnel::CLOSE\ttap 3\tblue\n"));
        assert!(shown(&both, tunnel(), 2).ends_with("\ttap 3\t-\n"));
        assert!(shown(&style(Format::Tsv, false, true), tunnel(), 1).ends_with("\tTunnel::CLOSE\tblue\n"));
        assert!(
            shown(&style(Format::Json, true, true), tunnel(), 1)
                .ends_with(",\"tap\":\"tap 3\",\"tenant\":\"blue\"}\n")
        );
        assert!(!shown(&style(Format::Json, true, true), tunnel(), 2).contains("tenant"));
        let header = |kind| {
            let mut out = Vec::new();
            tsv_header(kind, both.columns.as_deref(), "2026-11-23-01-29-34", &mut out);
            String::from_utf8(out).unwrap()
        };
        assert!(header(LogKind::Tunnel).contains("\taction\ttap\ttenant\n#types"));
        assert!(header(LogKind::Conn).contains("\tip_proto\ttaps\ttenant\n#types"));
        assert!(header(LogKind::Conn).ends_with("\tset[string]\tstring\n"));
    }

    #[test]
    fn logs_without_uid_have_none() {
        let (level, message) = (Name("Reporter::INFO"), "x".into());
        let reporter = Reporter { ts: Time(0), level, message, location: None };
        assert!(shown(&style(Format::Tsv, true, true), reporter.into(), 1).ends_with("\tx\t-\n"));
    }
}
