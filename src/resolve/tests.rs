//! What can be tested without a name server. With one: `tests/it/name_servers.rs`,
//! `tests/it/names.rs`.

use super::*;

fn records(list: &str) -> Vec<Record> {
    crate::source::parse("f", list.as_bytes()).unwrap().records
}

/// Nobody listens there, and nothing here is asked there: names under `.invalid` are known not to
/// exist (RFC 6761 §6.4).
fn nobody() -> [SocketAddr; 1] {
    [([127, 0, 0, 1], 1).into()]
}

fn told(resolved: &[Resolved]) -> Vec<String> {
    let addresses = |resolved: &Resolved| {
        let sockets = resolved.addresses.iter().map(|address| address.socket.to_string());
        sockets.collect::<Vec<_>>().join(" ")
    };
    resolved.iter().map(addresses).collect()
}

#[test]
fn what_is_not_asked() {
    let list = "1 sip:192.0.2.9\n2 sip:[2001:db8::9]:5080 16\n3 sip:a.localhost:5070\n\
                4 sip:localhost\n5 sip:a.localhost 16\n6 sip:a.localhost:5070 16\n";
    let resolver = Resolver::alone().unwrap();
    let (resolved, notes) = resolver.resolve(records(list), &nobody(), deadline());
    let told = told(&resolved);
    assert_eq!(told[0], "192.0.2.9:5060");
    assert_eq!(told[1], "[2001:db8::9]:5080");
    assert_eq!(told[2], "127.0.0.1:5070 [::1]:5070");
    assert!(told[3].starts_with("127.0.0.1:5060"), "/etc/hosts, port 5060: {told:?}");
    assert_eq!(told[4..], ["", ""], "flag 16: no address is looked up");
    assert_eq!(notes, ["no address is known for a.localhost: listed, but not used"]);
}

#[test]
fn names_without_an_address_are_told_and_not_all_of_them() {
    let list: String = (10..40).map(|n| format!("1 sip:ms{n}.invalid:5060\n")).collect();
    let resolver = Resolver::alone().unwrap();
    let (resolved, notes) = resolver.resolve(records(&list), &nobody(), deadline());
    assert!(resolved.iter().all(|resolved| resolved.addresses.is_empty()));
    let first: Vec<_> = (10..26).map(|n| format!("ms{n}.invalid")).collect();
    let note = "no address is known for {} and 14 more: listed, but not used";
    assert_eq!(notes, [note.replace("{}", &first.join(", "))]);
    assert!(resolver.next_refresh().unwrap() > Instant::now(), "not at once again");
    let refreshed = resolver.refresh(&resolved, &nobody());
    assert_eq!(refreshed, Refreshed::default(), "nothing new, and nothing said twice");
    assert_eq!(resolver.refresh(&[], &nobody()), Refreshed::default());
    assert_eq!(resolver.next_refresh(), None, "names that nobody needs are forgotten");
}

#[test]
fn what_was_found_for_somebody_else_is_looked_at_soon() {
    let list = records("1 sip:a.localhost:5070\n");
    let resolver = Resolver::alone().unwrap();
    let (resolved, _) = resolver.resolve(list.clone(), &nobody(), deadline());
    assert!(resolver.next_refresh().unwrap() <= Instant::now());
    let none = Resolved { record: list[0].clone(), addresses: Vec::new() };
    let refreshed = resolver.refresh(&[none], &nobody());
    assert_eq!(refreshed.records, Some(resolved));
    assert!(resolver.next_refresh().unwrap() > Instant::now());
    resolver.look_again();
    assert!(resolver.next_refresh().unwrap() <= Instant::now());
}
