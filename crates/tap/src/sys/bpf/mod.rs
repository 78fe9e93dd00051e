//! Programs that run in the kernel (eBPF): how they are told what to do, and how they get there.
//!
//! Promises: the programs answer with the lane that `weir-spread` gives the innermost packet of a frame, by the rules of its
//! classic programs (test `the_program_in_the_kernel_and_the_lane_agree` in `crates/weir/tests/kernel.rs`). They need no type
//! information of the kernel, only Linux 5.8; XDP needs 5.18. The sources are C, in `crates/tap/bpf`; `cargo xtask bpf`
//! builds the objects that lie beside them, and `cargo xtask test` builds them again and compares.
//!
//! Source: Documentation/bpf, linux/bpf.h.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use aya::programs::{ProgramError, SocketFilter};
use aya::{Ebpf, EbpfLoader};

use crate::TapError;

/// What stays together, as `weir_spread::SpreadBy` says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum FlowBy {
    /// All between two addresses.
    #[default]
    Pair = 0,
    /// A connection.
    Flow = 1,
    /// All of a tenant.
    Tenant = 2,
    /// All between two addresses, by the sum of their last words.
    Sum = 3,
}

/// Which number around a packet is its tenant, as `weir_spread::TenantNumber` says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum FlowTenant {
    /// None.
    #[default]
    Nothing = 0,
    /// The VNI of the innermost tunnel.
    Vni = 1,
    /// The outermost VLAN id.
    Vlan = 2,
    /// The key of the innermost GRE tunnel.
    Key = 3,
}

/// What a program is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowSettings {
    /// What stays together.
    pub by: FlowBy,
    /// Whose packets are whose.
    pub tenant: FlowTenant,
    /// Among how many lanes.
    pub lanes: u32,
    /// Whether frames that the interface sends have an Ethernet header. Default yes; tunnel devices have none.
    pub ethernet: bool,
    /// UDP ports of VXLAN; the first [`MAX_PORTS`] count.
    pub vxlan_ports: Vec<u16>,
    /// UDP ports of GENEVE; the same.
    pub geneve_ports: Vec<u16>,
}

/// How many ports of one kind of tunnel a program knows.
pub const MAX_PORTS: usize = 4;

impl FlowSettings {
    /// By pair of addresses among `lanes`, one tenant, usual ports.
    pub fn new(lanes: u32) -> Self {
        use weir_wire::tunnel::{geneve, vxlan};
        Self {
            by: FlowBy::default(),
            tenant: FlowTenant::default(),
            lanes,
            ethernet: true,
            vxlan_ports: vec![vxlan::PORT],
            geneve_ports: vec![geneve::PORT],
        }
    }

    /// `struct settings` of `walk.h`.
    pub(super) fn words(&self, tunnels: bool) -> [u32; 13] {
        let mut words = [0; 13];
        let head = [
            self.by as u32,
            self.tenant as u32,
            self.lanes.max(1),
            u32::from(self.ethernet),
            u32::from(tunnels),
        ];
        let ports = |ports: &[u16]| {
            let mut all = [0; MAX_PORTS];
            all.iter_mut().zip(ports).for_each(|(to, port)| *to = u32::from(*port));
            all
        };
        let ports = [ports(&self.vxlan_ports), ports(&self.geneve_ports)];
        let all = head.into_iter().chain(ports.into_iter().flatten());
        words.iter_mut().zip(all).for_each(|(to, word)| *to = word);
        words
    }
}

/// A program that answers with the lane of a frame, for the rings of a fanout group ([`FanoutMode::Ebpf`](crate::FanoutMode)).
pub struct FanoutProgram {
    ebpf: Ebpf,
}

impl FanoutProgram {
    /// Loads the program; `interface` is for the message where that fails.
    ///
    /// # Errors
    /// The kernel does not allow it, or does not take the program.
    pub fn load(settings: &FlowSettings, interface: &str) -> Result<Self, TapError> {
        let object = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/fanout.o"));
        let fail = |source| failure("load a program that splits the traffic of", interface, source);
        let words = settings.words(false);
        let loaded = EbpfLoader::new().override_global("SETTINGS", &words[..], true).load(object);
        let mut this = Self { ebpf: loaded.map_err(|error| fail(io::Error::other(error)))? };
        this.program().and_then(SocketFilter::load).map_err(|error| fail(cause(error)))?;
        Ok(this)
    }

    /// What the kernel knows it by.
    ///
    /// # Errors
    /// The process has no more descriptors.
    pub fn descriptor(&mut self) -> io::Result<Arc<OwnedFd>> {
        let program = self.program().map_err(cause)?;
        let descriptor = program.fd().map_err(cause)?.as_fd().try_clone_to_owned()?;
        Ok(Arc::new(descriptor))
    }

    /// What the program answers to an Ethernet frame that is received: for tests, as it costs a system call.
    ///
    /// # Errors
    /// The kernel takes no frame of this length.
    pub fn try_out(&mut self, frame: &[u8]) -> io::Result<u32> {
        use aya::programs::{TestRun, TestRunOptions};
        let program = self.program().map_err(cause)?;
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        program.test_run(options).map(|result| result.return_value).map_err(cause)
    }

    fn program(&mut self) -> Result<&mut SocketFilter, ProgramError> {
        self.ebpf.program_mut("fanout").ok_or(ProgramError::NotLoaded)?.try_into()
    }
}

impl std::fmt::Debug for FanoutProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FanoutProgram").finish_non_exhaustive()
    }
}

/// What the system said.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other errors are told as they are")]
pub(super) fn cause(error: ProgramError) -> io::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let last = log.lines().rev().take(3).collect::<Vec<_>>();
            if last.is_empty() { io_error } else { io::Error::new(io_error.kind(), last.join("; ")) }
        }
        ProgramError::SyscallError(error) => error.io_error,
        ProgramError::IOError(error) => error,
        other => io::Error::other(other),
    }
}

/// Whether the cause, or what caused it, is that the system does not allow it.
fn is_forbidden(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        next = error.source().or_else(|| io.and_then(|io| io.get_ref()).map(|inner| inner as _));
    }
    false
}

pub(super) fn failure(operation: &'static str, interface: &str, source: io::Error) -> TapError {
    let hint = if is_forbidden(&source) {
        ": needs CAP_BPF and CAP_NET_ADMIN: run with sudo, or once `setcap \
         cap_net_raw,cap_net_admin,cap_bpf+ep` on the weir binary"
            .into()
    } else {
        String::new()
    };
    TapError::Interface { operation, interface: interface.to_owned(), hint, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_words_in_the_order_of_the_programs_structure() {
        let settings = FlowSettings {
            by: FlowBy::Flow,
            tenant: FlowTenant::Key,
            vxlan_ports: vec![1, 2, 3, 4, 5],
            geneve_ports: vec![9],
            ..FlowSettings::new(7)
        };
        assert_eq!(settings.words(false), [1, 3, 7, 1, 0, 1, 2, 3, 4, 9, 0, 0, 0]);
        assert_eq!(FlowSettings::new(0).words(true)[2], 1);
    }

    #[test]
    fn a_lack_of_rights_is_told_wherever_in_an_error_it_stands() {
        let inner = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = failure("load", "eth0", io::Error::other(io::Error::other(inner)));
        assert!(error.to_string().contains("CAP_BPF"), "{error}");
    }
}
