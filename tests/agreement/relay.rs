//! A relay without sockets, through the public core, and the checks of what it sends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use strowger::clock::Now;
use strowger::destination::{
    Attributes, DestinationUri, Flags, Host, Origin, Record, Resolved, Table,
};
use strowger::keys::{Keys, MasterKey};
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Flow, ForeignRoute, Forwarded, FrameBuffer, Listener, ListenerId, Listeners, Outbox, Policy,
    Proxy, Rewrite, SetPolicy, Shared, Sips, Snapshot, Transport, Verdict,
};
use strowger::registry::Registry;

use crate::oracle::edits::{self, How};
use crate::oracle::{Reading, liberal};

/// Who calls.
pub(crate) const CALLER: &str = "198.51.100.7:5062";
/// The only destination.
pub(crate) const DESTINATION: &str = "10.0.0.1:5070";
/// The way in from callers, and the way out to destinations where there are two.
const INNER: &str = "10.0.0.254:5060";
const OUTER: &str = "192.0.2.1:5060";

/// How a relay differs from the ordinary one.
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the operator's")]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Options {
    pub(crate) keeps_foreign_routes: bool,
    pub(crate) rewrites: bool,
    pub(crate) no_record_route: bool,
    pub(crate) max_breadth: Option<u32>,
    pub(crate) force_rport: bool,
    /// Destinations are reached through another listener than callers.
    pub(crate) has_two_listeners: bool,
}

pub(crate) struct Relay {
    shared: Arc<Shared>,
    pub(crate) snapshot: Snapshot,
    now: Now,
    proxy: Proxy,
    outbox: Outbox,
    frame: FrameBuffer,
    options: Options,
}

/// A message that left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) listener: ListenerId,
    pub(crate) bytes: Vec<u8>,
}

impl Relay {
    pub(crate) fn new(options: Options) -> Self {
        let addresses = if options.has_two_listeners { &[OUTER, INNER][..] } else { &[OUTER] };
        let listener = |address: &&str| Listener {
            name: (*address).to_owned(),
            local: address.parse().unwrap(),
            transport: Transport::Udp,
            sent_by: (*address).to_owned(),
            force_rport: options.force_rport,
            set: None,
        };
        let listeners = Listeners::new(
            addresses.iter().map(listener).collect(),
            &[("sip.example.net".to_owned(), 5060)],
        );
        let keys = Keys::new(&[MasterKey { id: 1, secret: [42; 32] }]);
        let pins = PinTable::new(PinMemory::on_heap(8_000));
        let shared = Arc::new(Shared::new(listeners, keys, pins, 1));
        let now = Now::from_ms(1_000_000_000);
        let destinations = table(&shared, now, options);
        let set_default = SetPolicy {
            record_route: !options.no_record_route,
            foreign_route: if options.keeps_foreign_routes {
                ForeignRoute::Keep
            } else {
                ForeignRoute::Remove
            },
            rewrite: if options.rewrites { Rewrite::Domain } else { Rewrite::None },
            sips: Sips::Forward,
            ..SetPolicy::default()
        };
        let snapshot = Snapshot {
            version: 1,
            policy: Policy { max_breadth: options.max_breadth, ..Policy::default() },
            set_default,
            sets: BTreeMap::new(),
            draining: false,
            destinations,
        };
        let proxy = Proxy::new(Arc::clone(&shared));
        Self {
            shared,
            snapshot,
            now,
            proxy,
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            options,
        }
    }

    /// One datagram: what became of it, and what left.
    pub(crate) fn send(&mut self, from: &str, bytes: &[u8]) -> (Verdict, Option<Sent>) {
        let peer: SocketAddr = from.parse().unwrap();
        let is_inner = self.options.has_two_listeners && peer.ip().to_string().starts_with("10.");
        let flow = Flow::new(&self.shared.listeners, ListenerId(u16::from(is_inner)), peer);
        let verdict = {
            let frame = self.frame.receive(bytes);
            self.proxy.datagram(self.now, &self.snapshot, flow, frame, &mut self.outbox)
        };
        let entries = self.outbox.entries();
        assert!(entries.len() <= 1);
        let sent = entries.first().map(|entry| Sent {
            to: entry.flow.peer,
            listener: entry.flow.listener,
            bytes: self.outbox.bytes(entry, self.frame.slot()).to_vec(),
        });
        assert_eq!(sent.is_some(), !matches!(verdict, Verdict::Dropped(_)), "{verdict:?}");
        (verdict, sent)
    }

    /// The same, and every judge must agree with what was done: the slow reader that the message
    /// was well-formed, the checker that nothing else was changed, and the liberal readers that
    /// what left can be read in one way.
    pub(crate) fn send_judged(&mut self, from: &str, bytes: &[u8]) -> (Verdict, Option<Sent>) {
        let (verdict, sent) = self.send(from, bytes);
        if let (Verdict::Forwarded(how), Some(sent)) = (verdict, &sent) {
            let judged = self.judge(from, bytes, how, &sent.bytes);
            if let Err(why) = judged {
                panic!(
                    "{why}\ncame from {from}:\n{}\nleft ({how:?}):\n{}",
                    bytes.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n"),
                    sent.bytes.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n"),
                );
            }
        }
        (verdict, sent)
    }

    fn judge(&self, from: &str, came: &[u8], how: Forwarded, left: &[u8]) -> Result<(), String> {
        match how {
            Forwarded::Response | Forwarded::ViaParameterLost => {
                edits::check_response(came, left)?;
            }
            _ => {
                let source = from.parse().unwrap();
                edits::check_request(came, left, source, &self.described(), &self.way(how))?;
            }
        }
        let strict = Reading::of(left);
        if let Some(fault) = strict.fault {
            return Err(format!("what left is malformed: {fault:?}"));
        }
        let uses_max_breadth = self.options.max_breadth.is_some();
        for (liberty, seen) in liberal::read_all(left, &liberal::ALL) {
            if let Some(difference) = liberal::difference(&strict, &seen, uses_max_breadth) {
                return Err(format!("{liberty:?} reads it differently:\n{difference}"));
            }
        }
        Ok(())
    }

    fn way(&self, how: Forwarded) -> How {
        let rewrite = self.options.rewrites.then(|| DESTINATION.to_owned());
        match how {
            Forwarded::Chosen | Forwarded::Retried | Forwarded::Pinned => {
                How::Dispatched { rewrite }
            }
            Forwarded::Token => How::Token,
            _ => How::Other,
        }
    }

    fn described(&self) -> edits::Relay {
        let listeners = self.shared.listeners.iter();
        let sent_by: Vec<_> = listeners.map(|(_, listener)| listener.sent_by.clone()).collect();
        let host_port = |text: &String| {
            let (host, port) = text.rsplit_once(':').unwrap();
            (host.to_owned(), port.parse().unwrap())
        };
        let mut names: Vec<_> = sent_by.iter().map(host_port).collect();
        names.push(("sip.example.net".to_owned(), 5060));
        edits::Relay {
            sent_by,
            names,
            record_route: !self.options.no_record_route,
            keeps_foreign_routes: self.options.keeps_foreign_routes,
            max_breadth: self.options.max_breadth,
            force_rport: self.options.force_rport,
        }
    }
}

fn table(shared: &Shared, now: Now, options: Options) -> Table {
    let uri = DestinationUri::parse(&format!("sip:{DESTINATION}")).unwrap();
    let Host::Address(ip) = uri.host else { panic!("an address") };
    let addresses = vec![SocketAddr::new(ip, uri.port_or_default()).into()];
    let socket = options
        .has_two_listeners
        .then(|| strowger::destination::SocketName(INNER.parse().unwrap()));
    let attributes = Attributes { socket, ..Attributes::default() };
    let flags = Flags::from_bits(0).unwrap();
    let record = Record { set: 1, uri, flags, priority: 0, attributes, origin: Origin::Line(1) };
    let records = [Resolved { record, addresses }];
    Registry::default().load(now, &records, &shared.listeners, &shared.pins).unwrap()
}

impl Sent {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// All rows of this name, as written by the relay or kept by it.
    pub(crate) fn rows(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let header = text.split("\r\n\r\n").next().unwrap();
        let values = header.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")));
        values.map(str::to_owned).collect()
    }
}
