//! The transactions of one worker: found by the branch, by the destination of their current try, and by
//! the time at which something is due.

use std::net::SocketAddr;

use super::blocks::{Blocks, Kept};
use super::machine::Machine;
use super::wheel::{Link, Wheel};
use crate::clock::Now;
use crate::destination::Slot;
use crate::limits::SLOTS_MAX;
use crate::listener::Flow;
use crate::sync::prefetch;

/// The number of a transaction at its worker, until it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Id(u32);

/// Where a request came from, and where its responses go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The way that it came.
    pub(crate) flow: Flow,
    /// The address that responses go to.
    pub(crate) response_address: SocketAddr,
}

/// What the tries of a request have in common that a reload does not change: an ACK and a CANCEL have the
/// Request-URI and the Routes of their INVITE (RFC 3261 §9.1, §17.1.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Form {
    /// The caller's Routes are removed.
    pub(crate) removes_routes: bool,
    /// The Request-URI gets the host and port of the destination.
    pub(crate) rewrites_uri: bool,
}

/// What is known of a request from the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) origin: Origin,
    /// The set that it is dispatched to.
    pub(crate) set: u32,
    /// The sender is a destination.
    pub(crate) from_destination: bool,
    pub(crate) form: Form,
}

/// One transaction, and what belongs to it.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// The hash in the branch of all its tries.
    key: u128,
    pub(crate) machine: Machine,
    pub(crate) about: About,
    /// The request as it was received.
    request: Kept,
    /// The response that copies of the request get, or the best one so far.
    response: Kept,
    /// The next one with the same place in the index, plus one; the next free one if it is free.
    next: u32,
    /// The neighbours among those whose current try is at the same destination, plus one.
    next_at_slot: u32,
    previous_at_slot: u32,
    /// The destination in whose list it stands.
    listed_at: Option<Slot>,
}

/// The transactions of one worker. All memory is reserved at the beginning, and used when it is needed.
#[derive(Debug)]
pub(crate) struct Transactions {
    list: Vec<Transaction>,
    links: Vec<Link>,
    count_max: usize,
    count: usize,
    /// The first free one of those that were used before, plus one.
    free: u32,
    /// By the first bits of the key: the first transaction, plus one.
    index: Box<[u32]>,
    /// By slot: the first transaction whose current try is there, plus one.
    at_slot: Box<[u32]>,
    blocks: Blocks,
    wheel: Wheel,
}

impl Transaction {
    /// Returns the hash in the branch of all its tries.
    pub(crate) fn key(&self) -> u128 {
        self.key
    }
}

impl Transactions {
    /// Creates room for this many transactions, which keep this many bytes of messages.
    pub(crate) fn new(count_max: usize, bytes: usize) -> Self {
        let count_max = count_max.min(u32::MAX as usize - 1);
        let (index, at_slot, wheel) = if count_max == 0 {
            (Box::default(), Box::default(), Wheel::empty())
        } else {
            let index = vec![0; count_max.next_power_of_two()];
            (index.into(), vec![0; SLOTS_MAX].into(), Wheel::new())
        };
        Self {
            list: Vec::with_capacity(count_max),
            links: Vec::with_capacity(count_max),
            count_max,
            count: 0,
            free: 0,
            index,
            at_slot,
            blocks: Blocks::new(bytes),
            wheel,
        }
    }

    /// Drops all of them, whatever state they are in. Memory stays reserved.
    pub(crate) fn clear(&mut self) {
        // Where nothing was ever added, nothing was written.
        if !self.list.is_empty() {
            self.index.fill(0);
            self.at_slot.fill(0);
            self.wheel.clear();
        }
        self.list.clear();
        self.links.clear();
        self.blocks.clear();
        self.count = 0;
        self.free = 0;
    }

    /// Returns how many there may be.
    pub(crate) fn capacity(&self) -> usize {
        self.count_max
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns how many blocks of memory the kept messages use.
    pub(crate) fn blocks_used(&self) -> usize {
        self.blocks.used()
    }

    /// Returns the transaction with this hash in its branch.
    pub(crate) fn find(&self, key: u128) -> Option<Id> {
        if self.count == 0 {
            return None;
        }
        let mut at = self.index[self.place(key)];
        while let Some(id) = at.checked_sub(1) {
            let transaction = &self.list[id as usize];
            if transaction.key == key {
                return Some(Id(id));
            }
            at = transaction.next;
        }
        None
    }

    /// Asks the memory for where the index has this key.
    #[inline]
    pub(crate) fn prefetch(&self, key: u128) {
        if self.count > 0 {
            prefetch(&self.index[self.place(key)]);
        }
    }

    /// Returns a transaction that has not ended.
    pub(crate) fn get(&self, id: Id) -> &Transaction {
        &self.list[id.0 as usize]
    }

    /// Returns a transaction that has not ended. After a change of its machine, [`Transactions::update`]
    /// must be called.
    pub(crate) fn get_mut(&mut self, id: Id) -> &mut Transaction {
        &mut self.list[id.0 as usize]
    }

    /// Returns whether there is room for a transaction whose request has this many bytes.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.count < self.count_max && self.blocks.has_room(len)
    }

    /// Adds a transaction whose request is `request`; `None` if there is no room for it.
    pub(crate) fn add(
        &mut self,
        now: Now,
        key: u128,
        machine: Machine,
        about: About,
        request: &[u8],
    ) -> Option<Id> {
        if self.count == self.count_max {
            return None;
        }
        let request = self.blocks.keep(request)?;
        let place = self.place(key);
        let transaction = Transaction {
            key,
            machine,
            about,
            request,
            response: Kept::default(),
            next: self.index[place],
            next_at_slot: 0,
            previous_at_slot: 0,
            listed_at: None,
        };
        let id = if let Some(id) = self.free.checked_sub(1) {
            self.free = self.list[id as usize].next;
            self.list[id as usize] = transaction;
            id
        } else {
            // Within the capacity, so nothing is allocated.
            self.list.push(transaction);
            self.links.push(Link::default());
            self.list.len() as u32 - 1
        };
        self.index[place] = id + 1;
        self.count += 1;
        self.update(now, Id(id));
        Some(Id(id))
    }

    /// Puts a transaction in order after its machine has changed: its timer, its destination, its kept
    /// messages. Returns true if it has ended; then it is gone.
    pub(crate) fn update(&mut self, now: Now, id: Id) -> bool {
        let transaction = &mut self.list[id.0 as usize];
        let machine = &transaction.machine;
        let (is_over, due) = (machine.is_over(), machine.due());
        let slot = machine.current().map(|(_, slot)| slot).filter(|_| !is_over);
        if !machine.needs_request() {
            self.blocks.free(&mut transaction.request);
        }
        if !machine.needs_response() {
            self.blocks.free(&mut transaction.response);
        }
        if transaction.listed_at != slot {
            self.unlist(id.0);
            if let Some(slot) = slot {
                self.list_at(id.0, slot);
            }
        }
        self.wheel.set(&mut self.links, id.0, due.filter(|_| !is_over), now);
        if is_over {
            self.remove(id.0);
        }
        is_over
    }

    /// Takes a transaction for which something is due; its timer is set again by
    /// [`Transactions::update`].
    pub(crate) fn pop_due(&mut self, now: Now) -> Option<Id> {
        self.wheel.pop(&mut self.links, now).map(Id)
    }

    /// Returns a time before which nothing is due.
    pub(crate) fn next_due(&self) -> Option<Now> {
        self.wheel.next_due()
    }

    /// Returns a transaction whose current try is at this destination.
    pub(crate) fn first_at(&self, slot: Slot) -> Option<Id> {
        self.at_slot.get(usize::from(slot.0))?.checked_sub(1).map(Id)
    }

    /// Returns the destinations that have current tries.
    pub(crate) fn slots_in_use(&self) -> impl Iterator<Item = Slot> {
        let in_use = self.at_slot.iter().enumerate().filter(|(_, first)| **first != 0);
        in_use.map(|(slot, _)| Slot(slot as u16))
    }

    /// Keeps this response for copies of the request, instead of the one before it. If there is no room
    /// for it, nothing is kept; returns false then.
    pub(crate) fn keep_response(&mut self, id: Id, message: &[u8]) -> bool {
        let response = &mut self.list[id.0 as usize].response;
        self.blocks.free(response);
        match self.blocks.keep(message) {
            Some(kept) => {
                *response = kept;
                true
            }
            None => false,
        }
    }

    /// Copies the request into `room`; returns its length, 0 if it is not kept any more.
    pub(crate) fn copy_request(&self, id: Id, room: &mut [u8]) -> usize {
        self.blocks.copy(self.list[id.0 as usize].request, room)
    }

    /// Returns the pieces of the kept response, none if there is none.
    pub(crate) fn response(&self, id: Id) -> impl Iterator<Item = &[u8]> {
        self.blocks.pieces(self.list[id.0 as usize].response)
    }

    /// Returns whether a response is kept.
    pub(crate) fn has_response(&self, id: Id) -> bool {
        !self.list[id.0 as usize].response.is_none()
    }

    fn place(&self, key: u128) -> usize {
        // It is a keyed hash, so any of its bits will do.
        (key as usize) & (self.index.len() - 1)
    }

    fn remove(&mut self, id: u32) {
        let transaction = &mut self.list[id as usize];
        self.blocks.free(&mut transaction.request);
        self.blocks.free(&mut transaction.response);
        let (place, next) = (self.place(self.list[id as usize].key), self.list[id as usize].next);
        if self.index[place] == id + 1 {
            self.index[place] = next;
        } else {
            let mut at = self.index[place];
            while let Some(before) = at.checked_sub(1) {
                at = self.list[before as usize].next;
                if at == id + 1 {
                    self.list[before as usize].next = next;
                    break;
                }
            }
        }
        self.list[id as usize].next = self.free;
        self.free = id + 1;
        self.count -= 1;
    }

    fn list_at(&mut self, id: u32, slot: Slot) {
        let Some(first) = self.at_slot.get_mut(usize::from(slot.0)) else { return };
        let next = std::mem::replace(first, id + 1);
        if let Some(next) = next.checked_sub(1) {
            self.list[next as usize].previous_at_slot = id + 1;
        }
        let transaction = &mut self.list[id as usize];
        transaction.next_at_slot = next;
        transaction.previous_at_slot = 0;
        transaction.listed_at = Some(slot);
    }

    fn unlist(&mut self, id: u32) {
        let transaction = &mut self.list[id as usize];
        let Some(slot) = transaction.listed_at.take() else { return };
        let (next, previous) = (transaction.next_at_slot, transaction.previous_at_slot);
        if let Some(next) = next.checked_sub(1) {
            self.list[next as usize].previous_at_slot = previous;
        }
        match previous.checked_sub(1) {
            Some(previous) => self.list[previous as usize].next_at_slot = next,
            None => self.at_slot[usize::from(slot.0)] = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::BLOCK_BYTES;
    use crate::listener::{ListenerId, Transport};
    use crate::transaction::{Effect, Failover};

    const COUNT: usize = 8;

    fn about() -> About {
        let peer = "192.0.2.7:5060".parse().unwrap();
        let (transport, listener) = (Transport::Udp, ListenerId(0));
        let flow = Flow { transport, listener, peer, connection: 0 };
        let origin = Origin { flow, response_address: peer };
        let form = Form { removes_routes: true, rewrites_uri: false };
        About { origin, set: 1, from_destination: false, form }
    }

    fn add(all: &mut Transactions, now: Now, key: u128, slot: u16, request: &[u8]) -> Option<Id> {
        let machine = Machine::new(now, true, Slot(slot), &Failover::DEFAULT);
        all.add(now, key, machine, about(), request)
    }

    fn request(all: &Transactions, id: Id) -> Vec<u8> {
        let mut room = vec![0; 4 * BLOCK_BYTES];
        let len = all.copy_request(id, &mut room);
        room.truncate(len);
        room
    }

    #[test]
    fn what_is_full_takes_no_more_and_what_is_empty_has_no_room_at_all() {
        let now = Now::from_ms(5);
        let mut all = Transactions::new(2, 3 * BLOCK_BYTES);
        assert!(all.has_room(3 * BLOCK_BYTES) && !all.has_room(3 * BLOCK_BYTES + 1));
        let one = add(&mut all, now, 1, 4, &[1; BLOCK_BYTES + 1]).unwrap();
        assert_eq!(
            add(&mut all, now, 2, 4, &[2; BLOCK_BYTES + 1]),
            None,
            "no room for its request"
        );
        let two = add(&mut all, now, 2, 4, &[2; BLOCK_BYTES]).unwrap();
        assert_eq!(add(&mut all, now, 3, 4, &[3]), None, "no room for another");
        assert!(!all.has_room(0));
        assert_eq!((all.len(), all.blocks_used(), all.capacity()), (2, 3, 2));
        assert!(!all.keep_response(one, &[9]) && !all.has_response(one));
        // An answered call needs neither.
        all.get_mut(two).machine.response(now, 0, 200, &Failover::DEFAULT);
        assert!(!all.update(now, two));
        assert_eq!((all.blocks_used(), all.first_at(Slot(4))), (2, Some(one)));
        assert!(all.keep_response(one, &[9]) && all.has_response(one));
        assert_eq!(all.response(one).collect::<Vec<_>>(), [[9]]);
        let mut none = Transactions::new(0, 0);
        assert!(!none.has_room(0) && none.find(1).is_none() && none.next_due().is_none());
        assert_eq!((add(&mut none, now, 1, 1, &[1]), none.pop_due(now)), (None, None));
    }

    #[test]
    fn a_panic_leaves_nothing() {
        let now = Now::from_ms(5);
        let mut all = Transactions::new(COUNT, 64 * BLOCK_BYTES);
        for key in 0..COUNT as u128 {
            add(&mut all, now, key, key as u16, &[7; 600]).unwrap();
        }
        all.clear();
        assert_eq!((all.len(), all.blocks_used(), all.next_due()), (0, 0, None));
        assert!((0..COUNT as u128).all(|key| all.find(key).is_none()));
        assert_eq!(all.slots_in_use().count(), 0);
        let id = add(&mut all, now, 3, 1, &[8; 600]).unwrap();
        assert_eq!((all.find(3), request(&all, id)), (Some(id), vec![8; 600]));
    }

    proptest! {
        /// Whatever begins and ends in whatever order: each is found by its key, by its destination and
        /// by its time, with its own request, and what has ended is gone.
        #[test]
        fn each_is_found(steps in prop::collection::vec((0_u128..20, 0_u16..4, 0_u64..3_000), 1..120)) {
            let mut now = Now::from_ms(100_000);
            let mut all = Transactions::new(COUNT, COUNT * 4 * BLOCK_BYTES);
            let mut known: BTreeMap<u128, (Id, u16)> = BTreeMap::new();
            for (key, slot, pause) in steps {
                now = now.plus_ms(pause);
                while let Some(id) = all.pop_due(now) {
                    let key = all.get(id).key();
                    prop_assert_eq!(known.get(&key).map(|(id, _)| *id), Some(id));
                    let machine = &mut all.get_mut(id).machine;
                    for effect in machine.timer(now, &Failover::DEFAULT) {
                        if effect == Effect::Next {
                            machine.none_left(now);
                        }
                    }
                    if all.update(now, id) {
                        known.remove(&key);
                    }
                }
                // Keys that differ above the bits of the index share a place in it.
                let key = (key << 3) | 5;
                if let Some((id, _)) = known.get(&key) {
                    all.get_mut(*id).machine.response(now, 0, 486, &Failover::DEFAULT);
                    all.get_mut(*id).machine.ack(now);
                    prop_assert!(!all.update(now, *id));
                } else {
                    let bytes = vec![key as u8; 100 + key as usize];
                    let id = add(&mut all, now, key, slot, &bytes);
                    prop_assert_eq!(id.is_some(), known.len() < COUNT);
                    known.extend(id.map(|id| (key, (id, slot))));
                }
                prop_assert_eq!(all.len(), known.len());
                for (key, (id, slot)) in &known {
                    prop_assert_eq!(all.find(*key), Some(*id));
                    let of = all.get(*id);
                    let is_listed = of.machine.current().is_some();
                    prop_assert_eq!(of.listed_at, is_listed.then_some(Slot(*slot)));
                    if of.machine.needs_request() {
                        prop_assert_eq!(request(&all, *id), vec![*key as u8; 100 + *key as usize]);
                    }
                }
                let listed = |slot| known.values().filter(|(id, at)| {
                    *at == slot && all.get(*id).machine.current().is_some()
                }).count();
                for slot in 0..4 {
                    let mut at = all.at_slot[usize::from(slot)];
                    let mut count = 0;
                    while let Some(id) = at.checked_sub(1) {
                        count += 1;
                        at = all.list[id as usize].next_at_slot;
                    }
                    prop_assert_eq!(count, listed(slot));
                    prop_assert_eq!(all.slots_in_use().any(|used| used == Slot(slot)), count > 0);
                }
            }
        }
    }
}
