//! The messages that were sent, and those that arrived, by kind.

use serde::{Deserialize, Serialize};

/// A kind of message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// INVITE
    Invite,
    /// 180 to an INVITE
    Ringing,
    /// 2xx to an INVITE
    Answer,
    /// ACK to a 2xx
    Ack,
    /// BYE
    Bye,
    /// The answer to a BYE
    ByeAnswer,
    /// OPTIONS
    Options,
    /// The answer to an OPTIONS
    OptionsAnswer,
    /// CANCEL
    Cancel,
    /// The answer to a CANCEL
    CancelAnswer,
    /// A final response to an INVITE that is no 2xx
    Refusal,
    /// The ACK to it
    RefusalAck,
}

impl Kind {
    /// All of them, in the order of a call.
    pub const EACH: [Self; 12] = [
        Self::Invite,
        Self::Ringing,
        Self::Answer,
        Self::Ack,
        Self::Bye,
        Self::ByeAnswer,
        Self::Options,
        Self::OptionsAnswer,
        Self::Cancel,
        Self::CancelAnswer,
        Self::Refusal,
        Self::RefusalAck,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ringing => "180",
            Self::Answer => "200 (INVITE)",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::ByeAnswer => "200 (BYE)",
            Self::Options => "OPTIONS",
            Self::OptionsAnswer => "200 (OPTIONS)",
            Self::Cancel => "CANCEL",
            Self::CancelAnswer => "200 (CANCEL)",
            Self::Refusal => "refusal",
            Self::RefusalAck => "ACK (refusal)",
        }
    }

    /// Whether a relay must pass each one on. A stateful one answers CANCELs, acknowledges
    /// refusals and may try elsewhere after them.
    pub fn is_end_to_end(self) -> bool {
        !matches!(self, Self::Cancel | Self::CancelAnswer | Self::Refusal | Self::RefusalAck)
    }

    pub(crate) fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The messages of one kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Traffic {
    /// Sent for the first time.
    pub sent: u64,
    /// Sent again: a retransmission.
    pub sent_again: u64,
    /// Arrived for the first time.
    pub arrived: u64,
    /// Retransmissions that arrived.
    pub arrived_again: u64,
    /// Arrived once more, although sent once.
    pub duplicates: u64,
    /// Arrived after a message of the same call that its sender sent later.
    pub reordered: u64,
}

/// The messages of all kinds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Messages([Traffic; Kind::EACH.len()]);

impl Traffic {
    /// All figures, in order.
    pub fn figures(&self) -> [u64; 6] {
        [
            self.sent,
            self.sent_again,
            self.arrived,
            self.arrived_again,
            self.duplicates,
            self.reordered,
        ]
    }
}

impl Messages {
    /// Those of one kind.
    pub fn of(&self, kind: Kind) -> Traffic {
        self.0[kind as usize]
    }

    pub(crate) fn of_mut(&mut self, kind: Kind) -> &mut Traffic {
        &mut self.0[kind as usize]
    }

    /// Those that were sent and of which no copy arrived, of the kinds that a relay must pass on.
    pub fn lost(&self) -> u64 {
        let kinds = Kind::EACH.into_iter().filter(|kind| kind.is_end_to_end());
        kinds.map(|kind| self.of(kind)).map(|t| t.sent.saturating_sub(t.arrived)).sum()
    }

    /// The sum of one figure over all kinds.
    pub fn sum(&self, figure: impl Fn(&Traffic) -> u64) -> u64 {
        self.0.iter().map(figure).sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            sum.sent += more.sent;
            sum.sent_again += more.sent_again;
            sum.arrived += more.arrived;
            sum.arrived_again += more.arrived_again;
            sum.duplicates += more.duplicates;
            sum.reordered += more.reordered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost() {
        let mut messages = Messages::default();
        for (at, kind) in Kind::EACH.into_iter().enumerate() {
            assert_eq!((kind as usize, kind.bit()), (at, 1 << at));
            *messages.of_mut(kind) = Traffic { sent: 10, arrived: 9, ..Traffic::default() };
        }
        assert_eq!(messages.lost(), 8);
        // More may arrive at several servers than were sent.
        messages.of_mut(Kind::Invite).arrived = 12;
        assert_eq!(messages.lost(), 7);
    }

    #[test]
    fn sums() {
        let one = Traffic {
            sent: 1,
            sent_again: 2,
            arrived: 3,
            arrived_again: 4,
            duplicates: 5,
            reordered: 6,
        };
        let mut messages = Messages::default();
        *messages.of_mut(Kind::Bye) = one;
        let other = messages;
        messages.add(&other);
        let two = messages.of(Kind::Bye);
        assert_eq!(two.figures(), [2, 4, 6, 8, 10, 12]);
        assert_eq!(messages.sum(|traffic| traffic.sent + traffic.reordered), 14);
    }
}
