//! A built-in caller: calls of INVITE, 180, 200, ACK, BYE, 200 at a steady rate. Each BYE and ACK
//! follows the route set from the relay's Record-Route. One thread sends on schedule, another
//! handles responses, so that the setup time does not include delays of our own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::server::SERVER_FIELD;
use super::tally::Tally;
use super::text::{Message, session_description};

/// RFC 3261 §17.1.1.1: the round-trip time estimate. A request is sent again after it, then after
/// twice as long, and so on.
const T1: Duration = Duration::from_millis(500);

/// A call has failed if one request was sent again this many times (7.5 s) without an answer.
const REPEATS_MAX: u8 = 4;

/// The longest sleep, and so the longest time until a stop is noticed.
const NAP_MAX: Duration = Duration::from_millis(50);

/// One of several callers, each with its own socket, like trunks.
#[derive(Debug)]
pub(super) struct Caller {
    socket: UdpSocket,
    address: SocketAddr,
    relay: SocketAddr,
    schedule: Schedule,
    state: Mutex<CallState>,
    /// All calls have ended, and no more will start.
    over: AtomicBool,
}

/// Which calls a caller makes: every `callers`-th call, so that together they keep the rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// The number of this caller, from 0.
    pub(super) caller: u64,
    /// The number of callers.
    pub(super) callers: u64,
    /// Calls per second of all callers together.
    pub(super) rate: f64,
    /// Calls of all callers together.
    pub(super) calls: u64,
}

impl Schedule {
    /// Returns the number of our `n`-th call among all calls; `None` after the last.
    fn number(self, n: u64) -> Option<u64> {
        let number = self.caller + n * self.callers;
        (number < self.calls).then_some(number)
    }

    /// Returns when this call starts, counted from the start of the demo.
    #[expect(clippy::cast_precision_loss, reason = "call numbers stay far below 2^52")]
    fn begins(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}

#[derive(Debug)]
struct CallState {
    calls: HashMap<u64, Call>,
    repeats: BinaryHeap<Reverse<Repeat>>,
    last_begun: Option<Instant>,
    tally: Tally,
}

#[derive(Debug)]
struct Call {
    begun: Instant,
    /// The request that waits for its response.
    request: String,
    /// What the response to INVITE contained.
    answered: Option<Answered>,
}

#[derive(Debug)]
struct Answered {
    server: usize,
    ack: String,
}

/// A request to be sent again unless it is answered first.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Repeat {
    due: Instant,
    call: u64,
    of_bye: bool,
    done: u8,
}

impl Caller {
    /// Creates a caller on a free port of the loopback interface.
    pub(super) fn bind(
        relay: SocketAddr,
        schedule: Schedule,
        destinations: usize,
    ) -> io::Result<Self> {
        let socket = super::open_socket()?;
        socket.set_read_timeout(Some(NAP_MAX))?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            relay,
            schedule,
            state: Mutex::new(CallState {
                calls: HashMap::new(),
                repeats: BinaryHeap::new(),
                last_begun: None,
                tally: Tally::new(destinations),
            }),
            over: AtomicBool::new(false),
        })
    }

    /// Returns whether all its calls have ended.
    pub(super) fn is_over(&self) -> bool {
        // Relaxed: the numbers are read under the lock, or after the threads are joined.
        self.over.load(Ordering::Relaxed)
    }

    /// Returns when its last call started.
    pub(super) fn last_begun(&self) -> Option<Instant> {
        self.state().last_begun
    }

    /// Adds its numbers to `sum`.
    pub(super) fn add_to(&self, sum: &mut Tally) {
        sum.add(&self.state().tally);
    }

    /// Starts calls on schedule, from `start` on, until the schedule ends or `stop` is set, and
    /// retransmits unanswered requests. Returns when every call has ended.
    pub(super) fn call(&self, start: Instant, until: Instant, stop: &AtomicBool) {
        let mut n = 0;
        loop {
            let now = Instant::now();
            // Relaxed: nothing is published through the flag.
            let stopped = stop.load(Ordering::Relaxed) || now >= until;
            let next_call = self.schedule.number(n).filter(|_| !stopped);
            let begins = next_call.map(|number| start + self.schedule.begins(number));
            if let (Some(number), Some(begins)) = (next_call, begins)
                && begins <= now
            {
                self.begin(number, now);
                n += 1;
                continue;
            }
            let next_repeat = self.repeat_due(now);
            if begins.is_none() && self.state().calls.is_empty() {
                self.over.store(true, Ordering::Relaxed);
                return;
            }
            let wake = begins.into_iter().chain(next_repeat).min();
            let nap = wake.map_or(NAP_MAX, |wake| wake.saturating_duration_since(now));
            thread::sleep(nap.min(NAP_MAX));
        }
    }

    /// Handles responses until `end` is set and nothing more arrives.
    pub(super) fn listen(&self, end: &AtomicBool) {
        let mut datagram = vec![0; 65_536];
        loop {
            let Ok(len) = self.socket.recv(&mut datagram) else {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                continue;
            };
            let now = Instant::now();
            let mut state = self.state();
            state.tally.received += 1;
            if let Some(response) = Message::read(&datagram[..len]) {
                self.response(&mut state, now, response);
            }
        }
    }

    fn begin(&self, number: u64, now: Instant) {
        let request = self.invite(number);
        let mut state = self.state();
        state.tally.started += 1;
        state.last_begun = Some(now);
        self.send(&mut state, &request);
        state.calls.insert(number, Call { begun: now, request, answered: None });
        state.repeats.push(Reverse(Repeat { due: now + T1, call: number, of_bye: false, done: 0 }));
    }

    /// Sends every request again that is due, and returns when the next one is due. An INVITE is
    /// sent again even after its 180, because the servers keep no state and do not retransmit their
    /// 200.
    fn repeat_due(&self, now: Instant) -> Option<Instant> {
        let state = &mut *self.state();
        loop {
            let due = state.repeats.peek()?.0.due;
            if due > now {
                return Some(due);
            }
            let Reverse(repeat) = state.repeats.pop()?;
            let Some(call) = state.calls.get(&repeat.call) else {
                continue;
            };
            if call.answered.is_some() != repeat.of_bye {
                continue;
            }
            if repeat.done == REPEATS_MAX {
                let what = if repeat.of_bye { "BYE" } else { "INVITE" };
                self.fail(state, repeat.call, format!("no answer to {what}"));
                continue;
            }
            let request = call.request.clone();
            self.send(state, &request);
            state.tally.retransmissions += 1;
            state.repeats.push(Reverse(Repeat {
                due: now + T1 * (1 << (repeat.done + 1)),
                done: repeat.done + 1,
                ..repeat
            }));
        }
    }

    fn response(&self, state: &mut CallState, now: Instant, response: Message<'_>) {
        let number = response.field("Call-ID").and_then(|id| id.split('-').next());
        let (Some(status), Some(number), Some(cseq)) = (
            response.status(),
            number.and_then(|number| number.parse::<u64>().ok()),
            response.field("CSeq"),
        ) else {
            return;
        };
        let server = response.field(SERVER_FIELD).and_then(|s| s.parse().ok());
        let Some(call) = state.calls.get_mut(&number) else {
            return;
        };
        match (status, &call.answered) {
            (..200, _) => {}
            (200, None) if cseq.ends_with("INVITE") => {
                let Some(server) = server.filter(|s| *s < state.tally.per_destination.len()) else {
                    self.fail(state, number, "200 from nobody we know".into());
                    return;
                };
                let setup = now - call.begun;
                let ack = self.in_dialog("ACK", number, response);
                let bye = self.in_dialog("BYE", number, response);
                call.request.clone_from(&bye);
                call.answered = Some(Answered { server, ack: ack.clone() });
                state.tally.per_destination[server] += 1;
                let setup_us = u64::try_from(setup.as_micros()).unwrap_or(u64::MAX);
                state.tally.setup_us.saturating_record(setup_us);
                self.send(state, &ack);
                self.send(state, &bye);
                state.repeats.push(Reverse(Repeat {
                    due: now + T1,
                    call: number,
                    of_bye: true,
                    done: 0,
                }));
            }
            (200, Some(answered)) if cseq.ends_with("INVITE") => {
                let ack = answered.ack.clone();
                self.send(state, &ack);
            }
            (200, Some(answered)) if cseq.ends_with("BYE") => {
                if server == Some(answered.server) {
                    state.calls.remove(&number);
                    state.tally.completed += 1;
                } else {
                    self.fail(state, number, "BYE at another destination".into());
                }
            }
            _ => self.fail(state, number, response.first_line.to_owned()),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what the caller does")]
    fn fail(&self, state: &mut CallState, number: u64, why: String) {
        state.calls.remove(&number);
        *state.tally.failed.entry(why).or_default() += 1;
    }

    fn send(&self, state: &mut CallState, request: &str) {
        // A failed send counts as lost, and the retransmission makes up for it.
        let _ = self.socket.send_to(request.as_bytes(), self.relay);
        state.tally.sent += 1;
    }

    fn invite(&self, number: u64) -> String {
        let Self { address, relay, .. } = self;
        let body = session_description(address.port());
        format!(
            "INVITE sip:{number:010}@{relay} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {address};rport;branch=z9hG4bKdemo{number}.1\r\n\
             Max-Forwards: 70\r\n\
             From: \"Demo\" <sip:caller@{address}>;tag=c{number}\r\n\
             To: <sip:{number:010}@{relay}>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 INVITE\r\n\
             Contact: <sip:caller@{address}>\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n\
             User-Agent: strowger demo\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {len}\r\n\r\n{body}",
            call_id = self.call_id(number),
            len = body.len(),
        )
    }

    /// RFC 3261 §12.2.1.1: to the remote target, along the route set.
    fn in_dialog(&self, method: &str, number: u64, answer: Message<'_>) -> String {
        let address = self.address;
        let (cseq, branch) = if method == "ACK" { (1, 2) } else { (2, 3) };
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {address};rport;branch=z9hG4bKdemo{number}.{branch}\r\n\
             {routes}Max-Forwards: 70\r\n\
             From: \"Demo\" <sip:caller@{address}>;tag=c{number}\r\n\
             To: {to}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n\
             User-Agent: strowger demo\r\n\
             Content-Length: 0\r\n\r\n",
            target = answer.contact_uri().unwrap_or("sip:nobody@127.0.0.1"),
            routes = answer.routes_of_caller(),
            to = answer.field("To").unwrap_or(""),
            call_id = self.call_id(number),
        )
    }

    fn call_id(&self, number: u64) -> String {
        format!("{number}-{}@{}", self.address.port(), self.address.ip())
    }

    fn state(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().expect("no caller thread panics")
    }
}
