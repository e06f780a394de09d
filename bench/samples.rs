//! The samples of one figure.

/// The samples of one figure, in rising order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

#[allow(dead_code, reason = "not every bench shows all of it")]
impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, sample: f64) {
        let at = self.0.partition_point(|other| *other < sample);
        self.0.insert(at, sample);
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
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

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        let mut all: Vec<_> = samples.into_iter().collect();
        all.sort_by(f64::total_cmp);
        Self(all)
    }
}
