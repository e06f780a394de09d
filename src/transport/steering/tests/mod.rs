//! Compares the program with a simple reader, both in our own machine and in the kernel's.

mod kernel;
mod machine;

use proptest::prelude::*;

use super::program::{LINES_MAX, SEARCHED_BYTES};
use crate::owners::{HASHED_BYTES, MIX, Owners};
use machine::Machine;

const WORKERS: usize = 5;

/// Returns the Call-ID by which a datagram is steered.
fn call_id(datagram: &[u8]) -> Option<&[u8]> {
    const COPIED_BYTES: usize = SEARCHED_BYTES as usize + 256;
    if datagram.len() < 32 {
        return None;
    }
    let datagram = &datagram[..datagram.len().min(COPIED_BYTES)];
    let searched = &datagram[..datagram.len().min(SEARCHED_BYTES as usize)];
    let mut starts = (1..searched.len()).filter(|at| datagram[at - 1] == b'\n');
    let after_name = starts.find_map(|start| {
        let line = &datagram[start..];
        ["call-id", "i"].iter().find_map(|name| {
            let (start, rest) = line.split_at_checked(name.len())?;
            let is_field =
                start.eq_ignore_ascii_case(name.as_bytes()) && b": \t".contains(rest.first()?);
            is_field.then_some(rest)
        })
    })?;
    let skipped = after_name.iter().take_while(|byte| b": \t\r\n".contains(byte)).count();
    let value = &after_name[skipped..];
    let len = value.iter().take_while(|byte| **byte > b' ').count();
    (skipped < 32 && len > 0).then_some(&value[..len.min(HASHED_BYTES)])
}

/// Returns the worker for this Call-ID, with all words of the hash.
fn worker_of(call_id: &[u8], owners: &Owners) -> u32 {
    let Owners { key, workers } = owners;
    let mut padded = [0; HASHED_BYTES];
    padded[..call_id.len()].copy_from_slice(call_id);
    let hash = padded
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())))
        .zip(key.factors)
        .fold(key.start, |sum, (word, factor)| sum.wrapping_add(word.wrapping_mul(factor)));
    let hash = (hash ^ hash >> 32).wrapping_mul(MIX) >> 32;
    ((hash * u64::from(*workers)) >> 32) as u32
}

fn agree(datagram: &[u8]) {
    let owners = Owners::new(WORKERS).unwrap();
    let call_id = call_id(datagram);
    let wants = call_id.map(|call_id| worker_of(call_id, &owners));
    let owner = call_id.map(|call_id| owners.of(call_id) as u32);
    assert_eq!(owner, wants, "{:?}", String::from_utf8_lossy(datagram));
    let chosen = Machine::new(&owners).choose(datagram);
    let lines = memchr::memchr_iter(b'\n', datagram).count();
    if chosen.is_none() && lines > LINES_MAX as usize {
        return;
    }
    assert_eq!(chosen, wants, "{:?}", String::from_utf8_lossy(datagram));
}

#[test]
fn which_call_id() {
    let long = "x".repeat(200);
    let rows = [
        ("Call-ID: a@b\r\n", Some("a@b")),
        ("CALL-id:a@b\r\n", Some("a@b")),
        ("i: a@b\r\n", Some("a@b")),
        ("I \t:  a@b  \r\n", Some("a@b")),
        ("call-id\t:\r\n a@b\n", Some("a@b")),
        ("Call-ID: a@b", Some("a@b")),
        ("CSeq: 1 ACK\r\nIn-Reply-To: no\r\ni:yes\r\n", Some("yes")),
        ("Subject: x\r\n i: folded\r\ni:yes\r\n", Some("yes")),
        ("Call-IDs: no\r\nCall\rID: no\r\nCall-ID: yes\r\n", Some("yes")),
        ("Contact: no\r\nCall-Info: no\r\n", None),
        ("Call-ID:\0\r\n", None),
        ("Call-ID:", None),
        ("Call-ID", None),
        ("i", None),
        (&format!("i:{}a\r\n", " ".repeat(30)), Some("a")),
        (&format!("i:{}a\r\n", " ".repeat(31)), None),
        (&format!("i: {long}\r\n"), Some(&long[..HASHED_BYTES])),
    ];
    for (fields, wants) in rows {
        let message = format!("OPTIONS sip:a@example.com SIP/2.0\r\n{fields}");
        let says = call_id(message.as_bytes()).map(|id| str::from_utf8(id).unwrap());
        assert_eq!(says, wants, "{fields:?}");
        agree(message.as_bytes());
    }
}

#[test]
fn the_end_of_what_is_searched() {
    for filler in ["x", "\n", "\r\n", "i", "Call-ID", "\ncall-i:\n", "c\ni\n"] {
        for at in (0..64).chain(2030..2070) {
            let mut message = filler.repeat(2100 / filler.len() + 1);
            message.truncate(at);
            message.push_str("\nCall-ID  : the-one@example.com and no more\r\nend");
            agree(message.as_bytes());
        }
    }
}

#[test]
fn torture_messages_and_each_of_their_prefixes() {
    let mut with_call_id = 0;
    for folder in ["rfc4475", "rfc5118"] {
        let folder = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).unwrap() {
            let message = std::fs::read(entry.unwrap().path()).unwrap();
            with_call_id += usize::from(call_id(&message).is_some());
            agree(&message);
            for len in (0..message.len()).step_by(7) {
                agree(&message[..len]);
            }
        }
    }
    assert!(with_call_id > 50, "{with_call_id}");
}

#[test]
fn one_call_is_one_worker_however_it_is_spelt() {
    let owners = Owners::new(WORKERS).unwrap();
    let mut machine = Machine::new(&owners);
    let mut calls = [0; WORKERS];
    for call in 0..1000 {
        let chosen = spellings(call).map(|message| machine.choose(message.as_bytes()));
        assert_eq!(chosen[0], chosen[1]);
        assert_eq!(chosen[0], chosen[2]);
        let owner = owners.of(format!("{call}-1732@192.0.2.1").as_bytes());
        assert_eq!(chosen[0], Some(owner as u32));
        calls[owner] += 1;
    }
    assert!(calls.iter().all(|calls| (130..270).contains(calls)), "{calls:?}");
}

/// Three messages of one call.
fn spellings(call: u32) -> [String; 3] {
    let via = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds";
    [
        format!(
            "INVITE sip:bob@example.com SIP/2.0\r\n{via}{call}\r\nMax-Forwards: 70\r\n\
             From: Alice <sip:alice@example.com>;tag=1928301774\r\nTo: <sip:bob@example.com>\r\n\
             Call-ID: {call}-1732@192.0.2.1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        ),
        format!(
            "SIP/2.0 200 OK\r\ni:{call}-1732@192.0.2.1\r\n{via}{call}\r\nCSeq: 1 INVITE\r\n\r\n"
        ),
        format!(
            "BYE sip:bob@example.com SIP/2.0\r\n{via}x{call}\r\nCSeq: 2 BYE\r\n\
             cALL-iD \t:\r\n  {call}-1732@192.0.2.1  \r\nContent-Length: 0\r\n\r\n"
        ),
    ]
}

/// Header lines, some of which are nearly a Call-ID.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[A-Za-z-]{1,12}: [ -~]{0,60}",
        1 => "[cC][aA][lL][lL]-[iI][dD][ \t]{0,3}:[ \t]{0,3}[!-~]{0,200}[ \t]{0,2}",
        1 => "[iI][ \t]{0,3}:[ \t]{0,3}[!-~]{0,40}",
        1 => "[iI\t :\r\n\0-]{0,8}",
        1 => "[Cc][aA\u{e1}][lL]{2}[-\r\n_][iI][dD][:; x]{0,2}[!-~]{0,10}",
    ]
}

proptest! {
    #[test]
    fn the_owner_is_the_worker_that_the_program_chooses(
        call_id in prop::collection::vec(b'!'..=u8::MAX, 1..300),
        workers in 1_usize..=64,
    ) {
        // A colon is skipped like the one before the value.
        prop_assume!(call_id[0] != b':');
        let owners = Owners::new(workers).unwrap();
        let datagram =
            [b"OPTIONS sip:a@example.com SIP/2.0\r\nCall-ID: ", &call_id[..], b"\r\n"].concat();
        let chosen = Machine::new(&owners).choose(&datagram);
        prop_assert_eq!(chosen, Some(owners.of(&call_id) as u32));
    }

    #[test]
    fn random_headers(
        lines in prop::collection::vec((line(), prop::bool::ANY), 0..40),
        cut in prop::option::of(0_usize..3000),
    ) {
        let mut message = String::from("OPTIONS sip:a@example.com SIP/2.0\r\n");
        for (line, has_return) in lines {
            message.push_str(&line);
            message.push_str(if has_return { "\r\n" } else { "\n" });
        }
        let bytes = message.as_bytes();
        agree(&bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())]);
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(
        prop::sample::select(b"\n\n\r:: \tiIcCaAlLdD-\0\x80\xffxyz".to_vec()), 0..400,
    )) {
        agree(&bytes);
    }
}
