//! Every bound, with its derivation.

use std::time::Duration;

/// How much later, in milliseconds, a message may have been sent than the time by which we look at it.
/// A worker reads the clock once for a batch, and others send meanwhile; it may be interrupted for
/// some seconds on a machine that is overloaded.
pub(crate) const CLOCK_BEHIND_MAX_MS: u32 = 10_000;

/// How old, in milliseconds, a message of ours may be that an ICMP error quotes: a router that finds
/// no neighbour reports it after three tries of one second.
pub(crate) const REPORT_AGE_MAX_MS: u32 = 5_000;

/// Listeners of one process.
///
/// Their numbers are 16 bits wide. Each needs a socket per worker: 64 workers x 256 is within the
/// usual limit of 20,000 open files.
pub const LISTENERS_MAX: usize = 256;

/// Keys that verify at the same time: the signing one and three that are being added or removed.
pub const KEYS_MAX: usize = 4;

/// The largest UDP payload over IPv4: 65,535 less 20 bytes of IP and 8 of UDP.
pub const PAYLOAD_IPV4_MAX: usize = 65_507;

/// The largest UDP payload over IPv6, whose length field does not count its own header.
pub const PAYLOAD_IPV6_MAX: usize = 65_527;

/// Bytes of a datagram slot: the largest payload, rounded up to a page boundary.
pub const SLOT_BYTES: usize = 65_536;

/// Datagrams read from a socket before the worker sends.
///
/// 64 slots of 64 KiB are 4 MiB of address space. A slot costs only the pages that its datagram
/// touches, one for nearly every SIP message, so a batch stays within 256 KiB of cache.
pub const BATCH: usize = 64;

/// How many datagrams of a batch are read before the first of them is handled.
///
/// The code for reading and the code for handling are together larger than the first-level cache of most
/// processors, so each runs for several messages in turn.
pub const READ_AHEAD: usize = 8;

/// Distance between one slot and the next, 17 cache lines. Together with the headroom, which is 12,
/// the lines of a batch of 1,088-byte messages spread evenly over the sets of a cache, and an odd
/// number of lines does not return to the same set early.
pub(crate) const SLOT_STAGGER_BYTES: usize = 17 * 64;

const _: () = assert!(!((HEADROOM_BYTES + SLOT_STAGGER_BYTES) / 64).is_multiple_of(2));

/// Bytes for the messages of a batch that do not leave from the slot they were received into: our own
/// responses, 64 of them of up to 3,000 bytes each, besides the longest message there is. A batch
/// that needs more is sent in parts.
pub(crate) const ARENA_BYTES: usize = 512 << 10;

const _: () = assert!(ARENA_BYTES >= SCRATCH_BYTES + SLOT_BYTES + 64 * 3_000);

/// Messages that wait to be sent together: two for each datagram of a batch, because an INVITE of a
/// stateful set goes on and is answered with 100.
pub(crate) const QUEUE_MAX: usize = 2 * BATCH;

const _: () = assert!(QUEUE_MAX >= BATCH + OUTBOX_MAX && QUEUE_MAX <= 1 << 8);

/// Bytes that one socket may have waiting to be sent.
///
/// Messages to a neighbour that does not answer (a server that is switched off, a forged source of
/// our own network) wait in the kernel for some seconds, up to 212,992 bytes for each neighbour
/// (`unres_qlen_bytes`), and all of them count here. With the usual buffer of that same size, one
/// such neighbour would stop all other traffic. The kernel remembers at most 1,024 neighbours
/// (`gc_thresh3`), and this is room for all of them. It is a bound; nothing is reserved.
pub(crate) const SEND_BUFFER_BYTES: usize = 256 << 20;

const _: () = assert!(SEND_BUFFER_BYTES >= 1_024 * 212_992);

/// Bytes of a message that are read from an ICMP error: over IPv6 one has at most 1,280 with its
/// headers, over IPv4 routers quote up to 576 or much less.
pub(crate) const QUOTE_BYTES: usize = 1_280;

/// ICMP errors that a worker takes from one socket before it turns to messages: some 1 us each, so
/// a storm of them delays messages by less than 0.1 ms.
pub(crate) const ERRORS_MAX: usize = 64;

/// How often one message is sent again because ICMP errors for others made its sending fail. Between
/// two attempts errors are taken off the queue, so each further failure is one that came within a few
/// microseconds: in a storm of 100,000 a second, 16 in a row happen once in 10^6.
pub(crate) const SEND_AGAIN_MAX: u32 = 16;

/// Answers to probes and proven reports that may wait for the control thread, which wakes up for the
/// first: if 65,520 destinations are probed once a second, 655 answers come in the 10 ms that it
/// takes to get a turn on a busy machine. They are 0.8 MB.
pub(crate) const SIGHTINGS_MAX: usize = 8_192;

/// Unproven reports that may wait for the control thread. A storm of forged ones fills this queue and
/// not the other, and 256 of them already ask for more probes than are sent at once.
pub(crate) const HINTS_MAX: usize = 256;

/// How long, in milliseconds, a worker waits for a full send buffer to accept another message, and
/// how often in one batch: a buffer of 200 KiB drains in under 2 ms at 1 Gbit/s, and a pause of 4
/// ms does not fill a receive buffer of 4 MiB below 1,000,000 messages/s.
pub(crate) const SEND_WAIT_MS: u16 = 2;
/// See [`SEND_WAIT_MS`].
pub(crate) const SEND_WAITS_MAX: u32 = 2;

/// How long a worker pauses before it reads again after repeated failures, in milliseconds: the
/// system calls of 1,000 attempts a second are 1 % of a core, and a receive buffer of 4 MiB does
/// not fill in that time below 1,000,000 messages/s.
pub(crate) const READ_AGAIN_MS: u64 = 1;

/// Microseconds that a message may be delayed so that others gather with it: at least what a sleep is
/// accurate to, at most a hundredth of T1.
pub const POLL_GATHER_US: std::ops::RangeInclusive<u64> = 20..=5_000;

/// The default: at 18,000 messages a second a sleep of 100 us saves little, one of 300 us a third.
pub const POLL_GATHER_DEFAULT: Duration = Duration::from_micros(300);

/// Datagrams that others have handed to a worker and it has not taken yet: four batches, which it
/// handles in some 2 ms. They are 16 MiB of address space; a frame costs only the pages that its
/// datagrams touch.
pub const HAND_OVER_MAX: usize = 4 * BATCH;

/// The longest time that an INVITE waits for its first response: 64*T1 (RFC 3261 §17.1.1.2).
pub const TIMER_B: Duration = Duration::from_secs(32);

/// Edits of one message: each Route removed by itself, Request-URI, our Via and Record-Routes,
/// `received`, `rport`, Max-Forwards, Max-Breadth, the strict-route swap.
pub(crate) const EDITS_MAX: usize = ROUTES_MAX + 8;

/// Messages of one outbox: stateless forwarding adds at most one. One event of a transaction adds at most
/// three, an ACK or CANCEL to the destination that is left, the request to the next one, and an answer to
/// the caller; there is room for one besides, since one more would be a panic.
pub const OUTBOX_MAX: usize = 4;

/// Bytes of the outbox for messages that do not lie in the datagram's own slot: a whole response,
/// or a request that does not fit the headroom, and what we add to it. A transaction adds an ACK and a
/// CANCEL, which have the longest rows of their request but no body.
pub const SCRATCH_BYTES: usize = 2 * (SLOT_BYTES + 4096);

/// What one event asks of a transaction at most: to acknowledge a response, to keep it, and to cancel
/// another try or begin the next.
pub(crate) const EFFECTS_MAX: usize = 4;

/// Bytes of a block in which transactions keep messages: an INVITE of 900 bytes needs two, and wastes 124
/// bytes.
pub(crate) const BLOCK_BYTES: usize = 512;

/// Transactions of all workers, if they forward statefully. A transaction takes up to 0.7 KiB besides the
/// messages that it keeps, and lives for at least 32 s after its 2xx: 1,000 calls per second have some
/// 32,000 to 64,000, as each has an INVITE.
pub const TRANSACTIONS: std::ops::RangeInclusive<u64> = 1_000..=16_000_000;
/// The default: 4,000 calls per second or more.
pub const TRANSACTIONS_DEFAULT: usize = 262_144;

/// Bytes of the messages that transactions keep, of all workers: a request until its final response, and
/// a response until its ACK.
pub const TRANSACTIONS_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 38;
/// The default: 2 KiB for each transaction. Memory is used only as it is needed.
pub const TRANSACTIONS_BYTES_DEFAULT: usize = TRANSACTIONS_DEFAULT * 2_048;

/// How long a destination may take for its first response, in milliseconds: at least a round trip around
/// the world, at most 64*T1, after which the caller has given up.
pub const FIRST_RESPONSE_MS: std::ops::RangeInclusive<u64> = 50..=32_000;
/// How long it may take from a 100 to more than that; 0 is no limit.
pub const PROGRESS_MS: std::ops::RangeInclusive<u64> = 0..=600_000;
/// Timer C. RFC 3261 §16.6 item 11 wants more than three minutes; many operators let nobody ring for that
/// long.
pub const RINGING_MS: std::ops::RangeInclusive<u64> = 10_000..=3_600_000;
/// How long after a request came it may go to another destination.
pub const TOTAL_MS: std::ops::RangeInclusive<u64> = 0..=32_000;
/// Further tries of a set, in percent of the first ones: no more than three for each.
pub const RETRIES_PERCENT: std::ops::RangeInclusive<u64> = 0..=300;
/// Further tries within 10 s that are always allowed.
pub const RETRIES_MIN: std::ops::RangeInclusive<u64> = 0..=1_000_000;

/// Milliseconds of a tick of the timers of transactions: a hundredth of T1, so that what is due is late by
/// at most that, and an idle worker wakes up at most 200 times a second.
pub(crate) const WHEEL_TICK_MS: u64 = 5;

/// Transactions that a worker turns to before it turns to messages again: half a millisecond of work.
pub(crate) const EXPIRE_MAX: usize = 2 * BATCH;

/// Tries that could not be delivered, until the worker turns to them: as many as it takes ICMP errors at
/// once from a few sockets.
pub(crate) const UNDELIVERED_MAX: usize = 4 * ERRORS_MAX;

/// Ticks of one turn of the timers: 41 s, so that only Timer C takes more than one turn.
pub(crate) const WHEEL_SLOTS: usize = 8_192;

/// Bytes before each received datagram, so that a forwarded request leaves from the slot that it
/// was received into: the lines we insert are written there, and only what stands before them moves.
///
/// A Via of 20 bytes, a sent-by of up to 260, branch and parameter of 120, the offer of overload
/// control of 18; two Record-Routes of 160 and a sent-by each; Max-Forwards and Max-Breadth of 40;
/// `received` and `rport` of 70. A name as long as names can be needs some 1,280 bytes, an address
/// 530: what does not fit is copied.
pub const HEADROOM_BYTES: usize = 768;

/// Slots for destinations: a slot's number is 16 bits wide, and the last 16 are reserved.
pub const SLOTS_MAX: usize = 65_520;

/// Returns the greatest length of our own response to a request of this length: an eighth more.
///
/// The source of a request may be forged. Then its response is traffic that an attacker directs at
/// someone else. A response adds a tag (21 bytes), `received` (25, over IPv6 49) and `rport` (12);
/// it leaves out Max-Forwards (18) and most of the first line. So every request of at least 320
/// bytes over IPv4, or 512 over IPv6, is answered. Shorter ones are answered if they have a
/// Content-Length, a Contact or a User-Agent, as nearly all real requests do.
pub(crate) const fn answer_max(request_len: usize) -> usize {
    request_len + request_len / 8
}

const _: () = assert!(SLOT_BYTES > PAYLOAD_IPV6_MAX);
const _: () = assert!(BATCH <= 1 << u8::BITS);

/// Lines of a header, folds and single CRs and LFs included; a message with more is refused like
/// one with an unterminated line.
///
/// Real headers have fewer than 100. A line that must be parsed costs some 40 ns, and the shortest
/// has three bytes: 21,000 of them fit a datagram and would cost 0.8 ms, these cost 40 us.
pub(crate) const HEADER_LINES_MAX: usize = 1_024;

/// Parameters of one Via, From, To or Route value; a value with more is malformed.
///
/// Real values have fewer than ten. Reading one takes some 10 ns: the 16,000 that fit a datagram
/// would cost 0.2 ms, these cost 3 us.
pub(crate) const PARAMETERS_MAX: usize = 256;

/// Route values that are examined; a request with more is refused with 400.
///
/// Max-Forwards starts at 70 and real route sets have fewer than ten entries.
pub(crate) const ROUTES_MAX: usize = 32;

/// Bytes of text that the edits of one message add.
///
/// Our Via is at most 47 + 253 (host) + 100 bytes, each of two Record-Routes 22 + 112 + 253, and
/// the strict-route swap writes a Request-URI twice. If the text does not fit, the message is
/// refused like one that is too large.
pub(crate) const EDIT_TEXT_BYTES: usize = 16_384;

/// Pins per new request per second at the peak: a pin lives 240 s, a request needs 1.5 pins (a call
/// has two), and twice that so that buckets rarely fill. 10,000/s are 7.2 million pins, 58 MB.
pub(crate) const PINS_PER_REQUEST_RATE: usize = 240 * 3 / 2 * 2;

/// Seconds in which the sweeper passes the whole table, and therefore the number of parts it is
/// divided into.
pub(crate) const SWEEP_PARTS: usize = 64;

/// Attempts to store a pin while other workers do the same. After that, the datagram is dropped: it
/// is a copy of one that another worker is forwarding right now.
pub(crate) const CLAIM_TRIES: usize = if cfg!(loom) { 3 } else { 64 };

/// Processor pauses between two attempts, some 2 us: longer than choosing a destination takes.
pub(crate) const CLAIM_SPINS: usize = if cfg!(loom) { 1 } else { 64 };

/// How long a destination is trusted after it was retired, and its slot not given to another: the
/// longest lifetime of a pin, the one of a ringing call.
pub(crate) const SLOT_QUARANTINE_MS: u64 = 1_800_000;

/// How long a change waits for every worker to take its snapshot. Each does so with its next batch,
/// which takes milliseconds.
pub(crate) const MOVE_ON_TIME_MAX: Duration = Duration::from_secs(1);

/// Consecutive Route entries that are ourselves and are skipped at once; more is a loop.
pub(crate) const OWN_ROUTES_MAX: usize = 4;

/// Workers of one process: four on each core of a machine with 64.
///
/// 256 workers x 64 slots x 64 KiB are 1 GiB of address space for datagrams; only touched pages
/// cost memory.
pub const WORKERS_MAX: usize = 256;

/// Bytes of a socket's receive buffer, from one largest datagram and its bookkeeping up to 1 GiB.
pub const RECEIVE_BUFFER_BYTES: std::ops::RangeInclusive<usize> = 131_072..=1 << 30;

/// Default bytes of a socket's receive buffer: some 3,000 ordinary messages, a stall of 30 ms at
/// 100,000 a second.
pub const RECEIVE_BUFFER_BYTES_DEFAULT: usize = 4 << 20;

/// The highest peak of new requests per second that a pin table can be sized for: at 8 bytes x 240
/// s x 3, a million of them are 5.8 GB.
pub const PEAK_REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;

/// Seconds that a shutdown may wait for open INVITEs: an hour.
pub const GRACE_S_MAX: u64 = 3_600;

/// Prefixes of `allow` and of `in_dialog_to`: all are compared for each datagram from an unknown
/// source, and 256 comparisons of 2 ns are 0.5 us.
pub const PREFIXES_MAX: usize = 256;

/// Other names that refer to us: compared one after the other, like the prefixes.
pub const ALIASES_MAX: usize = 256;

/// Bytes of a listener's name, which is a single word.
pub const LISTENER_NAME_BYTES_MAX: usize = 64;

/// Bytes of a reason phrase: it must leave room in our response for what is copied from the
/// request.
pub const REASON_BYTES_MAX: usize = 128;

/// Number of a destination set: Kamailio keeps it in a signed 32-bit integer.
pub const SET_MAX: u32 = i32::MAX as u32;

/// Bytes of a configuration file: 10,000 sets of 100 bytes each.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a list: as many lines as there are slots, each as long as Kamailio accepts (1,023).
pub const LIST_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a destination's URI: as long as Kamailio accepts (499).
pub const URI_BYTES_MAX: usize = 499;

/// Bytes of a destination's attributes: eight times what fits on a line of Kamailio's list, and 64
/// times what fits in its table column (128).
pub const ATTRIBUTES_BYTES_MAX: usize = 8_192;

/// How long a database connection may take until it can be queried, in milliseconds: a name lookup,
/// a connection, TLS and a password are six round trips, 2 s over the slowest network, and one lost
/// packet is sent again after 1 s, twice.
pub(crate) const DATABASE_CONNECT_MS: u64 = 5_000;
/// How long a database may take for one query, in milliseconds: 65,520 rows of 200 bytes are 13 MB,
/// a second at 100 Mbit/s; the rest is for waiting until another client unlocks the table.
pub(crate) const DATABASE_ANSWER_MS: u64 = 10_000;
/// How long closing a database connection may take, in milliseconds: nothing depends on it.
pub(crate) const DATABASE_CLOSE_MS: u64 = 500;
/// How long `SQLite` waits while another process writes, in milliseconds; less than
/// [`DATABASE_ANSWER_MS`], so that the error comes from `SQLite`.
pub(crate) const DATABASE_BUSY_MS: u32 = 5_000;

const _: () = assert!((DATABASE_BUSY_MS as u64) < DATABASE_ANSWER_MS);

/// Bytes of the file with a database's last good rows: the limit for the rows themselves, and 40
/// bytes for the numbers of each of 65,520.
pub(crate) const LAST_GOOD_BYTES_MAX: u64 = LIST_BYTES_MAX + 40 * SLOTS_MAX as u64;

/// How long a relay that started without its database waits before the next attempt, in
/// milliseconds: doubled each time, up to the longest. Half a minute is soon enough for a server
/// that restarts, and a hundred relays then query it three times a second.
pub(crate) const DATABASE_RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=30_000;

/// How long a file must be unchanged before its content counts, in milliseconds: an editor or a
/// shell truncates and rewrites a file within 1 ms, and the kernel's timestamps of changes are
/// accurate to 4 ms.
pub(crate) const FILE_STILL_MS: u64 = 20;
/// How many times a changing file is read, half a second in all.
pub(crate) const FILE_LOOKS_MAX: u32 = 25;

/// Bytes of a key file: four lines of 69 bytes, and room for comments.
pub const KEY_FILE_BYTES_MAX: u64 = 16_384;

/// Columns of `db_extra_attrs`, as many as Kamailio accepts.
pub const EXTRA_ATTRIBUTES_MAX: usize = 27;

/// Files that one import reads, and how deep they may include one another: Kamailio's own depth is
/// 10, and a large installation has some dozens of files.
pub const IMPORT_FILES_MAX: usize = 256;
/// See [`IMPORT_FILES_MAX`].
pub const IMPORT_DEPTH_MAX: usize = 10;

/// Depth of routes that call one another, as deep as Kamailio runs them.
pub const IMPORT_CALLS_DEEP: usize = 100;

/// Bytes of all files of one import; beyond that, no more files are read. A token costs some 60
/// bytes of memory and a file of single characters has one per byte, so this is 500 MB at the
/// worst, and 20 MB for real files.
pub const IMPORT_BYTES_MAX: usize = 8 << 20;

/// Tokens that defined names expand to in total: a definition may use other names, each several
/// times.
pub const IMPORT_DEFINED_MAX: usize = 100_000;

/// Words that `#!subst` replaces: each is searched for in every token, and 64 x 1,000,000 tokens
/// take some seconds.
pub const IMPORT_REPLACED_MAX: usize = 64;

/// Parts that an import reports as not carried over: more than anybody reads.
pub const IMPORT_LEFT_MAX: usize = 1_000;

/// Characters shown of one such part; the rest is cut off.
pub const IMPORT_SHOWN_MAX: usize = 240;

/// Problems of one file that are listed; only the number of the rest is given.
pub const PROBLEMS_MAX: usize = 100;

/// Questions to name servers that are open at the same time.
///
/// Each has its own socket, and a process usually may open 1,024 files. With a server that answers
/// in 5 ms they are 50,000 questions a second; with a silent one, 256 wait for their timeout and
/// the others wait behind them.
pub const LOOKUPS_MAX: usize = 256;

/// How long a load waits for all names together: callers give up if a call setup stalls for longer.
/// Names not resolved by then are resolved in the background.
pub const RESOLVE_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a question waits for one name server, sent three times within it: as long as the
/// system's own resolver does.
pub(crate) const NAME_SERVER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long only one name server is asked before the next one gets the question, too: longer than a
/// recursive server usually needs, and three of them fit in [`RESOLVE_TIME_MAX`].
pub(crate) const NEXT_NAME_SERVER_TIME: Duration = Duration::from_millis(500);

/// How long one round of background questions may take. A question without an answer by then counts
/// as failed, and the next round gets one question further. Names that expire meanwhile wait.
pub(crate) const REFRESH_TIME_MAX: Duration = Duration::from_secs(6);

const _: () = assert!(REFRESH_TIME_MAX.as_secs() > NAME_SERVER_TIME_MAX.as_secs());

/// The shortest time that an answer is valid, whatever its time to live: a name with 0 s, as some
/// cloud servers have, is asked for 12 times a minute instead of all the time.
pub(crate) const TTL_MIN: Duration = Duration::from_secs(5);

/// The longest time that an answer is valid: a typing error in a time to live is gone the next day.
pub(crate) const TTL_MAX: Duration = Duration::from_hours(24);

/// The longest time until a negative answer is asked for again, whatever its zone says.
pub(crate) const RESOLVE_AGAIN: Duration = Duration::from_secs(30);

/// How long until a failed question is asked again: doubled after each further failure, up to
/// [`RESOLVE_AGAIN`].
pub(crate) const FAILED_AGAIN: Duration = Duration::from_secs(5);

/// NAPTR records of one name that are followed: primary and backup twice.
pub(crate) const SERVICES_MAX: usize = 4;

/// SRV records of one service that are used, those of the best priority first. Each needs two
/// questions, so all of them fit [`LOOKUPS_MAX`] at once.
pub(crate) const TARGETS_MAX: usize = LOOKUPS_MAX / 2;

/// Addresses of one name: two for each target, one of each family.
pub(crate) const ADDRESSES_MAX: usize = 2 * TARGETS_MAX;

/// Aliases that are followed before they count as a loop.
pub(crate) const ALIASES_FOLLOWED_MAX: usize = 4;

/// Domains of `/etc/resolv.conf` in which a name is searched, as many as the system's resolver
/// uses.
pub(crate) const SEARCH_MAX: usize = 6;

/// Names without an address that are listed; only the number of the rest is given.
pub(crate) const NAMES_TOLD_MAX: usize = 16;

/// Turns of the wheel in which the addresses of a name share its turns if their weights differ: 1
/// of 512 is the smallest share, 0.2 %, and a wheel is at most 1 KiB.
pub(crate) const WHEEL_MAX: usize = 512;

const _: () = assert!(WHEEL_MAX >= 2 * ADDRESSES_MAX);

/// Bytes of one value of a dispatch line; the rest is cut off.
pub const DISPATCH_VALUE_BYTES: usize = 256;

/// Bytes of the template of a dispatch line: it must stay one readable line.
pub const DISPATCH_TEMPLATE_BYTES_MAX: usize = 1_024;

/// Reloads, additions and removals that may wait for the running one. Each reads the source itself,
/// so that its answer reflects the source after the request; 32 of them wait at most 32 times the
/// timeout of a database that does not answer.
pub const RELOADS_WAITING_MAX: usize = 32;

/// Records for which a load builds the workers' tables at normal priority; with more, it builds them
/// only while the core has nothing else to do. A record costs some 1 us, so these delay a worker on
/// the same core by no more than 50 us.
pub(crate) const BUILD_AT_ONCE_MAX: usize = 50;

/// Dispatch lines that may wait for the log thread: 0.4 s of 10,000 calls a second, 6 MB.
pub const DISPATCH_LINES_MAX: usize = 4_096;

/// Log lines that may wait for standard error.
pub const LOG_LINES_MAX: usize = 4_096;

const _: () = assert!(LIST_BYTES_MAX >= SLOTS_MAX as u64 * 1_024);

/// Bytes of a Call-ID, a tag or a branch; a longer one is malformed.
///
/// Real ones have fewer than 300. Each is hashed up to four times for a message, at 1 ns a byte: 65
/// KB would cost 0.26 ms, these cost 16 us.
pub(crate) const NAME_BYTES_MAX: usize = 4_096;

/// Bytes that are hashed at once: branch, sent-by, Call-ID and tag of nearly every message fit.
pub(crate) const HASHED_BYTES: usize = 256;

/// Bytes of a host name (RFC 1035 §2.3.4).
pub(crate) const HOST_NAME_BYTES_MAX: usize = 253;

/// Bytes of one request on the FIFO, as many as Kamailio accepts (8,192 with the zero at its end):
/// a command of `kamctl` has fewer than 500.
pub const FIFO_REQUEST_BYTES_MAX: usize = 8_191;

/// Bytes of one request in a datagram, as many as Kamailio accepts.
pub const DATAGRAM_REQUEST_BYTES_MAX: usize = 65_456;

/// Bytes of one BINRPC request, as many as Kamailio accepts: a command of `kamcmd` has fewer than
/// 500.
pub const BINRPC_REQUEST_BYTES_MAX: usize = 32_768;

/// Nesting depth of structs in a BINRPC request, as deep as Kamailio accepts.
pub const BINRPC_DEPTH_MAX: usize = 16;

/// Bytes of one JSON request on a stream: a SIP message of 65,535 bytes in base64, or with every
/// second byte escaped, and room for the rest of the request.
pub const STREAM_REQUEST_BYTES_MAX: usize = 256 << 10;

/// Connections of one control socket. Tools ask one question and close; 64 people may look at once,
/// and each costs a request and its answer, at most some 2 MB for 10,000 destinations.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;

/// Commands that run at the same time, even if ten of them are reloads that wait for each other;
/// each has a thread while it runs.
pub const COMMANDS_MAX: usize = 32;

/// Seconds after which the client of a running command is told that the command continues without
/// it: a database that hangs times out sooner.
pub const COMMAND_TIME_MAX_S: u64 = 120;

/// How long a command on the FIFO or in a datagram delays the next one, in milliseconds. All except
/// a reload take less than 10 ms, so they run in their order.
pub const COMMAND_ORDER_MS: u64 = 1_000;

/// Seconds without further bytes of a request that has begun: its writer is gone.
pub const HALF_REQUEST_S: u64 = 2;

/// Seconds that a connection may be idle; people leave `kamcmd` open.
pub const CONTROL_IDLE_S: u64 = 600;

/// Seconds in which a client must read some part of its answer.
pub const REPLY_TIME_MAX_S: u64 = 5;

/// Turns of one round by weight that are prepared: enough for 1,300 destinations with a mean weight of
/// 50. They are 128 KiB, and preparing them takes some 10 ms.
pub(crate) const WEIGHT_TURNS_MAX: usize = 65_536;

/// Bits of the number of buckets of the algorithm `consistent`, for a set of at most
/// [`CONSISTENT_SMALL_MAX`] records: with 65,536, a share of one in 64 is exact to 3 %. They are 128
/// KiB for each set of two records or more, and 5 ms.
pub(crate) const CONSISTENT_BITS: u32 = 16;

/// The same for a larger set: of 262,144 buckets, each of 10,000 records has some 26. 512 KiB.
pub(crate) const CONSISTENT_BITS_LARGE: u32 = 18;

/// See [`CONSISTENT_BITS`]. The list decides, not the states, because another number of buckets moves
/// most calls.
pub(crate) const CONSISTENT_SMALL_MAX: usize = 1_024;

/// Parts of `hash_over`: real keys have one or two. A header field among them costs a search through
/// the header, some 2 us.
pub const HASH_OVER_PARTS_MAX: usize = 8;

/// Answers of one control socket that wait for their readers: as many as connections.
pub const REPLIES_MAX: usize = 64;

/// How often, and how long each time in milliseconds, we wait for the reader of a reply pipe, as
/// Kamailio does.
pub const REPLY_OPEN_TRIES: u32 = 4;

/// See [`REPLY_OPEN_TRIES`].
pub const REPLY_OPEN_WAIT_MS: u64 = 80;

/// Bytes of a reply pipe's path, as many as Kamailio accepts.
pub const REPLY_PATH_BYTES_MAX: usize = 128;

/// Bytes that the datagram control socket may have waiting to be sent: an answer with 10,000
/// destinations in full has some 6 MB. It is a bound; nothing is reserved.
pub(crate) const DATAGRAM_REPLY_BYTES: usize = 16 << 20;

/// How long our own command line waits for an answer: a little longer than a command may take.
pub const ASK_TIME_MAX: Duration = Duration::from_secs(COMMAND_TIME_MAX_S + 10);

/// Bytes of a reply to a command: a list of as many destinations as there are slots, 1,000 bytes
/// each, is 65 MB.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

const _: () = assert!(REPLY_BYTES_MAX >= SLOTS_MAX * 4_000);

/// How often a drain checks what is still remembered: each check reads the whole pin table, 58 MB
/// for 10,000 requests a second, on its own thread. Also how long a relay that shuts down continues
/// after the last INVITE was answered: a lost response or ACK is sent again after 500 ms (T1).
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Looks at the workers' progress in the time after which the watchdog restarts the relay. One look
/// that comes late, or finds a worker between two batches, is no feed less than the watchdog wants.
pub(crate) const WATCHDOG_LOOKS: u32 = 4;

/// Notices for the service manager that wait while it does not read: reloads, which are far fewer.
pub(crate) const NOTICES_MAX: usize = 64;

/// How often the service manager hears of the destinations, if they have changed.
pub(crate) const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Changes of state that wait for a program outside: all destinations of a large list at once, while
/// the program is away for as long as it is tried again. Others are lost and counted.
pub(crate) const EVENTS_QUEUED_MAX: usize = 10_000;

/// Events that are delivered together. A change of state has at most 1,300 bytes, of which its URI has
/// [`URI_BYTES_MAX`] and the reason about as many.
pub(crate) const EVENT_BATCH_MAX: usize = 50;

/// Bytes after which no event is added to those that are delivered together. With the longest event, a
/// reload whose [`RELOAD_LINES_MAX`] lines are all escaped, they fit a pipe (64 KiB).
pub(crate) const EVENT_BATCH_BYTES: usize = 24_000;

/// Milliseconds that a program may take for events.
pub const EVENT_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// The default: a program that starts an interpreter, or a webhook on another continent.
pub const EVENT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Changes of state that are kept of each destination: a flapping server's last minutes. 10,000
/// destinations that all flapped take some 60 MB.
pub(crate) const HISTORY_MAX: usize = 32;

/// Lines that are logged of destinations which change their state at the same moment.
pub(crate) const HISTORY_LINES_MAX: usize = 20;

/// How often workers' counters are read for signs of a destination that fails, in milliseconds: a
/// cache line for each of 65,520 slots of four workers is 16 MB, some 3 ms at 5 GB/s.
pub const WINDOW_MS: u64 = 100;

/// The time over which shares of failed calls are taken, in milliseconds: 20 calls in it are 2 calls
/// a second.
pub(crate) const SHARES_MS: u64 = 10_000;

/// How long a source of requests is one of those that there are, in milliseconds; up to twice as
/// long.
pub(crate) const SENDERS_MS: u64 = 10_000;

/// What is too old leaves a share in steps of this length, in milliseconds. Ten of these steps and ten
/// windows of 72 bytes for each of 65,520 destinations are 94 MB.
pub(crate) const SHARE_STEP_MS: u64 = 1_000;

const _: () = assert!(SHARES_MS.is_multiple_of(SHARE_STEP_MS));

/// If a destination refuses calls again this soon after it was full, it is full for twice as long, in
/// milliseconds.
pub(crate) const REFUSES_AGAIN_MS: u64 = 60_000;

/// How long a destination that passive detection took out, and that never answered a probe, waits
/// for its trial; also the first pause of one that flaps. Doubled each time, up to 8 minutes.
pub(crate) const PAUSE_MS: u64 = 30_000;

/// How fast the time that a destination takes to answer falls to a lower one, in milliseconds: after
/// as long, half of the difference is left, or a third if it is measured all the time. Servers that pause,
/// to collect garbage or to write, do so again within seconds.
pub(crate) const PACE_MEMORY_MS: u64 = 10_000;

/// After this time without a measurement, that time counts half, in milliseconds. A destination that is
/// sixteen times slower than the others gets a call every two minutes then, if it is not probed.
pub(crate) const PACE_FORGET_MS: u64 = 30_000;

/// How long a call without an answer makes its destination slow, in milliseconds: Timer B, when the
/// caller gives up.
pub(crate) const PACE_WAIT_MAX_MS: u64 = 32_000;

/// How long a trial lasts, in milliseconds: a server that answers no request shows it within T1.
pub(crate) const TRIAL_MS: u64 = 10_000;

/// How long a destination that went out is probed as quickly as one in doubt, in milliseconds: a
/// server restarts in less.
pub(crate) const QUICK_MS: u64 = 30_000;

/// The time in which changes of state are counted as flapping.
pub(crate) const FLAP_WINDOW_MS: u64 = 60_000;

/// How long a destination must stay up until its pauses are short again, in milliseconds: longer
/// than the longest pause.
pub(crate) const CALM_MS: u64 = 600_000;

const _: () = assert!(CALM_MS > PAUSE_MS << 4);

/// Milliseconds from one probe of a destination to the next: a tenth of a second to an hour.
pub const PROBE_INTERVAL_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;

/// Milliseconds until a probe has failed: up to Timer F (64*T1, RFC 3261 §17.1.2.2).
pub const PROBE_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=32_000;

/// Milliseconds between probes of a destination in doubt.
pub const PROBE_DOUBT_INTERVAL_MS: std::ops::RangeInclusive<u64> = 50..=60_000;

/// Consecutive probes that must fail or succeed.
pub const PROBES_IN_A_ROW: std::ops::RangeInclusive<u64> = 1..=100;

/// Thousandths that a new answer to a probe has in the estimate of a destination's latency.
pub const LATENCY_ALPHA: std::ops::RangeInclusive<u64> = 1..=999;

/// Seconds for which a destination may be full. 0 means that 503 is a failure like any other.
pub const FULL_S: std::ops::RangeInclusive<u64> = 0..=3_600;

/// Probes per second over all destinations, repeated ones included. A probe is a system
/// call of some 5 us, so the most are half a core.
pub const PROBES_PER_SECOND: std::ops::RangeInclusive<u64> = 1..=100_000;

/// The default: 10,000 destinations, each every 10 s.
pub const PROBES_PER_SECOND_DEFAULT: u32 = 1_000;

/// Bytes of a probe's method: the longest registered ones have nine.
pub const PROBE_METHOD_BYTES_MAX: usize = 32;

/// Status codes and classes of `accept`: there are no more than some 80 codes.
pub const PROBE_CODES_MAX: usize = 64;

/// Unanswered requests that are silence, and calls of which a share counts: a set that needs more
/// is better off with probes alone.
pub const PASSIVE_REQUESTS_MAX: u64 = 100_000;

/// Changes of state in a minute that may be the limit: one a second.
pub const FLAP_CHANGES_MAX: u64 = 60;

/// The highest limit of new calls per second, and of their burst: as many requests as a relay is sized
/// for. A burst of this size at one call a second is whole again after 10^15 ns, far below 2^64.
pub const CALLS_PER_SECOND_MAX: u32 = PEAK_REQUESTS_PER_SECOND_MAX;

/// The highest limit of calls per second from one source to one destination. Intervals are counted in
/// microseconds, so the rate in force is at most 1 % below this one.
pub(crate) const SOURCE_CALLS_PER_SECOND_MAX: u32 = 10_000;

/// The largest burst of calls from one source to one destination: the calls of a tenth of a second at
/// the highest rate. At one call a second it is whole again after 1,000 s. By then no slot has been
/// given to another destination, so no entry outlives its pair.
pub(crate) const SOURCE_BURST_MAX: u32 = 1_000;

/// How many emergency calls per second of one source may pass a limit, unless configured: people make
/// less than one a year each, so a trunk of a million has some two a minute, and a disaster many more.
pub(crate) const EMERGENCY_PER_SOURCE_DEFAULT: u32 = 10;

/// The most: all of them may come at once, so as many as a burst.
pub(crate) const EMERGENCY_PER_SOURCE_MAX: u32 = SOURCE_BURST_MAX;

/// Emergency numbers, and values of Resource-Priority. All are compared, each in some 10 ns.
pub(crate) const EMERGENCY_NUMBERS_MAX: usize = 32;

/// Characters of an emergency number (E.164 has up to 15 digits), or of a value of Resource-Priority.
pub(crate) const EMERGENCY_NUMBER_LEN_MAX: usize = 32;

const _: () = assert!(SOURCE_BURST_MAX == SOURCE_CALLS_PER_SECOND_MAX / 10);
const _: () = assert!((SOURCE_BURST_MAX as u64 + 1) * 1_000 < SLOT_QUARANTINE_MS);

/// Pairs of a source and a destination whose calls per second are counted: 131,072 words are 1 MiB,
/// and each page is touched only once it has a pair.
///
/// An entry is in use until its burst is whole again: 1 s for one call a second, 100 ms for ten. So on
/// average as many are in use as calls come in that time, and three quarters, up to which two buckets
/// of eight have room for each pair, are enough for 98,000 calls a second at the lowest limit. More
/// calls of new pairs are refused.
pub(crate) const SOURCE_RATES_MAX: usize = 1 << 17;

/// Parts of the table of sources that are swept one a second. Its clock wraps after 19 hours.
pub(crate) const SOURCE_RATES_SWEEP_PARTS: usize = 8;

/// The least `load_factor`, in hundredths. With 1, every destination would have to hold the same number
/// of calls, and a hash would decide nothing.
pub(crate) const LOAD_FACTOR_PERCENT_MIN: u32 = 101;

/// The largest one. With more than a few times the even share, it bounds nothing.
pub(crate) const LOAD_FACTOR_PERCENT_MAX: u32 = 1_000;

/// The longest slow start, in milliseconds: an hour.
pub(crate) const SLOW_START_MS_MAX: u32 = 3_600_000;

/// How often a set's algorithm chooses for one call while the destinations that it chooses are over
/// their limits. More would help little: then most of the set is.
pub(crate) const LIMIT_DRAWS_MAX: usize = 4;

/// After that, how many addresses are looked at one after the other. A look costs at most three cache
/// misses, 0.3 us, so a call for a set that is full costs at most 80 us more.
pub(crate) const LIMIT_LOOKS_MAX: usize = 256;

/// The longest time that a report of overload is obeyed, in milliseconds: an hour. Servers report again
/// with every response, usually for half a second (RFC 7339 §4.3).
pub(crate) const OC_VALIDITY_MS_MAX: u32 = 3_600_000;

/// How long the end of overload control is remembered, in milliseconds, so that a report that was sent
/// before it and arrives after it does not count: no response is repeated for longer than 64*T1.
pub(crate) const OC_END_MS: u32 = 32_000;

/// The most seconds in the Retry-After of a call that is over a limit.
pub(crate) const RETRY_AFTER_S_MAX: u64 = 3_600;

/// Calls in progress that are counted: a million words are 8 MiB of address space, and each page is
/// touched only once it has a call. 10,000 new calls a second that last 75 s on average fill three
/// quarters, up to which two buckets of eight have room for each. More calls are refused in sets that
/// count.
pub(crate) const CALLS_MAX: usize = if cfg!(test) { 1 << 14 } else { 1 << 20 };

/// How long a call counts that has no response: Timer B (RFC 3261 §17.1.1.2) and a margin for the
/// network. By then its caller has given up.
pub(crate) const CALL_SENT_MS: u64 = 36_000;

/// How long a call counts after a provisional response: Timer C is more than three minutes, and a
/// server that needs longer sends another response each minute (§13.3.1.1).
pub(crate) const CALL_EARLY_MS: u64 = 180_000;

/// How long an answered call without a session timer (RFC 4028) counts after its last message. Two
/// hours are longer than nearly all calls, and most of these end with a BYE.
pub(crate) const CALL_CONFIRMED_MS: u64 = 7_200_000;

/// How much longer than its session timer a call counts, in milliseconds: whoever finds the session
/// over sends a BYE, which is repeated for up to 32 s (Timer F).
pub(crate) const CALL_SESSION_MARGIN_MS: u64 = 36_000;

/// The shortest session timer that a party may ask for, in seconds (RFC 4028 §4).
pub(crate) const SESSION_EXPIRES_MIN_S: u32 = 90;

/// Parts of the table of calls that are swept one a second, each 1 MiB.
pub(crate) const CALL_SWEEP_PARTS: usize = 8;

/// The highest limit of calls in progress: Kamailio's for `maxload`.
pub const CALLS_IN_PROGRESS_MAX: u32 = i32::MAX as u32;

/// Bytes of a recorded machine: 30 KB for one of 128 cores and a card with 64 queues, and much room.
pub const MACHINE_BYTES_MAX: usize = 4 << 20;

/// Bytes of one file that `strowger tune` reads: `softnet_stat` has 150 a core.
pub(crate) const MACHINE_FILE_BYTES_MAX: u64 = 256 << 10;

/// Files that `strowger tune` reads: for each of 512 cores five, and for each of 8 cards with 512
/// queues six a queue.
pub(crate) const MACHINE_FILES_MAX: usize = 32 << 10;

/// Bytes of the list of tracked connections that are looked through for ours: some 100,000 lines.
pub(crate) const CONNTRACK_BYTES_MAX: u64 = 16 << 20;

/// Reloads that are remembered.
pub(crate) const RELOADS_KEPT_MAX: usize = 20;

/// Changes of a reload, and sentences about it, that are remembered, and characters of each.
pub(crate) const RELOAD_LINES_MAX: usize = 10;

/// See [`RELOAD_LINES_MAX`].
pub(crate) const RELOAD_LINE_CHARS_MAX: usize = 200;

/// Taps that may be armed at the same time: Homer's, and a trace of each of some operators.
pub const CAPTURES_MAX: usize = 4;

/// Lists of taps that workers have not let go of yet. They let go when they are woken, within
/// microseconds.
pub(crate) const CAPTURE_RETIRED_MAX: usize = 16;

/// Messages that wait in a tap's ring of one worker: 10 ms of a worker that forwards 100,000 messages a
/// second, each copied twice.
pub(crate) const CAPTURE_RECORDS_MAX: usize = 2_048;

/// Bytes that are kept of a message: more than nearly every SIP message has. A ring has 16 MiB, of which
/// only the pages count that a message has touched.
pub const CAPTURE_MESSAGE_BYTES_MAX: usize = 8 << 10;

const _: () = assert!(CAPTURE_RECORDS_MAX * CAPTURE_MESSAGE_BYTES_MAX <= 16 << 20);

/// Calls that a tap follows because one of their messages was selected: those of the last minute at a
/// hundred a second. A further one takes the place of an older.
pub(crate) const CAPTURE_FOLLOWED_MAX: usize = if cfg!(loom) { 1 } else { 8_192 };

/// Bytes of a text that a filter searches for.
pub const CAPTURE_PATTERN_BYTES_MAX: usize = 256;

/// How long a trace stays armed that nobody reads: who started it has gone.
pub(crate) const TRACE_IDLE: Duration = Duration::from_secs(10);

/// Messages of one answer to a trace. Each has at most 16 KiB of hexadecimal digits, so 8 MiB.
pub(crate) const TRACE_READ_MAX: usize = 512;

/// Decisions that are explained in one answer to a trace: with 10,000 destinations each takes some 10
/// ms.
pub(crate) const TRACE_EXPLAINED_MAX: usize = 16;

/// Candidates of an explained decision that a trace shows.
pub(crate) const TRACE_CANDIDATES_MAX: usize = 8;

/// Messages that are sent to Homer together: at most 2 MiB.
pub(crate) const HEP_BATCH_MAX: usize = 256;

/// Destinations of each set that the status page shows, those first that get no calls.
pub(crate) const STATUS_DESTINATIONS_MAX: usize = 200;

/// The same of all sets together: 2 MB of JSON each second, for all pages that are open.
pub(crate) const STATUS_DESTINATIONS_IN_ALL_MAX: usize = 2_000;

/// Status pages that are open at the same time, half of the connections of a control socket: the
/// others stay free for commands and metrics.
pub(crate) const STATUS_STREAMS_MAX: usize = CONTROL_CONNECTIONS_MAX / 2;
