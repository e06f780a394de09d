//! What happens to the relays and the parties besides calls: lists change, processes restart, NATs
//! assign other ports.

use crate::network::Event;
use crate::relay::{Line, LineState};
use crate::truth::{EndId, RelayId};
use crate::world::World;

impl World {
    pub(crate) fn rebind(&mut self, end: EndId) {
        let port = self.random.between(20_000, 60_000) as u16;
        self.ends[end].source.set_port(port);
        self.event("NAT changed the port");
        self.ladder.note(self.now, || format!("the NAT gives another port: {port}"));
    }

    pub(crate) fn change_list(&mut self, relay: RelayId) {
        let list = &self.relays[relay].lists[self.relays[relay].newest()];
        let (mut lines, is_draining) = (list.lines.clone(), list.is_draining);
        let what = self.change_lines(relay, &mut lines);
        self.event(what);
        self.publish(relay, lines, is_draining);
    }

    fn change_lines(&mut self, relay: RelayId, lines: &mut Vec<Line>) -> &'static str {
        let away: Vec<Line> = self.stock[relay]
            .iter()
            .filter(|l| lines.iter().all(|m| m.uri != l.uri))
            .cloned()
            .collect();
        match self.random.below(15) {
            0..=2 if lines.len() > 1 => {
                let at = self.random.below(lines.len());
                lines.remove(at);
                "list: removed"
            }
            3..=5 if !away.is_empty() => {
                let line = self.random.pick(&away).clone();
                let known = &self.relays[relay].lists[self.relays[relay].newest()].known;
                let was_there = known.contains(&line.addresses[0]);
                let at = self.random.below(lines.len() + 1);
                lines.insert(at, line);
                if was_there { "list: back" } else { "list: added" }
            }
            6..=8 if !lines.is_empty() => {
                let at = self.random.below(lines.len());
                lines[at].state = match lines[at].state {
                    LineState::Disabled => LineState::Active,
                    _ => LineState::Disabled,
                };
                "list: disabled or enabled"
            }
            10..=12 if !lines.is_empty() => {
                let at = self.random.below(lines.len());
                if lines[at].state == LineState::Inactive {
                    lines[at].state = LineState::Active;
                    return "list: came back";
                }
                lines[at].state = LineState::Inactive;
                "list: became inactive"
            }
            9 => {
                lines.clear();
                // It comes back soon.
                self.network.at(self.now + 400, Event::ChangeList(relay));
                "list: emptied"
            }
            _ => {
                for at in (1..lines.len()).rev() {
                    let other = self.random.below(at + 1);
                    lines.swap(at, other);
                }
                "list: reordered"
            }
        }
    }

    /// Each worker takes it over at its own time, soon.
    fn publish(&mut self, relay: RelayId, lines: Vec<Line>, is_draining: bool) {
        let text: Vec<_> = lines
            .iter()
            .map(|l| format!("{}{}", if l.is_active() { "" } else { "-" }, l.uri))
            .collect();
        self.ladder.note(self.now, || format!("relay {relay}: new list {text:?}"));
        self.relays[relay].publish(self.now, lines, is_draining);
        for worker in 0..self.relays[relay].worker_count() {
            let delay = if self.random.chance(50) { 0 } else { self.random.between(1, 300) };
            self.network.at(self.now + delay, Event::CatchUp(relay, worker));
        }
    }

    pub(crate) fn drain(&mut self, relay: RelayId, is_draining: bool) {
        let lines = self.relays[relay].lists[self.relays[relay].newest()].lines.clone();
        self.event("drained");
        self.publish(relay, lines, is_draining);
        if is_draining {
            let back = self.now + self.random.between(50, 1_000);
            self.network.at(back, Event::Drain(relay, false));
        }
    }

    pub(crate) fn restart(&mut self, relay: RelayId) {
        let has_new_key = self.random.chance(30);
        self.count_pins(relay);
        self.relays[relay].restart(self.now, has_new_key);
        self.observer.turns.restarted(relay);
        self.observer.overloads.restarted(relay);
        self.event(if has_new_key { "restart with a new key" } else { "restart" });
        self.ladder.note(self.now, || format!("relay {relay} restarts, new key: {has_new_key}"));
    }

    /// A process takes its counters with it.
    fn count_pins(&mut self, relay: RelayId) {
        let (over, live, swept) = self.relays[relay].evictions();
        self.observer.coverage.events("pin evicted", over + live);
        self.observer.coverage.events("pin swept", swept);
    }
}
