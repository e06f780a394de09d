//! How long things took, in HDR histograms of three digits.

use hdrhistogram::Histogram;

/// What is timed. All but [`Latency::Lag`] count from when a message was meant to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Latency {
    /// From the first request of a call to its final response, without the time that it rang.
    Answer,
    /// From an INVITE to the first 180.
    Ringing,
    /// From a CANCEL to the 487.
    Cancel,
    /// From a BYE to its answer.
    Bye,
    /// Any request, one way from the caller to a server.
    Request,
    /// Any response, one way from a server to the caller.
    Response,
    /// How late the generator itself was with the first request of a call.
    Lag,
}

impl Latency {
    /// All of them, in the order of reports.
    pub const EACH: [Self; 7] = [
        Self::Answer,
        Self::Ringing,
        Self::Cancel,
        Self::Bye,
        Self::Request,
        Self::Response,
        Self::Lag,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Ringing => "ringing",
            Self::Cancel => "cancel",
            Self::Bye => "bye",
            Self::Request => "request, one way",
            Self::Response => "response, one way",
            Self::Lag => "generator's own lag",
        }
    }
}

/// A histogram in ns for each of them.
#[derive(Clone, Debug)]
pub struct Latencies([Histogram<u64>; Latency::EACH.len()]);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| {
            Histogram::new_with_bounds(1, MAX_NS, 3).expect("bounds in order")
        }))
    }

    /// The histogram of one.
    pub fn of(&self, latency: Latency) -> &Histogram<u64> {
        &self.0[latency as usize]
    }

    pub(crate) fn note(&mut self, latency: Latency, ns: u64) {
        self.0[latency as usize].saturating_record(ns.max(1));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            sum.add(more).expect("the same bounds");
        }
    }
}

/// No request waits longer: 64 T1 are 32 s.
const MAX_NS: u64 = 64_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_histogram_of_its_own() {
        let mut all = Latencies::new();
        for (at, latency) in Latency::EACH.into_iter().enumerate() {
            assert_eq!(latency as usize, at);
            all.note(latency, 1_000 * (at as u64 + 1));
        }
        let mut sum = Latencies::new();
        sum.add(&all);
        sum.add(&all);
        for (at, latency) in Latency::EACH.into_iter().enumerate() {
            assert_eq!(sum.of(latency).len(), 2);
            assert_eq!(sum.of(latency).max() / 1_000, at as u64 + 1, "{}", latency.name());
        }
    }

    #[test]
    fn nothing_is_left_out() {
        let mut all = Latencies::new();
        all.note(Latency::Bye, 0);
        all.note(Latency::Bye, u64::MAX);
        assert_eq!(all.of(Latency::Bye).len(), 2);
        assert!(all.of(Latency::Bye).max() >= MAX_NS);
    }
}
