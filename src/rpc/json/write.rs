//! Writes answers as text, the way Kamailio prints them.

use std::fmt::Write as _;

use crate::rpc::{Answer, Fault, Id, Value};

/// The layout of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// On one line.
    Compact,
    /// One line for each member, indented with tabs, as `kamctl` and the scripts that parse it
    /// expect.
    Pretty,
}

/// Writes an answer; without an id if the request had none.
pub fn answer(answer: &Answer, id: Option<&Id>, style: Style) -> String {
    let mut writer = Writer { text: String::new(), style };
    writer.object(0, |writer, members| {
        members.name(writer, "jsonrpc");
        writer.string("2.0");
        match answer {
            Ok(value) => {
                members.name(writer, "result");
                writer.value(value, 1);
            }
            Err(fault) => {
                members.name(writer, "error");
                writer.value(&of_fault(fault), 1);
            }
        }
        if let Some(id) = id {
            members.name(writer, "id");
            match id {
                Id::Number(number) => writer.text.push_str(number),
                Id::Text(text) => writer.string(text),
                Id::Null => writer.text.push_str("null"),
            }
        }
    });
    writer.text
}

/// Writes a value by itself, on one line.
pub fn line(value: &Value) -> String {
    let mut writer = Writer { text: String::new(), style: Style::Compact };
    writer.value(value, 0);
    writer.text
}

fn of_fault(fault: &Fault) -> Value {
    let mut members = vec![
        ("code".to_owned(), Value::Int(fault.code.into())),
        ("message".to_owned(), Value::from(fault.message.as_str())),
    ];
    if !fault.reasons.is_empty() {
        let reasons = fault.reasons.iter().map(|reason| Value::from(reason.as_str())).collect();
        members.push(("data".to_owned(), Value::Array(reasons)));
    }
    Value::Struct(members)
}

struct Writer {
    text: String,
    style: Style,
}

/// The members of an object that is being written.
struct Members {
    depth: usize,
    is_first: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(yes) => self.text.push_str(if *yes { "true" } else { "false" }),
            Value::Int(number) => self.format(format_args!("{number}")),
            Value::Double(number) => self.double(*number),
            Value::Str(text) => self.string(text),
            Value::Struct(named) => self.object(depth, |writer, members| {
                for (name, value) in named {
                    members.name(writer, name);
                    writer.value(value, depth + 1);
                }
            }),
            Value::Array(items) => {
                self.text.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.text.push_str(if self.is_pretty() { ", " } else { "," });
                    }
                    self.value(item, depth + 1);
                }
                self.text.push(']');
            }
        }
    }

    fn object(&mut self, depth: usize, write: impl FnOnce(&mut Self, &mut Members)) {
        self.text.push('{');
        let mut members = Members { depth: depth + 1, is_first: true };
        write(self, &mut members);
        if !members.is_first {
            self.line(depth);
        }
        self.text.push('}');
    }

    /// Writes it like C's `%d`, `%f` or `%e`, whichever Kamailio uses for the number.
    fn double(&mut self, number: f64) {
        let size = number.abs();
        if !number.is_finite() {
            self.text.push_str("null");
        } else if number.fract() == 0.0 && size < 1e60 {
            self.format(format_args!("{number:.0}"));
        } else if !(1e-6..=1e9).contains(&size) {
            let text = format!("{number:.6e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let sign = if exponent.starts_with('-') { '-' } else { '+' };
            let exponent = exponent.trim_start_matches('-');
            self.format(format_args!("{digits}e{sign}{exponent:0>2}"));
        } else {
            self.format(format_args!("{number:.6}"));
        }
    }

    fn string(&mut self, text: &str) {
        // A string can always be written as JSON.
        self.text.push_str(&serde_json::to_string(text).unwrap_or_default());
    }

    fn line(&mut self, depth: usize) {
        if self.is_pretty() {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n('\t', depth));
        }
    }

    fn is_pretty(&self) -> bool {
        self.style == Style::Pretty
    }

    fn format(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(arguments);
    }
}

impl Members {
    fn name(&mut self, writer: &mut Writer, name: &str) {
        if !self.is_first {
            writer.text.push(',');
        }
        self.is_first = false;
        writer.line(self.depth);
        writer.string(name);
        writer.text.push_str(if writer.is_pretty() { ":\t" } else { ":" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Value {
        let dest = |uri: &str| Value::named("DEST", Value::object([("URI", uri.into())]));
        let targets = Value::Array(vec![dest("sip:a"), dest("sip:b")]);
        let set = Value::object([("ID", Value::Int(1)), ("TARGETS", targets)]);
        let records = Value::Array(vec![Value::named("SET", set)]);
        Value::object([("NRSETS", Value::Int(1)), ("RECORDS", records)])
    }

    #[test]
    fn pretty_as_kamailio_prints_it() {
        let wants = "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{\n\t\t\"NRSETS\":\t1,\n\t\t\"RECORDS\":\t[{\
            \n\t\t\t\t\"SET\":\t{\n\t\t\t\t\t\"ID\":\t1,\n\t\t\t\t\t\"TARGETS\":\t[{\
            \n\t\t\t\t\t\t\t\"DEST\":\t{\n\t\t\t\t\t\t\t\t\"URI\":\t\"sip:a\"\n\t\t\t\t\t\t\t}\
            \n\t\t\t\t\t\t}, {\n\t\t\t\t\t\t\t\"DEST\":\t{\n\t\t\t\t\t\t\t\t\"URI\":\t\"sip:b\"\
            \n\t\t\t\t\t\t\t}\n\t\t\t\t\t\t}]\n\t\t\t\t}\n\t\t\t}]\n\t},\n\t\"id\":\t7\n}";
        assert_eq!(answer(&Ok(list()), Some(&Id::Number("7".into())), Style::Pretty), wants);
        let fault = Err(Fault::method_not_found());
        assert_eq!(
            answer(&fault, Some(&Id::Number("7".into())), Style::Pretty),
            "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"error\":\t{\n\t\t\"code\":\t500,\n\t\t\"message\":\t\
             \"Method Not Found\"\n\t},\n\t\"id\":\t7\n}"
        );
    }

    #[test]
    fn compact_on_one_line() {
        let text = |value: Value| answer(&Ok(value), None, Style::Compact);
        let wants = "{\"jsonrpc\":\"2.0\",\"result\":{\"NRSETS\":1,\"RECORDS\":[{\"SET\":{\"ID\":1,\
            \"TARGETS\":[{\"DEST\":{\"URI\":\"sip:a\"}},{\"DEST\":{\"URI\":\"sip:b\"}}]}}]}}";
        assert_eq!(text(list()), wants);
        let fault = Fault::new(400, "no\n").because(["\"a\"".to_owned()]);
        assert_eq!(
            answer(&Err(fault), Some(&Id::Null), Style::Compact),
            r#"{"jsonrpc":"2.0","error":{"code":400,"message":"no\n","data":["\"a\""]},"id":null}"#
        );
        for (number, wants) in [
            (0.0, "0"),
            (3_000_000_000.0, "3000000000"),
            (1.5, "1.500000"),
            (-1.5, "-1.500000"),
            (1e10 + 0.5, "1.000000e+10"),
            (1e-7, "1.000000e-07"),
            (f64::NAN, "null"),
        ] {
            let wants = format!("{{\"jsonrpc\":\"2.0\",\"result\":{wants}}}");
            assert_eq!(text(Value::Double(number)), wants);
        }
        assert!(text(Value::Array(Vec::new())).ends_with("[]}"));
        assert!(text(Value::Struct(Vec::new())).ends_with("{}}"));
    }
}
