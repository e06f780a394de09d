//! The interface to the kernel: mappings, `recvmmsg`, `sendmmsg`, `bpf` and the socket options that
//! no safe library offers.
//!
//! All `unsafe` of the project is here. The memory that the kernel reads and writes is in mappings
//! of our own ([`Region`]), used through raw pointers only, so that no Rust reference ever aliases
//! memory passed to a system call.
#![allow(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

use crate::limits::{BATCH, SLOT_BYTES, SLOT_STAGGER_BYTES};

/// Words of memory that all threads share. They start as zero, and another process could map them,
/// too.
///
/// A word costs memory only once its page has been touched.
#[derive(Debug)]
pub struct Mapping {
    /// At least `words * 8` bytes, page-aligned, readable and writable, zero when mapped.
    region: Region,
    /// The number of words.
    words: usize,
}

impl Mapping {
    /// Maps `words` zeroed words of an anonymous file.
    ///
    /// # Errors
    /// The kernel's error if the file or the address space cannot be created.
    pub fn anonymous_shared(words: usize) -> io::Result<Self> {
        let bytes = words.checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
        let file = File::from(nix::sys::memfd::memfd_create(c"strowger-pins", flags)?);
        file.set_len(bytes as u64)?;
        let region = Region::shared(&file, bytes)?;
        // Pins are at random positions in tens of megabytes: with small pages, nearly every access
        // misses the TLB as well as the cache.
        region.prefer_huge_pages();
        Ok(Self { region, words })
    }

    /// Makes the kernel allocate all of the memory now, so that none has to be allocated while
    /// messages arrive (Linux 5.14).
    ///
    /// # Errors
    /// The kernel's error if there is not enough.
    pub fn populate(&self) -> io::Result<()> {
        self.region.populate()
    }
}

impl Deref for Mapping {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the region is at least `words * 8` bytes long, page-aligned and initialised (the
        // kernel zeroes it), any bit pattern is a valid AtomicU64, and no other kind of reference
        // into it is ever created. The file behind it never shrinks: its only descriptor was closed
        // after the size was set.
        unsafe { slice::from_raw_parts(self.region.start.as_ptr().cast(), self.words) }
    }
}

/// Room for one batch of received datagrams.
#[derive(Debug)]
pub(crate) struct ReceiveBatch {
    /// The datagrams.
    slots: Slots,
    /// The source addresses, one per slot.
    names: RawArray<Name>,
    /// Entry `i` always points at the whole of slot `i`; only read by the kernel.
    _iovecs: RawArray<libc::iovec>,
    /// Entry `i` always points at name `i` and iovec `i`.
    headers: RawArray<libc::mmsghdr>,
    /// Entries `..filled` were written by the last `recvmmsg`; never more than `BATCH`.
    filled: usize,
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    /// Where it came from; `None` for an address family that we do not know.
    pub(crate) source: Option<SocketAddr>,
    /// Its payload.
    pub(crate) bytes: &'a [u8],
    /// It was longer than its slot.
    pub(crate) is_truncated: bool,
}

impl ReceiveBatch {
    /// Maps the memory for [`BATCH`] datagrams of the greatest length.
    pub(crate) fn new() -> io::Result<Self> {
        let slots = Slots::new()?;
        let names = RawArray::<Name>::new(BATCH)?;
        let iovecs = RawArray::<libc::iovec>::new(BATCH)?;
        let headers = RawArray::<libc::mmsghdr>::new(BATCH)?;
        for i in 0..BATCH {
            // SAFETY: `i` is within all three arrays, whose elements are plain C data that nothing
            // else refers to; what the pointers point at lives in regions that move nowhere and
            // are unmapped only together with this struct.
            unsafe {
                *iovecs.at(i) = libc::iovec { iov_base: slots.at(i).cast(), iov_len: SLOT_BYTES };
                let header = &raw mut (*headers.at(i)).msg_hdr;
                (*header).msg_name = names.at(i).cast();
                (*header).msg_namelen = size_of::<Name>() as libc::socklen_t;
                (*header).msg_iov = iovecs.at(i);
                (*header).msg_iovlen = 1;
            }
        }
        Ok(Self { slots, names, _iovecs: iovecs, headers, filled: 0 })
    }

    /// Reads what the socket holds, at most [`BATCH`] datagrams, without waiting; returns how many.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for i in 0..self.filled {
            // SAFETY: `i` is below BATCH; the kernel wrote the address's length here in the last
            // call and no reference to the header exists.
            unsafe { (*self.headers.at(i)).msg_hdr.msg_namelen = size_of::<Name>() as u32 };
        }
        self.filled = 0;
        // SAFETY: the BATCH headers point at names, iovecs and slots of the stated lengths, all
        // owned by `self`; because of `&mut self`, no slice of an earlier batch is still borrowed.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.at(0),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.filled)
    }

    /// Returns datagram `i` of the last batch.
    ///
    /// # Panics
    /// If the last batch had no such datagram.
    pub(crate) fn datagram(&self, i: usize) -> Datagram<'_> {
        assert!(i < self.filled);
        // SAFETY: `i` is below `filled`, so the kernel has written this header and its name, and
        // nothing writes them until the next `receive`, which needs `&mut self`.
        let (header, name) = unsafe { (*self.headers.at(i), *self.names.at(i)) };
        let len = (header.msg_len as usize).min(SLOT_BYTES);
        Datagram {
            source: name.to_socket_addr(header.msg_hdr.msg_namelen),
            // SAFETY: the slot has SLOT_BYTES initialised bytes (zeroed by the kernel, then
            // written by it) and stays untouched while `self` is borrowed.
            bytes: unsafe { slice::from_raw_parts(self.slots.at(i), len) },
            is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }
}

/// Room for one batch of messages to send.
#[derive(Debug)]
pub(crate) struct SendBatch {
    /// The messages.
    slots: Slots,
    /// Their next hops, one per slot.
    names: RawArray<Name>,
    /// The length of each name that is in use; 0 before [`SendBatch::address`].
    name_lens: Box<[libc::socklen_t; BATCH]>,
    /// Entry `i` always points at slot `i`; its length is at most `SLOT_BYTES`.
    iovecs: RawArray<libc::iovec>,
    /// Filled again by each `send`.
    headers: RawArray<libc::mmsghdr>,
}

impl SendBatch {
    /// Maps the memory for [`BATCH`] messages of the greatest length.
    pub(crate) fn new() -> io::Result<Self> {
        let slots = Slots::new()?;
        let iovecs = RawArray::<libc::iovec>::new(BATCH)?;
        for i in 0..BATCH {
            // SAFETY: `i` is within the array and nothing refers to the element; the slot lives as
            // long as the iovec, because this struct owns both.
            unsafe { (*iovecs.at(i)).iov_base = slots.at(i).cast() };
        }
        Ok(Self {
            slots,
            names: RawArray::new(BATCH)?,
            name_lens: Box::new([0; BATCH]),
            iovecs,
            headers: RawArray::new(BATCH)?,
        })
    }

    /// Returns the memory for a message, [`SLOT_BYTES`] long, with its old content.
    ///
    /// # Panics
    /// If `slot` is not below [`BATCH`].
    pub(crate) fn slot_mut(&mut self, slot: usize) -> &mut [u8] {
        // SAFETY: the slot has SLOT_BYTES initialised bytes and overlaps no other slot; `&mut self`
        // makes this the only access to it while the slice lives.
        unsafe { slice::from_raw_parts_mut(self.slots.at(slot), SLOT_BYTES) }
    }

    /// Sets how long the message in `slot` is and where it goes.
    ///
    /// # Panics
    /// If `slot` is not below [`BATCH`] or the message is longer than a slot.
    pub(crate) fn address(&mut self, slot: usize, len: usize, to: &SocketAddr) {
        assert!(len <= SLOT_BYTES);
        let (name, name_len) = Name::from_socket_addr(to);
        self.name_lens[slot] = name_len;
        // SAFETY: both arrays have BATCH elements (`at` asserts it) of plain C data to which no
        // reference exists, and `len` was just checked against the slot.
        unsafe {
            *self.names.at(slot) = name;
            (*self.iovecs.at(slot)).iov_len = len;
        }
    }

    /// Sends the messages in these slots in this order, without waiting; returns how many were
    /// accepted.
    ///
    /// An error always concerns the first message; a later failure only makes the number smaller.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, slots: &[u8]) -> io::Result<usize> {
        let count = slots.len().min(BATCH);
        for (i, slot) in slots[..count].iter().map(|s| usize::from(*s)).enumerate() {
            // SAFETY: `i` and `slot` are below BATCH (`at` asserts it); the header is plain C data
            // to which no reference exists, and all it points at is owned by `self`.
            unsafe {
                let header = &raw mut (*self.headers.at(i)).msg_hdr;
                (*header).msg_name = self.names.at(slot).cast();
                (*header).msg_namelen = self.name_lens[slot];
                (*header).msg_iov = self.iovecs.at(slot);
                (*header).msg_iovlen = 1;
            }
        }
        // SAFETY: the first `count` headers were filled above; names and slots are only read.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.at(0),
                count as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Makes the calling thread run only while its core has nothing else to do (`SCHED_IDLE`): any
/// thread that wakes up there preempts it at once.
///
/// # Errors
/// The kernel's error.
pub fn run_when_idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads the parameters, which live until it returns, and nothing else; 0 is the
    // calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until the socket accepts another message or the timeout, in milliseconds, is over; returns
/// which.
pub(crate) fn wait_writable(socket: BorrowedFd<'_>, timeout_ms: u16) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry is passed, and its count is 1.
    let ready = unsafe { libc::poll(&raw mut entry, 1, i32::from(timeout_ms)) };
    match ready {
        0 => Ok(false),
        1.. => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Returns how many datagrams the kernel has dropped because the socket's buffer was full, since
/// the socket was created (modulo 2^32).
///
/// Reading it (`SO_MEMINFO`, Linux 4.12) costs nothing on the message path and also works for a
/// socket that receives nothing more. `SO_RXQ_OVFL` would add a control message to every datagram.
pub(crate) fn socket_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // enum sk_meminfo of linux/sock_diag.h: nine counters, the last is SK_MEMINFO_DROPS.
    const VARIABLES: usize = 9;
    const DROPS: usize = 8;
    let mut values = [0_u32; VARIABLES];
    let mut len = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `values`, for which any bytes are valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(values[DROPS])
}

/// Allows fragmentation of large requests: `IP_MTU_DISCOVER` becomes `OMIT`, `IPV6_MTU_DISCOVER`
/// `DONT`.
///
/// Over IPv4 both let routers fragment, but with `DONT` the kernel still believes an ICMP
/// "fragmentation needed", which anybody who knows two addresses can forge: after one such packet,
/// everything above 552 bytes to that destination is fragmented for ten minutes. Over IPv6 routers
/// do not fragment, so the message must be believed there; it goes no lower than 1,280.
pub(crate) fn allow_fragments(socket: BorrowedFd<'_>, is_ipv4: bool) -> io::Result<()> {
    if is_ipv4 {
        // Linux 3.15.
        let value = libc::IP_PMTUDISC_OMIT;
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
    } else {
        // IPV6_PMTUDISC_DONT has the same value, 0 (linux/in6.h).
        let value = libc::IP_PMTUDISC_DONT;
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
    }
}

/// Sets the receive buffer, even above `net.core.rmem_max`; needs `CAP_NET_ADMIN`.
pub(crate) fn force_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let value = i32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value)
}

/// Sets the send buffer, even above `net.core.wmem_max`; needs `CAP_NET_ADMIN`.
pub(crate) fn force_send_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let value = i32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value)
}

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

/// Attaches a program that chooses the socket for each datagram of this socket's `SO_REUSEPORT`
/// group (Linux 4.19). The group keeps the program, and the program its maps.
pub(crate) fn attach_reuseport(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let option = libc::SO_ATTACH_REUSEPORT_EBPF;
    set_option(socket, libc::SOL_SOCKET, option, program.as_raw_fd())
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

fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the kernel reads four bytes from `value`, which lives until the call is over.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// [`BATCH`] slots of [`SLOT_BYTES`].
///
/// ```text
/// |<-- 65,536 -->|<- stagger ->|<-- 65,536 -->|<- stagger ->| …
///    slot 0                       slot 1
/// ```
///
/// If slots started exactly 64 KiB apart, the first lines of all slots would map to the same few
/// sets of the L1 and L2 caches and evict each other.
#[derive(Debug)]
struct Slots {
    /// At least `BATCH * SLOT_STRIDE` bytes, readable and writable, all initialised.
    region: Region,
}

const SLOT_STRIDE: usize = SLOT_BYTES + SLOT_STAGGER_BYTES;

impl Slots {
    fn new() -> io::Result<Self> {
        let region = Region::private(BATCH * SLOT_STRIDE)?;
        Ok(Self { region })
    }

    fn at(&self, i: usize) -> *mut u8 {
        assert!(i < BATCH);
        // SAFETY: the offset is below BATCH * SLOT_STRIDE, the length of the region.
        unsafe { self.region.start.as_ptr().add(i * SLOT_STRIDE) }
    }
}

/// An array of plain C data that the kernel may read and write, all zero at first.
struct RawArray<T> {
    /// At least `len * size_of::<T>()` bytes, aligned to a page, zero when mapped.
    region: Region,
    /// The number of elements.
    len: usize,
    element: PhantomData<fn() -> T>,
}

impl<T: Copy> RawArray<T> {
    fn new(len: usize) -> io::Result<Self> {
        Ok(Self { region: Region::private(len * size_of::<T>())?, len, element: PhantomData })
    }

    fn at(&self, i: usize) -> *mut T {
        assert!(i < self.len);
        // SAFETY: the offset is below `len * size_of::<T>()`, within the region.
        unsafe { self.region.start.as_ptr().cast::<T>().add(i) }
    }
}

impl<T> fmt::Debug for RawArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawArray").field("len", &self.len).finish_non_exhaustive()
    }
}

/// A mapping that we own.
#[derive(Debug)]
struct Region {
    /// The first byte of a mapping that nobody else unmaps, aligned to a page.
    start: NonNull<u8>,
    /// Its length as given to `mmap`; never 0.
    len: usize,
}

// SAFETY: a Region is an address and a length; the memory belongs to the process, not to a thread.
unsafe impl Send for Region {}
// SAFETY: a shared Region gives out nothing but its address; code that makes references from it (in
// this file only) must ensure that they are valid.
unsafe impl Sync for Region {}

impl Region {
    /// Maps memory of this process alone, which costs only the pages that are touched.
    fn private(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::map(len, flags, -1)
    }

    /// Maps the first `len` bytes of this file.
    fn shared(file: &File, len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_NORESERVE, file.as_raw_fd())
    }

    fn map(len: usize, flags: i32, fd: i32) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED the kernel picks an unused address, so no existing memory
        // changes.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// Touches every page, as a write to it would.
    fn populate(&self) -> io::Result<()> {
        let (start, advice) = (self.start.as_ptr().cast(), libc::MADV_POPULATE_WRITE);
        // SAFETY: the mapping is ours and exactly this long, and no byte of it changes.
        let result = unsafe { libc::madvise(start, self.len, advice) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Asks for huge pages, which the kernel may grant: for shared memory,
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled` must be `advise` or more.
    fn prefer_huge_pages(&self) {
        // SAFETY: the mapping is ours and exactly this long, and the advice changes no byte of it.
        let _ = unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and exactly this long; all borrows of it are through the
        // struct that owned this Region, so no reference is left.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert_eq!(result, 0);
    }
}

/// A socket address as the kernel lays it out, IPv4 or IPv6.
#[derive(Clone, Copy)]
#[repr(C)]
union Name {
    /// The first two bytes are the family in both layouts.
    family: libc::sa_family_t,
    /// Valid when the family is `AF_INET`.
    v4: libc::sockaddr_in,
    /// Valid when the family is `AF_INET6`; the longest member, so its size is the union's.
    v6: libc::sockaddr_in6,
}

impl Name {
    fn from_socket_addr(address: &SocketAddr) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(v4) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: v4.ip().to_bits().to_be() },
                    sin_zero: [0; 8],
                };
                (Self { v4 }, size_of_val(&v4) as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                (Self { v6 }, size_of_val(&v6) as libc::socklen_t)
            }
        }
    }

    fn to_socket_addr(self, len: libc::socklen_t) -> Option<SocketAddr> {
        if (len as usize) < size_of::<libc::sockaddr_in>() {
            return None;
        }
        // SAFETY: a Name is created whole by `from_socket_addr` or is in zeroed memory that the
        // kernel wrote to, so every byte is initialised, and all three members are integers.
        unsafe {
            match i32::from(self.family) {
                libc::AF_INET => Some(SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from_bits(u32::from_be(self.v4.sin_addr.s_addr)),
                    u16::from_be(self.v4.sin_port),
                ))),
                libc::AF_INET6 if len as usize >= size_of::<libc::sockaddr_in6>() => {
                    Some(SocketAddr::V6(SocketAddrV6::new(
                        Ipv6Addr::from(self.v6.sin6_addr.s6_addr),
                        u16::from_be(self.v6.sin6_port),
                        self.v6.sin6_flowinfo,
                        self.v6.sin6_scope_id,
                    )))
                }
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_mapping_is_zero_and_keeps_what_is_stored() {
        let mapping = Mapping::anonymous_shared(1000).unwrap();
        assert_eq!(mapping.len(), 1000);
        assert!(mapping.iter().all(|w| w.load(Ordering::Relaxed) == 0));
        mapping[999].store(7, Ordering::Relaxed);
        mapping.populate().unwrap();
        assert_eq!(mapping[999].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["192.0.2.7:5060", "[2001:db8::7]:5061", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let (name, len) = Name::from_socket_addr(&address);
            assert_eq!(name.to_socket_addr(len), Some(address));
            assert_eq!(name.to_socket_addr(4), None);
        }
    }

    #[test]
    fn a_batch_goes_out_and_comes_in_in_order() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let from = UdpSocket::bind(host).unwrap();
            let to = UdpSocket::bind(host).unwrap();
            let mut send = SendBatch::new().unwrap();
            for slot in 0..BATCH {
                send.slot_mut(slot)[..2].copy_from_slice(&[slot as u8, 1]);
                send.address(slot, 2, &to.local_addr().unwrap());
            }
            let order: Vec<u8> = (0..BATCH as u8).rev().collect();
            assert_eq!(send.send(from.as_fd(), &order).unwrap(), BATCH);
            let mut receive = ReceiveBatch::new().unwrap();
            assert_eq!(receive.receive(to.as_fd()).unwrap(), BATCH);
            for (i, slot) in order.iter().enumerate() {
                let datagram = receive.datagram(i);
                assert_eq!(datagram.bytes, &[*slot, 1]);
                assert_eq!(datagram.source, Some(from.local_addr().unwrap()));
                assert!(!datagram.is_truncated);
            }
            let error = receive.receive(to.as_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn the_greatest_datagram_fits_its_slot() {
        let from = UdpSocket::bind("[::1]:0").unwrap();
        let to = UdpSocket::bind("[::1]:0").unwrap();
        let len = crate::limits::PAYLOAD_IPV6_MAX;
        let mut send = SendBatch::new().unwrap();
        send.slot_mut(63)[..len].fill(b'x');
        send.address(63, len, &to.local_addr().unwrap());
        assert_eq!(send.send(from.as_fd(), &[63]).unwrap(), 1);
        let mut receive = ReceiveBatch::new().unwrap();
        assert_eq!(receive.receive(to.as_fd()).unwrap(), 1);
        assert_eq!(receive.datagram(0).bytes.len(), len);
        assert!(!receive.datagram(0).is_truncated);
    }

    #[test]
    fn the_kernel_tells_what_it_dropped() {
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&to).set_recv_buffer_size(4096).unwrap();
        assert_eq!(socket_drops(to.as_fd()).unwrap(), 0);
        for _ in 0..100 {
            from.send_to(&[0; 1000], to.local_addr().unwrap()).unwrap();
        }
        assert!(socket_drops(to.as_fd()).unwrap() > 50);
    }
}
