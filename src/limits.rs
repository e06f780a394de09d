//! Every bound, with the sum that produced it.

use std::time::Duration;

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

/// How far the start of a slot is moved on against 64 KiB, 17 cache lines: the lines of a batch of
/// 1,088-byte messages then fall evenly into the sets of a cache, and an odd number of lines never
/// comes back to the same set early.
pub(crate) const SLOT_STAGGER_BYTES: usize = 17 * 64;

/// Bytes that one socket may have on their way out.
///
/// What is sent to a neighbour that does not answer (a server that is switched off, a forged source
/// of our own network) waits in the kernel for some seconds, up to 212,992 bytes for each
/// (`unres_qlen_bytes`), and all of it counts here: with the usual buffer of the same size one such
/// neighbour stops everything else. The kernel remembers at most 1,024 neighbours (`gc_thresh3`);
/// this is room for all of them. It is a bound, nothing is reserved.
pub(crate) const SEND_BUFFER_BYTES: usize = 256 << 20;

const _: () = assert!(SEND_BUFFER_BYTES >= 1_024 * 212_992);

/// How long a worker waits for a full send buffer to take another message, in milliseconds, and how
/// often in one batch: a buffer of 200 KiB drains in under 2 ms at 1 Gbit/s, and 4 ms of standstill
/// fill no receive buffer of 4 MiB below 1,000,000 messages/s.
pub(crate) const SEND_WAIT_MS: u16 = 2;
/// See [`SEND_WAIT_MS`].
pub(crate) const SEND_WAITS_MAX: u32 = 2;

/// How long a worker waits before it reads again when reads fail one after the other, in
/// milliseconds: the system calls of 1,000 attempts a second are 1 % of a core, and no receive buffer
/// of 4 MiB fills in that time below 1,000,000 messages/s.
pub(crate) const READ_AGAIN_MS: u64 = 1;

/// The longest time that an INVITE waits for its first response: 64*T1 (RFC 3261 §17.1.1.2).
pub const TIMER_B: Duration = Duration::from_secs(32);

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

/// The longest answer of our own to a request of this length: an eighth more.
///
/// The source of a request may be forged, and then its answer is traffic that one stranger chose
/// for another. An answer adds a tag (21 bytes), `received` (25, over IPv6 49) and `rport` (12); it
/// leaves out Max-Forwards (18) and most of the first line. So over IPv4 every request of 320 bytes
/// is answered and over IPv6 every one of 512, and of shorter ones those that have a Content-Length,
/// a Contact or the name of a program, as all but made-up ones do.
pub(crate) const fn answer_max(request_len: usize) -> usize {
    request_len + request_len / 8
}

const _: () = assert!(SLOT_BYTES > PAYLOAD_IPV6_MAX);
const _: () = assert!(BATCH <= 1 << u8::BITS);

/// Lines of a header, folds and single CRs and LFs included; a message with more is refused like one
/// with a row that does not end.
///
/// Real headers have fewer than 100. A line that means work costs some 40 ns, and the shortest has
/// three bytes: 21,000 of them fit a datagram and would cost 0.8 ms, these cost 40 us.
pub(crate) const HEADER_LINES_MAX: usize = 1_024;

/// Parameters of one Via, From, To or Route value; one with more is malformed.
///
/// Real values have fewer than ten. Reading one takes some 10 ns: the 16,000 that fit a datagram
/// would cost 0.2 ms, these cost 3 us.
pub(crate) const PARAMETERS_MAX: usize = 256;

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

/// Seconds in which the sweeper passes the table, and so parts that it passes it in.
pub(crate) const SWEEP_PARTS: usize = 64;

/// Attempts to put a pin in while other workers do the same; then the datagram, a copy of what
/// another worker forwards at this moment, is dropped.
pub(crate) const CLAIM_TRIES: usize = if cfg!(loom) { 3 } else { 64 };

/// Pauses of the processor between two attempts, some 2 us: longer than the choice takes.
pub(crate) const CLAIM_SPINS: usize = if cfg!(loom) { 1 } else { 64 };

/// How long the number of a retired destination is given to no other: as long as any pin lives, that
/// of a call that rings.
pub(crate) const SLOT_QUARANTINE_MS: u64 = 1_800_000;

/// How long a load waits for every worker to take a snapshot: each does with its next batch, which
/// takes milliseconds.
pub(crate) const MOVE_ON_TIME_MAX: Duration = Duration::from_secs(1);

/// Places in a route that are ourselves and are passed at once; more is a loop.
pub(crate) const OWN_ROUTES_MAX: usize = 4;

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

/// Bytes of a destination's URI: as long as Kamailio takes one (499).
pub const URI_BYTES_MAX: usize = 499;

/// Bytes of a destination's attributes: eight times what a line of Kamailio's list has room for, and
/// 64 times what the column of its table has (128).
pub const ATTRIBUTES_BYTES_MAX: usize = 8_192;

/// How long a database may take until it can be asked, in milliseconds: a name, a connection, TLS and
/// a password are six ways there and back, 2 s over the slowest network, and one lost packet is sent
/// again after 1 s, twice.
pub(crate) const DATABASE_CONNECT_MS: u64 = 5_000;
/// How long a database may take to answer one question, in milliseconds: 65,520 rows of 200 bytes are
/// 13 MB, a second at 100 Mbit/s; the rest is for whoever holds a lock on the table.
pub(crate) const DATABASE_ANSWER_MS: u64 = 10_000;
/// How long a database may take to hear that we are done, in milliseconds: nothing depends on it.
pub(crate) const DATABASE_CLOSE_MS: u64 = 500;
/// How long `SQLite` waits while another process writes, in milliseconds; less than
/// [`DATABASE_ANSWER_MS`], so that it is `SQLite` that says so.
pub(crate) const DATABASE_BUSY_MS: u32 = 5_000;

const _: () = assert!((DATABASE_BUSY_MS as u64) < DATABASE_ANSWER_MS);

/// Bytes of the file with a database's last good rows: as many as we take of the rows, and 40 for the
/// numbers of each of 65,520.
pub(crate) const LAST_GOOD_BYTES_MAX: u64 = LIST_BYTES_MAX + 40 * SLOTS_MAX as u64;

/// How long a relay that started without its database waits before it asks again, in milliseconds:
/// doubled each time, up to the longest. Half a minute is soon enough for a server that restarts, and a
/// hundred relays then ask it three times a second.
pub(crate) const DATABASE_RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=30_000;

/// How long a file must stand still before what was read of it counts, in milliseconds: an editor or
/// a shell empties a file and fills it within 1 ms, and the kernel notes a change to 4 ms.
pub(crate) const FILE_STILL_MS: u64 = 20;
/// How often a file that changes is read, half a second in all.
pub(crate) const FILE_LOOKS_MAX: u32 = 25;

/// Bytes of a key file: four lines of 69 bytes, and room for comments.
pub const KEY_FILE_BYTES_MAX: u64 = 16_384;

/// Columns of `db_extra_attrs`, as many as Kamailio takes.
pub const EXTRA_ATTRIBUTES_MAX: usize = 27;

/// Files that one import reads, and how deep they include one another: Kamailio's own depth is 10,
/// and a large installation has some dozens of files.
pub const IMPORT_FILES_MAX: usize = 256;
/// See [`IMPORT_FILES_MAX`].
pub const IMPORT_DEPTH_MAX: usize = 10;

/// Routes that are called one in another, as deep as Kamailio runs them.
pub const IMPORT_CALLS_DEEP: usize = 100;

/// Bytes of all files of one import: no more are read once so many were. A token costs some 60 bytes
/// of memory and a file of single signs has one per byte, so this is 500 MB at the worst, and 20 MB
/// for what people write.
pub const IMPORT_BYTES_MAX: usize = 8 << 20;

/// Tokens that defined names bring in all: names may be defined by names, each by several.
pub const IMPORT_DEFINED_MAX: usize = 100_000;

/// Words that `#!subst` replaces: each is looked for in every token, and 64 x 1,000,000 tokens take
/// some seconds.
pub const IMPORT_REPLACED_MAX: usize = 64;

/// Things that an import tells of that could not be carried over: more than anybody reads.
pub const IMPORT_LEFT_MAX: usize = 1_000;

/// Characters of one thing that an import tells of; more is cut.
pub const IMPORT_SHOWN_MAX: usize = 240;

/// Problems of one file that are told one by one; of the rest only the number is told.
pub const PROBLEMS_MAX: usize = 100;

/// Questions to name servers that are open at the same time.
///
/// Each has a socket of its own, of the 1,024 files that a process usually may open. Against a server
/// that answers in 5 ms they are 50,000 questions a second; with one that is silent, 256 wait for
/// their time and the others behind them.
pub const LOOKUPS_MAX: usize = 256;

/// How long a load waits for names, all together: a call set-up that stands still for longer is given
/// up by callers. What is not known by then is asked for again behind it.
pub const RESOLVE_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a question waits for one name server, repeated three times within it: as long as the
/// system's own resolver does.
pub(crate) const NAME_SERVER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a name server has the question for itself before the next one gets it too: longer than a
/// recursive server usually needs, and three of them fit in [`RESOLVE_TIME_MAX`].
pub(crate) const NEXT_NAME_SERVER_TIME: Duration = Duration::from_millis(500);

/// How long one round of questions behind the running relay may take: what is not answered by then is
/// a failure, and the next round is one question further. Names whose time is over meanwhile wait.
pub(crate) const REFRESH_TIME_MAX: Duration = Duration::from_secs(6);

const _: () = assert!(REFRESH_TIME_MAX.as_secs() > NAME_SERVER_TIME_MAX.as_secs());

/// How long an answer counts at least, however short its time to live: a name with 0 s, as some
/// cloud servers give it, is asked for 12 times a minute, not without end.
pub(crate) const TTL_MIN: Duration = Duration::from_secs(5);

/// How long an answer counts at most: a typing error in a time to live is over the next day.
pub(crate) const TTL_MAX: Duration = Duration::from_hours(24);

/// After how long it is asked again for what is not there, however long the zone says that it will
/// not be.
pub(crate) const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// After how long a question that got no answer is asked again: the first time, and twice as long
/// each further time up to [`RESOLVE_AGAIN`].
pub(crate) const FAILED_AGAIN: Duration = Duration::from_secs(5);

/// NAPTR records of one name that are followed: primary and backup twice.
pub(crate) const SERVICES_MAX: usize = 4;

/// SRV records of one service that are used, those of the best priority first. Each is two questions,
/// so that all of them are asked at once within [`LOOKUPS_MAX`].
pub(crate) const TARGETS_MAX: usize = LOOKUPS_MAX / 2;

/// Addresses of one name: two for each target, of each family one.
pub(crate) const ADDRESSES_MAX: usize = 2 * TARGETS_MAX;

/// Names that an alias leads on to before it is taken for a loop.
pub(crate) const ALIASES_FOLLOWED_MAX: usize = 4;

/// Domains of `/etc/resolv.conf` in which a name is looked for, as many as the system's resolver takes.
pub(crate) const SEARCH_MAX: usize = 6;

/// Names without an address that are told one by one; of the rest only the number is told.
pub(crate) const NAMES_TOLD_MAX: usize = 16;

/// Places of the wheel that a name's addresses take turns by when their weights differ: 1 of 512 is
/// the smallest share, 0.2 %, and a wheel is at most 1 KiB.
pub(crate) const WHEEL_MAX: usize = 512;

const _: () = assert!(WHEEL_MAX >= 2 * ADDRESSES_MAX);

/// Bytes of one value of a dispatch line; what is longer is cut.
pub const DISPATCH_VALUE_BYTES: usize = 256;

/// Bytes of the template of a dispatch line: a line of a log, not a page.
pub const DISPATCH_TEMPLATE_BYTES_MAX: usize = 1_024;

/// Reloads, additions and removals that wait for the one at work. Each reads the source itself, so that
/// its answer is true of a moment after it was asked for; 32 of them wait at most 32 times the time of a
/// database that does not answer.
pub const RELOADS_WAITING_MAX: usize = 32;

/// Records for which the tables of the workers are made at once; with more, only while the core has
/// nothing else to do. A record costs some 1 us, so that these hold up a worker on the same core by no
/// more than 50 us.
pub(crate) const BUILD_AT_ONCE_MAX: usize = 50;

/// Dispatch lines that wait for the log thread: 0.4 s of 10,000 calls a second, 6 MB.
pub const DISPATCH_LINES_MAX: usize = 4_096;

/// Log lines that wait for standard error.
pub const LOG_LINES_MAX: usize = 4_096;

const _: () = assert!(LIST_BYTES_MAX >= SLOTS_MAX as u64 * 1_024);

/// Bytes of a Call-ID, a tag or a branch; a longer one is malformed.
///
/// Real ones have fewer than 300. Each is hashed up to four times for a message, at 1 ns a byte: 65 KB
/// would cost 0.26 ms, these cost 16 us.
pub(crate) const NAME_BYTES_MAX: usize = 4_096;

/// Bytes that are hashed in one piece: branch, sent-by, Call-ID and tag of nearly every message fit.
pub(crate) const HASHED_BYTES: usize = 256;

/// Bytes of one request on the FIFO, as many as Kamailio takes (8,192 with the zero at its end): a
/// command of `kamctl` has fewer than 500.
pub const FIFO_REQUEST_BYTES_MAX: usize = 8_191;

/// Bytes of one request in a datagram, as many as Kamailio takes.
pub const DATAGRAM_REQUEST_BYTES_MAX: usize = 65_456;

/// Bytes of one BINRPC request, as many as Kamailio takes: a command of `kamcmd` has fewer than 500.
pub const BINRPC_REQUEST_BYTES_MAX: usize = 32_768;

/// Structs within structs of a BINRPC request, as many as Kamailio takes.
pub const BINRPC_DEPTH_MAX: usize = 16;

/// Bytes of one JSON request on a stream: a SIP message of 65,535 bytes in base64, or with every
/// second byte escaped, and room for what stands around it.
pub const STREAM_REQUEST_BYTES_MAX: usize = 256 << 10;

/// Connections of one door. Tools ask one thing and go; 64 people may look at once, and each costs
/// a request and its answer, at most some 2 MB for 10,000 destinations.
pub const DOOR_CONNECTIONS_MAX: usize = 64;

/// Commands that run at the same time, ten reloads among them that wait for each other; each has a
/// thread while it runs.
pub const COMMANDS_MAX: usize = 32;

/// Seconds that a command may take until its client is told that it goes on without him: a database
/// that hangs is given up sooner.
pub const COMMAND_TIME_MAX_S: u64 = 120;

/// How long a command on the FIFO or in a datagram keeps those behind it waiting, in milliseconds.
/// All but a reload are done in 10 ms, and so in their order.
pub const COMMAND_ORDER_MS: u64 = 1_000;

/// Seconds without a byte of a request that has begun: its writer has gone.
pub const HALF_REQUEST_S: u64 = 2;

/// Seconds that a connection may stand without a request; people leave `kamcmd` open.
pub const DOOR_IDLE_S: u64 = 600;

/// Seconds in which a client must take a part of its answer.
pub const REPLY_TIME_MAX_S: u64 = 5;

/// Answers of one door that wait to be taken: as many as connections.
pub const REPLIES_MAX: usize = 64;

/// How often and how long, in milliseconds, we wait for the reader of a reply pipe, as Kamailio does.
pub const REPLY_OPEN_TRIES: u32 = 4;

/// See [`REPLY_OPEN_TRIES`].
pub const REPLY_OPEN_WAIT_MS: u64 = 80;

/// Bytes of a reply pipe's path, as many as Kamailio takes.
pub const REPLY_PATH_BYTES_MAX: usize = 128;

/// Bytes that the datagram door may have on their way out: an answer with 10,000 destinations in full
/// has some 6 MB. It is a bound, nothing is reserved.
pub(crate) const DATAGRAM_REPLY_BYTES: usize = 16 << 20;

/// How long our own command line waits for an answer: a little longer than a command may take.
pub const ASK_TIME_MAX: Duration = Duration::from_secs(COMMAND_TIME_MAX_S + 10);

/// Bytes of a reply to a command: a list of as many destinations as there are slots, 1,000 bytes each,
/// is 65 MB.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

const _: () = assert!(REPLY_BYTES_MAX >= SLOTS_MAX * 4_000);

/// How often a drain looks what is still remembered: a look reads the whole table of calls, 58 MB for
/// 10,000 requests a second, on a thread of its own. Also how long a relay that ends goes on after the
/// last INVITE was answered: a lost response or ACK is repeated after 500 ms (T1).
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);
