//! Our own responses: those of a stateless UAS (RFC 3261 §8.2.6, §8.2.7).
//!
//! A copy of the request gets the same bytes again, and the ACK is recognised by the To tag. A
//! response is hardly longer than its request ([`limits::answer_max`]), so nobody can use us to
//! amplify traffic.

use super::branch::Branch;
use super::neighbour;
use super::verdict::{Answer, Reason, Verdict};
use super::{Arrival, Cause, Core, Outbox, SetPolicy};
use crate::limits;
use crate::message::{Fault, HeaderName, Row, Rows, trim};

/// Adds the response to the outbox; `set` is the one whose settings apply to the request.
pub(super) fn answer(
    core: &mut Core,
    at: &Arrival,
    outbox: &mut Outbox,
    with: Answer,
    set: u32,
) -> Verdict {
    // Without a readable sent-by there is no address to answer.
    let Some(address) = core.response_address(at) else {
        return Verdict::Dropped(Reason::Unanswerable);
    };
    if !neighbour::may_send_to(address, &at.shared.listeners) {
        return Verdict::Dropped(Reason::Unanswerable);
    }
    let flow = at.flow.reply(address);
    let len_max = limits::answer_max(at.bytes.len());
    for form in [Form::Usual, Form::Short] {
        outbox.begin();
        write_status_line(at, outbox, with, form, set);
        write_rows(core, at, outbox, with != Answer::Trying);
        if with == Answer::BadExtension {
            write_unsupported(core, at, outbox);
        }
        if with.is_over_limit() {
            write_retry_after(outbox, at.snapshot.set_policy(set).over_limit.retry_after_s);
        }
        outbox.write(if form == Form::Usual { b"Content-Length: 0\r\n\r\n" } else { b"\r\n" });
        if outbox.finish(flow, Cause::Answer, flow.payload_max().min(len_max)) {
            return Verdict::Answered(with);
        }
    }
    let is_short = len_max < flow.payload_max();
    Verdict::Dropped(if is_short { Reason::TooShort } else { Reason::TooLarge })
}

/// The form of a response.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Form {
    /// With the standard reason phrase and a Content-Length.
    Usual,
    /// Without both, which may be left out over UDP (§7.2, §20.14), for a short request.
    Short,
}

fn write_status_line(at: &Arrival, outbox: &mut Outbox, with: Answer, form: Form, set: u32) {
    let SetPolicy { no_destination, over_limit, .. } = at.snapshot.set_policy(set);
    let (code, reason) = match with {
        Answer::Trying => (100, "Trying"),
        Answer::Ok => (200, "OK"),
        Answer::BadRequest => (400, "Bad Request"),
        Answer::Forbidden => (403, "Forbidden"),
        Answer::NoDestination => (no_destination.code, no_destination.reason.as_str()),
        Answer::OverRate | Answer::OverCalls | Answer::OverSourceRate => {
            (over_limit.status.code, over_limit.status.reason.as_str())
        }
        Answer::Timeout => (408, "Request Timeout"),
        Answer::UnsupportedScheme => (416, "Unsupported URI Scheme"),
        Answer::BadExtension => (420, "Bad Extension"),
        Answer::BreadthExceeded => (440, "Max-Breadth Exceeded"),
        Answer::NoTransaction => (481, "Call/Transaction Does Not Exist"),
        Answer::TooManyHops => (483, "Too Many Hops"),
        Answer::Terminated => (487, "Request Terminated"),
        // A repeated response is not written anew, so its name stands for none.
        Answer::Failed | Answer::Repeated => (500, "Server Internal Error"),
        // Without Retry-After, after which the caller would send nothing at all (RFC 7339 §5.10).
        Answer::Overloaded | Answer::Unavailable => (503, "Service Unavailable"),
        Answer::Version => (505, "Version Not Supported"),
        Answer::TooLarge => (513, "Message Too Large"),
    };
    let digit = |value: u16| b'0' + (value % 10) as u8;
    outbox.write(b"SIP/2.0 ");
    outbox.write(&[digit(code / 100), digit(code / 10), digit(code), b' ']);
    if form == Form::Usual {
        outbox.write(reason.as_bytes());
    }
    outbox.write(b"\r\n");
}

/// Copies Via, From, To, Call-ID and `CSeq` unchanged (§8.2.6.2), if they exist.
///
/// A final response gets a To tag if the request has none; a 100 need not have one (§8.2.6.2).
fn write_rows(core: &mut Core, at: &Arrival, outbox: &mut Outbox, is_final: bool) {
    let message = &core.message;
    let mut seen = [false; 4];
    let mut is_first = |place: usize| !std::mem::replace(&mut seen[place], true);
    for row in Rows::new(at.bytes, message.rows_start).filter(|row| row.is_well_formed) {
        match row.name {
            HeaderName::Via if row.whole == message.via_row => {}
            HeaderName::Via => outbox.write(row.whole.of(at.bytes)),
            HeaderName::From if is_first(0) => outbox.write(row.whole.of(at.bytes)),
            HeaderName::CallId if is_first(1) => outbox.write(row.whole.of(at.bytes)),
            HeaderName::CSeq if is_first(2) => outbox.write(row.whole.of(at.bytes)),
            HeaderName::To if is_first(3) => write_to(core, at, outbox, row, is_final),
            _ => continue,
        }
        if row.whole == message.via_row
            && let Some(via) = message.via
        {
            let force_rport = at.force_rport();
            core.edits.clear();
            neighbour::edit_top_via(&mut core.edits, at.bytes, at.flow.peer, &via, force_rport);
            // Two edits of one Via never overlap.
            if core.edits.len_after(row.whole).is_some() {
                core.edits.copy(at.bytes, row.whole, |piece| outbox.write(piece));
            }
        }
    }
}

fn write_to(core: &Core, at: &Arrival, outbox: &mut Outbox, row: Row, is_final: bool) {
    let message = &core.message;
    let needs_tag = is_final && message.to_tag.is_none() && message.fault != Some(Fault::To);
    match Branch::of_request(&at.shared.keys, message, &core.dialog, at.bytes) {
        Some(branch) if needs_tag => {
            let end = trim(at.bytes, row.value).end();
            outbox.write(&at.bytes[row.whole.start()..end]);
            outbox.write(b";tag=");
            outbox.write(&branch.own_to_tag(&at.shared.keys));
            outbox.write(b"\r\n");
        }
        _ => outbox.write(row.whole.of(at.bytes)),
    }
}

/// §20.40: lists the extensions of a Proxy-Require, none of which we support.
fn write_unsupported(core: &Core, at: &Arrival, outbox: &mut Outbox) {
    for row in Rows::new(at.bytes, core.message.rows_start) {
        if row.name == HeaderName::ProxyRequire {
            outbox.write(b"Unsupported: ");
            outbox.write(trim(at.bytes, row.value).of(at.bytes));
            outbox.write(b"\r\n");
        }
    }
}

/// §20.33: says when the caller may try again; nothing if that is 0.
fn write_retry_after(outbox: &mut Outbox, seconds: u16) {
    if seconds == 0 {
        return;
    }
    outbox.write(b"Retry-After: ");
    let mut digits = [0; 5];
    let mut at = digits.len();
    let mut rest = seconds;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    outbox.write(&digits[at..]);
    outbox.write(b"\r\n");
}
