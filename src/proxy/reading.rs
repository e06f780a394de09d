//! Reading ahead: some datagrams of a batch are read before the first of them is handled.
//!
//! The code for reading, and then that for handling, runs for several messages in turn: together they
//! are larger than the first-level cache of most processors.
//!
//! The pins are a table larger than any cache, and nearly every message needs another line of it. So the
//! memory is asked for that line as soon as the message says which one it is, and the line is there by the
//! time that the decision looks at it. Nothing is decided ahead: the message before may change the pin.

use std::ops::Range;

use super::branch::Branch;
use super::{Proxy, Shared};
use crate::keys::DialogDigest;
use crate::limits::READ_AHEAD;
use crate::message::{Message, StartLine};

/// What was read of one datagram.
#[derive(Debug, Default)]
pub struct Reading {
    pub(super) message: Box<Message>,
    pub(super) dialog: DialogDigest,
    /// The branch that names its transaction.
    pub(super) branch: Option<Branch>,
    pub(super) is_done: bool,
    /// Where the datagram lies, and how long it is.
    of: (usize, usize),
}

impl Reading {
    /// Discards what was read.
    pub fn clear(&mut self) {
        self.is_done = false;
    }

    /// Returns whether it is of this datagram.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        self.of == (bytes.as_ptr().addr(), bytes.len())
    }
}

/// What was read of the datagrams of a batch that are handled next.
#[derive(Debug, Default)]
pub struct Readings([Reading; READ_AHEAD]);

impl Readings {
    /// Returns the parts of a batch of `count` datagrams: all of a part are read before the first of them
    /// is handled.
    pub fn parts(count: usize) -> impl Iterator<Item = Range<usize>> {
        (0..count).step_by(READ_AHEAD).map(move |first| first..count.min(first + READ_AHEAD))
    }

    /// Returns the reading of datagram `i` of the batch, which it has until its part is handled.
    #[inline]
    pub fn of(&mut self, i: usize) -> &mut Reading {
        &mut self.0[i % READ_AHEAD]
    }

    /// Discards what was read.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(Reading::clear);
    }
}

impl Proxy {
    /// Reads a datagram that is handled soon, with [`super::Frame::with_reading`], and asks the memory
    /// for its pin and its transaction. Changes nothing else.
    pub fn read_ahead(&self, bytes: &[u8], reading: &mut Reading) {
        reading.clear();
        if !is_sip(bytes) {
            return;
        }
        reading.dialog = read(&self.shared, bytes, &mut reading.message);
        reading.branch = None;
        if reading.message.fault.is_none() {
            reading.branch = named_branch(&self.shared, &reading.message, &reading.dialog, bytes);
        }
        if let Some(branch) = reading.branch {
            self.shared.pins.prefetch(branch.pin_key());
            self.core.stateful.transactions.prefetch(branch.hash);
        }
        reading.of = (bytes.as_ptr().addr(), bytes.len());
        reading.is_done = true;
    }
}

/// Reads a datagram; returns the dialog of its message, digested under the first key.
#[inline]
pub(super) fn read(shared: &Shared, bytes: &[u8], message: &mut Message) -> DialogDigest {
    message.read_again(bytes);
    message.dialog(shared.keys.signing(), bytes)
}

/// Returns whether the datagram is to be read: it has a first byte that is none of STUN, and is no
/// longer than any datagram.
pub(super) fn is_sip(bytes: &[u8]) -> bool {
    u16::try_from(bytes.len()).is_ok() && bytes.first().is_some_and(|byte| *byte > 1)
}

/// Returns the branch of the transaction that the message names: the one that a request gets from us, or
/// the one in the top Via of a response.
pub(super) fn named_branch(
    shared: &Shared,
    message: &Message,
    dialog: &DialogDigest,
    bytes: &[u8],
) -> Option<Branch> {
    match message.start_line {
        StartLine::Request { .. } => Branch::of_request(&shared.keys, message, dialog, bytes),
        StartLine::Response { .. } => Branch::read(message.via?.branch?.of(bytes)),
        _ => None,
    }
}
