//! Every algorithm: whom it chooses, and that looking is not choosing.

use proptest::prelude::*;

use Algorithm::*;

use super::*;
use crate::destination::turns::{look, take};
use crate::destination::{Algorithm, Choosing};

/// Records in the order of the set: `name[:priority[:weight[:rweight]]]`, in brackets if the record
/// cannot be chosen. The slots are those of the letters: `a` has 0.
fn candidates(text: &str) -> Vec<Candidate> {
    let candidate = |word: &str| {
        let is_dead = word.starts_with('[');
        let mut parts = word.trim_matches(['[', ']']).split(':');
        let name = parts.next().unwrap().as_bytes()[0];
        let mut number = || parts.next().filter(|part| !part.is_empty());
        let priority = number().map_or(0, |text| text.parse().unwrap());
        let weight = number().map(|text| text.parse().unwrap());
        let relative_weight = number().map(|text| text.parse().unwrap());
        let identity = u64::from(name);
        let standing =
            Standing { priority, weight, relative_weight, identity, ..Standing::default() };
        let slot = Slot(u16::from(name - b'a'));
        Candidate { standing, place: (!is_dead).then_some(Place::One(slot)) }
    };
    text.split_whitespace().map(candidate).collect()
}

fn chooser(algorithm: Algorithm, is_kamailio: bool, records: &str) -> Chooser {
    let choosing = Choosing { algorithm, is_kamailio, ..Choosing::default() };
    let late_ms = |slot: Slot| u64::from(slot.0) * 10;
    Chooser::new(&choosing, candidates(records), Arc::default(), (0, 0), late_ms)
}

fn letter(choice: Choice) -> char {
    match choice {
        Choice::To(slot) => char::from(b'a' + slot.0 as u8),
        Choice::NoneActive => '-',
        Choice::NoKey => '?',
    }
}

/// Returns what `count` calls get; key and entropy of each are its number, from 0.
fn calls(chooser: &Chooser, count: u64) -> String {
    let ask = |n| Ask { is_invite: true, entropy: n, key: Some(n) };
    (0..count).map(|n| letter(chooser.pick(&ask(n), take))).collect()
}

#[test]
fn whom_each_chooses() {
    for (algorithm, is_kamailio, records, wants) in [
        (RoundRobin, false, "a b c", "abcabca"),
        (RoundRobin, false, "a [b] c", "acacaca"),
        (RoundRobin, true, "a [b] c", "acacaca"),
        (First, false, "a b", "aaaa"),
        (First, false, "[a] b c", "bbbb"),
        (RoundRobinOrFirst, false, "a:0 b:0", "aaaa"),
        (RoundRobinOrFirst, false, "a:5 b:5", "abab"),
        (RoundRobinOrFirst, false, "a:7 b:5", "aaaa"),
        (RoundRobinOrFirst, false, "[a:7] b:5 c:5", "bbbb"),
        (Random, false, "a [b] c", "acacac"),
        (Random, true, "a [b] c d", "accdaccd"),
        // Kamailio's hashes: the remainder, and the next one.
        (CallIdHash, true, "a b c", "abcabc"),
        (FromHash, true, "a [b] c", "accacc"),
        (ToHash, true, "a b [c]", "abaaba"),
        (RequestUriHash, true, "[a] [b] c", "cccc"),
        (KeyHash, true, "a b", "abab"),
        (AuthHash, true, "a b", "abab"),
        (Weight, false, "a::3 b::1", "abaaabaa"),
        (Weight, false, "a b::2", "babbab"),
        (Weight, false, "a::9 [b::50] c::9", "acac"),
        (Weighted, true, "a::3 b::1", "abaaabaa"),
        (RelativeWeight, false, "a:::2 b:::1", "abaaba"),
        (RelativeWeight, false, "a::9 b::1", "abab"),
        (PriorityWeight, false, "a:2:9 b:1:2 c:1:1", "bcbbcb"),
        (PriorityWeight, false, "a:2:9 [b:1] [c:1]", "aaaa"),
        // Slot b takes 10 ms to answer, c 20, d 30.
        (Latency, false, "a:9 b:9 c:9 d:9", "aaaa"),
        (Latency, false, "a:20 b:20 c:20 d:20", "abcabc"),
        (Latency, true, "[a:20] b:20 c:20 d:20", "bcbc"),
        (Latency, false, "a:5 d:6 b:5", "aaa"),
        (Latency, false, "d b c", "dbcd"),
        (Latency, false, "[a]", "--"),
        (Consistent, false, "a", "aaaa"),
        (Consistent, false, "[a] b [c]", "bbbb"),
    ] {
        let chooser = chooser(algorithm, is_kamailio, records);
        let told = calls(&chooser, wants.len() as u64);
        assert_eq!(told, wants, "{algorithm:?} {records}");
    }
}

#[test]
fn without_a_destination_or_a_key() {
    for (algorithm, ..) in Algorithm::ALL {
        for is_kamailio in [false, true] {
            for records in ["", "[a]", "[a:1:5:5] [b:1:5:5]"] {
                let chooser = chooser(*algorithm, is_kamailio, records);
                assert_eq!(calls(&chooser, 2), "--", "{algorithm:?} {records}");
                assert_eq!(chooser.round(&Ask::default(), look), []);
            }
        }
    }
    for algorithm in [CallIdHash, FromHash, ToHash, RequestUriHash, KeyHash, Consistent] {
        let chooser = chooser(algorithm, false, "a b");
        let ask = Ask { key: None, ..Ask::default() };
        assert_eq!(letter(chooser.pick(&ask, take)), '?', "{algorithm:?}");
        assert!(!chooser.draws_key(&ask));
    }
    let auth = chooser(AuthHash, false, "a b c");
    let no_key = || letter(auth.pick(&Ask::default(), take));
    assert_eq!([no_key(), no_key(), no_key(), no_key()], ['a', 'b', 'c', 'a']);
}

fn shares(chooser: &Chooser, of: impl Fn(u64) -> Ask, names: &str) -> Vec<usize> {
    let chosen: Vec<_> = (0..10_000).map(|n| letter(chooser.pick(&of(n), take))).collect();
    names.chars().map(|name| chosen.iter().filter(|chosen| **chosen == name).count()).collect()
}

#[test]
fn shares_in_proportion() {
    let hashed = |n: u64| {
        let number = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let number = number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Ask { is_invite: true, entropy: number, key: Some(number) }
    };
    for (algorithm, is_kamailio, records, wants) in [
        (Random, false, "a b c d", [2500, 2500, 2500, 2500]),
        (Random, false, "a [b] c d", [3333, 0, 3333, 3333]),
        (Random, true, "a [b] c d", [2500, 0, 5000, 2500]),
        (CallIdHash, false, "a b c d", [2500, 2500, 2500, 2500]),
        (CallIdHash, false, "a [b] c d", [3333, 0, 3333, 3333]),
        (CallIdHash, true, "a [b] c d", [2500, 0, 5000, 2500]),
        (Consistent, false, "a b c d", [2500, 2500, 2500, 2500]),
        (Consistent, false, "a::10 [b::50] c::20 d::70", [1000, 0, 2000, 7000]),
        (Weight, false, "a::10 b::20 c::30 d::40", [1000, 2000, 3000, 4000]),
        (Weight, false, "a::10 b::20 c::30 [d::40]", [1667, 3333, 5000, 0]),
        (Weight, true, "a::10 b::20 c::30 d::30", [1000, 2000, 3000, 4000]),
        (Weight, true, "a::10 [b::20] c::30 d::40", [1000, 0, 5000, 4000]),
        (Weight, true, "a::60 b::60 c::60 d::60", [6000, 4000, 0, 0]),
        (Weight, true, "a b::50 c::25 d::25", [10000, 0, 0, 0]),
        (RelativeWeight, true, "a:::1 b:::1 c:::1 d:::1", [2500, 2500, 2500, 2500]),
        (RelativeWeight, true, "a:::1 [b:::1] c:::1 d:::1", [3300, 0, 3300, 3400]),
        (RelativeWeight, true, "a:::1 b c d:::1", [5000, 0, 0, 5000]),
        (RelativeWeight, false, "a:::1 b:::1 [c:::1] d:::1", [3333, 3333, 0, 3333]),
        (PriorityWeight, false, "a:2 b:1:30 c:1:10 d:1:10", [0, 6000, 2000, 2000]),
    ] {
        let chooser = chooser(algorithm, is_kamailio, records);
        let told = shares(&chooser, hashed, "abcd");
        for (told, wants) in told.iter().zip(wants) {
            let is_random = matches!(algorithm, Random | CallIdHash | Consistent);
            let slack = if is_random && wants > 0 { 200 } else { 2 };
            assert!(told.abs_diff(wants) <= slack, "{algorithm:?} {records}: {told} for {wants}");
        }
    }
}

#[test]
fn a_round_begins_with_the_next_one_and_has_each_once() {
    for (algorithm, records, key, wants) in [
        (RoundRobin, "a [b] c d", None, "acd"),
        (First, "a b", None, "ab"),
        (CallIdHash, "a b c", Some(5 << 32), "cab"),
        (CallIdHash, "a b c", None, "abc"),
        (Weight, "a::1 b::5 c::1", None, "bac"),
        (KeyHash, "a [b] c", Some(1 << 32 | 1), "ca"),
    ] {
        let chooser = chooser(algorithm, false, records);
        let ask = Ask { key, ..Ask::default() };
        let round: String =
            chooser.round(&ask, look).into_iter().map(|slot| letter(Choice::To(slot))).collect();
        assert_eq!(round, wants, "{algorithm:?} {records}");
    }
}

#[test]
fn a_key_gets_the_same_address_of_a_record_and_others_take_turns() {
    let place = |turns: u64| Place::Several {
        wheel: [7, 8, 9].map(Slot).into(),
        turns: Arc::new(AtomicU64::new(turns)),
    };
    let with = |algorithm| {
        let choosing = Choosing { algorithm, ..Choosing::default() };
        let candidate = Candidate { standing: Standing::default(), place: Some(place(1)) };
        Chooser::new(&choosing, vec![candidate], Arc::default(), (0, 0), |_| 0)
    };
    let ask = |n| Ask { is_invite: true, entropy: n, key: Some(n) };
    let slots = |chooser: &Chooser, keys: [u64; 4]| {
        keys.map(|key| match chooser.pick(&ask(key), take) {
            Choice::To(slot) => slot.0,
            other => panic!("{other:?}"),
        })
    };
    for algorithm in [RoundRobin, First, Random] {
        assert_eq!(slots(&with(algorithm), [5; 4]), [8, 9, 7, 8], "{algorithm:?}");
    }
    let hash = with(CallIdHash);
    let first = slots(&hash, [5, 5, 5, 5])[0];
    assert_eq!(slots(&hash, [5; 4]), [first; 4]);
    let all: HashSet<_> = (0..100).flat_map(|key| slots(&hash, [key; 4])).collect();
    assert_eq!(all.len(), 3);
    let ask = ask(5);
    assert_eq!(hash.round(&ask, look)[0], Slot(first));
}

#[test]
fn the_same_weights_are_a_round_that_goes_on() {
    let chooser = chooser(Weight, false, "a::50 b::50 c::50");
    assert_eq!(calls(&chooser, 3), "abc");
    assert_eq!(calls(&chooser.with_offsets(2, 0), 3), "bca");
    let ask = Ask::default();
    assert_eq!(letter(chooser.pick(&ask, take)), 'a', "other methods have their own round");
}

proptest! {
    #[test]
    fn looking_is_choosing_and_every_choice_can_be_chosen(
        algorithm in 0..Algorithm::ALL.len(),
        is_kamailio: bool,
        records in prop::collection::vec((any::<bool>(), -1..3_i32, 0..=100_u8, 0..=100_u8), 0..12),
        asks in prop::collection::vec((any::<bool>(), any::<u64>(), any::<Option<u64>>()), 1..30),
    ) {
        let algorithm = Algorithm::ALL[algorithm].0;
        let choosing = Choosing { algorithm, is_kamailio, ..Choosing::default() };
        let given = |number: u8| (number > 0).then_some(number);
        let candidates: Vec<_> = (records.iter().zip(0..))
            .map(|((is_active, priority, weight, relative), at)| Candidate {
                standing: Standing {
                    priority: *priority,
                    weight: given(*weight),
                    relative_weight: given(*relative),
                    identity: at,
                    ..Standing::default()
                },
                place: is_active.then_some(Place::One(Slot(at as u16))),
            })
            .collect();
        let active: Vec<_> = (0..records.len()).filter(|at| records[*at].0).collect();
        let chooser = Chooser::new(&choosing, candidates, Arc::default(), (3, 5), |_| 0);
        for (is_invite, entropy, key) in asks {
            let ask = Ask { is_invite, entropy, key };
            let seen = chooser.pick(&ask, look);
            let round = chooser.round(&ask, look);
            prop_assert_eq!(seen, chooser.pick(&ask, look));
            prop_assert_eq!(seen, chooser.pick(&ask, take));
            match seen {
                Choice::To(slot) => {
                    prop_assert!(active.contains(&usize::from(slot.0)));
                    prop_assert_eq!(round[0], slot);
                }
                Choice::NoneActive => prop_assert!(active.is_empty()),
                Choice::NoKey => prop_assert!(key.is_none() && !active.is_empty()),
            }
            prop_assert!(round.iter().all(|slot| active.contains(&usize::from(slot.0))));
            let is_whole = algorithm == PriorityWeight || round.len() == active.len();
            prop_assert!(is_whole);
        }
    }
}
