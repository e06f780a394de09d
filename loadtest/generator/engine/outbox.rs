//! What the state machines want done: messages to send, and timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use super::servers::ServerKey;

/// Messages to send and timers to set.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: Vec<Outgoing>,
    used: usize,
    timers: BinaryHeap<Reverse<(u64, TimerKey)>>,
}

/// One message to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The number of the socket that it leaves by.
    pub(crate) socket: usize,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    /// For the first request of a call: when it was meant to leave.
    pub(crate) starts: Option<u64>,
}

/// Whose timer it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum TimerKey {
    Call(u64),
    Server(ServerKey),
}

impl Outbox {
    /// An empty message to write to, which will be sent.
    pub(super) fn message(&mut self, socket: usize, to: SocketAddr) -> &mut Outgoing {
        if self.used == self.messages.len() {
            self.messages.push(Outgoing { socket, to, bytes: Vec::new(), starts: None });
        }
        let message = &mut self.messages[self.used];
        self.used += 1;
        (message.socket, message.to, message.starts) = (socket, to, None);
        message.bytes.clear();
        message
    }

    /// The messages to send.
    pub(super) fn messages(&mut self) -> &mut [Outgoing] {
        &mut self.messages[..self.used]
    }

    /// They have been sent.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    pub(super) fn set_timer(&mut self, at: u64, key: TimerKey) {
        self.timers.push(Reverse((at, key)));
    }

    /// When the next timer fires.
    pub(super) fn next_timer(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// A timer that has fired by now.
    pub(super) fn fired(&mut self, now: u64) -> Option<(u64, TimerKey)> {
        self.next_timer().filter(|at| *at <= now)?;
        self.timers.pop().map(|Reverse(timer)| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_not_before() {
        let mut out = Outbox::default();
        for at in [30, 10, 20] {
            out.set_timer(at, TimerKey::Call(at));
        }
        assert_eq!(out.next_timer(), Some(10));
        assert_eq!(out.fired(9), None);
        assert_eq!(out.fired(25), Some((10, TimerKey::Call(10))));
        assert_eq!(out.fired(20), Some((20, TimerKey::Call(20))));
        assert_eq!(out.fired(25), None);
    }

    #[test]
    fn buffers_are_used_again_and_empty() {
        let mut out = Outbox::default();
        let to: SocketAddr = "127.0.0.1:5060".parse().unwrap();
        let message = out.message(1, to);
        message.bytes.extend_from_slice(b"one");
        message.starts = Some(7);
        out.clear();
        let other: SocketAddr = "[::1]:5061".parse().unwrap();
        out.message(2, other);
        let [message] = out.messages() else { panic!("one message") };
        assert_eq!((message.socket, message.to, message.starts), (2, other, None));
        assert!(message.bytes.is_empty());
    }
}
