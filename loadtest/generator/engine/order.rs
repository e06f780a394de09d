//! Which messages of one sender in one call have arrived, and whether in the order sent.

/// What a message is to its receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// It comes in its turn.
    InOrder,
    /// A message that was sent after it came before it.
    Late,
    /// The very same datagram came before.
    Duplicate,
}

/// The sequence numbers that arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    seen: u64,
}

impl Order {
    pub(super) fn note(&mut self, sequence: u8) -> Arrival {
        let bit = 1 << sequence.min(LAST);
        if self.seen & bit != 0 {
            // The last number stands for all that follow it.
            return if sequence < LAST { Arrival::Duplicate } else { Arrival::InOrder };
        }
        let is_late = self.seen > bit;
        self.seen |= bit;
        if is_late { Arrival::Late } else { Arrival::InOrder }
    }
}

/// A sender's numbers end here: a call has few messages, and RFC 3261's timers send eleven copies.
pub(super) const LAST: u8 = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::{Duplicate, InOrder, Late};

    #[test]
    fn arrivals() {
        for (numbers, wants) in [
            (&[0, 1, 2][..], &[InOrder, InOrder, InOrder][..]),
            (&[0, 2, 1], &[InOrder, InOrder, Late]),
            (&[3], &[InOrder]),
            (&[3, 0, 1], &[InOrder, Late, Late]),
            (&[0, 0, 1, 0, 1], &[InOrder, Duplicate, InOrder, Duplicate, Duplicate]),
            (&[2, 1, 1], &[InOrder, Late, Duplicate]),
            (&[62, 62, 63, 63, 200], &[InOrder, Duplicate, InOrder, InOrder, InOrder]),
        ] {
            let mut order = Order::default();
            let got: Vec<_> = numbers.iter().map(|n| order.note(*n)).collect();
            assert_eq!(got, wants, "{numbers:?}");
        }
    }
}
