//! What surrounds a packet, and who knows what that means: which tap saw it, whose it is.
//!
//! Decap only collects the numbers on the way; their meaning is the user's ([`Naming`]). What was asked once is remembered, so that a
//! packet costs one look into a table, and nothing where nobody wants names.

use std::fmt::Debug;
use std::sync::Arc;

use hashbrown::HashMap;
use weir_wire::{Address, TenantId};

/// Surroundings whose meaning is remembered; beyond, all are asked for again. Real ones are some for each tap.
const MAX_KNOWN: usize = 65_536;
/// Network identifiers that are remembered of one packet: as many as tunnels may be in each other (Zeek: 4).
const VNIS: usize = 4;

/// The numbers around a packet, as far as they were passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Around {
    /// The source that handed the frame over ([`weir_wire::Frame::tap`]).
    pub source: u16,
    /// The sender of the outermost tunnel. Behind a load balancer that says so by an option: of the tunnel within.
    pub sender: Option<Address>,
    /// What the sender calls that tunnel.
    pub channel: Option<Tunnelled>,
    /// The identifiers of VXLAN and GENEVE, from the outside in.
    pub vnis: [Option<u32>; VNIS],
    /// The key of the outermost GRE that has one.
    pub key: Option<u32>,
    /// The session of ERSPAN.
    pub session: Option<u16>,
    /// weir's number of the tap, and of its interface.
    pub tap: Option<(u32, u16)>,
    /// The VLAN ids of the innermost Ethernet frame that has some, outer and inner; 0: none.
    pub vlans: [u16; 2],
    /// The endpoint of a load balancer.
    pub endpoint: Option<u64>,
    /// The attachment of a load balancer.
    pub attachment: Option<u64>,
}

/// What tells the tunnels of one sender apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tunnelled {
    /// By VNI.
    Vni(u32),
    /// By GRE key.
    Key(u32),
    /// By ERSPAN session.
    Session(u16),
    /// By weir's numbers of the tap and its interface.
    Tap(u32, u16),
}

impl Around {
    /// The walk enters a tunnel that `sender` sent, with so many around it already.
    pub fn enter(&mut self, depth: u8, sender: Option<Address>, channel: Option<Tunnelled>) {
        let is_outermost = depth == 0;
        let is_behind_balancer = depth == 1 && (self.endpoint.is_some() || self.attachment.is_some());
        match channel {
            Some(Tunnelled::Vni(vni)) => self.vni(vni),
            Some(Tunnelled::Key(key)) => self.key = self.key.or(Some(key)),
            Some(Tunnelled::Session(session)) => self.session = self.session.or(Some(session)),
            Some(Tunnelled::Tap(tap, interface)) if is_outermost => self.tap = Some((tap, interface)),
            Some(Tunnelled::Tap(..)) | None => {}
        }
        if is_outermost || is_behind_balancer {
            self.sender = sender;
            self.channel = channel;
        }
    }

    /// A network identifier was passed.
    pub fn vni(&mut self, vni: u32) {
        if let Some(place) = self.vnis.iter_mut().find(|place| place.is_none()) {
            *place = Some(vni);
        }
    }
}

/// What surroundings mean.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Named {
    /// The number of the tap: equal for equal names.
    pub tap: u16,
    /// The tenant; `None`: as [`crate::Tenants`] says.
    pub tenant: Option<TenantId>,
}

/// Who knows what surroundings mean.
pub trait Naming: Send + Sync + Debug {
    /// What they mean. Asked seldom: the answer is remembered.
    fn named(&self, around: &Around) -> Named;
    /// Another number than before where earlier answers hold no longer.
    fn generation(&self) -> u32;
}

/// What was asked so far.
pub(crate) struct Known {
    naming: Arc<dyn Naming>,
    generation: u32,
    answers: HashMap<Around, Named, foldhash::fast::RandomState>,
}

impl Known {
    /// Nothing was asked yet.
    pub fn new(naming: Arc<dyn Naming>) -> Self {
        Self { generation: naming.generation(), naming, answers: HashMap::default() }
    }

    /// What `around` means.
    pub fn named(&mut self, around: &Around) -> Named {
        if let Some(named) = self.answers.get(around) {
            return *named;
        }
        if self.answers.len() >= MAX_KNOWN {
            self.answers.clear();
        }
        let named = self.naming.named(around);
        self.answers.insert(*around, named);
        named
    }

    /// Forgets answers that hold no longer.
    pub fn refresh(&mut self) {
        let generation = self.naming.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.answers.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting {
        asked: AtomicU32,
        generation: AtomicU32,
    }

    impl Naming for Counting {
        fn named(&self, around: &Around) -> Named {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Named { tap: around.source + 1, tenant: None }
        }
        fn generation(&self) -> u32 {
            self.generation.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_was_asked_is_remembered_until_it_holds_no_longer_and_not_without_end() {
        let naming = Arc::new(Counting::default());
        let mut known = Known::new(Arc::<Counting>::clone(&naming));
        let around = |source| Around { source, ..Around::default() };
        for _ in 0..3 {
            assert_eq!(known.named(&around(4)).tap, 5);
        }
        assert_eq!(naming.asked.load(Ordering::Relaxed), 1);
        naming.generation.store(7, Ordering::Relaxed);
        known.refresh();
        known.named(&around(4));
        assert_eq!(naming.asked.load(Ordering::Relaxed), 2);
        for vni in 0..200_000 {
            let mut around = around(1);
            around.vni(vni);
            known.named(&around);
            assert!(known.answers.len() <= MAX_KNOWN);
        }
    }

    #[test]
    fn behind_a_load_balancer_the_sender_is_that_of_the_tunnel_within() {
        let (balancer, host) = (Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 2]));
        let mut around = Around::default();
        around.enter(0, Some(balancer), Some(Tunnelled::Vni(0)));
        around.enter(1, Some(host), Some(Tunnelled::Vni(5)));
        assert_eq!((around.sender, around.vnis), (Some(balancer), [Some(0), Some(5), None, None]));
        let mut around = Around { endpoint: Some(1), ..Around::default() };
        around.enter(0, Some(balancer), Some(Tunnelled::Vni(0)));
        around.enter(1, Some(host), Some(Tunnelled::Vni(5)));
        around.enter(2, Some(balancer), Some(Tunnelled::Key(9)));
        assert_eq!((around.sender, around.channel), (Some(host), Some(Tunnelled::Vni(5))));
    }
}
