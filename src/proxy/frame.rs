//! The memory that a datagram lies in.

use std::ops::Range;

use super::Reading;
use crate::limits::{HEADROOM_BYTES, SLOT_BYTES};

/// A datagram in the slot that it was received into, with room before it for what is added.
#[derive(Debug)]
pub struct Frame<'a> {
    slot: &'a mut [u8],
    start: usize,
    end: usize,
    reading: Option<&'a mut Reading>,
}

impl<'a> Frame<'a> {
    /// Creates the frame of the datagram that lies at `place` of `slot`.
    ///
    /// # Panics
    /// If the slot has no such place.
    #[inline]
    pub fn new(slot: &'a mut [u8], place: Range<usize>) -> Self {
        assert!(place.start <= place.end && place.end <= slot.len());
        Self { slot, start: place.start, end: place.end, reading: None }
    }

    /// Returns the same with what may have been read of this datagram before.
    #[inline]
    #[must_use]
    pub fn with_reading(self, reading: &'a mut Reading) -> Self {
        Self { reading: Some(reading), ..self }
    }

    /// Takes what may have been read of it before.
    #[inline]
    pub(super) fn take_reading(&mut self) -> Option<&'a mut Reading> {
        self.reading.take()
    }

    /// Returns the datagram.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.slot[self.start..self.end]
    }

    /// Returns the whole slot, and where the datagram begins in it.
    #[inline]
    pub(crate) fn into_slot(self) -> (&'a mut [u8], usize) {
        (self.slot, self.start)
    }
}

/// A slot of its own, for tests and tools.
#[derive(Clone, Debug)]
pub struct FrameBuffer {
    slot: Vec<u8>,
    end: usize,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self { slot: vec![0; HEADROOM_BYTES + SLOT_BYTES], end: HEADROOM_BYTES }
    }
}

impl FrameBuffer {
    /// Receives a datagram; what the slot held before is overwritten.
    pub fn receive(&mut self, datagram: &[u8]) -> Frame<'_> {
        self.end = HEADROOM_BYTES + datagram.len();
        // Only a message to be explained can be longer than any datagram.
        self.slot.resize(self.slot.len().max(self.end), 0);
        self.slot[HEADROOM_BYTES..self.end].copy_from_slice(datagram);
        self.frame()
    }

    /// Returns the frame of what was received last, and not handled since.
    pub fn frame(&mut self) -> Frame<'_> {
        Frame::new(&mut self.slot, HEADROOM_BYTES..self.end)
    }

    /// Returns the slot, which holds what was forwarded.
    pub fn slot(&self) -> &[u8] {
        &self.slot
    }
}
