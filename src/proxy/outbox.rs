//! The messages to send for one datagram: slices of the received bytes and of a small scratch
//! buffer, in order, so the core never copies a forwarded body.

use super::flow::Flow;
use crate::limits;

/// Why a message is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The received message, edited.
    Forward,
    /// Our own response to it.
    Answer,
}

/// One message to send.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How it is sent.
    pub flow: Flow,
    /// Why it is sent.
    pub cause: Cause,
    /// Its length in bytes.
    pub len: usize,
    first_piece: usize,
    piece_count: usize,
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    Received { start: usize, end: usize },
    Scratch { start: usize, end: usize },
}

/// The messages to send for one datagram.
///
/// Its buffers are allocated once. If a message does not fit, [`Outbox::finish`] returns false.
#[derive(Debug)]
pub struct Outbox {
    scratch: Vec<u8>,
    pieces: Vec<Piece>,
    entries: Vec<Entry>,
    open_first_piece: usize,
    open_len: usize,
    overflow: bool,
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
            pieces: Vec::with_capacity(limits::PIECES_MAX),
            entries: Vec::with_capacity(limits::OUTBOX_MAX),
            open_first_piece: 0,
            open_len: 0,
            overflow: false,
        }
    }

    /// Clears everything, for the next datagram.
    pub fn clear(&mut self) {
        self.scratch.clear();
        self.pieces.clear();
        self.entries.clear();
        self.begin();
    }

    /// Returns the finished messages.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the slices of one message, in order; `received` is the datagram it was made from.
    pub fn slices<'a>(
        &'a self,
        entry: &Entry,
        received: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + 'a {
        let pieces = &self.pieces[entry.first_piece..entry.first_piece + entry.piece_count];
        pieces.iter().map(move |piece| match *piece {
            Piece::Received { start, end } => &received[start..end],
            Piece::Scratch { start, end } => &self.scratch[start..end],
        })
    }

    /// Copies one message into `out`, which must have room for `entry.len` bytes.
    pub fn copy_to(&self, entry: &Entry, received: &[u8], out: &mut [u8]) {
        let mut at = 0;
        for slice in self.slices(entry, received) {
            out[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
    }

    /// Returns one message as a vector, for tests and tools.
    pub fn to_vec(&self, entry: &Entry, received: &[u8]) -> Vec<u8> {
        self.slices(entry, received).collect::<Vec<_>>().concat()
    }

    /// Starts a message; an unfinished one is discarded.
    pub(crate) fn begin(&mut self) {
        let kept = self.entries.last().map_or(0, |e| e.first_piece + e.piece_count);
        self.pieces.truncate(kept);
        self.open_first_piece = kept;
        self.open_len = 0;
        self.overflow = false;
    }

    /// Adds a slice of the received datagram.
    pub(crate) fn received(&mut self, start: usize, end: usize) {
        if start < end {
            self.push(Piece::Received { start, end }, end - start);
        }
    }

    /// Adds bytes of our own.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.scratch.len() + bytes.len() > self.scratch.capacity() {
            self.overflow = true;
            return;
        }
        let start = self.scratch.len();
        self.scratch.extend_from_slice(bytes);
        let end = self.scratch.len();
        // Consecutive writes make one slice.
        if self.pieces.len() > self.open_first_piece
            && let Some(Piece::Scratch { end: last, .. }) = self.pieces.last_mut()
            && *last == start
        {
            *last = end;
            self.open_len += bytes.len();
            return;
        }
        self.push(Piece::Scratch { start, end }, bytes.len());
    }

    /// Ends the message; returns false and keeps nothing if it does not fit.
    pub(crate) fn finish(&mut self, flow: Flow, cause: Cause, len_max: usize) -> bool {
        let fits = !self.overflow
            && self.open_len <= len_max
            && self.entries.len() < self.entries.capacity();
        if fits {
            self.entries.push(Entry {
                flow,
                cause,
                len: self.open_len,
                first_piece: self.open_first_piece,
                piece_count: self.pieces.len() - self.open_first_piece,
            });
        }
        self.begin();
        fits
    }

    fn push(&mut self, piece: Piece, len: usize) {
        if self.pieces.len() == self.pieces.capacity() {
            self.overflow = true;
            return;
        }
        self.pieces.push(piece);
        self.open_len += len;
    }
}
