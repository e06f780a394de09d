//! A relay on the loopback interface explains messages without receiving them.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::config::{Config, Flags as ConfigFlags};
use crate::control::{Options, Relay, Which};
use crate::destination::DestinationState;
use crate::proxy::probe::{self, ProbeRequest};
use crate::proxy::{Answer, Forwarded, Reason};

const LIST: &str = "1 sip:127.0.0.1:5071 0 0
1 sip:127.0.0.1:5072 2 0
1 sip:127.0.0.1:5073 4 0
1 sip:127.0.0.1:5074 1 0
2 sip:127.0.0.1:5075 0 0
";

struct Running {
    relay: Relay,
    commands: Commands,
    _files: TempDir,
}

fn running(list: &str) -> Running {
    running_with(list, "")
}

/// The same with this in its configuration.
fn running_with(list: &str, config: &str) -> Running {
    let files = TempDir::new().unwrap();
    let path = files.path().join("dispatcher.list");
    fs::write(&path, list).unwrap();
    let file = files.path().join("strowger.toml");
    fs::write(&file, config).unwrap();
    let flags = ConfigFlags {
        config: (!config.is_empty()).then_some(file),
        listen: vec!["udp:127.0.0.1:0".into(), "udp:[::1]:0".into()],
        list: Some(path),
        workers: Some(1),
        ..ConfigFlags::default()
    };
    let mut config = Config::load(&flags).unwrap();
    config.relay.state_dir = Some(files.path().into());
    let relay = Relay::start(&config, Options::default()).unwrap();
    let commands = relay.commands();
    Running { relay, commands, _files: files }
}

fn invite(call_id: &str, via: &str) -> String {
    format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK-{call_id}\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

impl Running {
    fn explain(&self, message: &str) -> Explanation {
        let before = self.relay.totals();
        let explanation = self.commands.explain(message.as_bytes(), None, None).unwrap();
        assert_eq!(self.relay.totals(), before);
        explanation
    }
}

#[test]
fn everybody_of_the_set_is_told_with_the_reason() {
    let running = running(LIST);
    for _ in 0..2 {
        let told = running.explain(&invite("new", "198.51.100.7:5062"));
        assert_eq!(told.verdict, Verdict::Forwarded(Forwarded::Chosen));
        assert_eq!(told.says, "forwarded to sip:127.0.0.1:5071 (127.0.0.1:5071)");
        assert_eq!(told.because, ["it is new: round-robin of set 1, with 2 to choose from"]);
        assert_eq!(
            (told.source.to_string(), told.source_is),
            ("198.51.100.7:5062".into(), SourceIs::Read)
        );
        assert_eq!(told.listener, format!("udp:{}", running.relay.local_addresses()[0]));
        assert_eq!(told.other_sets, [2]);
        let candidates: Vec<_> = told
            .candidates
            .iter()
            .map(|c| (c.address.unwrap().port(), c.turn, c.is_taken, c.excluded.as_deref()))
            .collect();
        let wants = [
            (5071, Some(1), true, None),
            (5072, Some(2), false, None),
            (5073, None, false, Some("disabled by the operator")),
            (5074, None, false, Some("inactive")),
        ];
        assert_eq!(candidates, wants);
        let leaves = told.leaves.unwrap();
        assert_eq!(leaves.to.to_string(), "127.0.0.1:5071");
        assert!(String::from_utf8(leaves.bytes).unwrap().contains("\r\nRecord-Route: "));
    }
    let set = |state| running.commands.set_state(1, &Which::All, state, false).unwrap();
    set(DestinationState::Disabled);
    let told = running.explain(&invite("new", "198.51.100.7:5062"));
    assert_eq!(told.says, "answered with 404 No destination");
    assert_eq!(told.because, ["no destination of set 1 can be chosen"]);
    assert!(
        told.candidates.iter().all(|c| c.excluded.as_deref() == Some("disabled by the operator"))
    );
    set(DestinationState::Active);
    running.commands.drain(true).unwrap();
    let told = running.explain(&invite("new", "198.51.100.7:5062"));
    assert_eq!(told.because, ["the relay is draining: it refuses new requests"]);
}

/// What stands beside each destination of set 1 that does not get this call.
fn passed_over(running: &Running, call_id: &str) -> Vec<(u16, String)> {
    let told = running.explain(&invite(call_id, "198.51.100.7:5062"));
    let of = |c: Candidate| Some((c.address?.port(), c.passed_over?));
    told.candidates.into_iter().filter_map(of).collect()
}

/// Returns the load of the destination with this port.
fn with_load(running: &Running, port: u16, work: impl FnOnce(&crate::destination::Load)) {
    let snapshot = running.relay.inner.current.snapshot();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let known = snapshot.destinations.by_source(address, crate::proxy::SourceMatch::default());
    work(&snapshot.destinations.get(known.unwrap().slot).unwrap().load);
}

#[test]
fn why_a_destination_that_can_be_chosen_is_passed_over() {
    use crate::destination::Limits;
    use crate::message::{OcSeq, OverloadReport};
    let now = monotonic_now();
    let list = "1 sip:127.0.0.1:5071 0 0 cps=1;maxload=2\n1 sip:127.0.0.1:5072 0 0\n";
    let set = |more: &str| running_with(list, &format!("[dispatch]\n{more}"));

    let running = set("slow_start_ms = 3_600_000");
    assert!(passed_over(&running, "a").is_empty(), "it is only not its turn");
    with_load(&running, 5072, |load| load.came_back(now));
    let wants = "slow start: it takes only a part of its share yet";
    assert_eq!(passed_over(&running, "a"), [(5072, wants.to_owned())]);

    let running = set("source_calls_per_second = 1");
    let limits = Limits { calls_per_second: 1, burst: 0, calls_max: 2 };
    with_load(&running, 5071, |load| load.take(now, limits, false).unwrap());
    let wants = "at its limit: it has all the new calls per second that it allows (cps)";
    assert_eq!(passed_over(&running, "a"), [(5071, wants.to_owned())]);
    with_load(&running, 5071, |load| (0..2).for_each(|_| load.take_anyway(now, limits, true)));
    let wants = "at its limit: it has all the calls in progress that it allows (maxload)";
    assert_eq!(passed_over(&running, "a"), [(5071, wants.to_owned())]);

    let running = set("overload_control = true");
    let report = OverloadReport { percent: 30, validity_ms: 3_600_000, seq: OcSeq::default() };
    with_load(&running, 5072, |load| load.overload().report(now, &report));
    let told = passed_over(&running, "a");
    assert_eq!(told[0].0, 5072);
    assert!(told[0].1.starts_with("overloaded: 30 % of its new requests are kept from it for "));

    let running = set("algorithm = \"call-load\"");
    with_load(&running, 5071, |load| load.take(now, Limits::default(), true).unwrap());
    let wants = "it has 1 calls in progress, and the one that gets it has 0";
    assert_eq!(passed_over(&running, "a"), [(5071, wants.to_owned())]);
    let message = invite("a", "198.51.100.7:5062");
    let options = message.replace("INVITE ", "OPTIONS ").replace("1 INVITE", "1 OPTIONS");
    let told = running.explain(&options);
    assert!(told.candidates.iter().all(|candidate| candidate.passed_over.is_none()));

    let running = set("algorithm = \"fastest\"");
    with_load(&running, 5071, |load| load.set_answer_us(12_345));
    with_load(&running, 5072, |load| load.set_answer_us(999));
    let wants = "it answers in 12.3 ms, and the one that gets it in 0.9 ms";
    assert_eq!(passed_over(&running, "a"), [(5071, wants.to_owned())]);

    let running = set("algorithm = \"consistent\"\nload_factor = 1.01");
    with_load(&running, 5071, |load| {
        (0..9).for_each(|_| load.take_anyway(now, Limits::default(), true));
    });
    let told = passed_over(&running, "a");
    let wants = "it holds more than its share of the calls of the set (load_factor)";
    assert_eq!(told, [(5071, wants.to_owned())]);
    // A copy goes where its request went: nobody is passed over.
    let known = invite("none", "198.51.100.7:5062").replace("<sip:b@c>", "<sip:b@c>;tag=2");
    assert!(running.explain(&known).candidates.iter().all(|c| c.passed_over.is_none()));
}

#[test]
fn an_emergency_call_is_told_with_what_makes_it_one() {
    let running = running(LIST);
    let sos = invite("sos", "198.51.100.7:5062").replace("sip:bob@example.com", "urn:service:sos");
    let told = running.explain(&sos);
    assert_eq!(told.says, "forwarded to sip:127.0.0.1:5071 (127.0.0.1:5071)");
    assert_eq!(
        told.because,
        [
            "it is new: round-robin of set 1, with 2 to choose from",
            "it is an emergency call (its Request-URI is urn:service:sos): limits do not refuse it, \
             up to 10 such calls a second from its source",
        ]
    );
    // In its dialog it is a call like any other.
    let bye = sos.replace("INVITE", "BYE");
    assert!(running.explain(&bye).because.iter().all(|because| !because.contains("emergency")));
    let again = sos.replace("<sip:b@c>", "<sip:b@c>;tag=2");
    assert!(running.explain(&again).because.iter().all(|because| !because.contains("emergency")));
}

/// Explains a call, sends it, and explains it again: the call stays at its destination after that
/// is disabled, and after its row is removed.
#[test]
fn a_call_in_progress_stays_where_it_is_said_to_be() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
    let uri = format!("sip:{}", server.local_addr().unwrap());
    let running = running(&format!("1 {uri} 0 0\n1 sip:127.0.0.1:5072 0 0\n"));
    let message = invite("kept", &caller.local_addr().unwrap().to_string());
    let told = running.explain(&message);
    caller.send_to(message.as_bytes(), running.relay.local_addresses()[0]).unwrap();
    let mut bytes = [0; 4096];
    let (len, _) = server.recv_from(&mut bytes).unwrap();
    let first_lines = |bytes: &[u8]| String::from_utf8_lossy(bytes)[..60].to_owned();
    assert_eq!(first_lines(&bytes[..len]), first_lines(&told.leaves.unwrap().bytes));

    let still = running.commands.remembered();
    assert_eq!(still.len(), 1, "{still:?}");
    assert_eq!((still[0].uri.as_str(), still[0].sets.as_slice()), (uri.as_str(), &[1][..]));
    assert_eq!((still[0].remembered.open, still[0].remembered.all()), (1, 1));

    let told = running.explain(&message);
    assert_eq!(told.rule, Rule::Transaction);
    assert!(told.because[1].ends_with("not answered yet"), "{:?}", told.because);
    running
        .commands
        .set_state(1, &Which::Uri(uri.clone()), DestinationState::Disabled, false)
        .unwrap();
    let told = running.explain(&message);
    assert!(told.says.ends_with(", which is disabled now"), "{}", told.says);
    assert!(told.candidates[0].is_taken);
    assert_eq!(told.candidates[0].excluded.as_deref(), Some("disabled by the operator"));
    running.commands.remove(1, &uri, Some(false)).unwrap();
    let told = running.explain(&message);
    assert!(told.says.ends_with(", which is no longer listed"), "{}", told.says);
    assert!(running.commands.remembered()[0].sets.is_empty());

    let told = running.explain(&message.replace("INVITE", "CANCEL"));
    assert_eq!(told.verdict, Verdict::Forwarded(Forwarded::Pinned));
    let totals = running.relay.stop();
    assert_eq!((totals.received, totals.forwarded_all()), (1, 1));
}

#[test]
fn a_call_that_was_tried_elsewhere_is_told_with_its_tries() {
    let [busy, other, caller] = [0; 3].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let uri = |socket: &UdpSocket| format!("sip:{}", socket.local_addr().unwrap());
    let list = format!("1 {} 0 9\n1 {} 0 0\n", uri(&busy), uri(&other));
    let running = running_with(&list, "[dispatch]\nforwarding = \"stateful\"\n");
    let message = invite("tried", &caller.local_addr().unwrap().to_string());
    let told = running.explain(&message).because;
    assert_eq!(
        told,
        [
            "it is new: round-robin of set 1, with 2 to choose from; if it fails, up to 2 others are tried"
        ]
    );
    let relay = running.relay.local_addresses()[0];
    caller.send_to(message.as_bytes(), relay).unwrap();
    let receive = |socket: &UdpSocket| {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut bytes = [0; 4096];
        let (len, _) = socket.recv_from(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let answer = |request: &str, status: &str| {
        let (_, rows) = request.split_once("\r\n").unwrap();
        format!("SIP/2.0 {status}\r\n{}", rows.replace("<sip:b@c>", "<sip:b@c>;tag=2"))
    };
    busy.send_to(answer(&receive(&busy), "503 Busy").as_bytes(), relay).unwrap();
    let sent = receive(&other);

    let told = running.explain(&message).because;
    let wants = format!(
        "its transaction is remembered: it went to {} ({}), after another one, not answered yet",
        uri(&other),
        other.local_addr().unwrap()
    );
    assert_eq!(told[1], wants);
    let told = running.explain(&answer(&sent, "503 Busy")).because;
    let wants = "if its request has a transaction, the next destination may be tried instead";
    assert!(told[0].ends_with(wants), "{told:?}");
}

#[test]
fn the_reply_to_a_probe_is_the_probers() {
    let running = running(LIST);
    let shared = &running.relay.inner.shared;
    let request = ProbeRequest {
        number: 1,
        method: "OPTIONS",
        uri: "sip:127.0.0.1:5071",
        from: "sip:dispatcher@localhost",
        max_forwards: 70,
        slot: Slot(0),
        listener: ListenerId(0),
    };
    let mut probe = Vec::new();
    assert!(probe::write(shared, &request, monotonic_now(), &mut probe));
    let reply = String::from_utf8(probe).unwrap();
    let (_, rows) = reply.split_once("\r\n").unwrap();
    let told = running.explain(&format!("SIP/2.0 200 OK\r\n{rows}"));
    assert_eq!(told.verdict, Verdict::Dropped(Reason::ProbeReply));
    assert_eq!(told.says, "dropped (probe_reply): nothing is sent");
    let wants = "it answers a probe of the relay itself: the prober takes it, and it goes nowhere";
    assert_eq!(told.because, [wants]);
}

#[test]
fn what_is_not_said_is_guessed_or_made_up_and_told_so() {
    let running = running(LIST);
    let told = running.explain(&invite("named", "pbx.example.com"));
    assert_eq!(
        (told.source.to_string(), told.source_is),
        ("192.0.2.1:5060".into(), SourceIs::MadeUp)
    );
    let told = running.explain("rubbish\u{7}\n");
    assert_eq!(told.verdict, Verdict::Dropped(Reason::NotSip));
    assert_eq!((told.message.as_str(), told.leaves.is_none()), ("rubbish\u{7}", true));
    let told = running.explain(&invite("bad", "198.51.100.7").replace("CSeq: 1", "CSeq: x"));
    assert_eq!(told.verdict, Verdict::Answered(Answer::BadRequest));
    assert_eq!(told.because, ["malformed: its CSeq, or the CSeq names another method"]);

    let message = invite("given", "198.51.100.7:5062");
    let from = "127.0.0.1:5075".parse::<SocketAddr>().unwrap();
    let told = running.commands.explain(message.as_bytes(), Some(from), None).unwrap();
    assert_eq!(told.says, "answered with 403 Forbidden");
    assert_eq!(
        told.because[1],
        "127.0.0.1:5075 is the address of sip:127.0.0.1:5075 (127.0.0.1:5075)"
    );
    let v6 = running.relay.local_addresses()[1].to_string();
    let told = running.commands.explain(message.as_bytes(), None, Some(&v6)).unwrap();
    assert_eq!(told.listener, format!("udp:{v6}"));
    // The destination is of the other family, so the other listener sends it.
    let leaves = told.leaves.unwrap();
    assert_eq!(leaves.by, format!("udp:{}", running.relay.local_addresses()[0]));
    let error = running.commands.explain(b"", None, Some("udp:192.0.2.9:5060")).unwrap_err();
    assert!(error[0].to_string().contains("not one of the relay's listeners"), "{}", error[0]);
}
