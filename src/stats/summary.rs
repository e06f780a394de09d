//! Formats the nonzero totals for operators, aligned or on one line.

use std::fmt;

use super::Totals;

/// Lines such as `forwarded  12000`, with its parts indented below; each ends with a line end.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<(String, u64)> = self.iter().filter(|(_, value)| *value > 0).collect();
        let mut rows = Vec::new();
        for (group, says, sum) in [
            ("received.", "received", self.received),
            ("forwarded.", "forwarded", self.forwarded_all()),
            ("answered.", "answered", self.answered_all()),
            ("dropped.", "dropped", self.dropped_all()),
            ("send_failed.", "not sent", self.send_failed_all()),
        ] {
            if sum > 0 || ["received", "forwarded"].contains(&says) {
                rows.push((says.to_owned(), sum));
            }
            let members = parts.iter().filter(|(name, _)| name.starts_with(group));
            rows.extend(members.map(|(name, value)| (format!("  {name}"), *value)));
        }
        for (says, value) in [
            ("lost in full socket buffers", self.socket_drops),
            ("reads failed", self.receive_failed),
            ("live pins evicted", self.pins.evicted_live),
            ("answers to probes and ICMP errors lost", self.sightings_lost),
            ("dispatch lines lost", self.log_lost),
            ("events lost", self.events_lost),
            ("workers restarted", self.worker_restarts),
        ] {
            if value > 0 {
                rows.push((says.to_owned(), value));
            }
        }
        let name_width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let value_width = rows.iter().map(|(_, value)| value.to_string().len()).max().unwrap_or(0);
        for (name, value) in rows {
            writeln!(f, "{name:name_width$}  {value:>value_width$}")?;
        }
        Ok(())
    }
}

impl Totals {
    /// Returns one line for logs, `received=12 forwarded=10 forwarded.chosen=10 …`: the sums, and the
    /// nonzero counters under the names of [`Totals::iter`].
    pub fn to_line(&self) -> String {
        let sums = [
            ("received", self.received),
            ("forwarded", self.forwarded_all()),
            ("answered", self.answered_all()),
            ("dropped", self.dropped_all()),
        ];
        let mut words: Vec<_> = sums.map(|(name, value)| format!("{name}={value}")).into();
        for (name, value) in self.iter().skip(1).filter(|(_, value)| *value > 0) {
            words.push(format!("{name}={value}"));
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::WorkerStats;
    use super::*;
    use crate::proxy::{Answer, Forwarded, Reason, Verdict};

    #[test]
    fn only_what_happened_is_told() {
        let stats = WorkerStats::default();
        for _ in 0..10 {
            stats.received(500, Verdict::Forwarded(Forwarded::Chosen));
        }
        stats.received(500, Verdict::Answered(Answer::NoTransaction));
        stats.received(2, Verdict::Dropped(Reason::KeepAlive));
        let mut totals: Totals = [&stats].into_iter().collect();
        totals.socket_drops = 3;
        let wants = "\
received                     12
forwarded                    10
  forwarded.chosen           10
answered                      1
  answered.481                1
dropped                       1
  dropped.keep_alive          1
lost in full socket buffers   3
";
        assert_eq!(totals.to_string(), wants);
        assert_eq!(
            totals.to_line(),
            "received=12 forwarded=10 answered=1 dropped=1 received_bytes=5502 socket_drops=3 \
             forwarded.chosen=10 answered.481=1 dropped.keep_alive=1"
        );
    }
}
