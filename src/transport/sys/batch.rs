//! One batch: the datagrams of one `recvmmsg`, and the messages that leave with `sendmmsg`, most of
//! them from the slots that they were received into.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::{ptr, slice};

use super::memory::{RawArray, Region};
use super::name::Name;
use crate::limits::{
    ARENA_BYTES, BATCH, HEADROOM_BYTES, OUTBOX_MAX, QUEUE_MAX, SCRATCH_BYTES, SLOT_BYTES,
    SLOT_STAGGER_BYTES,
};

/// Room for one batch.
///
/// A message that is queued does not change until it is sent: its slot is not given out, and nothing
/// is received, before [`Batch::clear`] or [`Batch::truncate`].
#[derive(Debug)]
pub(crate) struct Batch {
    /// The received datagrams.
    slots: Slots,
    /// The source addresses, one per slot.
    sources: RawArray<Name>,
    /// Entry `i` always points at slot `i`, behind its headroom; only read by the kernel.
    _received: RawArray<libc::iovec>,
    /// Entry `i` always points at source `i` and entry `i` of `_received`.
    receiving: RawArray<libc::mmsghdr>,
    /// Entries `..filled` were written by the last `recvmmsg`; never more than `BATCH`.
    filled: usize,
    /// Messages that do not lie in a slot: at least `ARENA_BYTES`, all initialised.
    arena: Region,
    /// The bytes of the arena that are in use; never more than `ARENA_BYTES`.
    arena_len: usize,
    /// The next hops, one per queued message.
    next_hops: RawArray<Name>,
    /// Entry `i` points at queued message `i`, within a slot or the arena.
    outgoing: RawArray<libc::iovec>,
    /// Filled again by each `send`.
    sending: RawArray<libc::mmsghdr>,
    /// What was queued; at most `QUEUE_MAX`.
    queued: Vec<Queued>,
    /// One bit per slot that a queued message lies in.
    slots_in_use: u64,
}

const _: () = assert!(BATCH <= u64::BITS as usize);

/// What must be known of a queued message besides what the kernel reads.
#[derive(Clone, Copy, Debug)]
struct Queued {
    name_len: libc::socklen_t,
    /// The bit of the slot that it lies in; 0 for the arena.
    slot_bit: u64,
    /// Where the arena ended before it.
    arena_start: usize,
}

/// One received datagram, without its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Where it came from; `None` for an address family that we do not know.
    pub(crate) source: Option<SocketAddr>,
    /// It was longer than its slot.
    pub(crate) is_truncated: bool,
    /// Its length in bytes, as far as it fits its slot.
    pub(crate) len: usize,
}

impl Batch {
    /// Maps the memory for [`BATCH`] datagrams of the greatest length.
    pub(crate) fn new() -> io::Result<Self> {
        let slots = Slots::new()?;
        let sources = RawArray::<Name>::new(BATCH)?;
        let received = RawArray::<libc::iovec>::new(BATCH)?;
        let receiving = RawArray::<libc::mmsghdr>::new(BATCH)?;
        for i in 0..BATCH {
            // SAFETY: `i` is within all arrays, whose elements are plain C data that nothing else
            // refers to; a slot is HEADROOM_BYTES + SLOT_BYTES long. What the pointers point at
            // lives in regions that move nowhere and are unmapped only together with this struct.
            unsafe {
                let base = slots.at(i).add(HEADROOM_BYTES).cast();
                *received.at(i) = libc::iovec { iov_base: base, iov_len: SLOT_BYTES };
                let header = &raw mut (*receiving.at(i)).msg_hdr;
                (*header).msg_name = sources.at(i).cast();
                (*header).msg_namelen = size_of::<Name>() as libc::socklen_t;
                (*header).msg_iov = received.at(i);
                (*header).msg_iovlen = 1;
            }
        }
        Ok(Self {
            slots,
            sources,
            _received: received,
            receiving,
            filled: 0,
            arena: Region::private(ARENA_BYTES)?,
            arena_len: 0,
            next_hops: RawArray::new(QUEUE_MAX)?,
            outgoing: RawArray::new(QUEUE_MAX)?,
            sending: RawArray::new(QUEUE_MAX)?,
            queued: Vec::with_capacity(QUEUE_MAX),
            slots_in_use: 0,
        })
    }

    /// Reads what the socket holds, at most [`BATCH`] datagrams, without waiting; returns how many.
    ///
    /// # Panics
    /// If messages are queued: their slots would be overwritten.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        assert!(self.queued.is_empty());
        for i in 0..self.filled {
            // SAFETY: `i` is below BATCH; the kernel wrote the address's length here in the last
            // call and no reference to the header exists.
            unsafe { (*self.receiving.at(i)).msg_hdr.msg_namelen = size_of::<Name>() as u32 };
        }
        self.filled = 0;
        // SAFETY: the BATCH headers point at names, iovecs and slots of the stated lengths, all
        // owned by `self`; because of `&mut self`, no slice of an earlier batch is still borrowed.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.receiving.at(0),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.filled)
    }

    /// Returns what is known of datagram `i` of the last batch.
    ///
    /// # Panics
    /// If the last batch had no such datagram.
    pub(crate) fn received(&self, i: usize) -> Received {
        assert!(i < self.filled);
        // SAFETY: `i` is below `filled`, so the kernel has written this header and its name, and
        // nothing writes them until the next `receive`, which needs `&mut self`.
        let (header, name) = unsafe { (*self.receiving.at(i), *self.sources.at(i)) };
        Received {
            source: name.to_socket_addr(header.msg_hdr.msg_namelen),
            is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            len: (header.msg_len as usize).min(SLOT_BYTES),
        }
    }

    /// Returns the slot of a received datagram, headroom included, and where the datagram lies in it.
    ///
    /// # Panics
    /// If there is no slot `i`, or a message in it is queued.
    pub(crate) fn slot_mut(&mut self, i: usize, received: Received) -> (&mut [u8], Range<usize>) {
        assert!(i < BATCH && self.slots_in_use & 1 << i == 0);
        // SAFETY: a slot has these many initialised bytes (zeroed by the kernel, then written by it
        // or through such a slice) and overlaps no other; `&mut self` makes this the only access to
        // it while the slice lives.
        let slot = unsafe { slice::from_raw_parts_mut(self.slots.at(i), SLOT_LEN) };
        (slot, HEADROOM_BYTES..HEADROOM_BYTES + received.len)
    }

    /// Returns how many messages are queued.
    pub(crate) fn len(&self) -> usize {
        self.queued.len()
    }

    /// Returns whether the messages for another datagram can be queued, whatever they are: what an outbox
    /// holds, and a copy of the datagram.
    pub(crate) fn has_room(&self) -> bool {
        self.queued.len() + OUTBOX_MAX <= QUEUE_MAX
            && self.arena_len + SCRATCH_BYTES + SLOT_BYTES <= ARENA_BYTES
    }

    /// Queues the message that lies at `place` of slot `i`.
    ///
    /// # Panics
    /// If there is no room or no such place; then nothing is queued.
    pub(crate) fn queue_frame(&mut self, i: usize, place: Range<usize>, to: &SocketAddr) {
        assert!(place.start <= place.end && place.end <= SLOT_LEN);
        // SAFETY: the place was just checked against the length of a slot.
        let start = unsafe { self.slots.at(i).add(place.start) };
        self.queue(start, place.len(), to, 1 << i);
    }

    /// Queues a copy of a message.
    ///
    /// # Panics
    /// If there is no room; then nothing is queued.
    pub(crate) fn queue_copy(&mut self, message: &[u8], to: &SocketAddr) {
        let end = self.arena_len + message.len();
        assert!(end <= ARENA_BYTES);
        // SAFETY: the arena is ARENA_BYTES long and initialised, and the bytes from `arena_len` on
        // belong to no queued message; `message` is a Rust slice, so it is not in the arena.
        let start = unsafe {
            let start = self.arena.start().add(self.arena_len);
            ptr::copy_nonoverlapping(message.as_ptr(), start, message.len());
            start
        };
        self.queue(start, message.len(), to, 0);
        self.arena_len = end;
    }

    fn queue(&mut self, start: *mut u8, len: usize, to: &SocketAddr, slot_bit: u64) {
        let at = self.queued.len();
        let (name, name_len) = Name::from_socket_addr(to);
        // SAFETY: both arrays have QUEUE_MAX elements (`at` asserts it) of plain C data to which no
        // reference exists.
        unsafe {
            *self.next_hops.at(at) = name;
            *self.outgoing.at(at) = libc::iovec { iov_base: start.cast(), iov_len: len };
        }
        self.queued.push(Queued { name_len, slot_bit, arena_start: self.arena_len });
        self.slots_in_use |= slot_bit;
    }

    /// Returns where a queued message goes.
    ///
    /// # Panics
    /// If there is no such message.
    pub(crate) fn next_hop(&self, message: usize) -> Option<SocketAddr> {
        let name_len = self.queued[message].name_len;
        // SAFETY: the message is queued, so its name was written; nothing writes it meanwhile.
        let name = unsafe { *self.next_hops.at(message) };
        name.to_socket_addr(name_len)
    }

    /// Returns the bytes of a queued message.
    ///
    /// # Panics
    /// If there is no such message.
    pub(crate) fn message(&self, message: usize) -> &[u8] {
        assert!(message < self.queued.len());
        // SAFETY: the message is queued, so its iovec was written and points at initialised bytes of a
        // slot or the arena. Both are written only through `&mut self`, by `slot_mut` not while the
        // message is queued, and the kernel only reads them.
        unsafe {
            let iovec = *self.outgoing.at(message);
            slice::from_raw_parts(iovec.iov_base.cast(), iovec.iov_len)
        }
    }

    /// Removes all queued messages except the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        if let Some(first) = self.queued.get(len) {
            self.arena_len = first.arena_start;
        }
        self.queued.truncate(len);
        self.slots_in_use = self.queued.iter().fold(0, |bits, queued| bits | queued.slot_bit);
    }

    /// Removes all queued messages.
    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Sends these queued messages in this order, without waiting; returns how many were accepted.
    ///
    /// An error always concerns the first message; a later failure only makes the number smaller.
    ///
    /// # Panics
    /// If one of them is not queued.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, order: &[u8]) -> io::Result<usize> {
        let count = order.len().min(QUEUE_MAX);
        for (i, at) in order[..count].iter().map(|at| usize::from(*at)).enumerate() {
            let name_len = self.queued[at].name_len;
            // SAFETY: `i` and `at` are below QUEUE_MAX (`at` asserts it); the header is plain C data to
            // which no reference exists, and all it points at is owned by `self`.
            unsafe {
                let header = &raw mut (*self.sending.at(i)).msg_hdr;
                (*header).msg_name = self.next_hops.at(at).cast();
                (*header).msg_namelen = name_len;
                (*header).msg_iov = self.outgoing.at(at);
                (*header).msg_iovlen = 1;
            }
        }
        // SAFETY: the first `count` headers were filled above; names and messages are only read,
        // and each iovec was made for bytes within a slot or the arena.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.sending.at(0),
                count as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// [`BATCH`] slots, each with headroom before its datagram.
///
/// ```text
/// |<- headroom ->|<-- 65,536 -->|<- stagger ->|<- headroom ->|<-- 65,536 -->|<- stagger ->| …
///    slot 0                                      slot 1
/// ```
///
/// If slots started exactly 64 KiB apart, the first lines of all slots would map to the same few
/// sets of the L1 and L2 caches and evict each other.
#[derive(Debug)]
struct Slots {
    /// At least `BATCH * SLOT_STRIDE` bytes, readable and writable, all initialised.
    region: Region,
}

const SLOT_LEN: usize = HEADROOM_BYTES + SLOT_BYTES;
const SLOT_STRIDE: usize = SLOT_LEN + SLOT_STAGGER_BYTES;

impl Slots {
    fn new() -> io::Result<Self> {
        let region = Region::private(BATCH * SLOT_STRIDE)?;
        Ok(Self { region })
    }

    fn at(&self, i: usize) -> *mut u8 {
        assert!(i < BATCH);
        // SAFETY: the offset is below BATCH * SLOT_STRIDE, the length of the region.
        unsafe { self.region.start().add(i * SLOT_STRIDE) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::limits::PAYLOAD_IPV6_MAX;

    fn datagram(batch: &mut Batch, i: usize) -> Vec<u8> {
        let received = batch.received(i);
        let (slot, place) = batch.slot_mut(i, received);
        slot[place].to_vec()
    }

    #[test]
    fn a_batch_goes_out_and_comes_in_in_order() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let from = UdpSocket::bind(host).unwrap();
            let to = UdpSocket::bind(host).unwrap();
            let address = to.local_addr().unwrap();
            let mut send = Batch::new().unwrap();
            for slot in 0..BATCH as u8 {
                send.queue_copy(&[slot, 1], &address);
            }
            let order: Vec<u8> = (0..BATCH as u8).rev().collect();
            assert_eq!(send.send(from.as_fd(), &order).unwrap(), BATCH);
            let mut receive = Batch::new().unwrap();
            assert_eq!(receive.receive(to.as_fd()).unwrap(), BATCH);
            for (i, slot) in order.iter().enumerate() {
                assert_eq!(datagram(&mut receive, i), [*slot, 1]);
                let received = receive.received(i);
                assert_eq!(received.source, Some(from.local_addr().unwrap()));
                assert!(!received.is_truncated);
            }
            let error = receive.receive(to.as_fd()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn the_greatest_datagram_leaves_from_its_slot_with_its_headroom() {
        let [from, relay, to] = [(); 3].map(|()| UdpSocket::bind("[::1]:0").unwrap());
        let len = PAYLOAD_IPV6_MAX - HEADROOM_BYTES;
        from.send_to(&vec![b'x'; len], relay.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new().unwrap();
        assert_eq!(batch.receive(relay.as_fd()).unwrap(), 1);
        let received = batch.received(0);
        assert!(!received.is_truncated);
        let (slot, place) = batch.slot_mut(0, received);
        assert_eq!((place.start, place.len(), slot.len()), (HEADROOM_BYTES, len, SLOT_LEN));
        slot[..HEADROOM_BYTES].fill(b'y');
        batch.queue_frame(0, 0..place.end, &to.local_addr().unwrap());
        assert_eq!(batch.send(relay.as_fd(), &[0]).unwrap(), 1);
        batch.clear();
        assert_eq!(batch.receive(to.as_fd()).unwrap(), 1);
        let arrived = datagram(&mut batch, 0);
        assert_eq!(arrived.len(), PAYLOAD_IPV6_MAX);
        assert!(arrived[..HEADROOM_BYTES].iter().all(|byte| *byte == b'y'));
        assert!(arrived[HEADROOM_BYTES..].iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn what_is_taken_back_gives_its_room_back() {
        let nobody = "127.0.0.1:9".parse().unwrap();
        let mut batch = Batch::new().unwrap();
        let long = vec![b'x'; SLOT_BYTES];
        let kept_max = (ARENA_BYTES - SCRATCH_BYTES) / SLOT_BYTES;
        for kept in 0..kept_max {
            assert!(batch.has_room(), "{kept}");
            batch.queue_copy(&long, &nobody);
        }
        assert!(!batch.has_room());
        batch.truncate(1);
        assert_eq!((batch.len(), batch.arena_len), (1, SLOT_BYTES));
        batch.truncate(1);
        assert_eq!(batch.arena_len, SLOT_BYTES);
        batch.clear();
        assert_eq!((batch.len(), batch.arena_len), (0, 0));
    }

    #[test]
    fn there_is_room_for_one_more_outbox() {
        let nobody = "127.0.0.1:9".parse().unwrap();
        let mut batch = Batch::new().unwrap();
        for _ in 0..=QUEUE_MAX - OUTBOX_MAX {
            assert!(batch.has_room());
            batch.queue_copy(b"x", &nobody);
        }
        assert!(!batch.has_room());
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn the_slot_of_a_queued_message_is_not_given_out() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.send_to(b"x", address).unwrap();
        let mut batch = Batch::new().unwrap();
        assert_eq!(batch.receive(socket.as_fd()).unwrap(), 1);
        let received = batch.received(0);
        let (_, place) = batch.slot_mut(0, received);
        batch.queue_frame(0, place, &address);
        batch.slot_mut(0, received);
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn nothing_is_received_while_messages_are_queued() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut batch = Batch::new().unwrap();
        batch.queue_copy(b"x", &socket.local_addr().unwrap());
        let _ = batch.receive(socket.as_fd());
    }
}
