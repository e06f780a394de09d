//! What is on the screen, and what each key changes. Knows nothing of terminals.

use super::figures::{Figures, Row};

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) figures: Option<Figures>,
    /// Why there are no newer figures.
    pub(super) trouble: Option<String>,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    /// The selected row, in the order shown.
    pub(super) selected: usize,
    /// A text that covers the table, with its title and the first line shown.
    pub(super) page: Option<Page>,
}

/// A text that can be scrolled.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    pub(super) first: usize,
}

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Sort {
    /// As the relay lists them: by set, those without calls first.
    #[default]
    Set,
    State,
    Calls,
    Failed,
    Times,
    Heard,
}

/// A key that means something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Interrupt,
}

/// What a key asks for besides a change of the screen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    Quit,
    /// The last changes of state of this destination.
    History(Box<Row>),
    /// What would become of a new call.
    Explain,
    /// The calls that pass at this address from now on.
    Ladders(String),
}

impl Sort {
    pub(super) const ALL: [Self; 6] =
        [Self::Set, Self::State, Self::Calls, Self::Failed, Self::Times, Self::Heard];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::State => "state",
            Self::Calls => "calls/s",
            Self::Failed => "failed",
            Self::Times => "p99",
            Self::Heard => "heard",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

impl State {
    /// Returns the rows that are shown, in their order.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let wanted = self.filter.to_lowercase();
        let all = self.figures.iter().flat_map(|figures| &figures.rows);
        let mut rows: Vec<_> = all.filter(|row| is_wanted(row, &wanted)).collect();
        match self.sort {
            Sort::Set => {}
            Sort::State => rows.sort_by_key(|row| rank(&row.state)),
            Sort::Calls => rows.sort_by(|a, b| b.calls.total_cmp(&a.calls)),
            Sort::Failed => rows.sort_by_key(|row| std::cmp::Reverse(row.failed)),
            Sort::Times => rows.sort_by_key(|row| std::cmp::Reverse(row.most_ms)),
            // What was never heard is the longest ago.
            Sort::Heard => {
                rows.sort_by_key(|row| std::cmp::Reverse(row.heard_ms_ago.unwrap_or(u64::MAX)));
            }
        }
        if self.is_reversed {
            rows.reverse();
        }
        rows
    }

    /// Takes new figures. The same destination stays selected.
    pub(super) fn take(&mut self, figures: Figures) {
        if self.is_paused {
            return;
        }
        let key = |row: &Row| {
            let (set, uri, address) = row.key();
            (set, uri.to_owned(), address.to_owned())
        };
        let selected = self.rows().get(self.selected).map(|row| key(row));
        self.figures = Some(figures);
        self.trouble = None;
        let rows = self.rows();
        let same = rows.iter().position(|row| Some(key(row)) == selected);
        let last = rows.len().saturating_sub(1);
        self.selected = same.unwrap_or(self.selected.min(last));
    }

    /// Does what a key means; `height` is how many rows fit.
    pub(super) fn press(&mut self, key: Key, height: usize) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        if self.is_typing {
            self.type_filter(key);
            return None;
        }
        if let Some(page) = &mut self.page {
            match key {
                Key::Char('q') | Key::Escape | Key::Enter => self.page = None,
                key => page.first = moved(page.first, key, page.lines.len(), height),
            }
            return None;
        }
        let row = || self.rows().get(self.selected).map(|row| Box::new((*row).clone()));
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('h') | Key::Enter => return row().map(Wish::History),
            Key::Char('e') => return Some(Wish::Explain),
            Key::Char('l') => {
                let row = row().filter(|row| !row.address.is_empty());
                return row.map(|row| Wish::Ladders(row.address));
            }
            Key::Char('s') => self.sort = self.sort.next(),
            Key::Char('r') => self.is_reversed = !self.is_reversed,
            Key::Char('/') => self.is_typing = true,
            Key::Char(' ') => self.is_paused = !self.is_paused,
            Key::Char('?') => self.page = Some(help()),
            Key::Escape => self.filter.clear(),
            key => self.selected = moved(self.selected, key, self.rows().len(), height),
        }
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
        None
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(c) => self.filter.push(c),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.is_typing = false,
            Key::Escape => {
                self.is_typing = false;
                self.filter.clear();
            }
            _ => {}
        }
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
    }
}

/// Whether a row has this text, in lower case, in what can be read of it.
fn is_wanted(row: &Row, wanted: &str) -> bool {
    let set = format!("set {}", row.set);
    let texts = [&set, &row.uri, &row.address, &row.state, &row.why];
    texts.iter().any(|text| text.to_lowercase().contains(wanted))
}

/// The worse, the smaller.
fn rank(state: &str) -> usize {
    let order = ["unresolved", "not reached", "inactive", "full", "trying", "disabled", "active"];
    order.iter().position(|known| *known == state).unwrap_or(0)
}

/// Moves a place among `count` lines, of which `height` are seen at once.
fn moved(at: usize, key: Key, count: usize, height: usize) -> usize {
    let to = match key {
        Key::Up | Key::Char('k') => at.saturating_sub(1),
        Key::Down | Key::Char('j') => at + 1,
        Key::PageUp => at.saturating_sub(height.max(1)),
        Key::PageDown => at + height.max(1),
        Key::Home => 0,
        Key::End => usize::MAX,
        _ => at,
    };
    to.min(count.saturating_sub(1))
}

fn help() -> Page {
    let lines = [
        "Up, Down, PgUp, PgDn, Home, End   move",
        "Enter, h                          the last changes of state of the destination",
        "e                                 what would become of a new call, and why",
        "l                                 its calls as ladders, as they pass",
        "s                                 sort by set, state, calls/s, failed, p99, heard",
        "r                                 reverse the order",
        "/                                 show only rows with a text; Esc shows all",
        "space                             hold the figures still, and go on",
        "q                                 quit, or leave a page like this one",
        "",
        "calls/s and share: of the last seconds. sent, answered, failed: new requests since the",
        "destination is there, those it answered at all, calls it answered with 5xx. p50, p99:",
        "from a call to its first response, in the last ten seconds. heard: its last response,",
        "to a call or a probe; silent: requests wait, and nothing at all is heard.",
    ];
    Page { title: "Keys".into(), lines: lines.map(Into::into).into(), first: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(set: u64, address: &str, state: &str, calls: f64) -> Row {
        let (uri, state) = (format!("sip:{address}"), state.to_owned());
        Row { set, uri, address: address.into(), state, calls, ..Row::default() }
    }

    fn three() -> State {
        let rows = vec![
            Row { failed: 4, heard_ms_ago: Some(5), ..row(1, "a", "active", 3.0) },
            Row { most_ms: Some(7), heard_ms_ago: Some(9), ..row(1, "b", "inactive", 0.0) },
            row(2, "c", "trying", 9.0),
        ];
        let mut state = State::default();
        state.take(Figures { rows, ..Figures::default() });
        state
    }

    fn shown(state: &State) -> String {
        state.rows().iter().map(|row| row.address.as_str()).collect()
    }

    #[test]
    fn rows_are_sorted_and_filtered() {
        let mut state = three();
        let mut all = vec![shown(&state)];
        for _ in 0..6 {
            assert_eq!(state.press(Key::Char('s'), 9), None);
            all.push(shown(&state));
        }
        assert_eq!(all, ["abc", "bca", "cab", "abc", "bac", "cba", "abc"]);
        state.press(Key::Char('r'), 9);
        assert_eq!(shown(&state), "cba");
        for key in [Key::Char('/'), Key::Char('S'), Key::Char('e'), Key::Char('t')] {
            state.press(key, 9);
        }
        for key in [Key::Char(' '), Key::Char('1'), Key::Char('x'), Key::Backspace] {
            state.press(key, 9);
        }
        assert_eq!((shown(&state).as_str(), state.is_typing), ("ba", true));
        state.press(Key::Enter, 9);
        assert_eq!((state.is_typing, state.filter.as_str()), (false, "Set 1"));
        state.press(Key::Escape, 9);
        assert_eq!(shown(&state), "cba");
    }

    #[test]
    fn the_same_destination_stays_selected() {
        let mut state = three();
        state.press(Key::End, 9);
        assert_eq!(state.rows()[state.selected].address, "c");
        let mut figures = state.figures.clone().unwrap();
        figures.rows.rotate_right(1);
        state.take(figures.clone());
        assert_eq!((state.selected, state.rows()[0].address.as_str()), (0, "c"));
        figures.rows.remove(0);
        state.press(Key::PageDown, 9);
        assert_eq!(state.selected, 2);
        state.take(figures.clone());
        assert_eq!(state.selected, 1, "the selected one");
        state.press(Key::Char(' '), 9);
        figures.rows.clear();
        state.take(figures.clone());
        assert_eq!(shown(&state), "ab", "it is paused");
        state.press(Key::Char(' '), 9);
        state.take(figures);
        assert_eq!((state.selected, state.press(Key::Enter, 9)), (0, None));
    }

    #[test]
    fn keys_ask_for_something() {
        let mut state = three();
        for _ in 0..5 {
            state.press(Key::Down, 9);
        }
        assert_eq!(state.selected, 2);
        state.press(Key::Char('k'), 9);
        let Some(Wish::History(row)) = state.press(Key::Enter, 9) else { panic!() };
        assert_eq!(row.address, "b");
        assert_eq!(state.press(Key::Char('e'), 9), Some(Wish::Explain));
        assert_eq!(state.press(Key::Char('l'), 9), Some(Wish::Ladders("b".into())));
        state.figures.as_mut().unwrap().rows[1].address.clear();
        assert_eq!(state.press(Key::Char('l'), 9), None, "its name is not resolved");
        assert_eq!(state.press(Key::Char('q'), 9), Some(Wish::Quit));
        state.press(Key::Char('?'), 9);
        assert_eq!(state.press(Key::Interrupt, 9), Some(Wish::Quit));
        state.press(Key::PageDown, 4);
        assert_eq!(state.page.as_ref().unwrap().first, 4);
        assert_eq!(state.press(Key::Char('q'), 9), None);
        assert_eq!(state.page, None);
        state.press(Key::Char('/'), 9);
        assert_eq!(state.press(Key::Char('q'), 9), None, "it is typed");
        assert_eq!(state.filter, "q");
    }
}
