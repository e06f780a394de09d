//! A name server for the tests, on its own loopback address. Its zone and behaviour may change
//! while it runs, and it counts the questions.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record};
use nix::sys::socket::{setsockopt, sockopt};

use super::loopback;

/// A name server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What it does with a question.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mood {
    /// Answers it.
    #[default]
    Answers,
    /// Answers with an error.
    Says(ResponseCode),
    /// Says nothing.
    Hangs,
    /// Answers another question, and then with bytes that mean nothing.
    Rambles,
    /// Sends empty answers that say that TCP has the whole.
    Truncates,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    zone: Vec<Record>,
    mood: Mood,
    moods: BTreeMap<String, Mood>,
    moods_of_types: BTreeMap<String, Mood>,
    questions: Vec<String>,
    /// Those with their numbers: a question that is repeated keeps its own.
    numbered: BTreeSet<(u16, String)>,
}

impl NameServer {
    /// With this zone, one record a line: `NAME TTL TYPE DATA`. What it does not hold does not exist,
    /// and its servers say so for 1 s.
    pub(crate) fn with(zone: &str) -> Self {
        let (address, udp, tcp) = loop {
            let address = loopback::fresh();
            let udp = UdpSocket::bind(address);
            if let (Ok(udp), Ok(tcp)) = (udp, TcpListener::bind(address)) {
                break (address, udp, tcp);
            }
        };
        let shared = Arc::new(Shared::default());
        // As many questions as the relay asks at once.
        let _ = setsockopt(&udp, sockopt::RcvBufForce, &(4 << 20));
        udp.set_read_timeout(Some(TICK)).expect("an open socket");
        tcp.set_nonblocking(true).expect("an open socket");
        let (by_udp, by_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || by_udp.serve_udp(&udp)),
            thread::spawn(move || by_tcp.serve_tcp(&tcp)),
        ];
        let server = Self { address, shared, threads };
        server.holds(zone);
        server
    }

    /// From now on it holds this zone, and answers.
    pub(crate) fn holds(&self, zone: &str) {
        let zone = zone.lines().map(str::trim).filter(|l| !l.is_empty()).map(record).collect();
        let mut state = self.state();
        state.zone = zone;
        state.mood = Mood::Answers;
        state.moods.clear();
        state.moods_of_types.clear();
    }

    /// From now on it does this.
    pub(crate) fn is(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// From now on it does this with questions for names with this ending.
    pub(crate) fn is_with(&self, ending: &str, mood: Mood) {
        self.state().moods.insert(ending.into(), mood);
    }

    /// From now on it does this with questions of these types.
    pub(crate) fn does_for(&self, types: &[&str], mood: Mood) {
        let moods = types.iter().map(|kind| ((*kind).to_owned(), mood));
        self.state().moods_of_types.extend(moods);
    }

    /// What it was asked so far, `TYPE NAME`, in order; what was only repeated counts once.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.state().questions.clone()
    }

    /// What it was asked so far, each once, sorted.
    pub(crate) fn asked(&self) -> String {
        let mut questions = self.questions();
        questions.sort_unstable();
        questions.dedup();
        questions.join(", ")
    }

    /// A configuration that asks it.
    pub(crate) fn config(&self) -> String {
        format!("[destinations]\nname_servers = [\"{}\"]\n", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("nobody panics with it")
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut bytes = [0; 4_096];
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut bytes) else { continue };
            let Ok(question) = Message::from_vec(&bytes[..len]) else { continue };
            let (mood, mut answer) = self.answer(&question);
            let send = |answer: &Message| {
                let _ = socket.send_to(&answer.to_vec().expect("a message"), from);
            };
            match mood {
                Mood::Answers => send(&answer),
                Mood::Says(code) => send(&error(&question, code)),
                Mood::Hangs => {}
                Mood::Rambles => {
                    answer.metadata.id ^= 1;
                    send(&answer);
                    let _ = socket.send_to(b"\r\n\r\n", from);
                }
                Mood::Truncates => {
                    answer.answers.clear();
                    answer.metadata.truncation = true;
                    send(&answer);
                }
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((mut stream, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            // One question a connection is enough.
            stream.set_nonblocking(false).expect("an open socket");
            stream.set_read_timeout(Some(Duration::from_secs(1))).expect("an open socket");
            let mut len = [0; 2];
            let Ok(()) = stream.read_exact(&mut len) else { continue };
            let mut bytes = vec![0; u16::from_be_bytes(len).into()];
            let Ok(()) = stream.read_exact(&mut bytes) else { continue };
            let Ok(question) = Message::from_vec(&bytes) else { continue };
            let (_, answer) = self.answer(&question);
            let bytes = answer.to_vec().expect("a message");
            let _ = stream.write_all(&(bytes.len() as u16).to_be_bytes());
            let _ = stream.write_all(&bytes);
        }
    }

    /// Counts a question, and says what to do with it and what would be right.
    fn answer(&self, question: &Message) -> (Mood, Message) {
        let mut state = self.state.lock().expect("nobody panics with it");
        let query = question.queries.first().expect("a question").clone();
        let name = text(query.name());
        let asked = format!("{} {name}", query.query_type());
        if state.numbered.insert((question.id, asked.clone())) {
            state.questions.push(asked);
        }
        let of_name = state.moods.iter().find(|(ending, _)| name.ends_with(*ending));
        let of_type = state.moods_of_types.get(&query.query_type().to_string());
        let mood = of_name.map(|(_, mood)| mood).or(of_type).copied().unwrap_or(state.mood);
        (mood, state.look_up(question.id, &query))
    }
}

impl State {
    /// Follows aliases, as the servers do that look names up for others.
    fn look_up(&self, id: u16, query: &Query) -> Message {
        let mut answer = Message::response(id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let mut name = query.name().clone();
        loop {
            let of_name = || self.zone.iter().filter(|record| text(&record.name) == text(&name));
            let mut right = of_name().filter(|r| r.record_type() == query.query_type()).peekable();
            if right.peek().is_some() {
                answer.add_answers(right.cloned());
                return answer;
            }
            let alias = of_name().find_map(|record| match &record.data {
                RData::CNAME(to) => Some((record.clone(), to.0.clone())),
                _ => None,
            });
            if let Some((record, to)) = alias {
                answer.add_answer(record);
                name = to;
                continue;
            }
            if of_name().next().is_none() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            let root = Name::from_str("test.").expect("a name");
            let soa = SOA::new(root.clone(), root.clone(), 1, 60, 60, 60, 1);
            answer.add_authority(Record::from_rdata(root, 1, RData::SOA(soa)));
            return answer;
        }
    }
}

fn error(question: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::response(question.id, OpCode::Query);
    answer.add_queries(question.queries.clone());
    answer.metadata.response_code = code;
    answer
}

fn record(line: &str) -> Record {
    let words: Vec<_> = line.split_whitespace().collect();
    let name = |at: usize| {
        let text = format!("{}.", words[at].trim_end_matches('.'));
        Name::from_ascii(text).expect("a name")
    };
    let number = |at: usize| words[at].parse().unwrap_or_else(|_| panic!("a number in {line:?}"));
    let text = |at: usize| words[at].replace('-', "").into_bytes().into();
    let data = match (words[2], words[3].parse()) {
        ("A", Ok(IpAddr::V4(ip))) => RData::A(A(ip)),
        ("AAAA", Ok(IpAddr::V6(ip))) => RData::AAAA(AAAA(ip)),
        ("CNAME", _) => RData::CNAME(CNAME(name(3))),
        ("SRV", _) => RData::SRV(SRV::new(number(3), number(4), number(5), name(6))),
        ("NAPTR", _) => {
            let (flags, service, regexp) = (text(5), text(6), text(7));
            RData::NAPTR(NAPTR::new(number(3), number(4), flags, service, regexp, name(8)))
        }
        _ => panic!("{line:?} is not a record"),
    };
    Record::from_rdata(name(0), words[1].parse().expect("a time to live"), data)
}

/// In lower case, without the dot at its end.
fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.trim_end_matches('.').to_owned()
}

/// How long a thread waits before it looks whether it is over.
const TICK: Duration = Duration::from_millis(20);
