//! What a route answers when its choice finds nobody.

use super::call::{CALL_WITHIN, Call, call};
use super::draft::{Draft, quoted};
use super::lexer::Token;

/// The `send_reply` of a choice that failed.
pub(super) fn answer<'t>(
    at: usize,
    body: &'t [Token],
    partners: &[Option<usize>],
) -> Option<Call<'t>> {
    let range = failure(at, body, partners)?;
    let replies = ["send_reply", "sl_send_reply", "t_reply", "sl_reply", "t_send_reply"];
    let end = range.1.min(range.0 + ANSWER_WITHIN).min(body.len());
    let at = (range.0..end).find(|at| {
        let is_call = body.get(at + 1).is_some_and(|next| next.is_sign("("));
        is_call && replies.contains(&body[*at].text.as_str())
    })?;
    Some(call(body, partners, at))
}

/// What a route does when its choice failed: `if (!ds_select_dst(…)) { … }`; the `else` of one
/// without `!`, or what follows it when it ends with `exit`; or an `if` that follows and asks for
/// `$rc`.
pub(super) fn failure(
    at: usize,
    body: &[Token],
    partners: &[Option<usize>],
) -> Option<(usize, usize)> {
    let begin = at.saturating_sub(CALL_WITHIN);
    let around = (begin..at).rev().find(|open| {
        body[*open].is_word("if")
            && partners.get(open + 1).is_some_and(|end| end.is_some_and(|end| end > at))
    });
    let after = partners.get(at + 1).copied().flatten()? + 1;
    let (open, is_about_failure) = if let Some(open) = around {
        // ds_select_dst(…) < 0, == -1, != 1
        let compares = body.get(after..partners[open + 1]?)?;
        let is_below = compares.iter().any(|t| ["<", "!", "-"].iter().any(|sign| t.is_sign(sign)));
        (open, body[at - 1].is_sign("!") || is_below)
    } else {
        let open = after + 1;
        let asks = body.get(open..(open + 8).min(body.len()))?;
        let is_next = asks.first().is_some_and(|token| token.is_word("if"));
        let rc = asks.iter().any(|token| token.is_word("rc") || token.is_word("retcode"));
        if !(is_next && rc) {
            return None;
        }
        (open, true)
    };
    let then = statement(body, partners, partners[open + 1]? + 1);
    let has_else = body.get(then.1).is_some_and(|token| token.is_word("else"));
    let ends = |token: &Token| ["exit", "return", "drop"].iter().any(|word| token.is_word(word));
    if is_about_failure {
        Some(then)
    } else if has_else {
        Some(statement(body, partners, then.1 + 1))
    } else if body.get(then.0..then.1)?.iter().any(ends) {
        // Only a failed choice gets past it.
        let first = statement(body, partners, then.1);
        Some((first.0, statement(body, partners, first.1).1))
    } else {
        None
    }
}

/// Where a statement begins and what follows it: a block, or up to the next semicolon.
pub(super) fn statement(
    body: &[Token],
    partners: &[Option<usize>],
    begin: usize,
) -> (usize, usize) {
    if body.get(begin).is_some_and(|token| token.is_sign("{")) {
        return (begin, partners[begin].map_or(body.len(), |end| end + 1));
    }
    let rest = body.iter().skip(begin).take(ANSWER_WITHIN);
    let end = rest.clone().position(|token| token.is_sign(";"));
    (begin, end.map_or(begin + rest.len(), |end| begin + end + 1))
}

/// Makes that answer the relay's own.
pub(super) fn no_destination(call: &Call, draft: &mut Draft) {
    let (code, reason) = (call.value(0).number(), call.value(1));
    let reason = reason.text().filter(|reason| !reason.contains('$'));
    if let (Some(code), Some(reason)) = (code, reason) {
        let value = format!("{{ code = {code}, reason = {} }}", quoted(reason));
        draft.set("dispatch", "no_destination", value, Some(call.place), call.shown());
    } else {
        let why = "the answer is known only at run time: write [dispatch] no_destination";
        draft.left(call.place, call.shown(), why);
    }
}

/// Tokens after a choice in which the answer to its failure is looked for.
const ANSWER_WITHIN: usize = 1_000;
