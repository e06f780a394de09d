//! Time as the core sees it: a number that is passed in, never asked for.

/// Milliseconds of the machine's monotonic clock, as read once per batch.
///
/// Monotonic time since boot rather than since start, so that a process which takes over our pin
/// table reads the same clock.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Now {
    ms: u64,
}

impl Now {
    /// A moment `ms` milliseconds after the clock's zero.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// Milliseconds since the clock's zero.
    pub const fn ms(self) -> u64 {
        self.ms
    }

    /// The moment `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self { ms: self.ms + ms }
    }
}
