//! A relay without sockets, through the public core, of which the law must hold.

use std::net::SocketAddr;
use std::sync::Arc;

use strowger::clock::Now;
use strowger::destination::{Attributes, DestinationUri, Flags, Host, Origin, Record, Resolved};
use strowger::keys::{Keys, MasterKey};
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{
    Flow, ForeignRoute, FrameBuffer, Listener, ListenerId, Listeners, Outbox, Policy, Proxy,
    Rewrite, SetPolicy, Shared, Sips, Snapshot, Transport, Verdict,
};
use strowger::registry::Registry;

pub(crate) use crate::oracle::law::Sent;
use crate::oracle::law::{Case, Law};

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
    law: Law,
    has_two_listeners: bool,
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
        let aliases = [("sip.example.net".to_owned(), 5060)];
        let listeners = Listeners::new(addresses.iter().map(listener).collect(), &aliases);
        let mut law = Law::new(&listeners, &aliases);
        let keys = Keys::new(&[MasterKey { id: 1, secret: [42; 32] }]);
        let pins = PinTable::new(PinMemory::on_heap(8_000));
        let shared = Arc::new(Shared::new(listeners, keys, pins, 1));
        let now = Now::from_ms(1_000_000_000);
        let records = [record(options)];
        law.load(1, &records);
        let destinations =
            Registry::default().load(now, &records, &shared.listeners, &shared.pins).unwrap();
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
            sets: Arc::default(),
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
            law,
            has_two_listeners: options.has_two_listeners,
        }
    }

    /// One datagram, of which the law must hold: what became of it, and what left.
    pub(crate) fn send(&mut self, from: &str, bytes: &[u8]) -> (Verdict, Option<Sent>) {
        let source: SocketAddr = from.parse().unwrap();
        let is_inner = self.has_two_listeners && source.ip().to_string().starts_with("10.");
        let listener = ListenerId(u16::from(is_inner));
        let flow = Flow::new(&self.shared.listeners, listener, source);
        let frame = self.frame.receive(bytes);
        let verdict = self.proxy.datagram(self.now, &self.snapshot, flow, frame, &mut self.outbox);
        let mut sent = Sent::all(&self.outbox, self.frame.slot());
        let case = Case {
            snapshot: &self.snapshot,
            came: bytes,
            source,
            listener,
            verdict,
            sent: &sent,
            begins_transaction: false,
        };
        if let Err(what) = self.law.judge(&case) {
            panic!("{what}");
        }
        (verdict, sent.pop())
    }
}

fn record(options: Options) -> Resolved {
    let uri = DestinationUri::parse(&format!("sip:{DESTINATION}")).unwrap();
    let Host::Address(ip) = uri.host else { panic!("an address") };
    let addresses = vec![SocketAddr::new(ip, uri.port_or_default()).into()];
    let socket = options
        .has_two_listeners
        .then(|| strowger::destination::SocketName(INNER.parse().unwrap()));
    let attributes = Attributes { socket, ..Attributes::default() };
    let flags = Flags::from_bits(0).unwrap();
    let record = Record { set: 1, uri, flags, priority: 0, attributes, origin: Origin::Line(1) };
    Resolved { record, addresses }
}
