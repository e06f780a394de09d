//! Takes what the kernel reports of messages that were not delivered, lets the core judge it, and hands
//! over what it says about destinations.

use std::io;
use std::net::SocketAddr;

use super::{HandOvers, Sighting, Supplies, What, catch};
use crate::clock::Now;
use crate::limits::ERRORS_MAX;
use crate::proxy::{ListenerId, Proxy, Snapshot, Unreachable};
use crate::transport::send::Reports;
use crate::transport::sys::ErrorReader;

/// One worker's way from error queues to the control thread.
pub(super) struct Reporter<'a> {
    pub(super) now: Now,
    pub(super) number: usize,
    pub(super) supplies: &'a Supplies,
    pub(super) snapshot: &'a Snapshot,
    pub(super) proxy: &'a mut Proxy,
    /// The way to the workers that have the transactions; `None` if there is only one.
    pub(super) hand_overs: Option<&'a HandOvers>,
    pub(super) errors: &'a mut ErrorReader,
    pub(super) taken: &'a mut [Option<i32>],
}

/// What was taken off an error queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// There was an ICMP error.
    pub(super) is_any: bool,
    /// There may be more of them.
    pub(super) is_more: bool,
}

impl Reporter<'_> {
    /// Takes the errors of this listener's socket, at most [`ERRORS_MAX`].
    pub(super) fn take_errors(&mut self, listener: ListenerId) -> Taken {
        let socket = self.supplies.sockets.get(listener, self.number);
        let mut is_any = false;
        for _ in 0..ERRORS_MAX {
            let Some(error) = self.errors.next(socket) else {
                return Taken { is_any, is_more: false };
            };
            if !error.is_icmp {
                continue;
            }
            is_any = true;
            // The kernel may make a read fail with this number only now, after the error is taken.
            self.taken[usize::from(listener.0)] = Some(error.errno);
            let (now, snapshot, proxy) = (self.now, self.snapshot, &mut *self.proxy);
            let judge =
                |address| proxy.send_failed(now, snapshot, address, error.errno, error.quote);
            let judged = catch(|| error.address.and_then(judge)).unwrap_or_else(|| {
                self.proxy.reset();
                None
            });
            self.supplies.stats[self.number].reported(judged.map(|report| report.is_proven));
            if let Some((owner, address)) = judged.and_then(|of| Some((of.owner?, of.address)))
                && let Some(to) = self.hand_overs
            {
                // If its queue is full, the timer of the try has the last word.
                let what = What::Report(address, error.errno);
                let _ = to.hand_over(owner.into(), what, error.quote);
            }
            self.hand_over(judged);
        }
        Taken { is_any, is_more: true }
    }

    fn hand_over(&self, judged: Option<Unreachable>) {
        if let Some(report) = judged {
            self.supplies.sightings.push(Sighting::Unreachable(report));
        }
    }
}

impl Reports for Reporter<'_> {
    fn take_errors(&mut self, listener: ListenerId) -> bool {
        Reporter::take_errors(self, listener).is_any
    }

    /// Without a route or a neighbour there is no ICMP error. The number may still be an earlier
    /// message's, so the report has no quote and proves nothing.
    fn refused(&mut self, to: SocketAddr, error: &io::Error) {
        let errno = error.raw_os_error().unwrap_or(0);
        let judged = self.proxy.send_failed(self.now, self.snapshot, to, errno, &[]);
        self.hand_over(judged);
    }
}
