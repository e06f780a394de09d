//! Which messages a tap wants. A worker evaluates it for every message while the tap is armed: some
//! comparisons, a search in three short fields, and at most a dozen addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;
use thiserror::Error;

use super::followed::Followed;
use crate::limits::CAPTURE_PATTERN_BYTES_MAX;
use crate::message::{Message, NameAddr, Span};

/// What a tap wants: everything that is given must hold. Only messages with a Call-ID are taken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// The Call-ID contains this.
    pub call_id: Option<String>,
    /// The URI of From contains this.
    pub from: Option<String>,
    /// The URI of To contains this.
    pub to: Option<String>,
    /// It comes from this address or goes there; any port if there is none.
    pub destination: Option<(IpAddr, Option<u16>)>,
    /// Only this many of a thousand calls; `None`: all. The hash of the Call-ID decides.
    pub share: Option<u16>,
}

/// Why a pattern cannot be searched for.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{name}: write a text of 1 to {CAPTURE_PATTERN_BYTES_MAX} bytes")]
pub struct BadPattern {
    /// Its name.
    pub name: &'static str,
}

/// What a filter looks at in a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts<'a> {
    call_id: &'a [u8],
    from: &'a [u8],
    to: &'a [u8],
    call: u64,
}

/// A message, and where it came from and went.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What it says.
    pub facts: &'a Facts<'a>,
    /// The neighbour that sent it, or that it is sent to.
    pub peer: SocketAddr,
    /// Where the messages go that are sent because of it.
    pub next_hops: &'a [SocketAddr],
}

/// Which calls it wants, for the log.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("calls")?;
        let texts = [("Call-ID", &self.call_id), ("From", &self.from), ("To", &self.to)];
        for (name, text) in texts {
            if let Some(text) = text {
                write!(f, ", {name} {text:?}")?;
            }
        }
        match self.destination {
            Some((ip, Some(port))) => write!(f, ", address {}", SocketAddr::new(ip, port)),
            Some((ip, None)) => write!(f, ", address {ip}"),
            None => Ok(()),
        }
    }
}

impl<'a> Facts<'a> {
    /// Reads them.
    pub fn read(bytes: &'a [u8]) -> Self {
        // No datagram is longer.
        let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
        let message = Message::read(bytes);
        let uri = |value: Option<Span>| {
            let value = value.unwrap_or_default();
            NameAddr::read(bytes, value).map_or(value, |read| read.uri).of(bytes)
        };
        let call_id = message.call_id.unwrap_or_default().of(bytes);
        Self {
            call_id,
            from: uri(message.from),
            to: uri(message.to),
            // Never 0, which is an empty place.
            call: SipHasher13::new().hash(call_id) | 1 << 63,
        }
    }

    /// Returns the Call-ID; empty if there is none.
    pub fn call_id(&self) -> &'a [u8] {
        self.call_id
    }

    /// Returns the URI of From.
    pub fn from(&self) -> &'a [u8] {
        self.from
    }

    /// Returns the URI of To.
    pub fn to(&self) -> &'a [u8] {
        self.to
    }
}

impl Filter {
    /// Checks the lengths of what is searched for.
    ///
    /// # Errors
    /// The first pattern that is empty or too long.
    pub fn check(&self) -> Result<(), BadPattern> {
        let patterns = [("call_id", &self.call_id), ("from", &self.from), ("to", &self.to)];
        let bad = patterns.iter().find(|(_, pattern)| {
            let len = pattern.as_ref().map_or(1, String::len);
            !(1..=CAPTURE_PATTERN_BYTES_MAX).contains(&len)
        });
        bad.map_or(Ok(()), |(name, _)| Err(BadPattern { name }))
    }

    /// Returns whether this message is selected by itself.
    pub fn selects(&self, subject: &Subject<'_>) -> bool {
        !subject.facts.call_id.is_empty() && self.says_so(subject.facts) && self.is_there(subject)
    }

    /// Returns whether the tap wants this message, and follows its call from now on if so.
    pub(super) fn wants(&self, subject: &Subject<'_>, followed: &Followed) -> bool {
        let facts = subject.facts;
        // The Call-ID is in every message of the call, so it needs no memory.
        let has_memory = self.from.is_some() || self.to.is_some() || self.destination.is_some();
        if has_memory && !facts.call_id.is_empty() && followed.has(facts.call) {
            return true;
        }
        let is_wanted = self.selects(subject);
        if is_wanted && has_memory {
            followed.add(facts.call);
        }
        is_wanted
    }

    fn says_so(&self, facts: &Facts<'_>) -> bool {
        let contains = |pattern: &Option<String>, text: &[u8]| {
            let found = |pattern: &String| memchr::memmem::find(text, pattern.as_bytes());
            pattern.as_ref().is_none_or(|pattern| found(pattern).is_some())
        };
        contains(&self.call_id, facts.call_id)
            && contains(&self.from, facts.from)
            && contains(&self.to, facts.to)
            && self.share.is_none_or(|share| facts.call % 1_000 < u64::from(share))
    }

    fn is_there(&self, subject: &Subject<'_>) -> bool {
        let Some((ip, port)) = self.destination else { return true };
        let is_it = |address: &SocketAddr| {
            address.ip().to_canonical() == ip && port.is_none_or(|port| address.port() == port)
        };
        is_it(&subject.peer) || subject.next_hops.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(call: &str, from: &str, to: &str) -> Vec<u8> {
        format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: {from}\r\n\
             To: {to}\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\r\n"
        )
        .into_bytes()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn wants(filter: &Filter, followed: &Followed, bytes: &[u8], next_hops: &[SocketAddr]) -> bool {
        let facts = Facts::read(bytes);
        let peer = address("198.51.100.7:5062");
        filter.wants(&Subject { facts: &facts, peer, next_hops }, followed)
    }

    #[test]
    fn each_part_and_all_of_them() {
        let bytes =
            message("a84b@pc33", "\"sip:carol@x\" <sip:alice@example.org>;tag=dave", "sip:bob@b");
        let text = |text: &str| Some(text.to_owned());
        let any = Filter::default();
        let at = |text: &str, port| Some((text.parse().unwrap(), port));
        for (filter, is_wanted) in [
            (any.clone(), true),
            (Filter { call_id: text("a84b@pc33"), ..any.clone() }, true),
            (Filter { call_id: text("84b@"), ..any.clone() }, true),
            (Filter { call_id: text("A84b"), ..any.clone() }, false),
            (Filter { from: text("alice"), ..any.clone() }, true),
            (Filter { from: text("sip:alice@example.org"), ..any.clone() }, true),
            (Filter { from: text("carol"), ..any.clone() }, false),
            (Filter { from: text("dave"), ..any.clone() }, false),
            (Filter { to: text("bob@"), ..any.clone() }, true),
            (Filter { to: text("alice"), ..any.clone() }, false),
            (Filter { from: text("alice"), to: text("carol"), ..any.clone() }, false),
            (Filter { destination: at("198.51.100.7", None), ..any.clone() }, true),
            (Filter { destination: at("198.51.100.7", Some(5062)), ..any.clone() }, true),
            (Filter { destination: at("198.51.100.7", Some(5060)), ..any.clone() }, false),
            (Filter { destination: at("10.0.0.1", Some(5060)), ..any.clone() }, true),
            (Filter { destination: at("10.0.0.2", None), ..any.clone() }, false),
            (Filter { from: text("bob"), destination: at("10.0.0.1", None), ..any.clone() }, false),
            (Filter { share: Some(1_000), ..any.clone() }, true),
            (Filter { share: Some(0), ..any.clone() }, false),
        ] {
            let followed = Followed::new();
            let next_hops = [address("10.0.0.1:5060")];
            assert_eq!(wants(&filter, &followed, &bytes, &next_hops), is_wanted, "{filter:?}");
        }
    }

    #[test]
    fn what_is_no_sip_or_has_no_call_id_is_not_wanted() {
        for bytes in [&b""[..], b"\0\x01", b"rubbish\r\n\r\n", b"OPTIONS sip:a SIP/2.0\r\n\r\n"] {
            assert!(!wants(&Filter::default(), &Followed::new(), bytes, &[]), "{bytes:?}");
        }
    }

    /// The BYE of the called party has From and To the other way round.
    #[test]
    fn a_call_is_followed_from_its_first_message_that_is_wanted() {
        let filter = Filter { from: Some("alice".into()), ..Filter::default() };
        let followed = Followed::new();
        let bye = message("one", "<sip:bob@b>", "<sip:alice@a>");
        assert!(!wants(&filter, &followed, &bye, &[]));
        assert!(wants(&filter, &followed, &message("one", "<sip:alice@a>", "<sip:bob@b>"), &[]));
        assert!(wants(&filter, &followed, &bye, &[]));
        assert!(!wants(&filter, &followed, &message("two", "<sip:bob@b>", "<sip:a@a>"), &[]));
    }

    #[test]
    fn a_share_takes_whole_calls_and_about_as_many_as_it_says() {
        let filter = Filter { share: Some(250), ..Filter::default() };
        let taken = (0..4_000).filter(|call| {
            let bytes = message(&format!("{call}@h"), "<sip:a@a>", "<sip:b@b>");
            let is_wanted = wants(&filter, &Followed::new(), &bytes, &[]);
            assert_eq!(wants(&filter, &Followed::new(), &bytes, &[]), is_wanted);
            is_wanted
        });
        assert!((850..1_150).contains(&taken.count()));
    }

    #[test]
    fn the_log_says_which_calls() {
        assert_eq!(Filter::default().to_string(), "calls");
        let some = Filter {
            from: Some("a\nb".into()),
            destination: Some(("10.0.0.1".parse().unwrap(), Some(5060))),
            ..Filter::default()
        };
        assert_eq!(some.to_string(), r#"calls, From "a\nb", address 10.0.0.1:5060"#);
    }

    #[test]
    fn patterns_have_bounds() {
        let with = |to: String| Filter { to: Some(to), ..Filter::default() }.check();
        assert_eq!(with("x".repeat(CAPTURE_PATTERN_BYTES_MAX)), Ok(()));
        for bad in [String::new(), "x".repeat(CAPTURE_PATTERN_BYTES_MAX + 1)] {
            assert_eq!(with(bad).unwrap_err().to_string(), "to: write a text of 1 to 256 bytes");
        }
    }
}
