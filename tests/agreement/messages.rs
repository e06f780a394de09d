//! The messages of RFC 4475 and RFC 5118, every prefix of each, and each with one byte missing or
//! doubled.

use std::path::Path;

use crate::call;
use crate::reading::assert_same;
use crate::relay::{CALLER, Options, Relay};

/// All files, those of RFC 5118 with the line ends that they would have on the wire.
pub(crate) fn torture() -> Vec<(String, Vec<u8>)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut all = Vec::new();
    for folder in ["rfc4475", "rfc5118"] {
        for entry in std::fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            if folder == "rfc5118" {
                bytes = String::from_utf8(bytes).unwrap().replace('\n', "\r\n").into_bytes();
            }
            all.push((path.file_name().unwrap().to_string_lossy().into_owned(), bytes));
        }
    }
    all.sort();
    assert_eq!(all.len(), 62);
    all
}

#[test]
fn every_torture_message_and_every_prefix_of_it_is_read_alike_and_keeps_the_law() {
    let mut relay = Relay::new(Options::default());
    let mut well_formed = Vec::new();
    for (name, bytes) in torture() {
        for len in 0..bytes.len() {
            assert_same(&bytes[..len]);
            relay.send(CALLER, &bytes[..len]);
        }
        if assert_same(&bytes).fault.is_none() {
            well_formed.push(name);
        }
    }
    println!("{} of 62 are well-formed: {well_formed:?}", well_formed.len());
    assert!(well_formed.len() > 35);
}

#[test]
fn every_prefix_of_a_call_keeps_the_law() {
    let mut relay = Relay::new(Options::default());
    for (_, bytes) in call::messages(&mut relay) {
        for len in 0..bytes.len() {
            relay.send(CALLER, &bytes[..len]);
        }
    }
}

#[test]
fn one_byte_less_or_twice_is_read_alike() {
    for (name, bytes) in torture() {
        // These have every field that is read, in many spellings, and are short.
        if !["wsinv.dat", "mpart01.dat", "unreason.dat", "inv2543.dat"].contains(&name.as_str()) {
            continue;
        }
        for at in 0..bytes.len() {
            let mut less = bytes.clone();
            less.remove(at);
            assert_same(&less);
            let mut twice = bytes.clone();
            twice.insert(at, bytes[at]);
            assert_same(&twice);
        }
    }
}

#[test]
fn a_name_with_the_hash_of_another_is_another() {
    let bytes = b"INVITE sip:user@example.com SIP/2.0\r\nx-Forwards: 254\r\n\
        To: sip:j.user@example.com\r\nFrom: sip:caller@exa";
    assert_same(bytes);
    Relay::new(Options::default()).send(CALLER, bytes);
}

#[test]
fn the_bounds_of_a_message_are_read_alike() {
    let message = |rows: &str, via: &str, to: &str| {
        format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx{via}\r\nFrom: <sip:a@b>;tag=a\r\n\
             To: <sip:b@c>{to}\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n{rows}\r\n"
        )
    };
    let (row, fold, parameter) = ("x:\r\n", "x:\r\n \r\n", ";x");
    let call_id = |len: usize| {
        message("", "", "").replace("Call-ID: c", &format!("Call-ID: {}", "c".repeat(len)))
    };
    let branch = |len: usize| {
        message("", "", "").replace("z9hG4bKx", &format!("z9hG4bK{}", "x".repeat(len - 7)))
    };
    let rows: [(&str, String, bool); 13] = [
        ("1,024 lines", message(&row.repeat(1_019), "", ""), true),
        ("one more", message(&row.repeat(1_020), "", ""), false),
        ("a fold is a line", message(&(fold.repeat(509) + row), "", ""), true),
        ("one fold more", message(&fold.repeat(510), "", ""), false),
        ("256 parameters of a Via", message("", &parameter.repeat(255), ""), true),
        ("one more", message("", &parameter.repeat(256), ""), false),
        ("and of To", message("", "", &parameter.repeat(257)), false),
        ("a tag of 4,096 bytes", message("", "", &format!(";tag={}", "t".repeat(4_096))), true),
        ("one more", message("", "", &format!(";tag={}", "t".repeat(4_097))), false),
        ("a Call-ID of 4,096 bytes", call_id(4_096), true),
        ("one more", call_id(4_097), false),
        ("a branch of 4,096 bytes", branch(4_096), true),
        ("one more", branch(4_097), false),
    ];
    for (says, text, is_good) in rows {
        assert_eq!(assert_same(text.as_bytes()).fault.is_none(), is_good, "{says}");
    }
}
