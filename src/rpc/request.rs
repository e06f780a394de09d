//! A request, and what answers it.

use super::Value;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is to be done.
    pub method: String,
    /// With what.
    pub params: Params,
    /// What the answer is known by; `None` when there is none.
    pub id: Option<Id>,
    /// The pipe that waits for the answer, without its directory; of the FIFO only.
    pub reply_name: Option<String>,
}

/// The values of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Params {
    /// By position.
    Positional(Vec<Value>),
    /// By name.
    Named(Vec<(String, Value)>),
}

/// What an answer is known by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Id {
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// `null`
    Null,
}

/// What a request is answered with.
pub type Answer = Result<Value, Fault>;

/// Why a request was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Kamailio's code: 500 for most, 400 for what is not understood, JSON-RPC's own below 0.
    pub code: i32,
    /// Kamailio's words.
    pub message: String,
    /// What is wrong in detail, and what would be right.
    pub reasons: Vec<String>,
}

impl Params {
    /// No values.
    pub const NONE: Self = Self::Positional(Vec::new());

    /// The value at this position, or with this name.
    pub fn get(&self, position: usize, name: &str) -> Option<&Value> {
        match self {
            // BINRPC has no named values; a single struct means the same.
            Self::Positional(values) => match values.as_slice() {
                [only @ Value::Struct(_)] => only.get(name),
                values => values.get(position),
            },
            Self::Named(values) => values.iter().find(|(n, _)| n == name).map(|(_, value)| value),
        }
    }

    /// All values in their order.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let (positional, named): (&[Value], &[_]) = match self {
            Self::Positional(values) => (values, &[]),
            Self::Named(values) => (&[], values),
        };
        positional.iter().chain(named.iter().map(|(_, value)| value))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Positional(values) => values.len(),
            Self::Named(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Fault {
    /// A fault with this code and words.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reasons: Vec::new() }
    }

    /// Kamailio's fault for all that has no code of its own.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    /// No method has this name.
    pub fn method_not_found() -> Self {
        Self::failed("Method Not Found")
    }

    /// The bytes are no JSON.
    pub fn parse_error(why: impl Into<String>) -> Self {
        Self::new(-32700, "Parse error").because([why.into()])
    }

    /// The JSON is no request.
    pub fn invalid_request(why: impl Into<String>) -> Self {
        Self::new(-32600, "Invalid Request").because([why.into()])
    }

    /// The same, with its reasons.
    #[must_use]
    pub fn because(mut self, reasons: impl IntoIterator<Item = String>) -> Self {
        self.reasons.extend(reasons);
        self
    }

    /// All of it on one line.
    pub fn line(&self) -> String {
        if self.reasons.is_empty() {
            return self.message.clone();
        }
        format!("{}: {}", self.message, self.reasons.join("; "))
    }
}
