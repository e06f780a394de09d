//! The key of a hash algorithm: which parts of a message it contains, and how they are hashed.
//!
//! The core reads the parts from the message; nothing here knows one.

use super::hash::KamailioHash;
use super::{Algorithm, Choosing};
use crate::keyed::{Fields, Key128};

/// A part of a message that a key contains.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// The Call-ID.
    CallId,
    /// A whole URI.
    Uri(UriOf),
    /// The user of a URI, without its password; the number of a `tel` URI.
    User(UriOf),
    /// The host of a URI.
    Host(UriOf),
    /// The host of a URI, and its port unless that is the default of its scheme.
    HostAndPort(UriOf),
    /// The user of a URI; if it has none, its host and port.
    UserOrHost(UriOf),
    /// The value of a URI parameter.
    Parameter(UriOf, Box<str>),
    /// The first value of a header field.
    Header(HeaderField),
    /// The address that the request came from, without the port.
    SourceAddress,
    /// The user name of the credentials, up to an `@`.
    CredentialsUser,
}

/// Which URI of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UriOf {
    /// The one in From.
    From,
    /// The one in To.
    To,
    /// The Request-URI.
    Request,
}

/// A header field by its name, and by its compact name if it has one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderField {
    name: Box<str>,
    compact: Option<u8>,
}

impl HeaderField {
    /// Returns the field with this name, long or compact.
    pub fn new(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let known = COMPACT.iter().find(|(compact, long)| {
            *long == name || name.len() == 1 && name.as_bytes()[0] == *compact
        });
        match known {
            Some((compact, long)) => Self { name: (*long).into(), compact: Some(*compact) },
            None => Self { name: name.into(), compact: None },
        }
    }

    /// Returns whether a row with this name is meant.
    pub fn is_named(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name.as_bytes())
            || matches!((name, self.compact), ([one], Some(compact)) if one.eq_ignore_ascii_case(&compact))
    }
}

/// The compact names (RFC 3261 §7.3.3 and the IANA registry).
const COMPACT: &[(u8, &str)] = &[
    (b'a', "accept-contact"),
    (b'b', "referred-by"),
    (b'c', "content-type"),
    (b'e', "content-encoding"),
    (b'f', "from"),
    (b'i', "call-id"),
    (b'j', "reject-contact"),
    (b'k', "supported"),
    (b'l', "content-length"),
    (b'm', "contact"),
    (b'n', "identity-info"),
    (b'o', "event"),
    (b'r', "refer-to"),
    (b's', "subject"),
    (b't', "to"),
    (b'u', "allow-events"),
    (b'v', "via"),
    (b'x', "session-expires"),
    (b'y', "identity"),
];

/// The key of a set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Key {
    /// Its parts, in the order in which they are hashed.
    pub parts: Vec<Part>,
    how: How,
    has_fallback: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum How {
    /// With our hash.
    Ours,
    /// With Kamailio's, each part by itself.
    KamailioKeys,
    /// With Kamailio's, as one text.
    KamailioText,
}

impl Key {
    /// Returns what these settings hash; `None` if their algorithm hashes nothing.
    pub(crate) fn of(choosing: &Choosing) -> Option<Self> {
        let how = if choosing.is_kamailio { How::KamailioKeys } else { How::Ours };
        let of_uri = |uri| match (choosing.hash_user_only, choosing.is_kamailio) {
            (false, _) => vec![Part::User(uri), Part::HostAndPort(uri)],
            (true, true) => vec![Part::User(uri)],
            (true, false) => vec![Part::UserOrHost(uri)],
        };
        let parts = match choosing.algorithm {
            Algorithm::CallIdHash => vec![Part::CallId],
            Algorithm::FromHash => of_uri(UriOf::From),
            Algorithm::ToHash => of_uri(UriOf::To),
            Algorithm::RequestUriHash => of_uri(UriOf::Request),
            Algorithm::AuthHash => vec![Part::CredentialsUser],
            Algorithm::KeyHash => {
                let how = if choosing.is_kamailio { How::KamailioText } else { How::Ours };
                let parts = choosing.hash_over.clone();
                return Some(Self { parts, how, has_fallback: false });
            }
            Algorithm::Consistent => {
                let parts = match &*choosing.hash_over {
                    [] => vec![Part::CallId],
                    parts => parts.to_vec(),
                };
                return Some(Self { parts, how: How::Ours, has_fallback: true });
            }
            _ => return None,
        };
        Some(Self { parts, how, has_fallback: false })
    }

    /// Starts a hash, to which [`Key::parts`] are added in their order.
    pub fn hasher(&self) -> KeyHasher {
        KeyHasher {
            how: self.how,
            ours: Fields::new(PUBLIC),
            kamailio: KamailioHash::default(),
            is_empty: true,
        }
    }

    /// Returns what is hashed of a request that has none of the parts; empty if it has no key then.
    pub(crate) fn fallback(&self) -> &[Part] {
        if self.has_fallback { &[Part::CallId] } else { &[] }
    }

    /// Returns whether every request of a dialog has the same key, also those of the callee.
    pub(crate) fn is_same_in_dialog(&self) -> bool {
        self.parts.iter().all(|part| *part == Part::CallId)
    }
}

/// The key of our hash. It is public and always the same: every node, version and restart chooses
/// alike. A secret would protect nothing, because a caller can send any number of requests with one
/// key.
const PUBLIC: Key128 = Key128(0x7374_726f_7767_6572, 0x6465_7374_696e_6174);

/// Hashes the parts of a key, one after the other.
pub struct KeyHasher {
    how: How,
    ours: Fields,
    kamailio: KamailioHash,
    is_empty: bool,
}

impl KeyHasher {
    /// Adds a part; an empty one if the message does not have it.
    pub fn part(&mut self, text: &[u8]) {
        self.add(text, false);
    }

    /// Adds a part that has no case. Kamailio hashes it as it is.
    pub fn part_without_case(&mut self, text: &[u8]) {
        self.add(text, true);
    }

    fn add(&mut self, text: &[u8], has_no_case: bool) {
        self.is_empty &= text.is_empty();
        match self.how {
            How::Ours if has_no_case => self.ours.lower(text),
            How::Ours => self.ours.field(text),
            How::KamailioKeys => {
                self.kamailio.write(text);
                self.kamailio.end_key();
            }
            How::KamailioText => self.kamailio.write(text),
        }
    }

    /// Returns the hash; `None` if the message has no part of the key. Kamailio takes an empty URI
    /// for a key like any other.
    pub fn finish(&self) -> Option<u64> {
        match self.how {
            How::KamailioKeys => Some(u64::from(self.kamailio.finish())),
            _ if self.is_empty => None,
            How::KamailioText => Some(u64::from(self.kamailio.finish())),
            How::Ours => Some(self.ours.spread()),
        }
    }
}

/// Returns the identity of a destination that [`Algorithm::Consistent`] knows it by, the same in
/// every process.
pub(crate) fn identity(uri: &str, duid: Option<&str>) -> u64 {
    let mut fields: Fields = Fields::new(PUBLIC);
    fields.lower(uri.as_bytes());
    fields.field(duid.unwrap_or_default().as_bytes());
    fields.spread()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::hash::kamailio;

    fn settings(algorithm: Algorithm, is_kamailio: bool) -> Choosing {
        Choosing { algorithm, is_kamailio, ..Choosing::default() }
    }

    fn hash(key: &Key, parts: &[&str]) -> Option<u64> {
        let mut hasher = key.hasher();
        for part in parts {
            hasher.part(part.as_bytes());
        }
        hasher.finish()
    }

    #[test]
    fn which_parts_and_whether_a_dialog_keeps_them() {
        for (algorithm, user_only, parts, is_same) in [
            (Algorithm::CallIdHash, false, vec![Part::CallId], true),
            (
                Algorithm::FromHash,
                false,
                vec![Part::User(UriOf::From), Part::HostAndPort(UriOf::From)],
                false,
            ),
            (Algorithm::ToHash, true, vec![Part::UserOrHost(UriOf::To)], false),
            (
                Algorithm::RequestUriHash,
                false,
                vec![Part::User(UriOf::Request), Part::HostAndPort(UriOf::Request)],
                false,
            ),
            (Algorithm::AuthHash, false, vec![Part::CredentialsUser], false),
            (Algorithm::Consistent, false, vec![Part::CallId], true),
        ] {
            let choosing = Choosing { hash_user_only: user_only, ..settings(algorithm, false) };
            let key = Key::of(&choosing).unwrap();
            assert_eq!((&key.parts, key.is_same_in_dialog()), (&parts, is_same), "{algorithm:?}");
        }
        assert_eq!(Key::of(&settings(Algorithm::RoundRobin, false)), None);
        let over = vec![Part::SourceAddress];
        for algorithm in [Algorithm::KeyHash, Algorithm::Consistent] {
            let choosing = Choosing { hash_over: over.clone(), ..settings(algorithm, true) };
            assert_eq!(Key::of(&choosing).unwrap().parts, over);
        }
    }

    #[test]
    fn kamailio_hashes_a_uri_in_two_keys_and_a_variable_as_one_text() {
        let uri = Key::of(&settings(Algorithm::FromHash, true)).unwrap();
        let wants =
            |key1: &str, key2: &str| Some(u64::from(kamailio(key1.as_bytes(), key2.as_bytes())));
        assert_eq!(hash(&uri, &["alice", "atlanta.com"]), wants("alice", "atlanta.com"));
        assert_eq!(hash(&uri, &["", ""]), Some(1), "an empty URI is a key");
        let text = Key::of(&settings(Algorithm::KeyHash, true)).unwrap();
        for parts in [&["alice", "bob"][..], &["a", "lice", "bo", "b"], &["", "alicebob"]] {
            assert_eq!(hash(&text, parts), wants("alicebob", ""), "{parts:?}");
        }
        assert_eq!(hash(&text, &["", ""]), None);
    }

    #[test]
    fn our_hash_keeps_parts_apart_and_is_the_same_everywhere() {
        let key = Key::of(&settings(Algorithm::Consistent, false)).unwrap();
        assert_ne!(hash(&key, &["ab", "c"]), hash(&key, &["a", "bc"]));
        assert_eq!(hash(&key, &["", ""]), None);
        assert_eq!(hash(&key, &["call-1@192.0.2.1"]), Some(OF_CALL_1));
        let mut upper = key.hasher();
        upper.part_without_case(b"Example.COM");
        let mut lower = key.hasher();
        lower.part_without_case(b"example.com");
        assert_eq!(upper.finish(), lower.finish());
    }

    /// A change would move the calls of every relay that is upgraded.
    const OF_CALL_1: u64 = 11_512_490_455_456_301_820;

    #[test]
    fn compact_names() {
        for (wanted, name, is_it) in [
            ("subject", "Subject", true),
            ("Subject", "s", true),
            ("s", "SUBJECT", true),
            ("x-account", "X-Account", true),
            ("x-account", "x", false),
            ("subject", "x", false),
            ("q", "Q", true),
        ] {
            assert_eq!(
                HeaderField::new(wanted).is_named(name.as_bytes()),
                is_it,
                "{wanted} {name}"
            );
        }
    }
}
