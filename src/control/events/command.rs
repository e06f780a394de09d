//! Runs a program for events: each is a line of JSON on its standard input.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Deliver;
use crate::config::EventsConfig;
use crate::words::with_remedy;

pub(super) struct Command {
    program: Vec<String>,
    timeout: Duration,
}

impl Command {
    pub(super) fn of(config: &EventsConfig) -> Option<Self> {
        if config.command.is_empty() {
            return None;
        }
        Some(Self { program: config.command.clone(), timeout: config.timeout })
    }
}

impl Deliver for Command {
    const NAME: &'static str = "events-command";
    /// It may have done half of its work, so it does not run twice.
    const TRIES: u32 = 1;

    fn deliver(&mut self, events: &[String]) -> Result<(), String> {
        let [program, arguments @ ..] = &*self.program else { return Ok(()) };
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run {program}: {}", with_remedy(&error)))?;
        let lines = events.join("\n") + "\n";
        if let Some(mut input) = child.stdin.take() {
            // A pipe holds 64 KiB, more than a batch, so this does not wait for the program. One that
            // does not read its input closes it, and that is no failure.
            let _ = input.write_all(lines.as_bytes());
        }
        match wait(&mut child, self.timeout) {
            None => Err(format!("{program} ran longer than {} ms", self.timeout.as_millis())),
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(match (status.code(), status.signal()) {
                (Some(code), _) => format!("{program} ended with status {code}"),
                (None, signal) => format!("{program} was ended by signal {}", signal.unwrap_or(0)),
            }),
        }
    }
}

/// Waits for the program's end; after the timeout it is killed, and `None` is returned.
fn wait(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + timeout;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::commands::{Change, Plan, Reloaded};
    use crate::control::events::StateEvent;
    use crate::control::events::tests::{event, line};
    use crate::control::reloads::Reloads;
    use crate::limits::{EVENT_BATCH_BYTES, EVENT_BATCH_MAX, URI_BYTES_MAX};
    use crate::rpc::json;

    fn run(program: &[&str], events: &[String]) -> Result<(), String> {
        let program = program.iter().map(|word| (*word).to_owned()).collect();
        Command { program, timeout: Duration::from_millis(500) }.deliver(events)
    }

    #[test]
    fn each_event_is_a_line_and_the_end_of_the_program_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events");
        let events = [r#"{"set":1}"#, r#"{"set":2}"#].map(str::to_owned);
        let shell = |script: &str| run(&["/bin/sh", "-c", script, "sh"], &events);
        let script = format!("cat > {}", file.display());
        assert_eq!(shell(&script), Ok(()));
        assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"set\":1}\n{\"set\":2}\n");
        assert_eq!(shell("exit 3"), Err("/bin/sh ended with status 3".into()));
        assert_eq!(shell("kill -9 $$"), Err("/bin/sh was ended by signal 9".into()));
        assert_eq!(shell("exec sleep 60"), Err("/bin/sh ran longer than 500 ms".into()));
        let missing = run(&["/no/such/program"], &events).unwrap_err();
        assert!(missing.starts_with("cannot run /no/such/program: "), "{missing}");
    }

    #[test]
    fn a_program_that_reads_nothing_is_not_waited_for() {
        let event = StateEvent { uri: "u".repeat(URI_BYTES_MAX), ..event(1) };
        let events = vec![line(&StateEvent { reason: "r".repeat(400), ..event }); EVENT_BATCH_MAX];
        let bytes: usize = events.iter().map(|event| event.len() + 1).sum();
        assert!(bytes < 65_536, "{bytes} bytes do not fit a pipe");
        assert_eq!(run(&["/bin/true"], &events), Ok(()));
        // The longest event comes last.
        let text = "\u{1}".repeat(1_000);
        let change = Change { set: 1, uri: text.clone(), what: text.clone() };
        let plan = Plan { added: vec![change; 99], ..Plan::default() };
        let reloaded = Reloaded { plan, notes: vec![text; 99], ..Reloaded::default() };
        let reload = Reloads::default().add("SIGHUP".into(), Duration::ZERO, &Ok(reloaded));
        let bytes = json::line(&reload.value()).len() + EVENT_BATCH_BYTES + EVENT_BATCH_MAX;
        assert!(bytes < 65_536, "{bytes} bytes do not fit a pipe");
    }
}
