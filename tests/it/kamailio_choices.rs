//! The same calls to Kamailio and to a relay with `compat = "kamailio"`: both choose the same
//! destinations, or with the same frequency where Kamailio chooses at random.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::process::Process;
use crate::harness::{Relay, loopback, wait};

/// A Kamailio that answers every INVITE with 480 and the destination that the algorithm of the
/// field X-Algorithm chooses.
struct Kamailio {
    address: SocketAddr,
    socket: UdpSocket,
    _process: Process,
    _files: TempDir,
}

impl Kamailio {
    fn start(list: &str, settings: &str) -> Self {
        let files = TempDir::new().unwrap();
        let address = loopback::fresh();
        let (path, config) = (files.path().join("dispatcher.list"), files.path().join("k.cfg"));
        fs::write(&path, list).unwrap();
        let text = format!(
            "#!KAMAILIO\nlog_stderror=yes\nchildren=1\ndisable_tcp=yes\nauto_aliases=no\n\
             dns=no\nrev_dns=no\nlisten=udp:{address}\n\
             loadmodule \"sl.so\"\nloadmodule \"pv.so\"\nloadmodule \"textops.so\"\n\
             loadmodule \"dispatcher.so\"\n\
             modparam(\"dispatcher\", \"list_file\", \"{}\")\n{settings}\
             request_route {{\n\
             $var(algorithm) = $(hdr(X-Algorithm){{s.int}});\n\
             if (ds_select_dst(\"1\", \"$var(algorithm)\")) {{ sl_send_reply(\"480\", \"$du\"); }}\n\
             else {{ sl_send_reply(\"404\", \"none\"); }}\n}}\n",
            path.display()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(files.path().join("log")).unwrap();
        let mut command = Command::new("/usr/sbin/kamailio");
        command.arg("-f").arg(&config).args(["-DD", "-E", "-m", "64", "-M", "8"]);
        command.arg("-w").arg(files.path()).arg("-Y").arg(files.path());
        command.stdout(Stdio::null()).stderr(log);
        let mut process = Process::start("kamailio", &mut command);
        process.wait_bound(address);
        let socket = UdpSocket::bind((loopback::fresh_ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Self { address, socket, _process: process, _files: files }
    }

    /// Returns the address of the destination that it chooses.
    fn choice(&self, algorithm: u32, call: &Call) -> String {
        let us = self.socket.local_addr().unwrap();
        let message = call.invite(us, &format!("X-Algorithm: {algorithm}\r\n"));
        let mut answer = [0; 4096];
        // Sent again only if nothing came back.
        let len = wait::until("an answer of Kamailio", || {
            self.socket.send_to(message.as_bytes(), self.address).unwrap();
            self.socket.recv(&mut answer).ok()
        });
        let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
        let line = answer.lines().next().unwrap();
        let chosen = line.strip_prefix("SIP/2.0 480 sip:").map(str::to_owned);
        chosen.unwrap_or_else(|| panic!("{line}\n{message}"))
    }
}

/// Servers that remember which of them got a call.
struct Servers {
    addresses: Vec<SocketAddr>,
    got: Arc<Mutex<HashMap<String, SocketAddr>>>,
}

impl Servers {
    fn start(count: usize) -> Self {
        let got = Arc::<Mutex<HashMap<String, SocketAddr>>>::default();
        let addresses = (0..count).map(|_| {
            let socket = UdpSocket::bind((loopback::fresh_ip(), 0)).unwrap();
            let address = socket.local_addr().unwrap();
            let got = Arc::clone(&got);
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(len) = socket.recv(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
                    let branch = text.split("branch=z9hG4bK-call-").nth(1);
                    let number = branch.and_then(|rest| rest.split([';', '\r']).next());
                    got.lock().unwrap().insert(number.unwrap().to_owned(), address);
                }
            });
            address
        });
        Self { addresses: addresses.collect(), got }
    }

    /// A list in which these servers are inactive.
    fn list(&self, inactive: &[usize], attributes: &[&str]) -> String {
        let mut list = String::new();
        for (at, address) in self.addresses.iter().enumerate() {
            let flags = u8::from(inactive.contains(&at));
            let attributes = attributes.get(at).unwrap_or(&"");
            writeln!(list, "1 sip:{address} {flags} 0 {attributes}").unwrap();
        }
        list
    }
}

/// A call: what algorithms look at.
#[derive(Clone, Debug)]
struct Call {
    number: usize,
    id: String,
    uri: String,
    from: String,
    to: String,
    more: String,
}

impl Call {
    fn new(number: usize) -> Self {
        let hosts = ["example.com", "atlanta.example.org:5060", "192.0.2.7:5070", "[2001:db8::7]"];
        let host = |n: usize| hosts[n % hosts.len()];
        let n = number;
        Self {
            number,
            id: format!("{}-{n}@{}", n * 7_919, host(n / 3).trim_matches(['[', ']'])),
            uri: match n % 9 {
                8 => format!("tel:+4930{n}"),
                7 => format!("sip:{}", host(n)),
                _ => format!("sip:user{}:pw@{};x={n}", n * n, host(n)),
            },
            from: match n % 7 {
                6 => format!("sip:b{n}@{}", host(n / 2)),
                _ => format!("\"A <{n}>\" <sip:alice.{}@{};y=z>", n * 31, host(n / 2)),
            },
            to: format!("<sip:%41b{}@{}>", n * 17, host(n / 5)),
            more: match n % 5 {
                0 => String::new(),
                1 => format!(
                    "Authorization: Digest realm=\"a,b\", username=\"u{n}@x.org\", uri=\"sip:x\", nonce=\"n\", response=\"{n:032x}\"\r\n"
                ),
                _ => format!(
                    "Proxy-Authorization: Digest username=\"p{n}\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"{n:032x}\"\r\n"
                ),
            },
        }
    }

    fn invite(&self, us: SocketAddr, more: &str) -> String {
        let Self { number, id, uri, from, to, more: own } = self;
        format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK-call-{number}\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag=a{number}\r\nTo: {to}\r\nCall-ID: {id}\r\n\
             CSeq: 1 INVITE\r\nX-Account: acc-{number}\r\n{own}{more}Content-Length: 0\r\n\r\n"
        )
    }
}

/// Where a relay with these settings sends these calls.
fn choices(servers: &Servers, list: &str, settings: &str, calls: &[Call]) -> Vec<String> {
    servers.got.lock().unwrap().clear();
    let settings = format!("[dispatch]\npassive = false\ncompat = \"kamailio\"\n{settings}");
    let relay = Relay::with_list(list).config(&settings).start();
    let socket = UdpSocket::bind((loopback::fresh_ip(), 0)).unwrap();
    let us = socket.local_addr().unwrap();
    let chosen = calls.iter().map(|call| {
        let message = call.invite(us, "");
        socket.send_to(message.as_bytes(), relay.address()).unwrap();
        let number = call.number.to_string();
        let got = || servers.got.lock().unwrap().get(&number).map(ToString::to_string);
        wait::until("the call at a server", got)
    });
    let chosen = chosen.collect();
    relay.stop();
    chosen
}

#[test]
fn call_by_call() {
    let servers = Servers::start(5);
    let calls: Vec<_> = (0..90).map(Call::new).collect();
    let with_credentials: Vec<_> =
        calls.iter().filter(|call| !call.more.is_empty()).cloned().collect();
    for (inactive, use_default) in [(&[][..], false), (&[1], false), (&[0, 3], false), (&[2], true)]
    {
        for user_only in [false, true] {
            let list = servers.list(inactive, &[]);
            let parameters = format!(
                "modparam(\"dispatcher\", \"flags\", {})\n\
                 modparam(\"dispatcher\", \"use_default\", {})\n\
                 modparam(\"dispatcher\", \"hash_pvar\", \"$fU$hdr(X-Account)$ci\")\n",
                u8::from(user_only),
                u8::from(use_default)
            );
            let kamailio = Kamailio::start(&list, &parameters);
            for algorithm in [0, 1, 2, 3, 4, 5, 7, 8] {
                // Kamailio's round robin gives the first one a second turn in place of the last.
                let is_same = user_only && !(1..=3).contains(&algorithm);
                if is_same || use_default && algorithm == 4 {
                    continue;
                }
                let calls = if algorithm == 5 { &with_credentials } else { &calls };
                let settings = format!(
                    "algorithm = {algorithm}\nhash_user_only = {user_only}\n\
                     use_default = {use_default}\n\
                     hash_over = \"from.user+header(X-Account)+call-id\"\n"
                );
                let theirs: Vec<_> =
                    calls.iter().map(|call| kamailio.choice(algorithm, call)).collect();
                let ours = choices(&servers, &list, &settings, calls);
                for ((ours, theirs), call) in ours.iter().zip(&theirs).zip(calls) {
                    assert_eq!(ours, theirs, "{algorithm} {inactive:?} {settings} {call:?}");
                }
            }
        }
    }
}

/// What a latency takes from a priority, and who takes turns then.
#[test]
fn by_latency() {
    let servers = Servers::start(4);
    let calls: Vec<_> = (0..12).map(Call::new).collect();
    // Flags, priority and attributes of each.
    for rows in [
        [
            (0, 30, "latency=21"),
            (0, 30, "latency=61"),
            (0, 30, "latency=91"),
            (0, 30, "latency=20"),
        ],
        [
            (0, 30, "latency=30"),
            (0, 30, "latency=31"),
            (0, 30, "latency=59"),
            (0, 30, "latency=30"),
        ],
        [(0, 30, "latency=200"), (0, 25, "latency=1"), (0, 24, "latency=1"), (1, 30, "latency=1")],
        [(0, 3, "latency=900"), (0, 1, "latency=1"), (0, 1, "latency=900"), (0, 0, "latency=1")],
        [(0, 0, "latency=20"), (0, 0, "latency=2"), (1, 0, "latency=1"), (0, 0, "latency=90")],
        [(0, 30, "latency=91;cc=1"), (0, 30, "cc=1"), (0, 30, ""), (0, 30, "latency=91")],
        [(0, 10, ""), (1, 10, ""), (0, 10, ""), (0, 9, "")],
    ] {
        let mut list = String::new();
        for (address, (flags, priority, attributes)) in servers.addresses.iter().zip(rows) {
            writeln!(list, "1 sip:{address} {flags} {priority} {attributes}").unwrap();
        }
        let kamailio = Kamailio::start(&list, "");
        let theirs: Vec<_> = calls.iter().map(|call| kamailio.choice(13, call)).collect();
        assert_eq!(choices(&servers, &list, "algorithm = 13\n", &calls), theirs, "{list}");
    }
}

#[test]
fn shares() {
    let servers = Servers::start(4);
    let calls: Vec<_> = (0..600).map(Call::new).collect();
    let weights = [
        "weight=10;rweight=1",
        "weight=20;rweight=1",
        "weight=30;rweight=1",
        "weight=40;rweight=5",
    ];
    let over = ["weight=60", "weight=60", "weight=60", "weight=60"];
    for (algorithm, inactive, attributes) in [
        (6, &[][..], weights),
        (6, &[1], weights),
        (9, &[], weights),
        (9, &[2], weights),
        (9, &[], over),
        (11, &[], weights),
        (11, &[0], weights),
    ] {
        let list = servers.list(inactive, &attributes);
        let kamailio = Kamailio::start(&list, "");
        let theirs: Vec<_> = calls.iter().map(|call| kamailio.choice(algorithm, call)).collect();
        let ours = choices(&servers, &list, &format!("algorithm = {algorithm}\n"), &calls);
        // Weights are walked through, 100 at a time.
        let slack = if algorithm == 6 { 90 } else { 0 };
        for address in &servers.addresses {
            let address = address.to_string();
            let [ours, theirs] =
                [&ours, &theirs].map(|chosen| chosen.iter().filter(|at| **at == address).count());
            let told = format!("{algorithm} {inactive:?} {address}: {ours}, Kamailio {theirs}");
            assert!(ours.abs_diff(theirs) <= slack, "{told}");
        }
    }
}
