//! What live traffic says about one destination: the counters of the workers, read every window.

use super::SlotTraffic;
use super::share::{Share, Sliding};
use crate::clock::Now;
use crate::limits::{SHARES_MS, WINDOW_MS};

/// What is remembered of a destination's traffic.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    /// The counters at the last reading.
    last: Option<SlotTraffic>,
    /// When requests were answered last.
    answered_at: Option<Now>,
    run: Run,
    calls: Sliding,
    /// The longest Retry-After of calls answered with 503, and when it was last renewed.
    retry_after: Option<(u32, Now)>,
}

/// Windows in a row in which nothing was heard.
#[derive(Clone, Debug, Default)]
struct Run {
    since: Option<Now>,
    /// Requests of the last windows, the newest first.
    young: [u64; YOUNG],
    /// Requests before these.
    old: u64,
}

/// What happened since the last reading.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    /// It answered new requests.
    pub(super) has_answered: bool,
    /// It sent any response.
    pub(super) was_heard: bool,
    /// It answered calls with 5xx.
    pub(super) has_failed_calls: bool,
}

/// Requests in a row without any response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Silence {
    /// Requests that are older than T1.
    pub(super) requests: u64,
    /// From how many sources.
    pub(super) sources: u32,
    /// For how long.
    pub(super) ms: u64,
}

impl Traffic {
    /// Takes the counters. `windows` is how many windows ago they were last read.
    pub(super) fn read(&mut self, now: Now, windows: usize, counters: SlotTraffic) -> Seen {
        let Some(last) = self.last.replace(counters) else {
            return Seen::default();
        };
        // Counters that go back belong to another destination, or to new workers.
        let has_restarted = counters.requests < last.requests
            || counters.heard < last.heard
            || counters.answered < last.answered;
        if has_restarted {
            self.forgive();
            return Seen::default();
        }
        let share = Share {
            calls: counters.calls.saturating_sub(last.calls),
            busy: counters.busy.saturating_sub(last.busy),
            failed: counters.failed.saturating_sub(last.failed),
            callers: counters.failed_callers,
            numbers: counters.failed_numbers,
            ms: 0,
        };
        self.calls.add(now, share);
        if let Some(seconds) = counters.retry_after_s {
            let longest = self.retry_after_s(now).unwrap_or(0).max(seconds);
            self.retry_after = Some((longest, now));
        }
        let seen = Seen {
            has_answered: counters.answered > last.answered,
            was_heard: counters.heard > last.heard || counters.answered > last.answered,
            has_failed_calls: share.all_failed() > 0,
        };
        if seen.has_answered {
            self.answered_at = Some(now);
        }
        if seen.was_heard {
            // Requests of this same window may be unanswered, but then the next ones are, too.
            self.run = Run::default();
        } else {
            self.run.add(now, windows, counters.requests - last.requests);
        }
        seen
    }

    /// Returns the silence since it was last heard.
    pub(super) fn silence(&self, now: Now) -> Silence {
        let since = self.run.since.unwrap_or(now);
        Silence {
            requests: self.run.old,
            sources: self.last.map_or(0, |last| last.sources.count_ones()),
            ms: now.ms().saturating_sub(since.ms()),
        }
    }

    /// Returns since when requests wait while nothing at all is heard from it.
    pub(super) fn silent_since(&self) -> Option<Now> {
        self.run.since
    }

    /// Returns whether it answered new requests at or after this time.
    pub(super) fn has_answered_since(&self, at: Now) -> bool {
        // A reading covers the window before it.
        self.answered_at.is_some_and(|answered| answered >= at.plus_ms(WINDOW_MS))
    }

    /// Forgets the requests that it did not answer, and the calls that failed.
    pub(super) fn forgive(&mut self) {
        self.run = Run::default();
        self.calls = Sliding::default();
        self.retry_after = None;
    }

    /// Returns the longest Retry-After of calls that were answered with 503 lately.
    pub(super) fn retry_after_s(&self, now: Now) -> Option<u32> {
        let (seconds, at) = self.retry_after?;
        (now < at.plus_ms(SHARES_MS)).then_some(seconds)
    }

    /// Returns the calls of the last 10 s.
    pub(super) fn calls(&self) -> &Sliding {
        &self.calls
    }
}

impl Run {
    fn add(&mut self, now: Now, windows: usize, requests: u64) {
        let ended = windows.min(YOUNG);
        self.old += self.young[YOUNG - ended..].iter().sum::<u64>();
        self.young.rotate_right(ended);
        self.young[..ended].fill(0);
        self.young[0] += requests;
        if requests > 0 && self.since.is_none() {
            self.since = Some(now);
        }
    }
}

/// Windows in T1 (500 ms): a response that takes no longer is not late.
const YOUNG: usize = (500 / WINDOW_MS) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `requests/answered/heard` of each window, added up; returns the silence after each.
    fn silences(windows: &str) -> Vec<(u64, u64)> {
        let mut traffic = Traffic::default();
        let mut counters = SlotTraffic::default();
        traffic.read(Now::from_ms(0), 0, counters);
        let windows = windows.split(' ').zip(1..);
        let silence = windows.map(|(window, at)| {
            let add: Vec<u64> = window.split('/').map(|n| n.parse().unwrap()).collect();
            counters.requests += add[0];
            counters.answered += add[1];
            counters.heard += add[2];
            let now = Now::from_ms(at * WINDOW_MS);
            traffic.read(now, 1, counters);
            let silence = traffic.silence(now);
            (silence.requests, silence.ms)
        });
        silence.collect()
    }

    #[test]
    fn a_request_counts_when_it_is_older_than_t1_and_nothing_was_heard() {
        for (windows, wants) in [
            ("3/0/0 0/0/0 0/0/0 0/0/0 0/0/0 0/0/0", (3, 500)),
            ("3/0/0 0/0/0 0/0/0 0/0/0 0/0/0", (0, 400)),
            ("3/0/0 4/0/0 0/0/0 0/0/0 0/0/0 0/0/0", (3, 500)),
            ("3/0/0 0/0/0 0/0/0 0/0/0 0/0/0 0/0/0 9/0/0", (3, 600)),
            // Any response ends it: a provisional one, or one to an older request.
            ("3/0/0 0/0/0 0/0/0 0/0/0 0/0/0 0/0/1 0/0/0", (0, 0)),
            ("3/0/0 0/0/0 0/0/0 0/0/0 0/1/1 0/0/0 0/0/0", (0, 0)),
            ("0/0/0 0/0/0 0/0/0 0/0/0 0/0/0 0/0/0 0/0/0", (0, 0)),
        ] {
            assert_eq!(*silences(windows).last().unwrap(), wants, "{windows}");
        }
    }

    #[test]
    fn a_late_reading_covers_several_windows() {
        let mut traffic = Traffic::default();
        let with = |requests| SlotTraffic { requests, sources: 0b101, ..SlotTraffic::default() };
        traffic.read(Now::from_ms(0), 0, with(10));
        traffic.read(Now::from_ms(100), 1, with(14));
        // The new ones may have come just now.
        traffic.read(Now::from_ms(2_000), 19, with(21));
        let wants = Silence { requests: 4, sources: 2, ms: 1_900 };
        assert_eq!(traffic.silence(Now::from_ms(2_000)), wants);
        traffic.read(Now::from_ms(2_500), 5, with(21));
        assert_eq!(traffic.silence(Now::from_ms(2_500)).requests, 11);
        // Read twice in one window.
        traffic.read(Now::from_ms(2_510), 0, with(22));
        assert_eq!(traffic.silence(Now::from_ms(2_510)).requests, 11);
        assert_eq!(traffic.silent_since(), Some(Now::from_ms(100)));
        traffic.forgive();
        assert_eq!(traffic.silent_since(), None);
    }

    #[test]
    fn counters_that_go_back_start_anew() {
        let mut traffic = Traffic::default();
        let with = |requests, calls| SlotTraffic { requests, calls, ..SlotTraffic::default() };
        traffic.read(Now::from_ms(0), 0, with(100, 100));
        traffic.read(Now::from_ms(100), 1, with(150, 150));
        traffic.read(Now::from_ms(200), 1, with(7, 7));
        traffic.read(Now::from_ms(900), 7, with(7, 9));
        assert_eq!(traffic.silence(Now::from_ms(900)).requests, 0);
        assert_eq!(
            traffic.calls().all(Now::from_ms(900)),
            Share { calls: 2, ms: 100, ..Share::default() }
        );
    }

    #[test]
    fn shares() {
        let mut traffic = Traffic::default();
        let with = |calls, busy, failed, callers| SlotTraffic {
            calls,
            busy,
            failed,
            failed_callers: callers,
            failed_numbers: 2 * callers,
            ..SlotTraffic::default()
        };
        let now = Now::from_ms;
        assert_eq!(traffic.calls().all(now(0)), Share::default());
        // What was before the first reading is another's.
        assert!(!traffic.read(now(0), 0, with(50, 3, 4, 4)).has_failed_calls);
        assert!(traffic.read(now(100), 1, with(60, 4, 8, 1)).has_failed_calls);
        assert!(!traffic.read(now(200), 1, with(64, 4, 8, 0)).has_failed_calls);
        assert!(traffic.read(now(300), 1, with(70, 4, 14, 2)).has_failed_calls);
        let wants = Share { calls: 20, busy: 1, failed: 10, callers: 3, numbers: 6, ms: 300 };
        assert_eq!(traffic.calls().all(now(300)), wants);
        assert_eq!((wants.all_failed(), wants.percent()), (11, 55));
        traffic.forgive();
        assert_eq!(traffic.calls().all(now(300)), Share::default());
    }

    #[test]
    fn answers_are_of_the_window_before_the_reading() {
        let mut traffic = Traffic::default();
        let with = |answered| SlotTraffic { answered, ..SlotTraffic::default() };
        traffic.read(Now::from_ms(0), 0, with(0));
        assert!(!traffic.has_answered_since(Now::from_ms(0)));
        traffic.read(Now::from_ms(1_000), 10, with(1));
        assert!(traffic.has_answered_since(Now::from_ms(900)));
        assert!(!traffic.has_answered_since(Now::from_ms(901)));
    }
}
