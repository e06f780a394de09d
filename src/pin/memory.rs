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
use crate::sync::{AtomicU64, Ordering, fence};

const VERSION: u64 = 1;
const HEAD_WORDS: usize = 8;
const SLOT_WORDS: usize = 4;
const SLOTS: usize = if cfg!(loom) { 1 } else { 1 << 16 };
/// Ways of a bucket: eight words are one cache line. A model has as many as it has workers.
pub(crate) const WAYS: usize = if cfg!(loom) { 3 } else { 8 };
/// The pins that a key can be at.
pub(super) type Bucket = [AtomicU64; WAYS];
const PINS_START: usize = HEAD_WORDS + SLOTS * SLOT_WORDS;
/// Buckets of a block: 4 KB, the page that a pin touches.
const BLOCK_BUCKETS: usize = 64;

const _: () = assert!(PINS_START.is_multiple_of(WAYS));

/// The words behind a pin table: a shared mapping in a relay, a vector in tests.
pub struct PinMemory {
    words: Box<dyn Deref<Target = [AtomicU64]> + Send + Sync>,
    bucket_count: usize,
    /// One bit per block that may hold a pin, so that a walk skips empty memory.
    marks: Box<[AtomicU64]>,
    /// How many processes used it before, modulo 256. No two processes that use it at the same time
    /// have the same number.
    generation: u8,
}

impl std::fmt::Debug for PinMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinMemory {{ {} buckets }}", self.bucket_count)
    }
}

impl PinMemory {
    /// Returns how many words a table of `pins` pins needs.
    pub const fn words_for(pins: usize) -> usize {
        PINS_START + pins.div_ceil(WAYS) * WAYS
    }

    /// Initialises a table in zeroed words, or joins the table of a process with the same size.
    ///
    /// # Panics
    /// If there is not room for a single bucket.
    pub fn new(
        words: impl Deref<Target = [AtomicU64]> + Send + Sync + 'static,
        key_id: u8,
    ) -> Self {
        let bucket_count = words.len().saturating_sub(PINS_START) / WAYS;
        assert!(bucket_count > 0);
        // The blocks used by an earlier process are not known, so all of them may hold pins.
        let is_taken_over = words[0].load(Ordering::Relaxed) != 0;
        let mark = if is_taken_over { u64::MAX } else { 0 };
        let mark_words = bucket_count.div_ceil(BLOCK_BUCKETS).div_ceil(u64::BITS as usize);
        let marks = (0..mark_words).map(|_| AtomicU64::new(mark)).collect();
        // Relaxed: nobody else knows the memory yet, or these words already have this value.
        words[0].store(VERSION << 56 | bucket_count as u64, Ordering::Relaxed);
        words[1].store(u64::from(key_id), Ordering::Relaxed);
        let generation = words[2].fetch_add(1, Ordering::Relaxed) as u8;
        Self { words: Box::new(words), bucket_count, marks, generation }
    }

    /// Creates private memory, for tests and tools.
    pub fn on_heap(pins: usize) -> Self {
        let words: Vec<AtomicU64> = (0..Self::words_for(pins)).map(|_| AtomicU64::new(0)).collect();
        Self::new(words, 0)
    }

    /// Returns the number of this process among those that use the memory.
    pub(super) fn generation(&self) -> u8 {
        self.generation
    }

    pub(super) fn bucket_count(&self) -> usize {
        self.bucket_count
    }

    pub(super) fn bucket(&self, number: usize) -> &Bucket {
        let start = PINS_START + number * WAYS;
        self.words[start..].first_chunk().expect("the number is below the count")
    }

    /// Returns the number of blocks.
    pub(super) fn block_count(&self) -> usize {
        self.bucket_count.div_ceil(BLOCK_BUCKETS)
    }

    /// Returns the ways of every bucket of this block.
    pub(super) fn block(&self, block: usize) -> &[AtomicU64] {
        let start = block * BLOCK_BUCKETS;
        let end = (start + BLOCK_BUCKETS).min(self.bucket_count);
        &self.words[PINS_START + start * WAYS..PINS_START + end * WAYS]
    }

    /// Returns the same, each way with its number.
    pub(super) fn numbered_block(&self, block: usize) -> impl Iterator<Item = (usize, &AtomicU64)> {
        (block * BLOCK_BUCKETS * WAYS..).zip(self.block(block))
    }

    /// Returns the way with this number.
    pub(super) fn way(&self, number: usize) -> &AtomicU64 {
        &self.words[PINS_START + number]
    }

    /// Returns whether this block may hold a pin.
    pub(super) fn is_marked(&self, block: usize) -> bool {
        let (word, bit) = self.mark_of(block);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Marks this bucket's block as one that may hold a pin. The pin must already be stored, with a
    /// `SeqCst` fence after it.
    pub(super) fn mark(&self, bucket: usize) {
        let (word, bit) = self.mark_of(bucket / BLOCK_BUCKETS);
        // Nearly always it is marked already, and the cache line of marks stays shared.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Clears the mark of a block that holds no pin.
    ///
    /// A worker stores its pin, then checks the mark; here the mark is cleared, then the pins are
    /// checked. With a `SeqCst` fence between the two steps of each, at least one sees the other,
    /// so a pin never stays in an unmarked block.
    pub(super) fn unmark_if_empty(&self, block: usize) {
        let is_empty = || self.block(block).iter().all(|way| way.load(Ordering::Relaxed) == 0);
        if !is_empty() {
            return;
        }
        let (word, bit) = self.mark_of(block);
        word.fetch_and(!bit, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !is_empty() {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn mark_of(&self, block: usize) -> (&AtomicU64, u64) {
        const BITS: usize = u64::BITS as usize;
        (&self.marks[block / BITS], 1 << (block % BITS))
    }

    /// Records which destination a slot identifies, so that a successor gives the same destination
    /// the same slot.
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
            // Relaxed: only the control thread writes slots, and a successor reads them after this
            // process has handed the mapping over, which orders everything.
            word.store(value, Ordering::Relaxed);
        }
    }
}
