//! How long a destination takes to answer probes, with the numbers that Kamailio keeps of it.

/// What is known of the time that answers to probes take, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// How many answers the average stands for.
    count: u32,
    /// The sum of the squared distances from the average.
    squares: f64,
    /// The average of all answers.
    pub average_ms: f64,
    /// Their standard deviation.
    pub deviation_ms: f64,
    /// An average in which the last answers count most.
    pub estimate_ms: f64,
    /// The longest.
    pub max_ms: u32,
    /// Probes without an answer.
    pub timeouts: u32,
}

impl Latency {
    /// Returns what is known in advance: the destination's `latency` attribute.
    pub(super) fn preset(ms: u32) -> Self {
        Self {
            count: TRAINED,
            average_ms: ms.into(),
            estimate_ms: ms.into(),
            max_ms: ms,
            ..Self::default()
        }
    }

    /// Returns whether nothing is known yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.timeouts == 0
    }

    /// Takes the time of an answer. `alpha` is the weight of a new answer in the estimate, in
    /// thousandths.
    pub fn answered(&mut self, ms: u32, alpha: u32) {
        let sample = f64::from(ms);
        if self.count == COUNT_MAX {
            // So old answers count less and less.
            self.squares -= self.squares / f64::from(COUNT_MAX);
        } else {
            self.count += 1;
        }
        self.max_ms = self.max_ms.max(ms);
        if self.count == 1 {
            (self.average_ms, self.estimate_ms) = (sample, sample);
            return;
        }
        // Answers that take the same time again and again: an outlier moves the average little.
        let is_steady = (UNTRAINED + 1..TRAINED).contains(&self.count);
        if is_steady && self.deviation_ms < STEADY_MS {
            self.count = TRAINED;
        }
        let before = sample - self.average_ms;
        self.average_ms += before / f64::from(self.count);
        // Welford's method.
        self.squares += before * (sample - self.average_ms);
        self.deviation_ms = (self.squares / f64::from(self.count - 1)).sqrt();
        self.estimate_ms = if self.count < UNTRAINED {
            self.average_ms
        } else {
            let weight = f64::from(alpha) / 1_000.0;
            sample.mul_add(weight, self.estimate_ms * (1.0 - weight))
        };
    }

    /// Takes a probe without an answer.
    pub fn timed_out(&mut self) {
        self.timeouts = self.timeouts.saturating_add(1);
    }
}

/// With fewer answers the estimate is the average.
const UNTRAINED: u32 = 10;
/// As many answers make the average stiff.
const TRAINED: u32 = 10_000;
/// More answers are not counted: 8 months of probes every 10 s.
const COUNT_MAX: u32 = 1 << 21;
/// Below this deviation, answers take the same time.
const STEADY_MS: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(samples: impl IntoIterator<Item = u32>, alpha: u32) -> Latency {
        let mut latency = Latency::default();
        samples.into_iter().for_each(|ms| latency.answered(ms, alpha));
        latency
    }

    fn text(latency: &Latency) -> String {
        let Latency { average_ms, deviation_ms, estimate_ms, max_ms, timeouts, .. } = latency;
        format!("{average_ms:.3} {deviation_ms:.3} {estimate_ms:.3} {max_ms} {timeouts}")
    }

    #[test]
    fn averages() {
        for (samples, alpha, wants) in [
            (&[7][..], 100, "7.000 0.000 7.000 7"),
            (&[10, 20], 100, "15.000 7.071 15.000 20"),
            (&[2, 4, 4, 4, 5, 5, 7, 9], 100, "5.000 2.138 5.000 9"),
            // From the tenth on, the estimate is its own.
            (&[10, 20, 10, 20, 10, 20, 10, 20, 10], 500, "14.444 5.270 14.444 20"),
            (&[10, 20, 10, 20, 10, 20, 10, 20, 10, 70], 100, "20.000 18.257 20.000 70"),
            (&[10, 20, 10, 20, 10, 20, 10, 20, 10, 70], 500, "20.000 18.257 42.222 70"),
            (&[10, 20, 10, 20, 10, 20, 10, 20, 10, 70], 1, "20.000 18.257 14.500 70"),
            // After ten alike, the average is stiff.
            (&[5, 5, 5, 5, 5, 5, 5, 5, 5, 25], 100, "7.000 6.325 7.000 25"),
            (&[5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 25], 100, "5.002 0.200 7.000 25"),
            (&[5, 7, 5, 7, 5, 7, 5, 7, 5, 7, 25], 100, "7.727 5.815 7.900 25"),
        ] {
            let latency = after(samples.iter().copied(), alpha);
            assert_eq!(text(&latency), format!("{wants} 0"), "{samples:?}");
            assert!(!latency.is_empty());
        }
    }

    #[test]
    fn a_preset_is_stiff() {
        let mut latency = Latency::preset(20);
        assert_eq!(text(&latency), "20.000 0.000 20.000 20 0");
        assert!(!latency.is_empty());
        latency.answered(40, 100);
        assert_eq!(text(&latency), "20.002 0.200 22.000 40 0");
    }

    #[test]
    fn timeouts_count_apart() {
        let mut latency = Latency::default();
        assert!(latency.is_empty());
        latency.timed_out();
        assert!(!latency.is_empty());
        latency.answered(5, 100);
        latency.timed_out();
        assert_eq!(text(&latency), "5.000 0.000 5.000 5 2");
    }

    #[test]
    fn of_very_many_answers_the_old_ones_fade() {
        let mut latency = Latency { count: COUNT_MAX - 1, squares: 1e9, ..Latency::default() };
        latency.answered(0, 100);
        assert_eq!((latency.count, latency.squares), (COUNT_MAX, 1e9));
        latency.answered(0, 100);
        assert_eq!(latency.count, COUNT_MAX);
        assert!((latency.squares - (1e9 - 1e9 / f64::from(COUNT_MAX))).abs() < 1e-3);
    }
}
