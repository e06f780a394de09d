//! Samples, and the law of how much more several workers do than one.

/// The samples of one figure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, sample: f64) {
        let at = self.0.partition_point(|other| *other < sample);
        self.0.insert(at, sample);
    }

    /// Returns the median.
    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// Returns the smallest.
    pub(crate) fn least(&self) -> f64 {
        self.0[0]
    }

    /// Returns the largest.
    pub(crate) fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// Returns the share of the work that only one worker can do at a time, if `workers` of them do
/// `speedup` times what one does: Amdahl's law, `S(n) = n / (1 + share * (n - 1))`. It is 0 if they
/// do as much as that many machines would.
pub(crate) fn serial_share(workers: usize, speedup: f64) -> f64 {
    let n = workers as f64;
    ((n / speedup - 1.0) / (n - 1.0)).max(0.0)
}

/// Returns the speedup of so many workers by the same law.
pub(crate) fn speedup(workers: usize, share: f64) -> f64 {
    let n = workers as f64;
    n / (1.0 + share * (n - 1.0))
}
