//! The measurements: calls at a fixed rate, the highest rate without loss, and memory.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use loadtest::record::Latency;
use loadtest::{Load, Outcome, Plan, Watch};
use nix::time::{ClockId, clock_gettime};

use super::processor::{Machine, Used};
use super::relay::{Kind, Relay};

/// What calls at a fixed rate showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtRate {
    /// Processor time of the relay for each of the six messages of a call, in us.
    pub(super) cpu_us: f64,
    /// From when an INVITE was due to its 200: the median and the 99th percentile, in us.
    pub(super) answer_us: [f64; 2],
    /// Calls that did not go as they should.
    pub(super) bad: u64,
    /// What other processes and the host took, as a share of one core.
    pub(super) disturbed: f64,
}

/// Makes calls at this rate, after as many to warm up.
pub(super) fn at_rate(kind: Kind, core: usize, rate: f64, time: Duration) -> io::Result<AtRate> {
    let load = bind(&SERVERS, rate, time)?;
    let relay = Relay::start(kind, core, load.servers())?;
    run(&load, &relay)?;
    let pid = relay.pid();
    let used = pid.map(Used::by).transpose()?.unwrap_or_default();
    let (own, machine, begin) = (own_time()?, Machine::now()?, Instant::now());
    let outcome = run(&load, &relay)?;
    let elapsed = begin.elapsed();
    let used = pid.map(Used::by).transpose()?.unwrap_or_default().since(used);
    let known = own_time()?.saturating_sub(own).as_nanos() as u64 + used.ns;
    let (others, stolen) = Machine::now()?.shares(machine, known, elapsed);
    let record = &outcome.record;
    let answer = record.latencies.of(Latency::Answer);
    let messages = (MESSAGES_OF_A_CALL * record.ends.started).max(1);
    Ok(AtRate {
        cpu_us: used.ns as f64 / 1e3 / messages as f64,
        answer_us: [0.5, 0.99].map(|share| answer.value_at_quantile(share) as f64 / 1e3),
        bad: record.ends.bad() + record.ends.not_started,
        disturbed: others + stolen,
    })
}

/// The highest rate that a relay holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Highest {
    /// Calls per second, none of which was lost.
    pub(super) calls: f64,
    /// The generator could not do more.
    pub(super) is_of_generator: bool,
}

/// Searches the highest rate at which no call is lost: doubles it, then halves what is left.
pub(super) fn highest(kind: Kind, core: usize) -> io::Result<Highest> {
    let first = bind(&SERVERS, FIRST_RATE, PROBE)?;
    let servers = first.servers().to_vec();
    let relay = Relay::start(kind, core, &servers)?;
    run(&first, &relay)?;
    drop(first);
    let mut is_of_generator = false;
    let mut holds = |rate: f64| -> io::Result<bool> {
        let outcome = run(&bind(&servers, rate, PROBE)?, &relay)?;
        let record = &outcome.record;
        let lag = Duration::from_nanos(record.latencies.of(Latency::Lag).value_at_quantile(0.99));
        is_of_generator = lag > LAG_MAX || record.others.overflowed > 0 || record.others.unsent > 0;
        let is_clean = record.ends.bad() == 0 && record.ends.not_started == 0;
        Ok(is_clean && !is_of_generator)
    };
    let (mut good, mut bad) = (0.0, FIRST_RATE);
    while bad < RATE_MAX && holds(bad)? {
        (good, bad) = (bad, bad * STEP);
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(good, bad);
        if holds(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    // Whose limit it is, is what the last rate above it showed.
    holds(bad)?;
    Ok(Highest { calls: good, is_of_generator })
}

/// Returns the bytes that a relay needs for each call that rings; `None` if many calls were lost.
pub(super) fn bytes_per_call(kind: Kind, core: usize) -> io::Result<Option<f64>> {
    let warm = bind(&SERVERS, FIRST_RATE, PROBE)?;
    let servers = warm.servers().to_vec();
    let relay = Relay::start(kind, core, &servers)?;
    run(&warm, &relay)?;
    drop(warm);
    let plan =
        Plan { ring: RING, patience: RING * 2, ..plan(&servers, RINGING / 2.0, TWO_SECONDS) };
    let load = Load::bind(plan).map_err(io::Error::other)?;
    let before = relay.memory()?;
    let begin = Instant::now() + Duration::from_millis(100);
    let (outcome, during) = thread::scope(|scope| {
        let watch = Watch::new(1);
        let targets = relay.targets(&servers);
        let load = &load;
        let calls = scope.spawn(move || load.run_at(begin, &targets, &watch));
        // All have begun, and none has been answered.
        thread::sleep((begin + TWO_SECONDS + SETTLE).saturating_duration_since(Instant::now()));
        let during = relay.memory();
        (calls.join().expect("the generator does not panic"), during)
    });
    let during = during?;
    let ends = outcome.map_err(io::Error::other)?.record.ends;
    // Calls that were lost on the way ring nowhere.
    let ringing = ends.good();
    let is_enough = ringing * 20 > ends.started * 19;
    Ok(is_enough.then(|| during.saturating_sub(before) as f64 / ringing as f64))
}

/// Returns the processor time of this process, with that of threads that have ended.
fn own_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

fn plan(servers: &[SocketAddr], rate: f64, time: Duration) -> Plan {
    Plan {
        rate,
        time,
        // The null relay knows a caller by its port, and each has a server.
        sources: servers.len(),
        servers: servers.to_vec(),
        talk: TALK,
        patience: PATIENCE,
        ..Plan::default()
    }
}

fn bind(servers: &[SocketAddr], rate: f64, time: Duration) -> io::Result<Load> {
    Load::bind(plan(servers, rate, time)).map_err(io::Error::other)
}

fn run(load: &Load, relay: &Relay) -> io::Result<Outcome> {
    let outcome = load.run(&relay.targets(load.servers()), &Watch::new(1));
    outcome.map_err(|error| io::Error::other(format!("{error}: {}", relay.log())))
}

/// INVITE, 180, 200, ACK, BYE, 200.
const MESSAGES_OF_A_CALL: u64 = 6;
/// Two servers, at free ports.
const SERVERS: [SocketAddr; 2] =
    [SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0); 2];
const TALK: Duration = Duration::from_millis(50);
/// A call without an answer for this long is lost. Nothing is sent again.
const PATIENCE: Duration = Duration::from_millis(800);
/// How long a rate is tried.
const PROBE: Duration = Duration::from_millis(400);
const FIRST_RATE: f64 = 1_000.0;
const STEP: f64 = 2.0;
const RATE_MAX: f64 = 200_000.0;
/// After these, the rate is known to a twelfth.
const HALVINGS: usize = 3;
/// A generator that is later than this with its calls is at its limit.
const LAG_MAX: Duration = Duration::from_millis(20);
/// Calls that ring at once while memory is measured.
const RINGING: f64 = 8_000.0;
const TWO_SECONDS: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_millis(400);
const RING: Duration = Duration::from_secs(4);
