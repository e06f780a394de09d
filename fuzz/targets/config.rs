//! The configuration: any text.
//!
//! If it is refused, the errors name lines and columns of the text. If it is accepted, it keeps the
//! bounds that the rest of the relay asserts.

use std::path::Path;

use strowger::config::{Config, Flags, Workers};
use strowger::keys::Keys;
use strowger::limits;
use strowger::proxy::{Listener, Listeners, Transport, split_host_port};

use super::list::assert_problems;

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Config::from_text(Path::new("/nowhere/strowger.toml"), text, &Flags::default()) {
        Err(problems) => {
            let lines: Vec<_> = text.split('\n').collect();
            assert_problems(&problems, lines.len());
            for problem in problems {
                if let (Some(line), Some(column)) = (problem.line, problem.column) {
                    let width = lines[line - 1].chars().count();
                    assert!((1..=width + 1).contains(&column), "{problem} at {column} of {width}");
                }
            }
        }
        Ok(config) => assert_bounds(&config),
    }
}

fn assert_bounds(config: &Config) {
    let relay = &config.relay;
    assert!(!relay.listen.is_empty());
    assert!(relay.alias.len() <= limits::ALIASES_MAX);
    assert!(config.policy.allow.len() <= limits::PREFIXES_MAX);
    assert!(config.policy.in_dialog_to.len() <= limits::PREFIXES_MAX);
    assert!(config.policy.set <= limits::SET_MAX);
    assert!(limits::RECEIVE_BUFFER_BYTES.contains(&relay.receive_buffer_bytes));
    assert!((1..=limits::PEAK_REQUESTS_PER_SECOND_MAX).contains(&relay.peak_requests_per_second));
    assert!(relay.grace.as_secs() <= limits::GRACE_S_MAX);
    if let Workers::Count(count) = relay.workers {
        assert!((1..=limits::WORKERS_MAX).contains(&count));
    }
    // Each of these panics when its bound is broken.
    if !relay.keys.is_empty() {
        let _ = Keys::new(&relay.keys);
    }
    let listeners = relay.listen.iter().map(|listen| {
        let sent_by = match &listen.advertise {
            Some((host, port)) => format!("{host}:{port}"),
            None => listen.address.to_string(),
        };
        assert!(split_host_port(&sent_by).is_some(), "{sent_by:?} cannot be written in a Via");
        Listener {
            name: listen.name.clone().unwrap_or_else(|| sent_by.clone()),
            local: listen.address,
            transport: Transport::Udp,
            sent_by,
            force_rport: listen.force_rport,
            set: listen.set,
        }
    });
    let _ = Listeners::new(listeners.collect(), &relay.alias);
    for policy in std::iter::once(&config.set_default).chain(config.sets.values()) {
        let line = &policy.no_destination;
        assert!((400..700).contains(&line.code));
        assert!(line.reason.len() <= limits::REASON_BYTES_MAX);
        assert!(!line.reason.chars().any(char::is_control), "{:?}", line.reason);
    }
    for warning in &config.warnings {
        assert!(!warning.chars().any(char::is_control), "{warning:?}");
    }
}
