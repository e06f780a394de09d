//! The calls of a trace: which are shown, and when they are over.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::ladder::{Ladder, Page};
use super::message::{Line, Seen};
use super::why;

/// The calls that a trace keeps, and what was drawn of them.
#[derive(Debug)]
pub(super) struct Calls {
    page: Page,
    wanted: Wanted,
    by_id: HashMap<String, Call>,
    /// In the order in which they began.
    order: Vec<String>,
    /// The one that was drawn last.
    drawn_last: Option<String>,
    /// Calls and messages that there was no room for.
    pub(super) lost: u64,
}

/// Which calls are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Only those that failed.
    pub(super) failed: bool,
    /// At most so many.
    pub(super) count: Option<usize>,
}

#[derive(Debug)]
struct Call {
    ladder: Ladder,
    messages: Vec<Seen>,
    /// How many were drawn; `None` if it is not one of those that are shown.
    drawn: Option<usize>,
    /// The version of the ladder whose head was drawn.
    head: usize,
    /// Why it failed.
    failed: Option<String>,
    /// There was a response that says more than 100.
    is_answered: bool,
    is_over: bool,
    heard: Instant,
    /// It matters to the filter of a file.
    is_selected: bool,
}

impl Calls {
    pub(super) fn new(page: Page, wanted: Wanted) -> Self {
        let (by_id, order) = (HashMap::new(), Vec::new());
        Self { page, wanted, by_id, order, drawn_last: None, lost: 0 }
    }

    /// Adds a message; `is_selected` says whether its call is wanted because of it.
    pub(super) fn add(&mut self, seen: Seen, is_selected: bool) {
        if !self.by_id.contains_key(&seen.call_id) {
            if self.order.len() >= CALLS_MAX && !self.forget_one() {
                self.lost += 1;
                return;
            }
            self.order.push(seen.call_id.clone());
        }
        let call = self.by_id.entry(seen.call_id.clone()).or_insert_with(Call::new);
        if call.messages.len() >= MESSAGES_MAX {
            self.lost += 1;
            return;
        }
        call.is_selected |= is_selected;
        call.add(seen);
    }

    /// Makes room: the oldest call goes that is over and not to be drawn, or else the oldest.
    fn forget_one(&mut self) -> bool {
        let is_done = |call: &Call| call.is_over && call.drawn != Some(0);
        let done = self.order.iter().position(|id| is_done(&self.by_id[id]));
        let at = done.unwrap_or(0);
        if done.is_none() {
            self.lost += 1;
        }
        let id = self.order.remove(at);
        self.by_id.remove(&id).is_some()
    }

    /// Decides which calls are shown, and returns what is new of them: text, and the messages.
    pub(super) fn news(&mut self) -> (String, Vec<Seen>) {
        let (mut text, mut messages) = (String::new(), Vec::new());
        let mut left = self.wanted.count.map(|count| count.saturating_sub(self.shown().count()));
        for id in &self.order {
            let Some(call) = self.by_id.get_mut(id) else { continue };
            let may_be = call.is_selected && (!self.wanted.failed || call.failed.is_some());
            if call.drawn.is_none() && may_be && left != Some(0) {
                call.drawn = Some(0);
                left = left.map(|left| left - 1);
            }
            if let Some(drawn) = call.drawn
                && drawn < call.messages.len()
            {
                let is_continued = self.drawn_last.as_ref() == Some(id);
                if !text.is_empty() || self.drawn_last.is_some() && !is_continued {
                    text.push('\n');
                }
                messages.extend_from_slice(&call.messages[drawn..]);
                text += &call.draw(id, is_continued, self.page);
                self.drawn_last = Some(id.clone());
            }
        }
        (text, messages)
    }

    /// Marks calls without an answer for this long as failed; `now` is on the clock of the messages.
    pub(super) fn give_up(&mut self, now: Duration, after: Duration) {
        for call in self.by_id.values_mut().filter(|call| !call.is_answered) {
            let begun = call.messages[0].datagram.at;
            if call.failed.is_none() && now.saturating_sub(begun) >= after && call.asks() {
                call.failed = Some("no answer".into());
            }
        }
    }

    /// Whether all calls that were asked for have been shown to their ends.
    pub(super) fn is_complete(&self) -> bool {
        let is_over = |call: &Call| call.is_over && call.heard.elapsed() > QUIET;
        self.wanted
            .count
            .is_some_and(|count| self.shown().count() >= count && self.shown().all(is_over))
    }

    /// Whether any call was shown.
    pub(super) fn is_any_shown(&self) -> bool {
        self.shown().next().is_some()
    }

    fn shown(&self) -> impl Iterator<Item = &Call> {
        self.by_id.values().filter(|call| call.drawn.is_some())
    }
}

impl Call {
    fn new() -> Self {
        Self {
            ladder: Ladder::default(),
            messages: Vec::new(),
            drawn: None,
            head: 0,
            failed: None,
            is_answered: false,
            is_over: false,
            heard: Instant::now(),
            is_selected: false,
        }
    }

    fn add(&mut self, seen: Seen) {
        self.heard = Instant::now();
        self.ladder.add(&seen);
        match &seen.line {
            Line::Request(method) if method == "INVITE" => self.is_over = false,
            Line::Request(_) => {}
            Line::Response(code, reason) => {
                self.is_answered |= *code > 100;
                let method = seen.cseq.1.as_str();
                let has_invite = self.messages.iter().any(|other| other.is_request("INVITE"));
                let ends = match method {
                    "INVITE" => *code >= 300,
                    "BYE" => *code >= 200,
                    _ => *code >= 200 && !has_invite,
                };
                self.is_over |= ends;
                if *code >= 400 && method != "CANCEL" && self.failed.is_none() {
                    self.failed = Some(format!("{code} {reason} to {method}"));
                }
            }
        }
        self.messages.push(seen);
    }

    /// Whether it has a request that wants an answer.
    fn asks(&self) -> bool {
        let is_asking =
            |seen: &Seen| matches!(&seen.line, Line::Request(method) if method != "ACK");
        self.messages.iter().any(is_asking)
    }

    fn draw(&mut self, id: &str, is_continued: bool, page: Page) -> String {
        let mut text = String::new();
        if !is_continued {
            let (from, to) = &self.messages[0].parties;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "Call-ID {id}\n  from {from}\n  to {to}");
            if let Some(why) = &self.failed {
                let _ = writeln!(text, "  failed: {why}");
            }
        }
        if !is_continued || self.head != self.ladder.version() {
            text += &self.ladder.head(page);
            self.head = self.ladder.version();
        }
        for at in self.drawn.unwrap_or(0)..self.messages.len() {
            let seen = &self.messages[at];
            let is_copy = self.messages[..at].iter().any(|other| seen.is_copy_of(other));
            text += &self.ladder.row(seen, is_copy, page);
            for line in why::lines(&seen.told, page.width) {
                text += &(line + "\n");
            }
        }
        self.drawn = Some(self.messages.len());
        text
    }
}

/// Calls that are kept: those of ten seconds at a hundred a second.
const CALLS_MAX: usize = 1_000;
/// Messages that are kept of a call.
const MESSAGES_MAX: usize = 500;
/// A call is over when nothing has come for as long after its last response.
const QUIET: Duration = Duration::from_secs(1);
