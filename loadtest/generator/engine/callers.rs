//! The callers of one thread: their lines, and the calls in progress.

use std::collections::HashMap;
use std::net::SocketAddr;

use fastrand::Rng;

use super::call::{Call, Change, Context, Line};
use super::schedule::Start;
use crate::plan::Mix;
use crate::sip::{Message, Script};

#[derive(Debug)]
pub(super) struct Callers {
    lines: Vec<Line>,
    targets: Vec<SocketAddr>,
    calls: HashMap<u64, Call>,
    mix: Mix,
    rng: Rng,
    /// Calls that have not ended.
    open: usize,
    open_max: usize,
    started: usize,
}

impl Callers {
    pub(super) fn new(
        lines: Vec<Line>,
        targets: Vec<SocketAddr>,
        mix: Mix,
        open_max: usize,
        seed: u64,
    ) -> Self {
        let rng = Rng::with_seed(seed);
        Self { lines, targets, calls: HashMap::new(), mix, rng, open: 0, open_max, started: 0 }
    }

    /// How many calls have not ended.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Starts a call.
    pub(super) fn start(&mut self, start: Start, cx: &mut Context<'_>) {
        if self.open >= self.open_max {
            cx.record.ends.not_started += 1;
            return;
        }
        // One after the other, so that all lines and targets have the same load.
        let at = self.started % self.lines.len();
        let target = self.targets[self.started % self.targets.len()];
        self.started += 1;
        let script = self.mix.pick(self.rng.f64());
        let line = &mut self.lines[at];
        let call = Call::start(start.number, start.due, script, target, (at, line), cx);
        self.calls.insert(start.number, call);
        self.open += 1;
    }

    /// A datagram came to one of the lines.
    pub(super) fn hear(&mut self, at: usize, datagram: &[u8], cx: &mut Context<'_>) {
        let Some(message) = Message::read(datagram) else { return };
        let line = &self.lines[at];
        let number = message.row("Call-ID").and_then(|call_id| line.names.number_of(call_id));
        let call = number.and_then(|number| self.calls.get_mut(&number));
        match call.filter(|call| call.line == at && message.status().is_some()) {
            Some(call) => {
                if call.hear(message, line, cx) == Change::Ended {
                    self.open -= 1;
                }
            }
            None => cx.record.others.strays += 1,
        }
    }

    /// The timer of a call fired, which was set for `at`.
    pub(super) fn wake(&mut self, at: u64, number: u64, cx: &mut Context<'_>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        match call.wake(at, &mut self.lines[call.line], cx) {
            Change::None => {}
            Change::Ended => self.open -= 1,
            Change::Forget => {
                self.calls.remove(&number);
            }
        }
    }

    /// Ends all calls that have not ended.
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>) {
        for call in self.calls.values_mut() {
            if call.give_up(cx) == Change::Ended {
                self.open -= 1;
            }
        }
    }
}

impl Mix {
    /// The script for a chance between 0 and 1.
    fn pick(&self, chance: f64) -> Script {
        let mut below = 0.0;
        for (share, script) in [
            (self.cancel, Script::Cancel),
            (self.refuse, Script::Refuse),
            (self.fail, Script::Fail),
            (self.silent, Script::Silent),
        ] {
            below += share;
            if chance < below {
                return script;
            }
        }
        Script::Talk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_scripts() {
        let mix = Mix { cancel: 0.1, refuse: 0.2, fail: 0.3, silent: 0.1 };
        for (chance, wants) in [
            (0.0, Script::Cancel),
            (0.099, Script::Cancel),
            (0.101, Script::Refuse),
            (0.299, Script::Refuse),
            (0.301, Script::Fail),
            (0.599, Script::Fail),
            (0.601, Script::Silent),
            (0.699, Script::Silent),
            (0.701, Script::Talk),
            (0.999, Script::Talk),
        ] {
            assert_eq!(mix.pick(chance), wants, "{chance}");
        }
        assert_eq!(Mix::default().pick(0.0), Script::Talk);
        assert_eq!(Mix { refuse: 1.0, ..Mix::default() }.pick(0.9999), Script::Refuse);
    }
}
