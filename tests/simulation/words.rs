//! The memory of the tables of pins, which runs hand on to each other.

use std::sync::atomic::{AtomicU64, Ordering};

use strowger::pin::PinMemory;

/// The memory of a table of pins, which is 2 MiB of mostly untouched slots: a run clears the little
/// that it touched and leaves it to the next run.
#[derive(Clone, Copy)]
pub(crate) struct Words(pub(crate) &'static [AtomicU64]);

/// Words before the first pin that a run may have touched: the head and 512 slots.
const TOUCHED: usize = 8 + 512 * 4;

thread_local! {
    static SPARE: std::cell::RefCell<Vec<Words>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Words {
    pub(crate) fn take(pins: usize) -> Self {
        let len = PinMemory::words_for(pins);
        let spare = SPARE.with_borrow_mut(|spare| {
            let at = spare.iter().position(|words| words.0.len() == len)?;
            Some(spare.swap_remove(at))
        });
        spare.unwrap_or_else(|| {
            Self(Box::leak((0..len).map(|_| AtomicU64::new(0)).collect::<Box<[_]>>()))
        })
    }

    pub(crate) fn clear(self) {
        let pins_start = PinMemory::words_for(0);
        for word in self.0[..TOUCHED].iter().chain(&self.0[pins_start..]) {
            word.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn give_back(self) {
        self.clear();
        SPARE.with_borrow_mut(|spare| spare.push(self));
    }
}
