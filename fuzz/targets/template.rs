//! The template of dispatch lines, with any bytes from the network in it: the result is one line of
//! bounded length that can safely be printed on a terminal.
//!
//! The input up to the first zero byte is the template, then each value up to the next one.

use strowger::destination::Slot;
use strowger::log::{DispatchRecord, Template};
use strowger::proxy::{Dispatched, LeftTry};
use strowger::transaction::Left;

pub(crate) fn run(input: &[u8]) {
    let mut parts = input.split(|byte| *byte == 0);
    let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else {
        return;
    };
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            let told = error.to_string();
            assert!(!told.chars().any(char::is_control), "{told:?}");
            return;
        }
    };
    let mut next = || parts.next().unwrap_or_default();
    let (method, request_uri, from, to, call_id) = (next(), next(), next(), next(), next());
    let destination = String::from_utf8_lossy(next());
    let peer = "[2001:db8::7]:5062".parse().unwrap();
    let dispatched = Dispatched {
        method,
        request_uri,
        from,
        to,
        call_id,
        destination: &destination,
        slot: Slot(0),
        source: peer,
        is_invite: true,
    };
    let left = LeftTry { of: dispatched, why: Left::Unconfirmed, after_ms: u32::MAX };
    for record in [DispatchRecord::new(&dispatched), DispatchRecord::of_left(&left)] {
        let mut line = String::new();
        template.format(&record, &mut line);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.is_ascii() || !text.is_ascii(), "{line:?}");
        // No name is shorter than two bytes and its dollar sign, and each byte becomes four at most.
        assert!(line.len() <= text.len() + text.len() / 3 * (4 * 256 + 16));
    }
}
