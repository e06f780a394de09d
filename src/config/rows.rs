//! Configurations as rows: what is written, and what becomes of it.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::destination::{Algorithm, Choosing, Limits, Part, UriOf};
use crate::health::{Codes, Mode, Passive, Probing};
use crate::log::Template;
use crate::proxy::{ForeignRoute, InDialog, OverLimit, Rewrite, SourceMatch, StatusLine};
use crate::transaction::{Failover, WhenFull};

const MINIMAL: &str =
    "[relay]\nlisten = [\"udp:192.0.2.1:5060\"]\n[destinations]\nsource = \"list:d.list\"\n";

fn read(text: &str) -> Result<Config, Vec<Problem>> {
    Config::from_text(Path::new("strowger.toml"), text, &Flags::default())
}

fn told(text: &str, flags: &Flags) -> Vec<String> {
    let result = Config::from_text(Path::new("strowger.toml"), text, flags);
    let problems = result.expect_err("this configuration is wrong");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let config = read(MINIMAL).unwrap();
    assert_eq!(config.relay.workers, Workers::PerCore);
    assert_eq!(config.relay.steering, Steering::Auto);
    assert_eq!(config.relay.receive_buffer_bytes, 4 << 20);
    assert_eq!(config.relay.peak_requests_per_second, 10_000);
    assert!(!config.relay.populate_pins);
    assert_eq!(config.relay.poll, Poll::Adaptive);
    assert_eq!(config.relay.grace, Duration::from_secs(30));
    assert_eq!(config.policy.set, 1);
    assert_eq!(config.policy.max_breadth, None);
    assert_eq!(config.set_default.no_destination.code, 404);
    assert_eq!(config.destinations.source, Source::List("d.list".into()));
    assert!(config.set_default.record_route && config.warnings.is_empty());
    let left = Template::parse("DISPATCH: left <$du> after $ms ms: $why ($ci)");
    assert_eq!((config.log.dispatch, Ok(config.log.left)), (None, left));
    assert!(config.policy.allows(&"203.0.113.9:5060".parse().unwrap()));
    assert_eq!(config.hep, None);
}

#[test]
fn every_key() {
    let text = r#"
[relay]
listen = ["udp:192.0.2.1:5060", { address = "udp:[2001:db8::1]:5070", name = "west", advertise = "sip.example.com", force_rport = true, set = 3 }]
alias = ["example.com", "[2001:db8::2]:5061"]
workers = 4
steering = "off"
allow = ["192.0.2.0/24"]
receive_buffer_bytes = 1_048_576
peak_requests_per_second = 500
populate_pins = true
grace_s = 0
state_dir = "/tmp/state"
transactions_max = 5_000
transactions_bytes = 2_000_000
poll = "spin"
poll_gather_us = 20
keys = ["7:0000000000000000000000000000000000000000000000000000000000000001"]

[dispatch]
set = 2
algorithm = 4
forwarding = "stateless"
record_route = false
no_destination = { code = 480, reason = "Später" }
foreign_route = "keep"
rewrite = "domain"
in_dialog = "route"
stateless_retry = "off"
in_dialog_to = ["198.51.100.0/24"]
source_match = "address"
options = "always"
max_breadth = 60
calls_per_second = 100
burst = 20
calls_max = 300
source_calls_per_second = 10_000
source_burst = 1_000
over_limit = { code = 500, reason = "Full", retry_after_s = 0 }
[dispatch.emergency]
numbers = ["112", "+49-30-112"]
resource_priority = ["esnet.0"]
resource_priority_from = ["192.0.2.0/24"]
per_source = 1_000

[set.2]
record_route = true
no_destination.code = 503
calls_per_second = 0
source_calls_per_second = 5
[set.3]
foreign_route = "refuse"
over_limit.retry_after_s = 3600
[set.4]

[destinations]
source = "list:/etc/d.list"

[events]
command = ["/bin/true", "--site", "west"]
webhook = "https://monitoring.example.com/hook"
timeout_ms = 100

[hep]
address = "tcp:[2001:db8::9]:9061"
capture_id = 4_294_967_295
password = "pass word"
share_percent = 5

[log]
level = "warn"
format = "json"
dispatch = "DISPATCH: going to <$ru> via <$du>\n"
left = "left $du: $why"
"#;
    let config = read(text).unwrap();
    let relay = &config.relay;
    assert_eq!(relay.listen[1].name.as_deref(), Some("west"));
    assert_eq!(relay.listen[1].advertise, Some(("sip.example.com".into(), 5070)));
    assert!(relay.listen[1].force_rport && !relay.listen[0].force_rport);
    assert_eq!((relay.listen[0].set, relay.listen[1].set), (None, Some(3)));
    assert_eq!(config.sets_in_use(), [2, 3].into());
    assert_eq!(relay.alias[0], ("example.com".into(), 5060));
    assert_eq!(relay.alias[1], ("[2001:db8::2]".into(), 5061));
    assert_eq!(relay.workers, Workers::Count(4));
    assert_eq!(relay.steering, Steering::Off);
    assert_eq!(relay.receive_buffer_bytes, 1 << 20);
    assert_eq!((relay.peak_requests_per_second, relay.grace), (500, Duration::ZERO));
    assert!(relay.populate_pins);
    assert_eq!((relay.transactions_max, relay.transactions_bytes), (5_000, 2_000_000));
    assert_eq!((relay.poll, relay.poll_gather), (Poll::Spin, Duration::from_micros(20)));
    assert_eq!(relay.state_dir.as_deref(), Some(Path::new("/tmp/state")));
    assert_eq!((relay.keys[0].id, relay.keys[0].secret[31]), (7, 1));
    let policy = &config.policy;
    assert!(policy.allows(&"192.0.2.9:1".parse().unwrap()));
    assert!(!policy.allows(&"198.51.100.9:1".parse().unwrap()));
    assert!(policy.in_dialog_to[0].contains("198.51.100.9".parse().unwrap()));
    assert_eq!((policy.set, policy.max_breadth), (2, Some(60)));
    assert_eq!(policy.source_match, SourceMatch::Address);
    assert!(policy.options_always_ok);
    let emergency = &policy.emergency;
    assert_eq!(
        (&*emergency.numbers, emergency.per_source),
        (&["112", "+4930112"].map(String::from)[..], 1_000)
    );
    assert_eq!(emergency.resource_priority, ["esnet.0"]);
    assert!(emergency.resource_priority_from[0].contains("192.0.2.7".parse().unwrap()));
    let default = &config.set_default;
    assert_eq!(default.choosing.algorithm, Algorithm::RoundRobin);
    assert!(!default.record_route);
    assert_eq!((default.foreign_route, default.rewrite), (ForeignRoute::Keep, Rewrite::Domain));
    assert_eq!((default.in_dialog, default.retry), (InDialog::Route, false));
    assert!(SetPolicy::default().retry);
    let set = &config.sets[&2];
    assert!(set.record_route);
    assert_eq!((set.no_destination.code, set.no_destination.reason.as_str()), (503, "Später"));
    let limits = |calls_per_second| Limits { calls_per_second, burst: 20, calls_max: 300 };
    assert_eq!((default.limits, set.limits), (limits(100), limits(0)));
    let limits = |calls_per_second| Limits { calls_per_second, burst: 1_000, calls_max: 0 };
    assert_eq!((default.source_limits, set.source_limits), (limits(10_000), limits(5)));
    let over_limit = |retry_after_s| OverLimit {
        status: StatusLine { code: 500, reason: "Full".into() },
        retry_after_s,
    };
    assert_eq!(default.over_limit, over_limit(0));
    assert_eq!(config.sets[&3].over_limit, over_limit(3_600));
    assert_eq!(config.sets[&3].foreign_route, ForeignRoute::Refuse);
    assert!(!config.sets[&3].record_route, "a set starts from the defaults");
    assert_eq!(config.destinations.source, Source::List("/etc/d.list".into()));
    assert_eq!((config.log.level, config.log.json), (tracing::Level::WARN, true));
    assert!(config.log.dispatch.is_some());
    assert_eq!(Ok(&config.log.left), Template::parse("left $du: $why").as_ref());
    let events = EventsConfig {
        command: ["/bin/true", "--site", "west"].map(str::to_owned).into(),
        webhook: Some("https://monitoring.example.com/hook".into()),
        timeout: Duration::from_millis(100),
    };
    assert_eq!(config.events, events);
    let hep = HepConfig {
        address: "[2001:db8::9]:9061".parse().unwrap(),
        is_tcp: true,
        capture_id: u32::MAX,
        password: Some("pass word".into()),
        share_percent: 5,
    };
    assert_eq!(config.hep, Some(hep));
    let [route, unused] = &*config.warnings else { panic!("{:?}", config.warnings) };
    assert!(route.starts_with("record_route = false"), "{route}");
    assert_eq!(unused, "[set.4] has no effect: requests are dispatched to set 2, 3");
    assert!(!format!("{config:?}").contains("secret: ["));
}

#[test]
fn how_destinations_are_watched() {
    let text = r#"
[dispatch]
passive = false
[dispatch.probing]
mode = "all"
method = "info"
interval_ms = 5_000
timeout_ms = 700
doubt_interval_ms = 300
failures = 3
successes = 2
accept = ["4xx", 503, 404]
full_s = 20
full_s_max = 30
latency_alpha = 250
from = "sip:relay@example.com"
max_forwards = 0
socket = "udp:192.0.2.1"
outbound_proxy = "sip:192.0.2.9:5070"
probes_per_second_max = 77
[set.2.probing]
mode = 0
[set.2.passive]
icmp = false
silence_requests = 0
failure_percent = 75
failure_calls = 7
flap_changes = 0
panic_percent = 30
[set.3]
passive = true
"#;
    let config = read(&format!("{MINIMAL}{text}")).unwrap();
    let wants = Probing {
        mode: Mode::All,
        method: "INFO".into(),
        interval_ms: 5_000,
        timeout_ms: 700,
        doubt_interval_ms: 300,
        failures: 3,
        successes: 2,
        accept: Codes::parse("4xx,503,404").unwrap(),
        full_s: 20,
        full_s_max: 30,
        latency_alpha: 250,
        from: "sip:relay@example.com".into(),
        max_forwards: 0,
        socket: Some("192.0.2.1:5060".parse().unwrap()),
        outbound_proxy: Some("192.0.2.9:5070".parse().unwrap()),
    };
    assert_eq!(*config.set_default.probing, wants);
    assert_eq!(config.policy.probes_per_second_max, 77);
    assert!(!config.set_default.passive.is_on && config.sets[&3].passive.is_on);
    assert_eq!(*config.sets[&2].probing, Probing { mode: Mode::FlaggedOnce, ..wants });
    let wants = Passive {
        is_on: true,
        icmp: false,
        silence_requests: 0,
        failure_percent: 75,
        failure_calls: 7,
        flap_changes: 0,
        panic_percent: 30,
    };
    assert_eq!(*config.sets[&2].passive, wants);
    assert!(!config.warnings.iter().any(|warning| warning.contains("socket")));
    let text = format!("{MINIMAL}[set.1.probing]\nsocket = \"udp:192.0.2.1:5070\"\n");
    let warnings = read(&text).unwrap().warnings;
    let wants = "[set.1.probing] socket = \"udp:192.0.2.1:5070\" is not one of relay.listen";
    assert!(warnings.len() == 1 && warnings[0].starts_with(wants), "{warnings:?}");
    let config = read(MINIMAL).unwrap();
    assert_eq!(*config.set_default.probing, Probing::default());
    assert_eq!(*config.set_default.passive, Passive::default());
    assert_eq!(config.policy.probes_per_second_max, 1_000);
}

#[test]
fn stateful_sets() {
    let config = read(MINIMAL).unwrap();
    assert!(config.set_default.stateful.is_none() && !config.policy.is_stateful);
    let text = "[dispatch]\nforwarding = \"stateful\"\n[dispatch.failover]\nfirst_response_ms = 300\nprogress_ms = 5_000\nringing_ms = 200_000\ntotal_ms = 9_000\ncodes = [500, 486]\ntries = 15\nretries_percent = 50\nretries_min = 7\nwhen_full = \"refuse\"\n[set.2]\nforwarding = \"stateless\"\n[set.3.failover]\ntries = 1\n";
    let config = read(&format!("{MINIMAL}{text}")).unwrap();
    let wants = Failover {
        first_response_ms: 300,
        progress_ms: 5_000,
        ringing_ms: 200_000,
        total_ms: 9_000,
        codes: [486, 500].into_iter().collect(),
        tries_max: 15,
        retries_percent: 50,
        retries_min: 7,
        when_full: WhenFull::Refuse,
    };
    assert_eq!(config.set_default.stateful.as_deref(), Some(&wants));
    assert!(config.sets[&2].stateful.is_none() && config.policy.is_stateful);
    assert_eq!(config.sets[&3].stateful.as_deref(), Some(&Failover { tries_max: 1, ..wants }));
    // A second table of the same set goes on from the first; a set alone can be stateful, too.
    let config = read(&format!("{MINIMAL}[set.2]\nforwarding = \"stateful\"\n")).unwrap();
    assert!(config.set_default.stateful.is_none() && config.policy.is_stateful);
    assert_eq!(config.sets[&2].stateful.as_deref(), Some(&Failover::default()));
}

#[test]
fn sets_with_overload_control() {
    let has = |text: &str| {
        let config = read(&format!("{MINIMAL}{text}")).unwrap();
        let of = SetPolicy::controls_overload;
        (config.policy.controls_overload, of(&config.set_default), config.sets.values().any(of))
    };
    assert_eq!(has(""), (false, false, false));
    assert_eq!(has("[dispatch]\noverload_control = true\n"), (true, true, false));
    assert_eq!(has("[dispatch]\nalgorithm = 64\noverload_control = false\n"), (true, true, false));
    assert_eq!(has("[set.2]\nalgorithm = \"overload-control\"\n"), (true, false, true));
    assert_eq!(has("[set.2]\noverload_control = true\nalgorithm = 8\n"), (true, false, true));
    let text = "[dispatch]\noverload_control = true\n[set.2]\noverload_control = false\n";
    assert_eq!(has(text), (true, true, false));
    let flags = Flags { algorithm: Some("64".into()), ..Flags::default() };
    let config = Config::from_text(Path::new("strowger.toml"), MINIMAL, &flags).unwrap();
    assert!(config.policy.controls_overload);
}

#[test]
fn how_sets_choose() {
    let text = "[relay]\nlisten = [\"udp:192.0.2.1\"]\n[destinations]\nsource = \"list:d\"\n[dispatch]\nalgorithm = \"from-hash\"\ncompat = \"kamailio\"\nhash_user_only = true\n[set.1]\nalgorithm = \"consistent\"\nhash_over = \"from.user+to.user\"\ncompat = \"none\"\n[set.2]\nuse_default = true\n";
    let config = read(text).unwrap();
    let default = Choosing {
        algorithm: Algorithm::FromHash,
        is_kamailio: true,
        hash_user_only: true,
        ..Choosing::default()
    };
    assert_eq!(config.set_default.choosing, default);
    let consistent = Choosing {
        algorithm: Algorithm::Consistent,
        is_kamailio: false,
        hash_over: vec![Part::User(UriOf::From), Part::User(UriOf::To)],
        ..default.clone()
    };
    assert_eq!(config.sets[&1].choosing, consistent);
    assert_eq!(config.sets[&2].choosing, Choosing { use_default: true, ..default });
    let told = config.warnings.join("\n");
    assert!(told.contains("hash_user_only has no effect with the algorithm consistent"), "{told}");
    let text = text.replace("consistent", "weighted");
    let told = read(&text).unwrap().warnings.join("\n");
    assert!(told.contains("hash_over has no effect with the algorithm weighted"), "{told}");
    let text = format!("{MINIMAL}[dispatch]\nalgorithm = 13\n[dispatch.probing]\nmode = \"off\"\n");
    let config = read(&text).unwrap();
    assert_eq!(config.set_default.choosing.algorithm, Algorithm::Latency);
    let wants =
        "the algorithm latency knows only what the attribute latency says: no probe measures it";
    assert!(config.warnings[0].starts_with(wants), "{:?}", config.warnings);
    assert_eq!(read(&text.replace("13", "\"fastest\"")).unwrap().warnings, [""; 0]);
    assert_eq!(read(&text.replace("off", "all")).unwrap().warnings, [""; 0]);
}

#[test]
fn tiers_and_slow_starts() {
    let text = format!(
        "{MINIMAL}[dispatch]\nalgorithm = 15\nspill_over = false\nslow_start_ms = 30_000\n"
    );
    let choosing = read(&text).unwrap().set_default.choosing;
    assert!(choosing.stays_in_tier() && choosing.slow_start_ms == 30_000);
    let choosing = read(&text.replace("false", "true")).unwrap().set_default.choosing;
    assert!(!choosing.stays_in_tier());
    assert!(!read(MINIMAL).unwrap().set_default.choosing.stays_in_tier());
    let told = read(&text.replace("15", "4")).unwrap().warnings;
    assert_eq!(told, ["spill_over = false has no effect with the algorithm round-robin"]);
}

#[test]
fn load_factors() {
    for (text, wants) in [
        ("1.25", 125),
        ("1.5", 150),
        ("2", 200),
        ("1.01", 101),
        ("10", 1_000),
        ("10.00", 1_000),
        ("0", 0),
        ("0.0", 0),
    ] {
        let text = format!("{MINIMAL}[dispatch]\nalgorithm = 0\nload_factor = {text}\n");
        let config = read(&text).unwrap();
        assert_eq!(config.set_default.choosing.load_factor_percent, wants, "{text}");
        assert_eq!(config.warnings, [""; 0]);
    }
    let text = format!("{MINIMAL}[dispatch]\nload_factor = 1.25\n");
    let told = read(&text).unwrap().warnings.join("\n");
    assert_eq!(told, "load_factor has no effect with the algorithm round-robin");
}

#[test]
fn a_key_that_is_missing_is_told_of_the_flag_too() {
    let flags = Flags { algorithm: Some("7".into()), ..Flags::default() };
    let told = told(MINIMAL, &flags);
    assert!(
        told[0].starts_with("--algorithm: key-hash has nothing to hash: add hash_over"),
        "{told:?}"
    );
    let text = format!("{MINIMAL}[dispatch]\nhash_over = \"call-id\"\n");
    let config = Config::from_text(Path::new("/etc/strowger.toml"), &text, &flags).unwrap();
    assert_eq!(config.set_default.choosing.algorithm, Algorithm::KeyHash);
}

#[test]
fn who_may_be_sent_to_in_a_dialog_is_who_may_send() {
    for dispatch in ["", "[dispatch]\nset = 1\n"] {
        let text = format!(
            "[relay]\nallow = [\"192.0.2.0/24\"]\nlisten = [\"udp:192.0.2.1\"]\n{dispatch}[destinations]\nsource = \"list:d\"\n"
        );
        let config = read(&text).unwrap();
        assert_eq!(config.policy.in_dialog_to, config.policy.allow);
        assert_eq!(config.policy.allow.len(), 1);
    }
}

/// Each line is put under its section, in line 6, of a configuration that is right without it.
const WRONG_LINES: &[(&str, &str, &str)] = &[
    (
        "dispatch",
        "algorithm = \"round-robn\"",
        "[dispatch] algorithm: \"round-robn\" is not an algorithm: did you mean \"round-robin\"?",
    ),
    (
        "dispatch",
        "slow_start_ms = 3_600_001",
        "[dispatch] slow_start_ms: 3600001 is out of range: write a number from 0 to 3600000 ms, 0 for none",
    ),
    (
        "dispatch",
        "load_factor = 1",
        "[dispatch] load_factor: 1 is not such a number: write a number from 1.01 to 10 with at most two decimals, or 0 for none",
    ),
    (
        "dispatch",
        "load_factor = 1.255",
        "[dispatch] load_factor: 1.255 is not such a number: write a number from 1.01 to 10",
    ),
    ("dispatch", "load_factor = -1.25", "[dispatch] load_factor: -1.25 is not such a number"),
    (
        "dispatch",
        "load_factor = \"1.25\"",
        "[dispatch] load_factor: a string where a number belongs: write a number from 1.01 to 10",
    ),
    (
        "dispatch",
        "algorithm = 16",
        "[dispatch] algorithm: 16 is not the number of an algorithm: write a number of Kamailio's (0 to 11, 13 to 15, 64) or a name",
    ),
    (
        "dispatch",
        "algorithm = 7",
        "[dispatch] algorithm: key-hash has nothing to hash: add hash_over, such as hash_over = \"from.user\"",
    ),
    (
        "dispatch",
        "hash_over = \"call_id\"",
        "[dispatch] hash_over: \"call_id\" is not a part of a message: did you mean \"call-id\"?",
    ),
    (
        "dispatch",
        "compat = \"opensips\"",
        "[dispatch] compat: \"opensips\" is not a compat: write one of \"kamailio\", \"none\"",
    ),
    (
        "dispatch",
        "use_default = 1",
        "[dispatch] use_default: a whole number where true or false belongs",
    ),
    (
        "set.2",
        "hash_user_only = 1",
        "[set.2] hash_user_only: a whole number where true or false belongs",
    ),
    (
        "dispatch",
        "algorithm = true",
        "[dispatch] algorithm: true or false where a name or number belongs: write a name such as \"round-robin\", or Kamailio's number",
    ),
    (
        "dispatch",
        "record-route = true",
        "[dispatch] unknown key \"record-route\": did you mean \"record_route\"?",
    ),
    (
        "dispatch",
        "record_route = \"yes\"",
        "[dispatch] record_route: a string where true or false belongs: write true or false, without quotes",
    ),
    (
        "dispatch",
        "set = -1",
        "[dispatch] set: -1 is out of range: write a number from 0 to 2147483647",
    ),
    (
        "dispatch",
        "set = 1.5",
        "[dispatch] set: a number with a fraction where a whole number belongs",
    ),
    (
        "dispatch",
        "no_destination = { code = 399 }",
        "[dispatch] no_destination code: 399 is out of range: write a number from 400 to 699",
    ),
    (
        "dispatch",
        "no_destination = { reason = \"a\\r\\nb\" }",
        "[dispatch] no_destination reason: not a reason phrase: write 1 to 128 bytes without line ends",
    ),
    (
        "dispatch",
        "calls_per_second = 1_000_001",
        "[dispatch] calls_per_second: 1000001 is out of range: write a number from 0 to 1000000, 0 for no limit",
    ),
    (
        "dispatch",
        "burst = 0\ncalls_per_second = 9",
        "[dispatch] burst: 0 is out of range: write a number from 1 to 1000000",
    ),
    (
        "dispatch",
        "calls_max = 2_147_483_648",
        "[dispatch] calls_max: 2147483648 is out of range: write a number from 0 to 2147483647, 0 for no limit",
    ),
    (
        "dispatch",
        "burst = 9",
        "[dispatch] burst: there is no calls_per_second whose burst it is: write calls_per_second, too",
    ),
    (
        "dispatch",
        "source_calls_per_second = 10_001",
        "[dispatch] source_calls_per_second: 10001 is out of range: write a number from 0 to 10000, 0 for no limit",
    ),
    (
        "set.2",
        "source_burst = 1_001\nsource_calls_per_second = 9",
        "[set.2] source_burst: 1001 is out of range: write a number from 1 to 1000",
    ),
    (
        "set.2",
        "source_burst = 9",
        "[set.2] source_burst: there is no source_calls_per_second whose burst it is: write source_calls_per_second, too",
    ),
    (
        "dispatch",
        "emergency = { number = [\"112\"] }",
        "[dispatch] emergency unknown key \"number\": did you mean \"numbers\"?",
    ),
    (
        "dispatch.emergency",
        "numbers = [\"urn:service:sos\"]",
        "[dispatch] emergency numbers: \"urn:service:sos\" is not a number: write 1 to 32 of the characters 0 to 9, * and #, a + before them if callers write one",
    ),
    (
        "dispatch.emergency",
        "per_source = 1_001\nnumbers = []",
        "[dispatch] emergency per_source: 1001 is out of range: write a number from 0 to 1000, 0 if none may pass a limit",
    ),
    (
        "dispatch.emergency",
        "resource_priority = [\"esnet\"]\nresource_priority_from = [\"192.0.2.1\"]",
        "[dispatch] emergency resource_priority: \"esnet\" is not a value of Resource-Priority: write NAMESPACE.PRIORITY, such as \"esnet.0\"",
    ),
    (
        "dispatch.emergency",
        "resource_priority = [\"esnet.0\"]",
        "[dispatch] emergency resource_priority: it does not say whose: add resource_priority_from, the addresses that may send it",
    ),
    (
        "dispatch.emergency",
        "resource_priority_from = [\"192.0.2.1\"]",
        "[dispatch] emergency resource_priority_from: there is no resource_priority that it is about: add resource_priority, too",
    ),
    (
        "set.2",
        "emergency = { numbers = [\"112\"] }",
        "[set.2] emergency holds for the whole relay: write it under [dispatch]",
    ),
    (
        "dispatch",
        "over_limit = { retry_after_s = 3_601 }",
        "[dispatch] over_limit retry_after_s: 3601 is out of range: write a number from 0 to 3600 seconds",
    ),
    ("dispatch", "over_limit = { seconds = 1 }", "[dispatch] over_limit unknown key \"seconds\""),
    (
        "dispatch",
        "no_destination = 404",
        "[dispatch] no_destination: a whole number where a table belongs: write { key = value, … }",
    ),
    (
        "dispatch",
        "foreign_route = \"drop\"",
        "[dispatch] foreign_route: \"drop\" is not a foreign_route: write one of \"remove\", \"keep\", \"refuse\"",
    ),
    ("dispatch", "options = \"allways\"", "did you mean \"always\"?"),
    (
        "dispatch",
        "in_dialog_to = [\"192.0.2.1/24\"]",
        "write 192.0.2.0/24, or 192.0.2.1 for that address alone",
    ),
    ("dispatch", "stateless_retry = \"inactiv\"", "did you mean \"inactive\"?"),
    (
        "set.x",
        "record_route = true",
        "[set.x]: \"x\" is not the number of a set: write [set.N], N from 0 to 2147483647",
    ),
    (
        "set.2",
        "in_dialog_to = []",
        "[set.2] in_dialog_to holds for the whole relay: write it under [dispatch]",
    ),
    (
        "set.2",
        "algorithm = 12",
        "[set.2] algorithm: algorithm 12 (parallel) is not available in this version: a call would go to all destinations at once: write \"first\", and forwarding = \"stateful\" to try the next one if that fails",
    ),
    (
        "dispatch",
        "forwarding = \"statefull\"",
        "[dispatch] forwarding: \"statefull\" is not a forwarding: did you mean \"stateful\"?",
    ),
    (
        "dispatch.failover",
        "tries = 2",
        "[dispatch] failover: requests are forwarded statelessly, so each is tried once: write forwarding = \"stateful\", too",
    ),
    (
        "dispatch",
        "failover = { tries = 16 }\nforwarding = \"stateful\"",
        "[dispatch] failover tries: 16 is out of range: write a number from 1 to 15",
    ),
    (
        "dispatch",
        "failover = { fr_timer = 2000 }\nforwarding = \"stateful\"",
        "[dispatch] failover \"fr_timer\" is Kamailio's word: write first_response_ms, in milliseconds",
    ),
    (
        "dispatch",
        "failover = { ringing_ms = 9_999 }\nforwarding = \"stateful\"",
        "[dispatch] failover ringing_ms: 9999 is out of range: write a number from 10000 to 3600000 (milliseconds)",
    ),
    (
        "dispatch",
        "failover = { codes = [600] }\nforwarding = \"stateful\"",
        "[dispatch] failover codes: a 6xx means that nobody else is to be asked: write final codes from 300 to 599",
    ),
    (
        "dispatch",
        "failover = { codes = [200] }\nforwarding = \"stateful\"",
        "[dispatch] failover codes: not a final code: write final codes from 300 to 599",
    ),
    (
        "dispatch",
        "failover = { codes = 503 }\nforwarding = \"stateful\"",
        "[dispatch] failover codes: not a list: write final codes from 300 to 599",
    ),
    (
        "probing",
        "interval_ms = 5",
        "\"probing\" is not available in this version: write [dispatch.probing], or [set.N.probing]",
    ),
    (
        "dispatch.probing",
        "mode = 4",
        "[dispatch] probing mode: \"4\" is not a mode: write one of \"off\", \"flagged-once\", \"all\"",
    ),
    (
        "dispatch.probing",
        "mode = \"flaged\"",
        "[dispatch] probing mode: \"flaged\" is not a mode: did you mean \"flagged\"?",
    ),
    (
        "dispatch.probing",
        "interval_s = 5",
        "[dispatch] probing \"interval_s\" is Kamailio's word: write interval_ms, in milliseconds",
    ),
    (
        "dispatch.probing",
        "interval_ms = 99",
        "[dispatch] probing interval_ms: 99 is out of range: write a number from 100 to 3600000 (milliseconds)",
    ),
    (
        "dispatch.probing",
        "failures = 0",
        "[dispatch] probing failures: 0 is out of range: write a number from 1 to 100",
    ),
    (
        "dispatch.probing",
        "latency_alpha = 1000",
        "[dispatch] probing latency_alpha: 1000 is out of range: write a number from 1 to 999 (thousandths)",
    ),
    (
        "dispatch.probing",
        "failure = 1",
        "[dispatch] probing unknown key \"failure\": did you mean \"failures\"?",
    ),
    (
        "dispatch.probing",
        "method = \"INVITE\"",
        "[dispatch] probing method: \"INVITE\" cannot be probed with: write \"OPTIONS\"",
    ),
    (
        "dispatch.probing",
        "accept = [199]",
        "[dispatch] probing accept: \"199\" is not a status code: write 200 to 699, or a class",
    ),
    (
        "dispatch.probing",
        "accept = [true]",
        "[dispatch] probing accept: true or false where a status code belongs: write accept = ",
    ),
    (
        "dispatch.probing",
        "from = \"<sip:a@b>\"",
        "[dispatch] probing from: \"<sip:a@b>\" is not a SIP URI: write \"sip:USER@HOST\"",
    ),
    (
        "dispatch.probing",
        "socket = \"192.0.2.1:5060\"",
        "[dispatch] probing socket: \"192.0.2.1:5060\" lacks the transport",
    ),
    (
        "dispatch.probing",
        "outbound_proxy = \"sip:proxy.example.com\"",
        "[dispatch] probing outbound_proxy: \"sip:proxy.example.com\" does not name an address: write",
    ),
    (
        "set.2.probing",
        "probes_per_second_max = 5",
        "[set.2] probing probes_per_second_max holds for the whole relay: write it under [dispatch.probing]",
    ),
    (
        "set.2",
        "passive = 0",
        "[set.2] passive: a whole number where true, false or a table belongs: write true, false or {",
    ),
    (
        "set.2.passive",
        "panic_percent = 101",
        "[set.2] passive panic_percent: 101 is out of range: write a number from 0 to 100 (%)",
    ),
    (
        "set.2.passive",
        "silence = 5",
        "[set.2] passive unknown key \"silence\": write one of \"icmp\", \"silence_requests\"",
    ),
    ("dispach", "set = 1", "unknown key \"dispach\": did you mean \"dispatch\"?"),
    (
        "log",
        "level = \"warning\"",
        "[log] level: \"warning\" is not a level: write one of \"error\", \"warn\"",
    ),
    (
        "log",
        "dispatch = \"$rx\"",
        "[log] dispatch: \"$rx\" is not a pseudo-variable: did you mean \"$ru\"?",
    ),
    ("log", "left = \"$m\"", "[log] left: \"$m\" is not a pseudo-variable"),
    ("log", "format = “json”", "write straight quotes"),
    ("log", "level \"info\"", ""),
];

#[test]
fn one_wrong_line() {
    for (section, line, wants) in WRONG_LINES {
        let text = format!("{MINIMAL}[{section}]\n{line}\n");
        let told = told(&text, &Flags::default());
        assert_eq!(told.len(), 1, "{line}: {told:?}");
        assert!(told[0].contains(wants), "{line}: {told:?}");
        let place = told[0].split(": ").next().unwrap();
        assert!(["strowger.toml:5", "strowger.toml:6"].contains(&place), "{told:?}");
    }
}

#[test]
fn wrong_relays() {
    let key = "00".repeat(32);
    for (lines, wants) in [
        ("listen = []", "nothing to listen on: write [relay] listen"),
        (
            "listen = \"udp:192.0.2.1\"",
            "a string where a list belongs: write a list: listen = [\"udp:192.0.2.1:5060\"]",
        ),
        ("listen = [5060]", "a whole number where a string or table belongs"),
        ("listen = [\"192.0.2.1:5060\"]", "lacks the transport: write udp:192.0.2.1:5060"),
        ("listen = [\"tcp:192.0.2.1:5060\"]", "tcp is not available in this version"),
        (
            "listen = [\"udp:192.0.2.1\", \"udp:192.0.2.1:5060\"]",
            "udp:192.0.2.1:5060 is listed twice",
        ),
        (
            "listen = [\"udp:0.0.0.0\", \"udp:192.0.2.1:5060\"]",
            "overlap: write only the wildcard, or only addresses",
        ),
        ("listen = [{ name = \"a\" }]", "[relay] listen lacks an address"),
        (
            "listen = [{ address = \"udp:192.0.2.1\", nam = \"a\" }]",
            "unknown key \"nam\": did you mean \"name\"?",
        ),
        ("listen = [{ address = \"udp:192.0.2.1\", name = \"a b\" }]", "is no name"),
        (
            "listen = [{ address = \"udp:0.0.0.0\", advertise = \"a\" }]",
            "stands for several listeners",
        ),
        (
            "listen = [{ address = \"udp:192.0.2.1\", advertise = \"sip:a\" }]",
            "\"sip:a\" is not a host",
        ),
        (
            "listen = [{ address = \"udp:192.0.2.1\", name = \"a\" }, { address = \"udp:192.0.2.2\", name = \"a\" }]",
            "two listeners are called \"a\"",
        ),
        (
            "listen = [\"udp:192.0.2.1\"]\nworkers = 0",
            "workers: 0 is out of range: write a number from 1 to 256, or \"per-core\"",
        ),
        (
            "listen = [\"udp:192.0.2.1\"]\nworkers = \"all\"",
            "write \"per-core\" or a number from 1 to 256",
        ),
        ("listen = [\"udp:192.0.2.1\"]\nallow = []", "an empty list lets nobody through"),
        ("listen = [\"udp:192.0.2.1\"]\nreceive_buffer_bytes = 1", "131072 to 1073741824 (bytes)"),
        ("listen = [\"udp:192.0.2.1\"]\ngrace_s = 3601", "0 to 3600 (seconds)"),
        ("listen = [\"udp:192.0.2.1\"]\nstate_dir = \"\"", "not a path"),
        (
            &format!("listen = [\"udp:192.0.2.1\"]\nkeys = [\"1:{key}\", \"1:{key}\"]"),
            "two keys have the number 1",
        ),
        ("listen = [\"udp:192.0.2.1\"]\nkeys = [\"5e\"]", "a key without its number"),
        ("listen = [\"udp:192.0.2.1\"]\nkeys = [5]", "a whole number where a string belongs"),
    ] {
        let text = format!("[destinations]\nsource = \"list:d\"\n[relay]\n{lines}\n");
        let told = told(&text, &Flags::default());
        assert_eq!(told.len(), 1, "{lines}: {told:?}");
        assert!(told[0].contains(wants), "{lines}: {told:?}");
    }
}

#[test]
fn all_problems_in_the_order_of_the_lines() {
    let text = "[relay]\nlisten = [\"udp:x\"]\nworkers = 999\n[destinations]\nsource = \"oracle://u:secret@h/d\"\n[log]\nlevel = 5\n";
    let flags = Flags {
        set: Some(u32::MAX),
        algorithm: Some("rr".into()),
        log_level: Some("loud".into()),
        ..Flags::default()
    };
    let told = told(text, &flags);
    let places = told.iter().map(|told| told.split(": ").next().unwrap()).collect::<Vec<_>>();
    let wants = [
        "strowger.toml:2",
        "strowger.toml:3",
        "strowger.toml:5",
        "strowger.toml:7",
        "--set",
        "--algorithm",
        "--log-level",
    ];
    assert_eq!(places, wants, "{told:?}");
    assert!(!told.concat().contains("secret"));
}

#[test]
fn flags_alone_and_over_a_file() {
    let flags = Flags {
        listen: vec!["udp:127.0.0.1:5080".into()],
        list: Some("x.list".into()),
        db: None,
        set: Some(3),
        algorithm: Some("4".into()),
        workers: Some(2),
        log_level: Some("debug".into()),
        log_format: Some("json".into()),
        dispatch_line: Some("$ci".into()),
        config: None,
    };
    let alone = Config::load(&flags).unwrap();
    let over = Config::from_text(Path::new("/etc/strowger.toml"), MINIMAL, &flags).unwrap();
    for config in [alone, over] {
        assert_eq!(config.relay.listen.len(), 1);
        assert_eq!(config.relay.listen[0].address.port(), 5080);
        assert_eq!(config.destinations.source, Source::List("x.list".into()));
        assert_eq!((config.policy.set, config.relay.workers), (3, Workers::Count(2)));
        assert_eq!((config.log.level, config.log.json), (tracing::Level::DEBUG, true));
        assert!(config.log.dispatch.is_some());
    }
    let nothing = Config::load(&Flags::default()).unwrap_err();
    assert_eq!(nothing.len(), 1, "{nothing:?}");
    assert!(nothing[0].to_string().contains("--listen udp:ADDRESS:PORT"));
}

#[test]
fn a_path_in_a_file_is_beside_that_file() {
    let file = Path::new("/etc/strowger/strowger.toml");
    let config = Config::from_text(file, MINIMAL, &Flags::default()).unwrap();
    assert_eq!(config.destinations.source, Source::List("/etc/strowger/d.list".into()));
}

#[test]
fn a_reload_takes_what_it_can_and_names_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let flags = Flags { config: Some(directory.path().join("strowger.toml")), ..Flags::default() };
    let write = |text: &str| std::fs::write(directory.path().join("strowger.toml"), text).unwrap();
    write(MINIMAL);
    let config = Config::load(&flags).unwrap();
    let more = "[relay]\nworkers = 3\nallow = [\"192.0.2.0/24\"]\nlisten = [\"udp:192.0.2.1:5060\"]\n\
                [dispatch]\nset = 5\n[destinations]\nsource = \"list:e.list\"\n[events]\ntimeout_ms = 500\n\
                [hep]\naddress = \"udp:192.0.2.9:9060\"\n[log]\nlevel = \"debug\"\n";
    write(more);
    let (new, changed) = config.reload(&flags).unwrap();
    let wants = [
        "relay.workers changed: takes effect at the next start",
        "events changed: takes effect at the next start",
        "hep changed: takes effect at the next start",
        "log.level changed: takes effect at the next start",
    ];
    assert_eq!((changed, &new.events), (wants.map(str::to_owned).into(), &config.events));
    assert_eq!((new.policy.set, new.policy.allow.len()), (5, 1));
    assert_eq!(new.relay.workers, Workers::PerCore);
    assert_eq!(new.destinations.source, Source::List(directory.path().join("e.list")));
    assert!(!new.policy.is_stateful);
    write(&format!("{more}[set.7]\nforwarding = \"stateful\"\n"));
    let (stateful, _) = new.reload(&flags).unwrap();
    assert!(stateful.policy.is_stateful);
    write(more);
    let (new, _) = stateful.reload(&flags).unwrap();
    assert!(new.policy.is_stateful, "its transactions have not ended");
    write("[relay]\nlisten = 5\n[log]\nlevel = 5\n");
    assert_eq!(new.reload(&flags).unwrap_err().len(), 2);
    std::fs::remove_file(directory.path().join("strowger.toml")).unwrap();
    let gone = new.reload(&flags).unwrap_err();
    assert!(gone[0].to_string().contains("cannot be read"), "{gone:?}");
}

/// A list or a program in the place of the configuration: each line is a mistake of its own, and
/// all of them looked at took minutes.
#[test]
fn a_file_that_is_no_configuration_is_not_searched_to_its_end() {
    for text in ["x\n".repeat(100_000), "[a]\n".repeat(100_000)] {
        let problems = read(&text).unwrap_err();
        assert_eq!(problems.len(), crate::limits::PROBLEMS_MAX + 1);
        assert_eq!(problems.last().unwrap().what, "900 more problems");
    }
}

#[test]
fn a_broken_line_hides_no_other() {
    let text = format!("{MINIMAL}[log]\nlevel = \nformat = \"xml\"\n[dispatch]\nset = \"1\"\n");
    let told = told(&text, &Flags::default());
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("strowger.toml:6: "), "{told:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = read(&text);
    }

    #[test]
    fn likely_text_is_read_or_refused(
        text in "(\\[relay\\]|\\[dispatch\\]|\\[set\\.2\\]|\\[|\\]|listen|keys|workers|allow|algorithm|no_destination|=|\"|udp:|1|\\{|\\}|,|\\.|é|\n| ){0,40}"
    ) {
        let _ = read(&text);
    }

    #[test]
    fn any_value_of_any_key(
        key in "relay\\.(listen|alias|workers|allow|keys|grace_s)|dispatch\\.(set|algorithm|no_destination|max_breadth|passive)|dispatch\\.probing\\.(mode|accept|from|socket|failures)|log\\.dispatch|set\\.[0-9]{1,12}\\.algorithm",
        value in "\"[ -!#-~]{0,20}\"|\\[\"[ -!#-~]{0,20}\"\\]|-?[0-9]{1,25}|0x[0-9a-f]{1,20}|true|[0-9]\\.[0-9]|\\{ code = [0-9]{1,4} \\}|1979-05-27"
    ) {
        let _ = read(&format!("{key} = {value}\n"));
    }
}

#[test]
fn destinations_of_a_database() {
    let text = r#"
[relay]
listen = ["udp:192.0.2.1:5060"]
[destinations]
source = "mysql://kamailio:p@ss/w?rd@db.example.com:3307/kamailio"
table = "ds"
version_table = "v"
setid_col = "a"
destination_col = "b"
flags_col = "c"
priority_col = "d"
attrs_col = "e"
db_extra_attrs = "duid=node_id; weight=share;"
load_mode = "skip"
removed_percent_max = 0
write_back = true
name_servers = ["192.0.2.53", "[2001:db8::53]:5353"]
"#;
    let read = Config::from_text(Path::new("f.toml"), text, &Flags::default()).unwrap();
    let read = read.destinations;
    let names = TableNames {
        table: "ds".into(),
        version_table: "v".into(),
        set: "a".into(),
        destination: "b".into(),
        flags: "c".into(),
        priority: "d".into(),
        attributes: "e".into(),
    };
    let Source::Mysql(url) = &read.source else { panic!("{read:?}") };
    assert_eq!(url.parts().unwrap().password.as_deref(), Some("p@ss/w?rd"));
    assert_eq!(read.source.to_string(), "mysql://db.example.com:3307/kamailio");
    assert_eq!(read.table, names);
    let pairs = [("duid", "node_id"), ("weight", "share")];
    assert_eq!(read.extra_attributes, pairs.map(|(name, column)| (name.into(), column.into())));
    assert_eq!((read.load_mode, read.removed_percent_max), (LoadMode::Skip, 0));
    assert!(read.write_back);
    let servers = ["192.0.2.53:53", "[2001:db8::53]:5353"].map(|text| text.parse().unwrap());
    assert_eq!(read.name_servers, servers);
}

#[test]
fn a_database_beside_the_file_when_none_is_named() {
    let text = "[relay]\nlisten = [\"udp:192.0.2.1:5060\"]\n";
    let read = Config::from_text(Path::new("/etc/s/f.toml"), text, &Flags::default()).unwrap();
    assert_eq!(read.destinations.source, Source::Sqlite("/etc/s/strowger.db".into()));
    let flags = Flags { db: Some("sqlite:x.db".into()), ..Flags::default() };
    let read = Config::from_text(Path::new("/etc/s/f.toml"), text, &flags).unwrap();
    assert_eq!(read.destinations.source, Source::Sqlite("x.db".into()));
}

#[test]
fn control_sockets() {
    let with = |lines: &str| format!("{MINIMAL}[control]\n{lines}\n");
    let read = |lines: &str| {
        let read = Config::from_text(Path::new("f.toml"), &with(lines), &Flags::default());
        read.unwrap().control
    };
    assert_eq!(read(""), ControlConfig::default());
    let all = "socket = \"/run/s/s.sock\"\nfifo = \"/run/s/f\"\nfifo_reply_dir = \"/run/s\"\n\
               datagram = \"unixd:/run/s/d\"\nbinrpc = \"/run/s/ctl\"\nhttp = \"[::1]:8060\"";
    let wants = ControlConfig {
        socket: ControlSocket::At("/run/s/s.sock".into()),
        fifo: Some("/run/s/f".into()),
        fifo_reply_dir: "/run/s".into(),
        datagram: Some("/run/s/d".into()),
        binrpc: Some("/run/s/ctl".into()),
        http: Some("[::1]:8060".parse().unwrap()),
    };
    assert_eq!(read(all), wants);
    assert_eq!(read("socket = \"off\"").socket, ControlSocket::Off);
    let long = format!("fifo = \"/{}\"", "x".repeat(107));
    for (lines, wants) in [
        ("fifo = \"rpc.fifo\"", "not an absolute path"),
        (long.as_str(), "of at most 107 bytes"),
        ("http = \"0.0.0.0:8060\"", "can be reached from other machines"),
        ("http = \"8060\"", "not an address and port"),
        ("fifos = \"/x\"", "did you mean \"fifo\"?"),
    ] {
        let told = told(&with(lines), &Flags::default());
        assert_eq!(told.len(), 1, "{lines}: {told:?}");
        assert!(told[0].contains(wants), "{lines}: {told:?}");
    }
}

#[test]
fn mistakes_about_events() {
    for (lines, wants) in [
        ("command = []", "command: an empty list: write the path of a program"),
        ("command = [\"notify\"]", "command: notify is not an absolute path: write the path"),
        ("command = [\"/no/such\"]", "command: /no/such is not a file"),
        ("command = \"/bin/true\"", "write a list: command = [\"/usr/local/bin/on-change\""),
        ("webhook = \"ftp://h/\"", "webhook: \"ftp://h/\" is not a URL of HTTP: write https://"),
        ("webhook = \"http:///p\"", "is not a URL of HTTP"),
        ("webhook = \"http://h/a b\"", "is not a URL of HTTP"),
        ("timeout_ms = 99", "100 to 60000 (milliseconds)"),
        ("comand = []", "did you mean \"command\"?"),
    ] {
        let told = told(&format!("{MINIMAL}[events]\n{lines}\n"), &Flags::default());
        assert_eq!(told.len(), 1, "{lines}: {told:?}");
        assert!(told[0].contains(wants), "{lines}: {told:?}");
    }
}

#[test]
fn homer_by_default_and_mistakes_about_it() {
    let config = read(&format!("{MINIMAL}[hep]\naddress = \"udp:192.0.2.9:9060\"\n")).unwrap();
    let hep = config.hep.unwrap();
    assert_eq!(
        (hep.is_tcp, hep.capture_id, hep.password, hep.share_percent),
        (false, 2_001, None, 100)
    );
    let right = "write udp:ADDRESS:PORT or tcp:ADDRESS:PORT";
    for (lines, wants) in [
        ("capture_id = 7", "[hep] does not say where Homer is: address is missing: write udp:"),
        ("address = \"192.0.2.9:9060\"", right),
        ("address = \"udp:homer.example.com:9060\"", right),
        ("address = \"tcp:192.0.2.9\"", right),
        ("address = \"udp:192.0.2.9:0\"", right),
        ("address = \"udp:0.0.0.0:9060\"", right),
        ("address = 9060", "a whole number where a string belongs"),
        ("address = \"udp:192.0.2.9:9060\"\nshare_percent = 0", "1 to 100 (%)"),
        ("address = \"udp:192.0.2.9:9060\"\nshare_percent = 101", "1 to 100 (%)"),
        ("address = \"udp:192.0.2.9:9060\"\ncapture_id = 4_294_967_296", "0 to 4294967295"),
        ("address = \"udp:192.0.2.9:9060\"\npassword = \"\"", "write 1 to 256 bytes"),
        ("adress = \"\"\naddress = \"udp:192.0.2.9:9060\"", "did you mean \"address\"?"),
    ] {
        let told = told(&format!("{MINIMAL}[hep]\n{lines}\n"), &Flags::default());
        assert_eq!(told.len(), 1, "{lines}: {told:?}");
        assert!(told[0].contains(wants), "{lines}: {told:?}");
    }
}

#[test]
fn mistakes_about_databases() {
    for (lines, wants) in [
        ("source = \"mysql://h\"", "does not name a host and a database"),
        ("source = \"postgres:///d\"", "does not name a host and a database"),
        ("source = \"mysql://h/?x\"", "does not name a host and a database"),
        ("source = \"sqlite:\"", "lacks the path"),
        ("source = \"list:d\"\ntable = \"a; DROP\"", "table: \"a; DROP\" is not a name"),
        ("source = \"list:d\"\nload_mode = \"strict\"", "is not a load_mode"),
        ("source = \"list:d\"\nremoved_percent_max = 101", "0 to 100 %"),
        ("source = \"list:d\"\nname_servers = [\"ns1\"]", "\"ns1\" is not an address"),
        ("source = \"list:d\"\ndb_extra_attrs = \"duid\"", "an attribute and a column"),
        ("db_url = \"mysql://h/d\"", "\"db_url\" is Kamailio's word: write source = "),
        ("list_file = \"d\"", "\"list_file\" is Kamailio's word: write source = \"list:PATH\""),
        ("table_name = \"d\"", "\"table_name\" is Kamailio's word: write table = "),
        ("ds_load_mode = 1", "\"ds_load_mode\" is Kamailio's word: write load_mode = "),
        ("source = \"x.db\"", "does not say its kind: write \"sqlite:x.db\""),
        ("source = \"x.list\"", "does not say its kind: write \"list:x.list\""),
        ("source = \"x\"", "does not say its kind: write list:PATH, sqlite:PATH, mysql://"),
        (
            "ds_ping_interval = 1",
            "\"ds_ping_interval\" is Kamailio's word: write interval_ms under [dispatch.probing], in",
        ),
    ] {
        let text = format!("[relay]\nlisten = [\"udp:192.0.2.1:5060\"]\n[destinations]\n{lines}\n");
        let told = told(&text, &Flags::default());
        assert_eq!(told.len(), 1, "{lines}: {told:?}");
        assert!(told[0].contains(wants), "{lines}: {told:?}");
    }
}

#[test]
fn words_of_kamailio_and_its_whole_file() {
    let flags = Flags::default();
    let text = "[relay]\nlisten = [\"udp:192.0.2.1:5060\"]\nchildren = 8\n[destinations]\nsource = \"list:d\"\n";
    let wants = "\"children\" is Kamailio's word: write workers = \"per-core\", or a number";
    assert!(told(text, &flags)[0].ends_with(wants), "{:?}", told(text, &flags));
    for text in [
        "#!KAMAILIO\n",
        "#!define X\n/* x */\nloadmodule \"tm.so\"\n",
        "debug=2\nroute {\n  exit;\n}\n",
        "listen=udp:192.0.2.1:5060\nrequest_route {\n}\n",
    ] {
        let said = told(text, &flags);
        if text == "#!KAMAILIO\n" {
            // To TOML it is a comment.
            assert!(said.iter().all(|said| said.contains("nothing to listen on")), "{said:?}");
            continue;
        }
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert!(said[0].contains("this is a configuration of Kamailio: make"), "{said:?}");
        assert!(said[0].contains("strowger import "), "{said:?}");
    }
    for (db, wants) in [
        ("x.db", "--db: source does not say its kind: write \"sqlite:x.db\""),
        ("x", "--db: source does not say its kind: write sqlite:PATH, mysql://"),
        ("d.list", "--db: source does not say its kind: give a list with --list FILE"),
    ] {
        let flags = Flags { db: Some(db.into()), ..Flags::default() };
        let said = told("[relay]\nlisten = [\"udp:192.0.2.1:5060\"]\n", &flags);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(wants), "{said:?}");
    }
}
