//! Rows recorded from Kamailio 5.6.3, and packets that no Kamailio would send.

use super::*;
use crate::limits;
use crate::rpc::{Answer, Fault, Value};

fn text(text: &str) -> Value {
    Value::from(text)
}

#[test]
fn as_kamailio_writes_it() {
    let cookie = 0x0102_0304;
    let dest = Value::object([("URI", text("sip:127.0.0.3:5080")), ("FLAGS", text("DX"))]);
    let rows: [(Answer, &[u8]); 9] = [
        (
            Ok(text("kamailio 5.6.3 (x86_64/linux) ")),
            b"\xa1\x13!\x01\x02\x03\x04\x91\x1fkamailio 5.6.3 (x86_64/linux) \0",
        ),
        (
            Err(Fault::failed("command nope not found")),
            b"\xa13\x1c\x01\x02\x03\x04 \x01\xf4\x91\x17command nope not found\0",
        ),
        (
            Ok(Value::object([("hashid", Value::Int(109)), ("slot", Value::Int(4))])),
            b"\xa1\x13\x14\x01\x02\x03\x04\x03uhashid\0\x10mUslot\0\x10\x04\x83",
        ),
        (Ok(Value::Array(vec![text("a"), text("b")])), b"\xa1\x13\x06\x01\x02\x03\x04!a\0!b\0"),
        (Ok(Value::Array(Vec::new())), b"\xa1\x13\0\x01\x02\x03\x04"),
        (
            Ok(Value::object([
                ("shmem.fragments", Value::Double(3.0)),
                ("s.free_size", Value::Double(30_863_616.0)),
            ])),
            b"\xa1\x13\x2b\x01\x02\x03\x04\x03\x95\x10shmem.fragments\0\"\x0b\xb8\x95\x0cs.free_size\0R\x07/\x9dh\0\x83",
        ),
        (
            Ok(Value::object([("MAXLOAD", Value::Int(0)), ("DUID", Value::Null)])),
            b"\xa1\x13\x23\x01\x02\x03\x04\x03\x95\x08MAXLOAD\0\0UDUID\0\x91\x0e<null string>\0\x83",
        ),
        (
            Ok(Value::object([("T", Value::Array(vec![Value::named("D", dest)]))])),
            b"\xa1\x13\x31\x01\x02\x03\x04\x03%T\0\x03%D\0\x03EURI\0\x91\x13sip:127.0.0.3:5080\0eFLAGS\x001DX\0\x83\x83\x83",
        ),
        (
            Ok(Value::Array(vec![Value::Int(-1), Value::Int(1 << 31)])),
            b"\xa1\x13\x0c\x01\x02\x03\x04\x40\xff\xff\xff\xff\x62\x01\xf4\0\0\0\0",
        ),
    ];
    for (given, wants) in rows {
        assert_eq!(
            answer(&given, cookie).escape_ascii().to_string(),
            wants.escape_ascii().to_string()
        );
        let (packet, length) = decode(wants).unwrap().unwrap();
        assert_eq!((packet.cookie, length), (cookie, wants.len()), "{given:?}");
        for end in 0..wants.len() {
            assert_eq!(decode(&wants[..end]), Ok(None), "{given:?}, {end} bytes");
        }
    }
}

#[test]
fn a_request_of_kamcmd() {
    let bytes = b"\xa1\x03\x14\x01\x02\x03\x04\x91\x12dispatcher.reload\0";
    let wants = Packet {
        kind: PacketType::Request,
        cookie: 0x0102_0304,
        records: vec![text("dispatcher.reload")],
    };
    assert_eq!(decode(bytes), Ok(Some((wants, bytes.len()))));
    assert_eq!(request("dispatcher.reload", &[], 0x0102_0304), bytes);
}

#[test]
fn what_is_written_is_read_again() {
    let values = vec![
        Value::Int(-5),
        Value::Int(0),
        Value::Int(i32::MAX.into()),
        Value::Double(-1.5),
        Value::Double(4e12),
        text(""),
        text("seven77"),
        text(&"long".repeat(100)),
        Value::Struct(vec![("a".into(), Value::Int(1)), ("a".into(), text("b"))]),
    ];
    let bytes = request("m", &values, 7);
    let (packet, _) = decode(&bytes).unwrap().unwrap();
    assert_eq!(packet.records[1..], values);
    // kamcmd cannot read arrays: their items become members, and get a name if they have none.
    let array = Value::Array(vec![Value::Int(1), Value::named("n", text("x"))]);
    let (packet, _) = decode(&request("m", &[array], 7)).unwrap().unwrap();
    let wants = Value::object([("item", Value::Int(1)), ("n", text("x"))]);
    assert_eq!(packet.records[1], wants);
}

#[test]
fn what_is_no_packet() {
    let deep = |levels: usize| {
        let payload = [vec![4; levels], vec![0x84; levels]].concat();
        [vec![MAGIC, 0x00, payload.len() as u8, 1], payload].concat()
    };
    assert!(decode(&deep(16)).unwrap().is_some());
    for (bytes, has_packet) in [
        (b"{\"jsonrpc\"".to_vec(), false),
        (vec![0xa2], false),
        (vec![MAGIC, 0x20], false),
        (vec![MAGIC, 0x0c, 0xff, 0xff, 0xff, 0xff, 0], false),
        (deep(40), true),
        // Truncated, an end without a start, unknown types, an integer of seven bytes.
        (vec![MAGIC, 0, 1, 1, 0x10], true),
        (vec![MAGIC, 0, 1, 1, 0x83], true),
        (vec![MAGIC, 0, 1, 1, 0x03], true),
        (vec![MAGIC, 0, 2, 1, 0x03, 0x00], true),
        (vec![MAGIC, 0, 1, 1, 0x0f], true),
        (vec![MAGIC, 0, 8, 1, 0x70, 0, 0, 0, 0, 0, 0, 0], true),
        (vec![MAGIC, 0, 6, 1, 0xd1, 0, 0, 0, 0, 0], true),
        (vec![MAGIC, 0, 2, 1, 0x11, 0xff], true),
    ] {
        let broken = decode(&bytes).unwrap_err();
        assert_eq!(broken.packet, has_packet.then_some((1, bytes.len())), "{bytes:?}");
    }
    let long = limits::BINRPC_REQUEST_BYTES_MAX + 1;
    let long = [vec![MAGIC, 0x0c], (long as u32).to_be_bytes().to_vec(), vec![0]].concat();
    assert!(decode(&long).is_err());
}
