//! The calls over time, in slices of equal length.

use hdrhistogram::Histogram;

use super::End;

/// One slice: the calls that were meant to start in it.
#[derive(Clone, Debug)]
pub struct Slice {
    /// How many were started.
    pub started: u64,
    /// How many ended as planned.
    pub good: u64,
    /// How many did not.
    pub bad: u64,
    /// From when they were due to their final response, in us, in two digits.
    pub answer_us: Histogram<u32>,
}

/// All slices, from the beginning of the run.
#[derive(Clone, Debug)]
pub struct Series {
    slice_ns: u64,
    slices: Vec<Slice>,
}

impl Series {
    pub(crate) fn new(slice_ns: u64) -> Self {
        Self { slice_ns, slices: Vec::new() }
    }

    /// How long a slice is, in ns.
    pub fn slice_ns(&self) -> u64 {
        self.slice_ns
    }

    /// The slices, in order.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    pub(crate) fn started(&mut self, due: u64) {
        self.at(due).started += 1;
    }

    pub(crate) fn ended(&mut self, due: u64, end: End) {
        let slice = self.at(due);
        if end.is_good() {
            slice.good += 1;
        } else {
            slice.bad += 1;
        }
    }

    pub(crate) fn answered(&mut self, due: u64, ns: u64) {
        self.at(due).answer_us.saturating_record((ns / 1_000).max(1));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        while self.slices.len() < other.slices.len() {
            self.slices.push(Slice::new());
        }
        for (sum, more) in self.slices.iter_mut().zip(&other.slices) {
            sum.started += more.started;
            sum.good += more.good;
            sum.bad += more.bad;
            sum.answer_us.add(&more.answer_us).expect("the same bounds");
        }
    }

    fn at(&mut self, due: u64) -> &mut Slice {
        let at = (due / self.slice_ns) as usize;
        while self.slices.len() <= at {
            self.slices.push(Slice::new());
        }
        &mut self.slices[at]
    }
}

impl Slice {
    fn new() -> Self {
        let answer_us = Histogram::new_with_bounds(1, 64_000_000, 2).expect("bounds in order");
        Self { started: 0, good: 0, bad: 0, answer_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_count_where_they_were_due() {
        let mut series = Series::new(1_000_000_000);
        for due in [0, 999_999_999, 1_000_000_000] {
            series.started(due);
            series.answered(due, 5_000_000);
        }
        series.ended(5, End::Cancelled);
        series.ended(2_500_000_000, End::Lost);
        let mut sum = Series::new(1_000_000_000);
        sum.add(&series);
        sum.add(&series);
        let figures: Vec<_> =
            sum.slices().iter().map(|s| (s.started, s.good, s.bad, s.answer_us.len())).collect();
        assert_eq!(figures, [(4, 2, 0, 4), (2, 0, 0, 2), (0, 0, 2, 0)]);
        assert_eq!(sum.slices()[0].answer_us.max() / 100, 50);
    }
}
