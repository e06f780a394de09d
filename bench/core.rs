//! The cost of one message without sockets, in nanoseconds: reading it, and reading, deciding and
//! editing it.
//!
//! Criterion rather than divan: `iter_custom` excludes the time for creating new messages.

#[allow(dead_code, reason = "the bounds need more")]
mod cases;
mod messages;
mod timing;
mod world;

use std::time::Duration;

use cases::{Batch, Case, Core};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use strowger::destination::{Algorithm, Ask, Choosing, HeaderField, Part};
use timing::in_batches;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(30)
        .configure_from_args();
    read(&mut criterion);
    relay(&mut criterion);
    destinations(&mut criterion);
    choices(&mut criterion);
    algorithms(&mut criterion);
    pins(&mut criterion);
    criterion.final_summary();
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for case in Case::ALL.into_iter().filter(|case| *case != Case::InviteAgain) {
        let mut core = Core::new(DESTINATIONS, 0);
        let batch = Batch::new(case, &mut core);
        group.throughput(Throughput::Bytes(batch.message_len() as u64));
        group.bench_function(case.name(), |bencher| {
            bencher.iter_custom(|messages| {
                let mut wrong = 0;
                let spent = in_batches(messages, |_| (), |count| wrong += batch.read(count));
                assert_eq!(wrong, 0);
                spent
            });
        });
    }
}

fn relay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("relay");
    for case in Case::ALL {
        let mut core = Core::new(DESTINATIONS, LIVING);
        let batch = Batch::new(case, &mut core);
        let batch = if case == Case::NewInvite { batch.keeping(LIVING) } else { batch };
        time(&mut group, BenchmarkId::from_parameter(case.name()), core, batch);
    }
}

fn destinations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("invite-new/destinations");
    for count in [1, 100, 10_000] {
        let mut core = Core::new(count, LIVING);
        let batch = Batch::new(Case::NewInvite, &mut core).keeping(LIVING);
        time(&mut group, BenchmarkId::from_parameter(count), core, batch);
    }
}

/// Choosing alone: as fast among 10,000 destinations as with one.
fn choices(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("choose");
    for (name, choosing) in choosings() {
        for count in [1, 100, 10_000] {
            let core = Core::choosing(&choosing, count, 0);
            let set = core.set();
            // Each key and each number is another call.
            let ask = |n: u64| {
                let number = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                Ask { is_invite: true, entropy: number, key: Some(number) }
            };
            for n in 0..1_000 {
                let (peeked, chosen) = (set.peek(&ask(n)), set.choose(&ask(n)));
                assert_eq!(peeked, chosen);
                assert!(chosen.is_some_and(|slot| set.is_active(slot)));
            }
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                let mut number = 0;
                bencher.iter(|| {
                    number += 1;
                    set.choose(&ask(number))
                });
            });
        }
    }
}

/// A whole message by each algorithm, with the hash of its key.
fn algorithms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("invite-new/algorithm");
    let of = |algorithm| Choosing { algorithm, ..Choosing::default() };
    // What looks at the destinations themselves, and not only at a table.
    let looking = [
        ("fastest", of(Algorithm::Fastest)),
        ("slow-start", Choosing { slow_start_ms: 30_000, ..of(Algorithm::RoundRobin) }),
    ];
    for (name, choosing) in choosings().chain(looking) {
        // No pins besides its own: they have a group of their own.
        let mut core = Core::choosing(&choosing, DESTINATIONS, 0);
        let batch = Batch::new(Case::NewInvite, &mut core).keeping(0);
        time(&mut group, BenchmarkId::from_parameter(name), core, batch);
    }
}

fn choosings() -> impl Iterator<Item = (&'static str, Choosing)> {
    let of = |algorithm| Choosing { algorithm, ..Choosing::default() };
    let header = vec![Part::Header(HeaderField::new("Contact"))];
    [
        ("round-robin", of(Algorithm::RoundRobin)),
        ("random", of(Algorithm::Random)),
        ("call-id-hash", of(Algorithm::CallIdHash)),
        ("kamailio-from-hash", Choosing { is_kamailio: true, ..of(Algorithm::FromHash) }),
        ("weighted", of(Algorithm::Weighted)),
        ("consistent", of(Algorithm::Consistent)),
        ("latency", of(Algorithm::Latency)),
        ("consistent-header", Choosing { hash_over: header, ..of(Algorithm::Consistent) }),
    ]
    .into_iter()
}

fn pins(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("invite-new/living-pins");
    for living in [0, 100_000, 1_000_000, 10_000_000] {
        let mut core = Core::new(DESTINATIONS, living);
        // At half the room one bucket of fifty is full and has evicted some.
        assert!(core.pins() >= living - living / 50);
        let batch = Batch::new(Case::NewInvite, &mut core).keeping(living);
        time(&mut group, BenchmarkId::from_parameter(living), core, batch);
    }
}

fn time(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, core: Core, batch: Batch) {
    let parts = std::cell::RefCell::new((core, batch));
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|messages| {
            let mut wrong = 0;
            let renew = |_| {
                let (core, batch) = &mut *parts.borrow_mut();
                batch.renew(core);
            };
            let spent = in_batches(messages, renew, |count| {
                let (core, batch) = &mut *parts.borrow_mut();
                wrong += batch.relay(core, count);
            });
            assert_eq!(wrong, 0, "a verdict that should not be");
            spent
        });
    });
}

/// Destinations, unless their number is what changes.
const DESTINATIONS: usize = 10;
/// Living pins, unless their number is what changes.
const LIVING: usize = 100_000;
