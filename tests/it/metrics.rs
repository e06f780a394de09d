//! `/metrics`, read by the real Prometheus and checked by its `promtool`.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::process::Process;
use crate::harness::server::Server;
use crate::harness::{Ends, Relay, Tools, loopback, wait};
use crate::health::Caller;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prometheus/strowger.rules.yml");
const BOARD: &str = include_str!("../../docs/prometheus/grafana.json");

/// What a GET of this path returns: the head, and the body without chunks.
fn get(tools: &Tools, path: &str, rows: &str) -> (String, String) {
    let host = tools.http();
    // HTTP/1.0 has no chunks.
    let answer =
        tools.say_http(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n{rows}\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.to_owned(), body.to_owned())
}

/// What `promtool` prints about this text, which is nothing if all is well.
fn promtool(arguments: &[&str], text: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the package prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    format!(
        "{}{}",
        if output.status.success() { "" } else { "failed: " },
        String::from_utf8_lossy(&said)
    )
}

#[test]
fn promtool_finds_no_fault_with_either_format() {
    let (tools, ends) = (Tools::new(), Ends::new());
    let relay = Relay::with_list(&ends.list()).config(&tools.config()).start();
    for path in ["/metrics", "/metrics?histograms=destination"] {
        let (head, text) = get(&tools, path, "");
        assert!(head.starts_with("HTTP/1.0 200") && head.contains("version=0.0.4"), "{head}");
        assert_eq!(promtool(&["check", "metrics"], &text), "");
    }
    let (head, text) = get(&tools, "/metrics", "Accept: application/openmetrics-text\r\n");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for (path, rows, wants) in [
        ("/metrics?histograms=all", "", "HTTP/1.0 400"),
        ("/metrics", "Origin: http://evil.example\r\n", "HTTP/1.0 403"),
        ("/other", "", "HTTP/1.0 405"),
    ] {
        let (head, body) = get(&tools, path, rows);
        assert!(head.starts_with(wants), "{path}: {head}\n{body}");
    }
    relay.stop();
}

/// A running Prometheus that scrapes one relay.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    fn of(relay: &Tools) -> Self {
        let folder = TempDir::new().unwrap();
        let address = loopback::fresh();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: [{RULES:?}]\n\
             scrape_configs:\n  - job_name: strowger\n    static_configs:\n      - targets: [\"{}\"]\n",
            relay.http()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Process::start(
            "prometheus",
            Command::new("prometheus")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log),
        );
        Self { address, _process: process, _folder: folder }
    }

    /// What it answers at this path; `None` while it does not.
    fn ask(&self, path: &str) -> Option<Value> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .new_agent();
        let mut answer = agent.get(format!("http://{}{path}", self.address)).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }

    /// The samples that an expression has now.
    fn query(&self, expression: &str) -> Option<Vec<f64>> {
        let query = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let answer = self.ask(&format!("/api/v1/query?query={query}"))?;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let samples = answer["data"]["result"].as_array()?;
        samples.iter().map(|sample| sample["value"][1].as_str()?.parse().ok()).collect()
    }

    /// Waits until an expression has this value.
    fn wait(&self, expression: &str, wants: f64) {
        wait::until(&format!("{expression} to be {wants}"), || {
            (self.query(expression)? == [wants]).then_some(())
        });
    }
}

#[test]
fn prometheus_sees_what_the_relay_does() {
    let tools = Tools::new();
    let (good, busy) = (Server::start(), Server::start());
    busy.answers("INVITE", Some("486 Busy Here"));
    let list = format!("1 sip:{}\n1 sip:{}\n2 sip:192.0.2.1 4\n", good.address, busy.address);
    let relay = Relay::with_list(&list).config(&tools.config()).start();
    let mut caller = Caller::new(&relay);
    for _ in 0..5 {
        assert_eq!([caller.call(), caller.call()], [200, 486]);
    }
    let prometheus = Prometheus::of(&tools);
    let of = |name: &str, server: &Server, label: &str| {
        format!("{name}{{destination=\"sip:{}\"{label}}}", server.address)
    };
    for server in [&good, &busy] {
        let calls = of("strowger_destination_requests_total", server, ",method=\"INVITE\"");
        prometheus.wait(&calls, 5.0);
        prometheus.wait(&of("strowger_destination_state", server, ""), 0.0);
        prometheus.wait(&of("strowger_destination_answered_total", server, ""), 5.0);
    }
    let class = |server, class: &str| {
        let label = format!(",class=\"{class}\"");
        of("strowger_destination_responses_total", server, &label)
    };
    prometheus.wait(&class(&good, "2xx"), 5.0);
    prometheus.wait(&class(&good, "4xx"), 0.0);
    prometheus.wait(&class(&busy, "4xx"), 5.0);
    prometheus.wait("strowger_set_final_response_seconds_count{set=\"1\"}", 10.0);
    prometheus.wait("strowger_set_final_response_seconds_bucket{set=\"1\",le=\"+Inf\"}", 10.0);
    prometheus.wait("strowger_destination_state{set=\"2\"}", 4.0);
    prometheus.wait("sum(strowger_worker_received_total) - sum(strowger_received_total)", 0.0);

    // Set 2 has no destination for new calls.
    let alert = "ALERTS{alertname=\"StrowgerSetEmpty\",set=\"2\"}";
    prometheus.wait(alert, 1.0);
    wait::until("the rules to be evaluated", || {
        let answer = prometheus.ask("/api/v1/rules")?;
        let rules = answer["data"]["groups"][0]["rules"].as_array()?.clone();
        let is_known = |rule: &Value| rule["health"] != "unknown";
        (!rules.is_empty() && rules.iter().all(is_known)).then(|| {
            for rule in &rules {
                assert_eq!(rule["health"], "ok", "{rule}");
            }
        })
    });
    for expression in expressions_of_the_board() {
        assert!(prometheus.query(&expression).is_some(), "{expression}");
    }
    relay.stop();
}

/// The expressions of the board, as Grafana asks for them.
fn expressions_of_the_board() -> Vec<String> {
    let board: Value = serde_json::from_str(BOARD).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions = targets.map(|target| {
        let text = target["expr"].as_str().unwrap();
        text.replace("$instance", ".*").replace("$set", ".*").replace("$__rate_interval", "1m")
    });
    let expressions: Vec<_> = expressions.collect();
    assert!(expressions.len() > 10);
    assert!(expressions.iter().all(|expression| !expression.contains('$')), "{expressions:?}");
    expressions
}

/// Every name in the board, the alerts and the document is one that the relay has.
#[test]
fn what_is_documented_is_there() {
    let (tools, ends) = (Tools::new(), Ends::new());
    let list = format!("1 sip:{} 8 0 weight=5\n", ends.server());
    let config = format!("[dispatch]\nalgorithm = \"least-calls\"\n{}", tools.config());
    let relay = Relay::with_list(&list).config(&config).start();
    let (_, text) = get(&tools, "/metrics?histograms=destination&names=kamailio", "");
    let families: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let document = include_str!("../../docs/metrics.md");
    let rules = fs::read_to_string(RULES).unwrap();
    let texts = [document, &rules, BOARD];
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = texts.iter().flat_map(|text| text.split(|c| !is_part(c)));
    let names: Vec<_> = words
        .filter(|word| word.starts_with("strowger_") || word.starts_with("kamailio_dispatcher_"))
        .filter(|word| *word != "strowger_NAME_total")
        .collect();
    assert!(names.len() > 30);
    for name in names {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(families.contains(&family), "{name}: {families:?}");
    }
    // And each of a destination is documented.
    for family in families.iter().filter(|name| name.starts_with("strowger_destination_")) {
        assert!(document.contains(&format!("`{family}")), "{family} in docs/metrics.md");
    }
    relay.stop();
}

/// Ten thousand destinations are written while calls go on, and none is lost.
#[test]
fn a_scrape_of_many_destinations_costs_no_call() {
    let (tools, mut ends) = (Tools::new(), Ends::new());
    let many: String =
        (0..10_000).map(|n| format!("2 sip:10.{}.{}.1\n", n / 250, n % 250)).collect();
    let list = format!("{}{many}", ends.list());
    let relay = Relay::with_list(&list).unwatched().workers(1).config(&tools.config()).start();
    let text = std::thread::scope(|scope| {
        let scrape = scope.spawn(|| get(&tools, "/metrics", "").1);
        while !scrape.is_finished() {
            ends.send(relay.address(), 10);
            ends.ask(relay.address());
        }
        scrape.join().unwrap()
    });
    ends.wait_arrived(ends.sent);
    let states = text.lines().filter(|line| line.starts_with("strowger_destination_state{"));
    assert_eq!(states.count(), 10_001);
    relay.stop().assert(&[("dropped", 0)]);
}
