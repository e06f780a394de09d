//! Positions in a datagram.

/// Where a value lies in its datagram.
///
/// Offsets fit in 16 bits because a UDP payload is shorter than 65,536 bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The bytes from `start` up to `end`.
    ///
    /// Both are at most 65,535, and `start` is not behind `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u16::MAX as usize);
        Self { start: start as u16, end: end as u16 }
    }

    /// The offset of the first byte.
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// The offset after the last byte.
    pub const fn end(self) -> usize {
        self.end as usize
    }

    /// How many bytes.
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The bytes themselves; `datagram` must be the one that was read.
    pub fn of(self, datagram: &[u8]) -> &[u8] {
        &datagram[self.start()..self.end()]
    }
}
