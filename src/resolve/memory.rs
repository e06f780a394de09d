//! Remembers the answers of name servers for their time to live. If no server answers any more, the
//! last good answers are kept longer (RFC 8767): a name server fails more often than a server
//! moves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::question::{Data, Known, Question, Reply};
use crate::limits::{FAILED_AGAIN, RESOLVE_AGAIN, TTL_MAX, TTL_MIN};

/// The answers, by question.
#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: HashMap<Question, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The last answer; `None` if there never was one.
    records: Option<Arc<[Data]>>,
    /// Until when it is not asked again.
    until: Instant,
    /// How many times in a row nobody answered.
    failures: u32,
}

impl Memory {
    /// Returns what is known at this time; `None` if the question must be asked.
    pub(super) fn known(&self, question: &Question, now: Instant) -> Option<Known> {
        let entry = self.entries.get(question).filter(|entry| entry.until > now)?;
        Some(Known {
            records: entry.records.clone(),
            is_failing: entry.failures > 0,
            until: entry.until,
        })
    }

    /// Returns whether nobody answered it the last time.
    pub(super) fn has_failed(&self, question: &Question) -> bool {
        self.entries.get(question).is_some_and(|entry| entry.failures > 0)
    }

    /// Stores what a name server said at this time.
    pub(super) fn learn(&mut self, question: Question, reply: Reply, now: Instant) {
        match reply {
            Reply::Records(records, ttl) => {
                let most = if records.is_empty() { RESOLVE_AGAIN } else { TTL_MAX };
                // A negative answer lasts as long as its zone says. If the zone does not say, it
                // lasts as long as is allowed.
                let ttl = ttl.map_or(most, |s| Duration::from_secs(s.into()).clamp(TTL_MIN, most));
                let entry = Entry { records: Some(records.into()), until: now + ttl, failures: 0 };
                self.entries.insert(question, entry);
            }
            Reply::Failed(_) => {
                let entry = self.entries.entry(question);
                let entry = entry.or_insert(Entry { records: None, until: now, failures: 0 });
                let again = FAILED_AGAIN * (1 << entry.failures.min(8));
                entry.until = now + again.min(RESOLVE_AGAIN);
                entry.failures = entry.failures.saturating_add(1);
            }
        }
    }

    /// Records that these questions had no answer by the deadline. They are asked again at once but
    /// count as failed, so that names do not wait for them alone.
    pub(super) fn call_off(&mut self, questions: impl Iterator<Item = Question>, now: Instant) {
        for question in questions {
            let entry = self.entries.entry(question);
            let entry = entry.or_insert(Entry { records: None, until: now, failures: 0 });
            entry.failures = entry.failures.max(1);
        }
    }

    /// Forgets expired answers that no name depends on any more.
    pub(super) fn keep(&mut self, used: &HashSet<Question>, now: Instant) {
        self.entries.retain(|question, entry| entry.until > now || used.contains(question));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::question::QuestionType;

    fn question() -> Question {
        Question::new(QuestionType::A, "ms.example")
    }

    fn address(n: u8) -> Vec<Data> {
        vec![Data::Ip([192, 0, 2, n].into())]
    }

    fn seconds(memory: &Memory, now: Instant) -> u64 {
        memory.known(&question(), now).unwrap().until.duration_since(now).as_secs()
    }

    #[test]
    fn how_long_an_answer_counts() {
        let now = Instant::now();
        for (says, reply, wanted) in [
            ("its time to live", Reply::Records(address(1), Some(300)), 300),
            ("not less", Reply::Records(address(1), Some(0)), 5),
            ("not more", Reply::Records(address(1), Some(u32::MAX)), 86_400),
            ("none, as its zone says", Reply::Records(Vec::new(), Some(7)), 7),
            ("none, at most", Reply::Records(Vec::new(), Some(3_600)), 30),
            ("none, by a server that does not say", Reply::Records(Vec::new(), None), 30),
            ("no answer", Reply::Failed("silence".into()), 5),
        ] {
            let mut memory = Memory::default();
            memory.learn(question(), reply, now);
            assert_eq!(seconds(&memory, now), wanted, "{says}");
            let over = now + Duration::from_secs(wanted);
            assert!(memory.known(&question(), over).is_none(), "{says}");
        }
    }

    #[test]
    fn the_last_answer_stays_while_nobody_answers() {
        let (mut memory, mut now) = (Memory::default(), Instant::now());
        memory.learn(question(), Reply::Records(address(1), Some(10)), now);
        now += Duration::from_secs(10);
        for wanted in [5, 10, 20, 30, 30] {
            memory.learn(question(), Reply::Failed("SERVFAIL".into()), now);
            let known = memory.known(&question(), now).unwrap();
            assert_eq!(known.records.as_deref(), Some(&address(1)[..]));
            assert!(known.is_failing);
            assert_eq!(seconds(&memory, now), wanted);
            now += Duration::from_secs(wanted);
        }
        memory.learn(question(), Reply::Records(address(2), Some(10)), now);
        let known = memory.known(&question(), now).unwrap();
        assert_eq!(known.records.as_deref(), Some(&address(2)[..]));
        assert!(!known.is_failing);
        memory.learn(question(), Reply::Failed("SERVFAIL".into()), now);
        assert_eq!(seconds(&memory, now), 5, "counted anew");
    }

    #[test]
    fn what_was_called_off_has_failed_and_is_asked_again_at_once() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.call_off([question()].into_iter(), now);
        assert!(memory.known(&question(), now).is_none());
        assert!(memory.has_failed(&question()));
        memory.learn(question(), Reply::Records(address(1), Some(10)), now);
        assert!(!memory.has_failed(&question()));
        // The last answer is still there when the next try is called off, too.
        let later = now + Duration::from_secs(10);
        memory.call_off([question()].into_iter(), later);
        memory.learn(question(), Reply::Failed("silence".into()), later);
        let known = memory.known(&question(), later).unwrap();
        assert_eq!(known.records.as_deref(), Some(&address(1)[..]));
    }

    #[test]
    fn only_what_is_used_is_kept_beyond_its_time() {
        let now = Instant::now();
        for (used, after_s, is_kept) in [(true, 20, true), (false, 20, false), (false, 5, true)] {
            let mut memory = Memory::default();
            memory.learn(question(), Reply::Records(address(1), Some(10)), now);
            let used = HashSet::from_iter(used.then(question));
            memory.keep(&used, now + Duration::from_secs(after_s));
            assert_eq!(memory.entries.len() == 1, is_kept, "{used:?} {after_s}");
        }
    }
}
