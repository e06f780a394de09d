//! `strowger top`: the destinations of the running relay on a screen that renews itself.
//!
//! One thread asks the relay, this one draws and reads keys, so that a slow relay holds no key up.

mod figures;
mod state;
mod view;

use std::io::{self, IsTerminal as _};
use std::process::{self, Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, Sender};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::client::{RelaySocket, Trouble};
use super::show::all;
use super::{explain, list, show};
use figures::{Answers, Row};
use state::{Key, Page, State, Wish};

/// Watch the destinations of the running relay on a screen that renews itself
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Keys: q quits, ? lists the others.

Example:
  strowger top --interval 2")]
pub(crate) struct TopArgs {
    #[command(flatten)]
    socket: RelaySocket,
    /// Seconds between two looks at the relay: 1 to 60
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
}

pub(crate) fn run(args: &TopArgs) -> ExitCode {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let what = "top needs a terminal; strowger list and strowger stats need none";
        return Trouble(vec![what.into()]).tell();
    }
    // Before the screen is taken: who mistyped a path reads it where he typed it.
    let first = match ask_status(&args.socket) {
        Ok(first) => first,
        Err(trouble) => return trouble.tell(),
    };
    // Also restores the screen if this thread panics.
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => return Trouble(vec![format!("cannot use the terminal: {error}")]).tell(),
    };
    let shown = watch(&mut terminal, args, first);
    ratatui::restore();
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Trouble(vec![format!("cannot use the terminal: {error}")]).tell(),
    }
}

type Answer = Result<Value, Trouble>;

fn ask_status(socket: &RelaySocket) -> Answer {
    socket.ask("strowger.status", &json!({ "max": DESTINATIONS_MAX }))
}

/// Shows the screen until the operator has seen enough.
fn watch(terminal: &mut DefaultTerminal, args: &TopArgs, first: Value) -> io::Result<()> {
    end_by_signal()?;
    // On our screen Ctrl-C is a key. It is a signal while the terminal is another program's, which
    // ends by it; this one goes on.
    signal_hook::flag::register(SIGINT, Arc::default())?;
    let answers = ask_on(args);
    let (mut kept, mut state) = (Answers::default(), State::default());
    take(&mut kept, &mut state, Ok(first));
    loop {
        terminal.draw(|frame| view::draw(frame, &state, show::has_colours()))?;
        if event::poll(LOOK_EVERY)? {
            let height = view::height(terminal.size()?.height);
            let wish = key(&event::read()?).and_then(|key| state.press(key, height));
            match wish {
                Some(Wish::Quit) => break,
                Some(Wish::History(row)) => state.page = Some(history(&args.socket, &row)),
                Some(Wish::Explain) => state.page = Some(explanation(&args.socket)),
                Some(Wish::Ladders(address)) => {
                    state.trouble = ladders(terminal, &args.socket, &address)?;
                }
                None => {}
            }
        }
        while let Ok(answer) = answers.try_recv() {
            take(&mut kept, &mut state, answer);
        }
    }
    Ok(())
}

/// Ends the process by the signals that ask for it. This thread cannot: it may be held up in a read of a
/// terminal that is gone.
fn end_by_signal() -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        signals.forever().next();
        ratatui::restore();
        process::exit(0);
    });
    Ok(())
}

fn take(kept: &mut Answers, state: &mut State, answer: Answer) {
    match answer {
        Ok(status) => {
            kept.push(status);
            if let Some(figures) = kept.figures() {
                state.take(figures);
            }
        }
        Err(trouble) => state.trouble = Some(trouble.to_string()),
    }
}

/// Asks the relay again and again on a thread that ends with the process.
fn ask_on(args: &TopArgs) -> Receiver<Answer> {
    // Room for one: an answer that nobody has taken yet holds the next question up.
    let (sender, answers): (Sender<Answer>, _) = channel::bounded(1);
    let (socket, interval) = (args.socket.clone(), Duration::from_secs(args.interval));
    thread::spawn(move || {
        loop {
            let begin = Instant::now();
            thread::sleep(interval);
            let answer = ask_status(&socket);
            if sender.send(answer).is_err() {
                return;
            }
            // A relay that needs long is asked less often.
            thread::sleep(begin.elapsed().saturating_sub(interval * 2));
        }
    });
    answers
}

/// Leaves the screen to `strowger trace` until it ends. Returns what went wrong with it.
fn ladders(
    terminal: &mut DefaultTerminal,
    socket: &RelaySocket,
    address: &str,
) -> io::Result<Option<String>> {
    ratatui::restore();
    println!("Calls of {address} as they pass; Ctrl-C leads back.\n");
    let trace = std::env::current_exe().and_then(|program| {
        let mut trace = Command::new(program);
        trace.args(["trace", "--destination", address]).args(socket.arguments()).status()
    });
    *terminal = ratatui::try_init()?;
    Ok(match trace {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("strowger trace ended with {status}")),
        Err(error) => Some(format!("cannot run strowger trace: {error}")),
    })
}

fn history(socket: &RelaySocket, row: &Row) -> Page {
    let title = format!("The last changes of {} of set {}, in UTC", row.uri, row.set);
    page(title, socket.ask("strowger.history", &json!({})), |reply| {
        let (set, uri, address) = row.key();
        let is_his = |change: &&Value| {
            change["set"] == set && change["destination"] == uri && change["address"] == address
        };
        let changes: Vec<_> = all(reply, "changes").iter().filter(is_his).cloned().collect();
        let lines = changes.iter().rev().map(list::change);
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn explanation(socket: &RelaySocket) -> Page {
    let title = "What would become of a new call now".into();
    page(title, socket.ask("strowger.explain", &json!({ "message": NEW_CALL })), explain::text)
}

fn page(title: String, reply: Answer, text: impl Fn(&Value) -> String) -> Page {
    let text = match reply {
        Ok(reply) => text(&reply),
        Err(trouble) => trouble.to_string(),
    };
    Page { title, lines: text.lines().map(str::to_owned).collect(), first: 0 }
}

/// What a key means here.
fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return None;
    };
    let is_control = modifiers.contains(KeyModifiers::CONTROL);
    Some(match code {
        KeyCode::Char('c') if is_control => Key::Interrupt,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char(c) => Key::Char(*c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

/// How long a new answer may wait to be shown, if no key is pressed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Destinations of each set that are asked for.
const DESTINATIONS_MAX: usize = 1_000;

/// A call that a stranger might begin.
const NEW_CALL: &str = "INVITE sip:someone@example.com SIP/2.0\r\n\
                        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtop\r\n\
                        Max-Forwards: 70\r\n\
                        From: <sip:top@example.com>;tag=top\r\n\
                        To: <sip:someone@example.com>\r\n\
                        Call-ID: strowger-top\r\n\
                        CSeq: 1 INVITE\r\n\
                        Contact: <sip:top@192.0.2.1:5060>\r\n\
                        Content-Length: 0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_terminal() {
        let press = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
        for (code, wants) in [
            (KeyCode::Char('q'), Some(Key::Char('q'))),
            (KeyCode::Enter, Some(Key::Enter)),
            (KeyCode::Esc, Some(Key::Escape)),
            (KeyCode::Backspace, Some(Key::Backspace)),
            (KeyCode::Up, Some(Key::Up)),
            (KeyCode::Down, Some(Key::Down)),
            (KeyCode::PageUp, Some(Key::PageUp)),
            (KeyCode::PageDown, Some(Key::PageDown)),
            (KeyCode::Home, Some(Key::Home)),
            (KeyCode::End, Some(Key::End)),
            (KeyCode::F(1), None),
        ] {
            assert_eq!(press(code, KeyModifiers::NONE), wants, "{code:?}");
        }
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(press(KeyCode::Char('x'), KeyModifiers::CONTROL), None);
        assert_eq!(key(&Event::Resize(80, 24)), None);
        let released =
            KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(key(&Event::Key(released)), None);
    }
}
