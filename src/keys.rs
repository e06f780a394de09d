//! The secrets behind our Via parameters, tokens, branches and To tags.
//!
//! An operator's key is 32 bytes with a number. Each purpose has its own key derived from it, so
//! that an attacker who learns something from one learns nothing about the others.

use std::fmt;

use crate::keyed::{Fields, Key128, ShortFields};
use crate::limits;

/// An operator's key and its number, which is part of everything it signs.
#[derive(Clone)]
pub struct MasterKey {
    /// The number.
    pub id: u8,
    /// The secret.
    pub secret: [u8; 32],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey {{ id: {} }}", self.id)
    }
}

/// The keys in use: the first signs, all verify.
#[derive(Clone, Debug)]
pub struct Keys {
    verifying: Vec<Derived>,
    branch: Key128,
    to_tag: Key128,
    pin: Key128,
    caller: Key128,
}

impl Keys {
    /// Derives all keys.
    ///
    /// # Panics
    /// If there is no key or more than [`limits::KEYS_MAX`]; the configuration refuses both.
    pub fn new(masters: &[MasterKey]) -> Self {
        assert!(!masters.is_empty() && masters.len() <= limits::KEYS_MAX);
        let first = &masters[0];
        Self {
            verifying: masters.iter().map(Derived::new).collect(),
            branch: derive("strowger 2026 branch", first),
            to_tag: derive("strowger 2026 to tag", first),
            pin: derive("strowger 2026 pin", first),
            caller: derive("strowger 2026 caller", first),
        }
    }

    /// Returns the key that signs.
    pub(crate) fn signing(&self) -> &Derived {
        &self.verifying[0]
    }

    /// Returns the key with this number.
    pub(crate) fn verifying(&self, id: u8) -> Option<&Derived> {
        self.verifying.iter().find(|key| key.id == id)
    }

    /// Starts a hash for branches: it only spreads; its key protects nothing.
    pub(crate) fn branch(&self) -> Fields {
        Fields::new(self.branch)
    }

    /// Starts a hash for the To tags of our own responses.
    pub(crate) fn to_tag(&self) -> ShortFields {
        Fields::new(self.to_tag)
    }

    /// Starts a hash for the keys of call pins.
    pub(crate) fn pin(&self) -> ShortFields {
        Fields::new(self.pin)
    }

    /// Starts a hash that tells callers, and called numbers, apart.
    pub(crate) fn caller(&self) -> Fields {
        Fields::new(self.caller)
    }
}

/// The keys derived from one operator's key for what leaves us and comes back.
#[derive(Clone, Debug)]
pub(crate) struct Derived {
    pub(crate) id: u8,
    digest: Key128,
    via: Key128,
    route: Key128,
}

impl Derived {
    fn new(master: &MasterKey) -> Self {
        Self {
            id: master.id,
            digest: derive("strowger 2026 dialog digest", master),
            via: derive("strowger 2026 via parameter", master),
            route: derive("strowger 2026 record-route token", master),
        }
    }

    /// Starts a hash for the tags of Via parameters.
    pub(crate) fn via(&self) -> ShortFields {
        Fields::new(self.via)
    }

    /// Starts a hash for the tags of Record-Route tokens.
    pub(crate) fn route(&self) -> ShortFields {
        Fields::new(self.route)
    }

    /// Digests what identifies the dialog of a message.
    #[inline]
    pub(crate) fn dialog(&self, call_id: &[u8], from_tag: &[u8], to_tag: &[u8]) -> DialogDigest {
        DialogDigest {
            key_id: self.id,
            call_id: self.digest.digest(call_id),
            from_tag: self.tag(from_tag),
            to_tag: self.tag(to_tag),
        }
    }

    /// Digests a dialog tag in lower case: tags are tokens, and tokens have no case (RFC 3261
    /// §7.3.1).
    #[inline]
    fn tag(&self, tag: &[u8]) -> u64 {
        if tag.is_empty() { 0 } else { self.digest.digest_lower(tag) }
    }
}

/// The identity of a message's dialog (RFC 3261 §12), each field digested once under a secret of
/// one operator's key. Each use hashes the digests together with its own fields, under its own key.
/// The digests never leave the process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct DialogDigest {
    /// The number of the key.
    pub(crate) key_id: u8,
    /// Of the Call-ID.
    pub(crate) call_id: u128,
    /// Of the From tag; 0 if there is none.
    pub(crate) from_tag: u64,
    /// Of the To tag; 0 if there is none.
    pub(crate) to_tag: u64,
}

fn derive(context: &str, master: &MasterKey) -> Key128 {
    let key = blake3::derive_key(context, &master.secret);
    let half = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("eight bytes"));
    Key128(half(0), half(8))
}
