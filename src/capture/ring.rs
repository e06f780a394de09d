//! The way of copied messages from one worker to whoever reads them: frames that are allocated once.
//!
//! The queues of crossbeam order their own content: a reader sees what the worker wrote into the frame
//! that it takes.

use std::net::SocketAddr;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::limits::{CAPTURE_MESSAGE_BYTES_MAX, CAPTURE_RECORDS_MAX};
use crate::proxy::{Cause, ListenerId, Verdict};

/// What is known of a copied message besides its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record {
    /// When, since 1970.
    pub at: Duration,
    /// The worker that had it.
    pub worker: u16,
    /// Our listener.
    pub listener: ListenerId,
    /// The other side.
    pub peer: SocketAddr,
    /// Whether it came or went.
    pub what: What,
    /// How long it was; more than its bytes if they were cut.
    pub len: usize,
}

/// Whether a message came or went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// It was received, and this became of it.
    Received(Verdict),
    /// It was sent, for this reason.
    Sent(Cause),
}

/// The ring of one worker: it puts, another thread takes.
#[derive(Debug)]
pub struct Ring {
    /// Not taken yet, in order.
    full: ArrayQueue<Copied>,
    /// Frames for the next ones; both queues have room for all frames.
    empty: ArrayQueue<Box<[u8]>>,
}

#[derive(Debug)]
struct Copied {
    record: Record,
    frame: Box<[u8]>,
}

impl Ring {
    /// Creates an empty one with all the memory that it will ever need.
    pub fn new() -> Self {
        let empty = ArrayQueue::new(CAPTURE_RECORDS_MAX);
        for _ in 0..CAPTURE_RECORDS_MAX {
            empty
                .push(vec![0; CAPTURE_MESSAGE_BYTES_MAX].into())
                .expect("it has room for all frames");
        }
        Self { full: ArrayQueue::new(CAPTURE_RECORDS_MAX), empty }
    }

    /// Copies a message, cut to [`CAPTURE_MESSAGE_BYTES_MAX`], and sets the record's length; returns
    /// false if there is no room.
    #[must_use]
    pub fn put(&self, record: Record, bytes: &[u8]) -> bool {
        let Some(mut frame) = self.empty.pop() else { return false };
        let kept = bytes.len().min(CAPTURE_MESSAGE_BYTES_MAX);
        frame[..kept].copy_from_slice(&bytes[..kept]);
        let copied = Copied { record: Record { len: bytes.len(), ..record }, frame };
        self.full.push(copied).expect("there are no more frames than places");
        true
    }

    /// Shows the oldest record and its bytes; returns false if there is none.
    pub fn take(&self, each: &mut impl FnMut(&Record, &[u8])) -> bool {
        let Some(Copied { record, frame }) = self.full.pop() else { return false };
        each(&record, &frame[..record.len.min(CAPTURE_MESSAGE_BYTES_MAX)]);
        // There are no more frames than places.
        let pushed = self.empty.push(frame);
        debug_assert!(pushed.is_ok());
        true
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    fn record(at: u64) -> Record {
        Record {
            at: Duration::from_micros(at),
            worker: 0,
            listener: ListenerId(0),
            peer: "192.0.2.1:5060".parse().unwrap(),
            what: What::Sent(Cause::Answer),
            len: 0,
        }
    }

    #[test]
    fn a_long_message_is_cut_and_says_so() {
        let ring = Ring::new();
        let lens = [0, 1, CAPTURE_MESSAGE_BYTES_MAX, CAPTURE_MESSAGE_BYTES_MAX + 1, 65_535];
        let message: Vec<u8> = (0..65_535_u32).map(|at| at as u8).collect();
        for len in lens {
            assert!(ring.put(record(len as u64), &message[..len]));
        }
        for len in lens {
            let shown = ring.take(&mut |record, bytes| {
                assert_eq!((record.at.as_micros() as usize, record.len), (len, len));
                assert_eq!(bytes, &message[..len.min(CAPTURE_MESSAGE_BYTES_MAX)]);
            });
            assert!(shown);
        }
        assert!(!ring.take(&mut |_, _| panic!("it is empty")));
    }

    /// One thread puts as fast as it can while another takes: each record that was accepted arrives
    /// once, whole and in order.
    #[test]
    fn nothing_that_was_accepted_is_lost_or_torn() {
        let (ring, is_over) = (Ring::new(), AtomicBool::new(false));
        let (put, taken) = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut taken = Vec::new();
                loop {
                    let was_over = is_over.load(Ordering::Acquire);
                    while ring.take(&mut |record, bytes| {
                        let number = record.at.as_micros() as u64;
                        assert_eq!(bytes, number.to_le_bytes().repeat(1 + number as usize % 99));
                        taken.push(number);
                    }) {}
                    if was_over {
                        return taken;
                    }
                }
            });
            let put = (0..50_000).filter(|number: &u64| {
                let bytes = number.to_le_bytes().repeat(1 + *number as usize % 99);
                ring.put(record(*number), &bytes)
            });
            let put: Vec<_> = put.collect();
            is_over.store(true, Ordering::Release);
            (put, reader.join().unwrap())
        });
        assert!(put.len() >= CAPTURE_RECORDS_MAX);
        assert_eq!(put, taken);
    }
}
