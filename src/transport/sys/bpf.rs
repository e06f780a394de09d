//! `bpf(2)`: maps and programs that choose a socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// The type of a BPF map, from `enum bpf_map_type`. Keys are 32 bits wide in each of these.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MapKind {
    /// Bytes, separate for each processor, zero at first.
    PerCpuArray = 6,
    /// Sockets of one `SO_REUSEPORT` group. A socket that is closed leaves it.
    ReusePortSockets = 20,
}

/// Creates a BPF map with this many entries.
pub(crate) fn bpf_map(kind: MapKind, value_bytes: u32, entries: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
    }
    const BPF_MAP_CREATE: libc::c_int = 0;
    let attributes = MapCreate {
        map_type: kind as u32,
        key_size: 4,
        value_size: value_bytes,
        max_entries: entries,
    };
    // SAFETY: this command reads four numbers; its result is a new descriptor.
    unsafe { Ok(OwnedFd::from_raw_fd(bpf(BPF_MAP_CREATE, &attributes)?)) }
}

/// Puts a socket, which must belong to a group of at least two, into a map of sockets.
pub(crate) fn bpf_map_put_socket(
    map: BorrowedFd<'_>,
    index: u32,
    socket: BorrowedFd<'_>,
) -> io::Result<()> {
    #[repr(C, align(8))]
    struct MapUpdateElem {
        map_fd: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
    let descriptor = socket.as_raw_fd();
    let attributes = MapUpdateElem {
        map_fd: map.as_raw_fd().cast_unsigned(),
        padding: 0,
        key: address_of(&index),
        value: address_of(&descriptor),
        flags: 0,
    };
    // SAFETY: the kernel reads a key and a value of four bytes each, the sizes with which `bpf_map`
    // created the map for sockets (another kind is refused), and both live until the call is over.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &attributes).map(drop) }
}

/// Makes the kernel verify and keep a program of type `BPF_PROG_TYPE_SK_REUSEPORT`.
///
/// If there is room for a `log`, the verifier writes its messages there, as C text, at this level:
/// 1 says why it refuses, 4 how many instructions it checked.
pub(crate) fn bpf_load_reuseport(
    program: &[u64],
    log: Option<(u32, &mut [u8])>,
) -> io::Result<OwnedFd> {
    #[repr(C, align(8))]
    struct ProgLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
    }
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_SK_REUSEPORT: u32 = 21;
    // The kernel offers certain functions only to programs with a GPL-compatible licence name; ours
    // calls none of them.
    let license = c"MIT OR Apache-2.0";
    let (log_level, log_size, log_buf) = match log {
        Some((level, log)) => {
            (level, log.len() as u32, log.as_mut_ptr().expose_provenance() as u64)
        }
        None => (0, 0, 0),
    };
    let attributes = ProgLoad {
        prog_type: BPF_PROG_TYPE_SK_REUSEPORT,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level,
        log_size,
        log_buf,
    };
    // SAFETY: the kernel reads `insn_cnt` instructions of eight bytes and a C string, and writes at
    // most `log_size` bytes into the log, which is borrowed mutably until the call is over. Its
    // result is a new descriptor.
    unsafe { Ok(OwnedFd::from_raw_fd(bpf(BPF_PROG_LOAD, &attributes)?)) }
}

/// Calls `bpf(2)`. The kernel treats all attributes beyond `T` as zero.
///
/// # Safety
/// `T` must have the layout that the kernel reads for this command, without uninitialised bytes,
/// and each address in it must point to memory that the command may use.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of the attributes; the caller guarantees
    // their content.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            ptr::from_ref(attributes),
            size_of::<T>() as libc::c_uint,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as i32)
}

/// Returns the address of this value, in the form that `bpf(2)` takes.
fn address_of<T>(value: &T) -> u64 {
    ptr::from_ref(value).expose_provenance() as u64
}
