//! Draws the screen.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState};

use super::figures::{Head, Row};
use super::state::{Page, State};
use crate::cli::client::shown;

/// Draws everything. `has_colours` is not set where the operator wants none.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, has_colours: bool) {
    let [head, body, why, foot] = Layout::vertical([
        Constraint::Length(HEAD_LINES),
        Constraint::Min(2),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let look = Look { has_colours };
    frame.render_widget(heading(state, look, head.width), head);
    if let Some(page) = &state.page {
        frame.render_widget(text(page, look, body.height), body);
    } else {
        table(frame, state, look, body);
        frame.render_widget(explanation(state, look), why);
    }
    frame.render_widget(footer(state, look), foot);
}

/// Returns how many rows of the table, or lines of a page, fit a screen of this height.
pub(super) fn height(screen: u16) -> usize {
    usize::from(screen.saturating_sub(HEAD_LINES + 3))
}

const HEAD_LINES: u16 = 3;

/// The colours, if there are any.
#[derive(Clone, Copy)]
struct Look {
    has_colours: bool,
}

impl Look {
    fn colour(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn state(self, word: &str) -> Style {
        match word {
            "active" => self.colour(Color::Green),
            "trying" | "full" => self.colour(Color::Yellow),
            "disabled" => self.colour(Color::DarkGray),
            _ => self.colour(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const TURNED: Style = Style::new().add_modifier(Modifier::REVERSED);

fn heading(state: &State, look: Look, width: u16) -> Paragraph<'static> {
    let Some(figures) = &state.figures else {
        let says = state.trouble.clone().unwrap_or_else(|| "asking the relay …".into());
        return Paragraph::new(shown(&says));
    };
    let Head { version, listeners, workers, calls, received, answered_here, dropped, .. } =
        &figures.head;
    let up = duration(figures.head.uptime);
    let many = if *workers == 1 { "" } else { "s" };
    let name = format!("strowger {version}");
    let about = format!("  up {up}  {workers} worker{many}  {}", listeners.join(" "));
    let room = usize::from(width).saturating_sub(name.len());
    let about: String = shown(&about).chars().take(room).collect();
    let numbers = Line::from(vec![
        Span::styled(format!("{:>8}", number(*calls)), BOLD),
        Span::raw(" calls/s"),
        Span::styled(format!("{:>9}", number(*received)), BOLD),
        Span::raw(" messages/s in"),
        Span::styled(format!("{:>8}", number(*answered_here)), BOLD),
        Span::raw(" answered/s"),
        Span::styled(format!("{:>7}", number(*dropped)), BOLD),
        Span::raw(" dropped/s"),
    ]);
    Paragraph::new(vec![
        Line::from(vec![Span::styled(name, BOLD), Span::raw(about)]),
        numbers,
        warning(state, look),
    ])
}

/// What is wrong with all of it.
fn warning(state: &State, look: Look) -> Line<'static> {
    let red = look.colour(Color::Red).add_modifier(Modifier::BOLD);
    let head = state.figures.as_ref().map(|figures| &figures.head);
    if let Some(trouble) = &state.trouble {
        return Line::styled(shown(trouble), red);
    }
    match head {
        Some(head) if head.is_draining => Line::styled(
            "the relay is drained: new requests get 503; strowger drain --off ends that",
            red,
        ),
        Some(head) if !head.is_source_read => Line::styled(
            "the source could not be read since the start: the last good destinations are used",
            red,
        ),
        _ => Line::default(),
    }
}

fn table(frame: &mut Frame<'_>, state: &State, look: Look, area: Rect) {
    let rows = state.rows();
    // The wider the screen, the more of the columns that can be missed.
    let columns: Vec<_> = COLUMNS.iter().filter(|column| area.width >= column.from_width).collect();
    let width = |column: &&&Column| match column.width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    };
    let head = columns.iter().map(|column| {
        let is_sorted = column.name.trim() == state.sort.name();
        let arrow = if is_sorted && state.is_reversed { "^" } else { "" };
        let style = if is_sorted { TURNED } else { BOLD };
        Cell::from(aligned(&format!("{}{arrow}", column.name), column, style))
    });
    let lines = rows.iter().map(|row| {
        let cells = columns.iter().map(|column| {
            let style = match column.name {
                "state" => look.state(&row.state),
                "silent" if row.silent_ms.is_some() => look.state("inactive"),
                _ => Style::new(),
            };
            Cell::from(aligned(&shown(&(column.of)(row)), column, style))
        });
        TableRow::new(cells)
    });
    let table = Table::new(lines, columns.iter().map(|column| width(&column)))
        .header(TableRow::new(head))
        .column_spacing(1)
        .row_highlight_style(TURNED);
    let selected = (!rows.is_empty()).then_some(state.selected);
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
    if rows.is_empty() && state.figures.is_some() {
        let says = if state.filter.is_empty() { "no destinations" } else { "no row has this text" };
        let below = Rect { y: area.y + 1, height: 1, ..area };
        frame.render_widget(Paragraph::new(says), below);
    }
}

fn aligned(text: &str, column: &Column, style: Style) -> Line<'static> {
    let alignment = if column.is_number { Alignment::Right } else { Alignment::Left };
    Line::styled(text.to_owned(), style).alignment(alignment)
}

/// One column of the table.
struct Column {
    name: &'static str,
    /// In cells; 0 takes what is left.
    width: u16,
    is_number: bool,
    /// The narrowest screen that it is on.
    from_width: u16,
    of: fn(&Row) -> String,
}

const COLUMNS: &[Column] = &[
    column("set", 4, true, 0, |row| row.set.to_string()),
    column("destination", 0, false, 0, |row| {
        row.uri.strip_prefix("sip:").unwrap_or(&row.uri).to_owned()
    }),
    column("address", 22, false, 120, |row| row.address.clone()),
    column("state", 11, false, 0, |row| row.state.clone()),
    column("calls/s", 7, true, 0, |row| number(row.calls)),
    column("share", 5, true, 0, |row| format!("{:.0} %", row.share)),
    column("open", 6, true, 100, |row| row.in_progress.map_or(String::new(), |n| n.to_string())),
    column("sent", 9, true, 100, |row| row.sent.to_string()),
    column("answered", 9, true, 100, |row| row.answered.to_string()),
    column("failed", 7, true, 0, |row| row.failed.to_string()),
    column("p50", 6, true, 100, |row| milliseconds(row.half_ms)),
    column("p99", 6, true, 0, |row| milliseconds(row.most_ms)),
    column("heard", 6, true, 0, |row| ago(row.heard_ms_ago)),
    column("silent", 6, true, 0, |row| ago(row.silent_ms)),
];

const fn column(
    name: &'static str,
    width: u16,
    is_number: bool,
    from_width: u16,
    of: fn(&Row) -> String,
) -> Column {
    Column { name, width, is_number, from_width, of }
}

/// Why the selected destination is in its state.
fn explanation(state: &State, look: Look) -> Line<'static> {
    let rows = state.rows();
    let Some(row) = rows.get(state.selected) else { return Line::default() };
    let since = row.since.split('.').next().unwrap_or("").replace('T', " ");
    let why = if row.why.is_empty() { String::new() } else { format!(": {}", row.why) };
    let since = if since.is_empty() { String::new() } else { format!(" since {since} UTC") };
    let letters = if row.flags.is_empty() { String::new() } else { format!(" ({})", row.flags) };
    Line::from(vec![
        Span::styled(row.state.clone(), look.state(&row.state)),
        Span::raw(shown(&format!("{letters}{since}{why}"))),
    ])
}

fn footer(state: &State, look: Look) -> Line<'static> {
    if state.is_typing {
        return Line::from(vec![
            Span::styled("show only: ", BOLD),
            Span::raw(format!("{}_", state.filter)),
        ]);
    }
    let mut parts = Vec::new();
    let grey = look.colour(Color::DarkGray);
    if state.page.is_some() {
        parts.push(Span::styled("Up Down PgUp PgDn move   q back", grey));
        return Line::from(parts);
    }
    if state.is_paused {
        parts.push(Span::styled(" held still ", TURNED));
        parts.push(Span::raw(" "));
    }
    if !state.filter.is_empty() {
        parts.push(Span::styled(format!(" only {:?} ", state.filter), TURNED));
        parts.push(Span::raw(" "));
    }
    if let Some(more) = state.figures.as_ref().map(|figures| figures.left_out).filter(|n| *n > 0) {
        parts.push(Span::raw(format!("{more} more are not shown   ")));
    }
    parts.push(Span::styled(
        "q quit  ? keys  Enter history  e explain  l ladders  s sort  / filter",
        grey,
    ));
    Line::from(parts)
}

fn text(page: &Page, look: Look, height: u16) -> Paragraph<'static> {
    let mut lines = vec![Line::styled(shown(&page.title), look.colour(Color::Cyan).patch(BOLD))];
    let seen = page.lines.iter().skip(page.first).take(usize::from(height.saturating_sub(1)));
    lines.extend(seen.map(|line| Line::raw(shown(line))));
    Paragraph::new(lines)
}

/// `0.3`, `12`, `1,234`, `12.3k`.
fn number(value: f64) -> String {
    #[expect(clippy::cast_sign_loss, reason = "rates are not negative")]
    let whole = value.round() as u64;
    match whole {
        0 if value < 0.05 => "0".into(),
        0..10 => format!("{value:.1}"),
        10..1_000 => whole.to_string(),
        1_000..100_000 => format!("{},{:03}", whole / 1_000, whole % 1_000),
        _ => format!("{}k", whole / 1_000),
    }
}

fn milliseconds(ms: Option<u64>) -> String {
    ms.map_or(String::new(), |ms| if ms < 10_000 { format!("{ms}ms") } else { ago(Some(ms)) })
}

/// `0.3s`, `12s`, `5m`, `3h`, `2d`.
fn ago(ms: Option<u64>) -> String {
    let Some(ms) = ms else { return String::new() };
    match ms / 1_000 {
        0..10 => format!("{}.{}s", ms / 1_000, ms / 100 % 10),
        s @ 10..100 => format!("{s}s"),
        s @ 100..6_000 => format!("{}m", s / 60),
        s @ 6_000..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::figures::Figures;
    use super::super::state::Key;
    use super::*;

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, true)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
        let lines: Vec<_> = (0..height).map(|y| line(y).trim_end().to_owned()).collect();
        lines.join("\n")
    }

    fn state() -> State {
        let head = Head {
            version: "0.1.0".into(),
            uptime: Duration::from_hours(77),
            listeners: vec!["udp:10.0.0.1:5060".into()],
            workers: 2,
            is_source_read: true,
            calls: 1_234.4,
            received: 7_406.0,
            answered_here: 12.0,
            dropped: 0.33,
            ..Head::default()
        };
        let good = Row {
            set: 1,
            uri: "sip:10.0.0.2:5060".into(),
            address: "10.0.0.2:5060".into(),
            state: "active".into(),
            flags: "AP".into(),
            why: "loaded at the start".into(),
            since: "2026-11-23T09:11:38.123Z".into(),
            calls: 1_234.4,
            share: 100.0,
            sent: 1_000_000,
            answered: 999_990,
            failed: 3,
            in_progress: Some(4_321),
            half_ms: Some(2),
            most_ms: Some(20),
            heard_ms_ago: Some(99),
            silent_ms: None,
        };
        let bad = Row {
            set: 1,
            uri: "sip:ms2.example.com".into(),
            address: "10.0.0.3:5060".into(),
            state: "inactive".into(),
            flags: "IP".into(),
            why: "no answer to 17 requests from 4 sources for 500 ms".into(),
            since: "2026-11-23T09:14:02.871Z".into(),
            heard_ms_ago: Some(75_000),
            silent_ms: Some(1_250),
            ..Row::default()
        };
        let mut state = State::default();
        state.take(Figures { head, rows: vec![bad, good], left_out: 0 });
        state
    }

    #[test]
    fn at_80_columns() {
        let state = state();
        let wants = "\
strowger 0.1.0  up 3 d 5 h  2 workers  udp:10.0.0.1:5060
   1,234 calls/s    7,406 messages/s in      12 answered/s    0.3 dropped/s

 set destination          state       calls/s share  failed    p99  heard silent
   1 ms2.example.com      inactive          0   0 %       0           75s   1.2s
   1 10.0.0.2:5060        active        1,234 100 %       3   20ms   0.0s


inactive (IP) since 2026-11-23 09:14:02 UTC: no answer to 17 requests from 4 sou
q quit  ? keys  Enter history  e explain  l ladders  s sort  / filter";
        let seen = screen(&state, 80, 10);
        assert_eq!(seen, wants, "\n{seen}");
    }

    #[test]
    fn at_140_columns() {
        let seen = screen(&state(), 140, 9);
        let line = seen.lines().nth(5).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let wants =
            "1 10.0.0.2:5060 10.0.0.2:5060 active 1,234 100 % 4321 1000000 999990 3 2ms 20ms 0.0s";
        assert_eq!(words.join(" "), wants, "\n{seen}");
    }

    #[test]
    fn what_is_wrong_stands_on_top() {
        let mut state = state();
        state.figures.as_mut().unwrap().head.is_draining = true;
        assert!(screen(&state, 80, 10).contains("\nthe relay is drained: new requests get 503;"));
        let head = &mut state.figures.as_mut().unwrap().head;
        (head.is_draining, head.is_source_read) = (false, false);
        assert!(screen(&state, 80, 10).contains("\nthe source could not be read since the start"));
        state.trouble = Some("no relay is running here".into());
        assert!(screen(&state, 80, 10).contains("\nno relay is running here"));
        assert!(screen(&State::default(), 80, 10).starts_with("asking the relay"));
        let refused = State { trouble: Some("no".into()), ..State::default() };
        assert!(screen(&refused, 80, 10).starts_with("no\n"));
    }

    #[test]
    fn filter_pause_and_pages() {
        let mut state = state();
        for key in [Key::Char('/'), Key::Char('x'), Key::Char('y')] {
            state.press(key, 9);
        }
        let seen = screen(&state, 80, 10);
        assert!(
            seen.ends_with("\nshow only: xy_") && seen.contains("\nno row has this text"),
            "{seen}"
        );
        state.press(Key::Enter, 9);
        state.press(Key::Char(' '), 9);
        state.figures.as_mut().unwrap().left_out = 3;
        let seen = screen(&state, 120, 10);
        assert!(seen.contains(" held still   only \"xy\"  3 more are not shown"), "{seen}");
        state.press(Key::Char('?'), 9);
        let seen = screen(&state, 80, 10);
        assert!(seen.contains("\nKeys\nUp, Down,") && seen.ends_with("q back"), "{seen}");
        state.press(Key::Down, 9);
        assert!(screen(&state, 80, 10).contains("\nKeys\nEnter, h"));
    }

    #[test]
    fn texts_of_others_are_harmless() {
        let mut state = state();
        state.figures.as_mut().unwrap().rows[0].uri = "sip:\u{1b}[2J".into();
        assert!(screen(&state, 80, 10).contains("\\u{1b}[2J"));
    }

    #[test]
    fn numbers_are_short() {
        let rates = [0.0, 0.04, 0.3, 9.96, 12.4, 999.0, 1_234.0, 99_999.0, 123_456.0];
        let wants = ["0", "0", "0.3", "10", "12", "999", "1,234", "99,999", "123k"];
        assert_eq!(rates.map(number), wants.map(String::from));
        let times = [0, 9_999, 10_000, 99_999, 100_000, 5_999_999, 6_000_000, 172_800_000];
        let wants = ["0.0s", "9.9s", "10s", "99s", "1m", "99m", "1h", "2d"];
        assert_eq!(times.map(|ms| ago(Some(ms))), wants.map(String::from));
        let up = [5, 65, 3_700, 90_000].map(|s| duration(Duration::from_secs(s)));
        assert_eq!(up, ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"].map(String::from));
        assert_eq!(
            [Some(7), Some(30_000), None].map(milliseconds),
            ["7ms", "30s", ""].map(String::from)
        );
    }
}
