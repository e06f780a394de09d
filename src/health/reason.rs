//! Why a destination changes its state.

use std::fmt;

/// Why a destination changes its state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeReason {
    /// It answered a probe.
    Answered {
        /// The status code.
        code: u16,
        /// How long it was out; `None` if it was not.
        out_ms: Option<u64>,
    },
    /// It did not answer probes.
    Unanswered {
        /// How many, one after the other.
        probes: u32,
    },
    /// It answered probes with a code that is not accepted.
    Refused {
        /// The last code.
        code: u16,
        /// How many failed, one after the other.
        probes: u32,
    },
    /// It answered a probe with 503.
    Full {
        /// Its Retry-After.
        retry_after_s: Option<u32>,
        /// For how long it is full.
        for_ms: u64,
    },
    /// The time of being full is over.
    NotFull {
        /// How long it was full.
        after_ms: u64,
    },
    /// The network reported that it cannot be reached.
    Unreachable {
        /// The error.
        errno: i32,
    },
    /// It did not answer requests.
    Silent {
        /// How many, all of them in a row.
        requests: u64,
        /// From how many sources.
        sources: u32,
        /// For how long nothing was heard from it.
        ms: u64,
    },
    /// It answered more calls with 5xx than others of its set.
    Failing(FailedShare),
    /// The same, and most of them with 503.
    Refusing {
        /// How many.
        share: FailedShare,
        /// For how long it is full.
        for_ms: u64,
    },
    /// It never answered a probe, so it gets calls again to see.
    Trial {
        /// How long it was out.
        out_ms: u64,
    },
    /// It answered requests on its trial.
    Proven,
    /// Nothing failed on its trial.
    Undisputed,
    /// Too few destinations of its set can be chosen.
    LastResort {
        /// How many can be chosen.
        selectable: u32,
        /// Of how many.
        all: u32,
    },
    /// Enough destinations of its set can be chosen again.
    NoLastResort,
    /// An operator or the source set it.
    Operator,
}

/// How many calls a destination answered with 5xx.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailedShare {
    /// Calls that it answered with 5xx.
    pub failed: u64,
    /// All calls that it got in the same time.
    pub calls: u64,
    /// The time, in milliseconds.
    pub ms: u64,
    /// The median share of the others of its set, in percent.
    pub others_percent: u64,
}

impl ChangeReason {
    /// Returns a short word for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered { .. } => "probe_answered",
            Self::Unanswered { .. } => "probe_unanswered",
            Self::Refused { .. } => "probe_refused",
            Self::Full { .. } => "full",
            Self::NotFull { .. } => "not_full",
            Self::Unreachable { .. } => "unreachable",
            Self::Silent { .. } => "silent",
            Self::Failing(_) => "failing",
            Self::Refusing { .. } => "refusing",
            Self::Trial { .. } => "trial",
            Self::Proven => "trial_answered",
            Self::Undisputed => "trial_over",
            Self::LastResort { .. } => "last_resort",
            Self::NoLastResort => "last_resort_over",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for ChangeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Answered { code, out_ms: None } => write!(f, "answered a probe with {code}"),
            Self::Answered { code, out_ms: Some(ms) } => {
                write!(f, "answered a probe with {code} after {} out", Time(ms))
            }
            Self::Unanswered { probes } => {
                write!(f, "no answer to {}", Number(probes.into(), "probe"))
            }
            Self::Refused { code, probes: 1 } => write!(f, "{code} to a probe"),
            Self::Refused { code, probes } => write!(f, "{code} to the last of {probes} probes"),
            Self::Full { retry_after_s: Some(s), .. } => {
                write!(f, "503 to a probe, Retry-After {s} s")
            }
            Self::Full { retry_after_s: None, for_ms } => {
                write!(f, "503 to a probe without Retry-After, full for {}", Time(for_ms))
            }
            Self::NotFull { after_ms } => write!(f, "full for {}, which are over", Time(after_ms)),
            Self::Unreachable { errno } => match name_of(errno) {
                Some((name, what)) => write!(f, "ICMP {what} ({name})"),
                None => write!(f, "cannot be reached (error {errno})"),
            },
            Self::Silent { requests, sources, ms } => write!(
                f,
                "no answer to {} from {} for {}",
                Number(requests, "request"),
                Number(sources.into(), "source"),
                Time(ms)
            ),
            Self::Failing(share) => write!(f, "5xx to {share}"),
            Self::Refusing { share, for_ms } => {
                write!(f, "5xx, most of them 503, to {share}; full for {}", Time(for_ms))
            }
            Self::Trial { out_ms } => {
                write!(f, "on trial after {} out: it never answered a probe", Time(out_ms))
            }
            Self::Proven => f.write_str("answered requests on its trial"),
            Self::Undisputed => f.write_str("nothing failed on its trial"),
            Self::LastResort { selectable, all } => {
                write!(f, "last resort: only {selectable} of {all} in its set can be chosen")
            }
            Self::NoLastResort => f.write_str("enough others of its set can be chosen again"),
            Self::Operator => f.write_str("set by an operator or the source"),
        }
    }
}

impl fmt::Display for FailedShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failed, calls, ms, others_percent } = *self;
        let calls = Number(calls, "call");
        write!(f, "{failed} of {calls} in {}, the others {others_percent} %", Time(ms))
    }
}

/// A number of things.
struct Number(u64, &'static str);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, thing) = self;
        let plural = if *number == 1 { "" } else { "s" };
        write!(f, "{number} {thing}{plural}")
    }
}

/// Milliseconds as people say them: `500 ms`, `3.2 s`, `30 s`, `5 min`.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms @ ..1_000 => write!(f, "{ms} ms"),
            ms if ms < 10_000 && ms % 1_000 >= 100 => {
                write!(f, "{}.{} s", ms / 1_000, ms % 1_000 / 100)
            }
            ms @ ..180_000 => write!(f, "{} s", ms / 1_000),
            ms @ ..10_800_000 => write!(f, "{} min", ms / 60_000),
            ms => write!(f, "{} h", ms / 3_600_000),
        }
    }
}

/// Returns the name of an error that says that a destination cannot be reached, and what it means;
/// `None` for all other errors. "Message too long" is one of the others: the path is fine.
pub(super) fn name_of(errno: i32) -> Option<(&'static str, &'static str)> {
    Some(match errno {
        libc::ECONNREFUSED => ("ECONNREFUSED", "port unreachable"),
        libc::EHOSTUNREACH => ("EHOSTUNREACH", "host unreachable"),
        libc::ENETUNREACH => ("ENETUNREACH", "network unreachable"),
        libc::ENOPROTOOPT => ("ENOPROTOOPT", "protocol unreachable"),
        libc::EHOSTDOWN => ("EHOSTDOWN", "host unknown"),
        libc::ENONET => ("ENONET", "host isolated"),
        libc::EACCES => ("EACCES", "administratively prohibited"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: FailedShare = FailedShare { failed: 20, calls: 25, ms: 9_900, others_percent: 2 };

    #[test]
    fn what_a_person_reads() {
        for (reason, word, text) in [
            (
                ChangeReason::Answered { code: 200, out_ms: Some(3_240) },
                "probe_answered",
                "answered a probe with 200 after 3.2 s out",
            ),
            (
                ChangeReason::Answered { code: 404, out_ms: None },
                "probe_answered",
                "answered a probe with 404",
            ),
            (ChangeReason::Unanswered { probes: 1 }, "probe_unanswered", "no answer to 1 probe"),
            (ChangeReason::Unanswered { probes: 2 }, "probe_unanswered", "no answer to 2 probes"),
            (ChangeReason::Refused { code: 500, probes: 1 }, "probe_refused", "500 to a probe"),
            (
                ChangeReason::Refused { code: 404, probes: 3 },
                "probe_refused",
                "404 to the last of 3 probes",
            ),
            (
                ChangeReason::Full { retry_after_s: Some(30), for_ms: 30_000 },
                "full",
                "503 to a probe, Retry-After 30 s",
            ),
            (
                ChangeReason::Full { retry_after_s: None, for_ms: 10_000 },
                "full",
                "503 to a probe without Retry-After, full for 10 s",
            ),
            (
                ChangeReason::NotFull { after_ms: 30_000 },
                "not_full",
                "full for 30 s, which are over",
            ),
            (
                ChangeReason::Unreachable { errno: 111 },
                "unreachable",
                "ICMP port unreachable (ECONNREFUSED)",
            ),
            (ChangeReason::Unreachable { errno: 5 }, "unreachable", "cannot be reached (error 5)"),
            (
                ChangeReason::Silent { requests: 17, sources: 4, ms: 500 },
                "silent",
                "no answer to 17 requests from 4 sources for 500 ms",
            ),
            (
                ChangeReason::Failing(SHARE),
                "failing",
                "5xx to 20 of 25 calls in 9.9 s, the others 2 %",
            ),
            (
                ChangeReason::Refusing { share: SHARE, for_ms: 20_000 },
                "refusing",
                "5xx, most of them 503, to 20 of 25 calls in 9.9 s, the others 2 %; full for 20 s",
            ),
            (
                ChangeReason::Trial { out_ms: 240_000 },
                "trial",
                "on trial after 4 min out: it never answered a probe",
            ),
            (ChangeReason::Proven, "trial_answered", "answered requests on its trial"),
            (ChangeReason::Undisputed, "trial_over", "nothing failed on its trial"),
            (
                ChangeReason::LastResort { selectable: 1, all: 5 },
                "last_resort",
                "last resort: only 1 of 5 in its set can be chosen",
            ),
            (
                ChangeReason::NoLastResort,
                "last_resort_over",
                "enough others of its set can be chosen again",
            ),
            (ChangeReason::Operator, "operator", "set by an operator or the source"),
        ] {
            assert_eq!((reason.word(), reason.to_string().as_str()), (word, text));
        }
        for (ms, wants) in [
            (999, "999 ms"),
            (1_000, "1 s"),
            (9_999, "9.9 s"),
            (10_900, "10 s"),
            (179_999, "179 s"),
            (180_000, "3 min"),
            (10_800_000, "3 h"),
        ] {
            assert_eq!(Time(ms).to_string(), wants);
        }
    }
}
