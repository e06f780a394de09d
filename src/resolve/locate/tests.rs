//! RFC 3263 §4 as rows: a zone, what is asked, and the result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::limits::ADDRESSES_MAX;

/// One record a line, `NAME TYPE DATA`; `NAME TYPE fails` for a question that nobody answers, and
/// `NAME NAPTR again` if nobody did the last time. Everything else does not exist. A name with
/// `local` is known to the machine itself.
struct Zone {
    records: BTreeMap<Question, Vec<Data>>,
    failing: Vec<Question>,
    /// Questions that failed in an earlier lookup, too.
    had_failed: Vec<Question>,
    local: Vec<String>,
    now: Instant,
    /// Each question of the lookup, as `TYPE NAME`.
    asked: std::cell::RefCell<Vec<String>>,
    is_asked: std::cell::RefCell<Vec<Question>>,
}

impl Zone {
    fn new(text: &str) -> Self {
        let mut zone = Self {
            records: BTreeMap::new(),
            failing: Vec::new(),
            had_failed: Vec::new(),
            local: Vec::new(),
            now: Instant::now(),
            asked: Vec::new().into(),
            is_asked: Vec::new().into(),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse().unwrap();
            let name = |at: usize| words[at].trim_end_matches('.').to_owned();
            if words[1] == "local" {
                zone.local.push(words[0].into());
                continue;
            }
            let (kind, data) = match (words[1], words[2]) {
                ("A", "fails") => (QuestionType::A, None),
                ("AAAA", "fails") => (QuestionType::Aaaa, None),
                ("SRV", "fails") => (QuestionType::Srv, None),
                ("NAPTR", "fails") => (QuestionType::Naptr, None),
                ("NAPTR", "again") => {
                    zone.had_failed.push(Question::new(QuestionType::Naptr, words[0]));
                    continue;
                }
                ("A", ip) => (QuestionType::A, Some(Data::Ip(ip.parse().unwrap()))),
                ("AAAA", ip) => (QuestionType::Aaaa, Some(Data::Ip(ip.parse().unwrap()))),
                ("SRV", _) => {
                    let (priority, weight, port) = (number(2), number(3), number(4));
                    (QuestionType::Srv, Some(Data::Srv { priority, weight, port, target: name(5) }))
                }
                ("NAPTR", _) => {
                    let text = |at: usize| words[at].replace('-', "");
                    let data = Data::Naptr {
                        order: number(2),
                        preference: number(3),
                        flags: text(4),
                        service: text(5),
                        regexp: text(6),
                        replacement: name(7),
                    };
                    (QuestionType::Naptr, Some(data))
                }
                _ => panic!("{line}"),
            };
            let question = Question::new(kind, words[0]);
            match data {
                Some(data) => zone.records.entry(question).or_default().push(data),
                None => zone.failing.push(question),
            }
        }
        zone
    }

    /// Looks the name up to the end, and records what was asked on the way.
    fn locate(&self, wanted: &Wanted, names: &[String]) -> Located {
        loop {
            match locate(wanted, names, self) {
                Step::Done(located) => return located,
                Step::Ask(questions) => {
                    for q in questions {
                        let kind = format!("{:?}", q.kind).to_uppercase();
                        self.asked.borrow_mut().push(format!("{kind} {}", q.name));
                        assert!(!self.is_asked.borrow().contains(&q), "{q:?} twice");
                        self.is_asked.borrow_mut().push(q);
                    }
                }
            }
        }
    }
}

impl Knowledge for Zone {
    fn known(&self, question: &Question) -> Option<Known> {
        if !self.is_asked.borrow().contains(question) {
            return None;
        }
        let is_failing = self.failing.contains(question);
        let records = self.records.get(question).cloned().unwrap_or_default();
        Some(Known {
            records: (!is_failing).then(|| Arc::from(records)),
            is_failing,
            until: self.now + Duration::from_secs(if is_failing { 5 } else { 60 }),
        })
    }

    fn is_local(&self, name: &str) -> bool {
        self.local.iter().any(|local| local == name)
    }

    fn has_failed(&self, question: &Question) -> bool {
        self.had_failed.contains(question)
    }
}

const D2U: &str = "S SIP+D2U - ";

struct Row {
    says: &'static str,
    zone: String,
    /// `NAME[:PORT]`, then optionally `transport` and `16`.
    uri: &'static str,
    asked: &'static str,
    wants: &'static str,
}

fn row(
    says: &'static str,
    zone: &str,
    uri: &'static str,
    asked: &'static str,
    wants: &'static str,
) -> Row {
    Row { says, zone: zone.replace("D2U", D2U), uri, asked, wants }
}

#[test]
fn from_a_name_to_addresses() {
    let rows = [
        row(
            "with a port, only its addresses",
            "x A 192.0.2.1
             x AAAA 2001:db8::1
             _sip._udp.x SRV 1 1 5070 y",
            "x:5080",
            "A x, AAAA x",
            "0/0 192.0.2.1:5080, 0/0 [2001:db8::1]:5080",
        ),
        row("port 5060 is a port", "x A 192.0.2.1", "x:5060", "A x, AAAA x", "0/0 192.0.2.1:5060"),
        row(
            "neither NAPTR nor SRV: its addresses, and port 5060",
            "x A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x, A x, AAAA x",
            "0/0 192.0.2.1:5060",
        ),
        row(
            "SRV under its own name, with the port of the record",
            "_sip._udp.x SRV 20 0 5062 b
             _sip._udp.x SRV 10 1 5061 a
             a A 192.0.2.1
             b A 192.0.2.2
             x A 192.0.2.9",
            "x",
            "NAPTR x, SRV _sip._udp.x, A a, AAAA a, A b, AAAA b",
            "10/1 192.0.2.1:5061, 20/0 192.0.2.2:5062",
        ),
        row(
            "NAPTR to SRV to addresses, by another domain",
            "x NAPTR 50 50 S SIPS+D2T - _sips._tcp.x
             x NAPTR 90 50 S SIP+D2T - _sip._tcp.x
             x NAPTR 100 50 D2U _sip._udp.y.
             _sip._udp.y SRV 0 0 5060 a
             a A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.y, A a, AAAA a",
            "0/0 192.0.2.1:5060",
        ),
        row(
            "no NAPTR record for UDP: SRV under its own name",
            "x NAPTR 90 50 S SIP+D2T - _sip._tcp.x
             x NAPTR 91 50 U SIP+D2U !^.*$!sip:y! .
             x NAPTR 92 50 A SIP+D2U - y
             _sip._udp.x SRV 0 0 5061 a
             a A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x, A a, AAAA a",
            "0/0 192.0.2.1:5061",
        ),
        row(
            "of several NAPTR records the first in order, then in preference, that leads somewhere",
            "x NAPTR 20 1 D2U third
             x NAPTR 10 2 D2U second
             x NAPTR 10 1 D2U first
             second SRV 0 0 5062 a
             third SRV 0 0 5063 a
             a A 192.0.2.1",
            "x",
            "NAPTR x, SRV first, SRV second, A a, AAAA a",
            "0/0 192.0.2.1:5062",
        ),
        row(
            "a transport in the URI: no NAPTR",
            "x NAPTR 10 1 D2U y
             _sip._udp.x SRV 0 0 5061 a
             a A 192.0.2.1",
            "x transport",
            "SRV _sip._udp.x, A a, AAAA a",
            "0/0 192.0.2.1:5061",
        ),
        row(
            "the target . is the end of it",
            "_sip._udp.x SRV 0 0 0 .
             x A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x",
            "",
        ),
        row(
            "flag 16: services, not the name itself",
            "_sip._udp.x SRV 0 0 5061 a
             a A 192.0.2.1
             x A 192.0.2.9",
            "x 16",
            "NAPTR x, SRV _sip._udp.x, A a, AAAA a",
            "0/0 192.0.2.1:5061",
        ),
        row(
            "flag 16 without services: none",
            "x A 192.0.2.9",
            "x 16",
            "NAPTR x, SRV _sip._udp.x",
            "",
        ),
        row("flag 16 with a port: nothing to ask", "x A 192.0.2.9", "x:5060 16", "", ""),
        row(
            "what the machine knows is not put to name servers",
            "x local
             x A 192.0.2.1
             _sip._udp.x SRV 0 0 5061 a",
            "x",
            "A x, AAAA x",
            "0/0 192.0.2.1:5060",
        ),
        row(
            "nobody knows NAPTR: on to SRV",
            "x NAPTR fails
             _sip._udp.x SRV 0 0 5061 a
             a A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x, A a, AAAA a",
            "0/0 192.0.2.1:5061 failing",
        ),
        row(
            "NAPTR and SRV fail: the addresses of the name itself, as Kamailio does",
            "x NAPTR fails
             _sip._udp.x SRV fails
             x A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x, A x, AAAA x",
            "0/0 192.0.2.1:5060 failing fallback",
        ),
        row(
            "only SRV fails: the same",
            "_sip._udp.x SRV fails
             x A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x, A x, AAAA x",
            "0/0 192.0.2.1:5060 failing fallback",
        ),
        row(
            "SRV fails, and the transport is written: the same",
            "_sip._udp.x SRV fails
             x A 192.0.2.1",
            "x transport",
            "SRV _sip._udp.x, A x, AAAA x",
            "0/0 192.0.2.1:5060 failing fallback",
        ),
        row(
            "all of it fails",
            "x NAPTR fails
             _sip._udp.x SRV fails
             x A fails
             x AAAA fails",
            "x",
            "NAPTR x, SRV _sip._udp.x, A x, AAAA x",
            "failing fallback",
        ),
        row(
            "a NAPTR record says that there is a service: the name itself is another machine",
            "x NAPTR 10 1 D2U y
             y SRV fails
             x A 192.0.2.1",
            "x",
            "NAPTR x, SRV y",
            "failing",
        ),
        row(
            "flag 16, and SRV fails: never the name itself",
            "x NAPTR fails
             _sip._udp.x SRV fails
             x A 192.0.2.1",
            "x 16",
            "NAPTR x, SRV _sip._udp.x",
            "failing",
        ),
        row(
            "NAPTR failed the last time: SRV does not wait for it",
            "x NAPTR again
             x NAPTR 10 1 D2U y
             y SRV 0 0 5062 a
             a A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x, SRV y, A a, AAAA a",
            "0/0 192.0.2.1:5062",
        ),
        row(
            "one family of two is enough",
            "x A 192.0.2.1
             x AAAA fails",
            "x:5060",
            "A x, AAAA x",
            "0/0 192.0.2.1:5060 failing",
        ),
        row(
            "a service that leads to itself ends",
            "x NAPTR 1 1 D2U _sip._udp.x
             _sip._udp.x SRV 0 0 5060 _sip._udp.x
             _sip._udp.x SRV 0 0 5060 x",
            "x",
            "NAPTR x, SRV _sip._udp.x, A _sip._udp.x, AAAA _sip._udp.x, A x, AAAA x",
            "",
        ),
        row(
            "one target in two records is asked for once",
            "_sip._udp.x SRV 1 1 5060 a
             _sip._udp.x SRV 1 1 5061 a
             a A 192.0.2.1",
            "x",
            "NAPTR x, SRV _sip._udp.x, A a, AAAA a",
            "1/1 192.0.2.1:5060, 1/1 192.0.2.1:5061",
        ),
    ];
    for row in rows {
        let zone = Zone::new(&row.zone);
        let mut words = row.uri.split(' ');
        let host_port = words.next().unwrap();
        let (name, port) = host_port
            .split_once(':')
            .map_or((host_port, None), |(name, port)| (name, Some(port.parse().unwrap())));
        let rest: Vec<_> = words.collect();
        let wanted = Wanted {
            name: name.into(),
            port,
            has_transport: rest.contains(&"transport"),
            only_services: rest.contains(&"16"),
        };
        let located = zone.locate(&wanted, &[name.into()]);
        assert_eq!(told(&located), row.wants, "{}", row.says);
        assert_eq!(zone.asked.borrow().join(", "), row.asked, "{}", row.says);
    }
}

fn told(located: &Located) -> String {
    let address = |a: &Address| format!("{}/{} {}", a.priority, a.weight, a.socket);
    let addresses: Vec<_> = located.addresses.iter().map(address).collect();
    let failing = if located.is_failing { " failing" } else { "" };
    let fallback = if located.is_fallback { " fallback" } else { "" };
    format!("{}{failing}{fallback}", addresses.join(", ")).trim().to_owned()
}

fn plain(name: &str, port: Option<u16>) -> Wanted {
    Wanted { name: name.into(), port, has_transport: false, only_services: false }
}

#[test]
fn the_first_full_name_that_has_an_address() {
    let zone = Zone::new("x.b A 192.0.2.2\nx.c A 192.0.2.3\n");
    let names = ["x.a", "x.b", "x.c"].map(str::to_owned);
    let located = zone.locate(&plain("x", Some(5060)), &names);
    assert_eq!(told(&located), "0/0 192.0.2.2:5060");
    assert_eq!(zone.asked.borrow().join(", "), "A x.a, AAAA x.a, A x.b, AAAA x.b");
}

#[test]
fn it_counts_until_the_first_of_its_answers_is_over() {
    let zone = Zone::new("x A 192.0.2.1\nx AAAA fails\n");
    let located = zone.locate(&plain("x", Some(5060)), &["x".into()]);
    assert_eq!(located.until, Some(zone.now + Duration::from_secs(5)));
    assert_eq!(located.questions.len(), 2);
}

#[test]
fn records_without_end_are_cut() {
    let naptr: String = (0..100).map(|n| format!("x NAPTR 1 {n} D2U s{n}\n")).collect();
    let zone = Zone::new(&naptr.replace("D2U", D2U));
    let located = zone.locate(&plain("x", None), &["x".into()]);
    assert_eq!(told(&located), "");
    assert_eq!(zone.asked.borrow().len(), 1 + SERVICES_MAX + 2);
    assert_eq!(located.cuts, [Cut { of: "NAPTR records", used: SERVICES_MAX, all: 100 }]);

    // Each target has three addresses.
    let zone_of = |count: usize| {
        let srv = (0..count).map(|n| format!("_sip._udp.x SRV {} 1 5060 t{n}\n", count - n));
        let ips = (0..3 * count).map(|n| format!("t{} A 10.0.{}.{}\n", n / 3, n / 200, n % 200));
        Zone::new(&srv.chain(ips).collect::<String>())
    };
    for (count, targets, addresses) in [
        (40, 40, 120),
        (TARGETS_MAX, TARGETS_MAX, ADDRESSES_MAX),
        (TARGETS_MAX + 7, TARGETS_MAX, ADDRESSES_MAX),
    ] {
        let zone = zone_of(count);
        let located = zone.locate(&plain("x", None), &["x".into()]);
        let asked = zone.asked.borrow();
        assert_eq!(asked.len(), 2 + 2 * targets, "{count}");
        assert!(asked.contains(&format!("A t{}", count - 1)), "those of the best priority");
        assert_eq!(located.addresses.len(), addresses, "{count}");
        let cuts = [("SRV records", targets, count), ("addresses", addresses, 3 * targets)];
        let cuts = cuts.into_iter().filter(|(_, used, all)| used < all);
        let cuts: Vec<_> = cuts.map(|(of, used, all)| Cut { of, used, all }).collect();
        assert_eq!(located.cuts, cuts, "{count}");
    }
}
