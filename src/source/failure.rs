//! Why a source cannot be read: because it is away, or because of a mistake.
//!
//! A database that is away comes back by itself, so a relay may start without it. Only an
//! operator can fix a mistake, so it is reported before anything runs.

use crate::config::Problem;

/// Why a source could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// Nobody answers, or nobody who could: unreachable, refused, starting, overloaded, too slow, or
    /// lost in between.
    Away(Problem),
    /// What was written, in the configuration or in the source, is wrong.
    Wrong(Vec<Problem>),
}

impl Failure {
    /// One mistake.
    pub(super) fn wrong(problem: Problem) -> Self {
        Self::Wrong(vec![problem])
    }

    /// Everything that is wrong.
    pub fn problems(self) -> Vec<Problem> {
        match self {
            Self::Away(problem) => vec![problem],
            Self::Wrong(problems) => problems,
        }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Wrong(problems)
    }
}

impl From<Failure> for Vec<Problem> {
    fn from(failure: Failure) -> Self {
        failure.problems()
    }
}
