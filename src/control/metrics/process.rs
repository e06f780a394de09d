//! The figures of the process and its threads.

use std::fmt;
use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{NO_LABELS, begin_family, counter, gauge};
use crate::control::commands::Commands;
use crate::stats::WorkerStats;

#[derive(Debug)]
pub(super) struct Process {
    uptime: Duration,
    cpu: Duration,
    /// Of each worker, by its number.
    workers: Vec<Duration>,
    snapshot_version: u64,
    pins: usize,
    pins_max: usize,
    is_source_read: bool,
}

impl Process {
    pub(super) fn read(commands: &Commands) -> Self {
        let inner = commands.inner();
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        Self {
            uptime: commands.uptime(),
            cpu: cpu.map(Duration::from).unwrap_or_default(),
            workers: inner.stats.iter().map(cpu_of).collect(),
            snapshot_version: inner.current.snapshot().version,
            pins: inner.shared.pins.estimate(),
            pins_max: inner.shared.pins.capacity(),
            is_source_read: !inner.is_stale(),
        }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        gauge(
            &mut begin_family(encoder, MetricType::Gauge, "strowger_build", "The running version")?,
            &version,
            1_u64,
        )?;
        let help = "How long the relay has been running";
        let mut family = begin_family(encoder, MetricType::Gauge, "strowger_uptime_seconds", help)?;
        gauge(&mut family, &NO_LABELS, self.uptime.as_secs_f64())?;
        let help = "Processor time of all threads";
        let mut family = begin_family(encoder, MetricType::Counter, "strowger_cpu_seconds", help)?;
        counter(&mut family, &NO_LABELS, self.cpu.as_secs_f64())?;
        let help = "Processor time of a worker";
        let mut family =
            begin_family(encoder, MetricType::Counter, "strowger_worker_cpu_seconds", help)?;
        for (worker, cpu) in self.workers.iter().enumerate() {
            counter(&mut family, &[("worker", worker)], cpu.as_secs_f64())?;
        }
        let help = "The number of the table of destinations in force; it grows with each change";
        let mut family =
            begin_family(encoder, MetricType::Gauge, "strowger_snapshot_version", help)?;
        gauge(&mut family, &NO_LABELS, self.snapshot_version)?;
        let help = "Whether the source of destinations has been read since the start; if not, the \
                    relay uses the last good ones";
        let mut family = begin_family(encoder, MetricType::Gauge, "strowger_source_read", help)?;
        gauge(&mut family, &NO_LABELS, u64::from(self.is_source_read))?;
        for (name, help, count) in [
            ("strowger_pins", "Pins in the table, estimated", self.pins),
            ("strowger_pins_max", "Pins that the table has room for", self.pins_max),
        ] {
            gauge(
                &mut begin_family(encoder, MetricType::Gauge, name, help)?,
                &NO_LABELS,
                count as u64,
            )?;
        }
        Ok(())
    }
}

/// Returns the processor time of a worker.
fn cpu_of(worker: &WorkerStats) -> Duration {
    let ns = worker.thread_id().and_then(|thread| {
        // Nanoseconds on a processor, nanoseconds waiting for one, and turns.
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    });
    Duration::from_nanos(ns.unwrap_or(0))
}
