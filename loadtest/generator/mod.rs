//! An open-loop caller: it starts calls at a fixed rate, whatever becomes of the earlier ones.
//!
//! So a relay that stalls is seen as calls that are late or lost, not as fewer calls. A call is an
//! INVITE, its ACK and a BYE; requests are sent again as RFC 3261 says (T1, doubled each time).

mod call;
mod text;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use call::Call;
pub(crate) use text::{Message, SERVER_FIELD};

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Where the calls go.
    pub(crate) relay: SocketAddr,
    /// Calls a second.
    pub(crate) per_second: u32,
    /// How long an answered call lasts.
    pub(crate) hold: Duration,
    /// How long a caller waits for a final response, at most.
    pub(crate) patience: Duration,
}

/// What became of one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outcome {
    /// When it was due, since the generator began. Delays count from then.
    pub(crate) due: Duration,
    pub(crate) end: End,
}

/// How the INVITE of a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// A server took it.
    Answered {
        /// How long after it was due.
        after: Duration,
        /// The number of the server.
        server: u8,
    },
    /// It was refused with this status code.
    Refused(u16),
    /// There was no final response.
    Lost,
}

/// What it did in all.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// One for each call, in the order in which they began.
    pub(crate) calls: Vec<Outcome>,
    /// Answered calls whose BYE had no answer.
    pub(crate) byes_lost: usize,
}

/// Makes calls until `stop` is set, then waits for those that it has begun.
pub(crate) fn run(plan: &Plan, begin: Instant, stop: &AtomicBool) -> io::Result<Outcomes> {
    let socket = UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(plan.relay)?;
    let local = socket.local_addr()?;
    let mut calls: Vec<Call> = Vec::new();
    let mut timers: BinaryHeap<Reverse<(Instant, usize)>> = BinaryHeap::new();
    let mut datagram = vec![0; 65_536];
    let due_of = |number: usize| begin + Duration::from_secs(1) * number as u32 / plan.per_second;
    let mut open = 0;
    loop {
        let is_over = stop.load(Ordering::Relaxed);
        if is_over && open == 0 {
            break;
        }
        let now = Instant::now();
        while !is_over && due_of(calls.len()) <= now {
            let number = calls.len();
            calls.push(Call::new(number, due_of(number), local, plan));
            timers.push(Reverse((due_of(number), number)));
            open += 1;
        }
        while let Some(Reverse((at, number))) = timers.peek().copied()
            && at <= now
        {
            timers.pop();
            let call = &mut calls[number];
            // A response has moved the timer of this call since.
            if call.timer != Some(at) {
                continue;
            }
            let (text, next) = call.wake(now);
            if let Some(text) = text {
                // What the kernel refuses is sent again like what the network loses.
                let _ = socket.send(text.as_bytes());
            }
            match next {
                Some(next) => timers.push(Reverse((next, number))),
                None => open -= 1,
            }
        }
        let next_call = if is_over { now + LOOK_AGAIN } else { due_of(calls.len()) };
        let next = timers.peek().map_or(next_call, |Reverse((at, _))| next_call.min(*at));
        let wait = next.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(wait.clamp(Duration::from_micros(100), LOOK_AGAIN)))?;
        let Ok(len) = socket.recv(&mut datagram) else { continue };
        let now = Instant::now();
        let Some(response) = Message::read(&datagram[..len]) else { continue };
        let Some(number) = response.field("Call-ID").and_then(call::number_of) else { continue };
        let Some(call) = calls.get_mut(number) else { continue };
        let before = call.timer;
        if let Some(ack) = call.hear(now, response) {
            let _ = socket.send(ack.as_bytes());
        }
        if let Some(timer) = call.timer.filter(|_| call.timer != before) {
            timers.push(Reverse((timer, number)));
        }
    }
    let byes_lost = calls.iter().filter(|call| call.is_bye_lost()).count();
    let calls = calls.iter().map(|call| Outcome { due: call.due - begin, end: call.end() });
    Ok(Outcomes { calls: calls.collect(), byes_lost })
}

const LOOK_AGAIN: Duration = Duration::from_millis(5);
