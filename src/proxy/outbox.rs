//! The messages to send for one datagram: the frame that it was received into, or messages of our
//! own in a small scratch buffer.

use std::ops::Range;

use super::Flow;
use crate::limits;

/// Why a message is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The received message, edited.
    Forward,
    /// Our own response to it.
    Answer,
    /// A transaction sends it besides: a 100, an ACK, a CANCEL, the next try, or a copy of what was sent
    /// before.
    Transaction,
}

/// Where a message lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// In the slot that the datagram was received into.
    Frame(Range<usize>),
    /// In the outbox: see [`Outbox::scratch`].
    Scratch(Range<usize>),
}

/// One message to send.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How it is sent.
    pub flow: Flow,
    /// Why it is sent.
    pub cause: Cause,
    /// Where it lies.
    pub place: Place,
}

/// The messages to send for one datagram.
///
/// Its buffers are allocated once. If a message does not fit, [`Outbox::finish`] returns false.
#[derive(Debug)]
pub struct Outbox {
    scratch: Vec<u8>,
    entries: Vec<Entry>,
    open_start: usize,
    is_overfull: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// Creates an empty outbox with all the memory it will ever need.
    pub fn new() -> Self {
        Self {
            scratch: Vec::with_capacity(limits::SCRATCH_BYTES),
            entries: Vec::with_capacity(limits::OUTBOX_MAX),
            open_start: 0,
            is_overfull: false,
        }
    }

    /// Clears everything, for the next datagram.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.scratch.clear();
        self.begin();
    }

    /// Returns the finished messages.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the bytes of one message; `slot` is the one of the datagram that it was made for.
    pub fn bytes<'a>(&'a self, entry: &Entry, slot: &'a [u8]) -> &'a [u8] {
        match &entry.place {
            Place::Frame(range) => &slot[range.clone()],
            Place::Scratch(range) => self.scratch(range),
        }
    }

    /// Returns this part of the scratch buffer.
    pub fn scratch(&self, range: &Range<usize>) -> &[u8] {
        &self.scratch[range.clone()]
    }

    /// Adds the message that lies at `range` of the datagram's slot.
    pub(crate) fn forward(&mut self, flow: Flow, range: Range<usize>) {
        self.add(Entry { flow, cause: Cause::Forward, place: Place::Frame(range) });
    }

    /// Starts a message in the scratch buffer; an unfinished one is discarded.
    pub(crate) fn begin(&mut self) {
        let finished = |entry: &Entry| match &entry.place {
            Place::Frame(_) => None,
            Place::Scratch(range) => Some(range.end),
        };
        self.open_start = self.entries.iter().filter_map(finished).next_back().unwrap_or(0);
        self.scratch.truncate(self.open_start);
        self.is_overfull = false;
    }

    /// Adds to the message in the scratch buffer.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.scratch.len() + bytes.len() > self.scratch.capacity() {
            self.is_overfull = true;
            return;
        }
        self.scratch.extend_from_slice(bytes);
    }

    /// Ends the message in the scratch buffer; returns false and keeps nothing if it does not fit.
    pub(crate) fn finish(&mut self, flow: Flow, cause: Cause, len_max: usize) -> bool {
        let range = self.open_start..self.scratch.len();
        let fits = !self.is_overfull && range.len() <= len_max;
        if fits {
            self.add(Entry { flow, cause, place: Place::Scratch(range) });
        }
        self.begin();
        fits
    }

    /// Makes the last message one that a transaction sends.
    pub(crate) fn last_is_of_transaction(&mut self) {
        if let Some(last) = self.entries.last_mut() {
            last.cause = Cause::Transaction;
        }
    }

    /// Discards what a transaction would send that does not begin.
    pub(crate) fn discard_of_transaction(&mut self) {
        self.entries.retain(|entry| entry.cause != Cause::Transaction);
    }

    /// # Panics
    /// If there are [`limits::OUTBOX_MAX`] already.
    fn add(&mut self, entry: Entry) {
        assert!(self.entries.len() < limits::OUTBOX_MAX);
        self.entries.push(entry);
    }
}

impl Entry {
    /// Returns the length of the message in bytes.
    pub fn len(&self) -> usize {
        match &self.place {
            Place::Frame(range) | Place::Scratch(range) => range.len(),
        }
    }

    /// Returns whether there is nothing to send; never true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
