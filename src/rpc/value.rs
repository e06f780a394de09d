//! The values of requests and answers: Kamailio's tree of structs and arrays.

/// A value of a request or an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// Yes or no; written as 1 or 0 if the format has no such type.
    Bool(bool),
    /// A text.
    Str(String),
    /// Nothing.
    Null,
    /// Named values in this order. A name may occur more than once.
    Struct(Vec<(String, Value)>),
    /// Values in this order.
    Array(Vec<Value>),
}

impl Value {
    /// Creates a struct with these members.
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        Self::Struct(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Creates one item of an array of structs: Kamailio names each one, as in
    /// `"RECORDS":[{"SET":{…}},{"SET":{…}}]`.
    pub fn named(name: &str, value: Self) -> Self {
        Self::object([(name, value)])
    }

    /// Returns the member with this name; `None` if it has none, or is not a struct.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Struct(members) = self else { return None };
        members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Converts to text: tools send a name as a number if it looks like one.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Str(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Double(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Converts to a whole number: tools that do not know the type send a number as text.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(yes) => Some(i64::from(*yes)),
            // Whole and within i64, so that nothing is lost.
            Self::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                Some(*number as i64)
            }
            Self::Str(text) => int_of(text.trim()),
            _ => None,
        }
    }

    /// Converts to yes or no.
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(yes) => Some(*yes),
            Self::Str(text) => match text.as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => match self.int() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
        }
    }
}

/// Parses `12`, `-1`, `+1`, `0x10`, and `1e5` if it is whole.
fn int_of(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i64::from_str_radix(digits, 16).ok();
    }
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    match text.parse::<f64>() {
        Ok(number) if text.contains(['.', 'e', 'E']) => Value::Double(number).int(),
        _ => None,
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Str)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// No counter reaches 9 * 10^18.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_meant() {
        let text = |text: &str| Value::from(text);
        for (value, number) in [
            (Value::Int(-3), Some(-3)),
            (Value::Double(100_000.0), Some(100_000)),
            (Value::Double(1.5), None),
            (text("7"), Some(7)),
            (text(" +7"), Some(7)),
            (text("0x10"), Some(16)),
            (text("1e5"), Some(100_000)),
            (text("1e-5"), None),
            (text("nan"), None),
            (text("inf"), None),
            (text("1e400"), None),
            (text(""), None),
            (text("sip:1"), None),
            (Value::Null, None),
            (Value::Array(Vec::new()), None),
        ] {
            assert_eq!(value.int(), number, "{value:?}");
        }
        assert_eq!(Value::Int(47).text().as_deref(), Some("47"));
        assert_eq!(Value::Null.text(), None);
        assert_eq!([text("true"), Value::Int(0)].map(|v| v.bool()), [Some(true), Some(false)]);
        assert_eq!(text("maybe").bool(), None);
    }
}
