//! The way of a request through the routes once its destination is chosen: which functions it passes.
//!
//! Conditions are not worked out: both ways of an `if` count as passed, and only an `exit` outside of
//! one ends the way.

use std::collections::HashMap;

use super::answer::{failure, statement};
use super::lexer::{Token, TokenKind};
use super::script::Route;
use crate::limits;

/// Routes of a script that requests run through, with the partners of their brackets.
pub(super) struct Flow<'s, 't> {
    routes: &'s [Route<'t>],
    partners: &'s [Vec<Option<usize>>],
    /// `route[NAME]` by its name.
    named: HashMap<&'t str, usize>,
    /// Where `route(NAME)` is called: route and token.
    callers: HashMap<&'t str, Vec<(usize, usize)>>,
    /// Routes that were gone through.
    is_entered: Vec<bool>,
    /// Calls that were passed: route and token of the name, in their order.
    passed: Vec<(usize, usize)>,
}

/// How a way through a route ends.
#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    /// At the end of the route or at a `return`: its caller goes on.
    Back,
    /// At an `exit`.
    Exit,
}

impl<'s, 't> Flow<'s, 't> {
    pub(super) fn new(routes: &'s [Route<'t>], partners: &'s [Vec<Option<usize>>]) -> Self {
        let mut flow = Self {
            routes,
            partners,
            named: HashMap::new(),
            callers: HashMap::new(),
            is_entered: vec![false; routes.len()],
            passed: Vec::new(),
        };
        for (number, route) in routes.iter().enumerate() {
            if !is_for_requests(route) {
                continue;
            }
            flow.named.entry(route.name).or_insert(number);
            for at in 0..route.body.len() {
                if let Some(name) = called(route.body, at) {
                    flow.callers.entry(name).or_default().push((number, at));
                }
            }
        }
        flow
    }

    /// The calls that a request passes after the one at `at`, when that one succeeded.
    pub(super) fn after(mut self, route: usize, at: usize) -> Vec<(usize, usize)> {
        let failure = failure(at, self.routes[route].body, &self.partners[route]);
        self.go_on(route, at, failure, 0);
        self.passed
    }

    /// Goes on behind the call at `at`, and behind the calls of its route.
    fn go_on(&mut self, route: usize, at: usize, skip: Option<(usize, usize)>, depth: usize) {
        self.is_entered[route] = true;
        let begin = self.partners[route].get(at + 1).copied().flatten().unwrap_or(at);
        if self.walk(route, begin + 1, skip, depth) == End::Exit
            || depth >= limits::IMPORT_CALLS_DEEP
        {
            return;
        }
        for (caller, at) in self.callers.remove(self.routes[route].name).unwrap_or_default() {
            if !self.is_entered[caller] {
                self.go_on(caller, at, None, depth + 1);
            }
        }
    }

    fn walk(
        &mut self,
        number: usize,
        begin: usize,
        skip: Option<(usize, usize)>,
        depth: usize,
    ) -> End {
        let (routes, all_partners) = (self.routes, self.partners);
        let (body, partners) = (routes[number].body, &all_partners[number][..]);
        // Up to here an `exit` belongs to a condition.
        let mut conditional = begin;
        let mut at = begin;
        while let Some(token) = body.get(at) {
            if let Some((_, end)) = skip.filter(|(begin, end)| *begin == at && end > begin) {
                at = end;
                continue;
            }
            let is_conditional = at < conditional;
            if token.is_word("if") || token.is_word("while") || token.is_word("switch") {
                conditional = conditional.max(behind_condition(body, partners, at));
            } else if token.is_word("else") {
                let behind = behind_else(body, partners, at);
                // The `else` of a block that the way began in is not on it.
                if at > conditional || conditional == begin {
                    at = behind;
                    continue;
                }
                conditional = conditional.max(behind);
            } else if ["exit", "drop", "return"].iter().any(|word| token.is_word(word)) {
                if !is_conditional {
                    return if token.is_word("return") { End::Back } else { End::Exit };
                }
            } else if let Some(name) = called(body, at) {
                let named = self.named.get(name).copied().filter(|named| !self.is_entered[*named]);
                if let Some(named) = named.filter(|_| depth < limits::IMPORT_CALLS_DEEP) {
                    self.is_entered[named] = true;
                    if self.walk(named, 0, None, depth + 1) == End::Exit && !is_conditional {
                        return End::Exit;
                    }
                }
            } else if is_call(body, at) {
                self.passed.push((number, at));
            }
            at += 1;
        }
        End::Back
    }
}

fn is_for_requests(route: &Route) -> bool {
    ["route", "request_route"].contains(&route.kind)
}

fn is_call(body: &[Token], at: usize) -> bool {
    body[at].kind == TokenKind::Word && body.get(at + 1).is_some_and(|next| next.is_sign("("))
}

/// The NAME of a `route(NAME)` that stands here.
fn called(body: &[Token], at: usize) -> Option<&str> {
    (body[at].is_word("route") && is_call(body, at))
        .then(|| body.get(at + 2))?
        .map(|name| &*name.text)
}

/// Where the statement of an `if (…)` ends.
fn behind_condition(body: &[Token], partners: &[Option<usize>], at: usize) -> usize {
    match partners.get(at + 1).copied().flatten() {
        Some(end) => statement(body, partners, end + 1).1,
        None => at,
    }
}

fn behind_else(body: &[Token], partners: &[Option<usize>], at: usize) -> usize {
    if body.get(at + 1).is_some_and(|next| next.is_word("if")) {
        behind_condition(body, partners, at + 1)
    } else {
        statement(body, partners, at + 1).1
    }
}
