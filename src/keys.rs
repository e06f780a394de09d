//! The secrets behind our Via parameters, tokens, branches and To tags.
//!
//! An operator's key is 32 bytes with a number. Every use has a key of its own, derived from it,
//! so that nothing learnt from one use helps with another.

use std::fmt;

use crate::keyed::{Fields, Key128};
use crate::limits;

/// An operator's key and its number, which travels in what it signs.
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
}

impl Keys {
    /// Derives all keys.
    ///
    /// # Panics
    /// Without a key or with more than [`limits::KEYS_MAX`]; the configuration refuses both.
    pub fn new(masters: &[MasterKey]) -> Self {
        assert!(!masters.is_empty() && masters.len() <= limits::KEYS_MAX);
        let first = &masters[0];
        Self {
            verifying: masters.iter().map(Derived::new).collect(),
            branch: derive("strowger 2026 branch", first),
            to_tag: derive("strowger 2026 to tag", first),
            pin: derive("strowger 2026 pin", first),
        }
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> &Derived {
        &self.verifying[0]
    }

    /// The key with this number.
    pub(crate) fn verifying(&self, id: u8) -> Option<&Derived> {
        self.verifying.iter().find(|key| key.id == id)
    }

    /// For branches: it spreads, and its secret proves nothing.
    pub(crate) fn branch(&self) -> Fields {
        Fields::new(self.branch)
    }

    /// For the To tags of our own answers.
    pub(crate) fn to_tag(&self) -> Fields {
        Fields::new(self.to_tag)
    }

    /// For the keys of call pins.
    pub(crate) fn pin(&self) -> Fields {
        Fields::new(self.pin)
    }
}

/// What one operator's key signs with.
#[derive(Clone, Debug)]
pub(crate) struct Derived {
    pub(crate) id: u8,
    via: Key128,
    route: Key128,
}

impl Derived {
    fn new(master: &MasterKey) -> Self {
        Self {
            id: master.id,
            via: derive("strowger 2026 via parameter", master),
            route: derive("strowger 2026 record-route token", master),
        }
    }

    /// For the tags of Via parameters.
    pub(crate) fn via(&self) -> Fields {
        Fields::new(self.via)
    }

    /// For the tags of Record-Route tokens.
    pub(crate) fn route(&self) -> Fields {
        Fields::new(self.route)
    }
}

fn derive(context: &str, master: &MasterKey) -> Key128 {
    let key = blake3::derive_key(context, &master.secret);
    let half = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("eight bytes"));
    Key128(half(0), half(8))
}
