//! How destinations are watched: the settings of probing and of passive detection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::destination::{Attributes, DestinationUri, Host, NextHop};
use crate::limits;
use crate::listener::{ListenerId, Listeners};

/// Which destinations are probed, as Kamailio's `ds_probing_mode`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Mode {
    /// None of them.
    Off,
    /// Those with the probing flag, which their first answer or failure removes; Kamailio's 0.
    FlaggedOnce,
    /// All of them; Kamailio's 1.
    All,
    /// Those that are inactive and have the probing flag; Kamailio's 2.
    Inactive,
    /// Those with the probing flag, which stays; Kamailio's 3.
    #[default]
    Flagged,
}

impl Mode {
    /// The words of the configuration.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("flagged-once", Self::FlaggedOnce),
        ("all", Self::All),
        ("inactive", Self::Inactive),
        ("flagged", Self::Flagged),
    ];

    /// Returns the mode with this number in Kamailio.
    pub fn from_kamailio(number: u64) -> Option<Self> {
        [Self::FlaggedOnce, Self::All, Self::Inactive, Self::Flagged].get(number as usize).copied()
    }
}

/// Status codes that count as a good answer to a probe. Every 2xx does.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Codes {
    /// Bit 3 for 3xx, and so on.
    classes: u8,
    codes: Vec<u16>,
}

impl Codes {
    /// Adds `404` or a whole class, `4xx`; returns whether the text is one of these.
    pub fn add(&mut self, text: &str) -> bool {
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            match class.parse::<u8>() {
                Ok(class @ 2..=6) if class.to_string().len() == text.len() - 2 => {
                    self.classes |= 1 << class;
                }
                _ => return false,
            }
            return true;
        }
        match text.parse() {
            Ok(code @ 200..=699) if is_digits => {
                // Of the same code there is one, so the list ends.
                if let Err(at) = self.codes.binary_search(&code) {
                    self.codes.insert(at, code);
                }
                true
            }
            _ => false,
        }
    }

    /// Returns the codes of a list such as `404,5xx`; `None` if some item is neither a code nor a
    /// class.
    pub fn parse(text: &str) -> Option<Self> {
        let mut codes = Self::default();
        text.split(',').all(|item| codes.add(item.trim())).then_some(codes)
    }

    /// Returns whether a probe with this answer was successful.
    pub fn contains(&self, code: u16) -> bool {
        let class = code / 100;
        class == 2
            || (3..=6).contains(&class) && self.classes & (1 << class) != 0
            || self.codes.binary_search(&code).is_ok()
    }
}

/// How a destination is probed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Probing {
    /// Which destinations are probed.
    pub mode: Mode,
    /// The method of a probe.
    pub method: String,
    /// Milliseconds from one probe to the next, more or less by a tenth.
    pub interval_ms: u32,
    /// Milliseconds until a probe without an answer has failed.
    pub timeout_ms: u32,
    /// Milliseconds between probes while it is in doubt whether the destination is alive.
    pub doubt_interval_ms: u32,
    /// Consecutive failed probes that make a destination inactive.
    pub failures: u32,
    /// Consecutive successful probes that make it active again.
    pub successes: u32,
    /// The answers that are a success, besides every 2xx.
    pub accept: Codes,
    /// Seconds for which a destination is full after a 503 without Retry-After; 0: a 503 is a
    /// failure like any other, as in Kamailio.
    pub full_s: u32,
    /// The most seconds of a Retry-After that are followed.
    pub full_s_max: u32,
    /// How much a new answer counts in the estimate of the latency, in thousandths.
    pub latency_alpha: u32,
    /// The URI in From.
    pub from: String,
    /// Max-Forwards of a probe.
    pub max_forwards: u8,
    /// The local address of the listener that probes leave from.
    pub socket: Option<SocketAddr>,
    /// Where probes are sent instead of to the destination itself.
    pub outbound_proxy: Option<SocketAddr>,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            method: "OPTIONS".into(),
            interval_ms: 10_000,
            timeout_ms: 2_000,
            doubt_interval_ms: 1_000,
            failures: 1,
            successes: 1,
            accept: Codes::default(),
            full_s: 10,
            full_s_max: 60,
            latency_alpha: 100,
            from: "sip:dispatcher@localhost".into(),
            max_forwards: 70,
            socket: None,
            outbound_proxy: None,
        }
    }
}

impl Probing {
    /// Returns the settings of a destination with these attributes, in a set with the settings
    /// `of_set`. Values that cannot be read count as missing; the source names them.
    pub fn with_attributes(of_set: &Arc<Self>, attributes: &Attributes) -> Arc<Self> {
        let value = |name| attributes.value(name).filter(|value| !value.is_empty());
        let number = |name, range: &std::ops::RangeInclusive<u64>| {
            let number = value(name)?.parse().ok().filter(|number| range.contains(number))?;
            u32::try_from(number).ok()
        };
        let mut own = Self::clone(of_set);
        if let Some(from) = value("ping_from") {
            from.clone_into(&mut own.from);
        }
        if let Some(method) = value("ping_method").and_then(probe_method) {
            own.method = method;
        }
        if let Some(ms) = number("ping_interval_ms", &limits::PROBE_INTERVAL_MS) {
            own.interval_ms = ms;
        }
        if let Some(ms) = number("ping_timeout_ms", &limits::PROBE_TIMEOUT_MS) {
            own.timeout_ms = ms;
        }
        if let Some(codes) = value("ping_reply_codes").and_then(Codes::parse) {
            own.accept = codes;
        }
        // Kamailio's order: the attributes ping_socket, sockname and socket, then the set's.
        if let Some(socket) = value("ping_socket").and_then(udp_address) {
            own.socket = Some(socket);
        } else if attributes.sockname.is_some() || attributes.socket.is_some() {
            own.socket = attributes.socket.map(|socket| socket.0);
        }
        if let Some(proxy) = value("obproxy").and_then(proxy_address) {
            own.outbound_proxy = Some(proxy);
        }
        if own == **of_set { Arc::clone(of_set) } else { Arc::new(own) }
    }
}

impl Probing {
    /// Returns the listener that probes to this destination leave from: the one of `socket`, or else
    /// the one that requests to it leave from, or else the first of its address family.
    pub fn listener(&self, hop: &NextHop, listeners: &Listeners) -> Option<ListenerId> {
        let to = self.outbound_proxy.unwrap_or(hop.address);
        let is_possible = |id: &ListenerId| listeners.get(*id).local.is_ipv4() == to.is_ipv4();
        let first = |is_wanted: &dyn Fn(SocketAddr) -> bool| {
            listeners.iter().find(|(_, listener)| is_wanted(listener.local)).map(|(id, _)| id)
        };
        let own = self.socket.and_then(|socket| first(&|local| local == socket));
        own.filter(is_possible)
            .or(hop.listener.filter(is_possible))
            .or(hop.fallback_listener.filter(is_possible))
            .or_else(|| first(&|local| local.is_ipv4() == to.is_ipv4()))
    }
}

/// Returns the method of a probe as written on the wire; `None` if it cannot be one.
///
/// An INVITE would start a call, and an ACK or CANCEL has no answer of its own.
pub fn probe_method(text: &str) -> Option<String> {
    let is_token = (1..=limits::PROBE_METHOD_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte));
    let cannot = ["INVITE", "ACK", "CANCEL", "BYE", "PRACK"];
    let is_possible = is_token && !cannot.iter().any(|method| method.eq_ignore_ascii_case(text));
    is_possible.then(|| text.to_ascii_uppercase())
}

/// Returns the address in `sip:ADDRESS[:PORT]`; `None` if the host is a name, because probes are not
/// worth a lookup of their own.
pub fn proxy_address(text: &str) -> Option<SocketAddr> {
    let uri = DestinationUri::parse(text.trim_matches(['<', '>'])).ok()?;
    let Host::Address(ip) = uri.host else { return None };
    let is_server = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    is_server(ip).then(|| SocketAddr::new(ip, uri.port_or_default()))
}

/// Returns the address in `udp:ADDRESS:PORT`.
fn udp_address(text: &str) -> Option<SocketAddr> {
    let (transport, address) = text.split_once(':')?;
    transport.eq_ignore_ascii_case("udp").then(|| address.parse().ok()).flatten()
}

/// How live traffic tells that a destination fails.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Passive {
    /// Whether live traffic counts at all.
    pub is_on: bool,
    /// Whether ICMP errors count.
    pub icmp: bool,
    /// Unanswered requests in a row that are silence; 0: silence does not count.
    pub silence_requests: u32,
    /// The least share of calls answered with 5xx that is a failure, in percent; 0: no share is.
    pub failure_percent: u32,
    /// The least number of calls in 10 s of which the share counts.
    pub failure_calls: u32,
    /// Changes of state within a minute above which a destination stays out for longer; 0: never.
    pub flap_changes: u32,
    /// Percent of a set that must be selectable; with fewer, its inactive destinations are chosen,
    /// too. 0: never.
    pub panic_percent: u32,
}

impl Default for Passive {
    fn default() -> Self {
        Self {
            is_on: true,
            icmp: true,
            silence_requests: 5,
            failure_percent: 50,
            failure_calls: 20,
            flap_changes: 6,
            panic_percent: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{Limits, SocketName};
    use crate::listener::{Listener, Transport};

    #[test]
    fn codes() {
        for (list, good, bad) in [
            ("2xx", &[200, 204, 299][..], &[100, 199, 300, 404, 503, 600][..]),
            ("404", &[200, 404], &[400, 405, 500]),
            ("404, 4XX,503", &[202, 400, 404, 499, 503], &[399, 500, 504]),
            ("6xx,404,404", &[603, 404], &[503, 700]),
        ] {
            let codes = Codes::parse(list).unwrap();
            assert!(good.iter().all(|code| codes.contains(*code)), "{list}");
            assert!(!bad.iter().any(|code| codes.contains(*code)), "{list}");
        }
        for wrong in ["", "1xx", "7xx", "02xx", "+2xx", "199", "700", "+404", "x", "404;405"] {
            assert_eq!(Codes::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Codes::parse("404,404").unwrap().codes.len(), 1);
    }

    #[test]
    fn numbers_of_kamailio() {
        let modes: Vec<_> = (0..5).map(Mode::from_kamailio).collect();
        let wants = [Mode::FlaggedOnce, Mode::All, Mode::Inactive, Mode::Flagged].map(Some);
        assert_eq!(modes, [&wants[..], &[None]].concat());
    }

    #[test]
    fn methods_and_proxies() {
        for (text, wants) in [
            ("options", Some("OPTIONS")),
            ("INFO", Some("INFO")),
            ("invite", None),
            ("ACK", None),
            ("A B", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(probe_method(text).as_deref(), wants, "{text}");
        }
        for (text, wants) in [
            ("sip:192.0.2.1", Some("192.0.2.1:5060")),
            ("<sip:[2001:db8::1]:5070>", Some("[2001:db8::1]:5070")),
            ("sip:proxy.example.com", None),
            ("sip:0.0.0.0", None),
            ("sip:192.0.2.1;transport=tcp", None),
        ] {
            assert_eq!(proxy_address(text), wants.map(|text| text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn listeners() {
        let listener = |local: &str| Listener {
            name: local.into(),
            local: local.parse().unwrap(),
            transport: Transport::Udp,
            sent_by: local.into(),
            force_rport: false,
            set: None,
        };
        let all = ["192.0.2.1:5060", "192.0.2.1:5070", "[2001:db8::1]:5060", "192.0.2.1:5080"];
        let listeners = Listeners::new(all.map(listener).to_vec(), &[]);
        // The destination, its socket, what the kernel says, the setting, the proxy.
        for (to, socket, route, setting, proxy, wants) in [
            ("192.0.2.9:5060", None, None, None, None, Some(0)),
            ("[2001:db8::9]:5060", None, None, None, None, Some(2)),
            ("192.0.2.9:5060", None, Some(3), None, None, Some(3)),
            ("192.0.2.9:5060", Some(1), Some(3), None, None, Some(1)),
            ("192.0.2.9:5060", Some(1), Some(3), Some(all[0]), None, Some(0)),
            ("192.0.2.9:5060", Some(1), None, Some(all[2]), None, Some(1)),
            ("192.0.2.9:5060", Some(1), None, Some("192.0.2.1:9"), None, Some(1)),
            ("192.0.2.9:5060", Some(1), None, None, Some("[2001:db8::9]:5060"), Some(2)),
        ] {
            let probing = Probing {
                socket: setting.map(|setting: &str| setting.parse().unwrap()),
                outbound_proxy: proxy.map(|proxy: &str| proxy.parse().unwrap()),
                ..Probing::default()
            };
            let hop = NextHop {
                address: to.parse().unwrap(),
                listener: socket.map(ListenerId),
                fallback_listener: route.map(ListenerId),
                set: 1,
                limits: Limits::default(),
            };
            assert_eq!(probing.listener(&hop, &listeners), wants.map(ListenerId), "{to}");
        }
        let hop = NextHop {
            address: "[2001:db8::9]:5060".parse().unwrap(),
            listener: None,
            fallback_listener: None,
            set: 1,
            limits: Limits::default(),
        };
        let only_ipv4 = Listeners::new(vec![listener(all[0])], &[]);
        assert_eq!(Probing::default().listener(&hop, &only_ipv4), None);
    }

    #[test]
    fn a_destination_overrides_its_set() {
        let of_set = Arc::new(Probing {
            socket: Some("192.0.2.1:5060".parse().unwrap()),
            ..Probing::default()
        });
        let with = |text: &str| {
            let attributes = Attributes { text: text.into(), ..Attributes::default() };
            Probing::with_attributes(&of_set, &attributes)
        };
        assert!(Arc::ptr_eq(&with("weight=5;ping_interval_ms=x;ping_method=ACK"), &of_set));
        let own = with(
            "ping_from=sip:a@b;ping_socket=udp:192.0.2.9:5070;obproxy=sip:192.0.2.8;\
             ping_interval_ms=500;ping_timeout_ms=300;ping_reply_codes=\"404,5xx\";ping_method=info",
        );
        let wants = Probing {
            from: "sip:a@b".into(),
            socket: Some("192.0.2.9:5070".parse().unwrap()),
            outbound_proxy: Some("192.0.2.8:5060".parse().unwrap()),
            interval_ms: 500,
            timeout_ms: 300,
            accept: Codes::parse("404,5xx").unwrap(),
            method: "INFO".into(),
            ..Probing::default()
        };
        assert_eq!(*own, wants);
        // Its own socket comes before the one of the set.
        let socket = "192.0.2.7:5060".parse().unwrap();
        let attributes = Attributes { socket: Some(SocketName(socket)), ..Attributes::default() };
        assert_eq!(Probing::with_attributes(&of_set, &attributes).socket, Some(socket));
    }
}
