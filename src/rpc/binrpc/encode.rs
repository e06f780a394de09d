//! Encodes a packet.

use super::{DOUBLE, INT, MAGIC, NAME, PacketType, STRING, STRUCT, THOUSANDTHS};
use crate::rpc::{Answer, Fault, Value};

/// Returns a packet with this answer.
pub fn answer(answer: &Answer, cookie: u32) -> Vec<u8> {
    match answer {
        // Instead of an array, BINRPC sends one record after the other.
        Ok(Value::Array(items)) => packet(PacketType::Reply, cookie, items),
        Ok(value) => packet(PacketType::Reply, cookie, std::slice::from_ref(value)),
        Err(fault) => packet(PacketType::Fault, cookie, &of_fault(fault)),
    }
}

/// Returns a packet that calls a method.
pub fn request(method: &str, values: &[Value], cookie: u32) -> Vec<u8> {
    let mut records = vec![Value::from(method)];
    records.extend_from_slice(values);
    packet(PacketType::Request, cookie, &records)
}

fn of_fault(fault: &Fault) -> [Value; 2] {
    [Value::Int(fault.code.into()), fault.line().into()]
}

fn packet(kind: PacketType, cookie: u32, records: &[Value]) -> Vec<u8> {
    let mut payload = Vec::new();
    for record in records {
        value(&mut payload, record);
    }
    // The length has four bytes at most; no answer reaches 4 GiB.
    let length = significant(payload.len() as u64);
    let cookie = cookie.to_be_bytes();
    let lengths = (kind as u8) << 4 | (length.len().max(1) as u8 - 1) << 2 | 3;
    let mut packet = vec![MAGIC, lengths];
    packet.extend(if length.is_empty() { &[0] } else { length.as_slice() });
    packet.extend(cookie);
    packet.append(&mut payload);
    packet
}

fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Int(number) => int(out, *number),
        Value::Bool(yes) => int(out, i64::from(*yes)),
        Value::Double(number) => double(out, *number),
        Value::Str(text) => string(out, STRING, text),
        Value::Null => string(out, STRING, "<null string>"),
        Value::Struct(members) => {
            out.push(STRUCT);
            for (name, value) in members {
                member(out, name, value);
            }
            out.push(0x80 | STRUCT);
        }
        Value::Array(items) => array(out, items),
    }
}

fn member(out: &mut Vec<u8>, name: &str, member: &Value) {
    string(out, NAME, name);
    value(out, member);
}

/// Kamailio writes an array of named structs as one struct that repeats the name. Items without a
/// name get one, because `kamcmd` cannot read arrays.
fn array(out: &mut Vec<u8>, items: &[Value]) {
    out.push(STRUCT);
    for item in items {
        match item {
            Value::Struct(members) if members.len() == 1 => {
                member(out, &members[0].0, &members[0].1);
            }
            _ => member(out, "item", item),
        }
    }
    out.push(0x80 | STRUCT);
}

/// An integer has 32 bits; a wider one is sent as a double, which is exact to 9 * 10^15.
#[allow(clippy::cast_precision_loss)]
fn int(out: &mut Vec<u8>, number: i64) {
    match i32::try_from(number) {
        Ok(number) => record(out, INT, &significant(number.cast_unsigned().into())),
        Err(_) => double(out, number as f64),
    }
}

fn double(out: &mut Vec<u8>, number: f64) {
    // What does not fit becomes the nearest number that does; NaN becomes 0.
    let thousandths = (number * THOUSANDTHS) as i64;
    record(out, DOUBLE, &significant(thousandths.cast_unsigned()));
}

/// A zero byte ends a text, so the text itself must not contain one.
fn string(out: &mut Vec<u8>, kind: u8, text: &str) {
    let mut bytes: Vec<u8> = text.bytes().filter(|byte| *byte != 0).collect();
    bytes.push(0);
    record(out, kind, &bytes);
}

fn record(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    if value.len() < 8 {
        out.push((value.len() as u8) << 4 | kind);
    } else {
        let length = significant(value.len() as u64);
        out.push(0x80 | (length.len() as u8) << 4 | kind);
        out.extend(length);
    }
    out.extend_from_slice(value);
}

/// Returns the bytes of a number without leading zeros; none for 0.
fn significant(number: u64) -> Vec<u8> {
    number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}
