//! The two things that we sign, Record-Route tokens and Via parameters: only what we wrote
//! verifies, and only where we wrote it.

use std::net::{IpAddr, SocketAddr};

use arbitrary::Unstructured;
use strowger::dialog::{Connection, Found, Speaker, Token};
use strowger::keys::{Keys, MasterKey};
use strowger::proxy::{Forwarded, ListenerId, Verdict};

use super::call::Call;
use super::core::seed_of;
use super::message::splice;
use super::relay::{Relay, Way};
use super::world::{LISTS, PEERS};
use crate::oracle::server::{Habits, response};

pub(crate) fn run(input: &[u8]) {
    let u = &mut Unstructured::new(input);
    // An input that is used up has said all it says.
    let _ = match input.len() & 1 {
        0 => token(u, seed_of(input)),
        _ => via_parameter(u, seed_of(input)),
    };
}

fn token(u: &mut Unstructured, seed: u64) -> arbitrary::Result<()> {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&seed.to_be_bytes());
    let keys = Keys::new(&[MasterKey { id: 3, secret }]);
    let token = Token {
        destination: address(u)?,
        egress: u.arbitrary()?,
        response_address: address(u)?,
        arrival: u.arbitrary()?,
        connection: u.arbitrary::<Option<_>>()?.map(|(epoch, number)| Connection { epoch, number }),
    };
    let call_id = u.bytes(u.len().min(5))?.to_vec();
    let tag = u.bytes(u.len().min(3))?.to_vec();
    let text = token.sign(&keys, &call_id, &tag);
    let other_tag = [&tag[..], b"x"].concat();
    let verify = |user: &[u8], call_id: &[u8], from: &[u8], to: &[u8]| {
        Token::verify(&keys, user, call_id, from, to)
    };
    let user = text.as_bytes();
    assert!(Token::looks_like(user));
    let is = |speaker| Found::Verified(speaker, token);
    assert_eq!(verify(user, &call_id, &tag, &other_tag), is(Speaker::Caller));
    assert_eq!(verify(user, &call_id, &other_tag, &tag), is(Speaker::Callee));
    assert_eq!(verify(user, &call_id, &tag, &tag), is(Speaker::Either));
    let other_call = [&call_id[..], b"x"].concat();
    assert_eq!(verify(user, &other_call, &tag, &other_tag), Found::Forged);
    assert_eq!(verify(user, &call_id, &other_tag, &other_tag), Found::Forged);
    for (id, wanted) in [(3, Found::Forged), (4, Found::NoToken)] {
        secret[31] ^= 1;
        let others = Keys::new(&[MasterKey { id, secret }]);
        assert_eq!(Token::verify(&others, user, &call_id, &tag, &other_tag), wanted);
    }
    // One digit, then anything.
    let mut changed = user.to_vec();
    let at = usize::from(u.arbitrary::<u8>()?) % changed.len();
    changed[at] = u.arbitrary()?;
    assert_only_ours(&verify(&changed, &call_id, &tag, &other_tag), &changed, user);
    while !u.is_empty() {
        splice(u, &mut changed)?;
        assert_only_ours(&verify(&changed, &call_id, &tag, &other_tag), &changed, user);
    }
    Ok(())
}

fn assert_only_ours(found: &Found, text: &[u8], ours: &[u8]) {
    let is_ours = unescaped(text).eq_ignore_ascii_case(ours);
    assert_eq!(matches!(found, Found::Verified(..)), is_ours, "{found:?}");
}

/// `%HH` as the byte that it stands for.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| *first == b'%');
        let byte = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    plain
}

fn address(u: &mut Unstructured) -> arbitrary::Result<SocketAddr> {
    let ip = if u.arbitrary()? {
        IpAddr::from(u.arbitrary::<[u8; 4]>()?)
    } else {
        IpAddr::from(u.arbitrary::<[u8; 16]>()?)
    };
    Ok(SocketAddr::new(ip, u.arbitrary()?))
}

/// A response with anything changed in it goes to who asked, or nowhere.
fn via_parameter(u: &mut Unstructured, seed: u64) -> arbitrary::Result<()> {
    let mut relay = Relay::new(seed, 512);
    relay.load(u.choose(&LISTS[..2])?);
    let caller = if u.arbitrary()? { PEERS[0] } else { PEERS[3] };
    let peer: SocketAddr = caller.parse().unwrap();
    let listener = ListenerId(if peer.is_ipv4() { 0 } else { 2 });
    let way = Way { worker: 0, listener, peer };
    let rport = *u.choose(&["", ";rport", ";received=203.0.113.66;rport=1"])?;
    let request = format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {caller}{rport};branch=z9hG4bK-1\r\n\
         From: <sip:a@b>;tag=a\r\nTo: <sip:b@c>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
    );
    let outcome = relay.send(way, request.as_bytes());
    let (Verdict::Forwarded(how), Some(sent)) = (outcome.verdict, outcome.sent) else {
        panic!("an ordinary call");
    };
    let call = Call::new(&relay, way, request.into_bytes(), sent, how, 0);
    let whole = response(&call.sent.bytes, "200 OK", "callee", Habits::default());
    let back = Way { worker: 1, listener: call.sent.listener, peer: call.sent.to };
    let home = relay.send(back, &whole).sent.expect("a response that nobody changed").to;

    // One byte of the parameter: as good as forged, unless only its case is another.
    let start = whole.windows(4).position(|window| window == b";sw=").expect("ours") + 4;
    let len = whole[start..].iter().position(|b| *b == b'\r').expect("a line end");
    let mut changed = whole.clone();
    let at = start + usize::from(u.arbitrary::<u8>()?) % len;
    changed[at] = u.arbitrary()?;
    let is_same = changed.eq_ignore_ascii_case(&whole);
    let outcome = relay.send(back, &changed);
    assert_eq!(outcome.verdict == Verdict::Forwarded(Forwarded::Response), is_same);
    // A value that ends early is another value; without any the branch must prove it.
    assert!(is_same || outcome.sent.is_none_or(|sent| sent.to == home));

    // Anything in the whole response.
    let mut changed = whole;
    while !u.is_empty() {
        splice(u, &mut changed)?;
        changed.truncate(4_096);
        let from =
            if u.arbitrary()? { back } else { Way { peer: PEERS[7].parse().unwrap(), ..back } };
        let outcome = relay.send(from, &changed);
        // Without the parameter only the branch is proven: the law says where it may go then.
        if outcome.verdict == Verdict::Forwarded(Forwarded::Response) {
            assert_eq!(outcome.sent.expect("forwarded").to, home);
        }
    }
    Ok(())
}
