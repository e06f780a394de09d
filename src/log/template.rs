//! The template of a dispatch line: text with Kamailio's pseudo-variables, checked at the start.

use std::fmt::Write;

use thiserror::Error;

use super::dispatch::{DispatchRecord, Value};
use super::uri;
use crate::limits;
use crate::transaction::Left;
use crate::words::did_you_mean;

/// A checked dispatch line with Kamailio's pseudo-variables.
///
/// `$ru $rU $rd $rp` are the Request-URI, its user, host and port; `$fu $fU $fd` and `$tu $tU $td`
/// the URIs of From and To; `$du $dd $dp` the destination; `$ci` the Call-ID, `$rm` the method,
/// `$si $sp` the source's address and port, `$pr` the transport, `$$` a dollar sign. For a try that was
/// left, `$why` is the reason and `$ms` how long it took. `$(name)` is the same as `$name` and may be
/// followed by letters. A missing value is written `<null>`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    items: Vec<Item>,
}

/// Why a text is not a template.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TemplateError {
    /// The text is empty.
    #[error("an empty line: {}", self.right())]
    Empty,
    /// Longer than [`limits::DISPATCH_TEMPLATE_BYTES_MAX`].
    #[error("a line of {0} bytes: {right}", right = self.right())]
    TooLong(usize),
    /// A line end or another control character.
    #[error("{0:?} in the line: {right}", right = self.right())]
    Control(char),
    /// A dollar sign without a name.
    #[error("a dollar sign without a name: {}", self.right())]
    Bare,
    /// Not a pseudo-variable that we have.
    #[error("{0:?} is not a pseudo-variable: {right}", right = self.right())]
    Unknown(String),
}

impl TemplateError {
    /// Returns what is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::Empty => "an empty line".into(),
            Self::TooLong(bytes) => format!("a line of {bytes} bytes"),
            Self::Control(character) => format!("{character:?} in the line"),
            Self::Bare => "a dollar sign without a name".into(),
            Self::Unknown(name) => format!("{name:?} is not a pseudo-variable"),
        }
    }

    /// Returns what would be right.
    pub fn right(&self) -> String {
        match self {
            Self::Empty => "write a template such as \"going to <$ru> via <$du>\"".into(),
            Self::TooLong(_) => {
                let max = limits::DISPATCH_TEMPLATE_BYTES_MAX;
                format!("write at most {max}")
            }
            Self::Control(_) => "write one line; its end is added".into(),
            Self::Bare => "write $$ for a dollar sign".into(),
            Self::Unknown(name) => {
                let known =
                    VARIABLES.iter().map(|(name, _)| format!("${name}")).collect::<Vec<_>>();
                let known = known.iter().map(String::as_str).collect::<Vec<_>>();
                // Letters right after a name belong to it, as in Kamailio.
                let longest = known.iter().filter(|known| name.starts_with(**known)).max();
                match longest {
                    Some(known) => format!("write $({}) before letters", &known[1..]),
                    None => did_you_mean(name, &known),
                }
            }
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Item {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Variable {
    RequestUri,
    RequestUser,
    RequestHost,
    RequestPort,
    DestinationUri,
    DestinationHost,
    DestinationPort,
    FromUri,
    FromUser,
    FromHost,
    ToUri,
    ToUser,
    ToHost,
    CallId,
    Method,
    SourceAddress,
    SourcePort,
    Transport,
    Why,
    AfterMs,
}

impl Template {
    /// Parses a template. A line end at its end is dropped, because `xlog` lines have one.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let text = text.strip_suffix("\\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text);
        if text.len() > limits::DISPATCH_TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong(text.len()));
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            return Err(TemplateError::Control(control));
        }
        let mut items = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            push_text(&mut items, &rest[..dollar]);
            let after = &rest[dollar + 1..];
            if let Some(tail) = after.strip_prefix('$') {
                push_text(&mut items, "$");
                rest = tail;
                continue;
            }
            let (name, tail) = if let Some(inside) = after.strip_prefix('(') {
                inside
                    .split_once(')')
                    .ok_or_else(|| TemplateError::Unknown(format!("$({inside}")))?
            } else {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                after.split_at(end.unwrap_or(after.len()))
            };
            if name.is_empty() {
                return Err(TemplateError::Bare);
            }
            let variable = VARIABLES.iter().find(|(known, _)| *known == name);
            let (_, variable) =
                variable.ok_or_else(|| TemplateError::Unknown(format!("${name}")))?;
            items.push(Item::Variable(*variable));
            rest = tail;
        }
        push_text(&mut items, rest);
        if items.is_empty() {
            return Err(TemplateError::Empty);
        }
        Ok(Self { items })
    }

    /// Appends the line for `record`, without a line end. Bytes from the network that are not
    /// printable ASCII, and backslashes, are written `\xNN`.
    pub fn format(&self, record: &DispatchRecord, line: &mut String) {
        for item in &self.items {
            match item {
                Item::Text(text) => line.push_str(text),
                Item::Variable(variable) => variable.format(record, line),
            }
        }
    }
}

fn push_text(items: &mut Vec<Item>, text: &str) {
    if let Some(Item::Text(last)) = items.last_mut() {
        last.push_str(text);
    } else if !text.is_empty() {
        items.push(Item::Text(text.into()));
    }
}

impl Variable {
    fn format(self, record: &DispatchRecord, line: &mut String) {
        match self {
            Self::RequestUri => whole(&record.request_uri, line),
            Self::RequestUser => part(uri::user(record.request_uri.bytes()), line),
            Self::RequestHost => part(uri::host(record.request_uri.bytes()), line),
            Self::RequestPort => port(record.request_uri.bytes(), line),
            Self::DestinationUri => whole(&record.destination, line),
            Self::DestinationHost => part(uri::host(record.destination.bytes()), line),
            Self::DestinationPort => port(record.destination.bytes(), line),
            Self::FromUri => whole(&record.from_uri, line),
            Self::FromUser => part(uri::user(record.from_uri.bytes()), line),
            Self::FromHost => part(uri::host(record.from_uri.bytes()), line),
            Self::ToUri => whole(&record.to_uri, line),
            Self::ToUser => part(uri::user(record.to_uri.bytes()), line),
            Self::ToHost => part(uri::host(record.to_uri.bytes()), line),
            Self::CallId => whole(&record.call_id, line),
            Self::Method => whole(&record.method, line),
            // Writing to a string cannot fail.
            Self::SourceAddress => _ = write!(line, "{}", record.source.ip()),
            Self::SourcePort => _ = write!(line, "{}", record.source.port()),
            Self::Transport => line.push_str("udp"),
            Self::Why => of_left(record, line, |(why, _)| why.to_string()),
            Self::AfterMs => of_left(record, line, |(_, ms)| ms.to_string()),
        }
    }
}

fn of_left(record: &DispatchRecord, line: &mut String, value: impl Fn((Left, u32)) -> String) {
    let value = record.left.map(value);
    part(value.as_deref().map(str::as_bytes), line);
}

fn whole<const N: usize>(value: &Value<N>, line: &mut String) {
    part(Some(value.bytes()).filter(|bytes| !bytes.is_empty()), line);
    if value.is_cut() {
        line.push_str("...");
    }
}

fn part(bytes: Option<&[u8]>, line: &mut String) {
    match bytes {
        Some(bytes) => escape(bytes, line),
        None => line.push_str("<null>"),
    }
}

/// Writes the port, or 5060 if there is none.
fn port(uri: &[u8], line: &mut String) {
    part(Some(uri::port(uri).unwrap_or(b"5060")), line);
}

fn escape(bytes: &[u8], line: &mut String) {
    for byte in bytes {
        if matches!(byte, b' '..=b'~') && *byte != b'\\' {
            line.push(char::from(*byte));
        } else {
            let _ = write!(line, "\\x{byte:02X}");
        }
    }
}

const VARIABLES: &[(&str, Variable)] = &[
    ("ru", Variable::RequestUri),
    ("rU", Variable::RequestUser),
    ("rd", Variable::RequestHost),
    ("rp", Variable::RequestPort),
    ("du", Variable::DestinationUri),
    ("dd", Variable::DestinationHost),
    ("dp", Variable::DestinationPort),
    ("fu", Variable::FromUri),
    ("fU", Variable::FromUser),
    ("fd", Variable::FromHost),
    ("tu", Variable::ToUri),
    ("tU", Variable::ToUser),
    ("td", Variable::ToHost),
    ("ci", Variable::CallId),
    ("rm", Variable::Method),
    ("si", Variable::SourceAddress),
    ("sp", Variable::SourcePort),
    ("pr", Variable::Transport),
    ("proto", Variable::Transport),
    ("why", Variable::Why),
    ("ms", Variable::AfterMs),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::Dispatched;

    fn record(request_uri: &[u8]) -> DispatchRecord {
        let dispatched = Dispatched {
            method: b"INVITE",
            request_uri,
            from: b"\"A\" <sip:alice@a.example:5070>;tag=1",
            to: b"<sip:bob@b.example>",
            call_id: b"1@a",
            destination: "sip:192.0.2.9:5080",
            slot: crate::destination::Slot(0),
            source: "192.0.2.1:5061".parse().unwrap(),
            is_invite: true,
        };
        DispatchRecord::new(&dispatched)
    }

    #[test]
    fn lines() {
        for (template, wants) in [
            (
                "DISPATCH: going to <$ru> via <$du>",
                "DISPATCH: going to <sip:bob@b.example;x> via <sip:192.0.2.9:5080>",
            ),
            ("$rU $rd $rp $dd $dp", "bob b.example 5060 192.0.2.9 5080"),
            (
                "$fu $fU $fd|$tu $tU $td",
                "sip:alice@a.example:5070 alice a.example|sip:bob@b.example bob b.example",
            ),
            ("$rm $ci $si:$sp/$proto\\n", "INVITE 1@a 192.0.2.1:5061/udp"),
            ("$(rU)s $$5\n", "bobs $5"),
            ("$why $ms", "<null> <null>"),
        ] {
            let mut line = String::new();
            Template::parse(template).unwrap().format(&record(b"sip:bob@b.example;x"), &mut line);
            assert_eq!(line, wants, "{template}");
        }
    }

    #[test]
    fn what_is_absent_hostile_or_long() {
        let long = [b"sip:".as_slice(), &[b'x'; 300]].concat();
        let cut = format!("sip:{}... <null>", "x".repeat(252));
        for (uri, wants) in [
            (b"sip:b".as_slice(), "sip:b <null>"),
            (b"sip:a\r\n\x1b[2J%s@b", "sip:a\\x0D\\x0A\\x1B[2J%s@b a\\x0D\\x0A\\x1B[2J%s"),
            (b"sip:\xc3\xa9\\@b", "sip:\\xC3\\xA9\\x5C@b \\xC3\\xA9\\x5C"),
            (b"", "<null> <null>"),
            (&long, &cut),
        ] {
            let mut line = String::new();
            Template::parse("$ru $rU").unwrap().format(&record(uri), &mut line);
            assert_eq!(line, wants);
        }
    }

    #[test]
    fn mistakes() {
        for (template, wants) in [
            ("", "an empty line: write a template"),
            ("\n", "an empty line: write a template"),
            ("$rx", "\"$rx\" is not a pseudo-variable: did you mean \"$ru\"?"),
            ("$rufoo", "\"$rufoo\" is not a pseudo-variable: write $(ru) before letters"),
            ("$(ru", "\"$(ru\" is not a pseudo-variable: "),
            ("$(ru{s.len})", "write $(ru) before letters"),
            ("5 $", "a dollar sign without a name: write $$"),
            ("$()", "a dollar sign without a name: write $$"),
            ("a\tb", "'\\t' in the line: write one line"),
        ] {
            let error = Template::parse(template).unwrap_err();
            let told = error.to_string();
            assert!(told.contains(wants), "{template}: {told}");
            assert_eq!(told, format!("{}: {}", error.what(), error.right()));
        }
        let long = "x".repeat(limits::DISPATCH_TEMPLATE_BYTES_MAX + 1);
        assert_eq!(Template::parse(&long), Err(TemplateError::TooLong(long.len())));
    }

    proptest! {
        #[test]
        fn any_template_and_any_bytes_make_one_line(template in "[ $(){}a-z]{0,20}", uri: Vec<u8>) {
            if let Ok(template) = Template::parse(&template) {
                let mut line = String::new();
                template.format(&record(&uri), &mut line);
                prop_assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            }
        }
    }
}
