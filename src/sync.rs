//! What threads share, from one place: the standard library's and arc-swap's, or with `--cfg loom`
//! loom's, so that [`crate::models`] runs the very code of the relay through all orders of events.

#[cfg(not(loom))]
pub(crate) use {
    arc_swap::ArcSwap,
    std::hint::spin_loop,
    std::sync::Arc,
    std::sync::atomic::{AtomicU64, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use {
    loom::sync::Arc,
    loom::sync::atomic::{AtomicU64, Ordering, fence},
    loom::thread::yield_now as spin_loop,
    stand_in::ArcSwap,
};

/// What loom cannot look into.
#[cfg(loom)]
mod stand_in {
    use loom::sync::{Arc, Mutex};

    /// What we rely on of arc-swap, and no more: `swap` hands back the count that the cell held, and
    /// whoever loads gets a count of its own, before or after the swap as a whole.
    #[derive(Debug)]
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().unwrap())
        }

        pub(crate) fn swap(&self, new: Arc<T>) -> Arc<T> {
            std::mem::replace(&mut self.0.lock().unwrap(), new)
        }
    }
}
