//! Handles messages of one case, so that `bench/instructions` can count the instructions.
//!
//! Usage: `one_message read|relay|stateful CASE BATCHES`. Only [`cases::Batch::read`] and
//! [`cases::Batch::relay`] are counted, for every batch after the first.

#[allow(dead_code, reason = "the bench of pins needs more")]
mod cases;
mod messages;
mod world;

use cases::{BATCH, Batch, Case, Core};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [what, case, batches] = &arguments[..] else {
        // As a bench or test among others there is nothing to do.
        return;
    };
    let case = Case::ALL.into_iter().find(|known| known.name() == case).expect("a case");
    let batches: usize = batches.parse().expect("a number of batches");
    let is_stateful = what == "stateful";
    let mut core = if is_stateful { Core::stateful(10, 100_000) } else { Core::new(10, 100_000) };
    let mut batch = Batch::new(case, &mut core);
    let mut wrong = 0;
    for _ in 0..batches {
        batch.renew(&mut core);
        wrong += match what.as_str() {
            "read" => batch.read(BATCH),
            "relay" | "stateful" => batch.relay(&mut core, BATCH),
            _ => panic!("neither read, relay nor stateful: {what}"),
        };
    }
    assert_eq!(wrong, 0);
    // Not inlined away, and said for the script.
    println!("{} messages of {} bytes", batches * BATCH, batch.message_len());
}
