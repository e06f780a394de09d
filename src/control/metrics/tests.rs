//! What is written, read back line by line.

#![allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "they are small whole numbers")]

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::control::tests::Running;
use crate::destination::{DestinationState, Slot};
use crate::message::Method;
use crate::proxy::{Event, Heard};

/// The samples of a text, and its families with their types.
#[derive(Debug, Default)]
struct Read {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Read {
    /// Reads the text of a relay.
    ///
    /// # Panics
    /// If a line is none, or a sample or a family occurs twice.
    fn of(commands: &Commands, asked: Asked) -> Self {
        let mut text = String::new();
        write(commands, asked, &mut text).unwrap();
        let mut read = Self::default();
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# ") {
                let words: Vec<_> = head.splitn(3, ' ').collect();
                if let ["TYPE", name, kind] = words[..] {
                    assert_eq!(read.types.insert(name.to_owned(), kind.to_owned()), None, "{name}");
                }
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            let before = read.samples.insert(name.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{name}");
        }
        read
    }

    fn value(&self, sample: &str) -> Option<f64> {
        self.samples.get(sample).copied()
    }

    /// The samples whose names begin so, without their beginning.
    fn all(&self, start: &str) -> Vec<(&str, f64)> {
        let samples = self.samples.iter();
        samples.filter_map(|(name, value)| Some((name.strip_prefix(start)?, *value))).collect()
    }
}

fn heard(slot: Slot, code: u16, is_first: bool, age_ms: u32) -> Event<'static> {
    Event::Heard(Heard {
        slot,
        method: Method::Invite,
        code,
        is_first,
        is_final: code >= 200,
        age_ms: Some(age_ms),
        retry_after_s: None,
        failed: None,
    })
}

const LIST: &str = "1 sip:192.0.2.1 0 0 weight=30\n1 sip:192.0.2.2 8 0 duid=b\n2 sip:192.0.2.1\n";
const FIRST: &str = "set=\"1\",destination=\"sip:192.0.2.1\",address=\"192.0.2.1:5060\"";

#[test]
fn every_counter_is_there_once() {
    let running = Running::with(LIST);
    let commands = running.commands();
    let read = Read::of(&commands, Asked::default());
    let mut families = BTreeSet::new();
    for (name, value) in commands.totals().iter() {
        let of_group = GROUP_NAMES.iter().find_map(|(group, label)| {
            let member = name.strip_prefix(group)?.strip_prefix('.')?;
            Some(format!("strowger_{group}_total{{{label}=\"{member}\"}}"))
        });
        let single = name.replace('.', "_");
        let is_gauge = ["calls.in_progress", "capture.armed", "draining", "transactions.live"]
            .contains(&&*name);
        let single = format!("strowger_{single}{}", if is_gauge { "" } else { "_total" });
        let sample = of_group.unwrap_or(single);
        assert_eq!(read.value(&sample), Some(value as f64), "{name}: {sample}");
        let family = sample.split('{').next().unwrap().to_owned();
        let kind = read.types.get(&family).map(String::as_str);
        assert_eq!(kind, Some(if is_gauge { "gauge" } else { "counter" }), "{family}");
        families.insert(family);
    }
    assert!(families.len() > 30);
    assert_eq!(read.value("strowger_worker_received_total{worker=\"0\"}"), Some(0.0));
}

const GROUP_NAMES: [(&str, &str); 8] = [
    ("answered", "with"),
    ("dropped", "reason"),
    ("forwarded", "by"),
    ("icmp", "kind"),
    ("probes", "what"),
    ("send_failed", "reason"),
    ("sent", "cause"),
    ("tries", "left_because"),
];

#[test]
fn each_destination_has_its_figures() {
    let running = Running::with(LIST);
    let commands = running.commands();
    let traffic = running.traffic();
    let slot = |set: usize, at: usize| commands.list().sets[set].records[at].addresses[0].slot;
    let (first, second) = (slot(0, 0).unwrap(), slot(0, 1).unwrap());
    for event in [
        heard(first, 100, true, 3),
        heard(first, 180, false, 40),
        heard(first, 200, false, 900),
        heard(second, 503, true, 7),
    ] {
        traffic.count(0, &event);
    }
    running.put_in(1, "sip:192.0.2.2", DestinationState::Disabled);
    let read = Read::of(&commands, Asked::default());
    let of = |family: &str| read.value(&format!("strowger_destination_{family}{{{FIRST}}}"));
    assert_eq!(of("state"), Some(0.0));
    assert_eq!(of("selectable"), Some(1.0));
    assert_eq!(of("probed"), Some(0.0));
    assert_eq!(of("weight"), Some(30.0));
    assert_eq!(of("answered_total"), Some(1.0));
    let class =
        |class| format!("strowger_destination_responses_total{{{FIRST},class=\"{class}\"}}");
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"].map(|name| read.value(&class(name)));
    assert_eq!(classes, [2.0, 1.0, 0.0, 0.0, 0.0, 0.0].map(Some));
    for method in ["INVITE", "other"] {
        let sample = format!("strowger_destination_requests_total{{{FIRST},method=\"{method}\"}}");
        assert_eq!(read.value(&sample), Some(0.0));
    }

    // Another one, by its labels: it is not active, and has no weight.
    let labels = "set=\"1\",destination=\"sip:192.0.2.2\",address=\"192.0.2.2:5060\",duid=\"b\"";
    let of = |family: &str| read.value(&format!("strowger_destination_{family}{{{labels}}}"));
    assert_eq!((of("state"), of("selectable"), of("weight")), (Some(4.0), Some(0.0), None));
    let states = read.all(&format!("strowger_destination_in_state{{{labels},state="));
    let on: Vec<_> = states.iter().filter(|(_, value)| *value == 1.0).collect();
    assert_eq!((states.len(), on), (5, vec![&("\"disabled\"}", 1.0)]));

    // The same server in two sets is two destinations.
    assert_eq!(read.all("strowger_destination_state{").len(), 3);
    assert_eq!(read.all("strowger_destination_calls{"), [], "no set counts its calls");
}

#[test]
fn times_are_those_of_sets_and_of_destinations_if_asked() {
    let running = Running::with(LIST);
    let commands = running.commands();
    for at in 0..2 {
        let slot = commands.list().sets[0].records[at].addresses[0].slot.unwrap();
        running.traffic().count(0, &heard(slot, 200, true, 900));
    }
    let read = Read::of(&commands, Asked::default());
    for (what, wants) in [("first", 2.0), ("final", 2.0)] {
        let of = |rest: &str| read.value(&format!("strowger_set_{what}_response_seconds_{rest}"));
        assert_eq!(of("count{set=\"1\"}"), Some(wants));
        assert_eq!(of("sum{set=\"1\"}"), Some(1.8));
        assert_eq!(of("count{set=\"2\"}"), Some(0.0));
        // Each bucket contains those below it.
        let bucket = |bound: &str| {
            read.samples
                .iter()
                .find(|(name, _)| {
                    name.starts_with(&format!("strowger_set_{what}_response_seconds_bucket{{"))
                        && name.contains("set=\"1\"")
                        && name.contains(&format!("le=\"{bound}\""))
                })
                .map(|(_, value)| *value)
        };
        assert_eq!([bucket("0.5"), bucket("1"), bucket("+Inf")], [0.0, 2.0, 2.0].map(Some));
    }
    let of_first = format!("strowger_destination_first_response_seconds_count{{{FIRST}}}");
    assert_eq!(read.value(&of_first), None);
    let asked = Asked { histograms_by_destination: true, ..Asked::default() };
    assert_eq!(Read::of(&commands, asked).value(&of_first), Some(1.0));
}

#[test]
fn boards_made_for_kamailio_keep_working() {
    let running = Running::with(LIST);
    running.put_in(1, "sip:192.0.2.2", DestinationState::Disabled);
    let commands = running.commands();
    assert_eq!(Read::of(&commands, Asked::default()).all("kamailio_"), []);
    let read = Read::of(&commands, Asked { kamailio_names: true, ..Asked::default() });
    let of = |uri: &str, set| {
        let labels = format!("destination=\"{uri}\",set_id=\"{set}\",set_name=\"\"");
        read.value(&format!("kamailio_dispatcher_list_target{{{labels}}}"))
    };
    assert_eq!(of("sip:192.0.2.1", 1), Some(1.0));
    assert_eq!(of("sip:192.0.2.2", 1), Some(0.0));
    assert_eq!(of("sip:192.0.2.1", 2), Some(1.0));
    let flags = read.all("kamailio_dispatcher_list_target_flags_status{");
    assert_eq!(flags.len(), 3);
    assert!(flags.iter().any(|(labels, _)| labels.ends_with("flags=\"DX\"}")), "{flags:?}");
}

#[test]
fn the_process_has_its_figures() {
    let running = Running::with(LIST);
    let read = Read::of(&running.commands(), Asked::default());
    assert_eq!(read.all("strowger_build{").len(), 1);
    assert!(read.value("strowger_uptime_seconds").unwrap() >= 0.0);
    assert!(read.value("strowger_cpu_seconds_total").unwrap() > 0.0);
    assert!(read.value("strowger_snapshot_version").unwrap() >= 1.0);
    assert_eq!(read.value("strowger_source_read"), Some(1.0));
    assert_eq!(read.value("strowger_pins"), Some(0.0));
    assert!(read.value("strowger_pins_max").unwrap() > 1_000_000.0);
    // The worker's thread may run only after the start.
    let cpu = || {
        let read = Read::of(&running.commands(), Asked::default());
        read.value("strowger_worker_cpu_seconds_total{worker=\"0\"}").unwrap()
    };
    let end = Instant::now() + Duration::from_secs(10);
    while cpu() == 0.0 {
        assert!(Instant::now() < end, "worker 0 does not run");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn both_formats() {
    let running = Running::with(LIST);
    let text = |asked| {
        let mut text = String::new();
        write(&running.commands(), asked, &mut text).unwrap();
        text
    };
    let plain = Asked::default();
    for asked in [plain, Asked { open_metrics: true, ..plain }] {
        let text = text(asked);
        let buckets = text.lines().filter(|line| line.contains("first_response_seconds_bucket{"));
        let last: Vec<_> = buckets.filter(|line| line.contains("set=\"1\"")).skip(14).collect();
        assert!(last[0].contains("le=\"60") && last[1].contains("le=\"+Inf\""), "{last:?}");
        assert_eq!(last.len(), 2);
    }
    assert!(text(plain).contains("# TYPE strowger_received_total counter\n"));
    assert!(!text(plain).contains("# EOF"));
    let open_metrics = Asked { open_metrics: true, ..plain };
    assert!(text(open_metrics).contains("# TYPE strowger_received counter\n"));
    assert!(text(open_metrics).ends_with("# EOF\n"));
    assert!(plain.content_type().contains("0.0.4"));
    assert!(open_metrics.content_type().starts_with("application/openmetrics-text"));
}

#[test]
fn what_is_asked() {
    let all = Asked { open_metrics: true, histograms_by_destination: true, kamailio_names: true };
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1";
    for (query, accept, wants) in [
        ("", "*/*", Ok(Asked::default())),
        ("", accept, Ok(Asked { open_metrics: true, ..Asked::default() })),
        ("names=kamailio&histograms=destination", accept, Ok(all)),
        ("names=kamailio", "", Ok(Asked { kamailio_names: true, ..Asked::default() })),
        ("histogram=x", "", Err("\"histogram=x\" is unknown: write histograms=destination")),
    ] {
        let read = Asked::read(query, accept);
        match wants {
            Ok(asked) => assert_eq!(read, Ok(asked), "{query}"),
            Err(why) => assert!(read.unwrap_err().starts_with(why)),
        }
    }
}
