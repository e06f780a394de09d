//! One call of a function in a route, with its arguments as far as the file tells them.

use super::lexer::{Place, Token};
use super::script::{Value, value, written};

/// A call of a function.
pub(super) struct Call<'t> {
    pub(super) at: usize,
    pub(super) name: &'t str,
    pub(super) arguments: Vec<&'t [Token]>,
    pub(super) place: Place,
}

impl Call<'_> {
    pub(super) fn value(&self, number: usize) -> Value {
        self.arguments.get(number).map_or(Value::Unknown, |argument| value(argument))
    }

    /// The call as it was written, its arguments without line ends.
    pub(super) fn shown(&self) -> String {
        let arguments = self.arguments.iter().map(|argument| match value(argument) {
            Value::Text(text) => format!("{text:?}"),
            _ => written(argument),
        });
        format!("{}({})", self.name, arguments.collect::<Vec<_>>().join(", "))
    }
}

/// The call whose name stands here.
pub(super) fn call<'t>(body: &'t [Token], partners: &[Option<usize>], at: usize) -> Call<'t> {
    let end = partners[at + 1].unwrap_or(at + 2).min(at + 2 + CALL_WITHIN).max(at + 2);
    let inside = body.get(at + 2..end).unwrap_or(&[]);
    let arguments = if inside.is_empty() {
        Vec::new()
    } else {
        inside.split(|token| token.is_sign(",")).collect()
    };
    Call { at, name: &body[at].text, arguments, place: body[at].place }
}

/// Tokens of one call that are looked at.
pub(super) const CALL_WITHIN: usize = 64;
