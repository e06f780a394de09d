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

/// Workers of one process: four on each core of a machine with 64.
///
/// 256 workers x 64 slots x 64 KiB are 1 GiB of address space for datagrams, of which only touched
/// pages cost.
pub const WORKERS_MAX: usize = 256;

/// Bytes of a socket's receive buffer, from one largest datagram and its bookkeeping up to 1 GiB.
pub const RECEIVE_BUFFER_BYTES: std::ops::RangeInclusive<usize> = 131_072..=1 << 30;

/// Bytes of a socket's receive buffer unless the operator says otherwise: some 3,000 ordinary
/// messages, a stall of 30 ms at 100,000 a second.
pub const RECEIVE_BUFFER_BYTES_DEFAULT: usize = 4 << 20;

/// New requests per second at the peak that a pin table is made for: at 8 bytes x 240 s x 3, a
/// million of them are 5.8 GB.
pub const PEAK_REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;

/// Seconds that a shutdown may wait for quiet: an hour.
pub const GRACE_S_MAX: u64 = 3_600;

/// Prefixes of `allow` and of `in_dialog_to`: all are compared for each datagram from a stranger,
/// and 256 comparisons of 2 ns are 0.5 us.
pub const PREFIXES_MAX: usize = 256;

/// Further names that mean us: compared one after the other, as the prefixes are.
pub const ALIASES_MAX: usize = 256;

/// Bytes of a listener's name, which is a word and not a text.
pub const LISTENER_NAME_BYTES_MAX: usize = 64;

/// Bytes of a reason phrase: it must leave room in our answer for what the request brought.
pub const REASON_BYTES_MAX: usize = 128;

/// Number of a destination set: Kamailio keeps it in a signed 32-bit integer.
pub const SET_MAX: u32 = i32::MAX as u32;

/// Bytes of a configuration file: 10,000 sets of 100 bytes each.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a list: as many lines as there are slots, each as long as Kamailio reads one (1,023).
pub const LIST_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a key file: four lines of 69 bytes, and room for comments.
pub const KEY_FILE_BYTES_MAX: u64 = 16_384;

/// Problems of one file that are told one by one; of the rest only the number is told.
pub const PROBLEMS_MAX: usize = 100;

/// Names that one load resolves at the same time.
pub const LOOKUPS_MAX: usize = 16;

/// Lookups in all: a lookup that hangs outlives the load that began it by the resolver's own limit
/// (10 s with two servers), and four loads may follow one another in that time.
pub const LOOKUPS_ALL_MAX: usize = 4 * LOOKUPS_MAX;

/// Bytes of one value of a dispatch line; what is longer is cut.
pub const DISPATCH_VALUE_BYTES: usize = 256;

/// Bytes of the template of a dispatch line: a line of a log, not a page.
pub const DISPATCH_TEMPLATE_BYTES_MAX: usize = 1_024;

/// Dispatch lines that wait for the log thread: 0.4 s of 10,000 calls a second, 6 MB.
pub const DISPATCH_LINES_MAX: usize = 4_096;

/// Log lines that wait for standard error.
pub const LOG_LINES_MAX: usize = 4_096;

const _: () = assert!(LIST_BYTES_MAX >= SLOTS_MAX as u64 * 1_024);
