//! Runs of datagrams, and what sending each as one would save.

use std::fmt;
use std::net::SocketAddr;

/// A datagram that a worker sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: usize,
    /// Whether our Via is in it: a response has lost it, so nothing can be added.
    pub(crate) is_request: bool,
}

/// The order in which the datagrams of a batch are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// In that of the datagrams received, as the relay does.
    AsItIs,
    /// Those to one next hop together, in their order.
    ByNextHop,
    /// Those to one next hop by their size, the largest first. It may turn two messages of one call
    /// round, so this is what no relay should do, and no order does better.
    BySize,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsItIs => "as received",
            Self::ByNextHop => "by next hop",
            Self::BySize => "by next hop, size",
        })
    }
}

/// How many runs there are of each length.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<u64>);

impl Runs {
    /// Adds the runs of a batch that is sent in this order, its requests rounded up.
    pub(crate) fn add(&mut self, batch: &[Sent], order: Order, round_to: usize) {
        let rounded = |sent: &Sent| {
            let round_to = if sent.is_request { round_to } else { 1 };
            (sent.to, sent.bytes.next_multiple_of(round_to))
        };
        let mut batch: Vec<(SocketAddr, usize)> = batch.iter().map(rounded).collect();
        match order {
            Order::AsItIs => {}
            Order::ByNextHop => batch.sort_by_key(|(to, _)| *to),
            Order::BySize => batch.sort_by_key(|(to, bytes)| (*to, usize::MAX - bytes)),
        }
        let mut rest = &batch[..];
        while let Some(((to, bytes), _)) = rest.split_first() {
            let same = rest.iter().take_while(|next| *next == &(*to, *bytes)).count();
            // The kernel takes at most one payload's worth, each datagram within the MTU.
            let most = if *bytes > SEGMENT_MAX { 1 } else { PAYLOAD_MAX / bytes };
            let is_shorter = |(next, len): &(SocketAddr, usize)| next == to && len < bytes;
            let last = same < most && most > 1 && rest.get(same).is_some_and(is_shorter);
            let len = same.min(most) + usize::from(last);
            self.0.resize(self.0.len().max(len + 1), 0);
            self.0[len] += 1;
            rest = &rest[len..];
        }
    }

    pub(crate) fn datagrams(&self) -> u64 {
        (0..).zip(&self.0).map(|(len, count): (u64, _)| len * count).sum()
    }

    /// The mean length of a run.
    pub(crate) fn mean(&self) -> f64 {
        self.datagrams() as f64 / self.0.iter().sum::<u64>() as f64
    }

    /// The share of datagrams in runs of two or more.
    pub(crate) fn share_of_two(&self) -> f64 {
        let alone = self.0.get(1).copied().unwrap_or(0);
        (self.datagrams() - alone) as f64 / self.datagrams() as f64
    }

    /// The share of a datagram's cost that is saved, if a long run costs `long` for each: what the
    /// datagrams of a run share is paid once.
    pub(crate) fn saved(&self, long: f64) -> f64 {
        let runs = (0_u64..).zip(&self.0).filter(|(len, _)| *len > 0);
        let once: f64 = runs.map(|(len, count)| (len - 1) as f64 * *count as f64).sum();
        (1.0 - long) * once / self.datagrams() as f64
    }
}

/// The largest segment: an MTU of 1,500 less the headers of IP and UDP.
const SEGMENT_MAX: usize = 1_472;

const PAYLOAD_MAX: usize = 65_507;

/// Checks the counting on batches that can be counted by eye.
pub(crate) fn check() {
    let [a, b]: [SocketAddr; 2] =
        ["10.0.0.1:1", "10.0.0.2:1"].map(|address| address.parse().expect("an address"));
    let sent = |(to, bytes)| Sent { to, bytes, is_request: bytes != 90 };
    for (says, batch, order, round_to, wants) in [
        ("equal sizes", &[(a, 70), (a, 70), (a, 70)][..], Order::AsItIs, 1, &[0, 0, 0, 1][..]),
        ("the last may be shorter", &[(a, 70), (a, 60), (a, 60)], Order::AsItIs, 1, &[0, 1, 1]),
        ("it may not be longer", &[(a, 60), (a, 70)], Order::AsItIs, 1, &[0, 2]),
        ("another next hop", &[(a, 70), (b, 70), (a, 70)], Order::AsItIs, 1, &[0, 3]),
        ("together", &[(a, 70), (b, 70), (a, 70)], Order::ByNextHop, 1, &[0, 1, 1]),
        ("in their order", &[(a, 60), (b, 70), (a, 70)], Order::ByNextHop, 1, &[0, 3]),
        ("by size", &[(a, 60), (b, 70), (a, 70)], Order::BySize, 1, &[0, 1, 1]),
        ("rounded up", &[(a, 65), (a, 96), (a, 70)], Order::AsItIs, 32, &[0, 0, 0, 1]),
        ("but not responses", &[(a, 90), (a, 96)], Order::AsItIs, 32, &[0, 2]),
        ("longer than the MTU", &[(a, 1_500), (a, 1_500)], Order::AsItIs, 1, &[0, 2]),
    ] {
        let batch: Vec<Sent> = batch.iter().copied().map(sent).collect();
        let mut runs = Runs::default();
        runs.add(&batch, order, round_to);
        assert_eq!(runs.0, wants, "{says}");
    }
    let runs = Runs(vec![0, 2, 1, 0, 1]);
    assert_eq!((runs.datagrams(), runs.mean(), runs.share_of_two()), (8, 2.0, 0.75));
    // Four of the eight datagrams follow another in their run.
    assert!((runs.saved(0.8) - 0.1).abs() < 1e-9);
}
