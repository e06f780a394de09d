//! The memory of the pin table: one mapping of 64-bit words that a successor process can take over.
//!
//! ```text
//! word 0      layout version and bucket count     \
//!      1      key id                               | head
//!      2      processes that have used it so far  |
//!      3..8   reserved, zero                      /
//!      8..    slots: 4 words each                  identity hash, address (2 words), port and state
//!      ...    pins: buckets of 8 words             one cache line each
//! ```

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use crate::destination::Slot;
use crate::sync::{AtomicU64, Ordering};

const VERSION: u64 = 1;
const HEAD_WORDS: usize = 8;
const SLOT_WORDS: usize = 4;
const SLOTS: usize = if cfg!(loom) { 1 } else { 1 << 16 };
/// Ways of a bucket: eight words are one cache line. A model has as many as it has workers.
pub(crate) const WAYS: usize = if cfg!(loom) { 3 } else { 8 };
const PINS_START: usize = HEAD_WORDS + SLOTS * SLOT_WORDS;

const _: () = assert!(PINS_START.is_multiple_of(WAYS));

/// The words behind a pin table: a shared mapping in a relay, a vector in tests.
pub struct PinMemory {
    words: Box<dyn Deref<Target = [AtomicU64]> + Send + Sync>,
    bucket_count: usize,
    /// How many processes used it before, modulo 256: no two that use it at the same time have the
    /// same number.
    generation: u8,
}

impl std::fmt::Debug for PinMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinMemory {{ {} buckets }}", self.bucket_count)
    }
}

impl PinMemory {
    /// How many words a table of `pins` pins needs.
    pub const fn words_for(pins: usize) -> usize {
        PINS_START + pins.div_ceil(WAYS) * WAYS
    }

    /// Lays a table out in zeroed words, or joins the one that a process of the same size uses.
    ///
    /// # Panics
    /// When there is not room for a single bucket.
    pub fn new(
        words: impl Deref<Target = [AtomicU64]> + Send + Sync + 'static,
        key_id: u8,
    ) -> Self {
        let bucket_count = words.len().saturating_sub(PINS_START) / WAYS;
        assert!(bucket_count > 0);
        // Relaxed: nobody else knows the memory yet, or these words are the same already.
        words[0].store(VERSION << 56 | bucket_count as u64, Ordering::Relaxed);
        words[1].store(u64::from(key_id), Ordering::Relaxed);
        let generation = words[2].fetch_add(1, Ordering::Relaxed) as u8;
        Self { words: Box::new(words), bucket_count, generation }
    }

    /// Memory of the process's own, for tests and tools.
    pub fn on_heap(pins: usize) -> Self {
        let words: Vec<AtomicU64> = (0..Self::words_for(pins)).map(|_| AtomicU64::new(0)).collect();
        Self::new(words, 0)
    }

    /// The number of this process among those that use the memory.
    pub(super) fn generation(&self) -> u8 {
        self.generation
    }

    pub(super) fn bucket_count(&self) -> usize {
        self.bucket_count
    }

    pub(super) fn bucket(&self, number: usize) -> &[AtomicU64] {
        let start = PINS_START + number * WAYS;
        &self.words[start..start + WAYS]
    }

    /// Notes what a slot stands for, so that a successor gives the same destination the same slot.
    pub(crate) fn write_slot(
        &self,
        slot: Slot,
        identity: u64,
        address: SocketAddr,
        is_retired: bool,
    ) {
        let start = HEAD_WORDS + usize::from(slot.0) * SLOT_WORDS;
        let bits = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let state = u64::from(address.port()) << 16 | 2 | u64::from(is_retired);
        let words = [identity, (bits >> 64) as u64, bits as u64, state];
        for (word, value) in self.words[start..start + SLOT_WORDS].iter().zip(words) {
            // Relaxed: the control thread alone writes slots, and a successor reads them when this
            // process has handed the mapping over, which orders everything.
            word.store(value, Ordering::Relaxed);
        }
    }
}
