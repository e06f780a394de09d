//! JSON-RPC 2.0 as Kamailio's tools write and read it.
//!
//! Three things follow Kamailio instead of the standard: a request without an `id` is answered,
//! too; an unknown method is a fault 500; and the members of an answer are in the order that people
//! grep for: `jsonrpc`, `result` or `error`, `id`.

mod fix;
mod write;

use serde_json::Value as Json;

use super::{Fault, Frame, Id, Params, Request, Value};

pub use write::{Style, answer, line};

/// A text that is not a request, and where to send the error.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// What is wrong with it.
    pub fault: Fault,
    /// The id for the answer.
    pub id: Option<Id>,
    /// The pipe that the client reads the answer from.
    pub reply_name: Option<String>,
}

/// Parses a request.
///
/// # Errors
/// What is wrong with it and, as far as the text shows, where to send the error.
pub fn request(bytes: &[u8]) -> Result<Request, Box<Refused>> {
    let refused = |why: String| Box::new(refuse(bytes, &why));
    let text = std::str::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
    let json: Json =
        serde_json::from_str(&fix::fix(text)).map_err(|error| refused(error.to_string()))?;
    // A bare word has become a string.
    if json.is_string() {
        return Err(refused("write one JSON object".to_owned()));
    }
    of_json(&json)
}

/// Parses a request that was cut out of a stream.
///
/// # Errors
/// As for [`request`]; also if it is incomplete, or is too long.
pub fn of_frame(frame: Frame) -> Result<Request, Box<Refused>> {
    match frame {
        Frame::Whole(bytes) => request(&bytes),
        Frame::Broken(bytes, why) => Err(Box::new(refuse(&bytes, why))),
    }
}

/// Returns the error for a text that is not JSON, has no end or is too long, and where to send it,
/// as far as the text shows.
pub fn refuse(bytes: &[u8], why: &str) -> Refused {
    let text = String::from_utf8_lossy(bytes);
    let reply_name = salvage(&text, "reply_name").map(|word| word.trim_matches('"').to_owned());
    let id = salvage(&text, "id").and_then(|word| id(&serde_json::from_str(word).ok()?).ok()?);
    Refused { fault: Fault::parse_error(why), id, reply_name }
}

fn of_json(json: &Json) -> Result<Request, Box<Refused>> {
    let read_id = json.get("id").map_or(Ok(None), id);
    let reply_name = json.get("reply_name").and_then(Json::as_str).map(str::to_owned);
    let refused = |fault| {
        let id = read_id.clone().unwrap_or(None);
        Box::new(Refused { fault, id, reply_name: reply_name.clone() })
    };
    let invalid = |why: &str| refused(Fault::invalid_request(why));
    if json.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
        return Err(invalid("write one object with \"jsonrpc\": \"2.0\""));
    }
    let Some(method) = json.get("method").and_then(Json::as_str) else {
        return Err(invalid("\"method\" is missing, or no string"));
    };
    let params = match json.get("params") {
        None | Some(Json::Null) => Params::NONE,
        Some(Json::Array(values)) => Params::Positional(values.iter().map(value).collect()),
        Some(Json::Object(members)) => {
            Params::Named(members.iter().map(|(n, v)| (n.clone(), value(v))).collect())
        }
        Some(_) => return Err(invalid("\"params\" is neither an array nor an object")),
    };
    if read_id.is_err() {
        return Err(invalid("\"id\" is neither a number nor a string nor null"));
    }
    if json.get("store_path").is_some_and(|path| !path.is_null()) {
        let why = "the relay writes no files for clients: leave out store_path and read the answer";
        return Err(refused(Fault::failed("store_path Refused").because([why.to_owned()])));
    }
    let id = read_id.unwrap_or(None);
    Ok(Request { method: method.to_owned(), params, id, reply_name })
}

fn id(json: &Json) -> Result<Option<Id>, ()> {
    match json {
        Json::Number(number) => Ok(Some(Id::Number(number.to_string()))),
        Json::String(text) => Ok(Some(Id::Text(text.clone()))),
        Json::Null => Ok(Some(Id::Null)),
        _ => Err(()),
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::Bool(*yes),
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(members) => {
            Value::Struct(members.iter().map(|(n, v)| (n.clone(), value(v))).collect())
        }
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(broken)) => Value::Double(broken),
            (None, None) => Value::Str(number.to_string()),
        },
    }
}

/// Returns the word or number after the last `"name":` of a text that is not JSON. Without an
/// answer, `kamctl` would wait forever.
fn salvage<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let quoted = format!("\"{name}\"");
    let (_, rest) = text.rsplit_once(&quoted)?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = if let Some(inner) = rest.strip_prefix('"') {
        inner.find('"')? + 2
    } else {
        rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Request {
        request(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_kamctl_writes() {
        let request = read(
            "{\"jsonrpc\": \"2.0\", \"method\": \"dispatcher.set_state\", \
             \"params\": [\"ip\", 2, \"sip:10.0.0.1:5060\", 1e5, 0x10, nan, -inf, 007, +4179], \
             \"reply_name\": \"kamailio_receiver_4712\", \"id\": 4712}",
        );
        let text = |text: &str| Value::from(text);
        let wants = ["1e5", "0x10", "nan", "-inf", "007", "+4179"].map(text);
        let Params::Positional(params) = request.params else { panic!("by position") };
        assert_eq!(params[..3], [text("ip"), Value::Int(2), text("sip:10.0.0.1:5060")]);
        assert_eq!(params[3..], wants);
        assert_eq!(params[3].int(), Some(100_000));
        assert_eq!(request.reply_name.as_deref(), Some("kamailio_receiver_4712"));
        assert_eq!(request.id, Some(Id::Number("4712".into())));
    }

    #[test]
    fn values_by_name_and_ids_of_all_kinds() {
        let request =
            read(r#"{"jsonrpc":"2.0","method":"m","params":{"dry_run":true,"set":1.5},"id":"x"}"#);
        assert_eq!(request.params.get(7, "dry_run"), Some(&Value::Bool(true)));
        assert_eq!(request.params.get(0, "set"), Some(&Value::Double(1.5)));
        assert_eq!(request.id, Some(Id::Text("x".into())));
        assert_eq!(read(r#"{"jsonrpc":"2.0","method":"m","id":null}"#).id, Some(Id::Null));
        assert_eq!(read(r#"{"jsonrpc":"2.0","method":"m"}"#).id, None);
    }

    #[test]
    fn what_is_no_request_is_told_to_who_waits() {
        let number = |text: &str| Some(Id::Number(text.into()));
        for (text, code, id, reply_name) in [
            ("{", -32700, None, None),
            (r#"{"params": ["a"b"], "reply_name": "r", "id": 7}"#, -32700, number("7"), Some("r")),
            (r#"{"reply_name": "r", "id": 7, "x": [}"#, -32700, number("7"), Some("r")),
            ("[]", -32600, None, None),
            (r#"{"method":"m","id":1}"#, -32600, number("1"), None),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600, number("1"), None),
            (r#"{"jsonrpc":"2.0","method":"m","id":{}}"#, -32600, None, None),
            (r#"{"jsonrpc":"2.0","method":"m","params":1,"id":1}"#, -32600, number("1"), None),
            (r#"{"jsonrpc":"2.0","method":"m","store_path":"/x","id":1}"#, 500, number("1"), None),
        ] {
            let refused = request(text.as_bytes()).unwrap_err();
            assert_eq!(refused.fault.code, code, "{text}");
            assert_eq!((refused.id, refused.reply_name.as_deref()), (id, reply_name), "{text}");
        }
        assert_eq!(request(b"{\"a\":\"\xff\"}").unwrap_err().fault.code, -32700);
    }
}
