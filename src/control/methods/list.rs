//! The tree of `dispatcher.list`: Kamailio's names in Kamailio's order.
//!
//! What this relay does not track has its neutral value: no lookup time. RUNTIME is there in sets that count
//! calls. Kamailio has one address for each name; our further addresses come last in the full list.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::control::commands::{ListedAddress, ListedRecord, ListedSet, Listing};
use crate::health::Latency;
use crate::rpc::Value;

/// How much the list contains.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Detail {
    /// No attributes.
    Short,
    /// Attributes, if there are any.
    Normal,
    /// Everything.
    Full,
}

pub(super) fn tree(listing: &Listing, detail: Detail) -> Value {
    let sets = listing.sets.iter().map(|listed| Value::named("SET", set(listed, detail)));
    Value::object([
        ("NRSETS", Value::from(listing.sets.len())),
        ("RECORDS", Value::Array(sets.collect())),
    ])
}

fn set(listed: &ListedSet, detail: Detail) -> Value {
    let targets = listed.records.iter().enumerate();
    let targets = targets.map(|(at, record)| Value::named("DEST", destination(at, record, detail)));
    Value::object([("ID", Value::from(listed.id)), ("TARGETS", Value::Array(targets.collect()))])
}

fn destination(at: usize, record: &ListedRecord, detail: Detail) -> Value {
    let mut members = vec![
        ("IDX", Value::from(at)),
        ("URI", record.uri.as_str().into()),
        ("FLAGS", record.flags.letters().into()),
        ("PRIORITY", record.priority.into()),
        ("IUID", record.iuid.as_str().into()),
    ];
    if detail == Detail::Full {
        members.extend(reached(record));
    }
    let has_attributes = !record.attributes.text.is_empty();
    if detail == Detail::Full || (detail == Detail::Normal && has_attributes) {
        members.push(("ATTRS", attributes(record)));
    }
    if let Some(latency) = record.addresses.first().and_then(|first| first.latency) {
        members.push(("LATENCY", latency_of(latency)));
    }
    if let Some(calls) = record.calls() {
        let load = i64::try_from(calls).unwrap_or(i64::MAX);
        members.push(("RUNTIME", Value::object([("DLGLOAD", Value::Int(load))])));
    }
    if detail == Detail::Full {
        let addresses = record.addresses.iter().map(|a| Value::named("ADDRESS", address(a)));
        members.push(("ADDRESSES", Value::Array(addresses.collect())));
    }
    Value::object(members)
}

/// Returns the address and what Kamailio lists with it; all 0 if the name has no address.
fn reached(record: &ListedRecord) -> [(&'static str, Value); 11] {
    const UDP: i64 = 1;
    let first = record.addresses.first().map(|listed| listed.address.socket);
    let ip = first.map(|socket| socket.ip().to_string());
    let [rate, index, seq, seconds, microseconds] = overload(record.addresses.first());
    [
        ("HOST", host(&record.uri).into()),
        ("IPADDR", ip.into()),
        ("PORT", first.map_or(0, |socket| u32::from(socket.port())).into()),
        ("PROTOID", Value::Int(UDP)),
        ("DNSTIME_SEC", Value::Int(0)),
        ("DNSTIME_USEC", Value::Int(0)),
        ("OCRATE", rate),
        ("OCIDX", index),
        ("OCSEQ", seq),
        ("OCTIME_SEC", seconds),
        ("OCTIME_USEC", microseconds),
    ]
}

/// Returns the tree of `dispatcher.oclist`: an entry for each record.
pub(super) fn overload_tree(listed: &ListedSet) -> Value {
    let entries = listed.records.iter().map(|record| {
        let [rate, index, seq, seconds, microseconds] = overload(record.addresses.first());
        Value::object([
            ("group", Value::from(listed.id)),
            ("uri", record.uri.as_str().into()),
            ("flags", record.flags.letters().into()),
            ("priority", record.priority.into()),
            ("ocrate", rate),
            ("ocidx", index),
            ("ocseq", seq),
            ("octime_sec", seconds),
            ("octime_usec", microseconds),
            // A report is obeyed as it is.
            ("ocmin", Value::Int(0)),
            ("ocmax", Value::Int(100)),
        ])
    });
    Value::Array(entries.collect())
}

/// Returns the percentage that is kept from it, which of 100 INVITEs is next, the number of the report, and
/// until when it counts, in seconds and microseconds; all 0 if nothing is in force.
fn overload(listed: Option<&ListedAddress>) -> [Value; 5] {
    let Some(asked) = listed.and_then(|listed| listed.overload) else {
        return [0; 5].map(Value::Int);
    };
    let until = SystemTime::now() + Duration::from_millis(asked.left_ms);
    let until = until.duration_since(UNIX_EPOCH).unwrap_or_default();
    [
        Value::Int(asked.percent.into()),
        Value::Int(asked.turn.into()),
        asked.seq.seconds().into(),
        until.as_secs().into(),
        Value::Int(until.subsec_micros().into()),
    ]
}

/// Returns the host of `sip:HOST:PORT;…`.
fn host(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let end = match rest.find(']') {
        Some(bracket) => bracket + 1,
        None => rest.find([':', ';']).unwrap_or(rest.len()),
    };
    &rest[..end]
}

fn attributes(record: &ListedRecord) -> Value {
    let text = record.attributes.text.as_str();
    let word = |name| Value::from(attribute(text, name).map(str::to_owned));
    let number =
        |name| Value::Int(attribute(text, name).and_then(|text| text.parse().ok()).unwrap_or(0));
    Value::object([
        ("BODY", text.into()),
        ("DUID", word("duid")),
        ("PROBING_COUNT", record.addresses.first().map_or(0, |first| first.probing_count).into()),
        ("MAXLOAD", number("maxload")),
        ("WEIGHT", number("weight")),
        ("RWEIGHT", number("rweight")),
        ("SOCKET", word("socket")),
        ("SOCKNAME", word("sockname")),
        ("PING_SOCKET", word("ping_socket")),
        ("OBPROXY", word("obproxy")),
        ("OCMIN", number("ocmin")),
        ("OCMAX", number("ocmax")),
    ])
}

fn latency_of(latency: Latency) -> Value {
    Value::object([
        ("AVG", Value::Double(latency.average_ms)),
        ("STD", Value::Double(latency.deviation_ms)),
        ("EST", Value::Double(latency.estimate_ms)),
        ("MAX", latency.max_ms.into()),
        ("TIMEOUT", latency.timeouts.into()),
    ])
}

/// Returns the value of this name in `name=value;…`, ignoring its case.
fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs.find(|(other, _)| other.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn address(listed: &ListedAddress) -> Value {
    let socket = listed.address.socket;
    Value::object([
        ("IPADDR", Value::from(socket.ip().to_string())),
        ("PORT", u32::from(socket.port()).into()),
        ("FLAGS", listed.flags.letters().into()),
        ("PRIORITY", u32::from(listed.address.priority).into()),
        ("WEIGHT", u32::from(listed.address.weight).into()),
        ("REACHED", listed.slot.is_some().into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::destination::{Algorithm, Attributes, Flags};
    use crate::rpc::json::{Style, answer};
    use crate::stats::{SlotAnswers, SlotTraffic};

    fn record(uri: &str, attributes: &str) -> ListedRecord {
        ListedRecord {
            uri: uri.into(),
            flags: Flags::from_bits(8).unwrap(),
            priority: 5,
            attributes: Attributes { text: attributes.into(), ..Attributes::default() },
            origin: crate::destination::Origin::Row(1),
            iuid: "abc".into(),
            addresses: Vec::new(),
        }
    }

    fn text(record: ListedRecord, detail: Detail) -> String {
        let sets =
            vec![ListedSet { id: 1, algorithm: Algorithm::default(), records: vec![record] }];
        let text =
            answer(&Ok(tree(&Listing { sets, draining: false }, detail)), None, Style::Compact);
        let (_, text) = text.split_once("\"TARGETS\":").unwrap();
        text.trim_end_matches("}}]}}").to_owned()
    }

    #[test]
    fn names_and_order_are_kamailios() {
        let plain = r#"[{"DEST":{"IDX":0,"URI":"sip:a:1","FLAGS":"AP","PRIORITY":5,"IUID":"abc""#;
        assert_eq!(text(record("sip:a:1", ""), Detail::Normal), format!("{plain}}}}}]"));
        assert_eq!(text(record("sip:a:1", "duid=x"), Detail::Short), format!("{plain}}}}}]"));
        let with = record("sip:a:1", "DUID=x;Weight=50;prefix=49;socket=udp:127.0.0.1:5060");
        let wants = r#","ATTRS":{"BODY":"DUID=x;Weight=50;prefix=49;socket=udp:127.0.0.1:5060","DUID":"x","PROBING_COUNT":0,"MAXLOAD":0,"WEIGHT":50,"RWEIGHT":0,"SOCKET":"udp:127.0.0.1:5060","SOCKNAME":null,"PING_SOCKET":null,"OBPROXY":null,"OCMIN":0,"OCMAX":0}"#;
        assert_eq!(text(with, Detail::Normal), format!("{plain}{wants}}}}}]"));
    }

    #[test]
    fn the_latency_follows_the_attributes() {
        let mut latency = Latency::default();
        latency.answered(2, 100);
        latency.answered(3, 100);
        latency.timed_out();
        let mut record = record("sip:a:1", "weight=1");
        record.addresses = vec![ListedAddress {
            address: "192.0.2.1:5060".parse::<SocketAddr>().unwrap().into(),
            flags: Flags::default(),
            calls: None,
            slot: None,
            probing_count: 0,
            answer_ms: Some(3),
            latency: Some(latency),
            answer_us: None,
            slow_start: None,
            overload: None,
            reason: None,
            since: None,
            heard_ms_ago: None,
            silent_ms: None,
            traffic: SlotTraffic::default(),
            answers: SlotAnswers::default(),
        }];
        let wants =
            r#""LATENCY":{"AVG":2.500000,"STD":0.707107,"EST":2.500000,"MAX":3,"TIMEOUT":1}"#;
        for (detail, before) in [
            (Detail::Short, "\"IUID\":\"abc\","),
            (Detail::Normal, "\"OCMAX\":0},"),
            (Detail::Full, "\"OCMAX\":0},"),
        ] {
            let text = text(record.clone(), detail);
            assert!(text.contains(&format!("{before}{wants}")), "{text}");
        }
    }

    #[test]
    fn a_name_without_an_address_is_shown_so() {
        let full = text(record("sip:ms.example.com:5070", ""), Detail::Full);
        assert!(full.contains(r#""HOST":"ms.example.com","IPADDR":null,"PORT":0"#), "{full}");
        assert!(full.contains(r#""ADDRESSES":[]"#), "{full}");
        let socket: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
        let listed = ListedAddress {
            address: socket.into(),
            flags: Flags::default(),
            calls: Some(7),
            slot: None,
            probing_count: 3,
            answer_ms: None,
            latency: None,
            answer_us: None,
            slow_start: None,
            overload: None,
            reason: None,
            since: None,
            heard_ms_ago: None,
            silent_ms: None,
            traffic: SlotTraffic::default(),
            answers: SlotAnswers::default(),
        };
        let with = ListedRecord { addresses: vec![listed], ..record("sip:[2001:db8::1]", "") };
        let full = text(with, Detail::Full);
        assert!(full.contains(r#""PROBING_COUNT":3,"#), "{full}");
        assert!(full.contains(r#"},"RUNTIME":{"DLGLOAD":7},"ADDRESSES":["#), "{full}");
        assert!(full.contains(r#""HOST":"[2001:db8::1]","IPADDR":"2001:db8::1","PORT":5060"#));
        assert!(full.contains(r#""ADDRESS":{"IPADDR":"2001:db8::1""#), "{full}");
    }
}
