//! Every bound, with the sum that produced it.

/// Listeners of one process.
///
/// Their numbers are 16 bits wide; each costs a socket per worker, and 64 workers x 256 is within
/// the usual limit of 20,000 open files.
pub const LISTENERS_MAX: usize = 256;

/// Keys that verify at the same time: the signing one and three that are on their way in or out.
pub const KEYS_MAX: usize = 4;

/// The largest UDP payload over IPv4: 65,535 less 20 bytes of IP and 8 of UDP.
pub const PAYLOAD_IPV4_MAX: usize = 65_507;

/// The largest UDP payload over IPv6, whose length field does not count its own header.
pub const PAYLOAD_IPV6_MAX: usize = 65_527;

/// Bytes of a datagram slot: the largest payload, and one page boundary above it.
pub const SLOT_BYTES: usize = 65_536;

/// Datagrams taken from a socket before we turn to sending.
///
/// 64 slots of 64 KiB are 4 MiB of address space; a slot costs only the pages that its datagram
/// touches, one for nearly every SIP message, so a batch stays within 256 KiB of cache.
pub const BATCH: usize = 64;

/// Edits of one message: Request-URI, our Via and Record-Routes, `received` and `rport` (2 each),
/// Max-Forwards, Max-Breadth, four passes of Route removal (a pair each), the strict-route swap.
pub(crate) const EDITS_MAX: usize = 20;

/// Slices of one outbox: each edit splits the message once and adds one slice of its own.
pub const PIECES_MAX: usize = 2 * EDITS_MAX + 1;

/// Messages of one outbox: stateless forwarding puts in at most one.
pub const OUTBOX_MAX: usize = 1;

/// Bytes of our own in one outbox: a whole answer, which is at most as long as its request, and
/// what we add to it.
pub const SCRATCH_BYTES: usize = SLOT_BYTES + 4096;

/// Slots for destinations: a slot's number is 16 bits wide, and the last 16 are reserved.
pub const SLOTS_MAX: usize = 65_520;

const _: () = assert!(SLOT_BYTES > PAYLOAD_IPV6_MAX);

/// Route values looked at; a request with more is refused with 400.
///
/// Max-Forwards starts at 70 and real route sets have fewer than ten entries.
pub(crate) const ROUTES_MAX: usize = 32;

/// Bytes of text that the edits of one message add.
///
/// Our Via is at most 47 + 253 (host) + 100 bytes, each of two Record-Routes 22 + 112 + 253, the
/// strict-route swap writes a Request-URI twice; what does not fit is refused like a message that
/// is too large.
pub(crate) const EDIT_TEXT_BYTES: usize = 16_384;

/// Pins per new request per second at the peak: 240 s that a pin lives, 1.5 pins a request (a call
/// has two), twice that room so that buckets rarely fill. 10,000/s are 7.2 million pins, 58 MB.
pub(crate) const PINS_PER_REQUEST_RATE: usize = 240 * 3 / 2 * 2;

/// Calls of the sweeper for one pass over the table, one a second: every pin is seen every 64 s,
/// far below the 400 s that the wrapping clock allows.
pub(crate) const SWEEP_PARTS: usize = 64;

/// Attempts to put a pin in while other workers do the same; then the datagram, a copy of what
/// another worker forwards at this moment, is dropped.
pub(crate) const CLAIM_TRIES: usize = 64;

/// Pauses of the processor between two attempts, some 2 us: longer than the choice takes.
pub(crate) const CLAIM_SPINS: usize = 64;

/// How long the number of a retired destination is given to no other: as long as a pin lives.
pub(crate) const SLOT_QUARANTINE_MS: u64 = 240_000;

/// Places in a route that are ourselves and are passed at once; more is a loop.
pub(crate) const OWN_ROUTES_MAX: usize = 4;
