//! What is to happen in one run: who calls when, what each server does with each call, and what breaks.

use strowger::transaction::Failover;

use crate::random::Random;

/// One run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) failover: Failover,
    pub(crate) servers: usize,
    pub(crate) calls: Vec<CallPlan>,
    /// A server is declared inactive, or active again.
    pub(crate) switches: Vec<(u64, usize, bool)>,
    /// A worker forgets everything.
    pub(crate) resets: Vec<(u64, usize)>,
    /// Of 100 datagrams.
    pub(crate) loss: u64,
    pub(crate) doubling: u64,
    pub(crate) delay_ms: u64,
    /// Bytes for the messages that the transactions of one worker keep.
    pub(crate) bytes: usize,
    pub(crate) owner_seed: u64,
}

/// One request of a caller.
#[derive(Debug)]
pub(crate) struct CallPlan {
    pub(crate) method: &'static str,
    pub(crate) begins: u64,
    /// Milliseconds after it began.
    pub(crate) cancels: Option<u64>,
    /// The caller is gone: it sends nothing more, and hears nothing.
    pub(crate) vanishes: Option<u64>,
    /// The ACK to a 2xx has the Routes of the dialog.
    pub(crate) has_route: bool,
    /// By server.
    pub(crate) servers: Vec<Behaviour>,
}

/// What a server does with one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// Its answers: milliseconds after the request came, and the status line.
    pub(crate) answers: Vec<(u64, &'static str)>,
    /// Nobody listens at its port.
    pub(crate) refuses: bool,
    /// It takes nothing in before it was asked this long ago.
    pub(crate) sleeps: u64,
    /// Its 100 has our Via only.
    pub(crate) lone_100: bool,
    pub(crate) ignores_cancel: bool,
    /// A second 2xx, from another telephone.
    pub(crate) forks: bool,
}

const REFUSALS: [&str; 14] = [
    "486 Busy Here",
    "486 Busy Here",
    "603 Decline",
    "603 Decline",
    "404 Not Found",
    "302 Moved Temporarily",
    "401 Unauthorized",
    "408 Request Timeout",
    "482 Loop Detected",
    "500 Server Internal Error",
    "500 Server Internal Error",
    "503 Service Unavailable",
    "503 Full",
    "504 Server Time-out",
];

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let servers = random.between(3, 4) as usize;
        let has_loss = random.chance(40);
        let mut failover = Failover {
            first_response_ms: *random.pick(&[500, 1_000, 2_000, 2_000, 2_000, 10_000]),
            progress_ms: *random.pick(&[0, 0, 3_000]),
            ringing_ms: *random.pick(&[5_000, 20_000, 185_000]),
            total_ms: *random.pick(&[3_000, 16_000, 16_000]),
            tries_max: random.between(1, 4) as u8,
            ..Failover::default()
        };
        if random.chance(30) {
            failover.codes =
                [302, 404, 408, 486, 500, 503].into_iter().filter(|_| random.chance(50)).collect();
        }
        if random.chance(5) {
            (failover.retries_percent, failover.retries_min) = (0, 0);
        }
        let calls = random.between(1, 3);
        Self {
            calls: (0..calls).map(|_| CallPlan::new(random, servers)).collect(),
            failover,
            servers,
            switches: switches(random, servers),
            resets: if random.chance(8) {
                vec![(random.between(10, 20_000), random.below(2))]
            } else {
                Vec::new()
            },
            loss: if has_loss { random.between(1, 30) } else { 0 },
            doubling: if random.chance(50) { random.between(1, 20) } else { 0 },
            delay_ms: *random.pick(&[1, 20, 20, 1_000]),
            bytes: if random.chance(12) { random.between(1, 5) as usize * 512 } else { 1 << 18 },
            owner_seed: random.u64(),
        }
    }
}

fn switches(random: &mut Random, servers: usize) -> Vec<(u64, usize, bool)> {
    let mut switches = Vec::new();
    let is_outage = random.chance(3);
    for server in 0..servers {
        if is_outage || random.chance(20) {
            let at = random.between(10, if is_outage { 1_000 } else { 8_000 });
            switches.push((at, server, true));
            if random.chance(60) {
                switches.push((at + random.between(10, 8_000), server, false));
            }
        }
    }
    switches
}

impl CallPlan {
    fn new(random: &mut Random, servers: usize) -> Self {
        let method = *random.pick(&["INVITE", "INVITE", "INVITE", "MESSAGE", "OPTIONS"]);
        let is_invite = method == "INVITE";
        Self {
            method,
            begins: random.between(1, 3_000),
            cancels: (is_invite && random.chance(33)).then(|| {
                let latest = *random.pick(&[50, 3_000, 12_000]);
                random.between(0, latest)
            }),
            vanishes: random.chance(5).then(|| random.between(0, 12_000)),
            has_route: random.chance(60),
            servers: (0..servers).map(|_| Behaviour::new(random, is_invite)).collect(),
        }
    }
}

impl Behaviour {
    fn new(random: &mut Random, is_invite: bool) -> Self {
        let mut of = Self {
            refuses: random.chance(8),
            ignores_cancel: random.chance(15),
            lone_100: random.chance(20),
            forks: random.chance(10),
            ..Self::default()
        };
        if random.chance(20) {
            of.sleeps = random.between(500, 45_000);
        }
        let mut at = random.between(0, 50);
        if random.chance(60) {
            of.answers.push((at, "100 Trying"));
            at += random.between(0, 3_000);
        }
        if is_invite {
            for _ in 0..*random.pick(&[0, 0, 1, 1, 2]) {
                of.answers.push((
                    at,
                    *random.pick(&["180 Ringing", "183 Session Progress", "180 Ringing"]),
                ));
                at += random.between(0, 6_000);
            }
        }
        match random.below(10) {
            0..4 => of.answers.push((at, "200 OK")),
            4..8 => of.answers.push((at, *random.pick(&REFUSALS))),
            // It is silent for ever.
            8 => {}
            _ => of.answers.clear(),
        }
        of
    }
}
