//! What servers answer to the requests that they get.

use super::name_addr::NameAddr;
use super::rows::Parts;
use super::text::{bytes_of, text_of, trim};

/// What servers do to the Vias that they send back. All of it is allowed.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a habit that any other goes with")]
pub(crate) struct Habits {
    /// All Vias in one row.
    pub(crate) joins_vias: bool,
    /// The relay's parameters in upper case.
    pub(crate) shouts: bool,
    /// Without the relay's parameter: it is no parameter of RFC 3261.
    pub(crate) drops_parameter: bool,
    /// `received` added to the topmost value.
    pub(crate) adds_received: bool,
    /// Rows in another order.
    pub(crate) vias_last: bool,
}

/// What a server answers to `request`, as it got it.
pub(crate) fn response(request: &[u8], status: &str, to_tag: &str, habits: Habits) -> Vec<u8> {
    let parts = Parts::of(&text_of(request)).expect("a request");
    let mut vias: Vec<_> = parts.all("via").map(|row| row.raw().to_owned()).collect();
    if let Some(top) = vias.first_mut() {
        *top = told(top, habits);
    }
    let vias = if habits.joins_vias {
        format!("v: {}\r\n", vias.join(", "))
    } else {
        vias.iter().map(|via| format!("Via: {via}\r\n")).collect()
    };
    let mut rest = String::new();
    for name in ["record-route", "from", "call-id", "cseq"] {
        parts.all(name).for_each(|row| rest.push_str(&row.whole));
    }
    let to = parts.first("to");
    let has_tag = NameAddr::read(&to.value).is_some_and(|to| matches!(to.tag(), Ok(Some(_))));
    let tag = if has_tag { String::new() } else { format!(";tag={to_tag}") };
    rest.extend([trim(&to.whole), &*tag, "\r\n"]);
    let rows = if habits.vias_last { rest + &vias } else { vias + &rest };
    bytes_of(&format!("SIP/2.0 {status}\r\n{rows}Content-Length: 0\r\n\r\n"))
}

fn told(via: &str, habits: Habits) -> String {
    let (before, value) = via.split_once(";sw=").expect("the relay's Via");
    let mut told = before.to_owned();
    if !habits.drops_parameter {
        told = format!("{told};sw={value}");
    }
    if habits.shouts {
        told = told.to_ascii_uppercase();
    }
    if habits.adds_received {
        told.push_str(";received=192.0.2.1");
    }
    told
}
