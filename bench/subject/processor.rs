//! Reads from `/proc` how much processor time went where.

use std::fs;
use std::io;
use std::time::Duration;

/// Processor time of a process and its children.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// To the nanosecond, as the scheduler counts it, with what the kernel did on its behalf.
    pub(super) ns: u64,
    /// Clock ticks in which it was found outside the kernel, and all: good for shares only.
    pub(super) user_ticks: u64,
    pub(super) ticks: u64,
}

impl Used {
    /// By this process until now.
    pub(super) fn by(pid: u32) -> io::Result<Self> {
        let mut used = Self::default();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold spaces; utime and stime are fields 14 and 15.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<u64> = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        used.user_ticks = fields[0];
        used.ticks = fields[0] + fields[1];
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            used.ns += first_number(&fs::read_to_string(task.join("schedstat"))?);
            for child in fs::read_to_string(task.join("children"))?.split_whitespace() {
                let child = Self::by(child.parse().map_err(io::Error::other)?)?;
                used.ns += child.ns;
                used.user_ticks += child.user_ticks;
                used.ticks += child.ticks;
            }
        }
        Ok(used)
    }

    /// Since an earlier moment.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            ns: self.ns - earlier.ns,
            user_ticks: self.user_ticks - earlier.user_ticks,
            ticks: self.ticks - earlier.ticks,
        }
    }
}

/// What all processors did, in clock ticks of 10 ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    busy: u64,
    stolen: u64,
}

impl Machine {
    /// Until now.
    pub(super) fn now() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = ticks[..] else {
            return Err(io::Error::other("/proc/stat is not as expected"));
        };
        Ok(Self { busy: user + nice + system + irq + softirq, stolen })
    }

    /// Shares of one processor since `earlier`: what others than `known_ns` took, and what the host
    /// took away.
    pub(super) fn shares(self, earlier: Self, known_ns: u64, elapsed: Duration) -> (f64, f64) {
        let tick_s = 0.01;
        let all = elapsed.as_secs_f64();
        let busy_s = (self.busy - earlier.busy) as f64 * tick_s;
        let others = (busy_s - known_ns as f64 / 1e9).max(0.0) / all;
        (others, (self.stolen - earlier.stolen) as f64 * tick_s / all)
    }
}

/// Datagrams that the kernel dropped at a local UDP port because nobody read them in time.
pub(super) fn drops_at(port: u16) -> io::Result<u64> {
    let table = fs::read_to_string("/proc/net/udp")?;
    let own = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace());
    let dropped = rows.filter_map(|mut fields| {
        fields.nth(1).filter(|local| local.ends_with(&own))?;
        fields.last()?.parse::<u64>().ok()
    });
    Ok(dropped.sum())
}

fn first_number(text: &str) -> u64 {
    let number = text.split_whitespace().next();
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
