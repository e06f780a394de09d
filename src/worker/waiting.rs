//! How a worker waits: for datagrams, for its waker, and for the time when something is due.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::Gather;
use crate::clock::Now;
use crate::config::Poll as PollMode;
use crate::limits::READ_AGAIN_MS;
use crate::proxy::ListenerId;
use crate::transport::monotonic;

/// Waits for the sockets of one worker.
#[derive(Debug)]
pub(super) struct Waiting {
    poll: Poll,
    events: Events,
    mode: PollMode,
    gather: Gather,
    /// The listeners to read from.
    pub(super) ready: ReadyList,
    /// The listeners whose error queues may hold something.
    pub(super) failing: ReadyList,
    /// Failed reads since the last successful one.
    failed_reads: u32,
}

/// The token of the waker; the tokens of listeners are their numbers.
const WAKER: Token = Token(usize::MAX);

impl Waiting {
    /// Watches these sockets, one per listener, in their order. With [`PollMode::Adaptive`], a
    /// message is delayed by at most `gather`.
    pub(super) fn new<'s>(
        mode: PollMode,
        gather: Duration,
        sockets: impl ExactSizeIterator<Item = BorrowedFd<'s>>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let listeners = sockets.len();
        for (listener, socket) in sockets.enumerate() {
            let mut source = SourceFd(&socket.as_raw_fd());
            poll.registry().register(&mut source, Token(listener), Interest::READABLE)?;
        }
        let bound = match mode {
            PollMode::Adaptive => gather,
            PollMode::Wait | PollMode::Spin => Duration::ZERO,
        };
        let waiting = Self {
            poll,
            events: Events::with_capacity(listeners + 1),
            mode,
            gather: Gather::new(bound),
            ready: ReadyList::new(listeners),
            failing: ReadyList::new(listeners),
            failed_reads: 0,
        };
        Ok((waiting, waker))
    }

    /// Waits until a socket is readable, the waker fires or the deadline is reached; only polls
    /// while there is work. Afterwards [`Waiting::ready`] lists the readable listeners, and
    /// [`Waiting::failing`] those with errors. No message gathers while others wait already, as
    /// `has_more` says.
    pub(super) fn wait(&mut self, deadline: Option<Now>, has_more: bool) {
        // The clock is read only if something is due.
        let due_in =
            deadline.map(|due| Duration::from_millis(due.ms()).saturating_sub(monotonic()));
        let gathered = self.gather(due_in, has_more);
        let due_in = due_in.map(|left| left.saturating_sub(gathered));
        // mio rounds a timeout up to milliseconds, so it is over when the deadline is reached.
        let timeout = [self.timeout(), due_in].into_iter().flatten().min();
        if self.poll.poll(&mut self.events, timeout).is_err() {
            // A signal interrupted the call; what is ready is reported again.
            return;
        }
        for event in &self.events {
            if event.token() != WAKER {
                let listener = ListenerId(event.token().0 as u16);
                self.ready.add(listener);
                if event.is_error() {
                    self.failing.add(listener);
                }
            }
        }
    }

    /// Lets messages gather if that pays and nothing else is to be done; returns for how long.
    fn gather(&self, due_in: Option<Duration>, has_more: bool) -> Duration {
        match self.gather.pause(due_in) {
            Some(pause) if !has_more && self.ready.is_empty() && self.failing.is_empty() => {
                thread::sleep(pause);
                pause
            }
            _ => Duration::ZERO,
        }
    }

    /// Returns how long to wait for events if nothing is due.
    fn timeout(&self) -> Option<Duration> {
        if !self.failing.is_empty() {
            return Some(Duration::ZERO);
        }
        if !self.ready.is_empty() {
            // A first failure may be a stale socket error, so retry at once; after repeated
            // failures, pause.
            let pause = if self.failed_reads > 1 { READ_AGAIN_MS } else { 0 };
            return Some(Duration::from_millis(pause));
        }
        match self.mode {
            PollMode::Spin => Some(Duration::ZERO),
            PollMode::Wait | PollMode::Adaptive => None,
        }
    }

    /// Records that a socket gave this many datagrams.
    pub(super) fn read(&mut self, now: Duration, received: usize) {
        self.failed_reads = 0;
        self.gather.received(now, received);
    }

    /// Records that reading from a socket failed.
    pub(super) fn read_failed(&mut self) {
        self.failed_reads = self.failed_reads.saturating_add(1);
    }
}

/// The listeners that may have something to read, each once.
#[derive(Debug)]
pub(super) struct ReadyList {
    list: Vec<ListenerId>,
    is_listed: Box<[bool]>,
}

impl ReadyList {
    fn new(listeners: usize) -> Self {
        Self { list: Vec::with_capacity(listeners), is_listed: vec![false; listeners].into() }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn get(&self, at: usize) -> Option<ListenerId> {
        self.list.get(at).copied()
    }

    pub(super) fn add(&mut self, listener: ListenerId) {
        let is_listed = &mut self.is_listed[usize::from(listener.0)];
        if !*is_listed {
            *is_listed = true;
            self.list.push(listener);
        }
    }

    /// Removes the one at this position; the last one moves there.
    pub(super) fn remove(&mut self, at: usize) {
        let listener = self.list.swap_remove(at);
        self.is_listed[usize::from(listener.0)] = false;
    }
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::transport::monotonic_now;

    const MODES: [PollMode; 3] = [PollMode::Wait, PollMode::Adaptive, PollMode::Spin];
    const GATHER: Duration = Duration::from_micros(300);

    fn idle(mode: PollMode) -> (Waiting, Waker) {
        Waiting::new(mode, GATHER, iter::empty()).unwrap()
    }

    /// Makes gathering pay.
    fn flood(waiting: &mut Waiting) {
        (1..200).for_each(|n| waiting.read(Duration::from_micros(n * 50), 1));
        assert_eq!(waiting.gather.pause(None), Some(GATHER));
    }

    #[test]
    fn a_deadline_ends_a_wait_that_nothing_else_ends() {
        for mode in [PollMode::Wait, PollMode::Adaptive] {
            let (mut waiting, _waker) = idle(mode);
            let deadline = monotonic_now().plus_ms(20);
            waiting.wait(Some(deadline), false);
            assert!(monotonic_now() >= deadline, "{mode:?}");
            assert!(waiting.ready.is_empty());
        }
    }

    #[test]
    fn a_deadline_ends_a_wait_while_messages_gather() {
        let (mut waiting, _waker) = idle(PollMode::Adaptive);
        flood(&mut waiting);
        let deadline = monotonic_now().plus_ms(20);
        waiting.wait(Some(deadline), false);
        assert!(monotonic_now() >= deadline);
    }

    #[test]
    fn a_deadline_in_the_past_is_no_wait() {
        for mode in MODES {
            let (mut waiting, _waker) = idle(mode);
            waiting.wait(Some(Now::from_ms(0)), false);
        }
    }

    #[test]
    fn the_waker_ends_a_wait_and_makes_no_listener_ready() {
        for mode in MODES {
            let (mut waiting, waker) = idle(mode);
            waker.wake().unwrap();
            waiting.wait(None, false);
            assert!(waiting.ready.is_empty(), "{mode:?}");
        }
    }

    #[test]
    fn a_readable_socket_ends_a_wait_and_its_listener_is_ready() {
        for mode in MODES {
            let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
            let (mut waiting, _waker) =
                Waiting::new(mode, GATHER, sockets.iter().map(AsFd::as_fd)).unwrap();
            flood_unless_waiting(&mut waiting);
            sockets[0].send_to(b"x", sockets[1].local_addr().unwrap()).unwrap();
            waiting.wait(None, false);
            assert_eq!(waiting.ready.list, [ListenerId(1)], "{mode:?}");
        }
    }

    fn flood_unless_waiting(waiting: &mut Waiting) {
        if waiting.mode == PollMode::Adaptive {
            flood(waiting);
        }
    }

    #[test]
    fn how_long_it_waits() {
        struct Row {
            says: &'static str,
            mode: PollMode,
            is_ready: bool,
            failed_reads: u32,
            wants: Option<u64>,
        }
        let rows = [
            Row {
                says: "nothing to do",
                mode: PollMode::Wait,
                is_ready: false,
                failed_reads: 0,
                wants: None,
            },
            Row {
                says: "nothing to do, at a low rate",
                mode: PollMode::Adaptive,
                is_ready: false,
                failed_reads: 0,
                wants: None,
            },
            Row {
                says: "it never waits",
                mode: PollMode::Spin,
                is_ready: false,
                failed_reads: 0,
                wants: Some(0),
            },
            Row {
                says: "more to read",
                mode: PollMode::Wait,
                is_ready: true,
                failed_reads: 0,
                wants: Some(0),
            },
            Row {
                says: "a stale error",
                mode: PollMode::Adaptive,
                is_ready: true,
                failed_reads: 1,
                wants: Some(0),
            },
            Row {
                says: "a socket that cannot be read",
                mode: PollMode::Wait,
                is_ready: true,
                failed_reads: 2,
                wants: Some(READ_AGAIN_MS),
            },
            Row {
                says: "it could not be read and is empty now",
                mode: PollMode::Wait,
                is_ready: false,
                failed_reads: 2,
                wants: None,
            },
            Row {
                says: "such a socket is not asked again and again",
                mode: PollMode::Spin,
                is_ready: true,
                failed_reads: 2,
                wants: Some(READ_AGAIN_MS),
            },
        ];
        for row in rows {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let (mut waiting, _waker) =
                Waiting::new(row.mode, GATHER, iter::once(socket.as_fd())).unwrap();
            if row.is_ready {
                waiting.ready.add(ListenerId(0));
            }
            (0..row.failed_reads).for_each(|_| waiting.read_failed());
            assert_eq!(waiting.timeout(), row.wants.map(Duration::from_millis), "{}", row.says);
        }
    }

    #[test]
    fn nothing_gathers_while_there_is_more_to_do() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut waiting, _waker) =
            Waiting::new(PollMode::Adaptive, GATHER, iter::once(socket.as_fd())).unwrap();
        flood(&mut waiting);
        assert_eq!(waiting.gather(None, false), GATHER);
        assert_eq!(waiting.gather(Some(GATHER / 2), false), Duration::ZERO);
        assert_eq!(waiting.gather(None, true), Duration::ZERO);
        waiting.ready.add(ListenerId(0));
        assert_eq!(waiting.gather(None, false), Duration::ZERO);
    }

    #[test]
    fn a_listener_is_ready_once_and_until_it_is_removed() {
        let mut ready = ReadyList::new(3);
        for number in [2, 0, 2, 1] {
            ready.add(ListenerId(number));
        }
        assert_eq!(ready.list, [2, 0, 1].map(ListenerId));
        ready.remove(0);
        assert_eq!(ready.list, [1, 0].map(ListenerId));
        ready.add(ListenerId(2));
        assert_eq!(ready.get(2), Some(ListenerId(2)));
        assert_eq!(ready.get(3), None);
    }
}
