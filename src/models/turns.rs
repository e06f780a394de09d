//! Counters that hand out numbers: the turns of the round, and one line a second for a log site.

use super::*;
use crate::destination::{Ask, Chooser, Place, Set, Turns};
use crate::log::Limited;

/// Creates a set of three, of which one record has two addresses; each reload builds its own table.
fn set(turns: &Shared<Turns>, place_turns: &Shared<AtomicU64>) -> Set {
    let several =
        Place::Several { wheel: [1, 2].map(Slot).into(), turns: Shared::clone(place_turns) };
    let places = [several, Place::One(Slot(3))].into();
    Set {
        id: 1,
        chooser: Chooser::round_robin(places, Shared::clone(turns)),
        last_resort: None,
        key: None,
        counts_calls: false,
        has_limits: false,
        load: std::sync::Arc::default(),
        active_members: [1, 2, 3].map(Slot).into(),
        inactive_members: [].into(),
        slow_start_ms: 0,
        even_shares: None,
    }
}

#[test]
fn no_turn_is_lost_or_taken_twice_while_tables_change() {
    explore(Bound::None, || {
        let (turns, places) = (Shared::new(Turns::default()), Shared::new(AtomicU64::new(0)));
        // Two workers, one with the old table, one with the new.
        let workers = (0..2).map(|_| {
            let set = set(&turns, &places);
            let ask = Ask { is_invite: true, ..Ask::default() };
            thread::spawn(move || [set.choose(&ask).unwrap().0, set.choose(&ask).unwrap().0])
        });
        let mut chosen: Vec<u16> = join(workers.collect()).into_iter().flatten().collect();
        chosen.sort_unstable();
        assert_eq!(chosen, [1, 2, 3, 3]);
        assert_eq!(get(turns.of(true)), 4);
        assert_eq!(get(turns.of(false)), 0);
    });
}

#[test]
fn a_log_site_writes_one_line_and_counts_the_others() {
    explore(Bound::None, || {
        let limited = Shared::new(Limited::default());
        let threads = (0..2).map(|_| {
            let limited = Shared::clone(&limited);
            thread::spawn(move || limited.allow(NOW).map(|more| more.0))
        });
        let told = join(threads.collect());
        assert_eq!(told.iter().flatten().count(), 1, "{told:?}");
        let later = limited.allow(NOW.plus_ms(1_000)).unwrap();
        assert_eq!(told.into_iter().flatten().sum::<u64>() + later.0, 1);
    });
}
