//! Asks all DNS questions that some names need, each question once, a bounded number at a time,
//! until a deadline. A name is done when its own questions are answered, however long others take.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::locate::{Knowledge, Located, Step, locate};
use super::memory::Memory;
use super::question::{Data, Known, Question, QuestionType};
use super::system::{Local, System};
use super::wanted::Wanted;
use super::{NameCache, lock};
use crate::limits::{LOOKUPS_MAX, RESOLVE_AGAIN};

/// One name, and its result; `None` if the deadline came first.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) wanted: Wanted,
    pub(super) located: Option<Located>,
}

pub(super) struct Errands<'a> {
    system: &'a System,
    state: &'a Mutex<NameCache>,
    local: Local,
    /// What counts as known was valid at this time, or was answered since.
    begin: Instant,
    all: Vec<Errand>,
    /// For each question that is open or queued, the names that need its answer.
    waiting: HashMap<Question, BTreeSet<usize>>,
    queue: VecDeque<Question>,
    /// Questions that got no answer the last time. They come after all others.
    later: VecDeque<Question>,
}

impl<'a> Errands<'a> {
    pub(super) fn new(
        system: &'a System,
        state: &'a Mutex<NameCache>,
        names: BTreeSet<Wanted>,
    ) -> Self {
        Self {
            system,
            state,
            local: Local::read(),
            begin: Instant::now(),
            all: names.into_iter().map(|wanted| Errand { wanted, located: None }).collect(),
            waiting: HashMap::new(),
            queue: VecDeque::new(),
            later: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self, deadline: Instant) -> Vec<Errand> {
        for at in 0..self.all.len() {
            self.go_on(at);
        }
        let mut open = JoinSet::new();
        loop {
            while open.len() < LOOKUPS_MAX
                && let Some(question) = self.queue.pop_front().or_else(|| self.later.pop_front())
            {
                let servers = Arc::clone(&self.system.servers);
                open.spawn(async move {
                    let reply = servers.ask(&question).await;
                    (question, reply)
                });
            }
            // Questions still open at the deadline are called off.
            let Ok(Some(answer)) = timeout_at(deadline.into(), open.join_next()).await else {
                let now = Instant::now();
                lock(self.state).memory.call_off(self.waiting.into_keys(), now);
                return self.all;
            };
            // A question whose task panicked, a bug that was logged, stays without an answer.
            let Ok((question, reply)) = answer else { continue };
            lock(self.state).memory.learn(question.clone(), reply, Instant::now());
            for at in self.waiting.remove(&question).into_iter().flatten() {
                self.go_on(at);
            }
        }
    }

    fn go_on(&mut self, at: usize) {
        let wanted = &self.all[at].wanted;
        let names = self.system.search.full_names(&wanted.name);
        let memory = &lock(self.state).memory;
        let step = locate(wanted, &names, &View { memory, local: &self.local, now: self.begin });
        match step {
            Step::Done(located) => self.all[at].located = Some(located),
            Step::Ask(questions) => {
                for question in questions {
                    if !self.waiting.contains_key(&question) {
                        let has_failed = memory.has_failed(&question);
                        let queue = if has_failed { &mut self.later } else { &mut self.queue };
                        queue.push_back(question.clone());
                    }
                    self.waiting.entry(question).or_default().insert(at);
                }
            }
        }
    }
}

/// What is known without asking.
struct View<'a> {
    memory: &'a Memory,
    local: &'a Local,
    now: Instant,
}

impl Knowledge for View<'_> {
    fn known(&self, question: &Question) -> Option<Known> {
        let is_right: fn(&IpAddr) -> bool = match question.kind {
            QuestionType::A => IpAddr::is_ipv4,
            QuestionType::Aaaa => IpAddr::is_ipv6,
            QuestionType::Naptr | QuestionType::Srv => {
                return self.memory.known(question, self.now);
            }
        };
        let local = self.local.addresses(&question.name);
        if local.is_empty() {
            return self.memory.known(question, self.now);
        }
        let records: Vec<_> = local.into_iter().filter(is_right).map(Data::Ip).collect();
        let until = self.now + RESOLVE_AGAIN;
        Some(Known { records: Some(records.into()), is_failing: false, until })
    }

    fn is_local(&self, name: &str) -> bool {
        !self.local.addresses(name).is_empty()
    }

    fn has_failed(&self, question: &Question) -> bool {
        self.memory.has_failed(question)
    }
}
