//! What a relay's core needs besides messages: one listener, one key, room for pins, and snapshots
//! with default settings.

use std::sync::Arc;

use strowger::destination::Table;
use strowger::keys::{Keys, MasterKey};
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{Listener, Listeners, Policy, SetPolicy, Shared, Snapshot, Transport};
use strowger::transaction::TransactionRoom;
use strowger::transport::sys::Mapping;

/// What the workers of a relay with room for so many pins share.
#[allow(dead_code, reason = "not every bench needs it")]
pub(crate) fn shared(pins: usize) -> Arc<Shared> {
    shared_with(pins, TransactionRoom::default())
}

/// The same, with room for the transactions of each worker.
pub(crate) fn shared_with(pins: usize, room: TransactionRoom) -> Arc<Shared> {
    let listener = Listener {
        name: "192.0.2.1:5060".into(),
        local: "192.0.2.1:5060".parse().expect("an address"),
        transport: Transport::Udp,
        sent_by: "192.0.2.1:5060".into(),
        force_rport: false,
        set: None,
    };
    let listeners = Listeners::new(vec![listener], &[]);
    let keys = Keys::new(&[MasterKey { id: 1, secret: [42; 32] }]);
    let words = PinMemory::words_for(pins);
    let memory = Mapping::anonymous_shared(words).expect("memory for the pins");
    let pins = PinTable::new(PinMemory::new(memory, 1));
    Arc::new(Shared::new(listeners, keys, pins, 1).with_transactions(room, None))
}

/// A snapshot of these destinations.
pub(crate) fn snapshot(version: u64, destinations: Table) -> Snapshot {
    Snapshot {
        version,
        policy: Policy::default(),
        set_default: SetPolicy::default(),
        sets: Arc::default(),
        draining: false,
        destinations,
    }
}
