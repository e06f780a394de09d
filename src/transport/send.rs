//! Outgoing messages: collected for a batch, then sent listener by listener.
//!
//! A message is sent from the listener that its flow names, which may differ from the one that its
//! request arrived at. Messages of one listener are sent in the order in which they were added.

use std::io;
use std::os::fd::BorrowedFd;

use super::sys::{self, SendBatch};
use crate::limits::{BATCH, SEND_WAIT_MS, SEND_WAITS_MAX};
use crate::proxy::{Cause, Entry, ListenerId, Outbox};
use crate::stats::{SendFailure, WorkerStats};

/// The messages that one worker is about to send.
#[derive(Debug)]
pub(crate) struct SendQueue {
    batch: SendBatch,
    causes: [Cause; BATCH],
    used: usize,
    /// One per listener, by its number.
    orders: Box<[Order]>,
}

/// The slots that one listener sends, in order.
#[derive(Clone, Debug)]
struct Order {
    slots: [u8; BATCH],
    len: usize,
}

impl SendQueue {
    /// Creates an empty queue for this many listeners, with all the memory it will ever need.
    pub(crate) fn new(listeners: usize) -> io::Result<Self> {
        let empty = Order { slots: [0; BATCH], len: 0 };
        Ok(Self {
            batch: SendBatch::new()?,
            causes: [Cause::Forward; BATCH],
            used: 0,
            orders: vec![empty; listeners].into(),
        })
    }

    /// Returns how many messages are queued.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Returns whether another outbox fits.
    pub(crate) fn has_room(&self) -> bool {
        self.used + crate::limits::OUTBOX_MAX <= BATCH
    }

    /// Copies a message to the end of the queue.
    ///
    /// # Panics
    /// If there is no room or no such listener; then nothing is added.
    pub(crate) fn push(&mut self, outbox: &Outbox, entry: &Entry, slot_bytes: &[u8]) {
        let slot = self.used;
        let order = &mut self.orders[usize::from(entry.flow.listener.0)];
        let bytes = &mut self.batch.slot_mut(slot)[..entry.len()];
        bytes.copy_from_slice(outbox.bytes(entry, slot_bytes));
        self.batch.address(slot, entry.len(), &entry.flow.peer);
        self.causes[slot] = entry.cause;
        order.slots[order.len] = slot as u8;
        order.len += 1;
        self.used += 1;
    }

    /// Drops all messages except the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        for order in &mut self.orders {
            while order.len > 0 && usize::from(order.slots[order.len - 1]) >= len {
                order.len -= 1;
            }
        }
        self.used = self.used.min(len);
    }

    /// Sends everything; afterwards the queue is empty. Counts messages that the kernel refuses
    /// twice.
    pub(crate) fn flush<'s>(
        &mut self,
        stats: &WorkerStats,
        socket_of: impl Fn(ListenerId) -> BorrowedFd<'s>,
    ) {
        if self.used == 0 {
            return;
        }
        for (listener, order) in self.orders.iter_mut().enumerate() {
            if order.len > 0 {
                let socket = socket_of(ListenerId(listener as u16));
                let slots = &order.slots[..order.len];
                send_in_order(&mut self.batch, socket, slots, &self.causes, stats);
                order.len = 0;
            }
        }
        self.used = 0;
    }
}

/// Sends these slots. A refused message is tried once more, then dropped; the rest continues.
fn send_in_order(
    batch: &mut SendBatch,
    socket: BorrowedFd<'_>,
    slots: &[u8],
    causes: &[Cause; BATCH],
    stats: &WorkerStats,
) {
    let mut at = 0;
    let mut head_was_refused = false;
    let mut waits_left = SEND_WAITS_MAX;
    while at < slots.len() {
        match batch.send(socket, &slots[at..]) {
            Ok(sent) if sent > 0 => {
                for slot in &slots[at..at + sent] {
                    stats.sent(causes[usize::from(*slot)]);
                }
                at += sent;
                // A short count means that the next message was refused; it does not say why.
                head_was_refused = at < slots.len();
                if head_was_refused {
                    stats.send_retried();
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && waits_left > 0 => {
                waits_left -= 1;
                // The next send shows whether the socket is writable now.
                let _ = sys::wait_writable(socket, SEND_WAIT_MS);
            }
            Err(_) if !head_was_refused => {
                head_was_refused = true;
                stats.send_retried();
            }
            refused => {
                let failure = refused.map_or_else(|e| SendFailure::of(&e), |_| SendFailure::Other);
                stats.send_failed(failure);
                at += 1;
                head_was_refused = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsFd;

    use super::*;
    use crate::proxy::{Flow, Transport};
    use crate::stats::Totals;

    fn message(outbox: &mut Outbox, listener: u16, peer: SocketAddr, bytes: &[u8]) {
        outbox.clear();
        outbox.write(bytes);
        let flow =
            Flow { transport: Transport::Udp, listener: ListenerId(listener), peer, connection: 0 };
        assert!(outbox.finish(flow, Cause::Forward, usize::MAX));
    }

    fn read(socket: &UdpSocket) -> Vec<u8> {
        let mut bytes = [0; 100];
        let (len, _) = socket.recv_from(&mut bytes).unwrap();
        bytes[..len].to_vec()
    }

    #[test]
    fn each_leaves_by_its_listener_in_order_and_a_refused_one_stops_no_other() {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = peer.local_addr().unwrap();
        let stats = WorkerStats::default();
        let mut outbox = Outbox::new();
        let mut queue = SendQueue::new(2).unwrap();
        // Port 0 cannot be sent to: EINVAL.
        let nowhere = "127.0.0.1:0".parse().unwrap();
        for (listener, to, bytes) in
            [(0, to, b"a"), (1, to, b"b"), (0, nowhere, b"c"), (0, to, b"d"), (1, nowhere, b"e")]
        {
            message(&mut outbox, listener, to, bytes);
            queue.push(&outbox, &outbox.entries()[0], b"");
        }
        queue.flush(&stats, |l| sockets[usize::from(l.0)].as_fd());
        assert_eq!(read(&peer), b"a");
        assert_eq!(read(&peer), b"d");
        assert_eq!(read(&peer), b"b");
        let totals: Totals = [&stats].into_iter().collect();
        assert_eq!(totals.sent_forward, 3);
        assert_eq!(totals.send_retried, 2);
        assert_eq!(totals.send_failed(SendFailure::BadAddress), 2);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_is_taken_back_is_not_sent() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = peer.local_addr().unwrap();
        let stats = WorkerStats::default();
        let mut outbox = Outbox::new();
        let mut queue = SendQueue::new(1).unwrap();
        for bytes in [b"a", b"b"] {
            message(&mut outbox, 0, to, bytes);
            queue.push(&outbox, &outbox.entries()[0], b"");
        }
        queue.truncate(1);
        message(&mut outbox, 0, to, b"c");
        queue.push(&outbox, &outbox.entries()[0], b"");
        queue.flush(&stats, |_| socket.as_fd());
        assert_eq!(read(&peer), b"a");
        assert_eq!(read(&peer), b"c");
    }
}
