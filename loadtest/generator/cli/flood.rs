//! `loadtest flood`.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use loadtest::flood::{Flood, FloodOutcome, FloodPlan, Method};
use loadtest::report::{Facts, Limits, Report};

use super::load::ShapeArgs;
use super::progress::{Bar, Interrupts};
use super::save::SaveArgs;
use super::values;

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The sinks answer nothing. A relay that takes that for a failure must be told not to; Strowger:
  [dispatch]
  passive = false")]
pub(super) struct FloodArgs {
    /// The relay's address; several take turns [default: its own sinks, directly]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    relay: Vec<SocketAddr>,
    /// Where the sinks are, as 127.0.0.1:5081-5084
    #[arg(
        long,
        default_value = values::SERVERS,
        value_name = "ADDR:PORT[-PORT]",
        value_delimiter = ','
    )]
    sinks: Vec<String>,
    /// Messages a second [default: as many as it can]
    #[arg(long, value_name = "NUMBER", value_parser = values::rate)]
    rate: Option<f64>,
    /// How long it lasts
    #[arg(long, default_value = "5s", value_parser = values::time)]
    time: Duration,
    /// What is sent
    #[arg(long, default_value = "invite")]
    method: MethodName,
    /// From how many ports it comes
    #[arg(long, default_value_t = 8, value_name = "NUMBER")]
    sources: usize,
    /// From which address it comes [default: the one with a route to the relay]
    #[arg(long, value_name = "ADDR")]
    from: Option<IpAddr>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Threads that send
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    threads: usize,
    /// Send each message as a packet of its own: the kernel then spreads them over the relay's
    /// workers one by one, and sending costs this program more
    #[arg(long)]
    no_segments: bool,
    /// Do not measure first what this program can do by itself
    #[arg(long)]
    no_limits: bool,
    #[command(flatten)]
    save: SaveArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodName {
    /// New INVITEs
    Invite,
    /// New OPTIONS
    Options,
}

impl FloodArgs {
    pub(super) fn run(&self) -> super::Result {
        self.save.check()?;
        let plan = self.plan()?;
        let flood = Flood::bind(plan.clone()).map_err(|error| error.to_string())?;
        let limits = if self.no_limits { None } else { Some(limits(&plan)?) };
        let targets = if self.relay.is_empty() { flood.sinks() } else { &self.relay };
        let interrupts = Interrupts::listen()?;
        let bar = Bar::new(self.time);
        let begun = SystemTime::now();
        let outcome = flood
            .run(targets, interrupts.flag(), |_, sent, arrived| bar.show_flood(sent, arrived))
            .map_err(|error| error.to_string())?;
        bar.end();
        let facts = Facts { begun, targets: targets.to_vec(), limits };
        let report = Report::of_flood(&flood, &plan, &outcome, &facts);
        self.save.show(&report)?;
        // To lose messages is what a flood is for.
        Ok(report.ends.completed > 0)
    }

    fn plan(&self) -> Result<FloodPlan, String> {
        let sinks = self.sinks.iter().map(|text| values::addresses(text));
        let sinks = sinks.collect::<Result<Vec<_>, _>>()?.concat();
        let first = *self.relay.first().unwrap_or(&sinks[0]);
        Ok(FloodPlan {
            rate: self.rate,
            time: self.time,
            sources: self.sources,
            local: self.from.map_or_else(|| values::local_for(first), Ok)?,
            sinks,
            method: match self.method {
                MethodName::Invite => Method::Invite,
                MethodName::Options => Method::Options,
            },
            shape: self.shape.shape(),
            threads: self.threads,
            is_segmented: !self.no_segments,
        })
    }
}

/// What this program can send straight to its own sinks.
fn limits(plan: &FloodPlan) -> Result<Limits, String> {
    let sinks = plan.sinks.iter().map(|sink| SocketAddr::new(sink.ip(), 0)).collect();
    let plan = FloodPlan { sinks, rate: None, time: LIMITS_TIME, ..plan.clone() };
    let outcome = Flood::bind(plan)
        .and_then(|flood| flood.run(flood.sinks(), &AtomicBool::new(false), |_, _, _| {}));
    let outcome: FloodOutcome = outcome.map_err(|error| error.to_string())?;
    Ok(Limits { rate: outcome.arrived_all() as f64 / outcome.took.as_secs_f64() })
}

const LIMITS_TIME: Duration = Duration::from_millis(500);
