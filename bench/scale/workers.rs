//! What several workers do at once: cores without sockets on threads of their own, which share the
//! pins, the table of destinations and the turn.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cases::{BATCH, Batch, Core};
use super::columns;
use super::law;
use super::samples::Samples;
use super::subjects::{DESTINATIONS, LIVING};
use super::timing::timed;

/// Workers that share everything that workers of a relay share.
pub(crate) struct Workers {
    all: Vec<(Core, Batch)>,
    cores: Vec<core_affinity::CoreId>,
    /// Messages per second of one worker, of two, and so on.
    pub(crate) rates: Vec<Samples>,
    /// How much more all do than one, in the same round.
    speedups: Samples,
    /// The time, which all of them share: pins of a time to come would look old.
    clock_ms: AtomicU64,
}

impl Workers {
    /// One for each core of the machine.
    pub(crate) fn new() -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let first = Core::new(DESTINATIONS, LIVING);
        let others = (1..cores.len()).map(|_| first.beside()).collect::<Vec<_>>();
        let all = std::iter::once(first).chain(others).zip(0..).map(|(mut core, worker)| {
            let batch = Batch::of_worker(worker, &mut core).keeping(LIVING);
            (core, batch)
        });
        let all: Vec<_> = all.collect();
        Self {
            rates: vec![Samples::default(); all.len()],
            all,
            cores,
            speedups: Samples::default(),
            clock_ms: AtomicU64::new(CLOCK_BEGIN_MS),
        }
    }

    /// Takes one sample for each number of workers.
    pub(crate) fn measure(&mut self) {
        let rates: Vec<_> = (1..=self.all.len()).map(|count| self.rate_of(count)).collect();
        for (samples, rate) in self.rates.iter_mut().zip(&rates) {
            samples.add(*rate);
        }
        if let [one, .., all] = rates[..] {
            self.speedups.add(all / one);
        }
    }

    /// Returns the messages per second of so many workers together.
    fn rate_of(&mut self, count: usize) -> f64 {
        let barrier = Barrier::new(count);
        let is_over = AtomicBool::new(false);
        let workers = self.all[..count].iter_mut().zip(&self.cores);
        let clock_ms = &self.clock_ms;
        std::thread::scope(|scope| {
            let threads: Vec<_> = workers
                .map(|((core, batch), cpu)| {
                    let (barrier, is_over) = (&barrier, &is_over);
                    scope.spawn(move || {
                        core_affinity::set_for_current(*cpu);
                        barrier.wait();
                        let begin = Instant::now();
                        let (mut messages, mut wrong, mut spent) = (0, 0, Duration::ZERO);
                        // Relaxed: a batch more or less does not matter.
                        while begin.elapsed() < SAMPLE && !is_over.load(Ordering::Relaxed) {
                            batch.renew(core);
                            // Relaxed: it only has to grow.
                            core.set_ms(clock_ms.fetch_add(STEP_MS, Ordering::Relaxed));
                            spent += timed(|| wrong += batch.relay(core, BATCH));
                            messages += BATCH;
                        }
                        // The tag of a pin has 30 bits, so of a hundred million new calls one is
                        // taken for a copy of another.
                        assert!(wrong <= 1, "{wrong} verdicts that should not be");
                        is_over.store(true, Ordering::Relaxed);
                        messages as f64 / spent.as_secs_f64()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a worker")).sum()
        })
    }

    /// Returns the share that only one worker can do at a time; `None` on a machine with one core.
    pub(crate) fn serial_share(&self) -> Option<f64> {
        let workers = self.all.len();
        (workers > 1).then(|| law::serial_share(workers, self.speedups.median()))
    }

    /// Returns the figures.
    pub(crate) fn as_json(&self) -> Value {
        let rates: Vec<_> = self.rates.iter().map(Samples::median).collect();
        json!({ "messages_per_second": rates, "serial_share": self.serial_share() })
    }

    /// Returns the figures as a table, and what the law says of more workers than there are cores.
    pub(crate) fn table(&self) -> String {
        let mut table =
            columns::table(&["workers", "messages a second", "least", "most", "instead of one"]);
        let one = self.rates[0].median();
        for (rates, workers) in self.rates.iter().zip(1..) {
            table.add_row([
                i32::to_string(&workers),
                format!("{:.0}", rates.median()),
                format!("{:.0}", rates.least()),
                format!("{:.0}", rates.most()),
                format!("{:.2}", rates.median() / one),
            ]);
        }
        if let Some(share) = self.serial_share() {
            for workers in ON_PAPER.into_iter().filter(|workers| *workers > self.all.len()) {
                let speedup = law::speedup(workers, share);
                table.add_row([
                    format!("{workers}, on paper"),
                    format!("{:.0}", one * speedup),
                    String::new(),
                    String::new(),
                    format!("{speedup:.2}"),
                ]);
            }
        }
        let law = self.serial_share().map_or_else(String::new, |share| {
            format!("\nshare that only one worker can do at a time: {:.2} %", share * 100.0)
        });
        columns::text(table, 0) + &law
    }
}

/// Numbers of workers that the law is asked for.
pub(crate) const ON_PAPER: [usize; 4] = [4, 8, 16, 32];

/// After all that was prepared.
const CLOCK_BEGIN_MS: u64 = 2_000_000_000;
/// As many pins end with each batch as it puts in.
const STEP_MS: u64 = 240_000 * BATCH as u64 / LIVING as u64;
const SAMPLE: Duration = Duration::from_millis(80);
