//! What a transaction wants done.

use std::fmt;

use crate::limits::EFFECTS_MAX;

/// The number of a try: the last digit of its branch.
pub(crate) type TryNumber = u8;

/// One thing to do for a transaction, in the order of the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Send 100 to the caller.
    Trying,
    /// Send the kept response, or our own final one, to the caller once more.
    Repeat,
    /// The response in hand goes to the caller, and is kept for copies of the request.
    ForwardKept,
    /// The response in hand goes to the caller.
    Forward,
    /// The response in hand is kept: it is the best so far.
    Keep,
    /// Send the best response, which was kept, to the caller.
    SendBest,
    /// Send our own final response to the caller.
    Answer(Own),
    /// Send the request of this try again.
    Request(TryNumber),
    /// Acknowledge the response in hand, which this try's destination sent.
    Ack(TryNumber),
    /// Send a CANCEL to this try's destination, for the first time or again.
    Cancel(TryNumber),
    /// Report that this try was left, and why. A try is left at most once.
    Left(TryNumber, Left),
    /// Choose another destination, then report it with `Machine::begin_try`, or report that there is
    /// none with `Machine::none_left`.
    Next,
    /// This try was answered with a 2xx: it is the one that the call's later messages belong to.
    Won(TryNumber),
}

/// Why a try was left: for the next one, or because another response goes to the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Left {
    /// Its destination sent this final response, which does not go to the caller.
    Code(u16),
    /// Nothing came from it within the time for a first response, or to a request that is no INVITE
    /// no final response came in time.
    Silent,
    /// It sent no more than a 100 in the time for progress.
    NoProgress,
    /// It cannot be reached: an ICMP error, or the kernel refused to send.
    Unreachable,
    /// It was declared inactive.
    Inactive,
    /// It was cancelled by the caller or by Timer C, and has not confirmed that.
    Unconfirmed,
    /// A destination that was left before has answered with a 2xx.
    Overtaken,
}

impl Left {
    /// The names of their counters.
    pub const LABELS: [&str; 7] =
        ["code", "silent", "no_progress", "unreachable", "inactive", "unconfirmed", "overtaken"];

    /// Returns the place of its counter.
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Code(_) => 0,
            Self::Silent => 1,
            Self::NoProgress => 2,
            Self::Unreachable => 3,
            Self::Inactive => 4,
            Self::Unconfirmed => 5,
            Self::Overtaken => 6,
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "status {code}"),
            Self::Silent => f.write_str("silence"),
            Self::NoProgress => f.write_str("no progress"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Inactive => f.write_str("inactive"),
            Self::Unconfirmed => f.write_str("CANCEL not confirmed"),
            Self::Overtaken => f.write_str("another answered"),
        }
    }
}

/// Our own final responses within a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Own {
    /// 408: no destination answered in time. Only to an INVITE (RFC 4320 §4.2).
    Timeout,
    /// 487: the caller has cancelled, and the destination has not confirmed it.
    Terminated,
    /// 500: every destination failed. Never 503, which would say that we are overloaded ourselves (RFC
    /// 3261 §16.7 item 6).
    Failed,
}

/// The effects of one event, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effects {
    list: [Option<Effect>; EFFECTS_MAX],
    len: usize,
}

impl Effects {
    /// # Panics
    /// If one event has more than [`EFFECTS_MAX`]: a bug of the machine.
    pub(super) fn push(&mut self, effect: Effect) {
        self.list[self.len] = Some(effect);
        self.len += 1;
    }

    /// Returns whether the response in hand goes to the caller.
    pub(crate) fn goes(&self) -> bool {
        self.into_iter().any(|effect| matches!(effect, Effect::Forward | Effect::ForwardKept))
    }

    /// Returns whether one of them is more than about the response in hand.
    pub(crate) fn needs_request(&self) -> bool {
        self.into_iter().any(|effect| {
            !matches!(effect, Effect::Forward | Effect::ForwardKept | Effect::Keep | Effect::Won(_))
        })
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Effect>, EFFECTS_MAX>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_and_words() {
        let rows = [
            (Left::Code(503), "code", "status 503"),
            (Left::Silent, "silent", "silence"),
            (Left::NoProgress, "no_progress", "no progress"),
            (Left::Unreachable, "unreachable", "unreachable"),
            (Left::Inactive, "inactive", "inactive"),
            (Left::Unconfirmed, "unconfirmed", "CANCEL not confirmed"),
            (Left::Overtaken, "overtaken", "another answered"),
        ];
        for (left, label, words) in rows {
            assert_eq!((Left::LABELS[left.place()], left.to_string().as_str()), (label, words));
        }
    }
}
