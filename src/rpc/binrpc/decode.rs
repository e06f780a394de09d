//! Decodes a packet.

use super::{ARRAY, BYTES, DOUBLE, INT, MAGIC, NAME, PacketType, STRING, STRUCT, THOUSANDTHS};
use crate::limits::{BINRPC_DEPTH_MAX, BINRPC_REQUEST_BYTES_MAX};
use crate::rpc::Value;

/// A decoded packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// Its type.
    pub kind: PacketType,
    /// The cookie, repeated in the answer.
    pub cookie: u32,
    /// Its records.
    pub records: Vec<Value>,
}

/// Bytes that are not a packet. The rest of the stream cannot be read either, unless only the
/// payload is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// What is wrong.
    pub why: &'static str,
    /// If only the payload is wrong: the cookie, and the length of the packet.
    pub packet: Option<(u32, usize)>,
}

/// Decodes the packet at the start of these bytes and returns it with its length; `None` if it is
/// not complete yet.
///
/// # Errors
/// The bytes can never become a packet.
pub fn decode(bytes: &[u8]) -> Result<Option<(Packet, usize)>, Broken> {
    let broken = |why| Err(Broken { why, packet: None });
    if bytes.first().is_some_and(|magic| *magic != MAGIC) {
        return broken("it does not start like BINRPC");
    }
    let Some(&lengths) = bytes.get(1) else { return Ok(None) };
    let kind = match lengths >> 4 {
        0 => PacketType::Request,
        1 => PacketType::Reply,
        3 => PacketType::Fault,
        _ => return broken("a packet of unknown type"),
    };
    let length_end = 3 + usize::from(lengths >> 2 & 3);
    let header_end = length_end + 1 + usize::from(lengths & 3);
    let Some(header) = bytes.get(..header_end) else { return Ok(None) };
    let length = number(&header[2..length_end]) as usize;
    if length > BINRPC_REQUEST_BYTES_MAX {
        return broken("it is too long");
    }
    let end = header_end + length;
    let Some(payload) = bytes.get(header_end..end) else { return Ok(None) };
    let cookie = number(&header[length_end..]) as u32;
    let mut reader = Reader { rest: payload };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        match reader.value(0) {
            Ok(value) => records.push(value),
            Err(why) => return Err(Broken { why, packet: Some((cookie, end)) }),
        }
    }
    Ok(Some((Packet { kind, cookie, records }, end)))
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// What precedes a value.
struct Mark<'a> {
    kind: u8,
    is_end: bool,
    value: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        let mark = self.mark()?;
        self.value_of(&mark, depth)
    }

    fn value_of(&mut self, mark: &Mark<'a>, depth: usize) -> Result<Value, &'static str> {
        if depth > BINRPC_DEPTH_MAX {
            return Err("structs are nested too deep");
        }
        match mark.kind {
            _ if mark.is_end => Err("an end without a start"),
            INT => int(mark.value).map(Value::Int),
            DOUBLE => thousandths(mark.value).map(|number| Value::Double(number / THOUSANDTHS)),
            STRING => text(mark.value).map(Value::Str),
            BYTES => Ok(Value::Str(String::from_utf8_lossy(mark.value).into_owned())),
            STRUCT => self.members(depth),
            ARRAY => self.items(depth),
            _ => Err("a value of unknown type"),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Value, &'static str> {
        let mut members = Vec::new();
        loop {
            let mark = self.mark()?;
            match mark.kind {
                STRUCT if mark.is_end => return Ok(Value::Struct(members)),
                NAME if !mark.is_end => {
                    let name = text(mark.value)?;
                    members.push((name, self.value(depth + 1)?));
                }
                _ => return Err("a struct's member without a name"),
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<Value, &'static str> {
        let mut items = Vec::new();
        loop {
            let mark = self.mark()?;
            if mark.kind == ARRAY && mark.is_end {
                return Ok(Value::Array(items));
            }
            items.push(self.value_of(&mark, depth + 1)?);
        }
    }

    fn mark(&mut self) -> Result<Mark<'a>, &'static str> {
        let byte = self.take(1)?[0];
        let (has_length, size, kind) = (byte & 0x80 != 0, usize::from(byte >> 4 & 7), byte & 15);
        let is_end = has_length && size == 0;
        let length = if !has_length {
            size
        } else if size <= 4 {
            number(self.take(size)?) as usize
        } else {
            return Err("a length of more than four bytes");
        };
        // The members of structs and arrays follow; there is no value.
        let length = if matches!(kind, STRUCT | ARRAY) { 0 } else { length };
        Ok(Mark { kind, is_end, value: self.take(length)? })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("a truncated value")?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Reads at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Four bytes are signed, fewer are unsigned.
fn int(bytes: &[u8]) -> Result<i64, &'static str> {
    match bytes.len() {
        0..4 => Ok(number(bytes).cast_signed()),
        4 => Ok(i64::from((number(bytes) as u32).cast_signed())),
        _ => Err("an integer of more than four bytes"),
    }
}

/// Eight bytes are signed, and so are four, which come from a 32-bit number.
// A double holds 53 bits, which is what its sender had.
#[allow(clippy::cast_precision_loss)]
fn thousandths(bytes: &[u8]) -> Result<f64, &'static str> {
    match bytes.len() {
        4 => Ok(f64::from((number(bytes) as u32).cast_signed())),
        0..=8 => Ok(number(bytes).cast_signed() as f64),
        _ => Err("a double of more than eight bytes"),
    }
}

/// Reads a text that ends with a zero byte.
fn text(bytes: &[u8]) -> Result<String, &'static str> {
    let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    String::from_utf8(text.to_owned()).map_err(|_| "a text that is not UTF-8")
}
