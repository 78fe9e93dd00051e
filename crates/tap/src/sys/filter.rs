//! tcpdump's filter language, by the libpcap that is installed.
//!
//! Promises: libpcap is looked for only when a filter is asked for, and never linked, so that weir runs where it is not.
//! Expressions are compiled for each link type that comes, once.
//!
//! Source: pcap(3PCAP), pcap-filter(7).

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;

use thiserror::Error;
use weir_wire::bpf::Instruction;
use weir_wire::{Frame, LinkType};

/// Why there is no filter.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FilterError {
    /// libpcap is not installed, or too old.
    #[error("a filter needs libpcap, which is not there (Debian: libpcap0.8): {0}")]
    Library(String),
    /// The expression is wrong, or cannot be said of the link type.
    #[error("the filter {expression:?} is not understood for link type {}: {why}", link.0)]
    Expression {
        /// The expression.
        expression: String,
        /// For which link type.
        link: LinkType,
        /// What libpcap says.
        why: String,
    },
}

/// A filter of frames.
pub struct Filter {
    library: Library,
    expression: CString,
    programs: HashMap<u16, Program>,
}

/// Names under which libpcap is installed.
const NAMES: &[&CStr] = &[c"libpcap.so.0.8", c"libpcap.so.1", c"libpcap.so"];

/// Frames are looked at this far (tcpdump's own limit).
const SNAP_LENGTH: c_int = 262_144;

/// No netmask is known (PCAP_NETMASK_UNKNOWN).
const NO_NETMASK: u32 = u32::MAX;

impl Filter {
    /// Loads libpcap and compiles `expression` for Ethernet, so that a mistake shows before anything is read.
    ///
    /// # Errors
    /// There is no libpcap, or the expression is wrong.
    pub fn new(expression: &str) -> Result<Self, FilterError> {
        let wrong = |why: &str| FilterError::Expression {
            expression: expression.into(),
            link: LinkType::ETHERNET,
            why: why.into(),
        };
        let text = CString::new(expression).map_err(|_| wrong("there is a NUL in it"))?;
        let library = Library::load().map_err(FilterError::Library)?;
        let program = library.compile(&text, LinkType::ETHERNET).map_err(|why| wrong(&why))?;
        let programs = HashMap::from([(LinkType::ETHERNET.0, program)]);
        Ok(Self { library, expression: text, programs })
    }

    /// Whether `frame` is wanted.
    ///
    /// # Errors
    /// The expression cannot be said of the frame's link type.
    pub fn matches(&mut self, frame: &Frame<'_>) -> Result<bool, FilterError> {
        if !self.programs.contains_key(&frame.link.0) {
            let program = self.library.compile(&self.expression, frame.link);
            let program = program.map_err(|why| FilterError::Expression {
                expression: self.expression.to_string_lossy().into_owned(),
                link: frame.link,
                why,
            })?;
            self.programs.insert(frame.link.0, program);
        }
        Ok(self.programs.get(&frame.link.0).is_some_and(|program| self.library.run(program, frame)))
    }
}

impl Filter {
    /// The program for `link`, to be given to the kernel: that for Ethernet is there from the beginning, for others it is empty
    /// where [`matches`](Self::matches) has compiled none.
    pub fn instructions(&self, link: LinkType) -> Vec<Instruction> {
        self.programs.get(&link.0).map(Program::instructions).unwrap_or_default()
    }
}

/// A program as text, one instruction a line, as `tcpdump -d` prints it.
///
/// # Errors
/// There is no libpcap.
#[allow(unsafe_code, reason = "a call of a C library")]
pub fn listing(program: &[Instruction]) -> Result<Vec<String>, FilterError> {
    static IMAGE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let library = Library::load().map_err(FilterError::Library)?;
    // libpcap writes into a buffer of its own, which the next call writes over.
    let _alone = IMAGE.lock();
    let lines = program.iter().enumerate().map(|(at, instruction)| {
        // SAFETY: `struct bpf_insn` has the layout of `Instruction` and is only read; the answer ends in NUL.
        let text = unsafe { CStr::from_ptr((library.image)(instruction, at as c_int)) };
        text.to_string_lossy().into_owned()
    });
    Ok(lines.collect())
}

impl Program {
    #[allow(unsafe_code, reason = "memory of a C library")]
    fn instructions(&self) -> Vec<Instruction> {
        if self.instructions.is_null() {
            return Vec::new();
        }
        // SAFETY: libpcap has put `len` instructions there, which live until the process ends, and `struct bpf_insn` has the
        // layout of the kernel's `struct sock_filter`.
        unsafe { std::slice::from_raw_parts(self.instructions.cast::<Instruction>(), self.len as usize) }
            .to_vec()
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filter").field(&self.expression).finish()
    }
}

type OpenDead = unsafe extern "C" fn(c_int, c_int) -> *mut c_void;
type Compile = unsafe extern "C" fn(*mut c_void, *mut Program, *const c_char, c_int, u32) -> c_int;
type GetErr = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type OfflineFilter = unsafe extern "C" fn(*const Program, *const PacketHeader, *const u8) -> c_int;
type Image = unsafe extern "C" fn(*const Instruction, c_int) -> *const c_char;
type Close = unsafe extern "C" fn(*mut c_void);

/// The functions of libpcap that are used. The library stays loaded until the process ends.
struct Library {
    open_dead: OpenDead,
    compile: Compile,
    geterr: GetErr,
    offline_filter: OfflineFilter,
    image: Image,
    close: Close,
}

/// `struct bpf_program`. Its instructions live until the process ends: there is one program for each link type.
#[repr(C)]
struct Program {
    len: u32,
    instructions: *mut c_void,
}

/// `struct pcap_pkthdr`.
#[repr(C)]
struct PacketHeader {
    time: libc::timeval,
    captured: u32,
    len: u32,
}

// SAFETY: a program is never changed after it was compiled, and libpcap's interpreter has no state of its own.
#[allow(unsafe_code, reason = "a pointer to memory that nobody changes")]
unsafe impl Send for Program {}

impl Library {
    #[allow(unsafe_code, reason = "functions of a library that is loaded at run time")]
    fn load() -> Result<Self, String> {
        // SAFETY: the names end in NUL. Loading runs libpcap's initialisers, which have no precondition.
        let handle = NAMES
            .iter()
            .find_map(|name| NonNull::new(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }));
        let Some(handle) = handle else { return Err("none of its names can be loaded".into()) };
        let find = |name: &CStr| {
            // SAFETY: the handle is that of a loaded library and the name ends in NUL.
            let found = NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) });
            found.map(NonNull::as_ptr).ok_or_else(|| format!("it has no {}", name.to_string_lossy()))
        };
        // SAFETY: the types are those of the prototypes in pcap/pcap.h, which have not changed since libpcap 1.0.
        unsafe {
            Ok(Self {
                open_dead: std::mem::transmute::<*mut c_void, OpenDead>(find(c"pcap_open_dead")?),
                compile: std::mem::transmute::<*mut c_void, Compile>(find(c"pcap_compile")?),
                geterr: std::mem::transmute::<*mut c_void, GetErr>(find(c"pcap_geterr")?),
                offline_filter: std::mem::transmute::<*mut c_void, OfflineFilter>(find(
                    c"pcap_offline_filter",
                )?),
                image: std::mem::transmute::<*mut c_void, Image>(find(c"bpf_image")?),
                close: std::mem::transmute::<*mut c_void, Close>(find(c"pcap_close")?),
            })
        }
    }

    #[allow(unsafe_code, reason = "calls of a C library")]
    fn compile(&self, expression: &CStr, link: LinkType) -> Result<Program, String> {
        let mut program = Program { len: 0, instructions: std::ptr::null_mut() };
        // SAFETY: libpcap makes the handle and only it looks inside; `program` and `expression` outlive the calls, and what
        // `geterr` answers is copied before the handle is closed. A program does not depend on its handle.
        unsafe {
            let Some(handle) = NonNull::new((self.open_dead)(dlt(link), SNAP_LENGTH)) else {
                return Err("libpcap has no memory".into());
            };
            let status =
                (self.compile)(handle.as_ptr(), &raw mut program, expression.as_ptr(), 1, NO_NETMASK);
            let why = (status != 0)
                .then(|| CStr::from_ptr((self.geterr)(handle.as_ptr())).to_string_lossy().into_owned());
            (self.close)(handle.as_ptr());
            why.map_or(Ok(program), Err)
        }
    }

    #[allow(unsafe_code, reason = "a call of a C library")]
    fn run(&self, program: &Program, frame: &Frame<'_>) -> bool {
        let header = PacketHeader {
            time: libc::timeval { tv_sec: 0, tv_usec: 0 },
            captured: frame.data.len() as u32,
            len: frame.wire_len,
        };
        // SAFETY: the program is one that libpcap compiled, and `captured` bytes are there behind the pointer; the
        // interpreter looks at no others.
        unsafe { (self.offline_filter)(program, &raw const header, frame.data.as_ptr()) != 0 }
    }
}

/// libpcap's number of a link type, where it is not the one that captures have (Linux).
fn dlt(link: LinkType) -> c_int {
    if link == LinkType::RAW { 12 } else { c_int::from(link.0) }
}

#[cfg(test)]
mod tests {
    use weir_wire::{Offload, Time};

    use super::*;

    fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
        Frame {
            time: Time(0),
            tap: 0,
            sequence: 0,
            link,
            wire_len: data.len() as u32,
            offload: Offload::default(),
            data,
        }
    }

    /// Where libpcap is not installed there is nothing to test, and the error says so.
    fn filter(expression: &str) -> Option<Filter> {
        match Filter::new(expression) {
            Err(FilterError::Library(_)) => None,
            other => Some(other.unwrap()),
        }
    }

    #[test]
    fn a_filter_is_compiled_for_each_link_type() {
        let Some(mut filter) = filter("udp port 53") else { return };
        let mut ip = vec![0u8; 28];
        (ip[0], ip[3], ip[9], ip[23]) = (0x45, 28, 17, 53);
        let ethernet = [&[0u8; 12][..], &[8, 0], &ip].concat();
        assert_eq!(filter.matches(&frame(LinkType::RAW, &ip)), Ok(true));
        assert_eq!(filter.matches(&frame(LinkType::ETHERNET, &ethernet)), Ok(true));
        assert_eq!(filter.matches(&frame(LinkType::ETHERNET, &ip)), Ok(false));
        assert_eq!(filter.matches(&frame(LinkType::RAW, &[])), Ok(false));
    }

    #[test]
    fn a_listing_is_that_of_tcpdump() {
        let Some(filter) = filter("ip") else { return };
        let lines = listing(&filter.instructions(LinkType::ETHERNET)).unwrap();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "(000) ldh      [12]");
        assert!(lines[3].starts_with("(003) ret      #0"), "{lines:?}");
    }

    #[test]
    fn what_is_no_filter_is_said_with_libpcaps_own_words() {
        if filter("ip").is_none() {
            return;
        }
        let text = Filter::new("prot 80").err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("prot 80") && text.contains("error"), "{text}");
        assert!(Filter::new("ip\0").is_err());
    }
}
