//! Publishes snapshots to the workers. Old ones are freed here, never by a worker.

use crate::sync::{Arc, ArcSwap};

/// The snapshot in force, and those that some worker may still use.
#[derive(Debug)]
pub(crate) struct Publisher<T> {
    current: Arc<ArcSwap<T>>,
    old: Vec<Arc<T>>,
}

impl<T> Publisher<T> {
    pub(crate) fn new(first: T) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(first)), old: Vec::new() }
    }

    /// Returns the pointer that workers read.
    pub(crate) fn current(&self) -> Arc<ArcSwap<T>> {
        Arc::clone(&self.current)
    }

    /// Puts `next` in force. The caller wakes the workers afterwards.
    pub(crate) fn publish(&mut self, next: T) {
        self.old.push(self.current.swap(Arc::new(next)));
    }

    /// Returns the old snapshots that no worker holds any more, to be freed by the caller.
    ///
    /// A count of one is ours, and it can never rise again: before it returned, `swap` turned every
    /// borrow of the old snapshot into a count, and no worker can find it any more.
    pub(crate) fn take_unused(&mut self) -> Vec<Arc<T>> {
        let (in_use, unused) =
            self.old.drain(..).partition(|snapshot| Arc::strong_count(snapshot) > 1);
        self.old = in_use;
        unused
    }

    /// Frees them and returns how many others are left.
    #[cfg(test)]
    pub(crate) fn free_old(&mut self) -> usize {
        drop(self.take_unused());
        self.old.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use arc_swap::Cache;

    use super::*;
    use crate::destination::Table;
    use crate::proxy::{Policy, SetPolicy, Snapshot};

    fn snapshot(version: u64) -> Snapshot {
        Snapshot {
            version,
            policy: Policy::default(),
            set_default: SetPolicy::default(),
            sets: Arc::default(),
            draining: false,
            destinations: Table::default(),
        }
    }

    /// Asserts that it is freed on the control thread.
    struct Marked {
        version: u64,
        control: std::thread::ThreadId,
    }

    impl Drop for Marked {
        fn drop(&mut self) {
            assert_eq!(std::thread::current().id(), self.control, "freed by a worker");
        }
    }

    #[test]
    fn workers_that_move_on_at_any_moment_free_nothing() {
        const LAST: u64 = 2_000;
        let control = std::thread::current().id();
        let mut publisher = Publisher::new(Marked { version: 0, control });
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    let mut reader = Cache::new(publisher.current());
                    scope.spawn(move || {
                        let mut version = 0;
                        while version < LAST {
                            let next = reader.load().version;
                            assert!(next >= version, "{next} after {version}");
                            version = next;
                        }
                        reader
                    })
                })
                .collect();
            for version in 1..=LAST {
                publisher.publish(Marked { version, control });
                publisher.free_old();
            }
            let readers: Vec<_> =
                workers.into_iter().map(|worker| worker.join().unwrap()).collect();
            assert_eq!(publisher.free_old(), 0);
            drop(readers);
        });
    }

    #[test]
    fn an_old_snapshot_lives_until_its_last_reader_moves_on_and_is_freed_here() {
        let mut publisher = Publisher::new(snapshot(1));
        let mut reader = Cache::new(publisher.current());
        let watched = Arc::downgrade(reader.load());
        publisher.publish(snapshot(2));
        assert_eq!(publisher.free_old(), 1);
        assert_eq!(reader.load().version, 2);
        // The reader released it, and still was not the last owner.
        assert!(watched.upgrade().is_some());
        assert_eq!(publisher.free_old(), 0);
        assert!(watched.upgrade().is_none());
    }
}
