//! An operator arms and disarms a tap while a worker looks for it.

use super::*;
use crate::capture::{Capture, Filter, Watched};
use crate::sync::Arc;

#[test]
fn a_worker_that_looks_once_more_has_the_newest_list() {
    explore(Bound::None, || {
        // No rings: they are crossbeam's.
        let capture = Arc::new(Capture::new(0));
        let mut watched = Watched::new(Arc::clone(&capture));
        let operator = {
            let capture = Arc::clone(&capture);
            thread::spawn(move || {
                let tap = capture.arm(Filter::default()).unwrap();
                capture.disarm(&tap);
                capture.arm(Filter::default()).unwrap()
            })
        };
        for _ in 0..2 {
            watched.refresh();
        }
        let tap = operator.join().unwrap();
        watched.refresh();
        assert!(watched.is_armed(), "it took an old list for the newest");
        capture.disarm(&tap);
        watched.refresh();
        assert!(!watched.is_armed());
    });
}
