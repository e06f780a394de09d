//! The synchronization types, from one place: the standard library's and arc-swap's, or with `--cfg
//! loom` loom's, so that [`crate::models`] runs the relay's own code through all orders of events.

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

/// Replaces what loom cannot look into.
#[cfg(loom)]
mod stand_in {
    use loom::sync::{Arc, Mutex};

    /// The part of arc-swap that we rely on: `swap` returns the count that the cell held, and each
    /// load returns its own count, from before or after the whole swap.
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

/// Asks the memory for the cache line of this value: it comes while something else is done.
///
/// It does nothing on other processors, for which stable Rust has no such instruction.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(value);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
