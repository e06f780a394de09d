//! The resolver with misbehaving name servers, one row each. The effect on calls is in `names.rs`.

use std::time::Instant;

use hickory_proto::op::ResponseCode;
use strowger::destination::{Record, Resolved};
use strowger::limits::RESOLVE_TIME_MAX;
use strowger::resolve::Resolver;
use strowger::source::parse;

use crate::harness::dns::Mood;
use crate::harness::{NameServer, wait};

fn records(list: &str) -> Vec<Record> {
    parse("f", list.as_bytes()).expect("a list").records
}

fn told(resolved: &[Resolved]) -> String {
    let sockets = resolved.iter().flat_map(|r| &r.addresses).map(|a| a.socket.to_string());
    sockets.collect::<Vec<_>>().join(" ")
}

/// Asks these servers for one record's addresses.
fn ask(servers: &[&NameServer], uri: &str) -> String {
    let resolver = Resolver::alone().expect("a thread");
    let servers: Vec<_> = servers.iter().map(|server| server.address).collect();
    let (resolved, _) = resolver.resolve(records(&format!("1 {uri}\n")), &servers, in_time());
    told(&resolved)
}

/// Several at once, so that 40 targets and their addresses are asked for as one.
#[test]
fn forty_srv_records_are_used_and_a_cut_is_told() {
    let zone = |count: usize| -> String {
        let target = |n: usize| {
            format!(
                "_sip._udp.x.test 600 SRV 1 1 5060 t{n}.test\nt{n}.test 600 A 10.0.0.{}\n",
                n + 1
            )
        };
        (0..count).map(target).collect()
    };
    for (count, used, wants) in [
        (40, 40, vec![]),
        (
            140,
            128,
            vec![
                "more records than a destination may have: used are 128 of the 140 SRV \
                         records of x.test",
            ],
        ),
    ] {
        let server = NameServer::with(&zone(count));
        // More than a datagram holds.
        server.does_for(&["SRV"], Mood::Truncates);
        let resolver = Resolver::alone().expect("a thread");
        let mut notes = Vec::new();
        let mut resolved = records("1 sip:x.test\n")
            .into_iter()
            .map(|record| Resolved { record, addresses: Vec::new() })
            .collect::<Vec<_>>();
        wait::until("the addresses of all targets", || {
            let refreshed = resolver.refresh(&resolved, &[server.address]);
            resolved = refreshed.records.unwrap_or(resolved.clone());
            notes.extend(refreshed.notes.into_iter().filter(|note| note.contains("used are")));
            (resolved[0].addresses.len() == used).then_some(())
        });
        assert_eq!(notes, wants, "{count}");
    }
}

#[test]
fn name_servers_that_fail_for_all_but_addresses() {
    let zone = "x.test 600 A 192.0.2.1
         _sip._udp.y.test 1 SRV 1 1 5070 t.test
         t.test 600 A 192.0.2.2
         y.test 600 A 192.0.2.9\n";
    let is_told = |notes: &[String], name: &str| {
        let told = format!("name servers fail for the SRV records of {name}: ");
        let cure = format!("write the port, as in sip:{name}:5060");
        notes.iter().any(|note| note.starts_with(&told) && note.contains(&cure))
    };
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp] {
        let server = NameServer::with(zone);
        server.does_for(&["NAPTR", "SRV"], Mood::Says(code));
        let resolver = Resolver::alone().expect("a thread");
        let (resolved, notes) =
            resolver.resolve(records("1 sip:x.test\n"), &[server.address], in_time());
        assert_eq!(told(&resolved), "192.0.2.1:5060", "{code}");
        assert!(is_told(&notes, "x.test"), "{code}: {notes:?}");
        // Once it answers, it is as if nothing had been.
        server.holds("_sip._udp.x.test 600 SRV 1 1 5070 t.test\nt.test 600 A 192.0.2.2\n");
        let mut now = resolved.clone();
        wait::until("the SRV record", || {
            let refreshed = resolver.refresh(&now, &[server.address]);
            now = refreshed.records.unwrap_or(now.clone());
            (told(&now) == "192.0.2.2:5070").then_some(())
        });
    }

    // One that does not even answer.
    let server = NameServer::with(zone);
    server.does_for(&["NAPTR", "SRV"], Mood::Hangs);
    let resolver = Resolver::alone().expect("a thread");
    let (mut resolved, mut notes) =
        resolver.resolve(records("1 sip:x.test\n"), &[server.address], in_time());
    wait::until("the addresses of the name itself", || {
        let refreshed = resolver.refresh(&resolved, &[server.address]);
        notes.extend(refreshed.notes);
        resolved = refreshed.records.unwrap_or(resolved.clone());
        (told(&resolved) == "192.0.2.1:5060").then_some(())
    });
    assert!(is_told(&notes, "x.test"), "{notes:?}");

    // A last good answer is not replaced: it is asked for again until it fails.
    let server = NameServer::with(zone);
    let resolver = Resolver::alone().expect("a thread");
    let (resolved, notes) =
        resolver.resolve(records("1 sip:y.test\n"), &[server.address], in_time());
    assert_eq!((told(&resolved).as_str(), notes.len()), ("192.0.2.2:5070", 0), "{notes:?}");
    server.does_for(&["NAPTR", "SRV"], Mood::Says(ResponseCode::ServFail));
    let mut notes = Vec::new();
    wait::until("the failure", || {
        let refreshed = resolver.refresh(&resolved, &[server.address]);
        assert_eq!(refreshed.records, None, "the addresses stay");
        notes.extend(refreshed.notes);
        (!notes.is_empty()).then_some(())
    });
    assert_eq!(notes, ["no answer for y.test: the addresses from before stay"]);
}

fn in_time() -> Instant {
    Instant::now() + RESOLVE_TIME_MAX
}

#[test]
fn what_name_servers_do() {
    let many: String = (1..=60).map(|n| format!("many.test 60 A 192.0.2.{n}\n")).collect();
    let zone = format!(
        "ms.test 60 A 192.0.2.1
         ms.test 60 AAAA 2001:db8::1
         alias.test 60 CNAME ms.test
         _sip._udp.srv.test 60 CNAME _sip._udp.elsewhere.test
         _sip._udp.elsewhere.test 60 SRV 1 1 5070 alias.test
         {many}"
    );
    let good = NameServer::with(&zone);
    let bad = |mood| {
        let server = NameServer::with(&zone);
        server.is(mood);
        server
    };
    let both = "192.0.2.1:5060 [2001:db8::1]:5060";
    let truncates = bad(Mood::Truncates);
    for (says, servers, uri, wanted) in [
        ("answers", vec![&good], "sip:ms.test:5060", both),
        ("an alias", vec![&good], "sip:ALIAS.test:5060", both),
        (
            "SRV records behind an alias, and their target behind another",
            vec![&good],
            "sip:srv.test",
            "192.0.2.1:5070 [2001:db8::1]:5070",
        ),
        ("nothing there", vec![&good], "sip:none.test", ""),
        ("the whole by TCP", vec![&truncates], "sip:ms.test:5060", both),
        ("silent, alone", vec![&bad(Mood::Hangs)], "sip:ms.test:5060", ""),
        ("rubbish, alone", vec![&bad(Mood::Rambles)], "sip:ms.test:5060", ""),
        ("the second one answers", vec![&bad(Mood::Hangs), &good], "sip:ms.test:5060", both),
        ("rubbish, then an answer", vec![&bad(Mood::Rambles), &good], "sip:ms.test:5060", both),
        (
            "an error is not the last word",
            vec![&bad(Mood::Says(ResponseCode::ServFail)), &good],
            "sip:ms.test:5060",
            both,
        ),
        (
            "nor is a refusal",
            vec![
                &bad(Mood::Says(ResponseCode::Refused)),
                &bad(Mood::Says(ResponseCode::NotImp)),
                &good,
            ],
            "sip:ms.test:5060",
            both,
        ),
    ] {
        assert_eq!(ask(&servers, uri), wanted, "{says}");
    }
    let answer = ask(&[&truncates], "sip:many.test:5060");
    assert_eq!(answer.split(' ').count(), 60, "{answer}");
}

#[test]
fn names_that_hang_hold_no_other() {
    let zone: String = (1..=20).map(|n| format!("z{n}.test 600 A 192.0.2.{n}\n")).collect();
    let server = NameServer::with(&zone);
    server.is_with("hangs.test", Mood::Hangs);
    let hanging: String = (0..100).map(|n| format!("1 sip:a{n}.hangs.test\n")).collect();
    let good: String = (1..=20).map(|n| format!("1 sip:z{n}.test:5060\n")).collect();
    let resolver = Resolver::alone().expect("a thread");
    let list = records(&(hanging + &good));
    let (mut resolved, _) = resolver.resolve(list, &[server.address], in_time());
    let found = |resolved: &[Resolved], name: &str| {
        let of_name = resolved.iter().filter(|r| r.record.uri.text.contains(name));
        of_name.filter(|r| !r.addresses.is_empty()).count()
    };
    // On a machine with other things to do two seconds may be too few.
    wait::until("the good names", || {
        if found(&resolved, "z") < 20 {
            let refreshed = resolver.refresh(&resolved, &[server.address]);
            resolved = refreshed.records.unwrap_or(resolved.clone());
        }
        (found(&resolved, "z") == 20).then_some(())
    });
    assert_eq!(found(&resolved, "hangs"), 0);
}

#[test]
fn each_question_is_put_once_whoever_needs_the_answer() {
    let server = NameServer::with(
        "_sip._udp.a.test 600 SRV 1 1 5060 ms.test
         _sip._udp.b.test 600 SRV 1 1 5061 ms.test
         ms.test 600 A 192.0.2.1\n",
    );
    let resolver = Resolver::alone().expect("a thread");
    let list = "1 sip:a.test\n1 sip:b.test\n1 sip:ms.test:5062\n2 sip:A.test\n";
    let ask = || resolver.resolve(records(list), &[server.address], in_time());
    let (resolved, notes) = ask();
    let wanted = "192.0.2.1:5060 192.0.2.1:5061 192.0.2.1:5062 192.0.2.1:5060";
    assert_eq!((told(&resolved).as_str(), notes.len()), (wanted, 0));
    assert_eq!(server.questions().len(), 6, "{}", server.asked());
    assert_eq!(told(&ask().0), wanted);
    assert_eq!(server.questions().len(), 6, "all of it is remembered: {}", server.asked());
}
