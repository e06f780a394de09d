//! Time as the core sees it: a number that is passed in, never read from a clock.

/// Milliseconds of the machine's monotonic clock, read once per batch.
///
/// The clock counts since boot rather than since the start, so that a process that takes over our
/// pin table reads the same time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Now {
    ms: u64,
}

impl Now {
    /// Creates the time `ms` milliseconds after the clock's zero.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// Returns the milliseconds since the clock's zero.
    pub const fn ms(self) -> u64 {
        self.ms
    }

    /// Returns the time `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self { ms: self.ms + ms }
    }
}
