//! Host names as destinations, with a name server that answers, fails, hangs and changes its
//! answers.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;

use crate::harness::dns::Mood;
use crate::harness::sipp::Running;
use crate::harness::{NameServer, Relay, Sipp, loopback, wait};

/// Servers `ms1`, `ms2` … on one port, as the addresses of one name are.
fn servers_on_one_port(count: usize) -> (u16, Vec<Running>) {
    let port = loopback::fresh().port();
    let serve = |n: usize| {
        let address = SocketAddr::new(loopback::fresh_ip().into(), port);
        Sipp::scenario("uas_call").named(&format!("ms{n}")).at(address).serve()
    };
    (port, (1..=count).map(serve).collect())
}

/// A records of one name, one for each server.
fn records<'a>(name: &str, ttl: u32, servers: impl IntoIterator<Item = &'a Running>) -> String {
    let record = |server: &Running| format!("{name} {ttl} A {}\n", server.address.ip());
    servers.into_iter().map(record).collect()
}

/// Makes calls, one after the other; the servers that took them.
#[track_caller]
fn taken(relay: &Relay, calls: u64) -> String {
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), calls).run();
    caller.assert_all_succeeded(calls);
    caller.taken_by().join(" ")
}

#[test]
fn addresses_of_a_name_take_turns_and_a_reload_asks_only_what_is_new() {
    let (port, servers) = servers_on_one_port(2);
    let names = NameServer::with(&records("ms.test", 600, &servers));
    let list = format!("1 sip:ms.test:{port}\n");
    let mut relay = Relay::with_list(&list).config(&names.config()).start();

    let turns = taken(&relay, 4);
    assert!(["ms1 ms2 ms1 ms2", "ms2 ms1 ms2 ms1"].contains(&turns.as_str()), "{turns}");
    assert_eq!(names.questions().len(), 2);
    assert_eq!(names.asked(), "A ms.test, AAAA ms.test", "a port: neither NAPTR nor SRV");

    // 10,000 rows of the name, and one of another.
    let rows: String = (2..10_002).map(|set| format!("{set} sip:MS.test:{port}\n")).collect();
    let before = relay.reload(&format!("{list}{rows}20000 sip:other.test:5060\n"));
    let said = relay.wait_log(before, &["no address is known for other.test:"]);
    assert!(!said.contains("ms.test"), "{said}");
    relay.wait_log(before, &["reloaded:"]);
    assert_eq!(taken(&relay, 4), turns, "it goes on where it was");
    assert_eq!(names.asked(), "A ms.test, A other.test, AAAA ms.test, AAAA other.test");
    assert_eq!(names.questions().len(), 4);
    relay.stop().assert(&[("chosen", 8)]);
}

#[test]
fn a_name_that_moves_takes_new_calls_along_and_no_call_in_progress() {
    let (port, servers) = servers_on_one_port(2);
    let names = NameServer::with(&records("ms.test", 1, &servers[..1]));
    let list = format!("1 sip:ms.test:{port}\n");
    let mut relay = Relay::with_list(&list).config(&names.config()).start();
    let mut caller =
        Sipp::scenario("uac_call").calls(relay.address(), 3, 100).with(&["-d", "9000"]).start();
    caller.wait_logged("taken by ms1", 3);

    let before = relay.log().len();
    names.holds(&records("ms.test", 600, &servers[1..]));
    relay.wait_log(before, &["host names resolved"]);
    assert_eq!(taken(&relay, 2), "ms2 ms2");

    let caller = caller.wait();
    caller.assert_all_succeeded(3);
    caller.assert_stayed(3);
    relay.stop().assert(&[("chosen", 5)]);
}

#[test]
fn a_name_server_that_hangs_holds_nobody_and_is_asked_again() {
    let (port, servers) = servers_on_one_port(2);
    let names = NameServer::with("");
    names.is_with("hangs.test", Mood::Hangs);
    let list = format!(
        "1 sip:ms.hangs.test\n1 sip:{}\n2 sip:later.test:{port}\n2 sip:{}\n",
        servers[1].address, servers[1].address
    );
    let mut relay = Relay::with_list(&list).config(&names.config()).start();
    // It began without waiting for the end of even the first question.
    assert_eq!(names.asked(), "A later.test, AAAA later.test, NAPTR ms.hangs.test");
    relay.wait_log(0, &["no address is known for later.test, ms.hangs.test:"]);
    relay.wait_log(0, &["ready", "set 1: 1/2", "set 2: 1/2"]);
    assert_eq!(taken(&relay, 2), "ms2 ms2");

    // It thinks of it.
    let before = relay.log().len();
    let zone = records("later.test", 600, &servers[..1]);
    let srv = format!("_sip._udp.ms.hangs.test 600 SRV 1 1 {port} later.test");
    names.holds(&format!("{zone}{srv}"));
    relay.wait_log(before, &["host names resolved", "set 1: 2/2", "set 2: 2/2"]);
    let turns = taken(&relay, 2);
    assert!(["ms1 ms2", "ms2 ms1"].contains(&turns.as_str()), "{turns}");
    relay.stop().assert(&[("chosen", 4)]);
}

#[test]
fn the_last_answer_stays_while_name_servers_fail() {
    let (port, servers) = servers_on_one_port(2);
    let names = NameServer::with(&records("ms.test", 1, &servers[..1]));
    let list = format!("1 sip:ms.test:{port}\n");
    let mut relay = Relay::with_list(&list).config(&names.config()).start();

    let before = relay.log().len();
    names.is(Mood::Says(ResponseCode::ServFail));
    relay.wait_log(before, &["no answer for ms.test: the addresses from before stay"]);
    assert_eq!(taken(&relay, 1), "ms1");
    let before = relay.reload(&list);
    relay.wait_log(before, &["no answer for ms.test: the addresses from before stay"]);
    relay.wait_log(before, &["reloaded:"]);
    assert_eq!(taken(&relay, 1), "ms1");

    let before = relay.log().len();
    names.holds(&records("ms.test", 600, &servers[1..]));
    relay.wait_log(before, &["host names resolved"]);
    assert_eq!(taken(&relay, 1), "ms2");
    let (summary, log) = relay.stop_and_read();
    let told = log.iter().filter(|line| line.contains("no answer for")).count();
    assert_eq!(told, 2, "once, and once more at the reload: {log:#?}");
    summary.assert(&[("chosen", 3)]);
}

#[test]
fn the_last_answer_stays_when_the_name_is_gone() {
    let (port, servers) = servers_on_one_port(2);
    let names = NameServer::with(&records("ms.test", 1, &servers[..1]));
    let list = format!("1 sip:ms.test:{port}\n");
    let mut relay = Relay::with_list(&list).config(&names.config()).start();

    let gone = "name servers know no address of ms.test any more: those from before stay";
    let before = relay.log().len();
    names.holds("");
    relay.wait_log(before, &[gone]);
    let before = relay.reload(&list);
    relay.wait_log(before, &[gone]);
    relay.wait_log(before, &["reloaded:"]);
    assert_eq!(taken(&relay, 2), "ms1 ms1");

    let before = relay.log().len();
    names.holds(&records("ms.test", 600, &servers[1..]));
    relay.wait_log(before, &["host names resolved"]);
    assert_eq!(taken(&relay, 1), "ms2");
    relay.stop().assert(&[("chosen", 3)]);
}

#[test]
fn a_name_that_leads_to_the_relay_itself() {
    let (port, servers) = servers_on_one_port(2);
    let us = SocketAddr::new(loopback::fresh_ip().into(), port);
    let ours = format!("ms.test 1 A {}\n", us.ip());
    let names = NameServer::with(&ours);
    let list = format!("1 sip:ms.test:{port}\n");
    let is_us =
        format!("line 1: sip:ms.test:{port} is this relay itself: {us} is its listener udp:{us}");
    let said = Relay::with_list(&list).config(&names.config()).listen(us).refused();
    assert!(said.contains(&is_us), "{said}");

    // It moves while the relay runs: calls go on, and it is said once.
    names.holds(&records("ms.test", 1, &servers[..1]));
    let mut relay = Relay::with_list(&list).config(&names.config()).listen(us).start();
    let before = relay.log().len();
    names.holds(&ours);
    relay.wait_log(before, &["WARN", &is_us, "the addresses from before stay"]);
    assert_eq!(taken(&relay, 2), "ms1 ms1");
    let before = relay.reload(&list);
    relay.wait_log(before, &["ERROR", &is_us]);
    relay.wait_log(before, &["not reloaded: nothing has changed"]);
    assert_eq!(taken(&relay, 2), "ms1 ms1");

    let before = relay.log().len();
    names.holds(&format!("{ours}{}", records("ms.test", 1, &servers[1..])));
    relay.wait_log(before, &["WARN", &is_us, "the other addresses of the name are used"]);
    relay.wait_log(before, &["host names resolved"]);
    assert_eq!(taken(&relay, 2), "ms2 ms2");
    relay.stop().assert(&[("chosen", 6), ("self_loop", 0)]);
}

#[test]
fn services_by_priority_and_weight() {
    let servers = crate::harness::sipp::servers("uas_call", 3);
    let srv = |service: &str, priority: u16, weight: u16, server: usize| {
        let address = servers[server].address;
        format!("{service} 600 SRV {priority} {weight} {} t{server}.test\n", address.port())
    };
    let hosts: String =
        (0..3).map(|n| format!("t{n}.test 600 A {}\n", servers[n].address.ip())).collect();
    let services = [srv("_sip._udp.y.test", 20, 9, 2), srv("_sip._udp.y.test", 10, 3, 0)].concat();
    let services = services + &srv("_sip._udp.y.test", 10, 1, 1);
    let naptr = "x.test 600 NAPTR 10 1 S SIP+D2T - _sip._tcp.x.test
                 x.test 600 NAPTR 20 1 s SIP+d2u - _sip._udp.y.test\n";
    let names = NameServer::with(&format!("{naptr}{services}{hosts}x.test 600 A 192.0.2.1\n"));

    // Flag 16: what SRV leads to is looked up all the same.
    let relay = Relay::with_list("1 sip:x.test 16\n").config(&names.config()).start();
    let hosts = "A t0.test, A t1.test, A t2.test, AAAA t0.test, AAAA t1.test, AAAA t2.test";
    assert_eq!(names.asked(), format!("{hosts}, NAPTR x.test, SRV _sip._udp.y.test"));
    let taken = taken(&relay, 8);
    let counts = ["ms1", "ms2", "ms3"].map(|name| taken.matches(name).count());
    assert_eq!(counts, [6, 2, 0], "{taken}");
    assert!(!taken.contains("ms2 ms2"), "not in bursts: {taken}");
    relay.stop().assert(&[("chosen", 8)]);
}

#[test]
fn flag_16_asks_for_no_address_of_the_name_itself() {
    let names = NameServer::with("x.test 600 A 192.0.2.1\ny.test 600 A 192.0.2.1\n");
    let list = "1 sip:x.test 16\n1 sip:y.test:5060 16\n";
    let mut relay = Relay::with_list(list).config(&names.config()).start();
    relay.wait_log(0, &["no address is known for x.test, y.test"]);
    assert_eq!(names.asked(), "NAPTR x.test, SRV _sip._udp.x.test");
    Sipp::scenario("uac_404").calls_in_turn(relay.address(), 1).run().assert_all_succeeded(1);
    relay.stop().assert(&[("chosen", 0)]);
}

#[test]
fn a_relay_that_ends_does_not_wait_for_a_name_server() {
    let names = NameServer::with("");
    names.is(Mood::Hangs);
    let relay = Relay::with_list("1 sip:x.test\n").config(&names.config()).start();
    let asked = names.questions().len();
    // It is asking again.
    wait::until("a further question", || (names.questions().len() > asked).then_some(()));
    relay.stop();
}
