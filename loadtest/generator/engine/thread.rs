//! One thread of a run: it starts calls when they are due, and hands what comes to callers and
//! servers.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::call::Context;
use super::callers::Callers;
use super::outbox::{Outbox, TimerKey};
use super::schedule::{Start, Starts};
use super::servers::Servers;
use super::sockets::{BATCH, Inbox, Outlet, Waiter};
use super::waits::Waits;
use super::watch::{Progress, Watch};
use crate::record::{Latency, Record};

pub(super) struct Thread<'a> {
    /// Its sockets: those of the callers, then those of the servers.
    pub(super) sockets: Vec<&'a UdpSocket>,
    /// How many of them are callers'.
    pub(super) lines: usize,
    pub(super) callers: Callers,
    pub(super) servers: Servers,
    pub(super) pace: Pace,
    pub(super) waits: Waits,
    pub(super) record: Record,
    pub(super) watch: &'a Watch,
    pub(super) progress: &'a Progress,
    pub(super) begin: Instant,
}

/// When calls start.
pub(super) enum Pace {
    /// On a schedule, whatever becomes of them.
    Open(Starts),
    /// One whenever another has ended, so many at a time, until a time in ns.
    Closed { at_a_time: usize, until: u64, next: u64, step: u64 },
}

impl Thread<'_> {
    pub(super) fn run(mut self) -> io::Result<Record> {
        let mut waiter = Waiter::new(self.sockets.iter().copied())?;
        let mut inboxes = [Inbox::new(), Inbox::new()];
        let mut outlet = Outlet::new();
        let mut out = Outbox::default();
        let mut ready = Vec::new();
        let is_v6: Vec<bool> = self
            .sockets
            .iter()
            .map(|socket| Ok(socket.local_addr()?.is_ipv6()))
            .collect::<io::Result<_>>()?;
        let mut ended_at = None;
        loop {
            let now = self.now();
            self.start_calls(now, &mut out);
            self.fire_timers(now, &mut out);
            self.flush(&mut out, &mut outlet)?;
            self.tell();
            if ended_at.is_none() && self.has_ended(now) {
                ended_at = Some(now);
                self.watch.leave();
            }
            if self.watch.have_all_left(now) {
                return Ok(self.record);
            }
            let wait = self.next_event(&out).saturating_sub(self.now());
            waiter.wait(Duration::from_nanos(wait), &mut ready)?;
            for at in &ready {
                let inbox = &mut inboxes[usize::from(is_v6[*at])];
                // What waits is heard before new calls start, but not without end.
                for _ in 0..BATCHES_AT_ONCE {
                    let count = inbox.receive(self.sockets[*at])?;
                    self.hear(*at, inbox, count, &mut out);
                    self.flush(&mut out, &mut outlet)?;
                    if count < BATCH {
                        break;
                    }
                }
            }
        }
    }

    fn hear(&mut self, socket: usize, inbox: &Inbox, count: usize, out: &mut Outbox) {
        let now = self.now();
        let mut cx = Context { now, waits: &self.waits, out, record: &mut self.record };
        for (datagram, from) in (0..count).map(|i| inbox.datagram(i)) {
            match socket.checked_sub(self.lines) {
                None => self.callers.hear(socket, datagram, &mut cx),
                Some(server) => self.servers.hear(server, from, datagram, &mut cx),
            }
        }
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn start_calls(&mut self, now: u64, out: &mut Outbox) {
        if self.watch.is_stopped_by(now) {
            return;
        }
        for _ in 0..BATCH {
            let start = match &mut self.pace {
                Pace::Open(starts) => {
                    let Some(start) = starts.peek().filter(|start| start.due <= now) else {
                        return;
                    };
                    starts.advance();
                    start
                }
                Pace::Closed { at_a_time, until, next, step } => {
                    if now >= *until || self.callers.open() >= *at_a_time {
                        return;
                    }
                    let number = *next;
                    *next += *step;
                    Start { number, due: now }
                }
            };
            let mut cx = Context { now, waits: &self.waits, out, record: &mut self.record };
            self.callers.start(start, &mut cx);
        }
    }

    fn fire_timers(&mut self, now: u64, out: &mut Outbox) {
        let mut cx = Context { now, waits: &self.waits, out, record: &mut self.record };
        for _ in 0..TIMERS_AT_ONCE {
            let Some((at, key)) = cx.out.fired(now) else { break };
            match key {
                TimerKey::Call(number) => self.callers.wake(at, number, &mut cx),
                TimerKey::Server(key) => self.servers.wake(at, key, &mut cx),
            }
        }
        if self.watch.is_aborted() {
            self.callers.give_up(&mut cx);
        }
    }

    fn flush(&mut self, out: &mut Outbox, outlet: &mut Outlet) -> io::Result<()> {
        let messages = out.messages();
        if messages.is_empty() {
            return Ok(());
        }
        let now = self.begin.elapsed().as_nanos() as u64;
        for due in messages.iter().filter_map(|message| message.starts) {
            self.record.latencies.note(Latency::Lag, now.saturating_sub(due));
        }
        // Stable: the messages of a socket stay in order.
        messages.sort_by_key(|message| message.socket);
        for of_socket in messages.chunk_by(|a, b| a.socket == b.socket) {
            let taken = outlet.send(self.sockets[of_socket[0].socket], of_socket)?;
            self.record.others.unsent += (of_socket.len() - taken) as u64;
        }
        out.clear();
        Ok(())
    }

    fn tell(&self) {
        let ends = &self.record.ends;
        // Relaxed: each number is shown by itself.
        self.progress.started.store(ends.started, Ordering::Relaxed);
        self.progress.good.store(ends.good(), Ordering::Relaxed);
        self.progress.bad.store(ends.bad(), Ordering::Relaxed);
    }

    fn has_ended(&self, now: u64) -> bool {
        let starts_more = match &self.pace {
            Pace::Open(starts) => starts.peek().is_some(),
            Pace::Closed { until, .. } => now < *until,
        };
        (!starts_more || self.watch.is_stopped()) && self.callers.open() == 0
    }

    fn next_event(&self, out: &Outbox) -> u64 {
        let look_again = self.now() + LOOK_AGAIN;
        let start = match &self.pace {
            _ if self.watch.is_stopped() => look_again,
            Pace::Open(starts) => starts.peek().map_or(look_again, |start| start.due),
            Pace::Closed { until, .. } => *until,
        };
        look_again.min(start).min(out.next_timer().unwrap_or(look_again))
    }
}

/// A caller starts no more, and servers end, at most this much later than they could, in ns.
const LOOK_AGAIN: u64 = 5_000_000;
/// Each INVITE brings five more messages.
const BATCHES_AT_ONCE: usize = 8;
/// Then what has come is looked at.
const TIMERS_AT_ONCE: usize = 256;
