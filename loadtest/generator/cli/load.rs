//! `loadtest calls`, `invites`, `options`, `serve` and `list`.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};

use loadtest::report::{Facts, Limits, Report};
use loadtest::{Load, Mix, Plan, Schedule, Shape, Traffic, Watch};

use super::print::print;
use super::progress::{Bar, Interrupts};
use super::save::SaveArgs;
use super::values;

/// What calls and single requests have in common.
#[derive(Args, Clone, Debug)]
struct CommonArgs {
    /// The relay's address; several take turns [default: its own servers, directly]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    relay: Vec<SocketAddr>,
    #[command(flatten)]
    servers: ServersArgs,
    /// How many a second
    #[arg(long, default_value = "1000", value_name = "NUMBER", value_parser = values::rate)]
    rate: f64,
    /// How long they are started
    #[arg(long, default_value = "10s", value_parser = values::time)]
    time: Duration,
    /// How their starts are spread
    #[arg(long, default_value = "uniform")]
    schedule: ScheduleName,
    /// From how many ports they come
    #[arg(long, default_value_t = 8, value_name = "NUMBER")]
    sources: usize,
    /// From which address they come [default: the one with a route to the relay]
    #[arg(long, value_name = "ADDR")]
    from: Option<IpAddr>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Send messages again as RFC 3261 says, and count that apart
    #[arg(long)]
    retransmit: bool,
    /// How long to wait for a response [default: 4s, with --retransmit 32s]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    patience: Option<Duration>,
    /// Threads; more than one is of use only with processors to spare
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    threads: usize,
    /// How many may be open at a time; more are not started, and counted
    #[arg(long, default_value_t = 1_000_000, value_name = "NUMBER")]
    open_max: usize,
    /// The same seed makes the same choices
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Do not measure first what this program can do by itself
    #[arg(long)]
    no_limits: bool,
    #[command(flatten)]
    save: SaveArgs,
}

/// Where the servers are.
#[derive(Args, Clone, Debug)]
struct ServersArgs {
    /// Where the servers of this program listen, as 127.0.0.1:5081-5084; `none` if others answer
    #[arg(
        long,
        default_value = values::SERVERS,
        value_name = "ADDR:PORT[-PORT]",
        value_delimiter = ','
    )]
    servers: Vec<String>,
}

/// The size of a message.
#[derive(Args, Clone, Debug)]
pub(super) struct ShapeArgs {
    /// Bytes of each first request, up to 8192 [default: what its rows need]
    #[arg(long, value_name = "NUMBER")]
    bytes: Option<usize>,
    /// Header rows of each first request, 5 to 60
    #[arg(long, value_name = "NUMBER")]
    rows: Option<usize>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct CallArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// How long a server rings
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = values::time)]
    ring: Duration,
    /// How long an answered call lasts
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = values::time)]
    talk: Duration,
    /// The share of calls that are cancelled after the ring time
    #[arg(long, default_value = "0%", value_name = "SHARE", value_parser = values::share)]
    cancel: f64,
    /// The share of calls that a server refuses
    #[arg(long, default_value = "0%", value_name = "SHARE", value_parser = values::share)]
    refuse: f64,
    /// The status code of refusals
    #[arg(long, default_value_t = 486, value_name = "CODE")]
    refuse_code: u16,
    /// The share of calls at which a server fails
    #[arg(long, default_value = "0%", value_name = "SHARE", value_parser = values::share)]
    fail: f64,
    /// The status code of failures
    #[arg(long, default_value_t = 503, value_name = "CODE")]
    fail_code: u16,
    /// The share of calls that no server answers
    #[arg(long, default_value = "0%", value_name = "SHARE", value_parser = values::share)]
    silent: f64,
}

#[derive(Args, Clone, Debug)]
pub(super) struct SingleArgs {
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// How long a server rings
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = values::time)]
    ring: Duration,
    /// Send responses again until their ACK comes
    #[arg(long)]
    retransmit: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    servers: ServersArgs,
    /// The set
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    set: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScheduleName {
    /// At equal distances
    Uniform,
    /// At random, as independent callers do
    Poisson,
    /// All of each 100 ms in its first 10 ms
    Burst,
}

impl CallArgs {
    pub(super) fn run(&self) -> super::Result {
        let mix =
            Mix { cancel: self.cancel, refuse: self.refuse, fail: self.fail, silent: self.silent };
        let plan = Plan {
            traffic: Traffic::Calls,
            ring: self.ring,
            talk: self.talk,
            mix,
            refuse_code: self.refuse_code,
            fail_code: self.fail_code,
            ..self.common.plan()?
        };
        self.common.run(plan)
    }
}

impl SingleArgs {
    pub(super) fn run(&self, traffic: Traffic) -> super::Result {
        self.common.run(Plan { traffic, ..self.common.plan()? })
    }
}

impl CommonArgs {
    fn plan(&self) -> Result<Plan, String> {
        let servers = self.servers.list()?;
        let first = self.relay.first().or(servers.first());
        let local = match (self.from, first) {
            (Some(from), _) => from,
            (None, Some(target)) => values::local_for(*target)?,
            (None, None) => return Err("with --servers none, name a --relay".into()),
        };
        let patience = if self.retransmit { 32 } else { 4 };
        Ok(Plan {
            rate: self.rate,
            time: self.time,
            schedule: self.schedule.into(),
            sources: self.sources,
            local,
            servers,
            shape: self.shape.shape(),
            retransmits: self.retransmit,
            patience: self.patience.unwrap_or(Duration::from_secs(patience)),
            threads: self.threads,
            open_max: self.open_max,
            seed: self.seed,
            ..Plan::default()
        })
    }

    fn run(&self, plan: Plan) -> super::Result {
        self.save.check()?;
        let load = Load::bind(plan).map_err(say)?;
        let limits = if self.no_limits || load.servers().is_empty() {
            None
        } else {
            Some(limits(load.plan())?)
        };
        let targets = if self.relay.is_empty() { load.servers() } else { &self.relay };
        let watch = Watch::new(load.plan().threads);
        let interrupts = Interrupts::listen()?;
        let begun = SystemTime::now();
        let outcome = std::thread::scope(|scope| {
            let running = scope.spawn(|| load.run(targets, &watch));
            let bar = Bar::new(self.time);
            while !running.is_finished() {
                match interrupts.count() {
                    0 => {}
                    1 => watch.stop(),
                    _ => watch.abort(),
                }
                bar.show(watch.seen());
                std::thread::sleep(LOOK);
            }
            bar.end();
            running.join().expect("a run does not panic")
        });
        let outcome = outcome.map_err(say)?;
        let facts = Facts { begun, targets: targets.to_vec(), limits };
        let report = Report::of_load(&load, &outcome, &facts);
        self.save.show(&report)?;
        Ok(report.bad() + report.messages_lost == 0)
    }
}

impl ServeArgs {
    pub(super) fn run(&self) -> super::Result {
        let servers = self.servers.list()?;
        let first = servers.first().ok_or("there is nothing to serve: name --servers")?;
        let plan = Plan {
            local: first.ip(),
            time: DAY,
            ring: self.ring,
            retransmits: self.retransmit,
            servers: servers.clone(),
            ..Plan::default()
        };
        let load = Load::bind(plan).map_err(say)?;
        let watch = Watch::new(1);
        let interrupts = Interrupts::listen()?;
        eprintln!("serving at {} addresses from {first} on; Ctrl-C ends it", servers.len());
        let outcome = std::thread::scope(|scope| {
            let running = scope.spawn(|| load.serve(&watch));
            while !running.is_finished() {
                if interrupts.count() > 0 {
                    watch.stop();
                }
                std::thread::sleep(LOOK);
            }
            running.join().expect("a run does not panic")
        });
        let record = outcome.map_err(say)?.record;
        let taken = load.servers().iter().zip(&record.servers);
        let lines: String =
            taken.map(|(address, taken)| format!("{address} took {taken}\n")).collect();
        print(&format!("{lines}probes and others' requests: {}\n", record.others.probes))?;
        Ok(true)
    }
}

impl ListArgs {
    pub(super) fn run(&self) -> super::Result {
        let servers = self.servers.list()?;
        let lines: String =
            servers.iter().map(|server| format!("{} sip:{server} 0 0\n", self.set)).collect();
        print(&format!("# setid destination flags priority\n{lines}"))?;
        Ok(true)
    }
}

impl ServersArgs {
    fn list(&self) -> Result<Vec<SocketAddr>, String> {
        if self.servers == ["none"] {
            return Ok(Vec::new());
        }
        let lists = self.servers.iter().map(|text| values::addresses(text));
        Ok(lists.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

impl ShapeArgs {
    pub(super) fn shape(&self) -> Shape {
        Shape { bytes: self.bytes, rows: self.rows }
    }
}

impl From<ScheduleName> for Schedule {
    fn from(name: ScheduleName) -> Self {
        match name {
            ScheduleName::Uniform => Self::Uniform,
            ScheduleName::Poisson => Self::Poisson,
            ScheduleName::Burst => Self::Burst,
        }
    }
}

/// What this program can do by itself with such calls, without waiting.
fn limits(plan: &Plan) -> Result<Limits, String> {
    let servers = plan.servers.iter().map(|server| SocketAddr::new(server.ip(), 0)).collect();
    let plan = Plan {
        servers,
        ring: Duration::ZERO,
        talk: Duration::ZERO,
        mix: Mix::default(),
        time: LIMITS_TIME,
        keeps_calls: false,
        ..plan.clone()
    };
    let outcome = Load::bind(plan)
        .and_then(|load| load.saturate(LIMITS_TIME, LIMITS_AT_A_TIME))
        .map_err(say)?;
    Ok(Limits { rate: outcome.record.ends.good() as f64 / LIMITS_TIME.as_secs_f64() })
}

#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn say(error: loadtest::Error) -> String {
    error.to_string()
}

const LOOK: Duration = Duration::from_millis(50);
const DAY: Duration = Duration::from_hours(24);
const LIMITS_TIME: Duration = Duration::from_millis(500);
/// Enough for full batches, and few enough for any receive buffer.
const LIMITS_AT_A_TIME: usize = 64;
