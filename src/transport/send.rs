//! Outgoing messages: collected for a batch, then sent listener by listener.
//!
//! A message is sent from the listener that its flow names, which may differ from the one that its
//! request arrived at. Messages of one listener are sent in the order in which they were added.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::sys::{self, Batch};
use crate::limits::{QUEUE_MAX, SEND_AGAIN_MAX, SEND_WAIT_MS, SEND_WAITS_MAX};
use crate::proxy::{Cause, Entry, ListenerId, Outbox, Place};
use crate::stats::{SendFailure, WorkerStats};

/// The order in which one worker's queued messages leave.
#[derive(Debug)]
pub(crate) struct SendQueue {
    causes: [Cause; QUEUE_MAX],
    /// One per listener, by its number.
    orders: Box<[Order]>,
}

/// The queued messages that one listener sends, in order.
#[derive(Clone, Debug)]
struct Order {
    messages: [u8; QUEUE_MAX],
    len: usize,
}

impl SendQueue {
    /// Creates an empty queue for this many listeners, with all the memory it will ever need.
    pub(crate) fn new(listeners: usize) -> Self {
        let empty = Order { messages: [0; QUEUE_MAX], len: 0 };
        Self { causes: [Cause::Forward; QUEUE_MAX], orders: vec![empty; listeners].into() }
    }

    /// Queues the messages of an outbox, which was filled for the datagram in slot `slot`. A
    /// forwarded one leaves from that slot, the others are copied.
    ///
    /// # Panics
    /// If there is no room or no such listener; then [`SendQueue::truncate`] removes what was added.
    pub(crate) fn push(&mut self, batch: &mut Batch, slot: usize, outbox: &Outbox) {
        for entry in outbox.entries() {
            let at = batch.len();
            match &entry.place {
                Place::Frame(range) => batch.queue_frame(slot, range.clone(), &entry.flow.peer),
                Place::Scratch(range) => batch.queue_copy(outbox.scratch(range), &entry.flow.peer),
            }
            self.add(at, entry);
        }
    }

    /// Queues copies of the messages of an outbox, which was filled for the datagram in `slot`, or for
    /// none.
    ///
    /// # Panics
    /// As [`SendQueue::push`].
    pub(crate) fn push_copies(&mut self, batch: &mut Batch, slot: &[u8], outbox: &Outbox) {
        for entry in outbox.entries() {
            let at = batch.len();
            batch.queue_copy(outbox.bytes(entry, slot), &entry.flow.peer);
            self.add(at, entry);
        }
    }

    fn add(&mut self, at: usize, entry: &Entry) {
        let order = &mut self.orders[usize::from(entry.flow.listener.0)];
        self.causes[at] = entry.cause;
        order.messages[order.len] = at as u8;
        order.len += 1;
    }

    /// Returns the listener that a queued message leaves from, and why it is sent. It searches.
    pub(crate) fn of(&self, message: usize) -> Option<(ListenerId, Cause)> {
        let has = |order: &Order| {
            order.messages[..order.len].iter().any(|at| usize::from(*at) == message)
        };
        let listener = self.orders.iter().position(has)?;
        Some((ListenerId(listener as u16), self.causes[message]))
    }

    /// Removes all messages except the first `len`.
    pub(crate) fn truncate(&mut self, batch: &mut Batch, len: usize) {
        for order in &mut self.orders {
            while order.len > 0 && usize::from(order.messages[order.len - 1]) >= len {
                order.len -= 1;
            }
        }
        batch.truncate(len);
    }

    /// Sends everything; afterwards the queue is empty. Counts messages that the kernel refuses
    /// twice.
    ///
    /// `reports` hears of each failure.
    pub(crate) fn flush<'s>(
        &mut self,
        batch: &mut Batch,
        stats: &WorkerStats,
        socket_of: impl Fn(ListenerId) -> BorrowedFd<'s>,
        reports: &mut impl Reports,
    ) {
        if batch.len() == 0 {
            return;
        }
        for (listener, order) in self.orders.iter_mut().enumerate() {
            if order.len > 0 {
                let socket = socket_of(ListenerId(listener as u16));
                let messages = &order.messages[..order.len];
                let listener = ListenerId(listener as u16);
                send_in_order(batch, (listener, socket), messages, &self.causes, stats, reports);
                order.len = 0;
            }
        }
        batch.clear();
    }
}

/// Who hears of failures while messages are sent.
pub(crate) trait Reports {
    /// Takes ICMP errors off the queue of this listener's socket; returns whether there were any.
    /// With one pending, the next message fails, whoever it is for.
    fn take_errors(&mut self, listener: ListenerId) -> bool;

    /// A message to this address was refused for good.
    fn refused(&mut self, to: SocketAddr, error: &io::Error);
}

/// Sends these messages. A refused message is tried once more, then dropped; the rest continues. It is
/// tried more often if ICMP errors for other messages made it fail.
fn send_in_order(
    batch: &mut Batch,
    (listener, socket): (ListenerId, BorrowedFd<'_>),
    messages: &[u8],
    causes: &[Cause; QUEUE_MAX],
    stats: &WorkerStats,
    reports: &mut impl Reports,
) {
    let mut at = 0;
    let mut head_was_refused = false;
    let mut waits_left = SEND_WAITS_MAX;
    let mut again_left = SEND_AGAIN_MAX;
    while at < messages.len() {
        match batch.send(socket, &messages[at..]) {
            Ok(sent) if sent > 0 => {
                for message in &messages[at..at + sent] {
                    stats.sent(causes[usize::from(*message)]);
                }
                at += sent;
                // A short count means that the next message was refused; it does not say why.
                head_was_refused = at < messages.len();
                if head_was_refused {
                    stats.send_retried();
                    again_left = SEND_AGAIN_MAX;
                    reports.take_errors(listener);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && waits_left > 0 => {
                waits_left -= 1;
                // The next send shows whether the socket is writable now.
                let _ = sys::wait_writable(socket, SEND_WAIT_MS);
            }
            Err(_) if again_left > 0 && reports.take_errors(listener) => {
                again_left -= 1;
                head_was_refused = true;
                stats.send_retried();
            }
            Err(_) if !head_was_refused => {
                head_was_refused = true;
                stats.send_retried();
            }
            refused => {
                let error = refused.err().unwrap_or_else(|| io::ErrorKind::Other.into());
                stats.send_failed(SendFailure::of(&error));
                if let Some(to) = batch.next_hop(usize::from(messages[at])) {
                    reports.refused(to, &error);
                }
                at += 1;
                head_was_refused = false;
                again_left = SEND_AGAIN_MAX;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::proxy::{Flow, Transport};
    use crate::stats::Totals;

    fn push(
        queue: &mut SendQueue,
        batch: &mut Batch,
        (listener, peer, bytes): (u16, SocketAddr, &[u8]),
    ) {
        let mut outbox = Outbox::new();
        outbox.write(bytes);
        let listener = ListenerId(listener);
        let flow = Flow { transport: Transport::Udp, listener, peer, connection: 0 };
        assert!(outbox.finish(flow, Cause::Answer, usize::MAX));
        queue.push(batch, 0, &outbox);
    }

    /// Hears of nothing.
    struct Nobody;

    impl Reports for Nobody {
        fn take_errors(&mut self, _: ListenerId) -> bool {
            false
        }

        fn refused(&mut self, _: SocketAddr, _: &io::Error) {}
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
        let (mut queue, mut batch) = (SendQueue::new(2), Batch::new().unwrap());
        // Port 0 cannot be sent to: EINVAL.
        let nowhere = "127.0.0.1:0".parse().unwrap();
        for message in
            [(0, to, b"a"), (1, to, b"b"), (0, nowhere, b"c"), (0, to, b"d"), (1, nowhere, b"e")]
        {
            push(&mut queue, &mut batch, (message.0, message.1, message.2));
        }
        assert_eq!(queue.of(1), Some((ListenerId(1), Cause::Answer)));
        assert_eq!((batch.message(1), batch.message(3)), (&b"b"[..], &b"d"[..]));
        assert_eq!(queue.of(5), None);
        queue.flush(&mut batch, &stats, |l| sockets[usize::from(l.0)].as_fd(), &mut Nobody);
        assert_eq!(read(&peer), b"a");
        assert_eq!(read(&peer), b"d");
        assert_eq!(read(&peer), b"b");
        let totals: Totals = [&stats].into_iter().collect();
        assert_eq!((totals.sent_answer, totals.sent_forward), (3, 0));
        assert_eq!(totals.send_retried, 2);
        assert_eq!(totals.send_failed(SendFailure::BadAddress), 2);
        assert_eq!(batch.len(), 0);
    }

    #[test]
    fn what_is_taken_back_is_not_sent() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = peer.local_addr().unwrap();
        let stats = WorkerStats::default();
        let (mut queue, mut batch) = (SendQueue::new(1), Batch::new().unwrap());
        push(&mut queue, &mut batch, (0, to, b"a"));
        push(&mut queue, &mut batch, (0, to, b"b"));
        queue.truncate(&mut batch, 1);
        push(&mut queue, &mut batch, (0, to, b"c"));
        queue.flush(&mut batch, &stats, |_| socket.as_fd(), &mut Nobody);
        assert_eq!(read(&peer), b"a");
        assert_eq!(read(&peer), b"c");
    }

    #[test]
    fn what_is_forwarded_leaves_from_the_slot_it_came_into() {
        let [from, relay, to] = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let (peer, stats) = (to.local_addr().unwrap(), WorkerStats::default());
        let (mut queue, mut batch) = (SendQueue::new(1), Batch::new().unwrap());
        for text in [b"first", b"other"] {
            from.send_to(text, relay.local_addr().unwrap()).unwrap();
        }
        assert_eq!(batch.receive(relay.as_fd()).unwrap(), 2);
        for slot in [1, 0] {
            let received = batch.received(slot);
            let (bytes, place) = batch.slot_mut(slot, received);
            bytes[place.start - 1] = b'>';
            let flow =
                Flow { transport: Transport::Udp, listener: ListenerId(0), peer, connection: 0 };
            let mut outbox = Outbox::new();
            outbox.forward(flow, place.start - 1..place.end);
            queue.push(&mut batch, slot, &outbox);
        }
        queue.flush(&mut batch, &stats, |_| relay.as_fd(), &mut Nobody);
        assert_eq!((read(&to), read(&to)), (b">other".to_vec(), b">first".to_vec()));
        assert_eq!([&stats].into_iter().collect::<Totals>().sent_forward, 2);
    }
}
