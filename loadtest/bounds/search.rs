//! A small search for the most expensive message: combines pieces of SIP's punctuation, changes
//! them at random, and keeps the most expensive result.

use std::time::{Duration, Instant};

use crate::cases::Core;
use crate::shapes::{self, Base, Dialog, PLACES, Place};
use crate::time;

/// The worst message that was found.
pub(crate) struct Worst {
    /// What it is made of.
    pub(crate) recipe: String,
    /// Its length.
    pub(crate) len: usize,
    /// What one costs.
    pub(crate) ns: f64,
    /// What one of half the length costs.
    pub(crate) ns_half: f64,
    /// What became of it.
    pub(crate) end: String,
    /// Messages tried.
    pub(crate) tried: u64,
}

/// Searches for this long.
pub(crate) fn run(core: &mut Core, dialog: &Dialog, seed: u64, time: Duration) -> Worst {
    let mut random = Random(seed);
    let mut pool: Vec<(f64, Recipe)> = Vec::new();
    let begin = Instant::now();
    let mut tried = 0;
    while begin.elapsed() < time {
        let recipe = if pool.len() < POOL || random.below(4) == 0 {
            Recipe::new(&mut random)
        } else {
            pool[random.below(pool.len())].1.changed(&mut random)
        };
        let (from, bytes) = recipe.message(dialog, crate::LEN_MAX);
        let ([ns], _) = time::of(core, from, &[bytes], 2);
        tried += 1;
        pool.push((ns, recipe));
        pool.sort_by(|a, b| b.0.total_cmp(&a.0));
        pool.truncate(POOL);
    }
    let recipe = &pool[0].1;
    let (from, bytes) = recipe.message(dialog, crate::LEN_MAX);
    let (_, half) = recipe.message(dialog, crate::LEN_MAX / 2);
    let len = bytes.len();
    let ([ns_half, ns], verdict) = time::of(core, from, &[half, bytes], crate::ROUNDS);
    Worst { recipe: format!("{recipe:?}"), len, ns, ns_half, end: shapes::end(verdict), tried }
}

#[derive(Clone, Debug)]
struct Recipe {
    base: Base,
    pieces: Vec<(Place, String)>,
}

impl Recipe {
    fn new(random: &mut Random) -> Self {
        let base = [Base::Invite, Base::Bye, Base::Strict, Base::Ok][random.below(4)];
        let count = 1 + random.below(3);
        Self { base, pieces: (0..count).map(|_| random.piece()).collect() }
    }

    fn changed(&self, random: &mut Random) -> Self {
        let mut new = self.clone();
        let at = random.below(new.pieces.len());
        match random.below(6) {
            0 => new.pieces.push(random.piece()),
            1 if new.pieces.len() > 1 => drop(new.pieces.remove(at)),
            2 => new.pieces[at].0 = PLACES[random.below(PLACES.len())],
            3 => new.pieces[at].1.push_str(random.word()),
            4 => new.pieces[at] = random.piece(),
            _ => new.base = [Base::Invite, Base::Bye, Base::Strict, Base::Ok][random.below(4)],
        }
        if new.pieces[at % new.pieces.len()].1.len() > 200 {
            return Self::new(random);
        }
        new
    }

    fn message(&self, dialog: &Dialog, len: usize) -> (std::net::SocketAddr, Vec<u8>) {
        let pieces: Vec<_> = self.pieces.iter().map(|(at, text)| (*at, text.as_str())).collect();
        let (from, mut bytes) = shapes::compose(self.base, dialog, &pieces, len);
        bytes.truncate(crate::LEN_MAX);
        (from, bytes)
    }
}

/// `SplitMix64`: the same seed finds the same messages, as far as times are the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    fn piece(&mut self) -> (Place, String) {
        let count = 1 + self.below(5);
        let text = (0..count).map(|_| self.word()).collect();
        (PLACES[self.below(PLACES.len())], text)
    }
}

const POOL: usize = 24;
const WORDS: &[&str] = &[
    "a",
    "A",
    "z9hG4bK",
    " ",
    "\t",
    "\r\n ",
    "\r\n",
    "\r",
    "\n",
    ";",
    ",",
    "=",
    "\"",
    "\\",
    "<",
    ">",
    ":",
    "@",
    "%41",
    "?",
    "&",
    "/",
    "[",
    "]",
    "1",
    "a=b",
    ";a=b",
    ";a=\"b\"",
    "\"b\"",
    "tag=1",
    "lr",
    "sip:a",
    "<sip:a>",
    "SIP/2.0/UDP a",
    "SIP / 2.0 / UDP a",
    "Via: ",
    "v:",
    "Route: ",
    "Route:<sip:192.0.2.1;lr>",
    "From: ",
    "To:",
    "i:",
    "l:",
    "CSeq:",
    "Max-Forwards:",
    "Proxy-Require:a",
    "Record-Route:",
    "X:",
    "branch=z9hG4bK",
    "received=192.0.2.1",
    "rport",
    "maddr=192.0.2.1",
    "192.0.2.1",
    "[2001:db8::1]",
    "\0",
    "\u{e4}",
];
