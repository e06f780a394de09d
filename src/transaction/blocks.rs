//! Where transactions keep messages: blocks of one size, as many for each message as it needs.
//!
//! So the bound is one number of bytes, whatever the messages are like: a message wastes less than a
//! block, and what one size has freed is there for any other.

use crate::limits::BLOCK_BYTES;

/// A kept message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kept {
    /// The first block, plus one; 0 if nothing is kept.
    first: u32,
    len: u32,
}

impl Kept {
    /// Returns whether there is no message.
    pub(crate) fn is_none(self) -> bool {
        self.first == 0
    }

    /// Returns the length of the message in bytes.
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }
}

/// The blocks of one worker. They take address space at once, and memory when they are first used.
#[derive(Debug)]
pub(crate) struct Blocks {
    bytes: Vec<u8>,
    /// By block: the next one of its message or of the free ones, plus one; 0 if it is the last.
    next: Vec<u32>,
    /// The first free one of those that were used before, plus one.
    free: u32,
    free_count: usize,
    count_max: usize,
}

impl Blocks {
    /// Creates room for this many bytes, rounded down to whole blocks.
    pub(crate) fn new(bytes: usize) -> Self {
        let count_max = (bytes / BLOCK_BYTES).min(u32::MAX as usize - 1);
        Self {
            bytes: Vec::with_capacity(count_max * BLOCK_BYTES),
            next: Vec::with_capacity(count_max),
            free: 0,
            free_count: 0,
            count_max,
        }
    }

    /// Frees everything.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.next.clear();
        self.free = 0;
        self.free_count = 0;
    }

    /// Returns whether a message of this length can be kept.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        len.div_ceil(BLOCK_BYTES) <= self.room()
    }

    /// Keeps a message; `None` if there is no room for all of it, or it is empty.
    pub(crate) fn keep(&mut self, message: &[u8]) -> Option<Kept> {
        if message.is_empty() || !self.has_room(message.len()) {
            return None;
        }
        // From the last block to the first, so that each knows the one after it.
        let mut first = 0;
        for piece in message.chunks(BLOCK_BYTES).rev() {
            let block = self.take() as usize;
            self.next[block] = first;
            first = block as u32 + 1;
            self.bytes[block * BLOCK_BYTES..][..piece.len()].copy_from_slice(piece);
        }
        Some(Kept { first, len: message.len() as u32 })
    }

    /// Returns the pieces of a kept message, in order.
    pub(crate) fn pieces(&self, kept: Kept) -> impl Iterator<Item = &[u8]> {
        let mut next = kept.first;
        let mut left = kept.len();
        std::iter::from_fn(move || {
            let block = next.checked_sub(1)? as usize;
            next = self.next[block];
            let len = left.min(BLOCK_BYTES);
            left -= len;
            Some(&self.bytes[block * BLOCK_BYTES..][..len])
        })
    }

    /// Copies a kept message to the start of `room`, which must be long enough; returns its length.
    pub(crate) fn copy(&self, kept: Kept, room: &mut [u8]) -> usize {
        let mut at = 0;
        for piece in self.pieces(kept) {
            room[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        at
    }

    /// Frees a kept message, and leaves none in its place.
    pub(crate) fn free(&mut self, kept: &mut Kept) {
        let mut next = std::mem::take(kept).first;
        while let Some(block) = next.checked_sub(1) {
            next = self.next[block as usize];
            self.next[block as usize] = self.free;
            self.free = block + 1;
            self.free_count += 1;
        }
    }

    /// Returns how many blocks are in use.
    pub(crate) fn used(&self) -> usize {
        self.next.len() - self.free_count
    }

    fn room(&self) -> usize {
        self.count_max - self.used()
    }

    /// Takes a free block. The caller has checked that there is one.
    fn take(&mut self) -> u32 {
        if let Some(block) = self.free.checked_sub(1) {
            self.free = std::mem::take(&mut self.next[block as usize]);
            self.free_count -= 1;
            return block;
        }
        // Within the capacity, so nothing is allocated.
        let block = self.next.len();
        self.next.push(0);
        self.bytes.resize((block + 1) * BLOCK_BYTES, 0);
        block as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(blocks: &Blocks, kept: Kept) -> Vec<u8> {
        let mut room = vec![0; kept.len()];
        assert_eq!(blocks.copy(kept, &mut room), kept.len());
        room
    }

    #[test]
    fn a_message_is_kept_in_as_few_blocks_as_it_needs() {
        let mut blocks = Blocks::new(10 * BLOCK_BYTES + 5);
        for (len, used) in [(1, 1), (BLOCK_BYTES, 1), (BLOCK_BYTES + 1, 2), (10 * BLOCK_BYTES, 10)]
        {
            let message: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let mut kept = blocks.keep(&message).unwrap();
            assert_eq!((blocks.used(), kept.len()), (used, len));
            assert_eq!(read(&blocks, kept), message);
            blocks.free(&mut kept);
            assert!(kept.is_none() && blocks.used() == 0);
        }
        let long = vec![0; 10 * BLOCK_BYTES + 1];
        assert_eq!(blocks.keep(&long), None);
        assert_eq!(blocks.keep(&[]), None);
    }

    proptest! {
        /// Whatever is kept and freed in whatever order, each message reads as it was, and what is
        /// freed can be used again.
        #[test]
        fn messages_do_not_mix(steps in prop::collection::vec((0..4 * BLOCK_BYTES, any::<u8>()), 1..60)) {
            let mut blocks = Blocks::new(16 * BLOCK_BYTES);
            let mut all: Vec<(Kept, Vec<u8>)> = Vec::new();
            for (len, seed) in steps {
                if seed < 100 && !all.is_empty() {
                    let (mut kept, message) = all.swap_remove(usize::from(seed) % all.len());
                    prop_assert_eq!(read(&blocks, kept), message);
                    blocks.free(&mut kept);
                }
                let message: Vec<u8> = (0..len).map(|at| seed.wrapping_add(at as u8)).collect();
                let need = len.div_ceil(BLOCK_BYTES);
                let has_room = need > 0 && need <= 16 - blocks.used();
                let kept = blocks.keep(&message);
                prop_assert_eq!(kept.is_some(), has_room);
                all.extend(kept.map(|kept| (kept, message)));
            }
            let used: usize = all.iter().map(|(kept, _)| kept.len().div_ceil(BLOCK_BYTES)).sum();
            prop_assert_eq!(blocks.used(), used);
            for (mut kept, message) in all {
                prop_assert_eq!(read(&blocks, kept), message);
                blocks.free(&mut kept);
            }
            prop_assert_eq!(blocks.used(), 0);
        }
    }
}
