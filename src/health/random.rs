//! Random numbers for jitter, as a function of a seed.

/// A generator of random numbers (`SplitMix64`). It only spreads probes over time, so nobody gains
/// from guessing them.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Returns `ms`, more or less by up to a tenth.
    pub(super) fn jittered(&mut self, ms: u64) -> u64 {
        let tenth = ms / 10;
        ms - tenth + self.below(2 * tenth + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_the_range_is_used() {
        let mut random = Random::new(7);
        assert_eq!(random.next(), Random::new(7).next());
        let drawn: Vec<_> = (0..1_000).map(|_| random.jittered(1_000)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&900), Some(&1_100)));
        assert_eq!((random.below(0), random.below(1), random.jittered(9)), (0, 0, 9));
    }
}
