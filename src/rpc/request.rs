//! A request, and its answer.

use super::Value;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Its parameters.
    pub params: Params,
    /// The id for the answer; `None` if the request has none.
    pub id: Option<Id>,
    /// The pipe for the answer, without its directory; only on the FIFO.
    pub reply_name: Option<String>,
}

/// The parameters of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Params {
    /// By position.
    Positional(Vec<Value>),
    /// By name.
    Named(Vec<(String, Value)>),
}

/// Identifies an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Id {
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// `null`
    Null,
}

/// The answer to a request.
pub type Answer = Result<Value, Fault>;

/// Why a request failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Kamailio's code: 500 for most faults, 400 for what cannot be parsed, JSON-RPC's own below 0.
    pub code: i32,
    /// Kamailio's text.
    pub message: String,
    /// What is wrong in detail, and what would be right.
    pub reasons: Vec<String>,
}

impl Params {
    /// No values.
    pub const NONE: Self = Self::Positional(Vec::new());

    /// Returns the value at this position, or with this name.
    pub fn get(&self, position: usize, name: &str) -> Option<&Value> {
        match self {
            // BINRPC has no named values; a single struct is used instead.
            Self::Positional(values) => match values.as_slice() {
                [only @ Value::Struct(_)] => only.get(name),
                values => values.get(position),
            },
            Self::Named(values) => values.iter().find(|(n, _)| n == name).map(|(_, value)| value),
        }
    }

    /// Returns all values in their order.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let (positional, named): (&[Value], &[_]) = match self {
            Self::Positional(values) => (values, &[]),
            Self::Named(values) => (&[], values),
        };
        positional.iter().chain(named.iter().map(|(_, value)| value))
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Positional(values) => values.len(),
            Self::Named(values) => values.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Fault {
    /// Returns a fault with this code and text.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reasons: Vec::new() }
    }

    /// Returns Kamailio's fault for everything that has no code of its own.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    /// Returns the fault for an unknown method.
    pub fn method_not_found() -> Self {
        Self::failed("Method Not Found")
    }

    /// Returns the fault for bytes that are not JSON.
    pub fn parse_error(why: impl Into<String>) -> Self {
        Self::new(-32700, "Parse error").because([why.into()])
    }

    /// Returns the fault for JSON that is not a request.
    pub fn invalid_request(why: impl Into<String>) -> Self {
        Self::new(-32600, "Invalid Request").because([why.into()])
    }

    /// Adds reasons.
    #[must_use]
    pub fn because(mut self, reasons: impl IntoIterator<Item = String>) -> Self {
        self.reasons.extend(reasons);
        self
    }

    /// Returns all of it on one line.
    pub fn line(&self) -> String {
        if self.reasons.is_empty() {
            return self.message.clone();
        }
        format!("{}: {}", self.message, self.reasons.join("; "))
    }
}
