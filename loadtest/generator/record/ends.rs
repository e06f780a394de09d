//! What became of calls, and of single requests.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It was answered, and its BYE too; or the single request was answered.
    Completed {
        /// From when it was due to its answer, without the time that it rang.
        after: Duration,
        /// The number of the server, from 1; `None` if it did not say.
        server: Option<u16>,
    },
    /// The caller cancelled it, and it got its 487.
    Cancelled,
    /// It was refused or failed with this status code, as it was meant to be.
    Refused(u16),
    /// It got no final response from a server that was meant to be silent.
    Unanswered,
    /// It ended with this status code, and was not meant to.
    Unexpected(u16),
    /// It got no final response.
    Lost,
    /// It was answered, but its BYE was not.
    ByeLost {
        /// From when it was due to its answer, without the time that it rang.
        after: Duration,
        /// The number of the server, from 1; `None` if it did not say.
        server: Option<u16>,
    },
}

impl End {
    /// Returns how long the answer took and who gave it, also if the BYE was not answered.
    pub fn answer(self) -> Option<(Duration, Option<u16>)> {
        match self {
            Self::Completed { after, server } | Self::ByeLost { after, server } => {
                Some((after, server))
            }
            _ => None,
        }
    }

    /// Returns whether the call ended as it was meant to.
    pub fn is_good(self) -> bool {
        !matches!(self, Self::Unexpected(_) | Self::Lost | Self::ByeLost { .. })
    }
}

/// One call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CallOutcome {
    /// When it was meant to start, since the run began.
    pub due: Duration,
    /// How it ended.
    pub end: End,
}

/// How many calls ended in which way.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ends {
    /// All that were started.
    pub started: u64,
    /// Answered and ended.
    pub completed: u64,
    /// Cancelled as planned.
    pub cancelled: u64,
    /// Refused or failed as planned.
    pub refused: u64,
    /// Without an answer, as planned.
    pub unanswered: u64,
    /// Ended otherwise than planned, by status code.
    pub unexpected: BTreeMap<u16, u64>,
    /// Without a final response.
    pub lost: u64,
    /// Answered, with a BYE that got no answer.
    pub byes_lost: u64,
    /// Not started, because too many calls were open.
    pub not_started: u64,
}

impl Ends {
    /// Returns how many ended as they were meant to.
    pub fn good(&self) -> u64 {
        self.completed + self.cancelled + self.refused + self.unanswered
    }

    /// Returns how many did not end as they were meant to.
    pub fn bad(&self) -> u64 {
        self.lost + self.byes_lost + self.unexpected.values().sum::<u64>()
    }

    pub(crate) fn note(&mut self, end: End) {
        match end {
            End::Completed { .. } => self.completed += 1,
            End::Cancelled => self.cancelled += 1,
            End::Refused(_) => self.refused += 1,
            End::Unanswered => self.unanswered += 1,
            End::Unexpected(code) => *self.unexpected.entry(code).or_default() += 1,
            End::Lost => self.lost += 1,
            End::ByeLost { .. } => self.byes_lost += 1,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.cancelled += other.cancelled;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        for (code, count) in &other.unexpected {
            *self.unexpected.entry(*code).or_default() += count;
        }
        self.lost += other.lost;
        self.byes_lost += other.byes_lost;
        self.not_started += other.not_started;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_counted_once_and_sums_add_up() {
        let (after, server) = (Duration::from_millis(1), None);
        let all = [
            End::Completed { after, server },
            End::Cancelled,
            End::Refused(486),
            End::Unanswered,
            End::Unexpected(503),
            End::Lost,
            End::ByeLost { after, server },
        ];
        let mut ends = Ends { started: 7, not_started: 1, ..Ends::default() };
        for end in all {
            ends.note(end);
        }
        assert_eq!((ends.good(), ends.bad()), (4, 3));
        assert_eq!(all.iter().filter(|end| end.is_good()).count(), 4);
        let answers: Vec<_> = all.iter().map(|end| end.answer().is_some()).collect();
        assert_eq!(answers, [true, false, false, false, false, false, true]);
        let mut sum = ends.clone();
        sum.add(&ends);
        assert_eq!((sum.started, sum.good(), sum.bad(), sum.not_started), (14, 8, 6, 2));
        assert_eq!((sum.completed, sum.cancelled, sum.refused, sum.unanswered), (2, 2, 2, 2));
        assert_eq!((sum.lost, sum.byes_lost, sum.unexpected[&503]), (2, 2, 2));
    }
}
